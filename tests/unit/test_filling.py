"""Values of `_rescued`: where a new schema has a place for them, and their texts taken apart and put together."""

from __future__ import annotations

import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoloader.loader.rescued import joined, parts
from autoloader.project.filling import ways_to_fill
from autoloader.schema import Column, TableSchema, parse_type, places
from autoloader.spec import Settings
from tests.planning import file, known, recorded_of, remembered, spec_of


def schema(**columns: str) -> TableSchema:
    """Columns by name; `name=from: type` reads another name."""
    found = []
    for name, text in columns.items():
        source, _, kind = text.rpartition("@")
        found.append(Column(name, parse_type(kind), source or None))
    return TableSchema(tuple(found))


def told(old: TableSchema | None, new: TableSchema) -> list[str]:
    return [f"{place.key} -> {'.'.join(place.path)} {place.type}" for place in places(old, new)]


def test_a_new_column_takes_what_its_files_call_it() -> None:
    assert told(schema(id="int"), schema(id="int", memo="note@string")) == ["note -> memo string"]


def test_a_wider_column_takes_what_was_bad_for_it_under_the_name_that_it_had() -> None:
    assert told(schema(a="x@int"), schema(a="x@long")) == ["a -> a long", "x -> a long"]
    assert told(schema(a="int"), schema(b="a@long")) == ["a -> b long"]


def test_new_fields_of_structs_have_their_own_key_and_what_is_below_a_list_the_whole_value() -> None:
    old = schema(s="struct<a: int, t: struct<x: int>, l: list<struct<k: int>>>")
    new = schema(s="struct<a: int, b: int, t: struct<x: int, y: int>, l: list<struct<k: int, n: int>>>")
    assert told(old, new)[1:] == [
        "s.b -> s.b int",
        "s.t.y -> s.t.y int",
        "s.l -> s.l list<struct<k: int, n: int>>",
    ]


def test_what_is_the_same_or_reads_another_name_has_no_place() -> None:
    assert told(schema(a="int", b="x@int"), schema(a="int", b="y@int")) == []


def test_bytes_are_never_filled_from_their_digits() -> None:
    assert told(schema(), schema(a="binary", b="list<uuid>", c="uuid", d="struct<x: binary>")) == ["c -> c uuid"]


def test_every_place_of_a_schema_can_be_asked_for() -> None:
    assert told(None, schema(a="x@int", s="struct<b: int>")) == [
        "a -> a int", "x -> a int", "s -> s struct<b: int>", "s.b -> s.b int",
    ]  # fmt: skip


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_a_text_is_the_same_when_it_is_put_together_again(values: dict[str, object]) -> None:
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    assert joined(parts(text)) == (text if values else None)
    assert {key: json.loads(raw, parse_float=Decimal) for key, raw in parts(text)} == json.loads(
        text, parse_float=Decimal
    )


@pytest.mark.parametrize("text", ["", "[1]", "null", '{"a"', '{"a":', '{"a":1', '{"a":1,', "{1:2}x"])
def test_what_is_no_object_has_no_parts(text: str) -> None:
    assert parts(text) == ()


def test_digits_and_spaces_inside_of_values_stay() -> None:
    assert parts(' { "a" : 1.50 , "b" : [ 1, 2 ] } ') == (("a", "1.50"), ("b", "[ 1, 2 ]"))


def test_columns_that_the_same_files_have_are_told_in_one_note() -> None:
    spec = spec_of()
    names = [[{"name": "id"}, {"name": "b"}, {"name": "c"}], [{"name": "id"}]]
    versions = [SimpleNamespace(version=n, schema=columns, fingerprint=f"f{n}") for n, columns in enumerate(names, 1)]
    ledger = SimpleNamespace(schema_versions=lambda _: versions)
    files = known(remembered(file(f"{n}.csv"), fingerprint=f"f{n}", schema_version=n, src_file_id=n) for n in (1, 2, 2))
    wanted = schema(id="long", a="long", b="long", c="long")
    recorded = recorded_of(spec, schema=schema(id="long"))
    notes = ways_to_fill(cast(Any, ledger), spec, recorded, wanted, files, Settings(), ())
    assert notes[0] == "column a: 0 of 3 loaded files have it; it is null in the rows that are there."
    assert notes[1].startswith("columns b, c: 1 of 3 loaded files has them. Leave them null in their rows (free), load")
    assert len(notes) == 2
