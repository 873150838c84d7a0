"""Files and sources that change (57), by `on_change`, `on_delete` and what a refresh asks for, through the commands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autoloader.apply import loading
from autoloader.project import Project
from tests.clock import Clock
from tests.orders import SPEC, STRICT, clean, declare, files, ids, pairs, put
from tests.playing import LocalStore, Player, Store, work

# ------------------------------------------------------------------ the source's definition changes


@pytest.mark.slow
def test_case_57_renamed_narrowed_widened_and_removed_nothing_is_loaded_twice_or_lost(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a/1.csv", 1)
    put(local_store, "b/2.csv", 2)
    declare(player, local_store)
    player.apply()
    declare(player, local_store, ', include: ["a/*.csv"]')
    plan = player.plan()
    assert work(plan) == {}
    assert plan["totals"]["files_by_disposition"]["out_of_scope"] == 1
    player.apply()
    put(local_store, "b/3.csv", 3)
    assert work(player.plan()) == {}
    declare(player, local_store)
    assert work(player.plan()) == {"new": 1}
    player.apply()
    assert ids(player) == [1, 2, 3]
    renamed = SPEC.format(root=local_store.root, source="", more="    previous_name: orders")
    player.spec(renamed.replace("name: orders", "name: sales", 1))
    assert work(player.plan()) == {}
    player.apply()
    player.no_changes()
    assert ids(player) == [1, 2, 3]
    player.spec("")
    player.spec("vars: {}\n", "autoloader.yml")
    player.apply()
    assert ids(player) == [1, 2, 3]
    declare(player, local_store)
    refused = player.run("plan")
    assert refused.code == 3
    assert "rebuild-ledger orders" in refused.out
    assert player.run("rebuild-ledger", "orders", "-y").code == 0
    player.no_changes()
    clean(player)


# ------------------------------------------------------------------ on_change and on_delete


def test_on_change_append_keeps_old_rows_and_adds_the_new_ones(player: Player, store: Store) -> None:
    put(store, "a.csv", 1)
    declare(player, store, ", on_change: append")
    player.apply()
    put(store, "a.csv", 2)
    plan = player.plan()
    assert work(plan) == {"changed": 1}
    assert "rows_replaced" not in json.dumps(plan["changes"])
    player.apply()
    assert ids(player) == [1, 2]
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_on_change_append_keeps_old_rows_when_the_changed_file_failed_first(
    player: Player, local_store: LocalStore, at: Clock
) -> None:
    put(local_store, "a.csv", 1)
    put(local_store, "b.csv", 9)
    declare(player, local_store, ", on_change: append", STRICT.format(missing="fail"))
    player.apply()
    local_store.put("a.csv", "id\n2\n")
    player.apply()
    assert len(files(player, "FAILED")) == 1
    assert ids(player) == [1, 9]
    declare(player, local_store, ", on_change: append", STRICT.format(missing='"null"'))
    at.move(hours=1)
    plan = player.plan()
    assert work(plan) == {"retry": 1}
    assert "rows_replaced" not in json.dumps(plan["changes"])
    player.apply()
    assert ids(player) == [1, 2, 9]
    clean(player)
    player.no_changes()


def test_on_change_ignore_leaves_what_was_loaded(player: Player, store: Store) -> None:
    put(store, "a.csv", 1)
    declare(player, store, ", on_change: ignore")
    player.apply()
    put(store, "a.csv", 2, 3)
    player.no_changes()
    assert "on_change: ignore" in player.run("why", f"{store.root}a.csv").out
    player.apply()
    assert ids(player) == [1]
    clean(player)


@pytest.mark.slow
def test_on_change_fail_stops_until_it_is_decided(player: Player, store: Store) -> None:
    put(store, "a.csv", 1)
    declare(player, store, ", on_change: fail")
    player.apply()
    put(store, "a.csv", 2, 3)
    put(store, "b.csv", 4)
    said = player.run("plan")
    assert said.code == 3
    assert "on_change" in said.out
    player.apply(code=3)
    assert ids(player) == [1]
    declare(player, store, ", on_change: replace")
    player.apply()
    assert ids(player) == [2, 3, 4]
    clean(player)


@pytest.mark.slow
def test_on_delete_fail_stops_until_it_is_decided(player: Player, store: Store) -> None:
    for number in range(5):
        put(store, f"{number}.csv", number)
    declare(player, store, ", on_delete: fail")
    player.apply()
    store.delete("0.csv")
    put(store, "9.csv", 9)
    assert player.run("plan").code == 3
    player.apply(code=3)
    assert ids(player) == [0, 1, 2, 3, 4]
    declare(player, store, ", on_delete: keep")
    player.apply()
    assert ids(player) == [0, 1, 2, 3, 4, 9]
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_what_on_delete_fail_holds_back_is_not_forgotten_by_an_edit_of_the_spec(
    player: Player, local_store: LocalStore
) -> None:
    for number in range(5):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store, ", on_delete: fail")
    player.apply()
    local_store.delete("0.csv")
    put(local_store, "9.csv", 9)
    declare(player, local_store, ", on_delete: fail", more="    description: another one")
    player.apply(code=3)
    assert player.run("plan").code == 3
    assert files(player, "MISSING") == []
    assert ids(player) == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_a_table_that_is_gone_is_missed_although_none_of_its_files_is_there_any_more(
    player: Player, local_store: LocalStore
) -> None:
    """Nobody could load them again: a new table in its place would hide that their rows are lost."""
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    local_store.delete("a.csv")
    player.apply("--confirm", "orders")
    put(local_store, "b.csv", 2)
    Project("ingestions").lake._catalog.drop_table("shop.orders")
    said = player.run("plan")
    assert said.code == 3
    assert "table-missing" in said.out


@pytest.mark.slow
def test_on_delete_delete_rows_takes_the_rows_and_a_file_that_returns_loads_again(player: Player, store: Store) -> None:
    for number in range(5):
        put(store, f"{number}.csv", number)
    declare(player, store, ", on_delete: delete_rows")
    player.apply()
    store.delete("0.csv")
    plan = player.plan()
    assert "1 old row" in json.dumps(plan["changes"])
    player.apply()
    assert ids(player) == [1, 2, 3, 4]
    clean(player)
    player.no_changes()
    put(store, "0.csv", 0)
    assert work(player.plan()) == {"new": 1}
    player.apply()
    assert ids(player) == [0, 1, 2, 3, 4]
    clean(player)


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 2])
def test_a_source_that_is_suddenly_empty_or_has_lost_more_than_half_waits_for_a_confirmation(
    player: Player, store: Store, left: int
) -> None:
    for number in range(5):
        put(store, f"{number}.csv", number)
    declare(player, store, ", on_delete: delete_rows")
    player.apply()
    for number in range(left, 5):
        store.delete(f"{number}.csv")
    said = player.run("plan")
    assert said.code == 3
    assert "--confirm orders" in said.out
    player.apply(code=3)
    assert ids(player) == [0, 1, 2, 3, 4]
    assert player.run("plan", "--confirm", "orders").code == 0
    player.apply("--confirm", "orders")
    assert ids(player) == list(range(left))
    clean(player)
    player.no_changes()


@pytest.mark.slow
@pytest.mark.parametrize("on_change", ["replace", "append"])
def test_a_replacement_that_failed_is_no_more_loaded_when_it_was_away_and_comes_back(
    player: Player, local_store: LocalStore, on_change: str
) -> None:
    for number in (1, 2, 3):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store, f", on_change: {on_change}")
    player.apply()
    local_store.put("1.csv", "id,n\n10,1\nnone,1\n")
    player.apply()
    assert len(files(player, "QUARANTINED")) == 1
    (local_store.folder / "1.csv").rename(player.folder / "away")
    player.apply()
    (player.folder / "away").rename(local_store.folder / "1.csv")
    assert work(player.plan()) == {"retry": 1}
    player.apply()
    assert len(files(player, "QUARANTINED")) == 1
    declare(player, local_store, f", on_change: {on_change}", "    schema: {max_bad_rows: 100%}")
    player.apply("--reingest", "orders=state:QUARANTINED")
    assert 10 in ids(player)
    clean(player)
    player.no_changes()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["start: now", "refresh: new-only"])
def test_a_file_that_was_settled_without_rows_stays_so_when_it_comes_back(
    player: Player, local_store: LocalStore, by: str
) -> None:
    for number in (1, 2, 3):
        put(local_store, f"{number}.csv", number)
    columns = "    schema: {columns: [{name: id, type: long}, {name: n, type: long}]}"
    declare(player, local_store, ", start: now" if by == "start: now" else "", columns)
    player.apply()
    if by == "refresh: new-only":
        player.apply("--refresh", "orders=new-only")
    settled = {row["state"] for row in files(player)}
    (local_store.folder / "1.csv").rename(player.folder / "away")
    player.apply("--confirm", "orders")
    assert len(files(player, "MISSING")) == 1
    (player.folder / "away").rename(local_store.folder / "1.csv")
    player.no_changes()
    player.apply()
    assert ids(player) == []
    assert {row["state"] for row in files(player)} == settled
    put(local_store, "1.csv", 10)
    player.apply()
    assert ids(player) == [10]
    clean(player)
    player.no_changes()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "there"), [("new-only", [3, 4]), ("clear-history", [1, 2, 3, 4])])
def test_a_saved_plan_that_was_cut_off_goes_on_and_does_not_begin_anew(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch, mode: str, there: list[int]
) -> None:
    for number in (1, 2):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store)
    player.apply()
    for number in (3, 4):
        put(local_store, f"{number}.csv", number)
    player.run("plan", "--refresh", f"orders={mode}", "--out", "saved.plan")
    monkeypatch.setenv("AUTOLOADER_BATCH_FILES", "1")
    load_batch, batches = loading._load_batch, []

    def stopped_later(*arguments: Any) -> Any:
        if len(batches) == len(there) - 1:
            raise KeyboardInterrupt
        batches.append(1)
        return load_batch(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loading, "_load_batch", stopped_later)
        assert player.run("apply", "saved.plan").code == 130
    assert player.run("apply", "saved.plan").code == 0
    assert ids(player) == there
    versions = Project("ingestions").ledger.versions("orders")["state"].to_pylist()
    assert versions.count("SUCCESS") == 2 + len(there)
    assert {row["state"] for row in files(player)} == {"SUCCESS"}
    clean(player)
    player.no_changes()


@pytest.mark.slow
@pytest.mark.parametrize("recorded_first", [True, False])
def test_files_that_come_after_an_edit_of_the_options_are_read_by_it(
    player: Player, local_store: LocalStore, recorded_first: bool
) -> None:
    put(local_store, "a.csv", 1, n=2)
    declare(player, local_store)
    player.apply()
    declare(player, local_store, ", options: {delimiter: ';', null_values: [none]}")
    if recorded_first:
        player.apply()  # nothing that could be looked at is there yet
    local_store.put("b.csv", "id;n\n3;none\n")
    player.apply()
    assert sorted(pairs(player)) == [(1, 2), (3, None)]
    declare(player, local_store, ", format: json")
    local_store.put("c.json", '{"id": 5, "n": 6}\n')
    player.apply()
    declare(player, local_store, ", format: csv")
    local_store.put("d.csv", "id|n\n7|8\n")
    player.apply()
    assert pairs(player) == [(1, 2), (3, None), (5, 6), (7, 8)]
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_a_file_that_a_rebuild_left_out_is_loaded_when_it_is_asked_for_again(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "2023/a.csv", 1)
    put(local_store, "2024/b.csv", 2)
    declare(player, local_store)
    player.apply()
    declare(player, local_store, ", include: ['2024/*.csv']")
    player.apply("--refresh", "orders=full")
    assert ids(player) == [2]
    clean(player)
    player.no_changes()
    declare(player, local_store)
    player.apply()
    assert ids(player) == [1, 2]
    clean(player)
    player.no_changes()
    [run, *_] = player.run("runs", "--format", "json").json["runs"]
    player.run("rollback", "orders", "--to-run", run["run_id"], "-y")
    assert ids(player) == [1, 2]
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_a_type_that_the_table_cannot_take_holds_the_files_back_until_it_is_decided(
    player: Player, local_store: LocalStore
) -> None:
    columns = "    schema: {{columns: [{{name: id, type: {}}}, {{name: n, type: long}}]}}"
    local_store.put("a.csv", "id,n\n007,1\n")
    declare(player, local_store, more=columns.format("string"))
    player.apply()
    declare(player, local_store, more=columns.format("int"))
    local_store.put("b.csv", "id,n\n1e2,2\n")
    for _ in range(2):
        said = player.run("plan")
        assert said.code == 3
        assert "--refresh orders=full" in said.out
        player.apply(code=3)
        assert player.rows("shop.orders") == [{"id": "007", "n": 1}]
    local_store.put("b.csv", "id,n\n12,2\n")
    player.apply("--refresh", "orders=full")
    assert sorted(pairs(player)) == [(7, 1), (12, 2)]
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_a_table_that_gets_a_new_name_and_new_columns_has_both_before_files_are_loaded(
    player: Player, local_store: LocalStore
) -> None:
    local_store.put("a.csv", "id,d\n1,2\n")
    spec = 'name: orders\nsource: {{path: "{}"}}\ndestination: {{table: {}}}\nschema: {{columns: [{}]}}\n'
    columns = "{name: id, type: int}, {name: d, type: long}"
    player.spec(spec.format(local_store.root, "shop.old", columns))
    player.apply()
    local_store.put("b.csv", "id,d,z\n9000000000,4,5\n")
    columns = "{name: id, type: long}, {name: e, type: long, from: d}, {name: z, type: long}"
    player.spec(spec.format(local_store.root, "shop.orders", columns))
    player.apply()
    found = sorted((row["id"], row["e"], row["z"]) for row in player.rows("shop.orders"))
    assert found == [(1, 2, None), (9_000_000_000, 4, 5)]
    clean(player)
    player.no_changes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "request_", ["refresh: {mode: new-only, request: r1}", "reingest: [{match: '**', request: r1}]"]
)
def test_what_was_asked_for_once_is_not_done_again_after_the_state_was_lost(
    player: Player, local_store: LocalStore, request_: str
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    declare(player, local_store, more=f"    {request_}")
    player.apply()
    put(local_store, "b.csv", 2)
    player.apply()
    there = ids(player)
    player.run("state", "rm", "orders", "-y")
    assert player.run("rebuild-ledger", "orders", "-y").code == 0
    assert "table_emptied" not in player.run("plan", "--format", "json").out
    local_store.delete("a.csv")
    player.apply("--confirm", "orders")
    assert ids(player) == there
    player.no_changes()
