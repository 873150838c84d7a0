"""The reader's door: contracts as data, groups, fingerprints, and equal rows from every format."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoloader import reader
from autoloader.reader import Dialect, ReadContract
from tests.reading import contract, read, read_files, source_file


def test_a_contract_survives_the_way_through_json() -> None:
    told = contract(
        {"a": "int", "b c": "struct<x: list<date>>"},
        "csv",
        dialect=Dialect(delimiter="\t", null_values=("NA", "")),
        max_bad_rows="2.5%",
        partitions={"year": "int"},
        on_bad_row="rescue",
    )
    assert ReadContract.from_data(json.loads(json.dumps(told.to_data()))) == told
    counted = contract({"a": "int"}, max_bad_rows=7)
    assert ReadContract.from_data(json.loads(json.dumps(counted.to_data()))) == counted


def test_the_fingerprint_knows_neither_order_nor_case_but_types(tmp_path: Path) -> None:
    found = read(tmp_path, ['{"a":1,"b":"x"}', '{"B":"y","A":7}', '{"a":1.5,"b":"x"}'], {"a": "int"}, "json")
    one, two, three = (f.fingerprint for f in found.files)
    assert one == two != three


def test_groups_hold_small_files_together_and_large_ones_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoloader.reader import reading

    monkeypatch.setattr(reading, "LARGE_BYTES", 1000)
    monkeypatch.setattr(reading, "GROUP_BYTES", 300)
    monkeypatch.setattr(reading, "GROUP_FILES", 3)
    sizes = [100, 100, 2000, 100, 100, 250, 100]
    files = [source_file(tmp_path, b"x" * n) for n in sizes]
    groups = [tuple(f.path.stat().st_size for f in g) for g in reader.groups(files, contract({}, "text"))]
    assert sorted(s for g in groups for s in g) == sorted(sizes)
    assert (2000,) in groups
    assert [g for g in groups if g != (2000,)] == [(100, 100, 100), (100,), (250,), (100,)] or all(
        len(g) <= 3 and sum(g) <= 350 for g in groups if g != (2000,)
    )


def test_no_lineage_columns_where_the_contract_says_so(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "a,b\n1,2\n", {"a": "int"}, lineage_columns=False).rows
    assert row == {"a": 1}


def test_nothing_is_left_behind_in_the_connection_or_the_folder(tmp_path: Path) -> None:
    import gzip

    folder = tmp_path / "work"
    folder.mkdir()
    con = reader.connect(threads=1, memory_limit="500MB", temp_directory=folder)
    told = contract({"a": "int"})
    for content in (b"a\n1\n", gzip.compress(b"a\nx\n"), b"a,b\n1\n"):
        with reader.open_reading(con, [source_file(tmp_path, content)], told, folder) as reading:
            reading.run(lambda q: con.execute(q).fetchall())
    assert con.execute("SELECT table_name FROM duckdb_tables()").fetchall() == []
    con.close()
    assert [p for p in folder.iterdir() if p.name.startswith("read-")] == []


def test_an_error_of_the_function_is_not_taken_for_the_files(tmp_path: Path) -> None:
    class FullError(Exception):
        pass

    def fail(_: str) -> None:
        raise FullError

    con = reader.connect(threads=1, memory_limit="500MB", temp_directory=tmp_path)
    files = [source_file(tmp_path, b"a\n1\n")]
    with reader.open_reading(con, files, contract({"a": "int"}), tmp_path) as reading, pytest.raises(FullError):
        reading.run(fail)
    con.close()


ROW = st.fixed_dictionaries(
    {
        "b": st.none() | st.booleans(),
        "i": st.none() | st.integers(-(2**31), 2**31 - 1),
        "l": st.none() | st.integers(-(2**63), 2**63 - 1),
        "d": st.none() | st.floats(allow_infinity=False, allow_nan=False),
        "n": st.none() | st.decimals(-(10**17), 10**17, places=4),
        "s": st.none()
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\x01"), max_size=12)
        | st.text("\r\n\"',", max_size=5),
        "t": st.none() | st.dates(dt.date(1, 1, 1)),
        "m": st.none() | st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)),  # noqa: DTZ001
        "z": st.none() | st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), timezones=st.just(dt.UTC)),  # noqa: DTZ001
        "x": st.none()
        | st.fixed_dictionaries(
            {"k": st.none() | st.integers(0, 9), "v": st.none() | st.lists(st.integers(0, 99), max_size=3)}
        ),
    }
)
COLUMNS = {
    "b": "boolean",
    "i": "int",
    "l": "long",
    "d": "double",
    "n": "decimal(38,4)",
    "s": "string",
    "t": "date",
    "m": "timestamp",
    "z": "timestamptz",
    "x": "struct<k: int, v: list<long>>",
}


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return repr(value)
    return value


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    out.write(",".join(COLUMNS) + "\n")
    for row in rows:
        cells = []
        for value in (row[name] for name in COLUMNS):
            one = io.StringIO()
            writer = csv.writer(one, lineterminator="", quoting=csv.QUOTE_ALL)
            writer.writerow([json.dumps(value) if isinstance(value, dict) else _text(value)])
            cells.append("" if value is None else one.getvalue())
        out.write(",".join(cells) + "\n")
    return out.getvalue()


def _json(rows: list[dict[str, Any]]) -> str:
    def plain(value: Any) -> str:
        if isinstance(value, Decimal):
            return format(value, "f")
        return json.dumps(_text(value) if isinstance(value, dt.date) else value)

    return "".join("{" + ",".join(f'"{k}":{plain(v)}' for k, v in row.items()) + "}\n" for row in rows)


def _parquet(rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = [
        ("b", pa.bool_()),
        ("i", pa.int32()),
        ("l", pa.int64()),
        ("d", pa.float64()),
        ("n", pa.decimal128(38, 4)),
        ("s", pa.string()),
        ("t", pa.date32()),
        ("m", pa.timestamp("us")),
        ("z", pa.timestamp("us", "UTC")),
        ("x", pa.struct([("v", pa.list_(pa.int64())), ("k", pa.int32())])),
    ]
    return lambda path: pq.write_table(pa.Table.from_pylist(rows, pa.schema(kinds)), path)


@pytest.mark.slow
@given(rows=st.lists(ROW, min_size=1, max_size=8))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_tables_come_back_equal_from_every_format(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    for form, content in (("csv", _csv(rows)), ("json", _json(rows)), ("parquet", _parquet(rows))):
        found = read(tmp_path, content, COLUMNS, form, max_bad_rows=0)
        assert found.error is None, (form, found.error)
        got = [{k: v for k, v in row.items() if not k.startswith("_")} for row in found.rows]
        assert got == rows, form


def _parquets() -> list[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(**columns: Any) -> Any:
        return lambda path: pq.write_table(pa.table(columns), path)

    return [
        write(a=[1, 2], b=["x", "y"]),
        write(a=[3, None], b=["x", "y"]),
        write(a=[3, 2**40], b=["x", "y"]),
        write(B=["z"], A=[5]),
        write(a=["7", "x"], b=["x", "y"]),
        write(a=[1], file_row_number=[9]),
        write(a=[2], file_row_number=[9]),
        b"",
        b"PAR1 and no more PAR1",
    ]


ASSORTED: dict[str, list[Any]] = {
    "csv": [
        "a,b\n1,x\n2,y\n",
        "b,a\nx,1\n",
        "a,b\n3,x\nbad,y\n",
        "a,b,c\n3,x,new\n",
        "a,b\n4\n5,y\n",
        'a,b\n6,"open\n',
        'a,b\n7,"x""y"\n8,z',
        "a,b\r\n9,x\r\n",
        "",
        "a,b\n",
        b"a,b\n1,\xe9\n",
        'a,b\n10,5" pipe\n11,"y"\n',
    ],
    "json": [
        '{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n',
        '{"a":3,"b":"x"}\r\n\r\n{"a":4,"b":null}',
        '{"B":1.10,"A":5}\n',
        '{"a":6,"b":{"c":1.50}}\n{"a":"bad"}\n',
        '{"a":7}\nbroken\n{"a":8}\n',
        '{"a":9}\n{"a":',
        '{"a":\n10}\n',
        '[{"a":11},{"a":12}]',
        '{"a":13,"new":[1,{"x":null}]}\n5\n{"a":14,"A":15}\n',
        b'\xef\xbb\xbf{"a":16}\n',
        b'{"b":"\xe9"}\n',
        "",
        "no json",
        "{",
    ],
    "text": ["a\n\nb", "", "\n", "c\r\nd\r\n", b"\xe9\n", 'one,two "x\n'],
    "parquet": _parquets(),
}


@pytest.mark.parametrize("form", sorted(ASSORTED))
@pytest.mark.parametrize(
    "on_bad_row", ["quarantine", *(pytest.param(p, marks=pytest.mark.slow) for p in ("rescue", "fail"))]
)
def test_files_read_together_give_what_each_gives_alone(form: str, on_bad_row: str, tmp_path: Path) -> None:
    files = [source_file(tmp_path, c) for c in ASSORTED[form] * 2]
    columns = {"value": "string"} if form == "text" else {"a": "int", "b": "string"}
    told = contract(columns, form, max_bad_rows=1, on_bad_row=on_bad_row)
    together = read_files(tmp_path, files, told)
    alone = [read_files(tmp_path, [f], told) for f in files]
    for got, (one,) in zip(together.files, (each.files for each in alone), strict=True):
        assert str(got.error) == str(one.error)
        assert replace(got, error=None) == replace(one, error=None)
    assert together.rows == [row for each in alone for row in each.rows]
    assert together.rejects == [reject for each in alone for reject in each.rejects]
