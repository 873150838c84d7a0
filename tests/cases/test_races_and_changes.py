"""Files that change, vanish, fail and race, through the commands: 20 to 27, 47 to 61."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from autoloader.apply import loading
from autoloader.project import Project
from tests.clock import Clock
from tests.playing import ROOT, LocalStore, Player, Store, work

SPEC = """
    name: orders
    source: {{path: "{root}"{source}}}
    destination: {{table: shop.orders}}
{more}
"""


def declare(player: Player, store: Store, source: str = "", more: str = "") -> None:
    player.spec(SPEC.format(root=store.root, source=source, more=more))


def put(store: Store, key: str, *ids: int, n: int = 1) -> None:
    store.put(key, "id,n\n" + "".join(f"{number},{n}\n" for number in ids))


def ids(player: Player) -> list[int]:
    return sorted(row["id"] for row in player.rows("shop.orders"))


def pairs(player: Player) -> list[tuple[int, int]]:
    return sorted((row["id"], row["n"]) for row in player.rows("shop.orders"))


def files(player: Player, state: str | None = None) -> list[dict[str, Any]]:
    words = ["--state", state] if state else []
    found: list[dict[str, Any]] = player.run("files", "orders", *words, "--format", "json").json["files"]
    return found


def clean(player: Player) -> None:
    said = player.run("verify", "orders")
    assert said.code == 0, said.out


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


# ------------------------------------------------------------------ windows and dates


@pytest.mark.slow
def test_case_26_a_path_without_a_real_date_is_reported_and_loaded(player: Player, local_store: LocalStore) -> None:
    put(local_store, "year=2024/month=01/a.csv", 1)
    put(local_store, "year=2024/month=13/b.csv", 2)
    put(local_store, "year=2024/month=__HIVE_DEFAULT_PARTITION__/c.csv", 3)
    backfill = "    backfill: {from: 2023-01-01, until: 2025-01-01, step: 1 year}"
    declare(player, local_store, ', path_date: "year={Y}/month={m}"', backfill)
    plan = player.plan()
    assert sum(work(plan).values()) == 3
    told = json.dumps(plan["diagnostics"])
    assert "month=13" in told
    assert "__HIVE_DEFAULT_PARTITION__" in told
    player.apply()
    assert ids(player) == [1, 2, 3]


@pytest.mark.slow
def test_case_24_files_on_the_edges_of_slices_are_each_loaded_once(player: Player, local_store: LocalStore) -> None:
    days = ["2019-12-31", "2020-01-01", "2020-02-29", "2020-12-31", "2021-01-01", "2021-12-31", "2022-01-01"]
    for number, day in enumerate(days):
        put(local_store, f"{day}.csv", number)
    backfill = "    backfill: {from: 2020-01-01, until: 2022-01-01, step: 1 year}"
    declare(player, local_store, ', path_date: "{Y}-{m}-{d}"', backfill)
    player.apply()
    assert ids(player) == [1, 2, 3, 4, 5, 6]
    said = player.run("why", f"{local_store.root}2019-12-31.csv")
    assert "before backfill.from" in said.out
    player.no_changes()
    clean(player)


@pytest.mark.slow
def test_case_27_a_late_file_reopens_its_slice_and_is_loaded(player: Player, local_store: LocalStore) -> None:
    put(local_store, "2020-05-01.csv", 1)
    put(local_store, "2021-05-01.csv", 2)
    declare(
        player,
        local_store,
        ', path_date: "{Y}-{m}-{d}"',
        "    backfill: {from: 2020-01-01, until: 2022-01-01, step: 1 year}",
    )
    player.apply()
    player.no_changes()
    put(local_store, "2020-06-01.csv", 3)
    plan = player.plan()
    assert work(plan) == {"late": 1}
    player.apply()
    assert ids(player) == [1, 2, 3]
    player.no_changes()


# ------------------------------------------------------------------ limits and lanes


@pytest.mark.slow
def test_case_47_a_file_larger_than_the_limit_of_bytes_still_progresses(
    player: Player, local_store: LocalStore
) -> None:
    for number in range(3):
        put(local_store, f"{number}.csv", *range(number * 100, number * 100 + 100))
    declare(player, local_store, more="    limits: {max_bytes: 10B}")
    for loaded in (1, 2, 3):
        player.apply()
        assert len(files(player, "SUCCESS")) == loaded
    assert len(ids(player)) == 300
    player.no_changes()


@pytest.mark.slow
def test_case_48_neither_live_files_nor_the_backfill_starve(player: Player, local_store: LocalStore) -> None:
    """Each run two more live files come than the run may load; both lanes go on all the same."""
    for number in range(6):
        put(local_store, f"2020-01-{number + 1:02d}.csv", number)
    declare(
        player,
        local_store,
        ', path_date: "{Y}-{m}-{d}"',
        "    limits: {max_files: 4}\n    backfill: {from: 2020-01-01, until: 2021-01-01, share: 50%}",
    )
    day = 0
    seen = []
    for _ in range(3):
        for _ in range(6):
            day += 1
            put(local_store, f"2024-01-{day:02d}.csv", 1000 + day)
        player.apply()
        done = ids(player)
        seen.append((sum(number < 1000 for number in done), sum(number >= 1000 for number in done)))
    assert seen == [(2, 2), (4, 4), (6, 6)]
    lanes = player.run("status", "--format", "json").json["ingestions"][0]["lanes"]
    assert lanes["backfill"]["files_done"] == 6
    assert lanes["live"]["state"] == "running"


# ------------------------------------------------------------------ two at once


def sail(player: Player) -> None:
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
    for number in range(6):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store)
    sail(player)
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
    for number in range(6):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store)
    sail(player)
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
    for number in range(6):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store)
    sail(player)
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


# ------------------------------------------------------------------ failing files

POISON = b"\x1f\x8b\x08\x00 no gzip at all"


@pytest.mark.slow
def test_case_61_a_poison_file_lets_the_others_pass_and_a_mended_one_clears_it(
    player: Player, store: Store, at: Clock
) -> None:
    for number in range(4):
        put(store, f"{number}.csv", number)
    store.put("poison.csv.gz", POISON)
    declare(player, store)
    player.apply()
    assert ids(player) == [0, 1, 2, 3]
    put(store, "poison.csv.gz", 9)
    assert work(player.plan()) == {"changed": 1}
    player.apply()
    assert ids(player) == [0, 1, 2, 3, 9]
    assert files(player, "QUARANTINED") == files(player, "FAILED") == []
    clean(player)


@pytest.mark.slow
def test_a_failing_file_is_tried_three_times_with_growing_waits_and_then_set_aside(
    player: Player, local_store: LocalStore, at: Clock
) -> None:
    put(local_store, "good.csv", 1)
    put(local_store, "bad.csv", 2)
    declare(player, local_store, more=STRICT.format(missing="fail"))
    local_store.put("bad.csv", "id\n2\n")
    at.stop()
    player.apply()
    assert ids(player) == [1]
    [bad] = files(player, "FAILED")
    assert bad["retry_count"] == 1
    assert bad["error"]
    plan = player.plan()
    assert plan["totals"]["files_by_disposition"].get("deferred") == 1
    due_at = bad["next_attempt_at"][:19].replace("T", " ")
    assert f"failed; tried again from {due_at} UTC (1)" in json.dumps(plan["notes"])
    assert "next attempt" in player.run("why", f"{local_store.root}bad.csv").out
    waits = []
    for attempt in (2, 3):
        waited = 0
        while not work(player.plan()):
            at.move(seconds=0.5)
            waited += 1
        waits.append(waited)
        assert work(player.plan()) == {"retry": 1}
        player.apply()
        [bad] = [row for row in files(player) if row["file_path"].endswith("bad.csv")]
        assert bad["retry_count"] == attempt
    assert waits == [2, 4]
    assert bad["state"] == "QUARANTINED"
    for words in ((), ("--offline",)):
        [orders] = player.run("status", *words, "--format", "json").json["ingestions"]
        assert orders["lanes"]["live"]["files_quarantined"] == 1
        assert "(1 quarantined)" in player.run("status", *words).out
    at.move(days=30)
    player.no_changes()
    put(local_store, "bad.csv", 5)
    assert work(player.plan()) == {"changed": 1}
    player.apply()
    assert ids(player) == [1, 5]
    clean(player)


@pytest.mark.slow
def test_three_applies_in_a_row_are_three_attempts_of_a_failing_file(player: Player, local_store: LocalStore) -> None:
    """Nobody has to look at a clock: an apply waits out a back-off that ends in a moment."""
    put(local_store, "good.csv", 1)
    local_store.put("bad.csv", "id\n2\n")
    declare(player, local_store, more=STRICT.format(missing="fail"))
    for attempt, state in ((1, "FAILED"), (2, "FAILED"), (3, "QUARANTINED")):
        player.apply()
        [bad] = [row for row in files(player) if row["file_path"].endswith("bad.csv")]
        assert (bad["retry_count"], bad["state"]) == (attempt, state)
    assert ids(player) == [1]
    player.no_changes()


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


STRICT = "    schema: {{missing_columns: {missing}, columns: [{{name: id, type: long}}, {{name: n, type: long}}]}}"


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


# ------------------------------------------------------------------ columns that come back, and that are renamed


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
