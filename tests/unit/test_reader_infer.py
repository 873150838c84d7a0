"""What files look like: dialect, columns and types from samples."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from autoloader.errors import ReadError
from autoloader.reader import Inferred, infer
from autoloader.reader.contract import Dialect
from autoloader.reader.csvfile import Header, open_csv
from autoloader.reader.shapes import of_texts
from autoloader.schema import Primitive
from autoloader.spec.source import CsvOptions
from tests.reading import Content, read, source_file


def look(
    folder: Path,
    *contents: Content,
    form: str | None = "csv",
    partitions: dict[str, str] | None = None,
    **options: object,
) -> Inferred:
    samples = [(source_file(folder, c).path, f"key-{n}") for n, c in enumerate(contents)]
    return infer(samples, form, CsvOptions.model_validate(options), partitions=partitions)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("1 2 -3", "long"),
        ("1 007", "string"),
        ("0 0", "long"),
        ("1 9223372036854775807", "long"),
        ("1 9223372036854775808", "decimal(38,0)"),
        ("1 1.5", "double"),
        ("0.1 0.30000000000000004", "double"),
        ("0.1 0.12345678901234567890", "decimal(38,20)"),
        ("1 1e5", "double"),
        ("1.5 NaN", "double"),
        ("NaN NaN", "string"),
        ("true False", "boolean"),
        ("true 1", "string"),
        ("yes no", "string"),
        ("2024-01-01 2024-12-31", "date"),
        ("2024-01-01 2024-02-30", "string"),
        ("2024-01-01 2024-01-01T10:00:00", "timestamp"),
        ("2024-01-01T10:00:00Z 2024-01-01T10:00:00+02:00", "timestamptz"),
        ("2024-01-01T10:00:00 2024-01-01T10:00:00Z", "string"),
        ("1 x", "string"),
        ("12:00 13:00", "string"),
        ("1_000 2", "string"),
    ],
)
def test_the_type_of_a_column_is_the_narrowest_that_loses_nothing(values: str, kind: str, tmp_path: Path) -> None:
    content = "n,v\n" + "".join(f"{n},{v}\n" for n, v in enumerate(values.split())) + "9,\n"
    assert str(look(tmp_path, content).schema) == f"n long, v {kind}"


def test_what_is_inferred_is_read_without_a_bad_row(tmp_path: Path) -> None:
    from tests.reading import contract, read_files

    content = "a,b,c,d\n1,1.5,2024-01-01,007\n,NaN,,x\n2,1e300,2024-12-31,\n"
    file = source_file(tmp_path, content)
    inferred = infer([(file.path, "k")], "csv")
    told = contract({c.name: str(c.type) for c in inferred.schema.columns}, dialect=inferred.dialect, max_bad_rows=0)
    assert len(read_files(tmp_path, [file], told).rows) == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_splits_all_records_alike(delimiter: str, tmp_path: Path) -> None:
    content = f'a{delimiter}b\n1{delimiter}"x, y; z"\n2{delimiter}w\n'
    inferred = look(tmp_path, content)
    assert inferred.dialect.delimiter == delimiter
    assert str(inferred.schema) == "a long, b string"


@pytest.mark.parametrize(
    ("content", "header"),
    [("a,b\n1,2\n", True), ("1,2\n3,4\n", False), ("x,2024-01-01\ny,2024-01-02\n", False), ("a,b\nx,y\n", True)],
)
def test_a_first_line_with_a_value_in_it_is_no_header(content: str, header: bool, tmp_path: Path) -> None:
    inferred = look(tmp_path, content)
    assert inferred.dialect.header is header
    assert inferred.schema.columns[0].name == ("column0" if not header else "a")


def test_what_the_options_say_is_not_guessed(tmp_path: Path) -> None:
    inferred = look(tmp_path, "# note\n1;2\n3;4\n", delimiter=";", header=True, comment="#", null_values=["3"])
    assert str(inferred.schema) == "`1` string, `2` long"
    assert inferred.dialect.comment == "#"
    assert inferred.dialect.null_values == ("3",)


def test_samples_are_merged_by_name_without_regard_to_case(tmp_path: Path) -> None:
    inferred = look(tmp_path, "a,b\n1,\n", "B,A,c\nx,1.5,true\n", "", "a\n\n")
    assert str(inferred.schema) == "a double, b string, c boolean"


def test_json_is_inferred_at_every_depth(tmp_path: Path) -> None:
    content = (
        '{"a":1,"b":{"c":null,"d":[]},"e":"2024-01-01T00:00:00Z","z":"007"}\n'
        '{"A":2.5,"b":{"C":"x","d":[{"k":1},{"k":1.5}]},"n":null,"big":123456789012345678901}\n'
    )
    inferred = look(tmp_path, content, form=None)
    assert inferred.format == "json"
    assert str(inferred.schema) == (
        "a double, b struct<c: string, d: list<struct<k: double>>>, e timestamptz, z string, n string,"
        " big decimal(38,0)"
    )


def test_parquet_brings_its_own_schema(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(path: Path) -> None:
        columns = {"a": pa.array([1], pa.int16()), "u": pa.array([1], pa.uint64()), "n": pa.array([None], pa.null())}
        pq.write_table(pa.table(columns), path)

    inferred = look(tmp_path, write, form=None)
    assert (inferred.format, str(inferred.schema)) == ("parquet", "a int, u decimal(20,0), n string")


def test_folders_become_columns_of_the_declared_type(tmp_path: Path) -> None:
    inferred = look(tmp_path, "a,month\n1,2\n", partitions={"year": "int", "month": "string"})
    assert str(inferred.schema) == "a long, month string, year int"


def test_names_that_lineage_keeps_get_another_name(tmp_path: Path) -> None:
    inferred = look(tmp_path, "_src_row,a\n1,2\n")
    assert [(c.name, c.source) for c in inferred.schema.columns] == [("file_src_row", "_src_row"), ("a", None)]
    assert "_src_row" in inferred.notes[0]


def test_a_bad_sample_is_left_out_and_said_so_unless_all_are_bad(tmp_path: Path) -> None:
    inferred = look(tmp_path, b"\x1f\x8bbroken", "a\n1\n")
    assert str(inferred.schema) == "a long"
    assert "key-0 was left out of the sample" in inferred.notes[0]
    with pytest.raises(ReadError, match="damaged"):
        look(tmp_path, b"\x1f\x8bbroken")
    with pytest.raises(ReadError, match="Line 2 is not UTF-8"):
        look(tmp_path, b"a\ncaf\xe9\n")


@pytest.mark.parametrize("ends", ["\r\n", "\n\r\n", "\r\n\n", "\r\n\r"])
@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_file_of_several_line_ends_is_looked_into_and_read_alone(form: str, ends: str, tmp_path: Path) -> None:
    records = ["a,b", "1,x", "2,y"] if form == "csv" else ['{"a":1,"b":"x"}', '{"a":2,"b":"y"}', "{}"]
    content = records[0] + ends + records[1] + "\n" + records[2] + ends
    inferred = look(tmp_path, content, form=form)
    assert (str(inferred.schema), inferred.files) == ("a long, b string", 1)
    found = read(tmp_path, content, {"a": "long", "b": "string"}, form, max_bad_rows=0)
    assert [(r["a"], r["b"]) for r in found.rows if r["a"]] == [(1, "x"), (2, "y")]


def test_text_of_several_line_ends_has_all_its_lines(tmp_path: Path) -> None:
    found = read(tmp_path, "a\r\nb\n\nc\r\n", {"value": "string"}, "text")
    assert found.column("value") == ["a", "b", "", "c"]


def test_how_many_files_were_looked_into_counts_those_that_could_be_read(tmp_path: Path) -> None:
    assert look(tmp_path, b"\x1f\x8bbroken", "a\n1\n").files == 1


@pytest.mark.parametrize(("opening", "closing"), [('{"a":[', "]}"), ('{"a":', "}")])
def test_what_is_nested_very_deeply_is_text_below_a_depth_that_casts_can_be_made_for(
    opening: str, closing: str, tmp_path: Path
) -> None:
    content = '{"id":1,"v":' + opening * 200 + "1" + closing * 200 + "}\n"
    inferred = look(tmp_path, content, form="json")
    assert str(inferred.schema.columns[1].type).count("<") == 16
    found = read(tmp_path, content, {c.name: str(c.type) for c in inferred.schema.columns}, "json", max_bad_rows=0)
    assert str(found.column("v")[0]).count("a") == 200
    deeper = content.replace(opening * 200, opening * 20_000).replace(closing * 200, closing * 20_000)
    assert str(look(tmp_path, deeper + '{"id":2}\n', form="json").schema) == "id long"


def test_a_key_without_a_name_is_no_column_but_rescued(tmp_path: Path) -> None:
    content = '{"":1,"a":{"":2,"b":3}}\n'
    inferred = look(tmp_path, content, form="json")
    assert str(inferred.schema) == "a struct<b: long>"
    found = read(tmp_path, content, {"a": "struct<b: long>"}, "json", may_grow=True)
    assert found.column("a") == [{"b": 3}]
    assert '"":1' in found.column("_rescued")[0]


def test_a_header_of_one_empty_name_is_a_column_by_its_place(tmp_path: Path) -> None:
    assert str(look(tmp_path, '""\nx\n', header=True).schema) == "column0 string"


@pytest.mark.parametrize("inside", [False, True])
def test_a_parquet_column_without_a_name_makes_a_bad_file_and_no_failed_task(inside: bool, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"s": [{"": 1, "b": 2}]}) if inside else pa.table({"": [1], "b": [2]})
    found = read(tmp_path, lambda path: pq.write_table(table, path), {"b": "long"}, "parquet")
    assert "has no name" in (found.error or "")


def test_a_parquet_decimal_that_no_type_holds_is_inferred_as_text_and_keeps_its_digits(tmp_path: Path) -> None:
    from decimal import Decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    text = "1" * 48 + ".25"
    table = pa.table({"a": [1], "d": pa.array([Decimal(text)], pa.decimal256(50, 2))})
    content: Content = lambda path: pq.write_table(table, path)  # noqa: E731
    inferred = look(tmp_path, content, form="parquet")
    assert str(inferred.schema) == "a long, d string"
    found = read(tmp_path, content, {"a": "long", "d": "string"}, "parquet", max_bad_rows=0)
    assert found.column("d") == [text]


def test_only_empty_samples_give_an_empty_schema(tmp_path: Path) -> None:
    assert look(tmp_path, "", "").schema.columns == ()


@pytest.mark.slow
def test_hundreds_of_columns_are_inferred_within_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    names = [f"c{number}" for number in range(1_500)]
    path.write_text("\n".join(",".join(each) for each in (names, ["1"] * 1_499 + ["x"])))
    with duckdb.connect(config={"memory_limit": "200MB", "threads": 1, "temp_directory": ""}) as con:
        raw = open_csv([path], Header(tuple(names), 1), Dialect())
        types = of_texts(con, raw, 100)
    assert types == [Primitive("long")] * 1_499 + [Primitive("string")]
