"""JSON files as raw columns: lines, one array, or objects that span lines; keys by name, nothing sampled.

The whole file is looked at once before it is read: which keys there are, at every depth, and whether a record
is broken. So a key that only the last record has is seen.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import ReadError
from autoloader.reader.csvfile import numbered, open_lines
from autoloader.reader.duck import first_row, literal
from autoloader.reader.plain import check_utf8, first_bytes
from autoloader.reader.raw import Raw, RawColumn, RowRule
from autoloader.schema import Column, Decimal, ListOf, Primitive, Struct, TableSchema, Type, union

if TYPE_CHECKING:
    import duckdb

_LARGEST_OBJECT: Final = 1 << 28
_KINDS: Final = {
    "BOOLEAN": "boolean",
    "UBIGINT": "long",
    "BIGINT": "long",
    "DOUBLE": "double",
    "VARCHAR": "string",
    "NULL": "string",
    "JSON": "string",
}
MARK: Final = "\x01"
_NUMBERS: Final = r"""((?:"(?:[^"\\]|\\.)*"|[^"0-9-]|-[^0-9"])*)(-?[0-9][0-9.eE+-]*|$)"""
_MARKED: Final = r'\1"\\u0001\2"'
_LONG: Final = "[0-9][0-9.]{15,}"


@dataclass(frozen=True, slots=True)
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


def open_json(
    con: duckdb.DuckDBPyConnection, path: Path, schema: TableSchema, *, longest_line: int | None = None
) -> Raw:
    """One plain UTF-8 file of JSON records.

    Args:
        con: Used for the look over the file.
        path: A plain file with a safe name.
        schema: What the columns will be cast to; decides whether numbers must be kept digit by digit.
        longest_line: What DuckDB must be able to hold in one record; None: its default.

    Raises:
        ReadError: The file is no JSON, or ends in the middle of a record.
    """
    relation = _records(con, [path], longest_line)
    if relation is None:
        return Raw("SELECT NULL AS line, 0 AS __row, 0 AS __file WHERE false", ())
    look = looks(con, relation).get(0, Look())
    if look.last_is_broken and not ends_with_newline(path):
        raise ReadError(
            f"The file ends in the middle of record {look.records}.",
            fix="Upload the whole file again; no row of it has been loaded.",
        )
    return looked_at(relation, look, schema)


def sample_lines(con: duckdb.DuckDBPyConnection, path: Path, rows: int) -> list[str]:
    """The texts of the first records of a plain UTF-8 file.

    Raises:
        ReadError: The file is no JSON.
    """
    relation = _records(con, [path], None)
    if relation is None:
        return []
    return [r[0] for r in con.execute(f"SELECT line FROM ({relation}) LIMIT {rows}").fetchall()]


def begins_with_object(path: Path) -> bool:
    """Whether a plain file begins with `{`: it holds records line by line, or objects that span lines."""
    return _head(path)[:1] == b"{"


def _head(path: Path) -> bytes:
    return first_bytes(path, 4096).removeprefix(b"\xef\xbb\xbf").lstrip()


def lines_of(path: Path) -> list[str] | None:
    """The lines of a small file of records, blank ones left out; None: it must be read in another way.

    Raises:
        ReadError: It is not UTF-8.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        check_utf8(path)
        raise ReadError("The file is not UTF-8.", why=str(error)) from error
    lines = text.split("\n")
    if "\r" in text:
        lines = [line.removesuffix("\r") for line in lines]
        if any("\r" in line for line in lines):
            return None
    return [line for line in lines if line.strip()]


def _records(con: duckdb.DuckDBPyConnection, paths: Sequence[Path], longest_line: int | None) -> str | None:
    head = _head(paths[0])
    if not head:
        return None
    if head[:1] == b"[":
        return _objects(paths, "array")
    if head[:1] not in b'{"-0123456789tfn':
        raise ReadError(
            "The file is no JSON.",
            why=f"It begins with {head[:20]!r}.",
            fix="Check source.format, or narrow source.include.",
        )
    lines = open_lines(paths, longest_line=longest_line)
    row = first_row(con, f"SELECT json_valid(line) FROM ({lines}) WHERE __row = 0 LIMIT 1")
    if row is not None and not row[0]:
        spanning = _objects(paths, "unstructured")
        if _is_readable(con, spanning):
            return spanning
    return lines


def _objects(paths: Sequence[Path], form: str) -> str:
    listed = ", ".join(literal(str(p)) for p in paths)
    scan = f"read_json_objects([{listed}], format='{form}', maximum_object_size={_LARGEST_OBJECT})"
    return numbered(f"SELECT CAST(json AS VARCHAR) AS line, {{file}} FROM {scan}", len(paths))


def _is_readable(con: duckdb.DuckDBPyConnection, relation: str) -> bool:
    import duckdb

    try:
        first_row(con, f"SELECT count(line) FROM ({relation})")
    except duckdb.Error:
        return False
    return True


def ends_with_newline(path: Path) -> bool:
    """Whether the last line of a file is whole; an empty file counts as whole."""
    with path.open("rb") as file:
        file.seek(0, 2)
        size = file.tell()
        file.seek(max(0, size - 1))
        return file.read(1) in (b"\n", b"\r", b"")


def looks(con: duckdb.DuckDBPyConnection, relation: str) -> dict[int, Look]:
    """One look over all records of a relation of `line`, `__row` and `__file`; by file."""
    keys = "json_keys(good)"
    found = con.execute(
        "SELECT __file, structure, count(*), count(*) FILTER (good IS NULL),"
        " count(*) FILTER (json_type(good) <> 'OBJECT'),"
        f" count(*) FILTER (len({keys}) <> len(list_distinct(list_transform({keys}, lambda k: lower(k))))),"
        f" bool_or(regexp_matches(line, '{_LONG}')), max(__row),"
        " min(__row) FILTER (good IS NULL), max(__row) FILTER (good IS NULL)"
        " FROM (SELECT *, CAST(json_structure(good) AS VARCHAR) AS structure FROM"
        f" (SELECT *, CASE WHEN json_valid(line) THEN line END AS good FROM ({relation})))"
        " GROUP BY __file, structure ORDER BY __file, min(__row)"
    ).fetchall()
    return {file: _look([row[1:] for row in rows]) for file, rows in itertools.groupby(found, itemgetter(0))}


def _look(found: list[Any]) -> Look:
    structure: Any = {}
    for row in found:
        inner = json.loads(row[0]) if row[0] is not None else None
        if isinstance(inner, dict):
            structure = merge_structures(structure, inner)
    last = max(row[6] for row in found)
    return Look(
        records=sum(row[1] for row in found),
        broken=sum(row[2] for row in found),
        strangers=sum(row[3] for row in found),
        doubles=sum(row[4] for row in found),
        long_numbers=any(row[5] for row in found),
        first_is_broken=any(row[7] == 0 for row in found),
        last_is_broken=any(row[8] == last for row in found),
        structure=structure,
    )


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


def looked_at(relation: str, look: Look, schema: TableSchema) -> Raw:
    """The raw relation of records of which `look` says what they hold."""
    exact = _must_be_exact(look, schema)
    good = "line"
    if look.broken or look.strangers:
        good = "CASE WHEN json_valid(line) THEN CASE WHEN json_type(line) = 'OBJECT' THEN line END END"
    if exact:
        marked = f"regexp_replace({good}, {literal(_NUMBERS)}, {literal(_MARKED)}, 'g')"
        good = f"left({marked}, -8)"
    keys = list(look.structure)
    pointers = ", ".join(pointer(k) for k in keys)
    texts = f", json_extract_string(good, [{pointers}]) AS texts" if keys else ""
    columns = []
    for names in spellings(look.structure).values():
        scalar = _first([f"texts[{keys.index(n) + 1}]" for n in names])
        nested = _first([f"json_extract(good, {pointer(n)})" for n in names])
        kind = structure_type({n: look.structure[n] for n in names})
        inner = kind.fields[0].type if isinstance(kind, Struct) else kind
        structure = look.structure[names[0]] if len(names) == 1 else _merged(look.structure, names)
        columns.append(
            RawColumn(
                name=names[0],
                sql=nested,
                kind="json",
                type=inner,
                duck=structure,
                scalar=f"ltrim({scalar}, chr(1))" if exact else scalar,
                exact=exact,
            )
        )
    return Raw(
        relation=f"SELECT *{texts} FROM (SELECT line, __row, __file, {good} AS good FROM ({relation}))",
        columns=tuple(columns),
        rows=_row_rules(look),
    )


def _merged(structure: dict[str, Any], names: list[str]) -> Any:
    """The structure of one key in several spellings."""
    merged = structure[names[0]]
    for item in names[1:]:
        merged = merge_structures(merged, structure[item])
    return merged


def _first(expressions: list[str]) -> str:
    return expressions[0] if len(expressions) == 1 else f"coalesce({', '.join(expressions)})"


def _row_rules(look: Look) -> tuple[RowRule, ...]:
    rules = []
    if look.broken:
        rules.append(RowRule("NOT json_valid(line)", "line", "'is not valid JSON'"))
    if look.strangers:
        stranger = "CASE WHEN json_valid(line) THEN json_type(line) <> 'OBJECT' ELSE false END"
        rules.append(RowRule(stranger, "line", "'is a JSON value, but no object'"))
    if look.doubles:
        keys = "json_keys(good)"
        double = f"coalesce(len({keys}) <> len(list_distinct(list_transform({keys}, lambda k: lower(k)))), false)"
        rules.append(RowRule(double, "line", "'has a key twice (case does not count)'"))
    return tuple(rules)


def _must_be_exact(look: Look, schema: TableSchema) -> bool:
    """Whether a number would change on its way through DuckDB's JSON, which makes doubles of decimals."""
    targets = {c.file_name.casefold(): c.type for c in schema.columns}
    for key, structure in look.structure.items():
        if not _holds_doubles(structure):
            continue
        target = targets.get(key.casefold())
        if target is None or _holds(target, "string") or _is_mixed(structure):
            return True
        if look.long_numbers and not _is_floating(target):
            return True
    return False


def _holds_doubles(structure: Any) -> bool:
    text = json.dumps(structure)
    return '"DOUBLE"' in text or '"JSON"' in text


def _is_mixed(structure: Any) -> bool:
    text = json.dumps(structure)
    return '"JSON"' in text or '"mixed"' in text or '"scalar"' in text


def _holds(kind: Type, word: str) -> bool:
    return word in str(kind)


def _is_floating(kind: Type) -> bool:
    return not isinstance(kind, Decimal) and str(kind) in ("double", "float")
