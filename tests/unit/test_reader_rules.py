"""The rules for texts: the strict way implies the tolerant one, and nothing accepted has lost a digit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal as Exact
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoloader import reader
from autoloader.reader.cells import text_cell, text_rule
from autoloader.reader.duck import literal
from autoloader.schema import Decimal, Primitive, parse_type

KINDS = "boolean int long float double date time timestamp timestamptz uuid decimal(10,2) decimal(38,38)".split()
SIGNS = st.text(alphabet="0123456789+-.eE_ :TZ/xXbfan", max_size=14)
NUMBERS = st.from_regex(r"[ ]?[+-]?[0-9]{0,12}[.]?[0-9]{0,6}([eE][+-]?[0-9]{1,2})?[ ]?", fullmatch=True)
DAY = r"[0-9]{1,5}[-/ ][0-9]{1,2}[-/ ][0-9]{1,2}"
CLOCK = r"([T ][0-9]{1,2}:[0-9]{1,2}(:[0-9]{2}([.][0-9]{1,8})?)?)?"
MOMENTS = st.from_regex(DAY + CLOCK + r"(Z|[+-][0-9]{2})?", fullmatch=True)
WORDS = st.sampled_from(
    (
        "epoch infinity -infinity true TRUE on nan NaN inf 0x1F 1_000 0b1 null é ١٢"
        " 2024-02-29 2023-02-29 0000-01-01 9999-12-31"
    ).split()
)
TEXTS = st.lists(SIGNS | NUMBERS | MOMENTS | WORDS, min_size=1, max_size=40)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    con = reader.connect(threads=1, memory_limit="500MB", temp_directory=tmp_path_factory.mktemp("duck"))
    yield con
    con.close()


def both_ways(con: Any, kind: Primitive | Decimal, texts: list[str]) -> list[tuple[str, Any, bool, Any]]:
    """(text, tolerant value as text, bad, strict value as text or None) of each."""
    rule = text_rule(kind)
    guard = f"regexp_full_match(concat(v, ','), {literal(f'(?:(?:{rule.accept})?,){{1}}')})"
    if rule.check:
        guard += f" AND coalesce({rule.check.format(v='v')}, true)"
    strict = f"TRY(CASE WHEN {guard} THEN {rule.convert.format(v='v')} END)"
    cell = text_cell("v", kind)
    values = ", ".join(f"({n}, {literal(t)})" for n, t in enumerate(texts))
    rows: list[tuple[str, Any, bool, Any]] = con.execute(
        f"SELECT v, CAST({cell.value} AS VARCHAR), {cell.bad}, CAST({strict} AS VARCHAR)"
        f" FROM (VALUES {values}) AS t(n, v) ORDER BY n"
    ).fetchall()
    return rows


@pytest.mark.parametrize("text", KINDS)
@given(texts=TEXTS)
@FEW
def test_what_the_strict_way_takes_the_tolerant_way_takes_as_the_same_value(
    con: Any, text: str, texts: list[str]
) -> None:
    kind = parse_type(text)
    assert isinstance(kind, Primitive | Decimal)
    for value, tolerant, bad, strict in both_ways(con, kind, texts):
        assert bad is (tolerant is None), value
        assert strict is None or strict == tolerant, value


@pytest.mark.parametrize("text", ["int", "long", "decimal(10,2)", "decimal(38,38)", "decimal(38,0)"])
@given(texts=st.lists(NUMBERS | SIGNS, min_size=1, max_size=40))
@FEW
def test_a_number_that_is_taken_is_exactly_the_number_that_stands_there(con: Any, text: str, texts: list[str]) -> None:
    kind = parse_type(text)
    assert isinstance(kind, Primitive | Decimal)
    for value, tolerant, _, _ in both_ways(con, kind, texts):
        written = value.strip(" ")
        if tolerant is not None:
            assert Exact(tolerant) == Exact(written), value
        elif re.fullmatch(r"[+-]?[0-9]+", written) and abs(int(written)) < 2**31 and text != "decimal(38,38)":
            assert text == "decimal(10,2)", value
            assert abs(int(written)) >= 10**8, value


@given(texts=st.lists(NUMBERS, min_size=1, max_size=40))
@FEW
def test_every_plain_number_is_a_double_or_too_large(con: Any, texts: list[str]) -> None:
    for value, tolerant, bad, _ in both_ways(con, Primitive("double"), texts):
        written = value.strip(" ")
        if re.fullmatch(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?", written):
            assert not bad
            assert float(tolerant) == float(written)
        else:
            assert bad


@given(texts=st.lists(MOMENTS | WORDS, min_size=1, max_size=40))
@FEW
def test_a_date_that_is_taken_is_the_day_that_stands_there(con: Any, texts: list[str]) -> None:
    for value, tolerant, _, _ in both_ways(con, Primitive("date"), texts):
        if tolerant is not None:
            parts = re.match(r" *([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})", value)
            assert parts is not None, value
            assert tolerant == "{}-{:0>2}-{:0>2}".format(*parts.groups()), value


def test_a_guard_over_many_fields_does_not_let_one_field_lean_on_another(tmp_path: Path) -> None:
    from tests.reading import read

    columns = {"a": "int", "b": "int", "c": "decimal(10,2)", "d": "date", "e": "double"}
    good = "1,2,3.25,2024-01-01,1e5\n"
    for bad in (
        '"1,2",3,4,2024-01-01,1\n',
        "1.5,2,3,2024-01-01,1\n",
        "1,2,3.255,2024-01-01,1\n",
        "1,2,3,2024-01-01 10:00:00,1\n",
        "1,2,3,2024-01-01,1e999\n",
        '1,"",3,2024-01-01,1\n',
        "1,2,3,epoch,1\n",
    ):
        found = read(tmp_path, "a,b,c,d,e\n" + good + bad + good, columns, max_bad_rows=1)
        assert [r["_src_row"] for r in found.rows] == [0, 2], bad
        assert len(found.rejects) == 1, bad
