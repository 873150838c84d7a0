"""What a new schema does to a table that stands: in place where Iceberg can, else only by a rebuild."""

from __future__ import annotations

from dataclasses import replace

from autoloader.plan import Action, Block, Change, Operation, Reason
from autoloader.planner.facts import Rescued, TableFacts
from autoloader.planner.impacts import rewriting
from autoloader.planner.loads import Case
from autoloader.schema import ChangeClass, SchemaChange, TableSchema, compare_in, to_data
from autoloader.spec import partition_field


def schema_change(case: Case) -> Change | None:
    """What brings the recorded schema to the wanted one; None where they are the same or unknown."""
    wanted, table = case.schema, case.table or case.moving
    known = case.recorded.schema if case.recorded is not None else None
    if known is None and table is not None:
        known = table.schema
    if wanted is None or known is None or table is None:
        return None
    changes = compare_in(table.schema, known, wanted)
    if not changes:
        return None if case.rescued is None else _filled(case, case.rescued, table, known)
    worst = _worst(changes)
    changed = Change(
        ingestion=case.spec.name,
        actions=(Action.SCHEMA,),
        reason=Reason.SCHEMA_CHANGED,
        detail=f"{_listed(changes)} ({_MEANS[worst]})",
        before={
            "table": case.spec.destination.table,
            "schema": to_data(known),
            "schema_id": table.schema_id,
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
    return changed if case.rescued is None else _with_values(case, changed, case.rescued)


def _filled(case: Case, rescued: Rescued, table: TableFacts, schema: TableSchema) -> Change:
    """The columns stay; rows get the values that fit them by now."""
    name = case.spec.destination.table
    alone = Change(
        ingestion=case.spec.name,
        actions=(Action.SCHEMA,),
        reason=Reason.SCHEMA_CHANGED,
        detail=f"--fill {case.spec.name}=rescued asks for what rows of {name} have in _rescued",
        before={"table": name, "schema": to_data(schema), "schema_id": table.schema_id},
        after={"table": name, "schema": to_data(schema), "class": ChangeClass.NEEDS_VALUES.value},
    )
    return _with_values(case, alone, rescued)


def _with_values(case: Case, change: Change, rescued: Rescued) -> Change:
    """A change of columns that also fills them in the rows that are there, out of `_rescued`, with its price."""
    number = rescued.rows
    step = Operation(
        "rescued_filled",
        {
            "columns": list(rescued.columns),
            "rows": number,
            "data_files": rescued.data_files,
            "bytes": rescued.size_bytes,
            "class": ChangeClass.NEEDS_VALUES.value,
            "every_column": case.asked.fill.get(case.spec.name) == "rescued",
        },
    )
    rows = f"{number:,} row{'s' * (number != 1)} {'have' if number != 1 else 'has'}"
    return replace(
        change,
        detail=f"{change.detail}; {rows} values of {', '.join(rescued.columns)} in _rescued, no file is read for them",
        impact=rewriting(case.spec, case.settings, rescued.data_files, rescued.size_bytes),
        operations=(*change.operations, step),
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
    if _worst(changes) != ChangeClass.INCOMPATIBLE:
        return None
    unfit = [change for change in changes if change.change_class == ChangeClass.INCOMPATIBLE]
    if kept := next((change for change in unfit if change.column.casefold() in _partitions(case)), None):
        return Block(
            "schema",
            f"{kept}: {case.spec.destination.table} is partitioned by its values, and Iceberg keeps the name for them."
            f" Give the new column another name (from: {kept.column}), and rebuild:"
            f" autoloader plan --refresh {case.spec.name}=full",
        )
    if case.refresh is not None and case.refresh[0] == "full":
        return None
    bad = unfit[0]
    return Block(
        "schema",
        f"{bad}: the rows of {case.spec.destination.table} cannot be read so."
        f" Rebuild the table aside and swap it in: autoloader plan --refresh {case.spec.name}=full",
    )


def _partitions(case: Case) -> frozenset[str]:
    """Columns whose values themselves partition the table, in lower case."""
    destination = (case.recorded.spec.get("destination") or {}) if case.recorded is not None else {}
    fields = map(partition_field, destination.get("partition_by") or ())
    return frozenset(field.column.casefold() for field in fields if field.transform == "identity")
