"""What a file asks of its table before it is read, where the contract lets the table grow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader import schema as schemas
from autoloader.reader import ReadContract, SchemaGrowsError, grown
from tests.reading import Content, contract, read_files, source_file


def asked(folder: Path, content: Content, columns: Mapping[str, str], form: str = "csv", **others: Any) -> str | None:
    """What one file asks for; None: it is read as it is."""
    told = contract(columns, form, may_grow=True, **others)
    found = read_files(folder, [source_file(folder, content)], told)
    (file,) = found.files
    if isinstance(file.error, SchemaGrowsError):
        assert found.rows == []
        return str(file.error.found)
    assert file.error is None
    return None


def parquet(table: pa.Table) -> Any:
    return lambda path: pq.write_table(table, path)


@pytest.mark.parametrize(
    ("form", "content", "columns", "wanted"),
    [
        ("csv", "id,n\n1,2.5\n", {"id": "long"}, "n double"),
        ("csv", "id,day,code\n1,2024-01-02,007\n", {"id": "long"}, "day date, code string"),
        ("csv", "id,n\n1,\n2,\n", {"id": "long"}, None),
        ("csv", "id,n\n" + "1,\n" * 30_000 + "2,7\n", {"id": "long"}, "n long"),
        ("json", '{"id":1,"n":2}\n', {"id": "long"}, "n long"),
        ("json", '{"id":1,"n":null,"day":"2024-01-02"}\n', {"id": "long"}, "day date"),
        ("json", '{"id":1,"p":{"a":1,"b":{"c":2,"d":null}}}\n', {"id": "long", "p": "struct<a: long>"},
         "p struct<a: long, b: struct<c: long>>"),
        ("json", '{"id":1,"p":[{"a":1,"b":"x"}]}\n', {"id": "long", "p": "list<struct<a: long>>"},
         "p list<struct<a: long, b: string>>"),
        ("json", '{"id":1,"p":{"a":1,"b":null}}\n', {"id": "long", "p": "struct<a: long>"}, None),
        ("json", '{"p":{"k":{"a":1},"l":{"b":[{"k":{"c":1}}]}}}\n', {"p": "map<string, struct<a: long>>"},
         "p map<string, struct<a: long, b: list<struct<k: struct<c: long>>>>>"),
        ("json", '{"p":[{"q":{"k":{"a":1,"b":"x"}}}]}\n', {"p": "list<struct<q: map<string, struct<a: long>>>>"},
         "p list<struct<q: map<string, struct<a: long, b: string>>>>"),
        ("json", '{"p":{"k":{"a":1,"b":null},"l":null}}\n', {"p": "map<string, struct<a: long>>"}, None),
        ("json", '{"p":{"k":1,"l":2}}\n', {"p": "map<string, long>"}, None),
        ("parquet", parquet(pa.table({"id": [1], "n": [0.5], "o": pa.nulls(1)})), {"id": "long"}, "n double"),
        ("parquet", parquet(pa.table({"id": [1], "p": [{"a": 1, "b": "x"}]})), {"id": "long", "p": "struct<a: long>"},
         "p struct<a: long, b: string>"),
    ],
)  # fmt: skip
def test_a_file_asks_for_the_columns_and_fields_that_it_has_values_for(
    form: str, content: Content, columns: dict[str, str], wanted: str | None, tmp_path: Path
) -> None:
    assert asked(tmp_path, content, columns, form) == wanted


@pytest.mark.parametrize(
    ("form", "content", "columns", "wanted"),
    [
        ("csv", "id\n1\n3000000000\n", {"id": "int"}, "id long"),
        ("csv", "id\n1\n2\n", {"id": "int"}, None),
        ("csv", "x\n1e39\n", {"x": "float"}, "x double"),
        ("csv", "d\n1.25\n12345.67\n", {"d": "decimal(5,2)"}, "d decimal(7,2)"),
        ("json", '{"id":3000000000}\n', {"id": "int"}, "id long"),
        ("json", '{"p":{"a":[3000000000]}}\n', {"p": "struct<a: list<int>>"}, "p struct<a: list<long>>"),
        ("json", '{"p":{"a":3000000000}}\n', {"p": "map<string, int>"}, "p map<string, long>"),
        ("parquet", parquet(pa.table({"id": [7]})), {"id": "int"}, None),
        ("parquet", parquet(pa.table({"id": [3_000_000_000]})), {"id": "int"}, "id long"),
        ("parquet", parquet(pa.table({"x": [0.1]})), {"x": "float"}, "x double"),
    ],
)
def test_a_file_asks_for_the_type_that_iceberg_promotes_a_column_to_when_values_need_it(
    form: str, content: Content, columns: dict[str, str], wanted: str | None, tmp_path: Path
) -> None:
    assert asked(tmp_path, content, columns, form) == wanted


def test_what_no_promotion_cures_is_a_bad_value_and_nothing_is_asked(tmp_path: Path) -> None:
    told = contract({"n": "long"}, may_grow=True, max_bad_rows="50%")
    found = read_files(tmp_path, [source_file(tmp_path, "n\n1\n1.5\n")], told)
    assert [row["n"] for row in found.rows] == [1]
    assert found.rejects[0][:3] == (1, "n", "1.5")


def test_a_column_whose_bad_values_are_cured_only_in_part_is_widened_and_the_rest_stays_bad(tmp_path: Path) -> None:
    assert asked(tmp_path, "id\n3000000000\nx\n", {"id": "int"}, max_bad_rows="50%") == "id long"


@pytest.mark.parametrize("rule", ["rescue", "ignore"])
def test_a_contract_that_adds_no_columns_asks_for_none(rule: str, tmp_path: Path) -> None:
    assert asked(tmp_path, "id,n\n1,2\n", {"id": "long"}, new_columns=rule) is None


def test_a_contract_that_does_not_widen_asks_for_no_type(tmp_path: Path) -> None:
    assert asked(tmp_path, "id\n3000000000\n", {"id": "int"}, type_change="rescue", max_bad_rows="100%") is None


def test_many_alike_files_ask_together_and_others_of_the_group_are_read(tmp_path: Path) -> None:
    told = contract({"id": "long"}, may_grow=True)
    files = [source_file(tmp_path, "id\n1\n") for _ in range(10)]
    files += [source_file(tmp_path, f"id,n\n2,{number}\n") for number in range(10)]
    found = read_files(tmp_path, files, told)
    asks = [f.error for f in found.files if isinstance(f.error, SchemaGrowsError)]
    assert len(asks) == 10
    assert {str(each.found) for each in asks} == {"n long"}
    assert [row["id"] for row in found.rows] == [1] * 10


def grow(columns: Mapping[str, str], *asks: Mapping[str, str], table: Mapping[str, str] | None = None) -> str:
    told: ReadContract = contract(columns)
    wanted = [_schema(each) for each in asks]
    return str(grown(told, wanted, None if table is None else _schema(table)).schema)


def _schema(columns: Mapping[str, str]) -> schemas.TableSchema:
    return schemas.from_data([{"name": n, "type": t} for n, t in columns.items()])


def test_several_asks_make_one_schema_that_holds_them_all() -> None:
    assert grow({"id": "int"}, {"n": "long"}, {"N": "double"}, {"id": "long"}) == "id long, n double"


def test_a_column_that_the_table_has_already_keeps_the_type_that_it_has_there() -> None:
    assert grow({"id": "int"}, {"n": "long"}, table={"id": "int", "n": "string"}) == "id int, n string"
