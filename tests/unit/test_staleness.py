"""When a plan may still be applied: to the letter when it was saved, else beside the loads of others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from autoloader.apply.staleness import check_fresh, check_sound, with_plan
from autoloader.errors import LockBusyError, PlanStaleError
from autoloader.lake import TableState
from autoloader.ledger import IngestionRow, Lease
from autoloader.plan import Basis
from autoloader.schema import TableSchema

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASIS = Basis("orders", 3, "digest", 70, 1, "uuid")
TABLE = TableState(
    name="lake.orders",
    uuid="uuid",
    location="/lake/orders",
    schema=TableSchema(),
    schema_id=1,
    snapshot_id=70,
    partition_by=(),
    has_lineage=True,
    properties={},
    rows=None,
    size_bytes=None,
    data_files=None,
    schema_json="{}",
    history=(),
    branches={},
)
ROW = IngestionRow(
    name="orders", spec={}, spec_digest="digest", data_fingerprint="d", metadata_fingerprint="m", serial=3
)
LEASE = Lease("L", "orders", "load", "ann@host:1", 7, 120.0, NOW, NOW, NOW + timedelta(minutes=2))


def begun(*, done: bool = False) -> IngestionRow:
    """The ingestion after the plan was begun under the lease: the serial has moved by it."""
    return replace(ROW, serial=4, extra=with_plan(ROW, "plan", "L", done=done))


def test_a_plan_is_fresh_while_ledger_and_table_are_as_they_were() -> None:
    check_fresh("plan", BASIS, ROW, TABLE, {})


@pytest.mark.parametrize(
    ("row", "table"),
    [
        (replace(ROW, serial=4), TABLE),
        (ROW, replace(TABLE, snapshot_id=71)),
        (ROW, replace(TABLE, uuid="another")),
        (ROW, replace(TABLE, schema_id=2)),
        (ROW, None),
    ],
)
def test_a_saved_plan_is_stale_as_soon_as_anything_moved(row: IngestionRow, table: TableState | None) -> None:
    with pytest.raises(PlanStaleError):
        check_fresh("plan", BASIS, row, table, {})


def test_a_plan_that_was_cut_off_goes_on_where_it_stopped() -> None:
    check_fresh("plan", BASIS, begun(), replace(TABLE, snapshot_id=71), {})


def test_a_plan_that_somebody_is_applying_is_busy() -> None:
    with pytest.raises(LockBusyError, match="ann@host:1"):
        check_fresh("plan", BASIS, begun(), TABLE, {"L": LEASE})


def test_a_plan_that_was_carried_out_is_stale_even_when_others_came_after_it() -> None:
    later = replace(ROW, serial=9, extra=with_plan(begun(done=True), "another", "M", done=True))
    with pytest.raises(PlanStaleError, match="already"):
        check_fresh("plan", BASIS, later, TABLE, {})


def test_loads_go_on_beside_those_of_others() -> None:
    check_sound(BASIS, replace(ROW, serial=8), replace(TABLE, snapshot_id=99))


@pytest.mark.parametrize(
    ("row", "table"),
    [
        (None, TABLE),
        (replace(ROW, spec_digest="other"), TABLE),
        (ROW, replace(TABLE, uuid="another")),
        (ROW, replace(TABLE, schema_id=2)),
        (ROW, None),
    ],
)
def test_loads_do_not_go_on_under_another_spec_or_into_another_table(
    row: IngestionRow | None, table: TableState | None
) -> None:
    with pytest.raises(PlanStaleError):
        check_sound(BASIS, row, table)
