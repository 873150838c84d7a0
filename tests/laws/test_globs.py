"""Laws of matching: regular expression = brute force = SQL; pruning loses nothing; slices partition."""
# ruff: noqa: DTZ001 - wall-clock times without a zone are what some of these laws are about

from __future__ import annotations

import itertools
import re
import string
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloader.matching import (
    Verdict,
    Window,
    compile_glob,
    compile_path_date,
    folder_filter,
    is_hidden,
    is_hidden_sql,
    literal_prefixes,
    local_bounds,
    matches,
    matches_sql,
    slices,
)

LETTERS = "ab_.-\n[é"
KEYS = st.lists(st.text(LETTERS, max_size=4), min_size=1, max_size=4).map("/".join)
PIECES = st.one_of(
    st.sampled_from(["a", "b", "_", ".", "-", "é", "\n", "\\[", "*", "?", "[ab]", "[!a]", "[+-9]", "[!_.]"]),
    st.sampled_from(["{a,b}", "{a*,?b,}", "{[a,b],é{a,}}"]),
)
SEGMENTS = st.one_of(
    st.just("**"),
    st.lists(PIECES, min_size=1, max_size=3).map(lambda parts: re.sub(r"\*+", "*", "".join(parts))),
)
PATTERNS = (
    st.lists(SEGMENTS, min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda p: not p.startswith(("./", "../")) and p.count("{") <= 3)
)


def expand(pattern: str) -> list[str]:
    """Braces written out, innermost last: nothing shared with the code under test."""
    depth, start, cuts, i = 0, -1, [], 0
    while i < len(pattern):
        c = pattern[i]
        if c == "\\":
            i += 1
        elif c == "[":
            i = pattern.index("]", i + 2)
        elif c == "{":
            depth += 1
            if depth == 1:
                start, cuts = i, [i]
        elif c == "," and depth == 1:
            cuts.append(i)
        elif c == "}":
            depth -= 1
            if depth == 0:
                cuts.append(i)
                inner = [pattern[a + 1 : b] for a, b in itertools.pairwise(cuts)]
                return [done for x in inner for done in expand(pattern[:start] + x + pattern[i + 1 :])]
        i += 1
    return [pattern]


def brute(pattern: str, key: str) -> bool:
    """Match by trying everything, one character at a time."""
    if not pattern:
        return not key
    if pattern == "**":
        return True
    if pattern.startswith("**/"):
        rest = pattern[3:]
        return brute(rest, key) or any(brute(rest, key[i + 1 :]) for i, c in enumerate(key) if c == "/")
    match pattern[0]:
        case "*":
            stops = [i for i in range(len(key) + 1) if "/" not in key[:i]]
            return any(brute(pattern[1:].lstrip("*"), key[i:]) for i in stops)
        case "?":
            return key[:1] not in ("", "/") and brute(pattern[1:], key[1:])
        case "[":
            end = pattern.index("]", 2)
            body, char = pattern[1:end], key[:1]
            if char in ("", "/"):
                return False
            negated, body = body[0] == "!", body.lstrip("!")
            inside = body[0] <= char <= body[2] if body[1:2] == "-" else char in body
            return inside != negated and brute(pattern[end + 1 :], key[1:])
        case "\\":
            return key[:1] == pattern[1] and brute(pattern[2:], key[1:])
        case c:
            return key[:1] == c and brute(pattern[1:], key[1:])


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(PATTERNS, KEYS)
def test_the_regular_expression_matches_what_brute_force_matches(pattern: str, key: str) -> None:
    expected = any(brute(p, key) for p in expand(pattern))
    assert matches([compile_glob(pattern)], key) is expected


@settings(max_examples=100, deadline=None)
@given(st.lists(PATTERNS, min_size=1, max_size=3), st.lists(KEYS, min_size=1, max_size=20))
def test_duckdb_and_python_agree_on_matches_and_hidden(patterns: list[str], keys: list[str]) -> None:
    globs = [compile_glob(p) for p in patterns]
    query = f"SELECT {matches_sql(globs, 'k')}, {is_hidden_sql('k')}, {is_hidden_sql('k', globs)} FROM"
    rows = duckdb.execute(f"{query} (SELECT unnest(?) AS k)", [keys]).fetchall()
    assert rows == [(matches(globs, k), is_hidden(k), is_hidden(k, globs)) for k in keys]


@settings(max_examples=100, deadline=None)
@given(st.lists(PATTERNS, min_size=1, max_size=3), st.lists(KEYS, min_size=1, max_size=30))
def test_listing_only_the_prefixes_finds_all_that_matches(patterns: list[str], keys: list[str]) -> None:
    globs = [compile_glob(p) for p in patterns]
    prefixes = literal_prefixes(globs)
    assert all(key.startswith(prefixes) for key in keys if matches(globs, key))
    assert not any(a != b and b.startswith(a) for a in prefixes for b in prefixes)


DATES = st.datetimes(datetime(2014, 1, 1), datetime(2017, 12, 31))
VALUES = st.sampled_from(["2014", "2015", "2016", "2017", "0000", "__HIVE_DEFAULT_PARTITION__", "20x5"])
PARTS = st.sampled_from(["1", "01", "2", "02", "06", "12", "13", "31", "", "__HIVE_DEFAULT_PARTITION__"])
TEMPLATES = [
    "year={Y}/month={m}/day={d}",
    "year={Y}/month={m}",
    "y={Y}/{Y}-{m}-{d}",
    "{Y}/{m}/{d}/{H}",
    "{Y}{m}{d}",
]


def keys_of(template: str) -> st.SearchStrategy[str]:
    filled = st.tuples(VALUES, PARTS, PARTS, PARTS).map(
        lambda v: template.replace("{Y}", v[0]).replace("{m}", v[1]).replace("{d}", v[2]).replace("{H}", v[3])
    )
    return st.tuples(st.sampled_from(["", "eu/", "a_", "x1/"]), filled, st.sampled_from(["/f", "", "-1.csv"])).map(
        "".join
    )


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(TEMPLATES).flatmap(lambda t: st.tuples(st.just(t), st.lists(keys_of(t), min_size=1, max_size=20)))
)
def test_a_path_date_is_the_same_in_sql_and_python(case: tuple[str, list[str]]) -> None:
    template, keys = case
    date = compile_path_date(template)
    query = f"SELECT {date.local_sql('k')}, {date.sql('k')} FROM (SELECT unnest(?) AS k)"
    assert duckdb.execute(query, [keys]).fetchall() == [(date.local_at(k), date.date_of(k)) for k in keys]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(TEMPLATES).flatmap(lambda t: st.tuples(st.just(t), keys_of(t))),
    DATES,
    st.timedeltas(timedelta(hours=1), timedelta(days=900)),
)
def test_a_skipped_folder_holds_no_date_of_the_window(
    case: tuple[str, str], start: datetime, length: timedelta
) -> None:
    template, key = case
    path_date = compile_path_date(template)
    window = Window(start.replace(tzinfo=UTC), (start + length).replace(tzinfo=UTC))
    judge = folder_filter(path_date, window, "UTC")
    assert judge is not None
    verdicts = [judge(key[: i + 1]) for i, c in enumerate(key) if c == "/"]
    at = path_date.local_at(key)
    if at is not None and window.holds(at.replace(tzinfo=UTC)):
        assert Verdict.SKIP not in verdicts


ZONES = st.sampled_from(["UTC", "America/New_York", "Asia/Beirut", "Pacific/Apia", "Australia/Lord_Howe"])
STEPS = st.sampled_from(["1 year", "3 months", "1 month", "1 week", "10 days", "6 hours"])


@settings(max_examples=150, deadline=None)
@given(
    st.datetimes(datetime(2011, 1, 1), datetime(2024, 12, 31), timezones=st.just(UTC)),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=40)) | st.sampled_from([timedelta(days=900)]),
    STEPS,
    ZONES,
    st.sampled_from(["oldest", "newest"]),
    st.floats(0, 1),
)
def test_every_instant_of_a_window_is_in_exactly_one_slice(
    start: datetime, length: timedelta, step: str, zone: str, order: str, share: float
) -> None:
    window = Window(start, start + length)
    step = step if length < timedelta(days=60) else "1 month"
    made = slices(window, step, order, zone)  # type: ignore[arg-type]
    edges = [edge for s in made for edge in (s.from_at, s.until_at) if edge is not None]
    probes = [start, start + length * share, start + length, start - timedelta(microseconds=1), *edges]
    for at in [*probes, *(edge - timedelta(microseconds=1) for edge in edges)]:
        holders = [s for s in made if Window(s.from_at, s.until_at).holds(at)]
        assert len(holders) == (1 if window.holds(at) else 0)
    assert len({s.label for s in made}) == len(made)
    assert local_bounds(window, "UTC") == (
        window.from_at.replace(tzinfo=None),
        window.until_at.replace(tzinfo=None),
    )  # type: ignore[union-attr]


def test_the_alphabet_of_these_laws_has_what_regular_expressions_treat_specially() -> None:
    for char in string.punctuation:
        literal = "\\" + char if char in "*?[]{}\\" else char
        if char != "/":
            assert matches([compile_glob(f"a{literal}b")], f"a{char}b")
            assert duckdb.execute(
                f"SELECT {matches_sql([compile_glob(f'a{literal}b')], '?')}", [f"a{char}b"]
            ).fetchall() == [(True,)]
