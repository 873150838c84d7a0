"""Where in a new schema the values go that rows of the old one have only in `_rescued`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autoloader.schema.changes import pairs
from autoloader.schema.types import Column, Decimal, ListOf, MapOf, Primitive, Struct, TableSchema, Type


@dataclass(frozen=True, slots=True)
class Place:
    """A column, or a field inside of structs, and the key that rows keep its value under in `_rescued`.

    Attributes:
        key: The key; case does not count.
        path: The column's name, then those of fields.
        type: What the value is to become.
    """

    key: str
    path: tuple[str, ...]
    type: Type


def places(old: TableSchema | None, new: TableSchema) -> tuple[Place, ...]:
    """Where values that had no place under `old` have one under `new`; each key and path once.

    Columns and fields that are new, and those whose type has become wider. A column that reads another name now
    is none of them: what it has is not null. Columns with bytes are left out, as `_rescued` has only their digits,
    and those with UUIDs inside of other types.

    Args:
        old: The columns before; None = every place of `new`.
        new: The columns that the table has now.
    """
    known = [(None, column) for column in new.columns] if old is None else pairs(old.columns, new.columns)[0]
    told = [(before, after) for before, after in known if _told(after.type)]
    return tuple(dict.fromkeys(p for before, after in told for p in _of_column(before, after, every=old is None)))


def _of_column(before: Column | None, after: Column, *, every: bool) -> Iterator[Place]:
    if before is None and not every:
        yield Place(after.file_name, (after.name,), after.type)
        return
    old = None if before is None else before.type
    if old == after.type:
        return
    yield Place(after.name if before is None else before.name, (after.name,), after.type)
    yield from _inside(after.file_name, (after.name,), old, after.type)


def _inside(key: str, path: tuple[str, ...], old: Type | None, new: Type) -> Iterator[Place]:
    """What a nested value had no place for: fields of structs by name, all else as the whole."""
    if old == new:
        return
    if not isinstance(new, Struct) or (old is not None and not isinstance(old, Struct)):
        yield Place(key, path, new)
        return
    known = {} if old is None else {f.name.casefold(): f.type for f in old.fields}
    for field in new.fields:
        inner = (f"{key}.{field.name}", (*path, field.name))
        if old is not None and field.name.casefold() not in known:
            yield Place(*inner, field.type)
        else:
            yield from _inside(*inner, known.get(field.name.casefold()), field.type)


def _told(kind: Type, depth: int = 0) -> bool:
    """Whether the JSON of a value says all of it."""
    match kind:
        case Primitive(name):
            return name != "binary" and (name != "uuid" or depth == 0)
        case Decimal():
            return True
        case ListOf(element):
            return _told(element, depth + 1)
        case MapOf(key, value):
            return _told(key, depth + 1) and _told(value, depth + 1)
        case Struct(fields):
            return all(_told(field.type, depth + 1) for field in fields)
