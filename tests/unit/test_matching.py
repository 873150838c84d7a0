"""The glob dialect, the hidden rule, endings and near misses, by example."""

from __future__ import annotations

import pytest

from autoloader.errors import SettingsError
from autoloader.matching import (
    compile_glob,
    default_include,
    format_of,
    is_hidden,
    literal_prefixes,
    matches,
    nearest,
)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.csv", ["a.csv", ".csv", "a\nb.csv"], ["x/a.csv", "a.CSV", "a.csv.gz"]),
        ("**/x.csv", ["x.csv", "a/x.csv", "a/b/x.csv", "a//x.csv"], ["ax.csv", "x.csv/y"]),
        ("a/**", ["a/b", "a/b/c.csv"], ["a", "ab/c"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab"]),
        ("**", ["a", "a/b", "a\n/b"], []),
        ("a?c", ["abc", "aéc", "a\nc", "a😀c"], ["a/c", "ac"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "/x"]),
        ("[!a]x", ["bx"], ["ax", "/x"]),
        ("[+-9]x", ["0x", ".x"], ["/x"]),
        ("[]]x", ["]x"], ["x"]),
        ("{a,b/{c,d}}.csv", ["a.csv", "b/c.csv", "b/d.csv"], ["b.csv", "c.csv"]),
        ("x{,.gz}", ["x", "x.gz"], ["x."]),
        ("{a/**,b}/c", ["a/c", "a/x/c", "b/c"], ["b/x/c"]),
        (r"\[x\]\*\{\}", ["[x]*{}"], ["x"]),
        ("year=*/m=0[1-3]/*.csv", ["year=2024/m=01/f.csv"], ["year=2024/m=04/f.csv"]),
    ],
)
def test_a_pattern_matches_these_keys_and_not_those(pattern: str, yes: list[str], no: list[str]) -> None:
    glob = [compile_glob(pattern)]
    assert [key for key in yes if not matches(glob, key)] == []
    assert [key for key in no if matches(glob, key)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "/a",
        "a/",
        "./a",
        "../a",
        "s3://b/*",
        "[a",
        "[]",
        "{a",
        "a}",
        "a\\",
        "**.csv",
        "a**",
        "***",
        "[z-a]",
        "[a/b]",
        "[^a]",
        "{}",
        "{1..9}",
        "{a,b}" * 11,
    ],
)
def test_a_malformed_pattern_is_refused_with_what_to_write_instead(pattern: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compile_glob(pattern)
    assert repr(pattern) in caught.value.what
    assert caught.value.why
    assert caught.value.fix


def test_prefixes_end_at_the_first_wildcard_and_none_covers_another() -> None:
    def prefixes(*patterns: str) -> tuple[str, ...]:
        return literal_prefixes([compile_glob(p) for p in patterns])

    assert prefixes("**/*.csv") == ("",)
    assert prefixes("a/b/*.csv", "a/**", "c/2024-*") == ("a/", "c/2024-")
    assert prefixes("{x,y}/z.csv", r"l\*/k") == ("l*/k", "x/z.csv", "y/z.csv")
    assert prefixes() == ()


def test_hidden_names_are_hidden_unless_an_include_spells_them_out() -> None:
    for key in ["_SUCCESS", "a/_temporary/x.csv", ".hidden", "a/.x.csv.crc", "x._COPYING_", "x.crc"]:
        assert is_hidden(key)
        assert is_hidden(key, [compile_glob("**"), compile_glob("**/*"), compile_glob("*"), compile_glob("**/?*")])
    assert not is_hidden("a_b/c.d.csv")
    assert not is_hidden("_delta/x.json", [compile_glob("_delta/*.json")])
    assert is_hidden("_delta/_x.json", [compile_glob("_delta/*.json")])
    assert not is_hidden("a/_x/y/z.csv", [compile_glob("**/_x/**")])
    assert not is_hidden("a/x.crc", [compile_glob("**/*.crc")])
    assert is_hidden("a/.x.crc", [compile_glob("**/*.crc")])


@pytest.mark.parametrize(
    ("key", "format_"),
    [
        ("a/b.csv", "csv"),
        ("b.CSV.GZ", "csv"),
        ("x.snappy.parquet", "parquet"),
        ("x.jsonl.zst", "json"),
        ("x.orc", "orc"),
        ("x.gz", None),
        ("csv", None),
        ("a.csv/readme", None),
    ],
)
def test_the_format_comes_from_the_ending_behind_compression(key: str, format_: str | None) -> None:
    assert format_of(key) == format_


def test_the_default_include_takes_the_usual_endings_of_a_format() -> None:
    csv = [compile_glob(p) for p in default_include("csv")]
    every = [compile_glob(p) for p in default_include(None)]
    for key in ["a.csv", "x/y/a.csv.gz", "A.CSV", "b.tsv.zst"]:
        assert matches(csv, key)
        assert matches(every, key)
    assert not matches(csv, "a.json")
    assert matches(every, "d/a.json")
    assert not matches(every, "d/a.exe")
    with pytest.raises(SettingsError, match="There is no format"):
        default_include("xlsx")


def test_near_misses_put_case_and_depth_before_likeness() -> None:
    keys = ["2024/Data.CSV", "deep/down/data.csv", "other.json", "data.cs"]
    assert nearest(["data.csv"], keys, 1) == ["deep/down/data.csv"]
    assert nearest(["*.csv"], keys)[:2] == ["deep/down/data.csv", "2024/Data.CSV"]
    assert len(nearest(["*.csv"], [f"f{i}.json" for i in range(100_000)], 5)) == 5
    assert nearest(["*.csv"], []) == []
