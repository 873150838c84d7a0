"""Iceberg's partition transforms: computed in DuckDB where it can, and by PyIceberg for buckets.

Values come out as Iceberg's internal ones: days, months, years and hours since 1970 (negative before).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from autoloader.errors import LakeError
from autoloader.loader.columns import TableColumn, quote

if TYPE_CHECKING:
    import duckdb

_WIDTH: Final = re.compile(r"(bucket|truncate)\[(\d+)\]")
_DECIMAL: Final = re.compile(r"decimal\(\s*\d+\s*,\s*(\d+)\s*\)")
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - zone-less like the values it is compared with
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class PartitionField:
    """One field of a partition spec, its source column resolved.

    Attributes:
        name: The partition field's name.
        transform: `identity`, `day`, `bucket[16]`, …
        path: Names from the top-level column down to the source field.
        source_type: The source field's Iceberg type.
    """

    name: str
    transform: str
    path: tuple[str, ...]
    source_type: str

    @property
    def source_sql(self) -> str:
        """The source field as a DuckDB expression; times in microseconds."""
        return _comparable(self.source_type, ".".join(quote(part) for part in self.path))

    @property
    def buckets(self) -> int | None:
        """The number of buckets, where the transform is one."""
        found = _WIDTH.fullmatch(self.transform)
        return int(found[2]) if found and found[1] == "bucket" else None

    @property
    def sql(self) -> str:
        """The partition value as a DuckDB expression; not for buckets."""
        return _expression(self.transform, self.source_type, ".".join(quote(part) for part in self.path))


def partition_fields(spec_json: str, columns: tuple[TableColumn, ...]) -> tuple[PartitionField, ...]:
    """The fields of a spec, in order; none for an unpartitioned table."""
    sources: dict[int, tuple[tuple[str, ...], Any]] = {}
    for column in columns:
        _collect((column.name,), column.field_id, column.iceberg_type, sources)
    fields = []
    for field in json.loads(spec_json)["fields"]:
        path, kind = sources.get(field["source-id"], (("",), "string"))
        fields.append(PartitionField(field["name"], field["transform"], path, kind))
    return tuple(fields)


def _collect(path: tuple[str, ...], field_id: int, kind: Any, into: dict[int, Any]) -> None:
    into[field_id] = (path, kind)
    if isinstance(kind, dict) and kind["type"] == "struct":
        for field in kind["fields"]:
            _collect((*path, field["name"]), field["id"], field["type"], into)


def _expression(transform: str, kind: str, column: str) -> str:
    match transform:
        case "identity":
            return _comparable(kind, column)
        case "void":
            return "NULL"
        case "year":
            return f"CAST(year({_civil(kind, column)}) - 1970 AS INTEGER)"
        case "month":
            civil = _civil(kind, column)
            return f"CAST((year({civil}) - 1970) * 12 + month({civil}) - 1 AS INTEGER)"
        case "day":
            return f"CAST(CAST({_civil(kind, column)} AS DATE) - DATE '1970-01-01' AS INTEGER)"
        case "hour":
            return f"CAST({_floor_to(f'epoch_us({column})', '3600000000')} // 3600000000 AS INTEGER)"
    if (found := _WIDTH.fullmatch(transform)) and found[1] == "truncate":
        return _truncated(int(found[2]), kind, column)
    raise LakeError(
        f"the partition transform {transform} cannot be written",
        fix="use identity, year, month, day, hour, bucket[n] or truncate[n] in destination.partition_by.",
    )


def _comparable(kind: str, column: str) -> str:
    """Times as microseconds (DuckDB hands zone-aware ones to Python only with another package)."""
    return f"epoch_us({column})" if kind in ("timestamp", "timestamptz") else column


def _civil(kind: str, column: str) -> str:
    """A zone-aware time as the civil one in UTC, whatever the session's zone; others as they are."""
    return f"make_timestamp(epoch_us({column}))" if kind == "timestamptz" else column


def _floor_to(value: str, width: str) -> str:
    """The greatest multiple of `width` that is not above `value` (DuckDB's % keeps the sign)."""
    return f"({value} - ((({value}) % {width}) + {width}) % {width})"


def _truncated(width: int, kind: str, column: str) -> str:
    if kind == "string":
        return f"left({column}, {width})"
    if kind == "binary":
        return f"unhex(left(hex({column}), {2 * width}))"
    if found := _DECIMAL.fullmatch(kind):
        step = f"CAST({Decimal(width).scaleb(-int(found[1]))} AS DECIMAL(38, {found[1]}))"
        return f"CAST({_floor_to(column, step)} AS DECIMAL(38, {found[1]}))"
    bits, sql = (32, "INTEGER") if kind == "int" else (64, "BIGINT")
    low = _floor_to(f"CAST({column} AS HUGEINT)", str(width))
    # below the type's least value the other engines wrap around
    return f"CAST(CASE WHEN {low} < {-(2 ** (bits - 1))} THEN {low} + {2**bits} ELSE {low} END AS {sql})"


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A relation with the number of its partition on every row.

    Attributes:
        source: What stands after FROM: the rows, with the partition's number in the column `number`.
        number: The name of that column.
        values: Per number, the partition's values as JSON.
    """

    source: str
    number: str
    values: tuple[str, ...]


def number_partitions(con: duckdb.DuckDBPyConnection, fields: tuple[PartitionField, ...], table: str) -> Partitioned:
    """Find the distinct partitions of a DuckDB table's rows and number them.

    Leaves temporary tables behind, which `drop_numbers` removes.
    """
    joins, values = [], []
    for place, field in enumerate(fields):
        if field.buckets is None:
            values.append(field.sql)
            continue
        name = f"{table}_bucket_{place}"
        _bucket_table(con, name, field, field.buckets, table)
        joins.append(f"LEFT JOIN {name} b{place} ON b{place}.source IS NOT DISTINCT FROM {field.source_sql}")
        values.append(f"b{place}.bucket")
    named = ", ".join(f"{value} AS p{place}" for place, value in enumerate(values))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {table}_partitions AS"
        f" SELECT *, CAST(row_number() OVER () - 1 AS INTEGER) AS _partition_number"
        f" FROM (SELECT DISTINCT {named} FROM {table} {' '.join(joins)})"
    )
    found = con.execute(f"SELECT * FROM {table}_partitions ORDER BY _partition_number").fetchall()
    same = " AND ".join(f"parts.p{place} IS NOT DISTINCT FROM {value}" for place, value in enumerate(values))
    source = f"{table} {' '.join(joins)} JOIN {table}_partitions parts ON {same}"
    return Partitioned(source, "_partition_number", tuple(values_json(row[:-1]) for row in found))


def drop_numbers(con: duckdb.DuckDBPyConnection, fields: tuple[PartitionField, ...], table: str) -> None:
    """Remove what `number_partitions` left."""
    con.execute(f"DROP TABLE IF EXISTS {table}_partitions")
    for place, _ in enumerate(fields):
        con.execute(f"DROP TABLE IF EXISTS {table}_bucket_{place}")


def _bucket_table(con: duckdb.DuckDBPyConnection, name: str, field: PartitionField, buckets: int, table: str) -> None:
    """A table `source -> bucket` of the distinct source values; hashed by PyIceberg, once per value."""
    import pyarrow as pa
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import BucketTransform
    from pyiceberg.types import NestedField

    kind = Schema(
        NestedField.model_validate({"id": 1, "name": "x", "type": field.source_type, "required": False})
    ).find_type("x")
    transform = BucketTransform(buckets).transform(kind)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {name}_source AS"
        f" SELECT source, CAST(row_number() OVER () AS BIGINT) AS n"
        f" FROM (SELECT DISTINCT {field.source_sql} AS source FROM {table})"
    )
    found = con.execute(f"SELECT n, source FROM {name}_source").fetchall()
    hashed = pa.table(
        {
            "n": pa.array([n for n, _ in found], pa.int64()),
            "bucket": pa.array([transform(internal(value)) for _, value in found], pa.int32()),
        }
    )
    con.register(f"{name}_hashed", hashed)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS"
        f" SELECT s.source, h.bucket FROM {name}_source s JOIN {name}_hashed h USING (n)"
    )
    con.unregister(f"{name}_hashed")
    con.execute(f"DROP TABLE {name}_source")


def internal(value: Any) -> Any:
    """A DuckDB value as Iceberg holds it: dates in days, times in microseconds."""
    match value:
        case datetime():
            return (value.replace(tzinfo=None) - (value.utcoffset() or timedelta()) - _EPOCH) // _MICROSECOND
        case date():
            return (value - _EPOCH.date()).days
        case time():
            return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
        case _:
            return value


def values_json(values: tuple[Any, ...]) -> str:
    """Partition values as JSON: internal ones; decimals, UUIDs and floats as text, binaries in hex."""
    return json.dumps([_plain(internal(value)) for value in values], ensure_ascii=False)


def _plain(value: Any) -> Any:
    match value:
        case Decimal() | UUID() | float():
            return str(value)
        case bytes():
            return value.hex()
        case _:
            return value
