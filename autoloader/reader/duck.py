"""DuckDB's side of the vocabulary: a safe connection, quoted names and literals, types both ways."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, assert_never

from autoloader.inmemory import in_memory
from autoloader.schema import Column, Decimal, ListOf, MapOf, Primitive, Struct, Type

if TYPE_CHECKING:
    import duckdb

_FROM_PRIMITIVE: Final = {
    "boolean": "BOOLEAN",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "string": "VARCHAR",
    "uuid": "UUID",
    "binary": "BLOB",
}
_TO_PRIMITIVE: Final = {
    "boolean": "boolean",
    "tinyint": "int",
    "smallint": "int",
    "integer": "int",
    "utinyint": "int",
    "usmallint": "int",
    "uinteger": "long",
    "bigint": "long",
    "float": "float",
    "double": "double",
    "date": "date",
    "time": "time",
    "time_ns": "time",
    "timestamp": "timestamp",
    "timestamp_s": "timestamp",
    "timestamp_ms": "timestamp",
    "timestamp_ns": "timestamp",
    "timestamp with time zone": "timestamptz",
    "timestamptz": "timestamptz",
    "timestamptz_ns": "timestamptz",
    "uuid": "uuid",
    "blob": "binary",
}
_TO_DECIMAL: Final = {"ubigint": Decimal(20, 0), "hugeint": Decimal(38, 0), "uhugeint": Decimal(38, 0)}


def connect(*, threads: int, memory_limit: str, temp_directory: Path) -> duckdb.DuckDBPyConnection:
    """A private in-memory DuckDB: nothing from the network, bounded memory, order of rows kept, UTC.

    Args:
        threads: Of this connection.
        memory_limit: Such as "2GB"; what is over spills into `temp_directory`.
        temp_directory: Exists; only this connection writes there.
    """
    con = in_memory(
        threads=threads,
        memory_limit=memory_limit,
        temp_directory=str(temp_directory),
        enable_external_access=True,
        autoinstall_known_extensions=False,
        autoload_known_extensions=False,
        preserve_insertion_order=True,
    )
    con.execute("SET TimeZone = 'UTC'")
    return con


def first_row(con: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...] | None:
    """The first row of a query that has one or none; the result is closed."""
    rows = con.execute(query).fetchall()
    return rows[0] if rows else None


def name(text: str) -> str:
    """An identifier in SQL."""
    return '"' + text.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def duck_type(kind: Type) -> str:
    """The DuckDB type whose values are written as `kind`."""
    match kind:
        case Primitive(word):
            return _FROM_PRIMITIVE[word]
        case Decimal(precision, scale):
            return f"DECIMAL({precision},{scale})"
        case ListOf(element):
            return f"{duck_type(element)}[]"
        case MapOf(key, value):
            return f"MAP({duck_type(key)}, {duck_type(value)})"
        case Struct(fields):
            return "STRUCT(" + ", ".join(f"{name(f.name)} {duck_type(f.type)}" for f in fields) + ")"
        case _:
            assert_never(kind)


def is_null(kind: Any) -> bool:
    """Whether a `DuckDBPyType` is that of a column which has nothing but nulls by its very type."""
    return kind.id in ("null", "sqlnull", '"null"')


def from_duck(kind: Any, of_nulls: Type | None = None) -> Type:
    """The type that holds every value of a `DuckDBPyType`; `string` for what the vocabulary has not.

    Args:
        kind: The type.
        of_nulls: What stands for a type that has nothing but nulls; None: `string`.
    """
    word = kind.id
    if of_nulls is not None and is_null(kind):
        return of_nulls
    if word == "decimal":
        sizes = dict(kind.children)
        return Decimal(sizes["precision"], sizes["scale"])
    if word in ("list", "array"):
        return ListOf(from_duck(kind.children[0][1], of_nulls))
    if word == "map":
        parts = dict(kind.children)
        return MapOf(from_duck(parts["key"], of_nulls), from_duck(parts["value"], of_nulls))
    if word == "struct":
        return Struct(tuple(Column(n, from_duck(t, of_nulls)) for n, t in kind.children))
    if word in _TO_DECIMAL:
        return _TO_DECIMAL[word]
    return Primitive(_TO_PRIMITIVE.get(word, "string"))
