"""Nested values of every format (CASES 36-40): nothing inside of them is lost without a word."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.reading import Content, Found, read

RECORDS = [
    {"s": {"x": 1, "z": 2.5}, "l": [{"x": 1, "z": 2.5}], "m": {"k": {"x": 1, "z": 2.5}}},
    {"s": {"x": 2, "z": None}, "l": [{"x": 2, "z": None}, None], "m": {"k": {"x": 2, "z": None}}},
    {"s": None, "l": [], "m": None},
]
COLUMNS = {"s": "struct<x: int>", "l": "list<struct<x: int>>", "m": "map<string, struct<x: int>>"}
FORMS = ("json", "csv", "parquet", "avro", "orc")


def written(form: str, records: list[dict[str, Any]]) -> Content:
    """Records of `s`, `l` and `m` in one format."""
    if form == "json":
        return "\n".join(json.dumps(r) for r in records)
    if form == "csv":
        cells = [[json.dumps(v).replace('"', '""') if v is not None else None for v in r.values()] for r in records]
        lines = [",".join("" if c is None else f'"{c}"' for c in row) for row in cells]
        return "s,l,m\n" + "\n".join(lines) + "\n"
    if form == "avro":
        return _avro(records)
    return _columnar(form, records)


def _columnar(form: str, records: list[dict[str, Any]]) -> Content:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import orc

    part = pa.struct([("x", pa.int64()), ("z", pa.float64())])
    kinds = pa.schema([("s", part), ("l", pa.list_(part)), ("m", pa.map_(pa.string(), part))])
    table = pa.Table.from_pylist([{**r, "m": r["m"] and list(r["m"].items())} for r in records], kinds)
    write = pq.write_table if form == "parquet" else orc.write_table
    return lambda path: write(table, str(path))


def _avro(records: list[dict[str, Any]]) -> Content:
    import fastavro

    fields = [{"name": "x", "type": "long"}, {"name": "z", "type": ["null", "double"]}]
    part = {"type": "record", "name": "part", "fields": fields}
    kinds = [["null", part], {"type": "array", "items": ["null", "part"]}, ["null", {"type": "map", "values": "part"}]]
    whole = {
        "type": "record",
        "name": "whole",
        "fields": [{"name": n, "type": k} for n, k in zip("slm", kinds, strict=True)],
    }

    def write(path: Path) -> None:
        with path.open("wb") as file:
            fastavro.writer(file, fastavro.parse_schema(whole), records)

    return write


def rescued(found: Found) -> list[Any]:
    return [None if text is None else json.loads(text) for text in found.column("_rescued")]


@pytest.mark.parametrize("form", FORMS)
def test_38_fields_that_the_table_has_not_are_rescued_from_every_format(form: str, tmp_path: Path) -> None:
    found = read(tmp_path, written(form, RECORDS), COLUMNS, form)
    assert found.error is None
    assert [r["s"] for r in found.rows] == [{"x": 1}, {"x": 2}, None]
    assert [r["l"] for r in found.rows] == [[{"x": 1}], [{"x": 2}, None], []]
    assert [r["m"] for r in found.rows] == [[("k", {"x": 1})], [("k", {"x": 2})], None]
    first, *others = rescued(found)
    assert others == [None, None]
    whole = {"s": RECORDS[0]["s"]} if form == "csv" else {"s.z": 2.5}  # of texts the whole value is kept
    assert first == {**whole, "l": RECORDS[0]["l"], "m": RECORDS[0]["m"]}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("new_columns", ["ignore", "fail"])
def test_38_the_contract_for_new_columns_holds_inside_of_structs(form: str, new_columns: str, tmp_path: Path) -> None:
    found = read(tmp_path, written(form, RECORDS), COLUMNS, form, new_columns=new_columns, max_bad_rows="100%")
    if new_columns == "ignore":
        assert rescued(found) == [None, None, None]
    elif form == "csv":
        assert [r[:2] for r in found.rejects] == [(0, "s"), (0, "l"), (0, "m")]
    else:
        assert "columns that the table has not: s.z, l, m" in (found.error or "")


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("twice", ['{"x":1,"x":2}', '{"x":1,"X":2}'])
def test_39_a_key_twice_in_an_inner_object_is_a_bad_value(form: str, twice: str, tmp_path: Path) -> None:
    values = ['{"x":5}', twice]
    columns = {"s": "struct<x: int>", "l": "list<struct<x: int>>", "t": "string"}
    if form == "json":
        content = "\n".join(f'{{"s":{v},"l":[{v}],"t":{v}}}' for v in values)
    else:
        quoted = [v.replace('"', '""') for v in values]
        content = "s,l,t\n" + "\n".join(f'"{v}","[{v}]","{v}"' for v in quoted) + "\n"
    found = read(tmp_path, content, columns, form, max_bad_rows=1)
    assert [(r["s"], r["l"], r["t"]) for r in found.rows] == [({"x": 5}, [{"x": 5}], '{"x":5}')]
    assert [r[:3] for r in found.rejects] == [(1, "s", twice), (1, "l", f"[{twice}]")]


def test_39_two_fields_of_one_name_in_a_parquet_struct_are_an_error_of_the_file(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.list_(pa.struct([("x", pa.int32()), ("X", pa.int32())]))
    found = read(
        tmp_path,
        lambda path: pq.write_table(pa.table({"l": pa.array([[{"x": 1, "X": 2}]], kind)}), path),
        {"l": "list<struct<x: int>>"},
        "parquet",
    )
    assert "same name: 'x' and 'X'" in (found.error or "")


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_39_a_map_with_a_key_twice_is_a_bad_value_and_not_a_bad_file(form: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.map_(pa.string(), pa.int32())
    values = [[("1", 7)], [("1", 7), ("01", 8)]]
    content: Content = '{"m":{"1":7}}\n{"m":{"1":7,"01":8}}\n'
    if form == "parquet":
        content = lambda path: pq.write_table(pa.table({"m": pa.array(values, kind)}), path)  # noqa: E731
    found = read(tmp_path, content, {"m": "map<int, int>"}, form, max_bad_rows=1)
    assert found.column("m") == [[(1, 7)]]
    assert [r[:3] for r in found.rejects] == [(1, "m", '{"1":7,"01":8}')]
    texts = read(tmp_path, content, {"m": "map<string, int>"}, form)
    assert texts.column("m") == [[tuple(pair) for pair in value] for value in values]


@pytest.mark.parametrize(("value", "bad"), [("int", 3000000000), ("date", "2024-02-30")])
@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
@pytest.mark.parametrize("kind", ["map<string, struct<a: {}>>", "list<map<string, {}>>"])
def test_a_bad_value_in_a_map_is_a_bad_row_and_never_a_silent_null(
    kind: str, form: str, value: str, bad: Any, tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    inner = {"a": bad} if "struct" in kind else bad
    record = [{"k": inner}] if "list" in kind else {"k": inner}
    text = json.dumps(record)
    content: Content = f'{{"m":{text}}}\n'
    if form == "csv":
        content = 'm\n"' + text.replace('"', '""') + '"\n'
    if form == "parquet":
        leaf = pa.int64() if isinstance(bad, int) else pa.string()
        held = pa.struct([("a", leaf)]) if "struct" in kind else leaf
        shape = pa.map_(pa.string(), held)
        pairs = [[("k", inner)]] if "list" in kind else [("k", inner)]
        table = pa.table({"m": pa.array([pairs], pa.list_(shape) if "list" in kind else shape)})
        content = lambda path: pq.write_table(table, path)  # noqa: E731
    found = read(tmp_path, content, {"m": kind.format(value)}, form, max_bad_rows="100%")
    assert found.rows == []
    assert [r[:2] for r in found.rejects] == [(0, "m")]


@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, '{"a":' * 300 + "1" + "}" * 300])
def test_a_value_nested_very_deeply_takes_no_other_file_with_it(text: str, tmp_path: Path) -> None:
    found = read(tmp_path, [f'{{"a":{text}}}\n{{"a":1}}', '{"a":2}'], {"a": "string"}, "json")
    assert found.column("a") == [text, "1", "2"]
    strange = read(tmp_path, [f'{{"a":{text}}}', '{"b":2}'], {"b": "int"}, "json")
    assert strange.column("b") == [None, 2]
    assert strange.column("_rescued") == [f'{{"a":{text}}}', None]


def test_many_keys_beside_each_other_are_not_taken_for_deep_ones(tmp_path: Path) -> None:
    records = [{"m": {f"k{i}": {"x": i, "y": [i]} for i in range(n)}} for n in (3, 200)]
    content = "\n".join(json.dumps(r) for r in records) + '\n{"m":{"k":{"x":1,"x":2}}}\n'
    found = read(tmp_path, content, {"m": "map<string, struct<x: int, y: list<int>>>"}, "json", max_bad_rows=1)
    assert [dict(v) for v in found.column("m")] == [r["m"] for r in records]
    assert found.rejects[0][:2] == (2, "m")


def test_40_a_text_that_begins_with_the_sign_that_marks_numbers_keeps_it(tmp_path: Path) -> None:
    content = '{"a":"\\u00011.5","b":1.50}\n{"a":"\\u00025","b":2.50}\n'
    found = read(tmp_path, content, {"a": "string", "b": "string"}, "json")
    assert [(r["a"], r["b"]) for r in found.rows] == [("\x011.5", "1.50"), ("\x025", "2.50")]
    every = "".join(f"\\u{i:04x}" for i in range(1, 32))
    all_used = read(tmp_path, f'{{"a":"{every}","b":1.50}}', {"a": "string", "b": "string"}, "json")
    assert "every control character" in (all_used.error or "")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_37_json_in_a_text_keeps_its_digits(form: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = '{"x":0.12345678901234567890,"y":[1.50]}'
    content: Content = 's\n"' + text.replace('"', '""') + '"\n'
    if form == "parquet":
        content = lambda path: pq.write_table(pa.table({"s": [text]}), path)  # noqa: E731
    found = read(tmp_path, content, {"s": "struct<x: decimal(38,20), y: string>"}, form)
    assert found.column("s") == [{"x": Decimal("0.12345678901234567890"), "y": "[1.50]"}]


def test_37_what_is_rescued_of_a_typed_file_is_json_with_every_digit(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    big = Decimal("12345678901234567890.10")
    table = pa.table(
        {
            "a": [1],
            "d": pa.array([big], pa.decimal128(38, 2)),
            "n": [float("nan")],
            "u": pa.array([2**64 - 1], pa.uint64()),
            "s": pa.array([{"d": big, 'q"': [float("inf"), 1.5], "b": b"\xff"}],
                          pa.struct([("d", pa.decimal128(38, 2)), ('q"', pa.list_(pa.float64())), ("b", pa.binary())])),
            "m": pa.array([[(1, big)]], pa.map_(pa.int32(), pa.decimal128(38, 2))),
        }
    )  # fmt: skip
    found = read(tmp_path, lambda path: pq.write_table(table, path), {"a": "int"}, "parquet")
    (text,) = found.column("_rescued")
    assert json.loads(text, parse_float=Decimal) == {
        "d": big,
        "n": "nan",
        "u": 2**64 - 1,
        "s": {"d": big, 'q"': ["inf", Decimal("1.5")], "b": "FF"},
        "m": {"1": big},
    }
