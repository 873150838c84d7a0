"""Opened files before any cast: one relation of raw values, its columns, and what is already known to be bad."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from autoloader.errors import ReadError
from autoloader.schema import Column, TableSchema, Type

Kind = Literal["text", "json", "typed"]


@dataclass(frozen=True, slots=True)
class RawColumn:
    """One column that the files have.

    Attributes:
        name: As the files spell it.
        sql: Its expression over the relation.
        kind: `text` (VARCHAR), `json` (JSON, with the text of its scalar in `scalar`), or `typed`.
        type: What it really is, for the fingerprint and for new columns.
        duck: The `DuckDBPyType` of a typed column.
        scalar: Of a json column: the VARCHAR expression of its value.
        mark: Of a json column: its numbers are texts that begin with this sign, `scalar` is already without it.
        repeats: Of a json column: some object in it has a key twice.
        shape: Of a json column of parts: the type of `shaped`, None: it must be taken from the JSON part by part.
        shaped: SQL of its value with texts for scalars.
    """

    name: str
    sql: str
    kind: Kind
    type: Type
    duck: Any = None
    scalar: str = ""
    mark: str = ""
    repeats: bool = False
    shape: Any = None
    shaped: str = ""


@dataclass(frozen=True, slots=True)
class RowRule:
    """A condition under which a whole row is bad.

    Attributes:
        bad: SQL over the relation, never null.
        raw: SQL of the row's text.
        error: SQL of the sentence.
    """

    bad: str
    raw: str
    error: str


@dataclass(frozen=True, slots=True)
class Raw:
    """Files of one header, opened.

    Attributes:
        relation: A SELECT (or table function call) that gives what the columns' SQL refers to, and
            `__row` (0-based ordinal in its file) and `__file` (index in the group).
        columns: In the order of the files.
        rows: Row rules, the first that holds counts.
        rejects: Rows that were left out before the relation: `__file`, `row`, `raw`, `error`.
        notes: What else is worth saying of the files.
        mark: Not empty: rows with `__row` -1 stand between the files, and their first column begins with it.
    """

    relation: str
    columns: tuple[RawColumn, ...]
    rows: tuple[RowRule, ...] = ()
    rejects: pa.Table | None = None
    notes: tuple[str, ...] = ()
    found: Mapping[int, TableSchema] = field(default_factory=dict)
    mark: str = ""

    @property
    def schema(self) -> TableSchema:
        """The columns that the files really have."""
        return TableSchema(tuple(Column(c.name, c.type) for c in self.columns))


def fingerprint(schema: TableSchema) -> str:
    """Hash of the sorted (lower-case name, type) pairs; the same for files of the same columns in any order."""
    pairs = sorted(f"{c.name.lower()}\x00{str(c.type).lower()}" for c in schema.columns)
    return hashlib.sha256("\x01".join(pairs).encode()).hexdigest()[:32]


def check_names(names: list[str]) -> None:
    """Raises ReadError where two names are the same without regard to case."""
    seen: dict[str, str] = {}
    for item in names:
        other = seen.get(item.casefold())
        if other is not None:
            raise ReadError(
                f"Two columns of the file have the same name: {other!r} and {item!r}.",
                why="Columns are matched by name, and case does not count.",
                fix="Rename one of them in the file.",
            )
        seen[item.casefold()] = item
