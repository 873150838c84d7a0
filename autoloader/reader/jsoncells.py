"""The cast table for JSON: scalars by the rules for texts, objects and arrays part by part, nothing dropped."""

from __future__ import annotations

from typing import Any

from autoloader.reader.cells import Cell, null_of, text_cell
from autoloader.reader.duck import literal
from autoloader.reader.jsonlook import as_array, as_map, as_object, merge_structures, pointer, spellings
from autoloader.reader.raw import RawColumn
from autoloader.reader.typed import Kind, mapped, packed, paired, typed_cell
from autoloader.schema import Decimal, ListOf, MapOf, Primitive, Struct, Type

_UNMARK = r'"\\u0001([^"]*)"'


def json_column(column: RawColumn, target: Type) -> Cell:
    """A top-level key cast to the target."""
    if isinstance(target, Primitive | Decimal):
        return _plain(column.sql, column.scalar, target, column)
    if column.shape is not None:
        return typed_cell(column.shaped, column.shape, target)
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
    doubt = strange if cell.bad == "false" else f"({strange} OR {cell.strict_bad})"
    return Cell(cell.value, bad, error, cell.strict_value, doubt)


def _map(value: str, structure: Any, target: MapOf, column: RawColumn, depth: int) -> Cell:
    item, key = f"j{depth}", target.key
    escaped = f"'/' || replace(replace({item}, '~', '~0'), '/', '~1')"
    key_cell = (
        text_cell(item, key)
        if isinstance(key, Primitive | Decimal)
        else Cell(null_of(key), "true", "has a key of a nested type")
    )
    value_cell = json_cell(f"json_extract({value}, {escaped})", structure, target.value, column, depth + 1)
    keys = f"CASE WHEN json_type({value}) = 'OBJECT' THEN json_keys({value}) END"
    entries = mapped(keys, paired(key_cell, value_cell), item, "an entry")
    typed, good = (
        f"CASE WHEN json_type({value}) = 'OBJECT' THEN map_from_entries({each}) END"
        for each in (entries.value, entries.strict_value)
    )
    cell = Cell(typed, entries.bad, entries.error, good, entries.strict_bad)
    return _of_kind(value, cell, "OBJECT", target)


def shape_of(structure: Any, target: Type, exact: bool) -> tuple[Any, Kind] | None:
    """How DuckDB can take a JSON value apart in one go without losing anything of what the target wants.

    Returns:
        The structure for `from_json`, and the type that comes out; None: some value is of another kind than
        the target, or names differ in case only: it must be taken apart value by value.
    """
    match target:
        case Struct(fields) if isinstance(structure, dict) and "" not in structure:
            names = spellings(structure)
            parts: dict[str, tuple[Any, Kind]] = {}
            for field in fields:
                keys = names.get(field.file_name.casefold(), [])
                part = shape_of(structure[keys[0]], field.type, exact) if len(keys) == 1 else None
                if len(keys) > 1 or (keys and part is None):
                    return None
                if part is not None:
                    parts[keys[0]] = part
            kinds = tuple((key, kind) for key, (_, kind) in parts.items())
            return ({key: part for key, (part, _) in parts.items()}, Kind("struct", kinds)) if parts else None
        case ListOf(element) if isinstance(structure, list):
            inner = shape_of(structure[0] if structure else "NULL", element, exact)
            return None if inner is None else ([inner[0]], Kind("list", (("child", inner[1]),)))
        case Primitive() | Decimal() if isinstance(structure, str) and structure != "JSON":
            return "VARCHAR", Kind("marked" if exact else "varchar")
        case _:
            return None


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
