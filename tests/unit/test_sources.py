"""Canonical URIs, and what a page's text says."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloader.errors import SettingsError
from autoloader.sources import Address, canonical, canonical_file, split
from autoloader.sources.pages import _unquote


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("s3://b/x", "s3://b/x/"),
        ("s3a://b/x/", "s3://b/x/"),
        ("s3n://b/x//", "s3://b/x/"),
        ("S3://b", "s3://b/"),
        ("gs://b/a b#?%20/", "gs://b/a b#?%20/"),
        ("azure://container/x", "az://container/x/"),
        ("file:///data/x%20y", "file:///data/x%20y/"),
        ("file://localhost/data", "file:///data/"),
        ("/data//x/../y/.", "file:///data/y/"),
        ("data/in", "file:///project/data/in/"),
        ("../data", "file:///data/"),
        ("c:odd name", "file:///project/c:odd name/"),
    ],
)
def test_one_place_has_one_spelling(path: str, root: str) -> None:
    assert canonical(path, Path("/project")) == root
    assert canonical(root, Path("/elsewhere")) == root


@pytest.mark.parametrize("path", ["http://x/y", "s3://", "s3:///x", "hdfs://n/x", "az://c@account/x", "file://host/x"])
def test_a_place_without_storage_or_bucket_is_refused_with_the_fix(path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        canonical(path, Path("/project"))
    assert caught.value.fix


def test_a_uri_is_taken_apart_and_put_together() -> None:
    for uri, address in {
        "s3://b/a//b c\n": Address("s3", "b", "a//b c\n"),
        "file:///x/ y": Address("file", "", "/x/ y"),
        "az://c/": Address("az", "c", ""),
    }.items():
        assert split(uri) == address
        assert address.uri == uri
    assert canonical_file("s3a://b/k.csv", Path("/")) == "s3://b/k.csv"
    with pytest.raises(SettingsError):
        split("data/in")


@settings(max_examples=200)
@given(st.text(max_size=30), st.sampled_from(["/", "/=+ %", ""]))
def test_quoted_keys_come_back(key: str, safe: str) -> None:
    quoted = quote(key, safe=safe.replace("%", "").replace("+", "").replace(" ", ""))
    assert _unquote(quoted.encode()).decode() == unquote_plus(quoted) == key


def test_a_container_of_another_cloud_is_listed_below_its_prefixes_and_asked_whether_it_is_there() -> None:
    import obstore
    from obstore.store import MemoryStore

    from autoloader.sources.objects import list_objects, peek_objects

    store = MemoryStore()
    for key in ("in/2024/a.csv", "in/2024/b c#.csv", "in/2025/d.csv", "in/_x", "other/z.csv"):
        obstore.put(store, key, b"n\n1\n")
    every = list_objects(store, "az://c/", "in/", [""]).table.to_pylist()
    assert {row["key"] for row in every} == {"2024/a.csv", "2024/b c#.csv", "2025/d.csv", "_x"}
    assert {row["file_path"] for row in every if row["key"] == "2024/b c#.csv"} == {"az://c/in/2024/b c#.csv"}
    assert list_objects(store, "az://c/", "in/", ["2024/"]).table.num_rows == 2
    assert (peek_objects(store, "az://c/", "in/"), peek_objects(store, "az://c/", "none/")) == (4, 0)
