"""What a new schema does to a table that stands: in place where Iceberg can, else only by a rebuild."""

from __future__ import annotations

from autoloader.plan import Action, Block, Change, Operation, Reason
from autoloader.planner.loads import Case
from autoloader.schema import ChangeClass, SchemaChange, compare, to_data


def schema_change(case: Case) -> Change | None:
    """What brings the recorded schema to the wanted one; None where they are the same or unknown."""
    wanted = case.schema
    known = case.recorded.schema if case.recorded is not None else None
    if known is None and case.table is not None:
        known = case.table.schema
    if wanted is None or known is None or case.table is None:
        return None
    changes = compare(known, wanted)
    if not changes:
        return None
    worst = _worst(changes)
    return Change(
        ingestion=case.spec.name,
        actions=(Action.SCHEMA,),
        reason=Reason.SCHEMA_CHANGED,
        detail=f"{_listed(changes)} ({_MEANS[worst]})",
        before={
            "table": case.spec.destination.table,
            "schema": to_data(known),
            "schema_id": case.table.schema_id,
        },
        after={"table": case.spec.destination.table, "schema": to_data(wanted), "class": worst.value},
        operations=(
            Operation(
                "schema_changed",
                {
                    "class": worst.value,
                    "changes": [{"class": c.change_class.value, "change": str(c)} for c in changes],
                },
            ),
        ),
        blocked=_block(case, changes),
    )


_ORDER = (ChangeClass.METADATA, ChangeClass.ADDITIVE, ChangeClass.NEEDS_VALUES, ChangeClass.INCOMPATIBLE)
_MEANS = {
    ChangeClass.METADATA: "metadata only: nothing is loaded again",
    ChangeClass.ADDITIVE: "additive: null in the rows that are there",
    ChangeClass.NEEDS_VALUES: "needs values: rows that are there keep theirs until their files load again",
    ChangeClass.INCOMPATIBLE: "incompatible: only a rebuild can do it",
}


def _worst(changes: tuple[SchemaChange, ...]) -> ChangeClass:
    return max((change.change_class for change in changes), key=_ORDER.index)


def _listed(changes: tuple[SchemaChange, ...]) -> str:
    shown = "; ".join(str(change) for change in changes[:5])
    return shown + (f"; and {len(changes) - 5} more" if len(changes) > 5 else "")


def _block(case: Case, changes: tuple[SchemaChange, ...]) -> Block | None:
    if _worst(changes) != ChangeClass.INCOMPATIBLE or (case.refresh is not None and case.refresh[0] == "full"):
        return None
    bad = next(change for change in changes if change.change_class == ChangeClass.INCOMPATIBLE)
    return Block(
        "schema",
        f"{bad}: the rows of {case.spec.destination.table} cannot be read so."
        f" Rebuild the table aside and swap it in: autoloader plan --refresh {case.spec.name}=full",
    )
