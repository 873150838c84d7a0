"""Whether a plan still describes the world: spec, record and table of each change that may be applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from autoloader.plan import Plan
from autoloader.planner.facts import Recorded, State, TableFacts
from autoloader.spec import IngestionSpec, spec_digest


def stale(
    plan: Plan,
    state: State,
    tables: Mapping[str, TableFacts | None],
    specs: Sequence[IngestionSpec] | None = None,
    now: datetime | None = None,
) -> tuple[str, ...]:
    """Why a plan may no longer be applied; empty = it may.

    Files are not looked at here: a planned file that changed or vanished is left out of its batch by apply.

    Args:
        plan: The plan, read back.
        state: What the ledger has now.
        tables: Table name -> what the catalog has now; tables that are left out are not compared.
        specs: The specs as they stand on disk now; None = not compared.
        now: For the plan's end of life; None = not compared.
    """
    found = []
    if now is not None and plan.expires_at is not None and now > plan.expires_at:
        found.append(f"the plan expired at {plan.expires_at:%Y-%m-%d %H:%M} UTC")
    if plan.lineage != state.lineage:
        found.append(_other_state(plan.lineage, state.lineage))
    touched = {change.ingestion for change in plan.changes if change.blocked is None}
    recorded = {row.name: row for row in state.ingestions}
    digests = {spec.name: spec_digest(spec) for spec in specs} if specs is not None else None
    names = _names(plan)
    for basis in plan.basis:
        if basis.ingestion not in touched:
            continue
        row = recorded.get(basis.ingestion) or recorded.get(names.get(basis.ingestion, ""))
        found += _recorded_moved(basis.ingestion, basis.serial, row)
        if digests is not None and digests.get(basis.ingestion, "") != basis.spec_digest:
            found.append(f"the spec of {basis.ingestion} was edited")
        found += _table_moved(plan, basis.ingestion, tables)
    return tuple(found)


def _names(plan: Plan) -> dict[str, str]:
    """New name -> old name of what the plan renames."""
    return {c.ingestion: str((c.before or {}).get("name", "")) for c in plan.changes if "name" in (c.before or {})}


def _other_state(planned: str | None, now: str | None) -> str:
    if planned is None:
        return "the plan was made before there was a state"
    return "the state is gone" if now is None else "the plan belongs to another state"


def _recorded_moved(name: str, serial: int, row: Recorded | None) -> list[str]:
    now = row.serial if row is not None else 0
    return [] if now == serial else [f"what is recorded of {name} has moved (serial {serial} -> {now})"]


def _table_moved(plan: Plan, name: str, tables: Mapping[str, TableFacts | None]) -> list[str]:
    basis = next(b for b in plan.basis if b.ingestion == name)
    table = next(
        (
            str(value["table"])
            for c in plan.changes
            if c.ingestion == name
            for value in (c.after, c.before)
            if value and value.get("table")
        ),
        None,
    )
    if table is None or table not in tables:
        return []
    facts = tables[table]
    if (facts.uuid if facts else None) != basis.table_uuid:
        return [
            f"the table {table} is another one or gone" if basis.table_uuid else f"the table {table} was made meanwhile"
        ]
    if (facts.snapshot_id if facts else None) != basis.snapshot_id:
        return [
            f"the table {table} was written meanwhile"
            f" (snapshot {basis.snapshot_id} -> {facts.snapshot_id if facts else None})"
        ]
    if (facts.schema_id if facts else None) != basis.schema_id:
        return [f"the schema of {table} changed meanwhile"]
    return []
