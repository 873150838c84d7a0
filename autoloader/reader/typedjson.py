"""Typed values as JSON texts, digit by digit, and the parts of nested ones that a table has no place for."""

from __future__ import annotations

import json
from typing import Any, Final

from autoloader.reader.duck import literal
from autoloader.schema import ListOf, MapOf, Struct, Type

_LISTS: Final = ("list", "array")
_PLAIN_IN_JSON: Final = frozenset(
    "boolean tinyint smallint integer bigint utinyint usmallint uinteger varchar date timestamp uuid".split()
)


def json_of(value: str, kind: Any, depth: int = 0) -> str:
    """SQL of the JSON text of a value of a `DuckDBPyType`; null for null.

    DuckDB's own `to_json` makes doubles of decimals and writes bare NaN, which is no JSON.
    """
    if kind.id in _LISTS and not _is_plain(kind):
        item = f"t{depth}"
        inner = json_of(item, kind.children[0][1], depth + 1)
        return _brackets("[]", value, f"list_transform({value}, lambda {item}: coalesce({inner}, 'null'))")
    if kind.id == "map" and not _is_plain(kind):
        item, parts = f"t{depth}", dict(kind.children)
        key = f"CAST(to_json(CAST({item}.key AS VARCHAR)) AS VARCHAR)"
        entry = f"{key} || ':' || coalesce({json_of(f'{item}.value', parts['value'], depth + 1)}, 'null')"
        return _brackets("{}", value, f"list_transform(map_entries({value}), lambda {item}: {entry})")
    if kind.id == "struct" and not _is_plain(kind):
        fields = [
            f"{literal(json.dumps(n, ensure_ascii=False) + ':')}"
            f" || coalesce({json_of(_field(value, n), t, depth)}, 'null')"
            for n, t in kind.children
        ]
        return f"CASE WHEN {value} IS NOT NULL THEN '{{' || concat_ws(',', {', '.join(fields)}) || '}}' END"
    return _plain(value, kind.id)


def _plain(value: str, word: str) -> str:
    text = f"CAST({value} AS VARCHAR)"
    match word:
        case "decimal" | "hugeint" | "uhugeint" | "ubigint":
            return text
        case "float" | "double":
            return f"CASE WHEN isfinite({value}) THEN {text} ELSE '\"' || {text} || '\"' END"
        case "blob":
            return f"CAST(to_json(hex({value})) AS VARCHAR)"
        case "list" | "array" | "map" | "struct":
            return f"CASE WHEN {value} IS NOT NULL THEN CAST(to_json({value}) AS VARCHAR) END"
        case "json":
            known = f"CASE WHEN json_valid({text}) THEN {text} ELSE CAST(to_json({text}) AS VARCHAR) END"
            return f"CASE WHEN {value} IS NOT NULL THEN {known} END"
        case _ if word in _PLAIN_IN_JSON:
            return f"CASE WHEN {value} IS NOT NULL THEN CAST(to_json({value}) AS VARCHAR) END"
        case _:
            return f"CASE WHEN {value} IS NOT NULL THEN CAST(to_json({text}) AS VARCHAR) END"


def _brackets(pair: str, value: str, items: str) -> str:
    return f"CASE WHEN {value} IS NOT NULL THEN '{pair[0]}' || array_to_string({items}, ',') || '{pair[1]}' END"


def _field(value: str, name: str) -> str:
    return f"struct_extract({value}, {literal(name)})"


def _is_plain(kind: Any) -> bool:
    """Whether `to_json` writes all of a type as it is."""
    if kind.id in (*_LISTS, "map", "struct"):
        return all(_is_plain(t) for _, t in kind.children if not isinstance(t, int))
    return kind.id in _PLAIN_IN_JSON


def unknown_typed(path: str, value: str, kind: Any, target: Type, depth: int = 0) -> list[tuple[str, str, str]]:
    """Parts of a typed value that the target has no field for.

    Below a list or map the whole value is given where a part of it is unknown and not null, because its parts
    have no single place.

    Returns:
        (dotted name, SQL of its JSON text, SQL of whether there is something) of each.
    """
    match target:
        case Struct(fields) if kind.id == "struct":
            known = {f.file_name.casefold(): f.type for f in fields}
            found = []
            for name, inner in kind.children:
                part, dotted = _field(value, name), f"{path}.{name}"
                field = known.get(name.casefold())
                if field is None:
                    found.append((dotted, json_of(part, inner, depth), f"({part} IS NOT NULL)"))
                else:
                    found.extend(unknown_typed(dotted, part, inner, field, depth))
            return found
        case ListOf(element) if kind.id in _LISTS:
            return _below(path, value, kind, value, (kind.children[0][1], element), depth)
        case MapOf(_, element) if kind.id == "map":
            return _below(path, value, kind, f"map_values({value})", (dict(kind.children)["value"], element), depth)
        case _:
            return []


def _below(
    path: str, value: str, kind: Any, items: str, pair: tuple[Any, Type], depth: int
) -> list[tuple[str, str, str]]:
    item = f"u{depth}"
    inner = unknown_typed(path, item, *pair, depth + 1)
    if not inner:
        return []
    some = " OR ".join(there for _, _, there in inner)
    there = f"coalesce(list_bool_or(list_transform({items}, lambda {item}: {some})), false)"
    return [(path, f"CASE WHEN {there} THEN {json_of(value, kind, depth)} END", there)]
