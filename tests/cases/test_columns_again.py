"""Columns that come back, are renamed or change their type, and tables that lose or gain lineage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orders import SPEC, clean, declare, ids, put
from tests.playing import LocalStore, Player, work


def columns_of(text: str, more: str = "") -> str:
    return f"    schema: {{columns: [{text}]{more}}}"


@pytest.mark.slow
def test_a_column_that_comes_back_as_another_type_takes_a_rebuild(player: Player, local_store: LocalStore) -> None:
    put(local_store, "a.csv", 1)
    ignore = ", new_columns: ignore"
    for text in ("{name: id, type: int}, {name: n, type: long}", "{name: id, type: int}"):
        declare(player, local_store, more=columns_of(text, ignore))
        player.apply()
    declare(player, local_store, more=columns_of("{name: id, type: int}, {name: n, type: string}", ignore))
    said = player.run("plan")
    assert said.code == 3
    assert "retype n: long -> string" in said.out
    assert "--refresh orders=full" in said.out
    player.apply("--refresh", "orders=full")
    assert player.rows("shop.orders") == [{"id": 1, "n": "1"}]
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_a_column_that_is_renamed_back_and_forth_keeps_its_values(player: Player, local_store: LocalStore) -> None:
    put(local_store, "a.csv", 1)
    there, back = "{name: m, type: long, from: n}", "{name: n, type: long}"
    for text, name in ((back, "n"), (there, "m"), (back, "n"), (there, "m")):
        declare(player, local_store, more=columns_of("{name: id, type: int}, " + text))
        player.apply()
        assert player.rows("shop.orders") == [{"id": 1, name: 1}]
    player.no_changes()


@pytest.mark.slow
def test_a_field_whose_case_changes_is_renamed_where_it_is(player: Player, local_store: LocalStore) -> None:
    local_store.put("a.json", '{"A": 1, "s": {"A": 2}}\n')
    for field in ("A", "a"):
        column = f"{{name: s, type: 'struct<{field}: int>'}}"
        declare(player, local_store, more=columns_of("{name: A, type: int}, " + column))
        player.apply()
        assert player.rows("shop.orders") == [{"A": 1, "s": {field: 2}}]
    player.no_changes()


@pytest.mark.slow
def test_a_rebuild_gives_a_column_the_name_of_one_that_was_left(player: Player, local_store: LocalStore) -> None:
    local_store.put("a.csv", "id,n,m\n1,2,3\n")
    ignore = ", new_columns: ignore"
    for text in ("{name: n, type: long}, {name: m, type: long}", "{name: n, type: long}"):
        declare(player, local_store, more=columns_of("{name: id, type: int}, " + text, ignore))
        player.apply()
    declare(player, local_store, more=columns_of("{name: id, type: int}, {name: m, type: long, from: n}", ignore))
    assert player.run("plan").code == 3
    player.apply("--refresh", "orders=full")
    assert player.rows("shop.orders") == [{"id": 1, "m": 2}]
    clean(player)
    player.no_changes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [("sort_by: [n desc]", "sort_by: [n desc]"),
     ("partition_by: ['bucket[2](n)', id]", "partition_by: [id, 'bucket[2](n)']"),
     ("partition_by: [id]", "partition_by: ['month(n)']")],
)  # fmt: skip
def test_a_rebuild_changes_the_type_of_a_column_that_the_table_is_laid_out_by(
    player: Player, local_store: LocalStore, before: str, after: str
) -> None:
    local_store.put("a.csv", "id,n\n1,2024-01-05\n")
    spec = 'name: orders\nsource: {{path: "{}"}}\ndestination: {{table: shop.orders, {}}}\nschema: {{columns: [{}]}}\n'
    for kind, layout, words in (("string", before, ()), ("date", after, ("--refresh", "orders=full"))):
        columns = f"{{name: id, type: int}}, {{name: n, type: {kind}}}"
        player.spec(spec.format(local_store.root, layout, columns))
        player.apply(*words)
    local_store.put("b.csv", "id,n\n2,2024-02-05\n")
    player.apply()
    assert sorted((row["id"], str(row["n"])) for row in player.rows("shop.orders")) == [
        (1, "2024-01-05"),
        (2, "2024-02-05"),
    ]
    with player.iceberg("shop.orders") as table:
        laid = [*table.spec().fields, *table.sort_order().fields]
        assert len(laid) == len(after.split(","))
        assert {field.source_id for field in laid} <= {field.field_id for field in table.schema().fields}
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_a_column_whose_values_partition_the_table_gets_its_new_type_under_another_name(
    player: Player, local_store: LocalStore
) -> None:
    local_store.put("a.csv", "id,n\n1,5\n")
    spec = 'name: orders\nsource: {{path: "{}"}}\ndestination: {{table: shop.orders, partition_by: [{}]}}\n'
    spec += "schema: {{columns: [{{name: id, type: int}}, {}]}}\n"
    player.spec(spec.format(local_store.root, "n", "{name: n, type: string}"))
    player.apply()
    player.spec(spec.format(local_store.root, "n", "{name: n, type: int}"))
    said = player.run("plan", "--refresh", "orders=full")
    assert said.code == 3
    assert "Give the new column another name (from: n)" in " ".join(said.out.split())
    player.spec(spec.format(local_store.root, "m", "{name: m, type: int, from: n}"))
    player.apply("--refresh", "orders=full")
    assert player.rows("shop.orders") == [{"id": 1, "m": 5}]
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_a_rebuild_that_fails_leaves_the_layout_as_it_was(player: Player, local_store: LocalStore) -> None:
    local_store.put("a.csv", "id,n\n1,x\n")
    spec = 'name: orders\nsource: {{path: "{}"}}\ndestination: {{table: shop.orders, {}}}\nschema: {{{}}}\n'
    layout = "partition_by: ['bucket[2](n)'], sort_by: [n]"
    for kind, code, words in (("string", 0, ()), ("date", 6, ("--refresh", "orders=full"))):
        columns = f"columns: [{{name: id, type: int}}, {{name: n, type: {kind}}}], on_bad_row: fail"
        player.spec(spec.format(local_store.root, layout, columns))
        player.apply(*words, code=code)
    assert player.rows("shop.orders") == [{"id": 1, "n": "x"}]
    with player.iceberg("shop.orders") as table:
        assert [str(field.transform) for field in table.spec().fields] == ["bucket[2]"]
        assert len(table.sort_order().fields) == 1


@pytest.mark.slow
def test_a_file_that_is_away_is_loaded_again_as_asked_once_it_is_back(player: Player, local_store: LocalStore) -> None:
    put(local_store, "1.csv", 1)
    put(local_store, "2.csv", 2)
    declare(player, local_store)
    player.apply()
    away = (local_store.folder / "1.csv").rename(player.folder / "away.csv")
    declare(player, local_store, more="    reingest: [{match: 1.csv, request: again}]")
    player.apply()
    away.rename(local_store.folder / "1.csv")
    assert work(player.plan()) == {"reingest": 1}


@pytest.mark.slow
def test_rows_that_another_engine_deleted_through_delete_files_stop_their_own_ingestion_alone(
    player: Player, local_store: LocalStore
) -> None:
    from tests.deletefiles import delete_rows

    others = LocalStore(player.folder / "others")
    more = f"""---
    name: others
    source: {{{{path: "{others.root}"}}}}
    destination: {{{{table: shop.others}}}}
"""
    declare(player, local_store, ", on_delete: delete_rows", more.format())
    put(local_store, "a.csv", 1, 2)
    put(local_store, "b.csv", 3, 4)
    put(others, "a.csv", 1)
    player.apply()
    with player.iceberg("shop.orders") as table:
        delete_rows(table, "id", 3)
    assert ids(player) == [1, 2, 4]
    put(local_store, "a.csv", 10)
    put(others, "b.csv", 2)
    planned = player.run("plan")
    assert planned.code == 3, planned.err
    assert "the old rows of 1 file cannot leave shop.orders" in " ".join(planned.out.split())
    player.apply(code=3)
    assert ids(player) == [1, 2, 4]
    assert sorted(row["id"] for row in player.rows("shop.others")) == [1, 2]
    said = player.run("verify", "orders")
    assert said.code == 1
    assert "do not tell which rows it has" in said.err
    player.apply("--refresh", "orders=full")
    assert ids(player) == [3, 4, 10], "rows that were deleted behind our back come back with a rebuild"
    clean(player)


def lineage_columns(player: Player, *, on: bool) -> None:
    player.spec(f"lineage_columns: {str(on).lower()}\n", "autoloader.yml")


@pytest.mark.slow
def test_rows_without_lineage_are_replaced_once_the_table_is_made_anew_with_it(
    player: Player, local_store: LocalStore
) -> None:
    lineage_columns(player, on=False)
    declare(player, local_store)
    put(local_store, "a.csv", 1, 2)
    put(local_store, "b.csv", 3)
    player.apply()
    put(local_store, "a.csv", 10)
    planned = player.run("plan")
    assert planned.code == 3
    assert "has no lineage columns" in " ".join(planned.out.split())
    player.apply(code=3)
    assert ids(player) == [1, 2, 3]
    said = player.run("verify", "orders")
    assert said.code == 1
    assert "do not say which files they are of" in said.err

    lineage_columns(player, on=True)
    player.apply("--refresh", "orders=full")
    assert ids(player) == [3, 10]
    assert player.table("shop.orders").column_names[-6:] == [
        "_src_file_id", "_src_path", "_src_row", "_batch_id", "_ingested_at", "_rescued",
    ]  # fmt: skip
    clean(player)
    put(local_store, "a.csv", 11)
    player.apply()
    assert ids(player) == [3, 11]
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_a_table_with_lineage_keeps_it_where_new_tables_get_none(player: Player, local_store: LocalStore) -> None:
    declare(player, local_store)
    put(local_store, "a.csv", 1)
    player.apply()
    lineage_columns(player, on=False)
    put(local_store, "b.csv", 2, 3)
    player.apply()
    clean(player)
    put(local_store, "b.csv", 4)
    player.apply()
    assert ids(player) == [1, 4]
    player.apply("--refresh", "orders=full")
    put(local_store, "b.csv", 5)
    player.apply()
    assert ids(player) == [1, 5]
    clean(player)


@pytest.mark.slow
def test_a_table_that_lost_data_files_is_an_error_of_its_own_ingestion(player: Player, local_store: LocalStore) -> None:
    others = LocalStore(player.folder / "others")
    declare(player, local_store)
    player.spec(SPEC.format(root=others.root, source="", more="").replace("orders", "others"), "others.yml")
    put(local_store, "a.csv", 1, 2)
    put(others, "a.csv", 1)
    player.apply()
    with player.iceberg("shop.orders") as table:
        for task in table.scan().plan_files():
            Path(task.file.file_path.removeprefix("file://")).unlink()
    put(local_store, "b.csv", 3)
    put(local_store, "a.csv", 10)
    put(others, "b.csv", 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autoloader.lake.contents._only_id", lambda *_: None)  # as where files share data files
        planned = player.run("plan")
    assert planned.code == 1
    assert "orders: the data files of shop.orders cannot be read" in planned.out
    assert "others: load 1 file" in planned.out
    player.apply("--select", "others")
    player.apply("--refresh", "orders=full")
    assert ids(player) == [3, 10]
    clean(player)
