"""What comes late, slices, limits and lanes: 24, 26, 27, 47, 48, through the commands."""

from __future__ import annotations

import json

import pytest

from tests.orders import clean, declare, files, ids, put
from tests.playing import LocalStore, Player, work

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
