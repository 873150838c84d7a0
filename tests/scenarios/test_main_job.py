"""Scenarios 1, 4, 5, 6 and 8, played through the commands on real Spark and real tables."""

from __future__ import annotations

import pytest

from tests.playing import LocalStore, Player, Store, work

SPEC = """
    name: sales
    source: {{path: "{root}"{more}}}
    destination: {{table: shop.sales}}
"""


def put_days(store: Store, *days: str) -> None:
    for day in days:
        store.put(f"{day}/sales.csv", f"day,amount\n{day},1\n{day},2\n")


def declare(player: Player, store: Store, more: str = "") -> None:
    player.spec(SPEC.format(root=store.root, more=more))


@pytest.mark.slow
def test_scenario_1_existing_files_are_loaded_once_and_then_there_is_nothing_to_do(
    player: Player, store: Store
) -> None:
    put_days(store, "2024-01-01", "2024-01-02", "2025-03-04")
    declare(player, store)
    plan = player.plan()
    assert work(plan) == {"new": 3}
    [change] = plan["changes"]
    assert change["actions"] == ["create", "load"]
    assert change["impact"]["estimated_cost_usd"]["low"] <= change["impact"]["estimated_cost_usd"]["high"]
    assert player.run("plan", "--detailed-exitcode").code == 2
    player.apply()
    assert len(player.rows("shop.sales")) == 6
    again = player.run("plan", "--detailed-exitcode")
    assert again.code == 0
    assert again.out.startswith("No changes.")
    player.apply()
    assert len(player.rows("shop.sales")) == 6


@pytest.mark.slow
def test_scenario_4_what_came_during_a_pause_is_found_however_long_it_was(player: Player, store: Store) -> None:
    put_days(store, "2024-01-01")
    declare(player, store)
    player.apply()
    paused = SPEC.format(root=store.root, more="") + "    status: paused\n"
    player.spec(paused)
    put_days(store, "2024-01-02", "2024-01-03")
    player.apply()
    assert len(player.rows("shop.sales")) == 2
    declare(player, store)
    assert work(player.plan()) == {"new": 2}
    player.apply()
    assert len(player.rows("shop.sales")) == 6


def test_scenario_5_late_files_are_loaded_and_labelled_late(player: Player, store: Store) -> None:
    put_days(store, "2024-06-01")
    declare(player, store, ', path_date: "{{Y}}-{{m}}-{{d}}"'.replace("{{", "{").replace("}}", "}"))
    player.apply()
    put_days(store, "2022-06-01")
    plan = player.plan()
    assert work(plan) == {"late": 1}
    assert "2022-06-01" in plan["changes"][0]["detail"]
    player.apply()
    assert len(player.rows("shop.sales")) == 4


def test_scenario_6_a_draft_is_planned_and_runs_only_when_it_is_named(player: Player, store: Store) -> None:
    put_days(store, "2024-01-01")
    draft = SPEC.format(root=store.root, more="") + "    status: draft\n"
    player.spec(draft)
    plan = player.plan()
    assert plan["changes"][0]["blocked"]["by"] == "draft"
    player.apply()
    assert player.run("files", "sales", "--format", "json").json == {"files": []}
    player.apply("--select", "sales")
    assert len(player.rows("shop.sales")) == 2


def test_scenario_6_a_pattern_that_matches_nothing_is_an_error_with_near_misses(player: Player, store: Store) -> None:
    put_days(store, "2024-01-01", "2024-01-02")
    declare(player, store, ', include: ["2024/**/*.csv"]')
    said = player.run("plan")
    assert said.code == 1
    assert "2024-01-01/sales.csv" in said.out


@pytest.mark.slow
def test_scenario_6_a_narrow_include_loads_a_little_first(player: Player, store: Store) -> None:
    put_days(store, "2024-01-01", "2024-01-02", "2025-01-01")
    declare(player, store, ', include: ["2025-*/*.csv"]')
    player.apply()
    assert len(player.rows("shop.sales")) == 2
    declare(player, store)
    plan = player.plan()
    assert sum(work(plan).values()) == 2
    player.apply()
    assert len(player.rows("shop.sales")) == 6


def test_scenario_8_narrowing_the_scope_keeps_the_rows(player: Player, store: Store) -> None:
    put_days(store, "2024-01-01", "2024-01-02", "2025-01-01")
    declare(player, store)
    player.apply()
    declare(player, store, ', include: ["2025-*/*.csv"]')
    plan = player.plan()
    assert work(plan) == {}
    assert plan["totals"]["files_by_disposition"]["out_of_scope"] == 2
    player.apply()
    assert len(player.rows("shop.sales")) == 6


def test_newer_files_are_those_that_a_saved_plan_has_not_seen(player: Player, local_store: LocalStore) -> None:
    put_days(local_store, "2024-01-01", "2024-01-02", "2024-01-03")
    player.spec(SPEC.format(root=local_store.root, more="") + "    limits: {max_files: 1}\n")
    player.run("plan", "--out", "saved.plan")
    put_days(local_store, "2024-01-04")
    local_store.put("2024-01-03/sales.csv", "day,amount\n2024-01-03,1\n")
    said = player.run("apply", "saved.plan")
    assert "Left for a later run: 2 files." in said.out
    assert "2 newer files, not in this plan" in said.out


def test_a_saved_plan_is_applied_as_it_is_and_only_once(player: Player, store: Store) -> None:
    put_days(store, "2024-01-01")
    declare(player, store)
    assert player.run("plan", "--out", "saved.plan").code == 0
    put_days(store, "2024-01-02")
    said = player.run("apply", "saved.plan")
    assert said.code == 0, said.err
    assert "1 newer file, not in this plan" in said.out
    assert len(player.rows("shop.sales")) == 2
    assert player.run("apply", "saved.plan").code == 4
    assert len(player.rows("shop.sales")) == 2
    assert work(player.plan()) == {"new": 1}


def test_without_a_terminal_apply_refuses_unless_approved(player: Player, store: Store) -> None:
    put_days(store, "2024-01-01")
    declare(player, store)
    said = player.run("apply")
    assert said.code == 1
    assert "--auto-approve" in said.err
    assert not (player.folder / ".autoloader").exists()


@pytest.mark.slow
def test_a_replaced_file_takes_its_old_rows_with_it(player: Player, store: Store) -> None:
    put_days(store, "2024-01-01", "2024-01-02")
    declare(player, store)
    player.apply()
    store.put("2024-01-01/sales.csv", "day,amount\n2024-01-01,10\n2024-01-01,20\n2024-01-01,30\n")
    plan = player.plan()
    assert work(plan) == {"changed": 1}
    player.apply()
    amounts = sorted(row["amount"] for row in player.rows("shop.sales"))
    assert amounts == [1, 2, 10, 20, 30]
    assert player.plan()["changes"] == []
