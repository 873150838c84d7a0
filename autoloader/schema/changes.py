"""What changes between two schemas, how serious it is, and what a schema becomes under a contract.

The promotions are Iceberg's (int to long, float to double, a decimal of more precision and the same scale):
old data files stay readable without being rewritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from autoloader.schema.types import Column, Decimal, ListOf, MapOf, Primitive, Struct, TableSchema, Type


class ChangeClass(StrEnum):
    """How serious a schema change is."""

    METADATA = "metadata"  # the table's metadata only; no row changes its meaning
    ADDITIVE = "additive"  # a new optional column or field: null in old rows until files are read again
    NEEDS_VALUES = "needs_values"  # the shape stays, but values must come from the files again
    INCOMPATIBLE = "incompatible"  # old data files cannot be read under the new schema: rebuild


class ChangeKind(StrEnum):
    """What was done to a column."""

    ADD = "add"
    DROP = "drop"
    RENAME = "rename"
    WIDEN = "widen"
    RETYPE = "retype"
    SOURCE = "source"
    DESCRIBE = "describe"
    REORDER = "reorder"


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One change of one column or field.

    Attributes:
        kind: What was done.
        change_class: How serious it is.
        column: Its name in the new schema (in the old one for a drop); fields as `outer.inner`, elements of
            lists and maps as `outer.element`, `outer.key`, `outer.value`.
        before: Type, name, source or description before, as text; None: there was none.
        after: The same after.
    """

    kind: ChangeKind
    change_class: ChangeClass
    column: str
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        match self.kind:
            case ChangeKind.ADD:
                return f"add {self.column} {self.after}"
            case ChangeKind.DROP:
                return f"no longer read {self.column} {self.before} (kept in the table)"
            case ChangeKind.RENAME:
                return f"rename {self.before} to {self.after}"
            case ChangeKind.REORDER:
                return "reorder the columns"
            case _:
                return f"{self.kind.value} {self.column}: {self.before} -> {self.after}"


def is_promotion(old: Type, new: Type) -> bool:
    """Whether Iceberg reads old files of type `old` as `new` without rewriting them; equal types are not."""
    match old, new:
        case Primitive("int"), Primitive("long"):
            return True
        case Primitive("float"), Primitive("double"):
            return True
        case Decimal(p, s), Decimal(q, t):
            return q > p and s == t
        case _:
            return False


def compare(old: TableSchema, new: TableSchema) -> tuple[SchemaChange, ...]:
    """What turns `old` into `new`, in the order of the new schema, drops last. Empty: they are the same.

    A column is the same column when its name is (case does not count); a column of a new name that reads the
    name (`from`) of a column that is gone is a rename, and so is one that takes its name in the files back. Nothing
    is ever dropped from the table: a column that the new schema has not is reported as a drop and stays, null in
    new rows.
    """
    return tuple(_compare(old.columns, new.columns, ""))


def compare_in(table: TableSchema, old: TableSchema, new: TableSchema) -> tuple[SchemaChange, ...]:
    """As `compare`, for a table that still has columns that `old` does not name any more.

    Such a column is not added when it comes back: its type changes where it is another one, and no other column can
    be renamed to it.
    """
    kept = [c for c in compare(table, new) if c.kind in (ChangeKind.WIDEN, ChangeKind.RETYPE)]
    found: list[SchemaChange] = []
    for change in compare(old, new):
        types = [c for c in kept if f"{c.column}.".startswith(f"{change.column}.")]
        taken = table.find(change.column) is not None and table.find(change.before or "") is not None
        if change.kind is ChangeKind.ADD and types:
            found += types
        elif change.kind is ChangeKind.RENAME and taken and _differ(change.before, change.after):
            found.append(replace(change, change_class=ChangeClass.INCOMPATIBLE))
        else:
            found.append(change)
    return tuple(found)


def _differ(left: str | None, right: str | None) -> bool:
    return (left or "").casefold() != (right or "").casefold()


def renames(old: TableSchema, new: TableSchema) -> tuple[tuple[str, str], ...]:
    """(path in `old`, new name) of each column and field that `compare` finds renamed, outer ones first."""
    return tuple(_renames(Struct(old.columns), Struct(new.columns), ""))


def _renames(old: Type, new: Type, prefix: str) -> Iterator[tuple[str, str]]:
    match old, new:
        case Struct(before), Struct(after):
            for known, column in pairs(before, after)[0]:
                if known is None:
                    continue
                if known.name != column.name:
                    yield prefix + known.name, column.name
                yield from _renames(known.type, column.type, f"{prefix}{known.name}.")
        case ListOf(a), ListOf(b):
            yield from _renames(a, b, f"{prefix}element.")
        case MapOf(_, a), MapOf(_, b):
            yield from _renames(a, b, f"{prefix}value.")
        case _:
            return


def _compare(old: tuple[Column, ...], new: tuple[Column, ...], prefix: str) -> list[SchemaChange]:
    both, dropped = pairs(old, new)
    changes: list[SchemaChange] = []
    for before, after in both:
        name = prefix + after.name
        if before is None:
            changes.append(SchemaChange(ChangeKind.ADD, ChangeClass.ADDITIVE, name, None, str(after.type)))
            continue
        changes.extend(_column_changes(before, after, name))
    kept = [b.name.casefold() for b, _ in both if b is not None]
    if kept != [c.name.casefold() for c in old if c not in dropped]:
        changes.append(SchemaChange(ChangeKind.REORDER, ChangeClass.METADATA, prefix.rstrip(".")))
    changes.extend(SchemaChange(ChangeKind.DROP, ChangeClass.METADATA, prefix + c.name, str(c.type)) for c in dropped)
    return changes


def pairs(old: tuple[Column, ...], new: tuple[Column, ...]) -> tuple[list[tuple[Column | None, Column]], list[Column]]:
    """Every new column with the old one that it is, None = it is new; and the old ones that are gone."""
    left = {c.name.casefold(): c for c in old}
    found = {c.name.casefold(): left.pop(c.name.casefold(), None) for c in new}
    for column in new:
        if found[column.name.casefold()] is None:
            renamed = next((o for o in left.values() if o.file_name.casefold() == column.file_name.casefold()), None)
            if renamed is not None:
                found[column.name.casefold()] = left.pop(renamed.name.casefold())
    return [(found[c.name.casefold()], c) for c in new], list(left.values())


def _column_changes(old: Column, new: Column, name: str) -> list[SchemaChange]:
    changes: list[SchemaChange] = []
    meta = ChangeClass.METADATA
    if old.name != new.name:
        changes.append(SchemaChange(ChangeKind.RENAME, meta, name, old.name, new.name))
    changes.extend(_type_changes(old.type, new.type, name))
    if old.file_name.casefold() != new.file_name.casefold():
        changes.append(SchemaChange(ChangeKind.SOURCE, ChangeClass.NEEDS_VALUES, name, old.file_name, new.file_name))
    if old.description != new.description:
        changes.append(SchemaChange(ChangeKind.DESCRIBE, meta, name, old.description, new.description))
    return changes


def _type_changes(old: Type, new: Type, name: str) -> list[SchemaChange]:
    if old == new:
        return []
    if is_promotion(old, new):
        return [SchemaChange(ChangeKind.WIDEN, ChangeClass.METADATA, name, str(old), str(new))]
    match old, new:
        case Struct(before), Struct(after):
            return _compare(before, after, name + ".")
        case ListOf(before), ListOf(after):
            return _type_changes(before, after, name + ".element")
        case MapOf(key, before), MapOf(other_key, after) if key == other_key:
            return _type_changes(before, after, name + ".value")
        case _:
            return [SchemaChange(ChangeKind.RETYPE, ChangeClass.INCOMPATIBLE, name, str(old), str(new))]


def merge(left: Type, right: Type) -> Type:
    """The narrowest type that holds the values of both without losing any, `string` where there is no other.

    For inference over samples. Whole numbers and decimals merge into a decimal wide enough, or `double` where
    38 digits do not do; dates and timestamps into a timestamp; structs field by field.
    """
    if left == right:
        return left
    match left, right:
        case Struct(a), Struct(b):
            return Struct(union(TableSchema(a), TableSchema(b)).columns)
        case ListOf(a), ListOf(b):
            return ListOf(merge(a, b))
        case MapOf(a, x), MapOf(b, y):
            return MapOf(merge(a, b), merge(x, y))
        case _:
            return _merge_plain(left, right)


_RANK = ("int", "long", "float", "double")
_TIMES = ("date", "timestamp", "timestamptz")


def _merge_plain(left: Type, right: Type) -> Type:
    names = {str(left), str(right)}
    digits = [_digits(t) for t in (left, right)]
    if None not in digits and (isinstance(left, Decimal) or isinstance(right, Decimal)):
        scale = max(d[1] for d in digits if d)
        precision = max(d[0] for d in digits if d) + scale
        return Decimal(precision, scale) if precision <= 38 else Primitive("double")
    if "float" in names and names & {"int", "long"}:
        return Primitive("double")
    if names <= set(_RANK):
        return Primitive(max(names, key=_RANK.index))
    if "double" in names and (isinstance(left, Decimal) or isinstance(right, Decimal)):
        return Primitive("double")
    if names <= {"date", "timestamp"}:
        return Primitive("timestamp")
    return Primitive("string")


def _digits(kind: Type) -> tuple[int, int] | None:
    """Digits before the point and after it, of the exact numbers."""
    match kind:
        case Decimal(p, s):
            return p - s, s
        case Primitive("int"):
            return 10, 0
        case Primitive("long"):
            return 19, 0
        case _:
            return None


def union(left: TableSchema, right: TableSchema) -> TableSchema:
    """The columns of both, by name without regard to case, types merged; the left's names and order first."""
    columns = {c.name.casefold(): c for c in left.columns}
    for column in right.columns:
        known = columns.get(column.name.casefold())
        columns[column.name.casefold()] = (
            column if known is None else replace(known, type=merge(known.type, column.type))
        )
    return TableSchema(tuple(columns.values()))


def evolve(
    table: TableSchema,
    found: Iterable[Column],
    *,
    new_columns: Literal["add", "rescue", "ignore", "fail"] = "add",
    type_change: Literal["widen", "rescue", "fail"] = "widen",
) -> TableSchema:
    """The schema that the contract makes of `table` when files have the columns `found`.

    New columns and new fields of structs are appended under `add`; promotions happen under `widen`. Whatever
    else differs leaves the table as it is: the reader casts, rescues or rejects value by value.
    """
    by_name = {c.file_name.casefold(): c for c in table.columns}
    result = {c.name.casefold(): c for c in table.columns}
    for column in found:
        known = by_name.get(column.name.casefold())
        if known is not None:
            kind = _evolved(known.type, column.type, new_columns == "add", type_change == "widen")
            result[known.name.casefold()] = replace(known, type=kind)
        elif new_columns == "add" and column.name.casefold() not in result:
            result[column.name.casefold()] = column
    return TableSchema(tuple(result.values()))


def _evolved(table: Type, found: Type, add: bool, widen: bool) -> Type:
    match table, found:
        case Struct(a), Struct(b):
            evolved = evolve(
                TableSchema(a),
                b,
                new_columns="add" if add else "ignore",
                type_change="widen" if widen else "rescue",
            )
            return Struct(evolved.columns)
        case ListOf(a), ListOf(b):
            return ListOf(_evolved(a, b, add, widen))
        case MapOf(key, a), MapOf(_, b):
            return MapOf(key, _evolved(a, b, add, widen))
        case _:
            return found if widen and is_promotion(table, found) else table
