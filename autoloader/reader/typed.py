"""The cast table for sources that already have types (Parquet, Avro, ORC): from one type to another, exactly.

A value that would lose digits, its range or its time of day is bad, never rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from autoloader.reader.cells import Cell, null_of, text_cell
from autoloader.reader.duck import duck_type, is_null, name
from autoloader.reader.typedjson import json_of
from autoloader.schema import Column, Decimal, ListOf, MapOf, Primitive, Struct, Type

_INTEGERS: Final = frozenset(
    "tinyint smallint integer bigint utinyint usmallint uinteger ubigint hugeint uhugeint".split()
)
_WIDENS: Final = {
    "int": frozenset({"tinyint", "smallint", "integer", "utinyint", "usmallint"}),
    "long": frozenset({"tinyint", "smallint", "integer", "utinyint", "usmallint", "uinteger", "bigint"}),
}
_TIMES: Final = frozenset({"timestamp", "timestamp_s", "timestamp_ms"})
_ZONED: Final = frozenset({"timestamptz", "timestamp with time zone"})
_TEXTS: Final = frozenset({"varchar", "json", "enum"})
_YEARS: Final = {
    "date": "NOT BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'",
    "timestamp": "NOT BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31 23:59:59.999999'",
}
_OUTSIDE: Final = "is outside the years 0001 to 9999"


@dataclass(frozen=True, slots=True)
class Kind:
    """A type that looks like a `DuckDBPyType`; `marked` is a VARCHAR whose numbers have its child in front."""

    id: str
    children: tuple[tuple[str, Any], ...] = ()


def typed_cell(value: str, source: Any, target: Type, depth: int = 0) -> Cell:
    """`value`, of the `DuckDBPyType` source, cast to the target."""
    if source.id == "marked":
        return typed_cell(f"ltrim({value}, {_text(source.children[0][0])})", Kind("varchar"), target, depth)
    if is_null(source):
        return Cell(null_of(target), "false", "")
    match target:
        case Struct(fields):
            return _struct(value, source, fields, target, depth)
        case ListOf(element):
            return _list(value, source, element, target, depth)
        case MapOf():
            return _map(value, source, target, depth)
        case Decimal():
            return _decimal(value, source, target)
        case Primitive():
            return _primitive(value, source, target)


def _misfit(value: str, source: Any, target: Type) -> Cell:
    return Cell(null_of(target), f"({value} IS NOT NULL)", f"is of type {source}, not {target}")


def _checked(value: str, typed: str, lost: str, error: str) -> Cell:
    """`typed`, bad where it is null or `lost`; null again where it is bad."""
    bad = f"({value} IS NOT NULL AND (({typed}) IS NULL OR coalesce({lost}, false)))"
    return Cell(f"CASE WHEN NOT {bad} THEN {typed} END", bad, error, typed)


def _primitive(value: str, source: Any, target: Primitive) -> Cell:
    word, kind = source.id, target.name
    if kind == "string":
        return _string(value, source)
    if word == "varchar":
        return text_cell(value, target)
    if word in _TEXTS:
        return text_cell(f"CAST({value} AS VARCHAR)", target)
    if kind in ("int", "long"):
        return _integer(value, source, target)
    if kind in ("float", "double"):
        return _floating(value, source, target)
    if kind in ("date", "timestamp", "timestamptz", "time"):
        return _temporal(value, source, target)
    if (kind, word) in (("boolean", "boolean"), ("uuid", "uuid"), ("binary", "blob")):
        return Cell(value, "false", "")
    if kind == "boolean" and word in _INTEGERS:
        return text_cell(f"CAST({value} AS VARCHAR)", target)
    if kind == "uuid" and word == "blob":
        return text_cell(f"CASE WHEN octet_length({value}) = 16 THEN lower(hex({value})) ELSE '' END", target)
    return _misfit(value, source, target)


def _string(value: str, source: Any) -> Cell:
    if source.id == "varchar":
        return Cell(value, "false", "")
    if source.id == "blob":
        typed = f"TRY(decode({value}))"
        return Cell(typed, f"({value} IS NOT NULL AND {typed} IS NULL)", "is not UTF-8 text")
    if source.id in ("list", "array", "map", "struct"):
        return Cell(json_of(value, source), "false", "")
    return Cell(f"CAST({value} AS VARCHAR)", "false", "")


def _integer(value: str, source: Any, target: Primitive) -> Cell:
    if source.id in _WIDENS[target.name]:
        return Cell(f"CAST({value} AS {duck_type(target)})", "false", "")
    if source.id in _INTEGERS:
        typed = f"TRY_CAST({value} AS {duck_type(target)})"
        return _checked(value, typed, "false", f"is out of the range of {target}")
    if source.id in ("decimal", "float", "double"):
        return text_cell(f"CAST({value} AS VARCHAR)", target)
    return _misfit(value, source, target)


def _floating(value: str, source: Any, target: Primitive) -> Cell:
    if source.id == target.name or (source.id == "float" and target.name == "double"):
        return Cell(f"CAST({value} AS {duck_type(target)})", "false", "")
    typed = f"TRY_CAST({value} AS {duck_type(target)})"
    if source.id == "double":
        lost = f"CAST({typed} AS DOUBLE) IS DISTINCT FROM {value}"
        return _checked(value, typed, lost, "has more digits than float holds")
    if source.id in _INTEGERS:
        lost = f"TRY_CAST({typed} AS HUGEINT) IS DISTINCT FROM CAST({value} AS HUGEINT)"
        return _checked(value, typed, lost, f"has more digits than {target} holds")
    if source.id == "decimal":
        exact = duck_type(Decimal(*dict(source.children).values()))
        lost = f"TRY_CAST(CAST({typed} AS VARCHAR) AS {exact}) IS DISTINCT FROM {value}"
        return _checked(value, typed, lost, f"has more digits than {target} holds")
    return _misfit(value, source, target)


def _decimal(value: str, source: Any, target: Decimal) -> Cell:
    if source.id == "varchar":
        return text_cell(value, target)
    if source.id in _INTEGERS or source.id == "decimal":
        sizes = dict(source.children) if source.id == "decimal" else {}
        if sizes == {"precision": target.precision, "scale": target.scale}:
            return Cell(value, "false", "")
        return text_cell(f"CAST({value} AS VARCHAR)", target)
    if source.id in ("float", "double") or source.id in _TEXTS:
        return text_cell(f"CAST({value} AS VARCHAR)", target)
    return _misfit(value, source, target)


def _temporal(value: str, source: Any, target: Primitive) -> Cell:
    word, kind = source.id, target.name
    nanos = word in ("timestamp_ns", "timestamptz_ns")
    if kind == "time":
        return _time(value, source, target)
    if not (word in _TIMES or word in _ZONED or word == "date" or nanos):
        return _misfit(value, source, target)
    if word == kind == "date":
        return _checked(value, value, f"{value} {_YEARS[kind]}", _OUTSIDE)
    zoned = word in _ZONED or word == "timestamptz_ns"
    micros = f"TRY_CAST({value} AS TIMESTAMP WITH TIME ZONE)" if zoned else f"TRY_CAST({value} AS TIMESTAMP)"
    local = f"({micros} AT TIME ZONE 'UTC')" if zoned else micros
    outside = f"{local} {_YEARS['timestamp']}"
    if kind == "date":
        typed = f"CAST({local} AS DATE)"
        lost = f"{outside} OR CAST({typed} AS TIMESTAMP) IS DISTINCT FROM {local}" + _below_micros(value, nanos)
        return _checked(value, typed, lost, "has a time of day, a date has none")
    typed = local if kind == "timestamp" else (micros if zoned else f"({micros} AT TIME ZONE 'UTC')")
    if nanos:
        return _checked(value, typed, "false" + _below_micros(value, nanos), "has digits below a microsecond")
    return _checked(value, typed, outside, _OUTSIDE)


def _time(value: str, source: Any, target: Primitive) -> Cell:
    if source.id == "time":
        return Cell(value, "false", "")
    if source.id == "time_ns":
        typed = f"CAST({value} AS TIME)"
        lost = f"CAST({typed} AS TIME_NS) IS DISTINCT FROM {value}"
        return _checked(value, typed, lost, "has digits below a microsecond")
    return _misfit(value, source, target)


def _below_micros(value: str, nanos: bool) -> str:
    return f" OR epoch_ns({value}) % 1000 <> 0" if nanos else ""


def _variable(depth: int) -> str:
    return f"x{depth}"


def _list(value: str, source: Any, element: Type, target: Type, depth: int) -> Cell:
    if source.id not in ("list", "array"):
        return _misfit(value, source, target)
    item = _variable(depth)
    cell = typed_cell(item, source.children[0][1], element, depth + 1)
    if cell.value == item and cell.bad == "false":
        return Cell(value, "false", "")
    return mapped(value, cell, item, "an element")


def mapped(items: str, cell: Cell, item: str, what: str) -> Cell:
    """A list expression with `cell` done to each `item`."""
    typed = f"list_transform({items}, lambda {item}: {cell.value})"
    if cell.bad == "false":
        return Cell(typed, "false", "")
    bad, doubt = (
        f"coalesce(list_bool_or(list_transform({items}, lambda {item}: {condition})), false)"
        for condition in (cell.bad, cell.strict_bad)
    )
    good = f"list_transform({items}, lambda {item}: {cell.strict_value})"
    return Cell(f"CASE WHEN NOT {bad} THEN {typed} END", bad, f"has {what} that {cell.error}", good, doubt)


def _map(value: str, source: Any, target: MapOf, depth: int) -> Cell:
    if source.id != "map":
        return _misfit(value, source, target)
    parts = dict(source.children)
    item = _variable(depth)
    key = typed_cell(f"{item}.key", parts["key"], target.key, depth + 1)
    entry = typed_cell(f"{item}.value", parts["value"], target.value, depth + 1)
    entries = mapped(f"map_entries({value})", paired(key, entry), item, "an entry")
    return map_of(f"{value} IS NOT NULL", entries, item)


def map_of(present: str, entries: Cell, item: str) -> Cell:
    """A map of the entries, null unless `present`; bad, too, where two of its keys are the same."""
    keys = f"list_transform({entries.value}, lambda {item}: {item}.key)"
    twice = f"coalesce(len({keys}) <> len(list_distinct({keys})), false)"
    bad, doubt = (f"({twice} OR {b})" for b in (entries.bad, entries.strict_bad))
    typed = f"CASE WHEN {present} AND NOT {bad} THEN map_from_entries({entries.value}) END"
    good = f"CASE WHEN {present} THEN map_from_entries({entries.strict_value}) END"  # raises where only `bad` holds
    error = "has a key twice" + (f", or {entries.error}" if entries.error else "")
    return Cell(typed, bad, error, good, doubt)


def paired(key: Cell, value: Cell) -> Cell:
    """A key and a value as one entry of a map; the sentence is that of the first that can be bad."""
    typed, good = (
        f"struct_pack(key := {k}, value := {v})"
        for k, v in ((key.value, value.value), (key.strict_value, value.strict_value))
    )
    bads = [c for c in (key, value) if c.bad != "false"]
    if not bads:
        return Cell(typed, "false", "")
    bad, doubt = (" OR ".join(parts) for parts in zip(*((c.bad, c.strict_bad) for c in bads), strict=True))
    return Cell(typed, f"({bad})", bads[0].error, good, f"({doubt})")


def _struct(value: str, source: Any, fields: tuple[Column, ...], target: Type, depth: int) -> Cell:
    if source.id != "struct":
        return _misfit(value, source, target)
    inner = {n.casefold(): (n, t) for n, t in source.children}
    cells: list[tuple[str, Cell]] = []
    for column in fields:
        found = inner.get(column.file_name.casefold())
        if found is None:
            cells.append((column.name, Cell(null_of(column.type), "false", "")))
        else:
            part = f"struct_extract({value}, {_text(found[0])})"
            cells.append((column.name, typed_cell(part, found[1], column.type, depth)))
    return packed(f"{value} IS NOT NULL", cells)


def packed(present: str, cells: list[tuple[str, Cell]]) -> Cell:
    """A struct of named cells, null unless `present`."""
    packs = ", ".join(f"{name(n)} := {c.value}" for n, c in cells)
    typed = f"CASE WHEN {present} THEN struct_pack({packs}) END"
    bads = [(n, c) for n, c in cells if c.bad != "false"]
    if not bads:
        return Cell(typed, "false", "")
    bad = f"({present} AND (" + " OR ".join(c.bad for _, c in bads) + "))"
    doubt = f"({present} AND (" + " OR ".join(c.strict_bad for _, c in bads) + "))"
    goods = ", ".join(f"{name(n)} := {c.strict_value}" for n, c in cells)
    good = f"CASE WHEN {present} THEN struct_pack({goods}) END"
    error = "; or ".join(f"has a field {n} that {c.error}" for n, c in bads[:3])
    return Cell(f"CASE WHEN NOT {bad} THEN {typed} END", bad, error, good, doubt)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
