"""Types as text, schemas as data, and what changes between two schemas."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloader.errors import SettingsError
from autoloader.schema import (
    PRIMITIVES,
    ChangeClass,
    ChangeKind,
    Column,
    Decimal,
    ListOf,
    MapOf,
    Primitive,
    Struct,
    TableSchema,
    Type,
    compare,
    compare_in,
    evolve,
    from_data,
    is_promotion,
    merge,
    parse_type,
    renames,
    to_data,
    union,
)

PLAIN = st.sampled_from(sorted(PRIMITIVES)).map(Primitive) | st.integers(1, 38).flatmap(
    lambda p: st.integers(0, p).map(lambda s: Decimal(p, s))
)
NAMES = st.text(min_size=1, max_size=6).filter(lambda n: n.strip() == n and n != "")


def _struct(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    fields = st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    distinct = fields.filter(lambda f: len({n.casefold() for n in f}) == len(f))
    return distinct.map(lambda f: Struct(tuple(Column(n, t) for n, t in f.items())))


TYPES: st.SearchStrategy[Type] = st.recursive(
    PLAIN, lambda t: t.map(ListOf) | st.builds(MapOf, PLAIN, t) | _struct(t), max_leaves=6
)


def schema(**columns: str) -> TableSchema:
    return from_data([{"name": n, "type": t} for n, t in columns.items()])


@given(TYPES)
@settings(max_examples=100, deadline=None)
def test_a_type_is_read_back_from_its_text(kind: Type) -> None:
    assert parse_type(str(kind)) == kind


def test_type_words_are_read_in_any_case_and_spacing() -> None:
    text = " STRUCT< a :Int,`b ``c`: list<Decimal( 10 , 2 )> > "
    wanted = Struct((Column("a", Primitive("int")), Column("b `c", ListOf(Decimal(10, 2)))))
    assert parse_type(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("strng", "did you mean 'string'"),
        ("bigint", "did you mean 'long'"),
        ("decimal(39,2)", "precision from 1 to 38"),
        ("decimal(4,5)", "more than precision"),
        ("list<int", "expected >"),
        ("int int", "unexpected 'int'"),
        ("struct<a: int, A: int>", "same name"),
        ("", "found the end"),
        ("list<" * 70 + "int" + ">" * 70, "too deeply"),
    ],
)
def test_what_is_no_type_is_refused_with_a_reason(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_type(text)
    assert said.lower() in str(caught.value).lower()


def test_a_schema_survives_the_way_through_data() -> None:
    before = TableSchema((Column("a", Primitive("int"), "A b", "doc"), Column("c", parse_type("list<date>"))))
    assert from_data(to_data(before)) == before


def test_two_columns_of_one_name_in_any_case_are_refused() -> None:
    with pytest.raises(SettingsError, match="case does not count"):
        schema(a="int", A="int")


def test_equal_schemas_have_no_changes() -> None:
    assert compare(schema(a="int"), schema(a="int")) == ()


@pytest.mark.parametrize(
    ("old", "new", "kind", "change_class"),
    [
        ("int", "long", ChangeKind.WIDEN, ChangeClass.METADATA),
        ("float", "double", ChangeKind.WIDEN, ChangeClass.METADATA),
        ("decimal(10,2)", "decimal(12,2)", ChangeKind.WIDEN, ChangeClass.METADATA),
        ("decimal(10,2)", "decimal(12,3)", ChangeKind.RETYPE, ChangeClass.INCOMPATIBLE),
        ("long", "int", ChangeKind.RETYPE, ChangeClass.INCOMPATIBLE),
        ("int", "double", ChangeKind.RETYPE, ChangeClass.INCOMPATIBLE),
        ("int", "string", ChangeKind.RETYPE, ChangeClass.INCOMPATIBLE),
        ("list<int>", "list<long>", ChangeKind.WIDEN, ChangeClass.METADATA),
        ("map<string, int>", "map<string, long>", ChangeKind.WIDEN, ChangeClass.METADATA),
        ("map<int, int>", "map<long, int>", ChangeKind.RETYPE, ChangeClass.INCOMPATIBLE),
        ("struct<x: int>", "struct<x: long>", ChangeKind.WIDEN, ChangeClass.METADATA),
        ("struct<x: int>", "struct<x: int, y: int>", ChangeKind.ADD, ChangeClass.ADDITIVE),
        ("struct<x: int, y: int>", "struct<x: int>", ChangeKind.DROP, ChangeClass.METADATA),
        ("struct<x: int>", "int", ChangeKind.RETYPE, ChangeClass.INCOMPATIBLE),
    ],
)
def test_type_changes_have_the_class_of_icebergs_rules(
    old: str, new: str, kind: ChangeKind, change_class: ChangeClass
) -> None:
    (change,) = compare(schema(a=old), schema(a=new))
    assert (change.kind, change.change_class) == (kind, change_class)


def test_a_new_column_is_additive_and_a_missing_one_is_kept() -> None:
    added, dropped = compare(schema(a="int", b="int"), schema(a="int", c="date"))
    assert (added.kind, added.change_class, str(added)) == (ChangeKind.ADD, ChangeClass.ADDITIVE, "add c date")
    assert dropped.kind is ChangeKind.DROP
    assert "kept in the table" in str(dropped)


def test_a_new_name_that_reads_the_old_column_is_a_rename() -> None:
    old = from_data([{"name": "a", "type": "int"}])
    new = from_data([{"name": "b", "type": "int", "from": "a"}])
    (change,) = compare(old, new)
    assert (change.kind, change.change_class, change.before, change.after) == (
        ChangeKind.RENAME,
        ChangeClass.METADATA,
        "a",
        "b",
    )


def test_a_column_that_takes_its_name_in_the_files_back_is_a_rename() -> None:
    plain, renamed = schema(a="int"), from_data([{"name": "b", "type": "int", "from": "a"}])
    assert [(c.kind, c.before, c.after) for c in compare(renamed, plain)] == [(ChangeKind.RENAME, "b", "a")]
    assert renames(renamed, plain) == (("b", "a"),)


def test_a_renamed_field_is_told_by_its_path_in_the_old_schema() -> None:
    old = schema(A="int", S="struct<A: int>", l="list<struct<A: int>>")
    new = schema(A="int", s="struct<a: int>", l="list<struct<a: int>>")
    assert renames(old, new) == (("S", "s"), ("S.A", "a"), ("l.element.A", "a"))


@pytest.mark.parametrize(
    ("kind", "found"), [("int", "add b int"), ("long", "widen b: int -> long"), ("string", "retype b: int -> string")]
)
def test_a_column_that_comes_back_is_held_against_the_one_that_the_table_still_has(kind: str, found: str) -> None:
    (change,) = compare_in(schema(a="int", b="int"), schema(a="int"), schema(a="int", b=kind))
    assert str(change) == found


def test_a_column_cannot_take_the_name_of_one_that_the_table_still_has() -> None:
    renamed = from_data([{"name": "b", "type": "int", "from": "a"}])
    (change,) = compare_in(schema(a="int", b="int"), schema(a="int"), renamed)
    assert (change.kind, change.change_class) == (ChangeKind.RENAME, ChangeClass.INCOMPATIBLE)
    (done,) = compare_in(schema(b="int"), schema(a="int"), renamed)
    assert done.change_class is ChangeClass.METADATA


def test_another_source_of_a_column_needs_its_values_again() -> None:
    new = from_data([{"name": "a", "type": "int", "from": "other"}])
    (change,) = compare(schema(a="int"), new)
    assert (change.kind, change.change_class) == (ChangeKind.SOURCE, ChangeClass.NEEDS_VALUES)


def test_description_order_and_case_are_metadata() -> None:
    old = from_data([{"name": "a", "type": "int"}, {"name": "b", "type": "int"}])
    new = from_data([{"name": "B", "type": "int"}, {"name": "a", "type": "int", "description": "x"}])
    changes = compare(old, new)
    assert {c.kind for c in changes} == {ChangeKind.RENAME, ChangeKind.DESCRIBE, ChangeKind.REORDER}
    assert {c.change_class for c in changes} == {ChangeClass.METADATA}


@given(TYPES, TYPES)
@settings(max_examples=60, deadline=None)
def test_merging_does_not_depend_on_order_and_is_settled_at_once(left: Type, right: Type) -> None:
    both = merge(left, right)
    assert merge(left, left) == left
    if not isinstance(left, Struct | ListOf | MapOf) and not isinstance(right, Struct | ListOf | MapOf):
        assert both == merge(right, left)
    assert merge(both, right) == both or "string" in str(merge(both, right)) or "double" in str(both)


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        ("int", "long", "long"),
        ("long", "double", "double"),
        ("int", "decimal(4,2)", "decimal(12,2)"),
        ("decimal(38,0)", "decimal(4,2)", "double"),
        ("date", "timestamp", "timestamp"),
        ("date", "timestamptz", "string"),
        ("boolean", "int", "string"),
        ("struct<a: int>", "struct<A: long, b: date>", "struct<a: long, b: date>"),
        ("list<int>", "list<double>", "list<double>"),
        ("list<int>", "int", "string"),
    ],
)
def test_types_of_samples_merge_to_the_narrowest_that_holds_both(left: str, right: str, both: str) -> None:
    assert str(merge(parse_type(left), parse_type(right))) == both


def test_union_keeps_the_first_spelling_and_order() -> None:
    assert str(union(schema(B="int", a="int"), schema(A="long", c="date"))) == "B int, a long, c date"


def test_evolution_adds_columns_and_fields_and_promotes_where_the_contract_lets_it() -> None:
    table = schema(a="int", s="struct<x: int>", t="int")
    found = schema(A="long", S="struct<x: long, y: string>", t="string", new="date").columns
    assert str(evolve(table, found)) == "a long, s struct<x: long, y: string>, t int, new date"
    assert evolve(table, found, new_columns="ignore", type_change="rescue") == table
    assert str(evolve(table, found, new_columns="rescue")) == "a long, s struct<x: long>, t int"


@given(TYPES, TYPES)
@settings(max_examples=60, deadline=None)
def test_whatever_is_found_evolution_only_adds_or_promotes(old: Type, new: Type) -> None:
    table = TableSchema((Column("a", old),))
    evolved = evolve(table, (Column("a", new), Column("b", new)))
    changes = compare(table, evolved)
    assert {c.change_class for c in changes} <= {ChangeClass.ADDITIVE, ChangeClass.METADATA}
    assert not [c for c in changes if c.kind in (ChangeKind.DROP, ChangeKind.RETYPE)]


def test_promotions_are_icebergs_and_no_others() -> None:
    names = [parse_type(t) for t in ("int", "long", "float", "double", "date", "timestamp", "decimal(5,2)")]
    pairs = {(str(a), str(b)) for a in names for b in names if is_promotion(a, b)}
    assert pairs == {("int", "long"), ("float", "double")}
