"""Types, columns and table schemas in Iceberg's vocabulary, and what changes between two schemas.

Knows nothing of YAML, Arrow, DuckDB or PyIceberg; those rooms translate at their own doors.
"""

from __future__ import annotations

from autoloader.schema.changes import (
    ChangeClass,
    ChangeKind,
    SchemaChange,
    compare,
    compare_in,
    evolve,
    is_promotion,
    merge,
    renames,
    union,
)
from autoloader.schema.places import Place, places
from autoloader.schema.text import from_data, parse_type, to_data
from autoloader.schema.types import (
    PRIMITIVES,
    Column,
    Decimal,
    ListOf,
    MapOf,
    Primitive,
    Struct,
    TableSchema,
    Type,
    quote,
)

__all__ = [
    "PRIMITIVES",
    "ChangeClass",
    "ChangeKind",
    "Column",
    "Decimal",
    "ListOf",
    "MapOf",
    "Place",
    "Primitive",
    "SchemaChange",
    "Struct",
    "TableSchema",
    "Type",
    "compare",
    "compare_in",
    "evolve",
    "from_data",
    "is_promotion",
    "merge",
    "parse_type",
    "places",
    "quote",
    "renames",
    "to_data",
    "union",
]
