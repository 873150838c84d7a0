"""JSON files as raw columns: lines, one array, or objects that span lines; keys by name, nothing sampled.

The whole file is looked at once before it is read: which keys there are, at every depth, and whether a record
is broken. So a key that only the last record has is seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import ReadError
from autoloader.reader.cells import is_plain
from autoloader.reader.csvfile import numbered, open_lines
from autoloader.reader.duck import first_row, literal
from autoloader.reader.jsoncells import marked_numbers, shape_of, unknown_parts
from autoloader.reader.jsonlook import Look, looks, merge_structures, pointer, spellings, structure_type
from autoloader.reader.plain import check_utf8, first_bytes
from autoloader.reader.raw import Raw, RawColumn, RowRule
from autoloader.schema import Decimal, TableSchema, Type

if TYPE_CHECKING:
    import duckdb

_LARGEST_OBJECT: Final = 1 << 28


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


def looked_at(relation: str, look: Look, schema: TableSchema) -> Raw:
    """The raw relation of records of which `look` says what they hold."""
    mark = look.mark if _must_be_exact(look, schema) else ""
    good = "line"
    if look.broken or look.strangers:
        good = "CASE WHEN json_valid(line) THEN CASE WHEN json_type(line) = 'OBJECT' THEN line END END"
    if mark:
        good = marked_numbers(good, mark)
    keys = list(look.structure)
    targets = {c.file_name.casefold(): c.type for c in schema.columns}
    nodes = [k for k in keys if _has_node(look.structure[k], targets.get(k.casefold()))]
    taken = f", json_extract_string(good, [{', '.join(map(pointer, keys))}]) AS texts" if keys else ""
    taken += f", json_extract(good, [{', '.join(map(pointer, nodes))}]) AS nodes" if nodes else ""
    columns = [
        replace(
            _column(look.structure, names, nodes, targets.get(folded), mark), repeats=bool(look.repeating & {*names})
        )
        for folded, names in spellings(look.structure).items()
    ]
    columns = [replace(c, shape=None) if c.repeats else c for c in columns]
    shaped = "".join(f", {c.shaped} AS shaped{n}" for n, c in enumerate(columns) if c.shape is not None)
    return Raw(
        relation=f"SELECT *{shaped} FROM (SELECT *{taken} FROM"
        f" (SELECT line, __row, __file, {good} AS good FROM ({relation})))",
        columns=tuple(replace(c, shaped=f"shaped{n}") if c.shape is not None else c for n, c in enumerate(columns)),
        rows=_row_rules(look),
    )


def _has_node(structure: Any, target: Type | None) -> bool:
    """Whether the JSON of a key's values is wanted, not only their text."""
    return target is None or not is_plain(target) or not isinstance(structure, str)


def _column(keys: dict[str, Any], names: list[str], nodes: list[str], target: Type | None, mark: str) -> RawColumn:
    """One column, of the keys that are its name in some case."""
    scalar = _first([f"texts[{list(keys).index(n) + 1}]" for n in names])
    node = _first(
        [f"nodes[{nodes.index(n) + 1}]" if n in nodes else f"json_extract(good, {pointer(n)})" for n in names]
    )
    structure = keys[names[0]] if len(names) == 1 else _merged(keys, names)
    shape = None if target is None or is_plain(target) else shape_of(structure, target, mark)
    return RawColumn(
        name=names[0],
        sql=node,
        kind="json",
        type=structure_type(structure),
        duck=structure,
        scalar=f"ltrim({scalar}, {literal(mark)})" if mark else scalar,
        mark=mark,
        shape=None if shape is None else shape[1],
        shaped="" if shape is None else f"from_json({node}, {literal(json.dumps(shape[0]))})",
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
        if unknown_parts(RawColumn(key, "value", "json", target, structure), target):
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
