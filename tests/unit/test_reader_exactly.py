"""Typed files of which DuckDB would lose digits or days without a word."""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.reading import Content, read


def parquet(array: pa.Array, **options: Any) -> Content:
    return lambda path: pq.write_table(pa.table({"a": array}), path, **options)


INT96 = {"use_deprecated_int96_timestamps": True}
NANOS = pa.timestamp("ns")


def test_int96_to_the_microsecond_is_read_as_it_is(tmp_path: Path) -> None:
    days = [dt.datetime(1, 1, 1), dt.datetime(2024, 1, 1, 1, 2, 3, 4), None, dt.datetime(9999, 12, 31)]  # noqa: DTZ001
    found = read(tmp_path, parquet(pa.array(days, pa.timestamp("us")), **INT96), {"a": "timestamp"}, "parquet")
    assert found.column("a") == days


def test_int96_with_digits_below_the_microsecond_is_bad_and_kept_whole(tmp_path: Path) -> None:
    content = parquet(pa.array([1_700_000_000_123_456_789, 1_700_000_000_123_456_000, None], NANOS), **INT96)
    found = read(tmp_path, content, {"a": "timestamp"}, "parquet", max_bad_rows=1)
    assert [r[2:] for r in found.rejects] == [("2023-11-14 22:13:20.123456789", "has digits below a microsecond")]
    assert [r["_src_row"] for r in found.rows] == [1, 2]
    texts = read(tmp_path, content, {"a": "string"}, "parquet")
    assert texts.column("a") == ["2023-11-14 22:13:20.123456789", "2023-11-14 22:13:20.123456", None]


def test_int96_inside_of_a_list_is_judged_too(tmp_path: Path) -> None:
    values = pa.array([[1_700_000_000_123_456_789], [1000], None, [None]], pa.list_(NANOS))
    found = read(tmp_path, parquet(values, **INT96), {"a": "list<timestamp>"}, "parquet", max_bad_rows=1)
    assert [r["_src_row"] for r in found.rows] == [1, 2, 3]
    assert found.rejects[0][2] == '["2023-11-14 22:13:20.123456789"]'


def test_int96_nanoseconds_of_a_year_that_nanoseconds_do_not_reach(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        parquet(
            pa.array([dt.datetime(9999, 12, 31, 23, 59, 59)], pa.timestamp("us")),  # noqa: DTZ001
            use_dictionary=False, compression="none", write_statistics=False, **INT96,
        )(path)  # type: ignore[operator]  # fmt: skip
        data = bytearray(path.read_bytes())
        of_day = 86_399 * 10**9
        at = bytes(data).index(struct.pack("<q", of_day))
        data[at : at + 8] = struct.pack("<q", of_day + 7)
        path.write_bytes(bytes(data))

    found = read(tmp_path, write, {"a": "timestamp"}, "parquet", max_bad_rows=1)
    assert [r[2] for r in found.rejects] == ["9999-12-31T23:59:59.000000007"]


def test_a_decimal_of_more_than_38_digits_keeps_them(tmp_path: Path) -> None:
    wide = Decimal("1" * 50 + ".25")
    content = parquet(pa.array([wide, Decimal("1.25"), None], pa.decimal256(60, 2)))
    assert read(tmp_path, content, {"a": "string"}, "parquet").column("a") == [str(wide), "1.25", None]
    found = read(tmp_path, content, {"a": "decimal(38,2)"}, "parquet", max_bad_rows=1)
    assert found.column("a") == [Decimal("1.25"), None]
    assert found.rejects[0][2] == str(wide)
    inside = read(tmp_path, parquet(pa.array([[wide]], pa.list_(pa.decimal256(60, 2)))), {"a": "string"}, "parquet")
    assert "more than 38 digits inside" in (inside.error or "")


@pytest.mark.parametrize("target", ["date", "timestamp", "timestamptz"])
@pytest.mark.parametrize("source", ["date", "us", "usz"])
def test_days_outside_the_years_that_the_types_have_are_bad(source: str, target: str, tmp_path: Path) -> None:
    day = 86_400_000_000
    zone = "UTC" if source == "usz" else None
    edges = [-719_162, 2_932_896, -719_163, 2_932_897]  # 0001-01-01, 9999-12-31, and the days around them
    far = [2**31 - 1, -(2**31) + 1]
    array = (
        pa.array([*edges, *far], pa.int32()).cast(pa.date32())
        if source == "date"
        else pa.array([*(e * day for e in edges), 2**63 - 1, -(2**63) + 1], pa.timestamp("us", zone))
    )
    found = read(tmp_path, parquet(array), {"a": target}, "parquet", max_bad_rows="100%")
    assert [r["_src_row"] for r in found.rows] == [0, 1]
    assert [r[0] for r in found.rejects] == [2, 3, 4, 5]
