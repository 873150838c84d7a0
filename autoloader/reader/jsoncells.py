"""The cast table for JSON: scalars by the rules for texts, objects and arrays part by part, nothing dropped."""

from __future__ import annotations

from typing import Any

from autoloader.reader.cells import Cell, null_of, text_cell
from autoloader.reader.duck import literal
from autoloader.reader.jsonfile import as_array, as_map, as_object, merge_structures, pointer, spellings
from autoloader.reader.raw import RawColumn
from autoloader.reader.typed import either, mapped, packed
from autoloader.schema import Decimal, ListOf, MapOf, Primitive, Struct, Type

_UNMARK = r'"\\u0001([^"]*)"'


def json_column(column: RawColumn, target: Type) -> Cell:
    """A top-level key cast to the target."""
    if isinstance(target, Primitive | Decimal):
        return _plain(column.sql, column.scalar, target, column)
    return json_cell(column.sql, column.duck, target, column, 0)


def json_text(value: str, column: RawColumn) -> str:
    """A JSON expression as the text that stood in the file."""
    text = f"CAST({value} AS VARCHAR)"
    return f"regexp_replace({text}, {literal(_UNMARK)}, '\\1', 'g')" if column.exact else text


def _plain(value: str, scalar: str, target: Primitive | Decimal, column: RawColumn) -> Cell:
    if isinstance(target, Primitive) and target.name == "string":
        if not column.exact:
            return Cell(scalar, "false", "")
        nested = f"CASE WHEN json_type({value}) IN ('OBJECT', 'ARRAY') THEN {json_text(value, column)}"
        return Cell(f"{nested} ELSE {scalar} END", "false", "")
    return text_cell(scalar, target)


def json_cell(value: str, structure: Any, target: Type, column: RawColumn, depth: int) -> Cell:
    """A JSON expression, of which `structure` says what it can hold, cast to the target."""
    match target:
        case Primitive() | Decimal():
            scalar = f"({value} ->> '$')"
            return _plain(value, f"ltrim({scalar}, chr(1))" if column.exact else scalar, target, column)
        case ListOf(element):
            item = f"j{depth}"
            cell = json_cell(item, as_array(structure), element, column, depth + 1)
            items = f"CASE WHEN json_type({value}) = 'ARRAY' THEN from_json({value}, '[\"JSON\"]') END"
            return _of_kind(value, mapped(items, cell, item, "an element"), "ARRAY", target)
        case MapOf():
            return _map(value, as_map(structure), target, column, depth)
        case Struct(fields):
            cells: list[tuple[str, Cell]] = []
            for field in fields:
                part, inner = _part(value, structure, field.file_name)
                cell = Cell(null_of(field.type), "false", "")
                if part is not None:
                    cell = json_cell(part, inner, field.type, column, depth)
                cells.append((field.name, cell))
            present = f"coalesce(json_type({value}) = 'OBJECT', false)"
            return _of_kind(value, packed(present, cells), "OBJECT", target)


def _part(value: str, structure: Any, field: str) -> tuple[str | None, Any]:
    """The SQL of one field of a JSON object and its structure; None: no object has it."""
    known = as_object(structure)
    if known is None:
        own = f"list_filter(json_keys({value}), lambda k: lower(k) = {literal(field.lower())})[1]"
        escaped = f"'/' || replace(replace({own}, '~', '~0'), '/', '~1')"
        return f"CASE WHEN json_type({value}) = 'OBJECT' THEN json_extract({value}, {escaped}) END", None
    keys = spellings(known).get(field.casefold())
    if keys is None:
        return None, None
    parts = [f"json_extract({value}, {pointer(k)})" for k in keys]
    inner = known[keys[0]]
    for other in keys[1:]:
        inner = merge_structures(inner, known[other])
    return (parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"), inner


def _of_kind(value: str, cell: Cell, kind: str, target: Type) -> Cell:
    """`cell`, bad also where the JSON is of another kind than the target's."""
    strange = f"coalesce(json_type({value}) NOT IN ('{kind}', 'NULL'), false)"
    bad = strange if cell.bad == "false" else f"({strange} OR {cell.bad})"
    word = "list" if kind == "ARRAY" else ("map" if isinstance(target, MapOf) else "struct")
    error = f"is no {word}" + (f", or {cell.error}" if cell.error else "")
    return Cell(cell.value, bad, error)


def _map(value: str, structure: Any, target: MapOf, column: RawColumn, depth: int) -> Cell:
    item, key = f"j{depth}", target.key
    escaped = f"'/' || replace(replace({item}, '~', '~0'), '/', '~1')"
    key_cell = (
        text_cell(item, key)
        if isinstance(key, Primitive | Decimal)
        else Cell(null_of(key), "true", "has a key of a nested type")
    )
    value_cell = json_cell(f"json_extract({value}, {escaped})", structure, target.value, column, depth + 1)
    both = either(key_cell, value_cell)
    pair = Cell(f"struct_pack(key := {key_cell.value}, value := {value_cell.value})", both.bad, both.error)
    keys = f"CASE WHEN json_type({value}) = 'OBJECT' THEN json_keys({value}) END"
    entries = mapped(keys, pair, item, "an entry")
    typed = f"CASE WHEN json_type({value}) = 'OBJECT' THEN map_from_entries({entries.value}) END"
    return _of_kind(value, Cell(typed, entries.bad, entries.error), "OBJECT", target)


def unknown_parts(column: RawColumn, target: Type) -> list[tuple[str, str]]:
    """Parts of a nested key that the target has no field for: (dotted name, JSON expression).

    Below a list or map the whole key is given, because its parts have no single place.
    """
    return _unknown(column.name, column.sql, column.duck, target)


def _unknown(path: str, value: str, structure: Any, target: Type) -> list[tuple[str, str]]:
    match target:
        case Struct(fields):
            known = {f.file_name.casefold(): f for f in fields}
            inside = as_object(structure)
            if inside is None:
                return [(path, _if_strange(value, [f.file_name for f in fields]))]
            found: list[tuple[str, str]] = []
            for key, inner in inside.items():
                part = f"json_extract({value}, {pointer(key)})"
                field = known.get(key.casefold())
                if field is None:
                    found.append((f"{path}.{key}", part))
                else:
                    found.extend(_unknown(f"{path}.{key}", part, inner, field.type))
            return found
        case ListOf(element) | MapOf(_, element) if not isinstance(element, Primitive | Decimal):
            inner = as_array(structure) if isinstance(target, ListOf) else as_map(structure)
            strange = inner is None or _unknown(path, value, inner, element)
            whole = f"CASE WHEN json_type({value}) IN ('ARRAY', 'OBJECT') THEN {value} END"
            return [(path, whole)] if strange else []
        case _:
            return []


def _if_strange(value: str, fields: list[str]) -> str:
    """A JSON object that has a key besides the fields; null for every other value."""
    listed = ", ".join(literal(f.lower()) for f in fields)
    strange = f"len(list_filter(json_keys({value}), lambda k: lower(k) NOT IN ({listed}))) > 0"
    return f"CASE WHEN json_type({value}) = 'OBJECT' THEN CASE WHEN {strange} THEN {value} END END"
