"""Partition values are Iceberg's: compared with PyIceberg's own transforms, value by value."""

# ruff: noqa: DTZ001 - civil times are meant
from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from autoloader.lake import Lake
from autoloader.loader.partitions import PartitionField, number_partitions
from autoloader.schema import Column, TableSchema, parse_type
from tests.behaviour import lake_kit as kit

EPOCH = datetime(1970, 1, 1)
TIMES = [
    EPOCH,
    EPOCH - timedelta(microseconds=1),
    EPOCH - timedelta(hours=1),
    EPOCH - timedelta(days=365, microseconds=1),
    datetime(1969, 12, 31, 0, 0),
    datetime(1900, 2, 28, 23, 59, 59, 999999),
    datetime(2024, 2, 29, 23, 59, 59, 999999),
    datetime(2038, 1, 19, 3, 14, 8),
    datetime(9999, 12, 31, 23, 59, 59, 999999),
    datetime(1, 1, 1),
]
VALUES: dict[str, list[Any]] = {
    "int": [0, 1, -1, 7, -8, 2**31 - 1, -(2**31) + 8],
    "long": [0, 1, -1, 34, -35, 2**63 - 1, -(2**63) + 100],
    "decimal(9,2)": [Decimal(v) for v in ("0.00", "14.20", "-14.20", "-0.01", "9999999.99")],
    "decimal(38,10)": [Decimal(v) for v in ("0.0000000001", "-1234567890123456789012345678.0123456789")],
    "date": [t.date() for t in TIMES],
    "time": [time(0), time(23, 59, 59, 999999)],
    "timestamp": TIMES,
    "timestamptz": [t.replace(tzinfo=UTC) for t in TIMES],
    "string": ["", "iceberg", "éàü\U0001f600x", "a", "ice"],
    "uuid": [UUID(int=1), UUID("f79c3e09-677c-4bbd-a479-3f349cb785e7")],
    "binary": [b"", b"\x00\x01\x02\x03\x04", b"\xff"],
}
FITS = {
    "identity": list(VALUES),
    "year": ["date", "timestamp", "timestamptz"],
    "month": ["date", "timestamp", "timestamptz"],
    "day": ["date", "timestamp", "timestamptz"],
    "hour": ["timestamp", "timestamptz"],
    "bucket[16]": ["int", "long", "decimal(9,2)", "decimal(38,10)", "date", "time", "timestamp", "timestamptz",
                   "string", "uuid", "binary"],
    "truncate[10]": ["int", "long", "decimal(9,2)", "decimal(38,10)"],
    "truncate[2]": ["string", "binary"],
}  # fmt: skip
ALL = [(transform, kind) for transform, kinds in FITS.items() for kind in kinds]


def expected(transform: str, kind: str, value: Any) -> Any:
    from pyiceberg.partitioning import _to_partition_representation
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import parse_transform
    from pyiceberg.types import NestedField

    if value is None:
        return None
    field = NestedField.model_validate({"id": 1, "name": "x", "type": kind, "required": False})
    found = Schema(field).find_type("x")
    internal = _to_partition_representation(found, value)
    if isinstance(value, UUID):
        internal = value
    got = parse_transform(transform).transform(found)(internal)
    match got:
        case Decimal() | UUID():
            return str(got)
        case bytes():
            return got.hex()
        case _:
            return got


def sql_literal(kind: str, value: Any) -> str:
    types = {"int": "INTEGER", "long": "BIGINT", "string": "VARCHAR", "binary": "BLOB"}
    sql = types.get(kind, kind)
    if value is None:
        return f"NULL::{sql}"
    if isinstance(value, bytes):
        return f"unhex('{value.hex()}')"
    return f"'{value}'::{sql}"


@pytest.mark.parametrize(("transform", "kind"), ALL, ids=[f"{t}({k})" for t, k in ALL])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_partition_value_is_what_pyiceberg_says(transform: str, kind: str, zone: str) -> None:
    field = PartitionField("p", transform, ("x",), kind)
    values = [*VALUES[kind], None]
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        union = " UNION ALL ".join(f"SELECT {sql_literal(kind, v)} AS x, {i} AS i" for i, v in enumerate(values))
        con.execute(f"CREATE TEMP TABLE t AS {union}")
        con.execute(f"SET TimeZone = '{zone}'")
        parts = number_partitions(con, (field,), "t")
        rows = con.execute(f"SELECT i, {parts.number} FROM {parts.source} ORDER BY i").fetchall()
    got = [json.loads(parts.values[number])[0] for _, number in rows]
    assert got == [expected(transform, kind, v) for v in values]


def test_truncating_the_least_int_wraps_around_as_in_other_engines() -> None:
    with duckdb.connect() as con:
        con.execute("CREATE TEMP TABLE t AS SELECT (-2147483648)::INTEGER AS x")
        assert number_partitions(con, (PartitionField("p", "truncate[10]", ("x",), "int"),), "t").values == (
            "[2147483646]",
        )


@pytest.fixture
def lake(tmp_path: Path) -> Any:
    found = Lake(project_dir=tmp_path)
    yield found
    found.close()


@pytest.mark.slow
@pytest.mark.parametrize(("transform", "kind"), ALL, ids=[f"{t}({k})" for t, k in ALL])
def test_a_partitioned_table_gives_every_row_back_and_prunes(lake: Lake, transform: str, kind: str) -> None:
    term = "x" if transform == "identity" else f"{transform}(x)"
    lake.create("raw.p", TableSchema((Column("x", parse_type(kind)), Column("i", parse_type("int")))), [term])
    values = [*VALUES[kind], None]
    if transform == "identity" and kind in ("timestamp", "timestamptz", "date"):
        values = [*values[:6], None]
    union = " UNION ALL ".join(f"SELECT {sql_literal(kind, v)} AS x, {i} AS i" for i, v in enumerate(values))
    data = kit.data_files(lake, "raw.p", union)
    distinct = {json.dumps(expected(transform, kind, v)) for v in values}
    assert data.num_rows == len(distinct)
    lake.commit("raw.p", kit.batch(data))
    rows = sorted(kit.scan(lake, "raw.p"), key=lambda r: r["i"])
    assert [r["x"] for r in rows] == values
    table = lake._catalog.load_table("raw.p")
    nulls = table.scan(row_filter="x is null")
    assert [r["i"] for r in nulls.to_arrow().to_pylist()] == [len(values) - 1]
    assert len(list(nulls.plan_files())) == 1


def test_several_partition_fields_make_one_file_per_combination(lake: Lake) -> None:
    columns = (
        Column("a", parse_type("string")),
        Column("d", parse_type("date")),
        Column("n", parse_type("struct<k: int>")),
    )
    lake.create("raw.p", TableSchema(columns), ["a", "month(d)", "bucket[3](n.k)"])
    select = (
        "SELECT ['x', 'y', NULL][1 + range % 3] AS a, DATE '2024-01-01' + (range % 60)::INT AS d,"
        " {'k': 7} AS n FROM range(600)"
    )
    data = kit.data_files(lake, "raw.p", select)
    assert data.num_rows == 6
    assert {json.loads(p)[0] for p in data.column("partition_json").to_pylist()} == {"x", "y", None}
    lake.commit("raw.p", kit.batch(data))
    assert len(kit.scan(lake, "raw.p")) == 600
    table = lake._catalog.load_table("raw.p")
    assert len(list(table.scan(row_filter="a = 'x' and d < '2024-01-15'").plan_files())) == 1


def test_hostile_partition_values_stay_values(lake: Lake) -> None:
    lake.create("raw.p", TableSchema((Column("x", parse_type("string")),)), ["x"])
    values = ["a/b", "__HIVE_DEFAULT_PARTITION__", "%2F", "x" * 400, "..", "", "n\nl", "null"]
    union = " UNION ALL ".join("SELECT '" + v.replace("'", "''") + "' AS x" for v in values) + " UNION ALL SELECT NULL"
    lake.commit("raw.p", kit.batch(kit.data_files(lake, "raw.p", union)))
    found = [r["x"] for r in kit.scan(lake, "raw.p")]
    assert sorted(v for v in found if v is not None) == sorted(values)
    assert found.count(None) == 1
