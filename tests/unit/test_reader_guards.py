"""The cheap look at usual texts lets nothing through that the cast table does not take, and changes no row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoloader import reader
from autoloader.reader import reading
from autoloader.reader.cells import text_rule
from autoloader.reader.duck import duck_type, literal
from autoloader.reader.guards import Text, Usual, forms, usual_forms
from autoloader.reader.stage import is_value_error
from autoloader.schema import Decimal, Primitive, parse_type
from tests.reading import contract, read_files, source_file

WORDS = "date timestamp int long decimal(10,2) decimal(3,3) decimal(38,0) decimal(38,10)".split()
OTHERS = "boolean float double time timestamptz uuid".split()
NASTY = (
    "|1|+1|-1|--1|+-1|- 1|1-|1 2| 1 |1\t|\t1|1\n|\v1|1\f|1_000|1__0|9_9|-1_0|1.5|1.0|1.|.5|-.5|1e3|1e2|1.5e3|1e-3|0x10"
    "|0xFFFFFFFFF|0b1|007|-0|1,2|,|9.9|99.99|0.04|.123|0.123|-0.123|1.234|1.2300001|0.005|1.999|12345678.99|12345678.9"
    "|2147483648|-9223372036854775808|99999999999999999999|true|t|nan|NULL|١٢|1\u00a0|\u20091|１|\u200b1|\ufeff1"
    "|2020-01-01|2020-1-1|2020/01/01|2020-01/01|2020-01-1 |2020-01-01\t|2020-01-1\v| 2020-01-1|-001-01-01|0000-01-01"
    "|0001-01-01|9999-12-31|10000-01-01|0001-01-01 (BC)|0002-01-01 (BC)|10000-01-01 00:00:00|2020-02-30|2020-01-01x"
    "|2020-01-01 00:00:00|2020-01-01T00:00|2020-01-01 10:00:00|2020-01-01 10:00:00.5|2020-01-01 10:00:00.500000"
    "|2020-01-01 10:00:00.1234567|2020-01-01 24:00:00|2020-01-01 10:00:00+02|2020-01-01 10:00:00 Europe/Berlin"
    "|2020-01-01 10:00:00Z|0001-01-01 00:00:00|9999-12-31 23:59:59.999999|0001-01-01 (BC) 00:00:00|2020 01 01"
    "|2020\\01\\01|epoch|infinity|-infinity|20200101|5881580-07-11|294247-01-10 04:00:54.775806|10:00|25:00:00"
    "|6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b|zz"
).split("|")
TEXTS = st.sampled_from(NASTY) | st.text("0123456789+-/ \t.eE_:T(BC)x", max_size=14)
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    con = reader.connect(threads=1, memory_limit="500MB", temp_directory=tmp_path_factory.mktemp("duck"))
    yield con
    con.close()


def kind_of(word: str) -> Primitive | Decimal:
    kind = parse_type(word)
    assert isinstance(kind, Primitive | Decimal)
    return kind


def let_through(con: Any, word: str, texts: Sequence[str], has_nulls: bool) -> list[tuple[str, bool]]:
    """Of the texts that the cheap look lets through: the text, and whether the cast table takes it."""
    kind = kind_of(word)
    value = f"TRY_CAST(c AS {duck_type(kind)})"
    good = " OR ".join(f"coalesce({Usual(form, has_nulls).condition('v', 'c')}, false)" for form in forms(kind))
    accepted = f"regexp_full_match(c, {literal(text_rule(kind).accept or '')})"
    con.execute("CREATE OR REPLACE TEMP TABLE found (c VARCHAR)")
    con.executemany("INSERT INTO found VALUES (?)", [(text,) for text in texts])
    found: list[tuple[str, bool]] = con.execute(
        f"SELECT c, {accepted} FROM (SELECT c, {value} AS v FROM found) WHERE v IS NOT NULL AND ({good})"
    ).fetchall()
    return found


@pytest.mark.parametrize("word", WORDS)
def test_no_nasty_text_is_let_through_that_the_cast_table_does_not_take(word: str, con: Any) -> None:
    for has_nulls in (False, True):
        found = let_through(con, word, NASTY, has_nulls)
        assert [text for text, accepted in found if not accepted] == []
        assert found, "everything is refused: nothing was tested"


@given(texts=st.lists(TEXTS, min_size=1, max_size=40), word=st.sampled_from(WORDS))
@FEW
def test_no_text_at_all_is_let_through_that_the_cast_table_does_not_take(con: Any, texts: list[str], word: str) -> None:
    assert [text for text, accepted in let_through(con, word, texts, True) if not accepted] == []


@contextmanager
def suppress_value_errors() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        if not is_value_error(error):
            raise


@pytest.mark.parametrize("word", [*WORDS, *OTHERS])
def test_a_cast_before_the_look_at_its_text_fails_as_a_bad_value_fails(word: str, con: Any) -> None:
    for text in NASTY:
        with suppress_value_errors():
            con.execute(f"SELECT CAST(? AS {duck_type(kind_of(word))})", [text]).fetchall()


def test_what_is_usual_is_told_from_the_first_rows(con: Any) -> None:
    columns = {
        "int": ("1", "-2", None),
        "decimal(10,2)": ("1.50", "-0.04", "7.00"),
        "decimal(12,2)": ("1", "17", "-3"),
        "decimal(11,2)": ("1.5", "2.25", "3"),
        "date": ("2020-01-01", "1999-12-31", "2000-02-29"),
        "timestamp": ("2020/01/01 10:00", "2020-01-01", "x"),
        "long": (None, None, None),
        "double": ("1.0", "2.0", "3.5"),
    }
    texts = [Text(i, f"c{i}", kind_of(word), "") for i, word in enumerate(columns)]
    rows = ", ".join(
        "(" + ", ".join("NULL::VARCHAR" if v is None else literal(v) for v in row) + ")"
        for row in zip(*columns.values(), strict=True)
    )
    found = usual_forms(con, f"SELECT * FROM (VALUES {rows}) AS t({', '.join(t.sql for t in texts)})", texts)
    assert found == {
        0: Usual(Primitive("int"), has_nulls=True),
        1: Usual(Decimal(10, 2)),
        2: Usual(Decimal(12, 0)),
        4: Usual(Primitive("date")),
    }


USUAL = "1,2020-01-01,17,0.50,2020-01-01 10:00:00,0.1,x\n"
UNUSUAL = " +7 ,2020/1/1,17.5,.5,2020-01-01T10:00,1e2,y\n,,,,,,\n-0,2020-01-01 00:00,007,0.500,2020-01-01,inf,\n"
COLUMNS = {
    "i": "int", "day": "date", "n": "decimal(9,2)", "m": "decimal(9,2)", "at": "timestamp",
    "d": "double", "s": "string",
}  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    ["", "1.5,,,,,,\n", ",epoch,,,,,\n", ",,0.001,,,,\n", ",,,9.999,,,\n", ",,,,10:00,,\n", ",,,,,1e999,\n", "1\n"],
)
def test_files_of_usual_and_unusual_rows_give_what_they_give_without_the_cheap_look(
    bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "i,day,n,m,at,d,s\n" + USUAL * 2_500 + UNUSUAL + bad + USUAL
    files = [source_file(tmp_path, lines)]
    staged = read_files(tmp_path, files, contract(COLUMNS))
    monkeypatch.setattr(reading, "LARGE_BYTES", 1)
    asked = []
    real = reading.usual_forms

    def noted(*args: Any) -> Any:
        asked.append(real(*args))
        return asked[-1]

    monkeypatch.setattr(reading, "usual_forms", noted)
    streamed = read_files(tmp_path, files, contract(COLUMNS))
    assert streamed == staged
    assert len(streamed.rows) == 2_504
    assert [sorted(usual) for usual in asked] == [[0, 1, 2, 3, 4]] * (1 if bad != "1\n" else len(asked))
    assert asked


def test_partitions_and_rescued_columns_go_with_the_cheap_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = contract({"i": "long", "year": "int"}, partitions={"year": "int"}, new_columns="rescue")
    files = [source_file(tmp_path, "i,new\n1,a\n2,\n3,c\n", key="year=2024/x.csv")]
    staged = read_files(tmp_path, files, told)
    monkeypatch.setattr(reading, "LARGE_BYTES", 1)
    streamed = read_files(tmp_path, files, told)
    assert streamed == staged
    assert [(r["i"], r["year"], r["_rescued"]) for r in streamed.rows] == [
        (1, 2024, '{"new":"a"}'), (2, 2024, None), (3, 2024, '{"new":"c"}'),
    ]  # fmt: skip
