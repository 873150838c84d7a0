"""A table that others rolled back (CASES 55): what was replaced or taken out is in it again, and never stays beside
what comes in its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import orders
from tests.orders import declare, ids, put
from tests.playing import LocalStore, Player

pytestmark = pytest.mark.slow


@pytest.fixture
def loaded(player: Player, local_store: LocalStore) -> Player:
    """Three files are loaded, and then one of them is replaced."""
    declare(player, local_store)
    for key, number in {"a.csv": 1, "b.csv": 5, "c.csv": 6}.items():
        put(local_store, key, number)
    player.apply()
    return player


def roll_back_to_first(player: Player) -> None:
    """Somebody else makes the table's first snapshot its current one."""
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("lake", uri=f"sqlite:///{player.folder}/.autoloader/catalog.db")
    table = catalog.load_table("shop.orders")
    table.manage_snapshots().set_current_snapshot(snapshot_id=table.history()[0].snapshot_id).commit()


def settled(player: Player) -> None:
    """Nothing is left to do or to say, and ledger and table agree file by file."""
    orders.settled(player)
    assert player.plan()["drift"] == []


def undone(player: Player) -> str:
    """The batch that the plan names, to be loaded again."""
    drift = json.dumps(player.plan()["drift"])
    return drift.partition("orders=batch:")[2].partition('"')[0].split()[0]


@pytest.mark.parametrize("way", ["what the plan says", "a glob", "another change", "it goes and returns"])
def test_a_replaced_file_leaves_in_all_of_its_versions(loaded: Player, local_store: LocalStore, way: str) -> None:
    put(local_store, "a.csv", 2)
    loaded.apply()
    roll_back_to_first(loaded)
    assert ids(loaded) == [1, 5, 6]
    match way:
        case "what the plan says":
            loaded.apply("--reingest", f"orders=batch:{undone(loaded)}")
        case "a glob":
            loaded.apply("--reingest", "orders=a.csv")
        case "another change":
            put(local_store, "b.csv", 7)
            loaded.apply()  # what was seen of the rollback is not forgotten with the next commit
            put(local_store, "a.csv", 2, 2)
            loaded.apply()
        case _:
            declare(loaded, local_store, ", on_delete: delete_rows")
            local_store.delete("a.csv")
            loaded.apply()
            assert ids(loaded) == [5, 6]
            put(local_store, "a.csv", 2)
            loaded.apply()
    assert ids(loaded) == ([2, 2, 6, 7] if way == "another change" else [2, 5, 6])
    settled(loaded)


def test_rows_that_were_taken_out_are_drift_when_they_are_back_and_can_be_taken_out_again(
    loaded: Player, local_store: LocalStore
) -> None:
    declare(loaded, local_store, ", on_delete: delete_rows")
    local_store.delete("a.csv")
    loaded.apply()
    roll_back_to_first(loaded)
    assert ids(loaded) == [1, 5, 6]
    drift = json.dumps(loaded.plan()["drift"])
    assert "rows of 1 file that had left it are there again" in drift
    assert "a.csv" in drift
    assert "b.csv" not in drift
    assert loaded.run("rebuild-ledger", "orders", "-y").code == 0
    loaded.apply()
    assert ids(loaded) == [5, 6]
    settled(loaded)


def test_a_file_that_returns_replaces_the_rows_that_a_rollback_brought_back(
    loaded: Player, local_store: LocalStore
) -> None:
    declare(loaded, local_store, ", on_delete: delete_rows")
    local_store.delete("a.csv")
    loaded.apply()
    roll_back_to_first(loaded)
    put(local_store, "a.csv", 1)
    loaded.apply()
    assert ids(loaded) == [1, 5, 6]
    settled(loaded)


def test_a_rollback_of_our_own_that_was_cut_off_doubles_nothing_when_the_file_is_replaced_again(
    loaded: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoloader.lake import Lake

    first = loaded.run("runs", "--format", "json").json["runs"][-1]["run_id"]
    put(local_store, "a.csv", 2)
    loaded.apply()
    real = Lake.rollback

    def cut_off(self: Lake, *words: Any, **named: Any) -> Any:
        real(self, *words, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "rollback", cut_off)
        assert loaded.run("rollback", "orders", "--to-run", first, "-y").code == 130
    assert ids(loaded) == [1, 5, 6]
    put(local_store, "a.csv", 3)
    loaded.apply()
    assert ids(loaded) == [3, 5, 6]
    settled(loaded)


def test_appended_versions_stay_where_a_table_was_rolled_back(loaded: Player, local_store: LocalStore) -> None:
    declare(loaded, local_store, ", on_change: append")
    put(local_store, "a.csv", 2)
    loaded.apply()
    roll_back_to_first(loaded)
    loaded.apply("--reingest", f"orders=batch:{undone(loaded)}")
    assert ids(loaded) == [1, 2, 5, 6]


def test_versions_that_append_kept_stay_when_the_table_was_rebuilt_and_a_file_is_replaced_later(
    loaded: Player, local_store: LocalStore
) -> None:
    loaded.apply("--refresh", "orders=full")
    declare(loaded, local_store, ", on_change: append")
    put(local_store, "a.csv", 2)
    loaded.apply()
    declare(loaded, local_store)
    put(local_store, "a.csv", 3)
    loaded.apply()
    assert ids(loaded) == [1, 3, 5, 6]


def test_a_file_that_cannot_be_read_is_one_bad_file_in_a_table_that_was_rolled_back(
    loaded: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 2)
    loaded.apply()
    roll_back_to_first(loaded)
    local_store.put("bad.csv.gz", b"no gzip")
    said = loaded.run("apply", "-y")
    assert said.code == 0, said.err
    assert ids(loaded) == [1, 5, 6]


def test_what_a_rebuild_swapped_out_was_rolled_back_by_nobody(loaded: Player, local_store: LocalStore) -> None:
    declare(loaded, local_store, ", on_delete: delete_rows")
    local_store.delete("a.csv")
    loaded.apply()
    loaded.apply("--refresh", "orders=full")
    assert loaded.plan()["drift"] == []
    put(local_store, "b.csv", 7)
    loaded.apply()
    assert loaded.plan()["drift"] == []
    assert ids(loaded) == [6, 7]
    settled(loaded)
