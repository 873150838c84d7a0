"""Files that vanish, two at once, and others at the table: 20, 21, 51, 53, 55, 60, through the commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any

import pytest

from autoloader.project import Project
from tests.orders import clean, declare, ids, pairs, put
from tests.playing import ROOT, LocalStore, Player, Store, work

# ------------------------------------------------------------------ between plan and apply


@pytest.mark.slow
def test_case_20_a_file_deleted_between_plan_and_apply_is_left_out_and_the_others_load(
    player: Player, store: Store
) -> None:
    for number in range(3):
        put(store, f"{number}.csv", number)
    declare(player, store)
    assert player.run("plan", "--out", "saved.plan").code == 0
    store.delete("1.csv")
    said = player.run("apply", "saved.plan")
    assert said.code == 0, said.err
    assert "1.csv" in said.out
    assert ids(player) == [0, 2]
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_case_21_a_file_replaced_between_plan_and_apply_never_loads_under_its_old_identity(
    player: Player, store: Store
) -> None:
    put(store, "a.csv", 1)
    put(store, "b.csv", 2)
    declare(player, store)
    assert player.run("plan", "--out", "saved.plan").code == 0
    put(store, "a.csv", 7, 8)
    said = player.run("apply", "saved.plan")
    assert said.code == 0, said.err
    assert "a.csv" in said.out
    assert ids(player) == [2]
    assert work(player.plan()) == {"new": 1}
    player.apply()
    assert ids(player) == [2, 7, 8]
    clean(player)


@pytest.mark.slow
def test_a_loaded_file_replaced_again_between_plan_and_apply_keeps_its_rows_until_the_next_apply(
    player: Player, store: Store
) -> None:
    put(store, "a.csv", 1)
    declare(player, store)
    player.apply()
    put(store, "a.csv", 2, n=2)
    assert player.run("plan", "--out", "saved.plan").code == 0
    put(store, "a.csv", 3, n=3)
    assert player.run("apply", "saved.plan").code == 0
    assert ids(player) == [1]
    clean(player)
    player.apply()
    assert pairs(player) == [(3, 3)]
    clean(player)


def test_a_run_whose_process_died_before_its_first_batch_is_closed_with_its_branch_by_the_next_apply(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    project = Project("ingestions")
    now = project.clock()
    dead = project.ledger.start_run("orders", "refresh", now=now, holder="nobody@elsewhere:1")
    project.lake.start_branch("shop.orders", f"refresh-{dead}")
    lease = project.ledger.acquire("orders", "load", "somebody@elsewhere:2", 600, now)
    living = project.ledger.start_run("orders", "live", now=now, holder=lease.holder)
    player.apply()
    states = {run.run_id: run.state for run in project.ledger.runs("orders")}
    assert (states[dead], states[living]) == ("incomplete", "running")
    assert set(project.lake._catalog.load_table("shop.orders").refs()) == {"main"}


# ------------------------------------------------------------------ two at once


def six_files(player: Player, store: LocalStore) -> None:
    """Nothing is loaded yet; processes of their own will load on Sail."""
    for number in range(6):
        put(store, f"{number}.csv", number)
    declare(player, store)
    player.spec("spark: {engine: sail}\n", "autoloader.yml")


def begin(player: Player, *words: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "plan_apply.py"), *words],
        cwd=player.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_case_51_of_two_applies_of_one_saved_plan_one_does_it_and_the_other_is_refused(
    planning_player: Player, local_store: LocalStore
) -> None:
    player = planning_player
    six_files(player, local_store)
    assert player.run("plan", "--out", "saved.plan").code == 0
    both = [begin(player, "apply", "saved.plan", AUTOLOADER_BATCH_FILES="2") for _ in range(2)]
    told = [each.communicate(timeout=120) for each in both]
    codes = sorted(each.returncode for each in both)
    assert codes in ([0, 4], [0, 5]), told
    assert ids(player) == list(range(6))
    clean(player)
    player.no_changes()


@pytest.mark.slow
def test_case_51_two_fresh_applies_at_once_load_every_file_once(
    planning_player: Player, local_store: LocalStore
) -> None:
    player = planning_player
    six_files(player, local_store)
    assert player.run("init").code == 0
    both = [begin(player, "apply", "-y", AUTOLOADER_BATCH_FILES="2") for _ in range(2)]
    told = [each.communicate(timeout=120) for each in both]
    assert 0 in {each.returncode for each in both}, told
    assert {each.returncode for each in both} <= {0, 4, 5}, told
    assert ids(player) == list(range(6))
    clean(player)


@pytest.mark.slow
def test_case_51_a_plan_during_an_apply_takes_nothing_and_goes_stale(
    planning_player: Player, local_store: LocalStore
) -> None:
    player = planning_player
    six_files(player, local_store)
    working = begin(player, "apply", "-y", "--events", "events.ndjson", AUTOLOADER_BATCH_FILES="1")
    events = player.folder / "events.ndjson"
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at and "batch_claimed" not in (events.read_text() if events.exists() else ""):
        time.sleep(0.02)
    during = player.run("plan", "--out", "during.plan")
    assert during.code in (0, 3), during.err
    out, err = working.communicate(timeout=120)
    assert working.returncode == 0, out + err
    assert ids(player) == list(range(6))
    late = player.run("apply", "during.plan")
    assert late.code in (0, 4), late.out + late.err
    assert ids(player) == list(range(6))
    clean(player)


def test_case_51_a_plan_is_stale_once_its_spec_its_table_or_its_record_moved(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "b.csv", 2)
    player.run("plan", "--out", "spec.plan")
    player.run("plan", "--out", "table.plan")
    declare(player, local_store, ', exclude: ["z*"]')
    said = player.run("apply", "spec.plan")
    assert said.code == 4
    assert "autoloader plan" in said.err
    declare(player, local_store)
    player.apply()
    assert player.run("apply", "table.plan").code == 4
    assert ids(player) == [1, 2]


# ------------------------------------------------------------------ behind our back


@pytest.mark.slow
def test_case_55_a_dropped_table_is_named_and_loaded_again_by_a_refresh(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    put(local_store, "b.csv", 2)
    declare(player, local_store)
    player.apply()
    lake(player).drop_table("shop.orders")
    said = player.run("plan")
    assert said.code == 3
    assert "2 files" in said.out
    assert "--refresh orders=full" in said.out
    player.apply(code=3)
    player.apply("--refresh", "orders=full")
    assert ids(player) == [1, 2]
    clean(player)
    player.no_changes()


def test_case_55_a_table_rolled_back_by_others_is_drift_and_says_which_files(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    first = lake(player).load_table("shop.orders").current_snapshot()
    assert first is not None
    put(local_store, "b.csv", 2)
    player.apply()
    table = lake(player).load_table("shop.orders")
    table.manage_snapshots().set_current_snapshot(snapshot_id=first.snapshot_id).commit()
    plan = player.plan()
    assert plan["drift"], plan
    assert "b.csv" in json.dumps(plan["drift"])
    assert player.run("verify", "orders").code == 1
    second = next(each for each in table.snapshots() if each.snapshot_id != first.snapshot_id)
    table.maintenance.expire_snapshots().by_id(second.snapshot_id).commit()
    assert player.plan()["drift"] == plan["drift"], "also where nothing of what was rolled back is kept"


@pytest.mark.slow
def test_case_53_rows_that_others_append_and_delete_stay_as_they_left_them(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1, 2)
    put(local_store, "b.csv", 3)
    declare(player, local_store)
    player.apply()
    table = lake(player).load_table("shop.orders")
    table.delete("id = 2")
    drift = player.plan()["drift"]
    assert drift
    put(local_store, "b.csv", 4)
    player.apply()
    assert ids(player) == [1, 4]
    put(local_store, "a.csv", 5)
    player.apply()
    assert ids(player) == [4, 5]


def lake(player: Player) -> Any:
    from pyiceberg.catalog.sql import SqlCatalog

    return SqlCatalog(
        "lake",
        uri=f"sqlite:///{player.folder}/.autoloader/catalog.db",
        warehouse=f"file://{player.folder}/.autoloader/warehouse",
    )


def test_case_60_without_the_catalog_the_plan_says_so_and_nothing_is_lost(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    catalog = player.folder / ".autoloader" / "catalog.db"
    shutil.move(catalog, catalog.with_suffix(".away"))
    said = player.run("plan")
    assert said.code in (1, 3), said.out
    assert "shop.orders" in said.out + said.err
    assert player.run("apply", "-y").code in (1, 3)
    catalog.unlink(missing_ok=True)
    shutil.move(catalog.with_suffix(".away"), catalog)
    player.no_changes()
    assert ids(player) == [1]


def test_case_60_without_the_state_a_loaded_table_is_never_loaded_again(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    for path in (player.folder / ".autoloader").glob("state.db*"):
        path.unlink()
    said = player.run("plan")
    assert said.code == 3
    assert "rebuild-ledger orders" in said.out
    player.apply(code=3)
    assert ids(player) == [1]
    assert player.run("rebuild-ledger", "orders", "-y").code == 0
    player.no_changes()
