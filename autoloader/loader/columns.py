"""An Iceberg schema as DuckDB needs it: types, nested field ids, and where DuckDB's writer is not right.

Works on the schema's JSON, so that a task does not have to import PyIceberg (0.9 s of CPU per worker).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_PRIMITIVES: Final = {
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
_DECIMAL: Final = re.compile(r"decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)")


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One top-level column of an Iceberg schema.

    Attributes:
        name: Its name.
        field_id: Its Iceberg field id.
        iceberg_type: The type as the schema's JSON has it: a string, or a mapping for nested types.
        duckdb_type: The DuckDB type whose Parquet form is the one that Iceberg asks for; None: there is none.
    """

    name: str
    field_id: int
    iceberg_type: Any
    duckdb_type: str | None


def table_columns(schema_json: str) -> tuple[TableColumn, ...]:
    """The columns of a schema, in order."""
    return tuple(
        TableColumn(f["name"], f["id"], f["type"], duckdb_type(f["type"])) for f in json.loads(schema_json)["fields"]
    )


def quote(name: str) -> str:
    """A name as a DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text as a DuckDB literal."""
    return "'" + value.replace("'", "''") + "'"


def duckdb_type(iceberg_type: Any) -> str | None:
    """The DuckDB type that is written to Parquet as Iceberg's; None: there is none (`fixed`)."""
    if isinstance(iceberg_type, str):
        if found := _DECIMAL.fullmatch(iceberg_type):
            return f"DECIMAL({found[1]}, {found[2]})"
        return _PRIMITIVES.get(iceberg_type)
    match iceberg_type["type"]:
        case "list":
            element = duckdb_type(iceberg_type["element"])
            return None if element is None else f"{element}[]"
        case "map":
            key, value = duckdb_type(iceberg_type["key"]), duckdb_type(iceberg_type["value"])
            return None if key is None or value is None else f"MAP({key}, {value})"
        case "struct":
            fields = [(f["name"], duckdb_type(f["type"])) for f in iceberg_type["fields"]]
            if any(kind is None for _, kind in fields):
                return None
            return "STRUCT(" + ", ".join(f"{quote(name)} {kind}" for name, kind in fields) + ")"
        case _:
            return None


def field_ids(columns: tuple[TableColumn, ...]) -> str:
    """The value of COPY's FIELD_IDS option: ids of every field, nested ones included."""
    return "{" + ", ".join(f"{quote(c.name)}: {_ids(c.field_id, c.iceberg_type)}" for c in columns) + "}"


def _ids(field_id: int, iceberg_type: Any) -> str:
    if isinstance(iceberg_type, str):
        return str(field_id)
    match iceberg_type["type"]:
        case "list":
            inner = f"element: {_ids(iceberg_type['element-id'], iceberg_type['element'])}"
        case "map":
            inner = (
                f"key: {_ids(iceberg_type['key-id'], iceberg_type['key'])}, "
                f"value: {_ids(iceberg_type['value-id'], iceberg_type['value'])}"
            )
        case _:
            inner = ", ".join(f"{quote(f['name'])}: {_ids(f['id'], f['type'])}" for f in iceberg_type["fields"])
    return f"{{__duckdb_field_id: {field_id}, {inner}}}"


def projection(
    columns: tuple[TableColumn, ...],
    present: frozenset[str],
    source: str,
    constants: Mapping[str, str] | None = None,
) -> str:
    """A SELECT of the table's columns, in its order and types, from a relation that has some of them.

    Args:
        columns: The table's.
        present: Lower-case names that `source` has; the others become null.
        source: What stands after FROM.
        constants: Text columns whose every value is known: written as an ENUM, which spares DuckDB the
            search for distinct values (the file is the same, a sixth of the time).
    """
    known = constants or {}
    parts = []
    for column in columns:
        value = quote(column.name) if column.name.lower() in present else "NULL"
        parts.append(f"{_cast(value, column, known.get(column.name))} AS {quote(column.name)}")
    return f"SELECT {', '.join(parts)} FROM {source}"


def _cast(value: str, column: TableColumn, constant: str | None) -> str:
    """Without a DuckDB type the value stays as it is, for PyArrow to convert."""
    if constant is not None and column.duckdb_type == "VARCHAR":
        return f"CAST({value} AS ENUM({text(constant)}))"
    return value if column.duckdb_type is None else f"CAST({value} AS {column.duckdb_type})"
