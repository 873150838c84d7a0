"""What the records of JSON files hold: which keys, of which kinds, at every depth; and which are broken.

Every record is looked at, so that a key that only the last one has is seen. Keys first, then the kinds of
their values, then the insides of those that are objects or arrays: each only where there is something to see.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from autoloader.reader.duck import literal
from autoloader.schema import Column, ListOf, Primitive, Struct, TableSchema, Type, union

if TYPE_CHECKING:
    import duckdb

_KINDS: Final = {
    "BOOLEAN": "boolean",
    "UBIGINT": "long",
    "BIGINT": "long",
    "DOUBLE": "double",
    "VARCHAR": "string",
    "NULL": "string",
    "JSON": "string",
}
_LONG: Final = "[0-9][0-9.]{15,}"


@dataclass(slots=True)
class Look:
    """What one look over all records of a file has found.

    Attributes:
        records: Records, blank lines left out.
        broken: Those that are no JSON.
        strangers: Those that are JSON, but no object.
        doubles: Those that have a key twice.
        long_numbers: Whether a number may have more digits than a double holds.
        first_is_broken: Whether the first record is.
        last_is_broken: Whether the last one is.
        structure: The keys of all objects and what they hold.
    """

    records: int = 0
    broken: int = 0
    strangers: int = 0
    doubles: int = 0
    long_numbers: bool = False
    first_is_broken: bool = False
    last_is_broken: bool = False
    structure: dict[str, Any] = field(default_factory=dict)


def looks(con: duckdb.DuckDBPyConnection, relation: str) -> dict[int, Look]:
    """One look over all records of a relation of `line`, `__row` and `__file`; by file."""
    valid = f"(SELECT *, CASE WHEN json_valid(line) THEN line END AS good FROM ({relation}))"
    found = _keys(con, valid)
    objects = f"(SELECT *, line AS good FROM ({relation}))"
    if any(look.broken or look.strangers for look in found.values()):
        is_object = "CASE WHEN good IS NULL THEN false ELSE json_type(good) = 'OBJECT' END"
        objects = f"(SELECT * FROM {valid} WHERE {is_object})"
    keys = list(dict.fromkeys(key for look in found.values() for key in look.structure))
    if not keys:
        return found
    for index, kinds in _kinds(con, objects, keys):
        structure = found[index].structure
        for key, kind in zip(keys, kinds, strict=True):
            if kind is not None and key in structure:
                structure[key] = merge_structures(structure[key], _PLACES.get(kind, kind))
    for key in keys:
        if any(_has_parts(look.structure.get(key)) for look in found.values()):
            for index, text in _insides(con, objects, key):
                structure = found[index].structure
                structure[key] = merge_structures(structure[key], json.loads(text))
    return found


_PLACES: Final[dict[str, Any]] = {"OBJECT": {}, "ARRAY": []}


def _has_parts(structure: Any) -> bool:
    return any(isinstance(option, dict | list) for option in _options(structure))


def _keys(con: duckdb.DuckDBPyConnection, valid: str) -> dict[int, Look]:
    rows = con.execute(
        "SELECT __file, keys, count(*), count(*) FILTER (good IS NULL),"
        " count(*) FILTER (json_type(good) <> 'OBJECT'),"
        f" bool_or(regexp_matches(line, '{_LONG}')), max(__row),"
        " min(__row) FILTER (good IS NULL), max(__row) FILTER (good IS NULL)"
        f" FROM (SELECT *, json_keys(good) AS keys FROM {valid}) GROUP BY __file, keys ORDER BY __file, min(__row)"
    ).fetchall()
    found: dict[int, Look] = {}
    last: dict[int, tuple[int, int]] = {}
    for index, keys, records, broken, strangers, long, last_row, first_broken, last_broken in rows:
        look = found.setdefault(index, Look())
        look.records += records
        look.broken += broken
        look.strangers += strangers
        look.long_numbers |= bool(long)
        look.first_is_broken |= first_broken == 0
        look.structure.update(dict.fromkeys((k for k in keys or () if k not in look.structure), "NULL"))
        if keys and len({k.casefold() for k in keys}) < len(keys):
            look.doubles += records
        rows_so_far, broken_so_far = last.get(index, (-1, -1))
        broken_row = -1 if last_broken is None else last_broken
        last[index] = (max(rows_so_far, last_row), max(broken_so_far, broken_row))
        look.last_is_broken = last[index][0] == last[index][1]
    return found


def _kinds(con: duckdb.DuckDBPyConnection, objects: str, keys: Iterable[str]) -> list[tuple[int, list[str | None]]]:
    """Per file, the kinds that stand side by side in its records, in the order of the keys."""
    pointers = ", ".join(pointer(k) for k in keys)
    return con.execute(f"SELECT DISTINCT __file, json_type(good, [{pointers}]) FROM {objects}").fetchall()


def _insides(con: duckdb.DuckDBPyConnection, objects: str, key: str) -> list[tuple[int, str]]:
    """Per file, the structures of the objects and arrays of one key."""
    inside = f"json_extract(good, {pointer(key)})"
    return con.execute(
        f"SELECT DISTINCT __file, CAST(json_structure(inside) AS VARCHAR) FROM (SELECT __file, {inside} AS inside"
        f" FROM {objects}) WHERE json_type(inside) IN ('OBJECT', 'ARRAY')"
    ).fetchall()


def merge_structures(left: Any, right: Any) -> Any:
    """One structure for the values of both; `JSON` where they are of different kinds."""
    if left == right or right == "NULL":
        return left
    if left == "NULL":
        return right
    if isinstance(left, dict) and isinstance(right, dict):
        merged = dict(left)
        for key, inner in right.items():
            merged[key] = merge_structures(merged[key], inner) if key in merged else inner
        return merged
    if isinstance(left, list) and isinstance(right, list):
        if not (left and right):
            return left or right
        return [merge_structures(left[0], right[0])]
    numbers = ("UBIGINT", "BIGINT", "DOUBLE")
    if left in numbers and right in numbers:
        return max(left, right, key=numbers.index)
    if not isinstance(left, dict | list | tuple) and not isinstance(right, dict | list | tuple):
        return "JSON" if "JSON" in (left, right) else ("scalar", left, right)
    return _mixed([*_options(left), *_options(right)])


def _options(structure: Any) -> list[Any]:
    return list(structure[1:]) if isinstance(structure, tuple) else [structure]


def _mixed(options: list[Any]) -> Any:
    """Values of several kinds: the objects as one, the arrays as one, the scalars by name."""
    result: list[Any] = ["mixed"]
    for kind in (dict, list):
        alike = [o for o in options if isinstance(o, kind)]
        if alike:
            merged = alike[0]
            for other in alike[1:]:
                merged = merge_structures(merged, other)
            result.append(merged)
    result.extend(dict.fromkeys(o for o in options if isinstance(o, str)))
    return tuple(result)


def as_object(structure: Any) -> dict[str, Any] | None:
    """What is known of the objects among the values; None: any key may be there."""
    options = _options(structure)
    if structure is None or "JSON" in options:
        return None
    return next((o for o in options if isinstance(o, dict)), {})


def as_array(structure: Any) -> Any:
    """The structure of the elements of the arrays among the values; None: anything may be there."""
    options = _options(structure)
    if structure is None or "JSON" in options:
        return None
    found = next((o for o in options if isinstance(o, list)), [])
    return found[0] if found else "NULL"


def as_map(structure: Any) -> Any:
    """The structure of the values of all keys of the objects among the values; None: anything may be there."""
    known = as_object(structure)
    if known is None:
        return None
    merged: Any = "NULL"
    for inner in known.values():
        merged = merge_structures(merged, inner)
    return merged


def structure_type(structure: Any) -> Type:
    """The type of one node of DuckDB's JSON structure; `string` where values of several kinds met."""
    if isinstance(structure, dict):
        fields = TableSchema(())
        for key, inner in structure.items():
            fields = union(fields, TableSchema((Column(key, structure_type(inner)),)))
        return Struct(fields.columns) if fields.columns else Primitive("string")
    if isinstance(structure, list):
        return ListOf(structure_type(structure[0]) if structure else Primitive("string"))
    if isinstance(structure, tuple):
        return Primitive("string")
    return Primitive(_KINDS.get(str(structure), "string"))


def pointer(key: str) -> str:
    """The JSON pointer of one key, as SQL."""
    return literal("/" + key.replace("~", "~0").replace("/", "~1"))


def spellings(structure: dict[str, Any]) -> dict[str, list[str]]:
    """The keys of an object's structure, those that differ in case only together, in order of appearance."""
    grouped: dict[str, list[str]] = {}
    for key in structure:
        grouped.setdefault(key.casefold(), []).append(key)
    return grouped
