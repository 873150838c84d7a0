"""The SELECT statements over one raw relation: a strict one that raises, and one that keeps count of the bad.

Both give the same rows for the same good values, because both come from the same cast table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import unquote

from autoloader.errors import ReadError
from autoloader.reader.cells import Cell, null_of, text_cell, text_rule
from autoloader.reader.contract import ReadContract
from autoloader.reader.duck import duck_type, literal, name
from autoloader.reader.guards import Text, Usual, matches
from autoloader.reader.jsoncells import json_column, json_text, marked_numbers, unknown_parts
from autoloader.reader.jsonlook import MARK, in_json, is_kind
from autoloader.reader.raw import Raw, RawColumn
from autoloader.reader.typed import typed_cell
from autoloader.reader.typedjson import json_of, unknown_typed
from autoloader.schema import Column, Decimal, Primitive, TableSchema, Type, is_promotion
from autoloader.spec.columns import is_reserved

STRICT_FAILURE: Final = "autoloader: a value does not fit its column"
_HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
LINEAGE: Final = "_src_file_id _src_path _src_row _batch_id _ingested_at _rescued".split()


@dataclass(frozen=True, slots=True)
class Target:
    """One column of the result over the raw relation joined with the files' facts.

    Attributes:
        column: The table's column.
        cell: Its value and when it is bad.
        raw: SQL of what stood in the file, as text.
        source: The raw column, None: the file has none.
        rescue_always: A bad value is kept in `_rescued`, whatever `on_bad_row` says.
        of_folder: Its value is that of a folder of the path.
    """

    column: Column
    cell: Cell
    raw: str
    source: RawColumn | None
    rescue_always: bool = False
    of_folder: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that the statements over one raw relation are made of."""

    raw: Raw
    contract: ReadContract
    targets: tuple[Target, ...]
    leftovers: tuple[tuple[str, str], ...]
    new_columns: TableSchema


def partition_columns(contract: ReadContract) -> tuple[str, ...]:
    """Names of the folders that give columns, in the order of the contract."""
    return tuple(contract.partitions)


def partition_values(key: str, names: Sequence[str]) -> tuple[str | None, ...]:
    """The text of each `name=value` folder of a key, unescaped; None: no such folder, or Hive's null."""
    folders = dict(part.split("=", 1) for part in key.split("/")[:-1] if "=" in part)
    found = {k.casefold(): unquote(v) for k, v in folders.items()}
    values = (found.get(n.casefold()) for n in names)
    return tuple(None if v == _HIVE_NULL else v for v in values)


def layout(raw: Raw, contract: ReadContract) -> Layout:
    """Match the files' columns with the table's.

    Raises:
        ReadError: `missing_columns: fail`, `new_columns: fail` or `type_change: fail` has struck.
    """
    by_name = {c.name.casefold(): c for c in raw.columns}
    wanted = {column.file_name.casefold() for column in contract.schema.columns}
    folders = enumerate(name.casefold() for name in partition_columns(contract))
    parts = {name: i for i, name in folders if name in wanted}
    targets = []
    for column in contract.schema.columns:
        source = by_name.pop(column.file_name.casefold(), None)
        index = parts.get(column.file_name.casefold())
        targets.append(_target(column, source, index, contract))
    if raw.columns:
        _check_missing(targets, parts, contract)
    new = tuple(c for c in by_name.values() if c.name.casefold() not in parts)
    strange = [c.name for c in new] + [path for t in targets if not _is_json_in_text(t) for path, _ in _unknown(t)]
    if strange and contract.new_columns == "fail":
        raise ReadError(
            f"The file has columns that the table has not: {', '.join(strange)}.",
            why="The contract says new_columns: fail.",
            fix="Declare them, or set schema.new_columns to add, rescue or ignore.",
        )
    return Layout(raw, contract, tuple(targets), _leftovers(new, targets, contract), _addable(new, targets))


def _target(column: Column, source: RawColumn | None, part: int | None, contract: ReadContract) -> Target:
    if part is not None:
        return _partition_target(column, source, part)
    if source is None:
        return Target(column, Cell(null_of(column.type), "false", ""), "NULL", None)
    cell = source_cell(source, column.type, strict=contract.new_columns == "fail")
    changed = cell.bad != "false" and source.kind != "text" and not fits(source.type, column.type)
    if changed and contract.type_change == "fail" and not (source.kind == "json" and is_kind(source.duck, column.type)):
        raise ReadError(
            f"Column {source.name} is {source.type} in the file and {column.type} in the table.",
            why="The contract says type_change: fail.",
            fix="Declare the type that fits both, or set schema.type_change to widen or rescue.",
        )
    return Target(column, cell, raw_text(source), source, changed and contract.type_change == "rescue")


def source_cell(source: RawColumn, kind: Type, *, strict: bool = False) -> Cell:
    """A raw column's value as one of a table's type; `strict` as for a contract that lets in nothing unknown."""
    if source.kind == "json":
        return json_column(source, kind)
    if source.kind == "typed" and not _is_text(source):
        return typed_cell(source.sql, source.duck, kind)
    if source.kind == "typed" and isinstance(kind, Primitive | Decimal):
        return typed_cell(source.sql, source.duck, kind)
    if isinstance(kind, Primitive | Decimal):
        return text_cell(source.sql, kind)
    return _json_in_text(source, kind, strict=strict)


def _is_json_in_text(target: Target) -> bool:
    """Whether what a nested value holds is known of each row only."""
    return target.source is not None and _is_text(target.source)


def _is_text(source: RawColumn) -> bool:
    return source.kind == "text" or (source.kind == "typed" and source.duck.id in ("varchar", "json"))


def _json_in_text(source: RawColumn, kind: Type, *, strict: bool) -> Cell:
    """A text that is to become a list, map or struct: it must be JSON, if `strict` without unknown parts."""
    column = _as_json_column(source)
    cell = json_column(column, kind)
    bads = [f"{column.sql} IS NULL", cell.bad]
    bads += [f"({sql}) IS NOT NULL" for _, sql in unknown_parts(column, kind)] if strict else []
    bad = f"({source.sql} IS NOT NULL AND ({' OR '.join(bads)}))"
    return Cell(cell.value, bad, f"is no JSON of the type {kind}")


def _as_json_column(source: RawColumn) -> RawColumn:
    """A text column as one of JSON, its numbers digit by digit; null where it is none."""
    text = f"CAST({source.sql} AS VARCHAR)"
    is_json = f"json_valid({text}) AND NOT contains({text}, {literal(in_json(MARK))})"
    ended = marked_numbers(f"({text} || ' ')", MARK)  # a number at the very end would stay open
    value = f"CAST(CASE WHEN {is_json} THEN {ended} END AS JSON)"
    return RawColumn(source.name, value, "json", source.type, None, source.sql, mark=MARK, repeats=True)


def _partition_target(column: Column, source: RawColumn | None, part: int) -> Target:
    text = f"f.p{part}"
    if not isinstance(column.type, Primitive | Decimal):
        raise ReadError(f"A folder cannot give the column {column.name} of type {column.type}.")
    folder = text_cell(text, column.type)
    if source is None:
        return Target(column, Cell(folder.value, folder.bad, folder.error), text, None, True, True)
    inside = source_cell(source, column.type)
    differs = f"({inside.value} IS NOT NULL AND {inside.value} IS DISTINCT FROM {folder.value})"
    bad = f"({differs} OR {inside.bad})"
    cell = Cell(folder.value, bad, "differs from the value of the folder")
    return Target(column, cell, raw_text(source), source, of_folder=True)


def fits(found: Type, target: Type) -> bool:
    """Whether every value of `found` is one of `target` without a change of the column's type."""
    return found == target or is_promotion(found, target) or str(target) == "string"


def raw_text(source: RawColumn) -> str:
    """What stands in the file, as text."""
    if source.kind == "json":
        shown = json_text(source.sql, source)
        return f"CASE WHEN json_type({source.sql}) = 'VARCHAR' THEN {source.scalar} ELSE {shown} END"
    if source.kind == "text":
        return source.sql
    if source.duck.id in ("list", "array", "map", "struct"):
        return json_of(source.sql, source.duck)
    return f"CAST({source.sql} AS VARCHAR)"


def _check_missing(targets: Sequence[Target], parts: dict[str, int], contract: ReadContract) -> None:
    missing = [t.column for t in targets if t.source is None and t.column.file_name.casefold() not in parts]
    if missing and contract.missing_columns == "fail":
        raise ReadError(
            f"The file has no column {', '.join(c.file_name for c in missing)}.",
            why="The contract says missing_columns: fail.",
            fix="Upload a complete file, or set schema.missing_columns to null.",
        )


def _leftovers(
    new: Sequence[RawColumn], targets: Sequence[Target], contract: ReadContract
) -> tuple[tuple[str, str], ...]:
    """(key in `_rescued`, JSON expression) of what the table has no place for."""
    if contract.new_columns == "ignore":
        return ()
    return tuple([(c.name, _as_json(c)) for c in new] + [part for t in targets for part in _unknown(t)])


def _unknown(target: Target) -> list[tuple[str, str]]:
    """Parts of a nested value that the table's type has no field for."""
    source, kind = target.source, target.column.type
    if source is None or isinstance(kind, Primitive | Decimal):
        return []
    if source.kind == "json":
        return [(path, json_text(sql, source)) for path, sql in unknown_parts(source, kind)]
    if _is_text(source):
        column = _as_json_column(source)
        return [(path, json_text(sql, column)) for path, sql in unknown_parts(column, kind)]
    return [(path, sql) for path, sql, _ in unknown_typed(source.name, source.sql, source.duck, kind)]


def _as_json(column: RawColumn) -> str:
    """A raw value as JSON text; null where there is none."""
    if column.kind == "json":
        return f"CASE WHEN json_type({column.sql}) <> 'NULL' THEN {json_text(column.sql, column)} END"
    if column.kind == "typed":
        return json_of(column.sql, column.duck)
    return f"CASE WHEN {column.sql} IS NOT NULL THEN CAST(to_json({column.sql}) AS VARCHAR) END"


def _addable(new: Sequence[RawColumn], targets: Sequence[Target]) -> TableSchema:
    """New columns that a table can take: those of a known type and of no reserved name."""
    taken = {t.column.name.casefold() for t in targets}
    return TableSchema(
        tuple(
            Column(c.name, c.type)
            for c in new
            if not is_reserved(c.name) and c.duck != "NULL" and c.name.casefold() not in taken
        )
    )


def _key(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False) + ":"


def has_rescue(made: Layout) -> bool:
    """Whether a row can have something in `_rescued` though no value is bad."""
    return bool(made.leftovers) or any(t.rescue_always and t.cell.bad != "false" for t in made.targets)


@dataclass(frozen=True, slots=True)
class _Strict:
    """What a strict SELECT over the raw relation `r` and the facts `f` is made of."""

    values: tuple[str, ...]
    guards: tuple[str, ...]
    texts: tuple[Text, ...]


def _strict(made: Layout) -> _Strict:
    guards = [f"NOT {r.bad}" for r in made.raw.rows]
    texts = texts_of(made)
    by_index = {text.index: text for text in texts}
    values = []
    for index, target in enumerate(made.targets):
        if target.cell.bad == "false" or target.rescue_always:
            values.append(f"{target.cell.value} AS v{index}")
        elif index in by_index:
            text = by_index[index]
            rule = text_rule(text.kind)
            if rule.check:
                guards.append(f"coalesce({rule.check.format(v=text.sql)}, true)")
            values.append(f"{rule.convert.format(v=text.sql)} AS v{index}")
        else:
            guards.append(f"NOT coalesce({target.cell.strict_bad}, false)")
            values.append(f"{target.cell.strict_value} AS v{index}")
    return _Strict(tuple(values), tuple(guards), texts)


def texts_of(made: Layout) -> tuple[Text, ...]:
    """The texts that a strict SELECT casts, in the order of the table's columns."""
    texts = []
    for index, target in enumerate(made.targets):
        kind, source = target.column.type, target.source
        if target.cell.bad == "false" or target.rescue_always or source is None or "f.p" in target.cell.value:
            continue
        if isinstance(kind, Primitive | Decimal) and source.kind in ("text", "json"):
            sql = source.sql if source.kind == "text" else source.scalar
            texts.append(Text(index, sql, kind, text_rule(kind).accept or ""))
    return tuple(texts)


def strict_select(made: Layout, facts: str, usual: Mapping[int, Usual] | None = None) -> str:
    """Typed rows `v0 … vn, __file, __row, __rescued`; raises on the first bad value or row.

    Args:
        made: The layout.
        facts: A relation of `__file, p0 … pn`, one row per file of the raw relation.
        usual: How most values of some columns are written, from `usual_forms`: the same rows for less.
    """
    strict = _strict(made)
    listed = [*strict.values, "r.__file AS __file", "r.__row AS __row", f"{_rescued_inline(made)} AS __rescued"]
    source = f"FROM ({made.raw.relation}) AS r{facts_join(made, facts)}"
    if usual:
        return _usually(strict, listed, source, usual)
    guards = [*strict.guards, *matches(strict.texts)]
    where = f" WHERE CASE WHEN {' AND '.join(guards)} THEN true {_ELSE_RAISE} END" if guards else ""
    return f"SELECT {', '.join(listed)} {source}{where}"


_ELSE_RAISE: Final = f"ELSE error({literal(STRICT_FAILURE)})"


def _usually(strict: _Strict, listed: Sequence[str], source: str, usual: Mapping[int, Usual]) -> str:
    """Values first, then the look at them and their texts: DuckDB casts once, for `error` keeps the two apart."""
    carried = [replace(text, sql=f"w{text.index}") for text in strict.texts]
    inner = [*listed, *(f"{text.sql} AS w{text.index}" for text in strict.texts)]
    others = []
    if strict.guards:
        inner.append(f"({' AND '.join(strict.guards)}) AS __good")
        others.append("__good")
    quick = [usual[t.index].condition(f"v{t.index}", t.sql) for t in carried if t.index in usual]
    rest = matches([t for t in carried if t.index not in usual])
    names = [*(f"v{index}" for index in range(len(strict.values))), "__file", "__row", "__rescued"]
    return (
        f"SELECT {', '.join(names)} FROM (SELECT {', '.join(inner)} {source})"
        f" WHERE CASE WHEN {' AND '.join([*others, *quick, *rest])} THEN true"
        f" WHEN {' AND '.join([*others, *matches(carried)])} THEN true {_ELSE_RAISE} END"
    )


def facts_join(made: Layout, facts: str) -> str:
    """What joins the files' facts to the raw relation `r`, as `f`; empty where no column comes of a folder."""
    if not made.contract.partitions:
        return ""
    return f" JOIN ({facts}) AS f ON f.__file = r.__file"


def _rescued_inline(made: Layout) -> str:
    parts = [f"{literal(_key(k))} || {sql}" for k, sql in made.leftovers]
    for target in made.targets:
        if target.cell.bad != "false" and target.rescue_always:
            text = f"{literal(_key(target.column.name))} || CAST(to_json({target.raw}) AS VARCHAR)"
            parts.append(f"CASE WHEN {target.cell.bad} THEN {text} END")
    return _object(parts)


def _object(parts: Sequence[str]) -> str:
    if not parts:
        return "CAST(NULL AS VARCHAR)"
    return f"nullif('{{' || concat_ws(',', {', '.join(parts)}) || '}}', '{{}}')"


def tolerant_select(made: Layout, facts: str) -> str:
    """The same columns for every row, and `__bad` (a bad row) and `__rejects` (its faults; null: selected)."""
    rescue_bad = made.contract.on_bad_row == "rescue"
    broken = " OR ".join(f"({r.bad})" for r in made.raw.rows) or "false"
    inner = ["r.*", f"({broken}) AS __broken"]
    for index, target in enumerate(made.targets):
        inner.append(f"{target.cell.value} AS v{index}")
        inner.append(f"coalesce({target.cell.bad}, false) AS b{index}")
        inner.append(f"{target.raw if target.cell.bad != 'false' else 'NULL'} AS t{index}")
    counted = [i for i, t in enumerate(made.targets) if t.cell.bad != "false" and not t.rescue_always]
    any_bad = " OR ".join(["__broken", *(f"b{i}" for i in counted)])
    values = ", ".join(f"v{i}" for i in range(len(made.targets)))
    values += ", " if values else ""
    rejects = f"CASE WHEN {'__broken' if rescue_bad else any_bad} THEN {_faults(made, counted)} END"
    kept = [i for i, t in enumerate(made.targets) if t.cell.bad != "false" and (rescue_bad or t.rescue_always)]
    parts = [f"{literal(_key(k))} || {sql}" for k, sql in made.leftovers]
    for index in kept:
        key = literal(_key(made.targets[index].column.name))
        parts.append(f"CASE WHEN b{index} THEN {key} || CAST(to_json(t{index}) AS VARCHAR) END")
    return (
        f"SELECT {values}__file, __row, {_object(parts)} AS __rescued, ({any_bad}) AS __bad, {rejects} AS __rejects"
        f" FROM (SELECT {', '.join(inner)} FROM ({made.raw.relation}) AS r{facts_join(made, facts)})"
    )


FAULT: Final = 'STRUCT("column" VARCHAR, raw VARCHAR, error VARCHAR)'


def _faults(made: Layout, counted: Sequence[int]) -> str:
    faults = [
        f'CASE WHEN {rule.bad} THEN struct_pack("column" := CAST(NULL AS VARCHAR), raw := {rule.raw},'
        f" error := {rule.error}) END"
        for rule in made.raw.rows
    ]
    for index in counted:
        target = made.targets[index]
        faults.append(
            f'CASE WHEN NOT __broken AND b{index} THEN struct_pack("column" := {literal(target.column.name)},'
            f" raw := t{index}, error := {literal(target.cell.error)}) END"
        )
    if not faults:
        return f"CAST(NULL AS {FAULT}[])"
    return f"list_filter([{', '.join(faults)}], lambda x: x IS NOT NULL)"


def stage_columns(schema: TableSchema) -> str:
    """Columns of the table that both SELECTs can be put into."""
    values = [f"v{i} {duck_type(c.type)}" for i, c in enumerate(schema.columns)]
    fixed = ["__file INTEGER", "__row BIGINT", "__rescued VARCHAR", "__bad BOOLEAN", f"__rejects {FAULT}[]"]
    return ", ".join([*values, *fixed])


def final_select(schema: TableSchema, relation: str, facts: str | None, lineage: dict[str, Any] | None) -> str:
    """The contract's columns by name, then lineage, over a relation of `v0 … __rescued`.

    Args:
        schema: The table's data columns.
        relation: A table, or a SELECT in parentheses.
        facts: A relation of `__file, src_file_id, src_path, batch_id, ingested_at`; None: `lineage` has them.
        lineage: SQL of those of the only file; None with `facts` None: no lineage columns.
    """
    listed = [f"s.v{i} AS {name(c.name)}" for i, c in enumerate(schema.columns)]
    join = ""
    if lineage is None and facts is not None:
        lineage = {k: f"l.{k}" for k in ("src_file_id", "src_path", "batch_id", "ingested_at")}
        join = f" JOIN ({facts}) AS l ON l.__file = s.__file"
    if lineage is not None:
        sources = [
            lineage["src_file_id"],
            lineage["src_path"],
            "s.__row",
            lineage["batch_id"],
            lineage["ingested_at"],
            "s.__rescued",
        ]
        listed += [f"{sql} AS {column}" for sql, column in zip(sources, LINEAGE, strict=True)]
    return f"SELECT {', '.join(listed) or 's.__row AS __row'} FROM {relation} AS s{join}"
