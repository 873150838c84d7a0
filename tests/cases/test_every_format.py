"""CASES that hold for every format alike: the same records, written in each, give the same rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from tests.reading import Content, read

FORMS = ("csv", "json", "parquet", "avro", "orc")
every_format = pytest.mark.parametrize("form", FORMS)


def written(form: str, records: list[dict[str, Any]]) -> bytes:
    """Records of texts and whole numbers, all of the same keys."""
    names = list(records[0])
    match form:
        case "csv":
            out = io.StringIO()
            csv.writer(out).writerows([names, *(row.values() for row in records)])
            return out.getvalue().encode()
        case "json":
            return "".join(json.dumps(row) + "\n" for row in records).encode()
        case "avro":
            kinds = {name: "long" if isinstance(records[0][name], int) else "string" for name in names}
            fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
            whole = io.BytesIO()
            schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": fields})
            fastavro.writer(whole, schema, records)
            return whole.getvalue()
        case _:
            sink = pa.BufferOutputStream()
            write = pq.write_table if form == "parquet" else orc.write_table
            write(pa.Table.from_pylist(records), sink)
            return bytes(sink.getvalue())


def found(
    folder: Path, form: str, *files: list[dict[str, Any]], columns: dict[str, str] | None = None, **more: Any
) -> Any:
    contents: list[Content] = [written(form, records) for records in files]
    return read(folder, contents, columns or {"a": "int", "b": "string"}, form, **more)


@every_format
def test_28_a_file_that_is_cut_gives_no_row_at_all(form: str, tmp_path: Path) -> None:
    good = [{"a": number, "b": "x" * 40} for number in range(2_000)]
    whole = written(form, good)
    packed = gzip.compress(whole, 1) if form in ("csv", "json") else whole
    cut = read(tmp_path, [packed[: len(packed) * 3 // 4], whole], {"a": "int", "b": "string"}, form)
    assert [file.rows for file in cut.files] == [0, 2_000]
    assert [file.error is None for file in cut.files] == [False, True]


@every_format
def test_30_columns_are_matched_by_name_in_every_order(form: str, tmp_path: Path) -> None:
    both = found(tmp_path, form, [{"a": 1, "b": "x"}], [{"b": "y", "a": 2}])
    assert sorted((row["a"], row["b"]) for row in both.rows) == [(1, "x"), (2, "y")]


@every_format
def test_31_extra_columns_are_rescued_and_missing_ones_are_null(form: str, tmp_path: Path) -> None:
    both = found(tmp_path, form, [{"a": 1, "c": "new"}], [{"a": 2, "b": "y"}], new_columns="rescue")
    rows = sorted((row["a"], row["b"], row["_rescued"]) for row in both.rows)
    assert rows == [(1, None, '{"c":"new"}'), (2, "y", None)]
    refused = found(tmp_path, form, [{"a": 1}], missing_columns="fail")
    assert refused.error is not None
    refused = found(tmp_path, form, [{"a": 1, "b": "x", "c": "new"}], new_columns="fail")
    assert refused.error is not None
    ignored = found(tmp_path, form, [{"a": 1, "b": "x", "c": "new"}], new_columns="ignore")
    assert ignored.column("_rescued") == [None]


@every_format
def test_34_texts_that_look_like_something_else_follow_the_type_rules(form: str, tmp_path: Path) -> None:
    texts = ["007", "NaN", "NULL", "1e400", "5.0"]
    rows = found(
        tmp_path, form, [{"a": text, "b": text} for text in texts], columns={"a": "int", "b": "string"},
        on_bad_row="rescue", max_bad_rows="100%",
    )  # fmt: skip
    assert rows.column("b") == texts
    assert rows.column("a") == [7, None, None, None, 5]
    assert rows.column("_rescued") == [None, '{"a":"NaN"}', '{"a":"NULL"}', '{"a":"1e400"}', None]


@every_format
def test_39_two_columns_of_one_name_are_an_error_and_case_may_change_between_files(form: str, tmp_path: Path) -> None:
    both = found(tmp_path, form, [{"a": 1, "b": "x"}], [{"A": 2, "B": "y"}])
    assert sorted((row["a"], row["b"]) for row in both.rows) == [(1, "x"), (2, "y")]
    clash = found(tmp_path, form, [{"a": 1, "A": 2}])
    assert clash.rows == []
    assert "a" in str(clash.error or clash.rejects[0][3])


@every_format
def test_40_awkward_names_and_names_of_ours_are_names_like_others(form: str, tmp_path: Path) -> None:
    names = ["select", "order by", "a.b", "x"] if form != "avro" else ["select", "order_by", "a_b", "x"]
    record = {**{name: number for number, name in enumerate(names)}, "_src_row": 77}
    columns = dict.fromkeys(names, "int")
    rows = found(tmp_path, form, [record], columns=columns, new_columns="rescue").rows
    assert [rows[0][name] for name in names] == [0, 1, 2, 3]
    assert rows[0]["_src_row"] == 0
    assert json.loads(rows[0]["_rescued"]) in ({"_src_row": 77}, {"_src_row": "77"})


@every_format
def test_43_a_folder_is_a_column_of_the_declared_type_and_contradictions_are_bad_rows(
    form: str, tmp_path: Path
) -> None:
    columns = {"a": "int", "month": "string", "day": "int"}
    told: dict[str, Any] = {
        "columns": columns,
        "key": f"month=01/day=02/f.{form}",
        "partitions": {"month": "string", "day": "int"},
    }
    rows = found(tmp_path, form, [{"a": 1}], **told).rows
    assert [(row["a"], row["month"], row["day"]) for row in rows] == [(1, "01", 2)]
    differs = found(tmp_path, form, [{"a": 1, "day": 2}, {"a": 2, "day": 3}], **told, max_bad_rows="50%")
    assert differs.column("a") == [1]
    assert [(row, column) for row, column, _, _ in differs.rejects] == [(1, "day")]


@every_format
def test_44_bad_rows_up_to_the_limit_are_set_aside_and_one_more_is_too_many(form: str, tmp_path: Path) -> None:
    def records(bad: int) -> list[dict[str, Any]]:
        return [{"a": "x" if number < bad else str(number), "b": "y"} for number in range(20)]

    passed = found(tmp_path, form, records(1), max_bad_rows="5%")
    assert (len(passed.rows), passed.rejects) == (19, [(0, "a", "x", "is not a whole number that fits 32 bits")])
    refused = found(tmp_path, form, records(2), max_bad_rows="5%")
    assert (refused.rows, refused.files[0].error.quarantine) == ([], True)


@pytest.mark.parametrize(("form", "other"), list(permutations(FORMS, 2)))
def test_45_a_folder_of_another_format_gives_no_row(form: str, other: str, tmp_path: Path) -> None:
    files: list[Content] = [written(other, [{"a": 1, "b": "x"}])] * 3
    wrong = read(tmp_path, files, {"a": "int", "b": "string"}, form, missing_columns="fail")
    assert wrong.rows == []
    assert all(file.error is not None for file in wrong.files)
