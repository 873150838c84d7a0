"""Random tables written as CSV, JSON lines and Parquet come back equal under the declared schema."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reading import Content, read

COLUMNS = {
    "i": "int", "l": "long", "d": "double", "x": "decimal(38,10)", "s": "string", "b": "boolean", "day": "date",
    "at": "timestamp", "zoned": "timestamptz", "items": "list<long>", "who": "struct<n: string, k: list<int>>",
}  # fmt: skip
ARROW = pa.schema(
    [
        ("i", pa.int32()), ("l", pa.int64()), ("d", pa.float64()), ("x", pa.decimal128(38, 10)), ("s", pa.string()),
        ("b", pa.bool_()), ("day", pa.date32()), ("at", pa.timestamp("us")), ("zoned", pa.timestamp("us", "UTC")),
        ("items", pa.list_(pa.int64())), ("who", pa.struct([("n", pa.string()), ("k", pa.list_(pa.int32()))])),
    ]
)  # fmt: skip
INT, LONG = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i": INT, "l": LONG, "d": st.floats(allow_nan=False, allow_infinity=False), "s": TEXT, "b": st.booleans(),
    "x": st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal((n < 0, tuple(map(int, str(abs(n)))), -10))),
    "day": st.dates(), "at": st.datetimes(), "zoned": st.datetimes(timezones=st.just(dt.UTC)),
    "items": st.lists(st.none() | LONG, max_size=3),
    "who": st.fixed_dictionaries({"n": st.none() | TEXT, "k": st.none() | st.lists(st.none() | INT, max_size=2)}),
}  # fmt: skip
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | each for name, each in VALUES.items()}), min_size=1, max_size=8
)


def plain(value: Any) -> Any:
    """A value as JSON has it; decimals become texts."""
    match value:
        case Decimal():
            return format(value, "f")
        case dt.date():
            return value.isoformat()
        case _:
            return value


def as_json(rows: list[dict[str, Any]]) -> Content:
    lines = (json.dumps({k: plain(v) for k, v in row.items()}, ensure_ascii=False) for row in rows)
    return "".join(line + "\n" for line in lines)


def as_csv(rows: list[dict[str, Any]]) -> Content:
    """Texts are quoted, so that an empty one is not null; null is an empty field."""
    out = io.StringIO()
    csv.writer(out).writerow(COLUMNS)
    for row in rows:
        out.write(",".join(field(row[name]) for name in COLUMNS) + "\n")
    return out.getvalue()


def field(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else plain(value)
    text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    return '"' + text.replace('"', '""') + '"'


def as_parquet(rows: list[dict[str, Any]]) -> Content:
    return lambda path: pq.write_table(pa.Table.from_pylist(rows, ARROW), path)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "write"), [("csv", as_csv), ("json", as_json), ("parquet", as_parquet)])
def test_a_random_table_comes_back_equal(form: str, write: Any) -> None:
    @settings(max_examples=20, deadline=None)
    @given(ROWS)
    def check(rows: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = read(Path(folder), write(rows), COLUMNS, form)
        assert found.error is None
        assert found.rejects == []
        assert [{name: row[name] for name in COLUMNS} for row in found.rows] == rows

    check()
