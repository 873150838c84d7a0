"""The cast table for JSON: scalars by the rules for texts, objects and arrays part by part, nothing dropped."""

from __future__ import annotations

from typing import Any

from autoloader.reader.cells import Cell, null_of, text_cell
from autoloader.reader.duck import literal
from autoloader.reader.jsonfile import pointer, spellings
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
            inner = structure[0] if isinstance(structure, list) and structure else None
            cell = json_cell(item, inner, element, column, depth + 1)
            items = f"CASE WHEN json_type({value}) = 'ARRAY' THEN from_json({value}, '[\"JSON\"]') END"
            return _of_kind(value, mapped(items, cell, item, "an element"), "ARRAY", target)
        case MapOf(key, entry):
            return _map(value, key, entry, target, column, depth)
        case Struct(fields):
            known = structure if isinstance(structure, dict) else {}
            names = spellings(known)
            cells: list[tuple[str, Cell]] = []
            for field in fields:
                keys = names.get(field.file_name.casefold())
                if keys is None:
                    cells.append((field.name, Cell(null_of(field.type), "false", "")))
                    continue
                parts = [f"json_extract({value}, {pointer(k)})" for k in keys]
                part = parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"
                cells.append((field.name, json_cell(part, known[keys[0]], field.type, column, depth)))
            present = f"coalesce(json_type({value}) = 'OBJECT', false)"
            return _of_kind(value, packed(present, cells), "OBJECT", target)


def _of_kind(value: str, cell: Cell, kind: str, target: Type) -> Cell:
    """`cell`, bad also where the JSON is of another kind than the target's."""
    strange = f"coalesce(json_type({value}) NOT IN ('{kind}', 'NULL'), false)"
    bad = strange if cell.bad == "false" else f"({strange} OR {cell.bad})"
    word = "list" if kind == "ARRAY" else ("map" if isinstance(target, MapOf) else "struct")
    error = f"is no {word}" + (f", or {cell.error}" if cell.error else "")
    return Cell(cell.value, bad, error)


def _map(value: str, key: Type, entry: Type, target: Type, column: RawColumn, depth: int) -> Cell:
    item = f"j{depth}"
    escaped = f"'/' || replace(replace({item}, '~', '~0'), '/', '~1')"
    key_cell = (
        text_cell(item, key)
        if isinstance(key, Primitive | Decimal)
        else Cell(null_of(key), "true", "has a key of a nested type")
    )
    value_cell = json_cell(f"json_extract({value}, {escaped})", None, entry, column, depth + 1)
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
        case Struct(fields) if isinstance(structure, dict):
            known = {f.file_name.casefold(): f for f in fields}
            found: list[tuple[str, str]] = []
            for key, inner in structure.items():
                part = f"json_extract({value}, {pointer(key)})"
                field = known.get(key.casefold())
                if field is None:
                    found.append((f"{path}.{key}", part))
                else:
                    found.extend(_unknown(f"{path}.{key}", part, inner, field.type))
            return found
        case ListOf(element) if isinstance(structure, list) and structure:
            return [(path, value)] if _unknown(path, value, structure[0], element) else []
        case _:
            return []
