"""The cast table for JSON: scalars by the rules for texts, objects and arrays part by part, nothing dropped."""

from __future__ import annotations

from typing import Any, Final

from autoloader.reader.cells import Cell, null_of, text_cell
from autoloader.reader.duck import literal
from autoloader.reader.jsonlook import (
    as_array,
    as_map,
    as_object,
    escaped_pointer,
    in_json,
    merge_structures,
    pointer,
    repeats,
    spellings,
)
from autoloader.reader.raw import RawColumn
from autoloader.reader.typed import Kind, map_of, mapped, packed, paired, typed_cell
from autoloader.schema import Decimal, ListOf, MapOf, Primitive, Struct, Type

_NUMBERS: Final = r"""((?:"(?:[^"\\]|\\.)*"|[^"0-9-]|-[^0-9"])*)(-?[0-9][0-9.eE+-]*|$)"""


def marked_numbers(text: str, mark: str) -> str:
    """SQL of a JSON text with a text in the place of each number: the mark and its digits."""
    marked = rf'\1"\{in_json(mark)}\2"'
    return f"left(regexp_replace({text}, {literal(_NUMBERS)}, {literal(marked)}, 'g'), -8)"


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
    if not column.mark:
        return text
    marked = rf'"\{in_json(column.mark)}([^"]*)"'
    return f"regexp_replace({text}, {literal(marked)}, '\\1', 'g')"


def _plain(value: str, scalar: str, target: Primitive | Decimal, column: RawColumn) -> Cell:
    if isinstance(target, Primitive) and target.name == "string":
        if not column.mark:
            return Cell(scalar, "false", "")
        nested = f"CASE WHEN json_type({value}) IN ('OBJECT', 'ARRAY') THEN {json_text(value, column)}"
        return Cell(f"{nested} ELSE {scalar} END", "false", "")
    return text_cell(scalar, target)


def json_cell(value: str, structure: Any, target: Type, column: RawColumn, depth: int) -> Cell:
    """A JSON expression, of which `structure` says what it can hold, cast to the target."""
    match target:
        case Primitive() | Decimal():
            scalar = f"({value} ->> '$')"
            return _plain(value, f"ltrim({scalar}, {literal(column.mark)})" if column.mark else scalar, target, column)
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
            cell = packed(present, cells)
            return _of_kind(value, _without_repeats(value, cell) if column.repeats else cell, "OBJECT", target)


def _without_repeats(value: str, cell: Cell) -> Cell:
    """`cell`, bad also where the object has a key twice."""
    twice = f"(json_type({value}) = 'OBJECT' AND coalesce({repeats(f'json_keys({value})', True)}, false))"
    bad, doubt = (twice if b == "false" else f"({twice} OR {b})" for b in (cell.bad, cell.strict_bad))
    error = "has a key twice (case does not count)" + (f", or {cell.error}" if cell.error else "")
    return Cell(f"CASE WHEN NOT {twice} THEN {cell.value} END", bad, error, cell.strict_value, doubt)


def _part(value: str, structure: Any, field: str) -> tuple[str | None, Any]:
    """The SQL of one field of a JSON object and its structure; None: no object has it."""
    known = as_object(structure)
    if known is None:
        own = f"list_filter(json_keys(o), lambda k: lower(k) = {literal(field.lower())})[1]"
        part = f"CASE WHEN json_type(o) = 'OBJECT' THEN json_extract(o, {escaped_pointer(own)}) END"
        return f"list_transform([{value}], lambda o: {part})[1]", None  # named once: it doubles with each level else
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
    key_cell = (
        text_cell(item, key)
        if isinstance(key, Primitive | Decimal)
        else Cell(null_of(key), "true", "has a key of a nested type")
    )
    value_cell = json_cell(
        f"json_extract({value}, {escaped_pointer(item)})", structure, target.value, column, depth + 1
    )
    keys = f"CASE WHEN json_type({value}) = 'OBJECT' THEN json_keys({value}) END"
    entries = mapped(keys, paired(key_cell, value_cell), item, "an entry")
    cell = map_of(f"json_type({value}) = 'OBJECT'", entries, item)
    return _of_kind(value, cell, "OBJECT", target)


def shape_of(structure: Any, target: Type, mark: str) -> tuple[Any, Kind] | None:
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
                part = shape_of(structure[keys[0]], field.type, mark) if len(keys) == 1 else None
                if len(keys) > 1 or (keys and part is None):
                    return None
                if part is not None:
                    parts[keys[0]] = part
            kinds = tuple((key, kind) for key, (_, kind) in parts.items())
            return ({key: part for key, (part, _) in parts.items()}, Kind("struct", kinds)) if parts else None
        case ListOf(element) if isinstance(structure, list):
            inner = shape_of(structure[0] if structure else "NULL", element, mark)
            return None if inner is None else ([inner[0]], Kind("list", (("child", inner[1]),)))
        case Primitive() | Decimal() if isinstance(structure, str) and structure != "JSON":
            return "VARCHAR", Kind("marked", ((mark, None),)) if mark else Kind("varchar")
        case _:
            return None


def unknown_parts(column: RawColumn, target: Type) -> list[tuple[str, str]]:
    """Parts of a nested key that the target has no field for: (dotted name, JSON expression).

    Below a list or map the whole key is given where a part of it is unknown, because its parts have no single
    place. Nulls are not worth keeping.
    """
    return _unknown(column.name, column.sql, column.duck, target, 0)


def _unknown(path: str, value: str, structure: Any, target: Type, depth: int) -> list[tuple[str, str]]:
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
                    found.append((f"{path}.{key}", f"CASE WHEN json_type({part}) <> 'NULL' THEN {part} END"))
                else:
                    found.extend(_unknown(f"{path}.{key}", part, inner, field.type, depth))
            return found
        case ListOf(element):
            item = f"w{depth}"
            items = f"CASE WHEN json_type({value}) = 'ARRAY' THEN from_json({value}, '[\"JSON\"]') END"
            return _below(path, value, items, item, _unknown(path, item, as_array(structure), element, depth + 1))
        case MapOf(_, element):
            item = f"w{depth}"
            items = f"CASE WHEN json_type({value}) = 'OBJECT' THEN json_keys({value}) END"
            entry = f"json_extract({value}, {escaped_pointer(item)})"
            return _below(path, value, items, item, _unknown(path, entry, as_map(structure), element, depth + 1))
        case _:
            return []


def _below(path: str, value: str, items: str, item: str, parts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if not parts:
        return []
    there = " OR ".join(f"({sql}) IS NOT NULL" for _, sql in parts)
    some = f"coalesce(list_bool_or(list_transform({items}, lambda {item}: {there})), false)"
    return [(path, f"CASE WHEN {some} THEN {value} END")]


def _if_strange(value: str, fields: list[str]) -> str:
    """A JSON object that has a key besides the fields, and not null; null for every other value."""
    listed = ", ".join(literal(f.lower()) for f in fields)
    known = f"lower(k) IN ({listed}) OR json_type({value}, {escaped_pointer('k')}) = 'NULL'"
    strange = f"len(list_filter(json_keys({value}), lambda k: NOT ({known}))) > 0"
    return f"CASE WHEN json_type({value}) = 'OBJECT' THEN CASE WHEN {strange} THEN {value} END END"
