"""Runs the query of `query` in a DuckDB of its own that sees four Arrow tables and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from autoloader.diff.query import diff_sql
from autoloader.diff.rules import BackfillRules, Rules
from autoloader.inmemory import in_memory
from autoloader.inventory import DIFF, INSTANT

if TYPE_CHECKING:
    import duckdb

_NAIVE: Final = pa.timestamp("ns")


def diff(
    listing: pa.Table, known: pa.Table, rules: Rules, *, beside: duckdb.DuckDBPyConnection | None = None
) -> pa.Table:
    """Give every listed or remembered file exactly one disposition, with a reason.

    Args:
        listing: Rows of `inventory.LISTING`, no path twice. Where only some prefixes were listed, files that
            `rules` put out of scope may be left out; every other file must be there, or it counts as missing.
        known: Rows of `inventory.LEDGER_SLICE` of the same ingestion, no path twice.
        rules: What decides.
        beside: A connection from `in_memory`, where several are compared: saves each a database of its own.

    Returns:
        Rows of `inventory.DIFF`, the work first in load order (live, asked for again, backfill slice by slice;
        within each by time as the spec orders it, then by path), everything else by path. The order of the
        inputs' rows does not matter.
    """
    with in_memory(beside) as con:
        con.register("listing", _naive(listing))
        con.register("known", _naive(known))
        con.register("slices", _slices(rules.backfill))
        con.register("unseen", _unseen(rules.unseen))
        result = con.sql(diff_sql(rules)).to_arrow_table()
    return _as_diff(result)


def _naive(table: pa.Table) -> pa.Table:
    """Instants without their zone (which is UTC): DuckDB keeps nanoseconds only then."""
    for number, field in enumerate(table.schema):
        if field.type == INSTANT:
            table = table.set_column(number, pa.field(field.name, _NAIVE), table.column(number).cast(_NAIVE))
    return table


def _slices(window: BackfillRules | None) -> pa.Table:
    slices = window.slices if window is not None else ()
    instant = pa.timestamp("us")
    first, last = datetime.min, datetime.max  # noqa: DTZ901 - naive, as all inside the query
    return pa.table(
        {
            "ordinal": pa.array(range(len(slices)), pa.int32()),
            "label": pa.array([s.label for s in slices], pa.string()),
            "from_at": pa.array([s.from_at or first for s in slices], instant),
            "until_at": pa.array([s.until_at or last for s in slices], instant),
        }
    )


def _unseen(paths: Sequence[str]) -> pa.Table:
    """Each path as it is, and as the folder that it may be."""
    both = {place for path in paths for place in (path, path.rstrip("/") + "/")}
    return pa.table({"path": pa.array(sorted(both), pa.string())})


def _as_diff(result: pa.Table) -> pa.Table:
    columns = []
    for field in DIFF:
        column = result.column(field.name)
        if field.type == INSTANT:
            column = column.cast(_NAIVE).cast(INSTANT)
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=DIFF)
