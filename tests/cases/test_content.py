"""Hard inputs of CASES 1-3, 6-7 and 28-45, as far as one file's bytes go."""

from __future__ import annotations

import bz2
import gzip
import lzma
from decimal import Decimal
from pathlib import Path

import pytest

from autoloader.reader import Dialect
from tests.reading import Found, contract, read, read_files, source_file

AB = {"a": "int", "b": "string"}
GOOD = b"a,b\n1,x\n2,y\n"


def all_rows(found: Found) -> list[tuple[object, ...]]:
    return [tuple(v for k, v in row.items() if not k.startswith("_")) for row in found.rows]


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"a,b", b"\xef\xbb\xbf", b"\n\n"])
def test_1_2_an_empty_csv_beside_good_ones_has_no_rows_and_is_settled(content: bytes, tmp_path: Path) -> None:
    found = read(tmp_path, [GOOD, content, GOOD], AB)
    assert [f.error for f in found.files] == [None, None, None]
    assert [f.rows for f in found.files] == [2, 0, 2]
    assert found.files[1].new_columns.columns == ()


def test_3_a_zero_byte_parquet_is_quarantined_and_the_others_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, [b"", _parquet], {"a": "int"}, "parquet")
    assert [f.error is None for f in found.files] == [False, True]
    assert found.files[0].error is not None
    assert found.files[0].error.quarantine
    assert found.column("a") == [1, 2]


def _parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1, 2]}), path)


@pytest.mark.parametrize("form", ["csv", "json", "text"])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, None], ids=["gz", "bz2", "xz", "plain"])
def test_29_compression_is_seen_in_the_bytes_not_in_the_name(form: str, pack: object, tmp_path: Path) -> None:
    content = {"csv": b"a\n1\n2\n", "json": b'{"a":1}\n{"a":2}\n', "text": b"1\n2\n"}[form]
    name = "value" if form == "text" else "a"
    packed = pack(content) if callable(pack) else content
    assert read(tmp_path, packed, {name: "int"}, form).column(name) == [1, 2]


@pytest.mark.parametrize("name", ["plain.csv.gz", "plain.csv.zst", "plain.gz"])
def test_29_plain_bytes_under_a_compressed_name_are_read(name: str, tmp_path: Path) -> None:
    from dataclasses import replace

    file = source_file(tmp_path, GOOD)
    named = tmp_path / name
    named.symlink_to(file.path)
    assert all_rows(read_files(tmp_path, [replace(file, path=named)], contract(AB))) == [(1, "x"), (2, "y")]


def test_29_zstd_and_concatenated_members_are_read_to_their_end(tmp_path: Path) -> None:
    import pyarrow as pa

    zstd = pa.compress(GOOD, codec="zstd", asbytes=True)
    again = pa.compress(b"3,z\n", codec="zstd", asbytes=True)
    gz = gzip.compress(GOOD) + gzip.compress(b"3,z\n")
    for content in (zstd + again, gz, lz4(GOOD + b"3,z\n")):
        assert all_rows(read(tmp_path, content, AB)) == [(1, "x"), (2, "y"), (3, "z")]


def lz4(content: bytes) -> bytes:
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "lz4") as stream:
        stream.write(content)
    return bytes(out.getvalue().to_pybytes())


@pytest.mark.parametrize("word", ["gzip", "bz2", "xz", "zstd", "lz4"])
def test_28_a_cut_stream_gives_no_row_at_all(word: str, tmp_path: Path) -> None:
    import pyarrow as pa

    content = b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * 7919) for i in range(20_000))
    packed = {
        "gzip": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zstd": lambda c: pa.compress(c, codec="zstd", asbytes=True),
        "lz4": lz4,
    }[word](content)
    found = read(tmp_path, [GOOD, packed[: len(packed) // 2]], AB)
    assert [f.rows for f in found.files] == [2, 0]
    assert "damaged or ends early" in str(found.files[1].error)


def test_28_a_damaged_gzip_that_inflates_is_caught_by_its_checksum(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(GOOD, compresslevel=0, mtime=0))  # the time of day can hold an x
    packed[packed.index(b"x")] = ord("z")
    assert "damaged" in (read(tmp_path, bytes(packed), AB).error or "")


def test_30_columns_are_matched_by_name_in_every_order(tmp_path: Path) -> None:
    found = read(tmp_path, [b"a,b\n1,x\n", b"b,a\nx,1\n", b"B,A\nx,1\n"], AB)
    assert all_rows(found) == [(1, "x")] * 3
    assert len({f.fingerprint for f in found.files}) == 1


def test_31_extra_columns_are_rescued_and_reported_missing_ones_are_null(tmp_path: Path) -> None:
    found = read(tmp_path, b'a,c,d\n1,"new ""x""",\n', AB)
    assert found.rows == [{"a": 1, "b": None, "_src_row": 0, "_rescued": '{"c":"new \\"x\\""}'}]
    assert str(found.files[0].new_columns) == "c string, d string"
    assert found.files[0].rescued_rows == 1


def test_31_the_contract_may_ignore_or_refuse_them(tmp_path: Path) -> None:
    content = b"a,c\n1,new\n"
    assert read(tmp_path, content, AB, new_columns="ignore").column("_rescued") == [None]
    assert "columns that the table has not: c" in (read(tmp_path, content, AB, new_columns="fail").error or "")
    missing = read(tmp_path, content, AB, new_columns="rescue", missing_columns="fail")
    assert "has no column b" in (missing.error or "")


def test_31_ragged_rows_are_bad_rows_and_keep_their_ordinals(tmp_path: Path) -> None:
    content = b'a,b\n1,"x\ny"\n2\n3,p,q\n\n4,"ok"\n"5"x,z\n6,end'
    found = read(tmp_path, content, AB, max_bad_rows="100%")
    assert [(r["a"], r["b"], r["_src_row"]) for r in found.rows] == [(1, "x\ny", 0), (4, "ok", 3), (6, "end", 5)]
    assert [(r[0], r[1], r[2]) for r in found.rejects] == [(1, None, "2"), (2, None, "3,p,q"), (4, None, '"5"x,z')]
    assert "has 1 field, the header has 2" in found.rejects[0][3]


def test_31_a_header_with_a_name_twice_is_an_error(tmp_path: Path) -> None:
    assert "same name: 'a' and 'A'" in (read(tmp_path, b"a,A\n1,2\n", AB).error or "")


def test_32_byte_order_marks_and_declared_encodings_are_read(tmp_path: Path) -> None:
    text = "a,b\n1,café €\n"
    for content in (text.encode("utf-8-sig"), text.encode("utf-16"), text.encode("utf-16-le")[0:0] + text.encode()):
        assert read(tmp_path, content, AB).column("b") == ["café €"]
    told = Dialect(encoding="cp1252")
    assert read(tmp_path, text.encode("cp1252"), AB, dialect=told).column("b") == ["café €"]
    declared = Dialect(encoding="utf-16-be")
    assert read(tmp_path, text.encode("utf-16-be"), AB, dialect=declared).column("b") == ["café €"]


@pytest.mark.parametrize("form", ["csv", "json", "text"])
def test_32_latin_1_without_saying_so_is_an_error_that_names_the_line(form: str, tmp_path: Path) -> None:
    content = {
        "csv": b"a,b\n1,x\n2,caf\xe9\n",
        "json": b'{"a":1}\n{"a":2}\n{"b":"caf\xe9"}\n',
        "text": b"x\ny\ncaf\xe9\n",
    }[form]
    found = read(tmp_path, content, {"value": "string"} if form == "text" else AB, form)
    assert found.rows == []
    assert "Line 3 is not UTF-8" in (found.error or "")
    assert "latin-1" in (found.error or "")


def test_32_latin_1_far_from_the_start_is_found_too(tmp_path: Path) -> None:
    content = b"a,b\n" + b"1,xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" * 50_000 + b"2,caf\xe9\n"
    assert "Line 50002 is not UTF-8" in (read(tmp_path, content, AB).error or "")


@pytest.mark.parametrize("more", ["", "9,too,many\n"])
def test_31_delimiters_at_the_end_are_no_fields_whatever_stands_in_other_rows(more: str, tmp_path: Path) -> None:
    content = '0,a,\n"1","b",,\n,,\n3,"c,",\n4,d,""\n5,e,x\n6,f, \n'
    found = read(tmp_path, f"a,b\n{content}{more}", AB, max_bad_rows="100%")
    assert all_rows(found) == [(0, "a"), (1, "b"), (None, None), (3, "c,")]
    assert [r[0] for r in found.rejects][:3] == [4, 5, 6]


def test_33_newlines_and_quotes_in_quotes_and_no_final_newline(tmp_path: Path) -> None:
    for newline in ("\n", "\r\n", "\r"):
        content = newline.join(["a,b", f'1,"x{newline}y"', '2,"p""q"', "3,z"])
        assert all_rows(read(tmp_path, content, AB)) == [(1, f"x{newline}y"), (2, 'p"q'), (3, "z")]


def test_33_mixed_newlines_are_read(tmp_path: Path) -> None:
    assert all_rows(read(tmp_path, b"a,b\n1,x\r\n2,y\n3,z\r\n", AB)) == [(1, "x"), (2, "y"), (3, "z")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_33_breaks_in_quotes_may_be_others_than_those_of_the_records(end: str, tmp_path: Path) -> None:
    texts = ["x\r\ny", "x\ny", "x\ry", "\r", "\n", "\r\n"]
    records = "".join(f'{n},"{text}"{end}' for n, text in enumerate(texts))
    for first in texts:
        content = f'a,b{end}9,"{first}"{end}{records}8,ragged,x{end}'
        found = read(tmp_path, content, AB, max_bad_rows=1)
        assert all_rows(found) == [(9, first), *enumerate(texts)]
        assert len(found.rejects) == 1


def test_33_a_quote_that_is_never_closed_fails_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, b'a,b\n1,"x\n2,y\n', AB, max_bad_rows="100%")
    assert found.rows == []
    assert "opens in line 2 is never closed" in (found.error or "")


@pytest.mark.parametrize("form", ["csv", "json", "text"])
def test_33_a_field_of_ten_megabytes_is_read(form: str, tmp_path: Path) -> None:
    big = b"x" * 10_000_000
    content = {"csv": b"a,b\n1," + big + b"\n2,y\n", "json": b'{"b":"' + big + b'"}\n', "text": big + b"\n"}[form]
    column = "value" if form == "text" else "b"
    columns = {"value": "string"} if form == "text" else AB
    values = read(tmp_path, content, columns, form).column(column)
    assert len(values[0]) == 10_000_000


def test_34_empty_is_null_quoted_empty_is_a_text_and_null_values_are_the_declared_ones(tmp_path: Path) -> None:
    content = b'a,b\n1,\n2,""\n3,NULL\n,x\n'
    assert all_rows(read(tmp_path, content, AB)) == [(1, None), (2, ""), (3, "NULL"), (None, "x")]
    told = Dialect(null_values=("NULL", ""))
    assert all_rows(read(tmp_path, content, AB, dialect=told))[2] == (3, None)
    told = Dialect(null_values=("NULL",))
    assert read(tmp_path, b"a,b\n1,\n2,NULL\n", AB, dialect=told).column("b") == ["", None]


def test_35_blank_lines_and_arrays_are_read(tmp_path: Path) -> None:
    for content in (
        b'\n{"a":1}\n\n  \n{"a":2}\n\n',
        b'[{"a":1},\n {"a":2}]',
        b'{"a":\n1}\n{"a":2}',
        b'{"a":1}\n{"a":2}',
    ):
        found = read(tmp_path, content, {"a": "int"}, "json", max_bad_rows="100%")
        assert found.column("a") == [1, 2], content
    assert read(tmp_path, b"[]", {"a": "int"}, "json").rows == []


@pytest.mark.parametrize("content", [b'{"a":1}\n{"a":2}\n{"a":', b'[{"a":1},{"a":2}', b'[{"a":1},{"a"'])
def test_35_a_cut_end_fails_the_whole_file(content: bytes, tmp_path: Path) -> None:
    found = read(tmp_path, content, {"a": "int"}, "json", max_bad_rows="100%")
    assert found.rows == []
    assert found.error is not None


def test_35_broken_lines_and_scalars_are_bad_rows_with_their_text(tmp_path: Path) -> None:
    content = b'{"a":1}\n5\n{"a":}\n"x"\nnull\n[1]\n{"a":2}\n'
    found = read(tmp_path, content, {"a": "int"}, "json", max_bad_rows="100%")
    assert [(r["a"], r["_src_row"]) for r in found.rows] == [(1, 0), (2, 6)]
    assert [r[2] for r in found.rejects] == ["5", '{"a":}', '"x"', "null", "[1]"]


def test_36_a_key_of_several_kinds_follows_the_contract(tmp_path: Path) -> None:
    content = b'{"a":1,"b":{"x":1}}\n{"a":"q","b":"s"}\n{"a":null,"b":[1]}\n{"a":"7","b":null}\n'
    rejected = read(tmp_path, content, AB, "json", max_bad_rows=1)
    assert [(r["a"], r["b"]) for r in rejected.rows] == [(1, '{"x":1}'), (None, "[1]"), (7, None)]
    rescued = read(tmp_path, content, AB, "json", max_bad_rows=1, on_bad_row="rescue")
    assert rescued.rows[1] == {"a": None, "b": "s", "_src_row": 1, "_rescued": '{"a":"q"}'}
    assert "on_bad_row: fail" in (read(tmp_path, content, AB, "json", on_bad_row="fail").error or "")
    assert "type_change: fail" in (read(tmp_path, content, AB, "json", type_change="fail").error or "")
    changed = read(tmp_path, content, AB, "json", type_change="rescue", max_bad_rows=0)
    assert changed.rows[1]["_rescued"] == '{"a":"q"}'


@pytest.mark.parametrize(
    ("kind", "good", "other"),
    [
        ("double", ["1", "2.5", "null"], '"1"'),
        ("decimal(5,2)", ["1", "2.5"], '"1.25"'),
        ("int", ["1", "-2"], "1.5"),
        ("date", ['"2024-01-01"', "null"], "20240101"),
        ("timestamptz", ['"2024-01-01T00:00:00Z"'], "true"),
        ("map<string, date>", ['{"k":"2024-01-01"}', "{}"], '{"k":1}'),
        ("list<struct<a: long, b: uuid>>", ['[{"a":1}]', "[]"], '[{"a":"1"}]'),
        ("long", ["null"], "[1]"),
    ],
)
def test_36_what_a_type_is_in_json_is_no_change_of_it(kind: str, good: list[str], other: str, tmp_path: Path) -> None:
    content = "".join(f'{{"a":{value}}}\n' for value in good)
    found = read(tmp_path, content, {"a": kind}, "json", type_change="fail", max_bad_rows=0)
    assert found.error is None
    assert len(found.rows) == len(good)
    changed = read(
        tmp_path, f'{content}{{"a":{other}}}\n', {"a": kind}, "json", type_change="fail", max_bad_rows="100%"
    )
    assert "type_change: fail" in (changed.error or "")


def test_36_objects_beside_scalars_keep_their_fields(tmp_path: Path) -> None:
    content = b'{"s":{"x":1}}\n{"s":5}\n{"s":{"X":2,"new":3}}\n{"s":null}\n'
    found = read(tmp_path, content, {"s": "struct<x: int>"}, "json", max_bad_rows=1)
    assert found.column("s") == [{"x": 1}, {"x": 2}, None]
    assert found.column("_rescued") == [None, '{"s.new":3}', None]
    inside = b'{"l":[{"x":1},5]}\n{"l":[{"X":2}]}\n'
    assert read(tmp_path, inside, {"l": "list<struct<x: int>>"}, "json", max_bad_rows=1).column("l") == [[{"x": 2}]]


def test_37_no_digit_of_a_number_is_lost(tmp_path: Path) -> None:
    content = (
        b'{"a":12345678901234567890123456789012345678,"b":0.12345678901234567890,"c":1.10,'
        b'"d":{"e":[1.50,12345678901234567890]},"f":9007199254740993.5}\n'
    )
    columns = {
        "a": "decimal(38,0)",
        "b": "decimal(38,20)",
        "c": "string",
        "d": "struct<e: list<decimal(38,2)>>",
        "f": "decimal(20,1)",
    }
    (row,) = read(tmp_path, content, columns, "json").rows
    assert row["a"] == Decimal("12345678901234567890123456789012345678")
    assert (row["b"], row["c"], row["f"]) == (Decimal("0.12345678901234567890"), "1.10", Decimal("9007199254740993.5"))
    assert row["d"] == {"e": [Decimal("1.50"), Decimal("12345678901234567890")]}


def test_37_what_does_not_fit_is_kept_digit_by_digit(tmp_path: Path) -> None:
    content = b'{"a":12345678901234567890.10,"new":1.10}\n{"a":1}\n'
    found = read(tmp_path, content, {"a": "long"}, "json", max_bad_rows=1)
    assert found.rejects[0][2] == "12345678901234567890.10"
    assert read(tmp_path, content, {"b": "int"}, "json").column("_rescued")[0] == (
        '{"a":12345678901234567890.10,"new":1.10}'
    )


def test_37_fields_that_a_struct_has_no_place_for_keep_their_digits(tmp_path: Path) -> None:
    found = read(tmp_path, '{"s":{"b":1,"a":1.50,"t":{"x":[2.10]}}}\n', {"s": "struct<b: int>"}, "json")
    assert found.column("_rescued") == ['{"s.a":1.50,"s.t":{"x":[2.10]}}']


def test_37_texts_with_numbers_quotes_and_escapes_are_not_touched(tmp_path: Path) -> None:
    content = b'{"s":"a \\"1.10\\" -5 \\\\","n":1.10,"k 1.0":{"t":"2.0, [3"},"e":"\\u00e9\\n"}\n'
    (row,) = read(tmp_path, content, {"s": "string", "n": "string", "k 1.0": "string", "e": "string"}, "json").rows
    assert (row["s"], row["n"], row["e"]) == ('a "1.10" -5 \\', "1.10", "é\n")
    assert row["k 1.0"] == '{"t":"2.0, [3"}'


def test_38_structs_that_gain_and_lose_fields(tmp_path: Path) -> None:
    content = b'{"s":{"x":1,"y":2}}\n{"s":{"x":1}}\n{"s":{"x":1,"z":{"deep":true}}}\n{"l":[{"x":1,"n":2}]}\n'
    found = read(tmp_path, content, {"s": "struct<x: int, y: int>", "l": "list<struct<x: int>>"}, "json")
    assert found.column("s") == [{"x": 1, "y": 2}, {"x": 1, "y": None}, {"x": 1, "y": None}, None]
    assert found.column("_rescued") == [None, None, '{"s.z":{"deep":true}}', '{"l":[{"x":1,"n":2}]}']
    assert "z: struct<deep: boolean>" in str(found.files[0].columns)


def test_39_a_key_twice_in_one_record_is_an_error_and_case_may_change_between_records(tmp_path: Path) -> None:
    content = b'{"a":1}\n{"A":2}\n{"a":3,"A":4}\n{"a":5,"a":6}\n'
    found = read(tmp_path, content, {"a": "int"}, "json", max_bad_rows=2)
    assert found.column("a") == [1, 2]
    assert {r[3] for r in found.rejects} == {"has a key twice (case does not count)"}


def test_40_awkward_names_are_names_like_others(tmp_path: Path) -> None:
    names = ["a.b", "c d", "select", 'q"t', "it's", "f/g", "h~i", "ü", "$x", "*", "a{b}", "0"]
    header = ",".join('"' + n.replace('"', '""') + '"' for n in names)
    content = f"{header}\n{','.join(str(i) for i in range(len(names)))}\n"
    columns = dict.fromkeys(names, "int")
    assert list(read(tmp_path, content, columns).rows[0].values())[: len(names)] == list(range(len(names)))
    import json

    record = json.dumps({n: i for i, n in enumerate(names)})
    assert list(read(tmp_path, record, columns, "json").rows[0].values())[: len(names)] == list(range(len(names)))


def test_40_names_of_ours_in_a_file_are_rescued_and_never_mixed_up(tmp_path: Path) -> None:
    found = read(tmp_path, b"a,_src_row,__row,c0\n1,77,88,99\n", {"a": "int"})
    assert found.rows == [
        {"a": 1, "_src_row": 0, "_rescued": '{"_src_row":"77","__row":"88","c0":"99"}'},
    ]
    assert "_src_row" not in str(found.files[0].new_columns)
    parquet = read(tmp_path, _with_our_names, {"a": "int"}, "parquet")
    assert [(r["a"], r["_src_row"]) for r in parquet.rows] == [(1, 0), (2, 1)]


def _with_our_names(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"file_row_number": [7, 8], "a": [1, 2], "__file": [5, 5], "filename": ["x", "y"]}), path)


def test_41_a_parquet_column_of_another_type_is_cast_exactly_or_bad(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(path: Path) -> None:
        table = pa.table(
            {
                "w": pa.array([1, 2], pa.int32()),
                "n": pa.array([1, 2**40], pa.int64()),
                "d": pa.array([1, 2], pa.int32()),
                "s": pa.array([Decimal("1.230"), Decimal("2.000")], pa.decimal128(10, 3)),
            }
        )
        pq.write_table(table, path)

    columns = {"w": "long", "n": "int", "d": "double", "s": "decimal(10,2)"}
    found = read(tmp_path, write, columns, "parquet", max_bad_rows=1)
    assert all_rows(found) == [(1, 1, 1.0, Decimal("1.23"))]
    assert found.rejects == [(1, "n", str(2**40), "is out of the range of int")]
    assert "type_change: fail" in (read(tmp_path, write, columns, "parquet", type_change="fail").error or "")


def test_42_int96_and_every_unit_of_time(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    at = datetime(2024, 1, 3, 10, 0, 0, 123000, tzinfo=UTC).replace(tzinfo=None)
    kinds = {"s": "s", "ms": "ms", "us": "us", "ns": "ns"}
    seconds = at.replace(microsecond=0)

    def write(path: Path) -> None:
        naive = {n: pa.array([seconds if n == "s" else at], pa.timestamp(u)) for n, u in kinds.items()}
        zoned = {n + "z": pa.array([seconds if n == "s" else at], pa.timestamp(u, "UTC")) for n, u in kinds.items()}
        pq.write_table(pa.table(naive | zoned), path)

    def int96(path: Path) -> None:
        pq.write_table(pa.table({"ns": pa.array([at], pa.timestamp("ns"))}), path, use_deprecated_int96_timestamps=True)

    columns = dict.fromkeys(kinds, "timestamp") | {n + "z": "timestamptz" for n in kinds}
    (row,) = read(tmp_path, write, columns, "parquet").rows
    assert {row[n] for n in ("ms", "us", "ns")} == {at}
    assert {row[n + "z"] for n in ("ms", "us", "ns")} == {at.replace(tzinfo=UTC)}
    assert (row["s"], row["sz"]) == (seconds, seconds.replace(tzinfo=UTC))
    assert read(tmp_path, int96, {"ns": "timestamp"}, "parquet").column("ns") == [at]


def test_43_a_folder_is_a_column_of_the_declared_type(tmp_path: Path) -> None:
    for declared, value in (("string", "01"), ("int", 1)):
        found = read(
            tmp_path,
            b"v\n7\n",
            {"v": "int", "month": declared},
            key="year=2024/month=01/x.csv",
            partitions={"month": declared},
        )
        assert found.column("month") == [value]


def test_43_a_malformed_folder_gives_null_is_kept_and_reported(tmp_path: Path) -> None:
    columns = {"v": "int", "month": "int", "day": "int"}
    found = read(
        tmp_path,
        b"v\n7\n",
        columns,
        key="month=ab/day=__HIVE_DEFAULT_PARTITION__/x.csv",
        partitions={"month": "int", "day": "int"},
    )
    assert found.rows == [{"v": 7, "month": None, "day": None, "_src_row": 0, "_rescued": '{"month":"ab"}'}]
    assert found.files[0].notes == ("Folder month=ab: 'ab' is not int; null, and kept in _rescued.",)


def test_43_a_file_that_contradicts_its_folder_has_bad_rows(tmp_path: Path) -> None:
    content = b"v,month\n1,1\n2,\n3,2\n"
    found = read(
        tmp_path,
        content,
        {"v": "int", "month": "int"},
        key="month=01/x.csv",
        partitions={"month": "int"},
        max_bad_rows=1,
    )
    assert all_rows(found) == [(1, 1), (2, 1)]
    assert found.rejects == [(2, "month", "2", "differs from the value of the folder")]


def test_43_a_column_with_the_name_of_a_folder_that_the_table_has_not_is_kept(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "v,month\n1,5\n",
        {"v": "int"},
        key="month=01/x.csv",
        partitions={"month": "int"},
        new_columns="rescue",
    )
    assert found.rows == [{"v": 1, "_src_row": 0, "_rescued": '{"month":"5"}'}]


@pytest.mark.parametrize(("bad", "limit", "passes"), [(5, "5%", True), (6, "5%", False), (5, 5, True), (6, 5, False)])
def test_44_exactly_at_the_limit_of_bad_rows_passes_and_one_more_does_not(
    bad: int, limit: object, passes: bool, tmp_path: Path
) -> None:
    content = "a,b\n" + "".join(f"{'x' if i < bad else i},y\n" for i in range(100))
    found = read(tmp_path, content, AB, max_bad_rows=limit)
    (file,) = found.files
    assert (file.error is None) is passes
    assert len(found.rows) == (100 - bad if passes else 0)
    assert len(found.rejects) == bad  # of a file that is set aside, too: they say why
    if not passes:
        assert file.error is not None
        assert file.error.quarantine
        assert f"{bad} of 100 rows" in str(file.error)


def test_44_of_a_file_that_is_set_aside_only_the_first_bad_rows_are_kept(tmp_path: Path) -> None:
    found = read(tmp_path, "a,b\n" + "x,y\n" * 2_500, AB)
    assert (found.files[0].rejected_rows, len(found.rejects), found.rows) == (2_500, 1_000, [])
    refused = read(tmp_path, "a,b\nx,y\n", AB, on_bad_row="fail")
    assert (refused.files[0].error is None, refused.rejects) == (False, [])


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "avro", "orc"])
def test_45_files_of_the_wrong_format_are_all_refused(form: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import orc

    def parquet(path: Path) -> None:
        pq.write_table(pa.table({"x": [1]}), path)

    def orc_file(path: Path) -> None:
        orc.write_table(pa.table({"x": [1]}), str(path))

    written = {"csv": b"x;y\n1;2\n", "json": b'{"x": 1}\n', "parquet": parquet, "orc": orc_file}
    others = [content for name, content in written.items() if name != form]
    if form == "csv":
        others = [parquet, orc_file]
    found = read(tmp_path, others, {"a": "int"}, form)
    assert found.rows == []
    assert all(f.error is not None for f in found.files)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_files_stream_and_give_the_rows_of_the_staged_way(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoloader.reader import reading

    lines = [f"{i},text {i}\n" for i in range(3000)]
    for bad in (None, "x,bad value\n", "1,2,3\n"):
        several = lines if bad is None else [*lines[:2000], bad, *lines[2000:]]
        files = [source_file(tmp_path, "a,b\n" + "".join(several))]
        staged = read_files(tmp_path, files, contract(AB), threads=threads)
        monkeypatch.setattr(reading, "LARGE_BYTES", 1)
        streamed = read_files(tmp_path, files, contract(AB), threads=threads)
        monkeypatch.undo()
        assert streamed == staged
        assert len(streamed.rows) == 3000
        assert [r["_src_row"] for r in streamed.rows] == [i for i in range(len(several)) if several[i] != bad]


def test_one_bad_file_of_a_group_takes_no_other_with_it(tmp_path: Path) -> None:
    contents: list[bytes] = [b"a,b\n%d,x\n" % i for i in range(40)]
    contents[7] = b"a,b\nbad,x\n"
    contents[11] = b'a,b\n1,"never closed\n'
    contents[13] = b"\x1f\x8b broken"
    contents[17] = b"a,b\n1,caf\xe9\n"
    found = read(tmp_path, contents, AB)
    assert [i for i, f in enumerate(found.files) if f.error is not None] == [7, 11, 13, 17]
    assert found.column("a") == [i for i in range(40) if i not in (7, 11, 13, 17)]
    assert [f.rows for f in found.files if f.error is None] == [1] * 36


def test_the_rows_of_a_group_are_numbered_file_by_file(tmp_path: Path) -> None:
    contents = [("a,b\n" + "".join(f"{i},x\n" for i in range(n))).encode() for n in (3, 0, 5, 1, 2)]
    found = read(tmp_path, contents, AB)
    assert found.column("_src_row") == [0, 1, 2, 0, 1, 2, 3, 4, 0, 0, 1]
    assert [f.rows for f in found.files] == [3, 0, 5, 1, 2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('"a\n1",b\n1,x\n2,y\n', Dialect()),
        ("\n\na,b\n1,x\n\n2,y\n", Dialect()),
        ('He said "hi\n\na,b\n1,x\n2,y\n', Dialect(skip_rows=2)),
        ("# one\n# two\na,b\n# three\n1,x\n#four\n2,y\n", Dialect(comment="#")),
        ("title\n#c\na,b\n1,x\n2,y\n", Dialect(comment="#", skip_rows=1)),
        ("title\n1,x\n2,y\n", Dialect(header=False, skip_rows=1)),
    ],
)
def test_what_stands_before_the_records_takes_none_of_them_with_it(content: str, told: Dialect, tmp_path: Path) -> None:
    first, second = ("column0", "column1") if not told.header else ("a\n1" if "\n1" in content[:4] else "a", "b")
    found = read(tmp_path, content, {first: "int", second: "string"}, dialect=told)
    assert all_rows(found) == [(1, "x"), (2, "y")]
    assert found.column("_src_row") == [0, 1]


def test_a_comment_sign_inside_a_record_is_text(tmp_path: Path) -> None:
    found = read(tmp_path, 'a,b\n1,x # y\n2,"p\n# q"\n', AB, dialect=Dialect(comment="#"))
    assert all_rows(found) == [(1, "x # y"), (2, "p\n# q")]
    escaping = Dialect(comment="#", escape="\\")
    odd = read(tmp_path, 'a,b\n1,"p\\"q"\n# no record\n2,"\\\\"\n#"\n', AB, dialect=escaping, max_bad_rows=0)
    assert all_rows(odd) == [(1, 'p"q'), (2, "\\")]
