"""A table that others rolled back (CASES 55): what was replaced or taken out is in it again, and never stays beside
what comes in its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import orders
from tests.orders import STRICT, declare, ids, last_run, put
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


def roll_back_to_first(player: Player) -> int:
    """Somebody else makes the table's first snapshot its current one; the one that was current."""
    before = current(player)
    with player.iceberg("shop.orders") as table:
        set_current(player, table.history()[0].snapshot_id)
    return before


def current(player: Player) -> int:
    """The table's current snapshot; there is one."""
    with player.iceberg("shop.orders") as table:
        found = table.metadata.current_snapshot_id
    assert found is not None
    return int(found)


def set_current(player: Player, snapshot_id: int) -> None:
    with player.iceberg("shop.orders") as table:
        table.manage_snapshots().set_current_snapshot(snapshot_id=snapshot_id).commit()


def cut_off_rebuild(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `rebuild-ledger` ends before it has remembered any file."""
    from autoloader.ledger.restoring import Restoring

    def cut_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Restoring, "rebuild", cut_off)
        assert player.run("rebuild-ledger", "orders", "-y").code == 130


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

    first = last_run(loaded)
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


@pytest.mark.parametrize("is_rebuilt", [False, True], ids=["as it is", "after rebuild-ledger"])
def test_the_version_that_a_rollback_brought_back_stays_beside_one_that_is_appended(
    loaded: Player, local_store: LocalStore, is_rebuilt: bool
) -> None:
    declare(loaded, local_store, ", on_change: append")
    loaded.apply("--reingest", "orders=a.csv")
    roll_back_to_first(loaded)
    if is_rebuilt:
        assert loaded.run("rebuild-ledger", "orders", "-y").code == 0
    put(local_store, "a.csv", 2)
    loaded.apply()
    assert ids(loaded) == [1, 2, 5, 6]
    if not is_rebuilt:  # what the batch that was undone had loaded is not there
        assert loaded.run("verify", "orders").code == 1
        assert loaded.run("rebuild-ledger", "orders", "-y").code == 0
    settled(loaded)


def test_a_version_that_a_rollback_brought_back_is_kept_once_the_spec_appends(
    loaded: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 2)
    loaded.apply()
    roll_back_to_first(loaded)
    assert loaded.run("rebuild-ledger", "orders", "-y").code == 0
    declare(loaded, local_store, ", on_change: append")
    loaded.apply()
    assert ids(loaded) == [1, 2, 5, 6]
    settled(loaded)


def test_rows_taken_out_and_back_leave_although_a_file_that_returns_is_appended(
    loaded: Player, local_store: LocalStore
) -> None:
    declare(loaded, local_store, ", on_change: append, on_delete: delete_rows")
    local_store.delete("a.csv")
    loaded.apply()
    roll_back_to_first(loaded)
    put(local_store, "a.csv", 2)
    loaded.apply()
    assert ids(loaded) == [2, 5, 6]
    settled(loaded)


def test_a_file_that_came_and_went_since_is_no_drift(loaded: Player, local_store: LocalStore) -> None:
    declare(loaded, local_store, ", on_delete: delete_rows")
    put(local_store, "d.csv", 7)
    loaded.apply()
    local_store.delete("d.csv")
    loaded.apply()
    roll_back_to_first(loaded)
    assert ids(loaded) == [1, 5, 6]
    settled(loaded)


def test_a_table_taken_forward_again_has_lost_nothing(loaded: Player, local_store: LocalStore) -> None:
    put(local_store, "a.csv", 2)
    loaded.apply()
    newest = roll_back_to_first(loaded)
    declare(loaded, local_store, more="    owner: others")
    loaded.apply()
    assert "a.csv" in json.dumps(loaded.plan()["drift"])
    set_current(loaded, newest)
    assert ids(loaded) == [2, 5, 6]
    settled(loaded)


@pytest.mark.parametrize("by", ["others", "ourselves"])
def test_a_table_taken_forward_over_a_rollback_waits_for_a_rebuild_of_the_ledger(
    loaded: Player, local_store: LocalStore, by: str
) -> None:
    first = last_run(loaded)
    put(local_store, "a.csv", 2)
    loaded.apply()
    put(local_store, "a.csv", 3)
    loaded.apply()
    newest = current(loaded)
    if by == "others":
        roll_back_to_first(loaded)
        assert loaded.run("rebuild-ledger", "orders", "-y").code == 0
        assert "state-behind" not in json.dumps(loaded.plan()["changes"])
    else:
        assert loaded.run("rollback", "orders", "--to-run", first, "-y").code == 0
    set_current(loaded, newest)
    said = loaded.run("apply", "-y")
    assert said.code == 3
    assert "2 loads that this state does not remember" in said.out + said.err
    assert ids(loaded) == [3, 5, 6]
    assert loaded.run("rebuild-ledger", "orders", "-y").code == 0
    settled(loaded)
    said = loaded.run("rollback", "orders", "--to-run", first, "-y")
    assert "2 batches of orders" in said.out + said.err
    loaded.apply()
    assert ids(loaded) == [3, 5, 6]
    settled(loaded)


@pytest.mark.parametrize("to", ["the first run", "no rows"])
@pytest.mark.parametrize("then", ["nothing", "loads"])
def test_a_table_taken_forward_to_another_line_waits_for_a_rebuild_of_the_ledger(
    player: Player, local_store: LocalStore, to: str, then: str
) -> None:
    declare(player, local_store, more=STRICT.format(missing="fail"))
    if to == "no rows":
        local_store.put("a.csv", "id\n1\n")
        player.apply()  # which fails
    for key, number in {"a.csv": 1, "b.csv": 5}.items():
        put(local_store, key, number)
    player.apply()
    first = player.run("runs", "--format", "json").json["runs"][0]["run_id"]
    put(local_store, "a.csv", 2)
    player.apply()
    newest = current(player)
    assert player.run("rollback", "orders", "--to-run", first, "-y").code == 0
    assert ids(player) == ([] if to == "no rows" else [1, 5])
    if then == "loads":
        player.apply()
    set_current(player, newest)
    said = player.run("apply", "-y")
    assert said.code == 3
    assert "that this state does not remember" in said.out + said.err
    assert ids(player) == [2, 5]
    assert player.run("rebuild-ledger", "orders", "-y").code == 0
    settled(player)


@pytest.mark.parametrize("state", ["another copy", "lost"])
def test_nothing_is_loaded_while_a_table_is_remembered_in_part(
    loaded: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    kept = loaded.folder / ".autoloader" / "state.db"
    older = kept.read_bytes()
    put(local_store, "a.csv", 2)
    put(local_store, "d.csv", 7)
    loaded.apply()
    kept.unlink()
    if state == "another copy":
        kept.write_bytes(older)
    cut_off_rebuild(loaded, monkeypatch)
    said = loaded.run("apply", "-y")
    assert said.code == 3
    assert "that this state does not remember" in said.out + said.err
    assert ids(loaded) == [2, 5, 6, 7]
    assert loaded.run("rebuild-ledger", "orders", "-y").code == 0
    loaded.apply()
    assert ids(loaded) == [2, 5, 6, 7]
    settled(loaded)


def test_a_deletion_taken_forward_again_is_undone_by_a_rollback_of_our_own(
    loaded: Player, local_store: LocalStore
) -> None:
    declare(loaded, local_store, ", on_delete: delete_rows")
    first = last_run(loaded)
    local_store.delete("a.csv")
    loaded.apply()
    newest = roll_back_to_first(loaded)
    assert loaded.run("rebuild-ledger", "orders", "-y").code == 0
    set_current(loaded, newest)
    assert loaded.run("rebuild-ledger", "orders", "-y").code == 0
    settled(loaded)
    assert loaded.run("rollback", "orders", "--to-run", first, "-y").code == 0
    loaded.apply()
    assert ids(loaded) == [5, 6]
    put(local_store, "a.csv", 1)
    loaded.apply()
    assert ids(loaded) == [1, 5, 6]
    settled(loaded)


def test_rows_of_a_file_that_was_replaced_and_then_gone_are_drift_when_they_are_back(
    loaded: Player, local_store: LocalStore
) -> None:
    declare(loaded, local_store, ", on_delete: delete_rows")
    put(local_store, "a.csv", 2)
    loaded.apply()
    local_store.delete("a.csv")
    loaded.apply()
    roll_back_to_first(loaded)
    drift = json.dumps(loaded.plan()["drift"])
    assert "rows of 1 file that had left it are there again" in drift
    assert "a.csv" in drift


def test_a_version_that_stayed_beside_an_appended_one_stays_when_that_is_loaded_again(
    loaded: Player, local_store: LocalStore
) -> None:
    declare(loaded, local_store, ", on_change: append")
    loaded.apply("--reingest", "orders=a.csv")
    roll_back_to_first(loaded)
    put(local_store, "a.csv", 2)
    loaded.apply()
    loaded.apply("--reingest", "orders=a.csv")
    assert ids(loaded) == [1, 2, 5, 6]


@pytest.mark.parametrize("versions", ["appended", "loaded again", "loaded again, and it returns broken first"])
def test_no_version_of_a_file_that_was_gone_stays_when_it_returns(
    loaded: Player, local_store: LocalStore, versions: str
) -> None:
    declare(loaded, local_store, ", on_change: append, on_delete: delete_rows", more=STRICT.format(missing="fail"))
    loaded.apply()
    if versions == "appended":
        put(local_store, "a.csv", 2)
        loaded.apply()
    before = current(loaded)
    if versions != "appended":
        loaded.apply("--reingest", "orders=a.csv")
    local_store.delete("a.csv")
    loaded.apply()
    assert ids(loaded) == [5, 6]
    set_current(loaded, before)
    if "broken" in versions:
        local_store.put("a.csv", "id\n4\n")
        loaded.apply()
    put(local_store, "a.csv", 3)
    loaded.apply()
    assert ids(loaded) == [3, 5, 6]
    settled(loaded)


def test_a_run_that_others_rolled_back_is_no_place_to_go_to(loaded: Player, local_store: LocalStore) -> None:
    put(local_store, "a.csv", 2)
    loaded.apply()
    last = last_run(loaded)
    put(local_store, "b.csv", 7)
    loaded.apply()
    roll_back_to_first(loaded)
    said = loaded.run("rollback", "orders", "--to-run", last, "-y")
    assert said.code == 1
    assert "will be undone" not in said.out + said.err
    assert "choose an earlier run, or load again what the table has lost" in said.err


def test_a_rollback_says_that_values_filled_into_columns_go_back(player: Player, local_store: LocalStore) -> None:
    more = "    schema: {new_columns: rescue, columns: [{name: id, type: long}%s]}"
    put(local_store, "a.csv", 1, n=8)
    declare(player, local_store, more=more % "")
    player.apply()
    first = last_run(player)
    declare(player, local_store, more=more % ", {name: n, type: long}")
    player.apply()
    assert player.rows("shop.orders") == [{"id": 1, "n": 8}]
    said = player.run("rollback", "orders", "--to-run", first, "-y")
    assert "Values that were filled into columns since then" in said.out + said.err
    assert player.rows("shop.orders") == [{"id": 1, "n": None}]
    player.apply("--fill", "orders=rescued")
    assert player.rows("shop.orders") == [{"id": 1, "n": 8}]


def test_a_rebuild_of_the_ledger_that_was_cut_off_forgets_no_rollback(
    loaded: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(local_store, "a.csv", 2)
    loaded.apply()
    newest = roll_back_to_first(loaded)
    with loaded.iceberg("shop.orders") as table:
        table.maintenance.expire_snapshots().by_id(newest).commit()
    cut_off_rebuild(loaded, monkeypatch)
    assert "a.csv" in json.dumps(loaded.plan()["drift"])
    loaded.apply("--reingest", f"orders=batch:{undone(loaded)}")
    assert ids(loaded) == [2, 5, 6]
    settled(loaded)


def test_what_a_rebuild_replaced_is_no_place_to_go_to_and_was_rolled_back_by_nobody(loaded: Player) -> None:
    first = last_run(loaded)
    loaded.apply("--refresh", "orders=full")
    said = loaded.run("rollback", "orders", "--to-run", first, "-y")
    assert said.code == 1
    assert "belongs to a state that was replaced" in said.err


def test_a_protected_table_is_refused_as_such_wherever_it_should_go(loaded: Player, local_store: LocalStore) -> None:
    first = last_run(loaded)
    loaded.apply("--refresh", "orders=full")
    declare(loaded, local_store, more="    protect: true")
    loaded.apply()
    said = loaded.run("rollback", "orders", "--to-run", first, "-y")
    assert said.code == 3
    assert "is protected" in said.err


def test_a_run_that_died_once_its_rebuild_was_served_can_be_gone_back_to(
    loaded: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoloader.apply.tools import Tools

    def at(_: Tools, step: str) -> None:
        if step == "swapped":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Tools, "at", at)
        loaded.run("apply", "-y", "--refresh", "orders=full")
    last = last_run(loaded)
    said = loaded.run("rollback", "orders", "--to-run", last, "-y")
    assert said.code == 0, said.err
    assert ids(loaded) == [1, 5, 6]
    settled(loaded)
