"""What the records of JSON files hold: which keys, of which kinds, at every depth; and which are broken.

Every record is looked at, so that a key that only the last one has is seen. Keys first, then the kinds of
their values, then the insides of those that are objects or arrays: each only where there is something to see.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import ReadError
from autoloader.reader.duck import first_row, literal
from autoloader.schema import Column, Decimal, ListOf, MapOf, Primitive, Struct, TableSchema, Type, union

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
_WHOLE: Final = ("UBIGINT", "BIGINT")
_LONG: Final = "[0-9][0-9.]{15,}"
MARK: Final = "\x01"
_MARKS: Final = tuple(map(chr, (*range(1, 8), 11, *range(14, 32))))  # those that JSON can only write as \u00xx
_MANY_KEYS: Final = 64  # an object with more of them is taken for a map: its values are looked at as one
_DEEPEST_TYPE: Final = 32  # of a column; what is below is text


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
        repeating: Keys in whose values an object has a key twice, case does not count.
        mark: A sign that no text of the file holds: put before numbers, it tells them from texts.
    """

    records: int = 0
    broken: int = 0
    strangers: int = 0
    doubles: int = 0
    long_numbers: bool = False
    first_is_broken: bool = False
    last_is_broken: bool = False
    structure: dict[str, Any] = field(default_factory=dict)
    repeating: set[str] = field(default_factory=set)
    mark: str = MARK


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
    _find_repeating(con, objects, found)
    _find_marks(con, objects, found)
    return found


def in_json(sign: str) -> str:
    """A control character as JSON writes it."""
    return f"\\u{ord(sign):04x}"


def _find_marks(con: duckdb.DuckDBPyConnection, objects: str, found: dict[int, Look]) -> None:
    """Choose another mark for the files that hold the usual one."""
    taken = [index for index, look in found.items() if not look.mark]
    if not taken:
        return
    held = ", ".join(f"bool_or(contains(lower(good), {literal(in_json(sign))}))" for sign in _MARKS)
    for index, *answers in con.execute(f"SELECT __file, {held} FROM {objects} GROUP BY __file").fetchall():
        free = [sign for sign, is_held in zip(_MARKS, answers, strict=True) if not is_held]
        if index in taken and not free:
            raise ReadError(
                "The file holds every control character there is.",
                why="One that no text holds is needed to keep the digits of numbers.",
                fix="Take the control characters (\\u0001 to \\u001f) out of its texts.",
            )
        if index in taken:
            found[index].mark = free[0]


def _find_repeating(con: duckdb.DuckDBPyConnection, objects: str, found: dict[int, Look]) -> None:
    """Note the keys whose values hold an object with a key twice, at any depth."""
    whole: Any = {}
    for look in found.values():
        whole = merge_structures(whole, look.structure)
    tests = {key: test for key, inner in whole.items() if (test := _repeats_at(key, inner))}
    if not tests:
        return
    row = first_row(con, f"SELECT bool_or({' OR '.join(tests.values())}) FROM {objects}")
    if row is None or not row[0]:
        return
    listed = ", ".join(f"bool_or({test})" for test in tests.values())
    for index, *answers in con.execute(f"SELECT __file, {listed} FROM {objects} GROUP BY __file").fetchall():
        found[index].repeating.update(key for key, answer in zip(tests, answers, strict=True) if answer)


def _repeats_at(key: str, structure: Any) -> str:
    """`_repeats` of one key of the records, by paths where it can be: they are quick."""
    paths = _paths(f"$.{_step(key)}", structure) if _is_steady({key: structure}) else None
    if paths is None:
        return _repeats(_inside(key), structure, 0)
    test = f"lambda k: {repeats('k', _has_spellings(structure))}"
    direct = ", ".join(literal(path) for path in paths if "[*]" not in path)
    lists = [f"json_keys(good, [{direct}])"] if direct else []
    lists += [f"json_keys(good, {literal(path)})" for path in paths if "[*]" in path]
    return " OR ".join(f"coalesce(list_bool_or(list_transform({each}, {test})), false)" for each in lists)


def _is_steady(structure: Any) -> bool:
    """Whether all places of a structure have a path: no maps, no values of several kinds, no odd names."""
    if isinstance(structure, dict):
        odd = len(structure) > _MANY_KEYS or any(set(key) & set('"\\*[]') or not key for key in structure)
        return not odd and all(_is_steady(inner) for inner in structure.values())
    if isinstance(structure, list):
        return all(_is_steady(inner) for inner in structure)
    return not isinstance(structure, tuple) and structure != "JSON"


def _step(key: str) -> str:
    return f'"{key}"'


def _paths(path: str, structure: Any) -> list[str]:
    """The paths of all objects of a structure."""
    if isinstance(structure, dict):
        inner = [each for key, part in structure.items() for each in _paths(f"{path}.{_step(key)}", part)]
        return [path, *inner]
    if isinstance(structure, list) and structure:
        return _paths(f"{path}[*]", structure[0])
    return []


def _has_spellings(structure: Any) -> bool:
    """Whether names of an object differ in case only, at any depth."""
    if isinstance(structure, dict):
        return len(spellings(structure)) < len(structure) or any(map(_has_spellings, structure.values()))
    return isinstance(structure, list) and any(map(_has_spellings, structure))


def _inside(key: str) -> str:
    return f"json_extract(good, {pointer(key)})"


def _repeats(value: str, structure: Any, depth: int) -> str:
    """SQL of whether an object in a JSON value has a key twice; "" where there are no objects."""
    known = as_object(structure)
    item, tests = f"d{depth}", []
    if known is None or known:
        keys = f"json_keys({value})"
        folds = not known or len(spellings(known)) < len(known)
        tests.append(f"(json_type({value}) = 'OBJECT' AND {repeats(keys, folds)})")
        if known and len(known) > _MANY_KEYS:
            part = f"json_extract({value}, {escaped_pointer(item)})"
            tests.append(_any(keys, item, _repeats(part, as_map(known), depth + 1)))
        else:
            parts = ((f"json_extract({value}, {pointer(key)})", inner) for key, inner in (known or {}).items())
            tests += [_repeats(part, inner, depth) for part, inner in parts]
    element = as_array(structure)
    if isinstance(element, dict | list | tuple):
        items = f"CASE WHEN json_type({value}) = 'ARRAY' THEN from_json({value}, '[\"JSON\"]') END"
        tests.append(_any(items, item, _repeats(item, element, depth + 1)))
    tests = [f"coalesce({test}, false)" for test in tests if test]
    return f"({' OR '.join(tests)})" if tests else ""


def _any(items: str, item: str, test: str) -> str:
    return f"list_bool_or(list_transform({items}, lambda {item}: {test}))" if test else ""


def repeats(keys: str, folds: bool) -> str:
    """SQL of whether a list of keys has one twice, with `folds` without regard to case."""
    folded = f"list_transform({keys}, lambda k: lower(k))" if folds else keys
    return f"len({keys}) <> len(list_distinct({folded}))"


_PLACES: Final[dict[str, Any]] = {"OBJECT": {}, "ARRAY": []}


def _has_parts(structure: Any) -> bool:
    return any(isinstance(option, dict | list) for option in _options(structure))


def _keys(con: duckdb.DuckDBPyConnection, valid: str) -> dict[int, Look]:
    rows = con.execute(
        "SELECT __file, keys, count(*), count(*) FILTER (good IS NULL),"
        " count(*) FILTER (json_type(good) <> 'OBJECT'),"
        f" bool_or(regexp_matches(line, '{_LONG}')), bool_or(contains(line, {literal(in_json(MARK))})), max(__row),"
        " min(__row) FILTER (good IS NULL), max(__row) FILTER (good IS NULL)"
        f" FROM (SELECT *, json_keys(good) AS keys FROM {valid}) GROUP BY __file, keys ORDER BY __file, min(__row)"
    ).fetchall()
    found: dict[int, Look] = {}
    last: dict[int, tuple[int, int]] = {}
    for index, keys, records, broken, strangers, long, mark, last_row, first_broken, last_broken in rows:
        look = found.setdefault(index, Look())
        look.records += records
        look.broken += broken
        look.strangers += strangers
        look.long_numbers |= bool(long)
        look.mark = "" if mark else look.mark
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
    inside = _inside(key)
    values = f"(SELECT __file, {inside} AS inside FROM {objects} WHERE json_type({inside}) IN ('OBJECT', 'ARRAY'))"
    # DuckDB looks 128 levels deep; of a VARCHAR that is an error of the value, of a JSON one of the whole database
    shape = "coalesce(TRY(CAST(json_structure(CAST(inside AS VARCHAR)) AS VARCHAR)), '\"JSON\"')"
    return con.execute(f"SELECT DISTINCT __file, {shape} FROM {values}").fetchall()


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


def structure_type(structure: Any, depth: int = 0) -> Type:
    """The type of one node of DuckDB's JSON structure; `string` where values of several kinds met, or very deep."""
    if depth > _DEEPEST_TYPE:
        return Primitive("string")
    if isinstance(structure, dict):
        fields = TableSchema(())
        for key, inner in structure.items():
            fields = union(fields, TableSchema((Column(key, structure_type(inner, depth + 1)),)))
        return Struct(fields.columns) if fields.columns else Primitive("string")
    if isinstance(structure, list):
        return ListOf(structure_type(structure[0], depth + 1) if structure else Primitive("string"))
    if isinstance(structure, tuple):
        return Primitive("string")
    return Primitive(_KINDS.get(str(structure), "string"))


def is_kind(structure: Any, target: Type) -> bool:
    """Whether values of a structure are what a type is in JSON, which has no times, no decimals and no widths."""
    if structure == "NULL" or target == Primitive("string"):
        return True
    if isinstance(structure, tuple):
        return all(is_kind(option, target) for option in structure[1:])
    if structure == "JSON":  # an empty object, or what is too deep to be looked into
        return not isinstance(target, Primitive | Decimal)
    match target:
        case Struct(fields) if isinstance(structure, dict):
            types = {f.file_name.casefold(): f.type for f in fields}
            parts = ((inner, types.get(key.casefold())) for key, inner in structure.items())
            return all(kind is None or is_kind(inner, kind) for inner, kind in parts)
        case MapOf(_, value) if isinstance(structure, dict):
            return all(is_kind(inner, value) for inner in structure.values())
        case ListOf(element) if isinstance(structure, list):
            return all(is_kind(inner, element) for inner in structure)
        case Primitive("boolean"):
            return str(structure) == "BOOLEAN"
        case Primitive("int" | "long"):
            return structure in _WHOLE
        case Primitive("float" | "double") | Decimal():
            return structure in (*_WHOLE, "DOUBLE")
        case Primitive():
            return str(structure) == "VARCHAR"
        case _:
            return False


def pointer(key: str) -> str:
    """The JSON pointer of one key, as SQL."""
    return literal("/" + key.replace("~", "~0").replace("/", "~1"))


def escaped_pointer(key: str) -> str:
    """SQL of the JSON pointer of a key that is itself SQL."""
    return f"'/' || replace(replace({key}, '~', '~0'), '/', '~1')"


def spellings(structure: dict[str, Any]) -> dict[str, list[str]]:
    """The keys of an object's structure, those that differ in case only together, in order of appearance."""
    grouped: dict[str, list[str]] = {}
    for key in structure:
        grouped.setdefault(key.casefold(), []).append(key)
    return grouped
