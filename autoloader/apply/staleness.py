"""Is the world still the one that the plan was made from? Asked per ingestion, under its lease.

A saved plan is held to the letter: what is recorded, the table and its snapshot are where they were. A plan that
the same apply made is held to what its loads rest on: loads of others beside it move serials and snapshots, but
take nothing away from a plan that claims each file only while nobody else has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import LeaseBusyError, PlanAppliedError, PlanStaleError
from autoloader.plan import Basis

if TYPE_CHECKING:
    from autoloader.lake import TableState
    from autoloader.ledger import IngestionRow, Lease

_PLAN_AGAIN: Final = "Plan again:\n  autoloader plan"
_REMEMBERED: Final = 20
_ADDED: Final = "added-data-files"  # a key of Iceberg's, left out where there are none


def check_fresh(
    plan_id: str,
    basis: Basis,
    recorded: IngestionRow | None,
    table: TableState | None,
    living: Mapping[str, Lease],
    *,
    replaces: bool = False,
) -> None:
    """Return if ledger and table are as planned, or as this very plan left them when it was cut off.

    Args:
        plan_id: The plan.
        basis: What it rests on, of one ingestion.
        recorded: What is recorded of it now.
        table: The table now.
        living: The live leases on the ingestion, by id.
        replaces: What is left of the plan takes every row out of the table, whoever loaded it.

    Raises:
        PlanStaleError: The ingestion's serial, the table or its snapshot moved, or the plan was applied already.
        LeaseBusyError: Somebody else is applying this very plan.
    """
    if is_resumed(plan_id, basis.ingestion, recorded, living):
        if replaces and table is not None:
            _check_untouched(plan_id, basis, table)
        return
    _check_serial(basis, recorded)
    check_table(basis, table)
    _check_snapshot(basis, table)


def _check_untouched(plan_id: str, basis: Basis, table: TableState) -> None:
    """Rows that came into the table since it was planned are this very plan's own."""
    since = table.since(basis.snapshot_id)
    if any(int(info.summary.get(_ADDED, "0")) and info.plan_id != plan_id for info in since):
        raise _stale(basis, "It was cut off, and others have loaded since: their rows would leave the table with it.")


def check_removal(basis: Basis, recorded: IngestionRow | None, table: TableState | None) -> None:
    """Return if an ingestion whose spec is gone is as it was when its removal was planned.

    Args:
        basis: What the plan rests on.
        recorded: What is recorded of it now.
        table: The table that is to be dropped; None where none is, or where it is gone already: who dropped it may
            have been cut off before the ledger forgot it.

    Raises:
        PlanAppliedError: It is forgotten already, and no table of it is left to drop.
        PlanStaleError: Something was loaded or changed since.
    """
    if recorded is None and table is None:
        raise _applied(basis.ingestion)
    _check_serial(basis, recorded)
    if table is not None:
        check_table(basis, table)
        _check_snapshot(basis, table)


def _check_serial(basis: Basis, recorded: IngestionRow | None) -> None:
    serial = recorded.serial if recorded is not None else 0
    if serial != basis.serial:
        raise _stale(basis, f"It was made at serial {basis.serial} of the ingestion; now it is {serial}.")


def _check_snapshot(basis: Basis, table: TableState | None) -> None:
    snapshot_id = table.snapshot_id if table is not None else None
    if snapshot_id != basis.snapshot_id:
        raise _stale(basis, f"Its table was at snapshot {basis.snapshot_id}; now it is at {snapshot_id}.")


def check_sound(basis: Basis, recorded: IngestionRow | None, table: TableState | None) -> None:
    """Return if loads can still be done as planned, whatever others have loaded meanwhile.

    Raises:
        PlanStaleError: The recorded spec, the table or its schema is another one.
    """
    if recorded is None or recorded.spec_digest != basis.spec_digest:
        raise _stale(basis, "What is recorded of the ingestion's spec has changed.")
    check_table(basis, table)


def check_table(basis: Basis, table: TableState | None) -> None:
    """Return if the table is the planned one, with the planned columns.

    Raises:
        PlanStaleError: It is another one, or its columns are.
    """
    found = (table.uuid, table.schema_id) if table is not None else (None, None)
    if found != (basis.table_uuid, basis.schema_id):
        raise _stale(basis, "Its table is another one now, or the columns of it are.")


def is_resumed(plan_id: str, name: str, recorded: IngestionRow | None, living: Mapping[str, Lease]) -> bool:
    """Whether this plan was begun here before, and cut off.

    Raises:
        PlanAppliedError: It was carried out to its end.
        LeaseBusyError: Somebody is at it.
    """
    begun = next((each for each in _plans(recorded) if each["plan_id"] == plan_id), None)
    if begun is None:
        return False
    if begun["done"]:
        raise _applied(name)
    if (lease := living.get(begun["lease"])) is not None:
        raise LeaseBusyError(
            f"This plan is being applied to {name} by {lease.holder}.",
            why=f"Its lock is {lease.id}.",
            fix=f"Wait for it to end, or share its work with a plan of your own:\n  autoloader apply --select {name}",
        )
    return True


def with_plan(
    recorded: IngestionRow | None, plan_id: str, lease_id: str, *, done: bool, once: str | None = None
) -> dict[str, Any]:
    """What is kept beside an ingestion, with a plan noted in it; only the last few plans stay.

    Args:
        recorded: The ingestion.
        plan_id: The plan.
        lease_id: The lease under which it is applied.
        done: Whether it is carried out to its end.
        once: A step of it that was done now and must not be done again; those that were noted before stay.
    """
    others = [each for each in _plans(recorded) if each["plan_id"] != plan_id]
    steps = [*sorted(done_once(recorded, plan_id)), *([once] if once is not None else [])]
    plans = [*others, {"plan_id": plan_id, "lease": lease_id, "done": done, "once": steps}][-_REMEMBERED:]
    return {**((recorded.extra if recorded is not None else None) or {}), "plans": plans}


def done_once(recorded: IngestionRow | None, plan_id: str) -> frozenset[str]:
    """Steps of a plan that were noted as done and would undo what came after them, if they were done again."""
    return frozenset(step for each in _plans(recorded) if each["plan_id"] == plan_id for step in each.get("once") or ())


def _plans(recorded: IngestionRow | None) -> list[dict[str, Any]]:
    """Plans that were applied to an ingestion, the newest last, each with its lease and whether it was done."""
    extra = recorded.extra if recorded is not None and recorded.extra else {}
    return list(extra.get("plans") or ())


def _applied(name: str) -> PlanAppliedError:
    return PlanAppliedError(f"This plan was applied to {name} already.", fix=f"Nothing is left to do. {_PLAN_AGAIN}")


def _stale(basis: Basis, why: str) -> PlanStaleError:
    return PlanStaleError(f"The plan for {basis.ingestion} is stale.", why=why, fix=_PLAN_AGAIN)
