"""Files that fail, are tried again and are set aside: 61, through the commands."""

from __future__ import annotations

import json

import pytest

from tests.clock import Clock
from tests.orders import STRICT, clean, declare, files, ids, put
from tests.playing import LocalStore, Player, Store, work

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
