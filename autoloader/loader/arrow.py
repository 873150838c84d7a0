"""Parquet by PyArrow: for Iceberg types that DuckDB does not write as Iceberg asks, and for rewrites."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa


def arrow_schema(schema_json: str) -> pa.Schema:
    """The Arrow schema of an Iceberg schema, field ids on every field."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow
    from pyiceberg.schema import Schema

    return pa.schema(schema_to_pyarrow(Schema.model_validate_json(schema_json)))


def write_batches(reader: pa.RecordBatchReader, schema_json: str, path: Path, codec: str) -> int:
    """Write batches as one Parquet file, cast to the Iceberg schema.

    Returns:
        The number of rows; 0 where there were none and no file was left.
    """
    import pyarrow.parquet as pq

    schema = arrow_schema(schema_json)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    with pq.ParquetWriter(path, schema, compression=codec.removesuffix("_raw")) as writer:
        for batch in reader:
            columns: list[Any] = [cast(batch.column(i), field.type) for i, field in enumerate(schema)]
            writer.write_table(pa.table(columns, schema=schema))
            rows += batch.num_rows
    if rows == 0:
        path.unlink()
    return rows


def cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column as PyIceberg's Arrow type for it."""
    if column.type == kind:
        return column
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_fixed_size_binary(kind) or isinstance(kind, pa.BaseExtensionType):
        storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
        stored = pa.array([_bytes(v) for v in column.to_pylist()], storage)
        return pa.ExtensionArray.from_storage(kind, stored) if storage is not kind else stored
    return column.cast(kind)


def _bytes(value: Any) -> bytes | None:
    """DuckDB hands UUIDs to Arrow as text."""
    match value:
        case None:
            return None
        case str():
            return UUID(value).bytes
        case UUID():
            return value.bytes
        case _:
            return bytes(value)
