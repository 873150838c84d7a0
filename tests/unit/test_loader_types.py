"""What the loader writes is what Iceberg asks for, type by type, and what PyIceberg reads back."""

# ruff: noqa: DTZ001 - civil times are meant
from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest

from autoloader.lake import Lake
from autoloader.loader.columns import duckdb_type
from autoloader.schema import Column, TableSchema, parse_type
from tests.behaviour import lake_kit as kit

U = "8f8d3e1a-0b1c-4d5e-9f00-112233445566"
CASES: dict[str, tuple[str, Any]] = {
    # type: (DuckDB literal, Python value)
    "boolean": ("true", True),
    "int": ("-2147483648", -(2**31)),
    "long": ("-9223372036854775808", -(2**63)),
    "float": ("1.5::FLOAT", 1.5),
    "double": ("1e300", 1e300),
    "decimal(9,2)": ("-1234567.89", Decimal("-1234567.89")),
    "decimal(18,4)": ("12345678901234.5678", Decimal("12345678901234.5678")),
    "decimal(38,10)": ("1234567890123456789012345678.0123456789", Decimal("1234567890123456789012345678.0123456789")),
    "date": ("DATE '1969-12-31'", date(1969, 12, 31)),
    "time": ("TIME '23:59:59.999999'", time(23, 59, 59, 999999)),
    "timestamp": ("TIMESTAMP '1969-12-31 23:59:59.999999'", datetime(1969, 12, 31, 23, 59, 59, 999999)),
    "timestamptz": (
        "TIMESTAMPTZ '2024-02-29 12:00:00.000001+02'",
        datetime(2024, 2, 29, 10, 0, 0, 1, tzinfo=UTC),
    ),
    "string": ("'é\U0001f600'", "é\U0001f600"),
    "uuid": (f"'{U}'::UUID", UUID(U)),
    "binary": ("'\\x00\\xFFa'::BLOB", b"\x00\xffa"),
    "list<int>": ("[1, NULL, 3]", [1, None, 3]),
    "map<string, decimal(9,2)>": ("MAP {'a': 1.25, 'b': NULL}", [("a", Decimal("1.25")), ("b", None)]),
    "struct<`a b`: long, c: timestamptz>": (
        "{'a b': 5, 'c': TIMESTAMPTZ '2024-01-01 00:00:00+00'}",
        {"a b": 5, "c": datetime(2024, 1, 1, tzinfo=UTC)},
    ),
    "list<struct<x: map<string, list<struct<y: uuid>>>>>": (
        f"[{{'x': MAP {{'k': [{{'y': '{U}'::UUID}}]}}}}]",
        [{"x": [("k", [{"y": UUID(U)}])]}],
    ),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, list[dict[str, Any]], Path]:
    """One table with a column per case: a row of values, a row of nulls."""
    lake = Lake(project_dir=tmp_path_factory.mktemp("types"))
    schema = TableSchema(tuple(Column(f"c{i}", parse_type(t)) for i, t in enumerate(CASES)))
    lake.create("raw.types", schema)
    values = ", ".join(f"{literal} AS c{i}" for i, (literal, _) in enumerate(CASES.values()))
    nulls = ", ".join(f"NULL AS c{i}" for i, _ in enumerate(CASES))
    data = kit.data_files(lake, "raw.types", f"SELECT {values} UNION ALL SELECT {nulls}")
    lake.commit("raw.types", kit.batch(data))
    (path,) = data.column("path").to_pylist()
    return lake, kit.scan(lake, "raw.types"), Path(path.removeprefix("file://"))


@pytest.mark.parametrize(("place", "kind"), list(enumerate(CASES)), ids=list(CASES))
def test_a_value_comes_back_as_it_was_and_a_null_as_null(loaded: Any, place: int, kind: str) -> None:
    _, rows, _ = loaded
    if kind.startswith("list<struct"):  # PyIceberg reads a null list of structs as an empty one
        assert rows[1].pop(f"c{place}") in (None, [])
    assert [rows[0][f"c{place}"], rows[1].get(f"c{place}")] == [CASES[kind][1], None]


def test_nulls_are_nulls_in_the_file_at_every_depth(loaded: Any) -> None:
    _, _, path = loaded
    found = pq.read_table(path, columns=[f"c{i}" for i in range(len(CASES))]).to_pylist()
    assert list(found[0].values()) == [value for _, value in CASES.values()]
    assert set(found[1].values()) == {None}


def test_every_field_of_the_file_has_icebergs_id_and_physical_type(loaded: Any) -> None:
    from pyiceberg.io.pyarrow import pyarrow_to_schema

    lake, _, path = loaded
    found = pq.read_schema(path)
    table = lake._catalog.load_table("raw.types").schema()
    ids = {name: table.find_field(name).field_id for name in table.column_names}
    assert {name: pyarrow_to_schema(found).find_field(name).field_id for name in ids} == ids
    types = {name: str(table.find_type(name)) for name in ids}
    assert {name: str(pyarrow_to_schema(found).find_type(name)) for name in ids} == types
    logical = pq.ParquetFile(path).schema
    by_name = {logical.column(i).path: logical.column(i) for i in range(len(logical))}
    place = {kind: f"c{i}" for i, kind in enumerate(CASES)}
    assert str(by_name[place["uuid"]].logical_type) == "UUID"
    assert by_name[place["uuid"]].length == 16
    assert "isAdjustedToUTC=true, timeUnit=microseconds" in str(by_name[place["timestamptz"]].logical_type)
    assert "isAdjustedToUTC=false, timeUnit=microseconds" in str(by_name[place["timestamp"]].logical_type)
    assert "isAdjustedToUTC=false, timeUnit=microseconds" in str(by_name[place["time"]].logical_type)
    assert str(by_name[place["decimal(38,10)"]].logical_type) == "Decimal(precision=38, scale=10)"
    assert str(by_name[place["binary"]].logical_type) == "None"


@pytest.mark.parametrize(
    ("kind", "below", "above"),
    [
        ("int", "-2147483649", "-2147483647"),
        ("decimal(9,2)", "'-1234567.90'", "'-1234567.88'"),
        ("date", "'1969-12-30'", "'1970-01-01'"),
        ("timestamptz", "'2024-02-29T10:00:00.000000+00:00'", "'2024-02-29T10:00:00.000002+00:00'"),
    ],
)
def test_bounds_prune_on_both_sides_and_never_the_value_itself(loaded: Any, kind: str, below: str, above: str) -> None:
    lake, _, _ = loaded
    column = f"c{list(CASES).index(kind)}"
    table = lake._catalog.load_table("raw.types")
    files = {
        text: len(list(table.scan(row_filter=text).plan_files()))
        for text in (f"{column} > {above}", f"{column} > {below}", f"{column} is null")
    }
    assert list(files.values()) == [0, 1, 1]


def test_nan_leaves_the_bounds_unknown_instead_of_wrong(tmp_path: Path) -> None:
    lake = Lake(project_dir=tmp_path)
    lake.create("raw.nan", TableSchema((Column("x", parse_type("double")),)))
    select = (  # a row group with NaN and small values, then one without and large ones
        "SELECT CASE WHEN range = 5 THEN 'nan'::DOUBLE ELSE range END AS x FROM range(200000)"
    )
    data = kit.data_files(lake, "raw.nan", select)
    lake.commit("raw.nan", kit.batch(data))
    assert [row["x"] for row in kit.scan(lake, "raw.nan", row_filter="x < 3")] == [0.0, 1.0, 2.0]
    assert math.isnan(kit.scan(lake, "raw.nan", row_filter="x is nan")[0]["x"])
    lake.close()


def test_long_texts_have_bounds_that_hold(tmp_path: Path) -> None:
    lake = Lake(project_dir=tmp_path)
    lake.create("raw.long", TableSchema((Column("x", parse_type("string")), Column("b", parse_type("binary")))))
    select = "SELECT repeat('z', 300) || range AS x, repeat('z', 300)::BLOB AS b FROM range(3)"
    lake.commit("raw.long", kit.batch(kit.data_files(lake, "raw.long", select)))
    assert len(kit.scan(lake, "raw.long", row_filter="x = '" + "z" * 300 + "2'")) == 1
    lake.close()


def test_a_type_that_duckdb_does_not_write_goes_through_pyarrow(tmp_path: Path) -> None:
    """`fixed` comes from tables that another tool made."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import FixedType, LongType, NestedField, UUIDType

    lake = Lake(project_dir=tmp_path)
    lake.create("raw.seed", TableSchema((Column("id", parse_type("long")),)))
    lake._catalog.create_table(
        "raw.fixed",
        Schema(
            NestedField(1, "id", LongType(), required=False),
            NestedField(2, "code", FixedType(4), required=False),
            NestedField(3, "u", UUIDType(), required=False),
        ),
    )
    select = f"SELECT 1 AS id, 'abcd'::BLOB AS code, '{U}'::UUID AS u UNION ALL SELECT 2, NULL, NULL"
    lake.commit("raw.fixed", kit.batch(kit.data_files(lake, "raw.fixed", select)))
    assert kit.scan(lake, "raw.fixed") == [
        {"id": 1, "code": b"abcd", "u": UUID(U)},
        {"id": 2, "code": None, "u": None},
    ]
    lake.close()


def test_types_without_a_duckdb_form_are_known() -> None:
    assert duckdb_type("fixed[4]") is None
    assert duckdb_type({"type": "list", "element-id": 1, "element": "timestamp_ns"}) is None
    assert (
        duckdb_type({"type": "struct", "fields": [{"name": 'a"b', "id": 1, "type": "int"}]}) == 'STRUCT("a""b" INTEGER)'
    )
