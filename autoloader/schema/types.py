"""Types, columns and table schemas in Iceberg's vocabulary."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

PRIMITIVES: Final = frozenset(
    "boolean int long float double date time timestamp timestamptz string uuid binary".split()
)

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quote(name: str) -> str:
    """The name as `parse_type` reads it back: in backticks unless it is a plain identifier."""
    return name if _PLAIN.fullmatch(name) else "`" + name.replace("`", "``") + "`"


@dataclass(frozen=True, slots=True)
class Primitive:
    """A type without parts: one of `PRIMITIVES`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Decimal:
    """`decimal(precision, scale)`, precision 1 to 38."""

    precision: int
    scale: int

    def __str__(self) -> str:
        return f"decimal({self.precision},{self.scale})"


@dataclass(frozen=True, slots=True)
class ListOf:
    """`list<element>`."""

    element: Type

    def __str__(self) -> str:
        return f"list<{self.element}>"


@dataclass(frozen=True, slots=True)
class MapOf:
    """`map<key, value>`."""

    key: Type
    value: Type

    def __str__(self) -> str:
        return f"map<{self.key}, {self.value}>"


@dataclass(frozen=True, slots=True)
class Struct:
    """`struct<name: type, …>`; the order of fields is the order of declaration."""

    fields: tuple[Column, ...]

    def __str__(self) -> str:
        return "struct<" + ", ".join(f"{quote(f.name)}: {f.type}" for f in self.fields) + ">"


Type = Primitive | Decimal | ListOf | MapOf | Struct


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table or field of a struct. All columns are optional (nullable).

    Attributes:
        name: Name in the table; unique in its schema without regard to case.
        type: Its type.
        source: Name in the files, where that is another one (`from` in a spec).
        description: The column's doc in the table, or None.
    """

    name: str
    type: Type
    source: str | None = None
    description: str | None = None

    @property
    def file_name(self) -> str:
        """The name to look for in a file."""
        return self.source if self.source is not None else self.name


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The data columns of one table, in order, lineage columns left out."""

    columns: tuple[Column, ...] = field(default=())

    def __str__(self) -> str:
        return ", ".join(f"{quote(c.name)} {c.type}" for c in self.columns)

    def find(self, name: str) -> Column | None:
        """The column of that name, without regard to case; None: there is none."""
        folded = name.casefold()
        return next((c for c in self.columns if c.name.casefold() == folded), None)
