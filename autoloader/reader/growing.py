"""What a file asks of its table where the contract lets the table grow: new columns and fields, wider types.

Asked before a row of the file is read (columns), or when a value does not fit (types). The file then gives no
row at all: it is read again under the schema that its answer makes, so that rows and schema come together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from autoloader.errors import ReadError
from autoloader.reader.cells import Cell
from autoloader.reader.contract import ReadContract
from autoloader.reader.duck import first_row, from_duck
from autoloader.reader.raw import Raw, RawColumn
from autoloader.reader.rows import Layout, Target, facts_join, source_cell
from autoloader.reader.shapes import SAMPLE_ROWS, UNKNOWN, join, of_json, of_texts, seen_only
from autoloader.schema import Column, Decimal, ListOf, MapOf, Primitive, Struct, TableSchema, Type, evolve, union

if TYPE_CHECKING:
    import duckdb

_WIDER: Final = {"int": Primitive("long"), "float": Primitive("double")}


class SchemaGrowsError(ReadError):
    """The file has what its table has no place for yet, and the contract would make one.

    Attributes:
        found: The columns in question, by their names in the file, with the types that they need.
    """

    def __init__(self, found: TableSchema) -> None:
        super().__init__(f"The table has to grow first: {found}.")
        self.found = found


def grown(contract: ReadContract, asks: Iterable[TableSchema], table: TableSchema | None = None) -> ReadContract:
    """The contract with the columns and types that files asked for, as far as it allows them itself.

    Args:
        contract: The contract under which they asked.
        asks: `SchemaGrowsError.found` of each.
        table: The table's columns: one that is there already, though not in the contract, keeps its type.
    """
    wanted = TableSchema()
    for found in asks:
        wanted = union(wanted, found)
    known = {c.file_name.casefold() for c in contract.schema.columns}
    there = {c.name.casefold(): c for c in table.columns} if table is not None else {}
    columns = [
        replace(c, type=there[c.name.casefold()].type)
        if c.name.casefold() in there and c.name.casefold() not in known
        else c
        for c in wanted.columns
    ]
    schema = evolve(contract.schema, columns, new_columns=contract.new_columns, type_change=contract.type_change)
    return replace(contract, schema=schema)


def check_columns(con: duckdb.DuckDBPyConnection, made: Layout) -> None:
    """Raises SchemaGrowsError where the files have columns or fields that the contract would add."""
    contract = made.contract
    if not contract.may_grow or contract.new_columns != "add":
        return
    names = {c.name.casefold() for c in made.new_columns.columns}
    names |= {t.source.name.casefold() for t in made.targets if t.source is not None and _has_more(t, contract)}
    asking = [c for c in made.raw.columns if c.name.casefold() in names]
    found = [c for c in _types(con, made.raw, asking, contract) if _changes(contract, c)] if asking else []
    if found:
        raise SchemaGrowsError(TableSchema(tuple(found)))


def _has_more(target: Target, contract: ReadContract) -> bool:
    """Whether a struct in the file has fields that the column has not, at any depth."""
    return (
        isinstance(target.column.type, Struct | ListOf | MapOf)
        and target.source is not None
        and _changes(contract, Column(target.column.file_name, _as_held(target.source, target.column.type)))
    )


def _as_held(source: RawColumn, kind: Type) -> Type:
    return with_maps(source.type, kind) if source.kind == "json" else source.type


def with_maps(found: Type, held: Type) -> Type:
    """The type of JSON values, of which every object looks like a struct, with maps where the column has maps."""
    match held, found:
        case MapOf(key, value), Struct(fields):
            entry: Type = UNKNOWN
            for field in fields:
                entry = join(entry, with_maps(field.type, value))
            return MapOf(key, entry)
        case ListOf(element), ListOf(inner):
            return ListOf(with_maps(inner, element))
        case Struct(columns), Struct(fields):
            by_name = {c.file_name.casefold(): c.type for c in columns}
            return Struct(
                tuple(replace(f, type=with_maps(f.type, by_name.get(f.name.casefold(), f.type))) for f in fields)
            )
        case _:
            return found


def _changes(contract: ReadContract, found: Column) -> bool:
    return evolve(contract.schema, [found], new_columns="add", type_change="rescue") != contract.schema


def _types(
    con: duckdb.DuckDBPyConnection, raw: Raw, columns: Sequence[RawColumn], contract: ReadContract
) -> list[Column]:
    """The columns with the types that inference gives them; those without any value are left out."""
    held = {c.file_name.casefold(): c.type for c in contract.schema.columns}
    filled = f"SELECT * FROM ({raw.relation}) WHERE {' OR '.join(f'{c.sql} IS NOT NULL' for c in columns)}"
    kinds: Sequence[Type]
    match columns[0].kind:
        case "text":
            kinds = of_texts(con, Raw(filled, tuple(columns)), SAMPLE_ROWS)
        case "json":
            lines = con.execute(f"SELECT line FROM ({filled}) LIMIT {SAMPLE_ROWS}").fetchall()
            by_name = {c.name.casefold(): c.type for c in of_json(line for (line,) in lines)}
            kinds = [
                with_maps(by_name.get(c.name.casefold(), UNKNOWN), held.get(c.name.casefold(), UNKNOWN))
                for c in columns
            ]
        case "typed":
            kinds = [from_duck(c.duck, UNKNOWN) for c in columns]
        case _:
            assert_never(columns[0].kind)
    seen = [(c.name, seen_only(kind)) for c, kind in zip(columns, kinds, strict=True)]
    return [Column(name, kind) for name, kind in seen if kind is not None]


def check_values(con: duckdb.DuckDBPyConnection, made: Layout, facts: str) -> None:
    """Raises SchemaGrowsError where values that do not fit would fit a type that Iceberg promotes the column to.

    Args:
        con: The connection of the raw relation.
        made: The layout, of which a strict SELECT has failed.
        facts: As for `strict_select`.
    """
    contract = made.contract
    if not contract.may_grow or contract.type_change != "widen":
        return
    asked = [(t, wide) for t in made.targets if (wide := _wider(t)) is not None]
    if not asked:
        return
    counts = []
    for target, wide in asked:
        cell = _cell(target, wide)
        digits = f"max(length(ltrim(split_part(CAST(abs({cell.value}) AS VARCHAR), '.', 1), '0')))"
        counts += [
            f"count(*) FILTER ({target.cell.bad})",
            f"count(*) FILTER ({cell.bad})",
            digits if isinstance(wide, Decimal) else "NULL",
        ]
    row = first_row(con, f"SELECT {', '.join(counts)} FROM ({made.raw.relation}) AS r{facts_join(made, facts)}")
    found = [
        Column(target.column.file_name, _fitted(target.column.type, wide, row[3 * n + 2]))
        for n, (target, wide) in enumerate(asked)
        if row is not None and row[3 * n] > row[3 * n + 1]
    ]
    if found:
        raise SchemaGrowsError(TableSchema(tuple(found)))


def _cell(target: Target, kind: Type) -> Cell:
    """A column's value as another type, JSON part by part: its shape was made for the column's own type."""
    if target.source is None:
        return target.cell
    return source_cell(replace(target.source, shape=None, shaped=""), kind)


def _wider(target: Target) -> Type | None:
    """The widest type that Iceberg promotes a column to; None: there is none, or its values always fit."""
    if target.source is None or target.cell.bad == "false" or target.of_folder:
        return None
    wide = _widest(target.column.type)
    return wide if wide != target.column.type else None


def _widest(kind: Type) -> Type:
    match kind:
        case Primitive(name):
            return _WIDER.get(name, kind)
        case Decimal(_, scale):
            return Decimal(38, scale)
        case ListOf(element):
            return ListOf(_widest(element))
        case MapOf(key, value):
            return MapOf(key, _widest(value))
        case Struct(fields):
            return Struct(tuple(replace(f, type=_widest(f.type)) for f in fields))


def _fitted(old: Type, wide: Type, digits: int | None) -> Type:
    """Of decimals, as many digits as the values need; of other types the wide one."""
    if not isinstance(old, Decimal) or not isinstance(wide, Decimal):
        return wide
    return Decimal(min(38, max(old.precision, (digits or 0) + old.scale)), old.scale)
