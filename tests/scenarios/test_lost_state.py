"""The state is lost while the table is there: refused, then rebuilt or adopted knowingly, never doubled."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.playing import LocalStore, Player, Store, work

SPEC = """
    name: sales
    source: {{path: "{root}"}}
    destination: {{table: shop.sales}}
"""


@pytest.mark.slow
def test_a_lost_state_is_refused_then_rebuilt_from_the_table_and_only_what_changed_since_is_replaced(
    player: Player, store: Store
) -> None:
    for day in (1, 2, 3):
        store.put(f"{day}.csv", f"day,amount\n{day},1\n{day},2\n")
    time.sleep(1)  # S3 tells whole seconds: files of the second in which their batch begins would be loaded again
    player.spec(SPEC.format(root=store.root))
    player.apply()
    (player.folder / ".autoloader" / "state.db").unlink()
    said = player.run("plan")
    assert said.code == 3
    assert "rebuild-ledger sales" in said.out
    player.apply(code=3)
    assert len(player.rows("shop.sales")) == 6
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    player.no_changes()
    assert player.run("verify", "sales").code == 0

    (player.folder / ".autoloader" / "state.db").unlink()
    store.put("2.csv", "day,amount\n2,20\n")
    store.put("4.csv", "day,amount\n4,1\n")
    store.delete("3.csv")
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    assert work(player.plan()) == {"changed": 1, "new": 1}
    player.apply()
    assert sorted((r["day"], r["amount"]) for r in player.rows("shop.sales")) == [
        (1, 1), (1, 2), (2, 20), (3, 1), (3, 2), (4, 1),
    ]  # fmt: skip
    player.no_changes()
    assert player.run("verify", "sales").code == 0


@pytest.mark.slow
def test_a_file_that_changed_in_the_second_of_its_batch_is_loaded_again_where_storage_tells_whole_seconds(
    player: Player, local_store: LocalStore
) -> None:
    local_store.put("1.csv", "day,amount\n1,1\n")
    local_store.put("2.csv", "day,amount\n2,2\n")
    player.spec(SPEC.format(root=local_store.root))
    player.apply()
    (player.folder / ".autoloader" / "state.db").unlink()
    begun_at = player.table("shop.sales")["_ingested_at"][0].as_py()
    local_store.put("2.csv", "day,amount\n2,20\n")
    os.utime(local_store.folder / "2.csv", (int(begun_at.timestamp()),) * 2)  # what S3 says of any moment of it
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    assert work(player.plan()) == {"changed": 1}
    player.apply()
    assert sorted((r["day"], r["amount"]) for r in player.rows("shop.sales")) == [(1, 1), (2, 20)]
    player.no_changes()
    assert player.run("verify", "sales").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("on_change", "again"), [("append", 1), ("fail", 1), ("ignore", 0)])
def test_a_file_that_nobody_knows_to_be_changed_or_not_is_neither_doubled_nor_refused_after_the_state_was_lost(
    player: Player, local_store: LocalStore, on_change: str, again: int
) -> None:
    local_store.put("1.csv", "day,amount\n1,1\n")
    local_store.put("2.csv", "day,amount\n2,2\n")
    player.spec(SPEC.format(root=local_store.root).replace("}\n", f", on_change: {on_change}}}\n", 1))
    player.apply()
    (player.folder / ".autoloader" / "state.db").unlink()
    local_store.put("2.csv", "day,amount\n2,2\n")
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    assert work(player.plan()) == ({"reingest": 1} if again else {})
    player.apply()
    assert sorted((r["day"], r["amount"]) for r in player.rows("shop.sales")) == [(1, 1), (2, 2)]
    player.no_changes()
    assert player.run("verify", "sales").code == 0


@pytest.mark.slow
def test_a_ledger_that_is_rebuilt_beside_its_state_keeps_what_failed_and_what_is_to_be_loaded_again(
    player: Player, local_store: LocalStore
) -> None:
    spec = SPEC.format(root=local_store.root)
    for day in (1, 2, 3):
        local_store.put(f"{day}.csv", f"day,amount\n{day},{day}\n")
    player.spec(spec)
    player.apply()
    local_store.put("1.csv", "day,amount\n1,10\nnone,10\n")
    player.spec(spec + "    limits: {max_files: 1}\n    reingest: [{match: '[23].csv', request: r1}]\n")
    player.apply()
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    files = player.run("files", "sales", "--format", "json").json["files"]
    assert [each["state"] for each in files] == ["QUARANTINED", "SUCCESS", "SUCCESS"]
    assert work(player.plan()) == {"reingest": 1}
    local_store.put("1.csv", "day,amount\n1,10\n")
    player.spec(spec)
    player.apply()
    assert sorted((r["day"], r["amount"]) for r in player.rows("shop.sales")) == [(1, 10), (2, 2), (3, 3)]
    player.no_changes()
    assert player.run("verify", "sales").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("on_change", ["replace", "append"])
def test_a_table_that_others_rolled_back_is_known_by_the_versions_that_it_holds_again(
    player: Player, local_store: LocalStore, on_change: str
) -> None:
    local_store.put("1.csv", "day,amount\n1,1\n")
    player.spec(SPEC.format(root=local_store.root).replace("}\n", f", on_change: {on_change}}}\n", 1))
    player.apply()
    local_store.put("1.csv", "day,amount\n1,10\n")
    player.apply()
    with player.iceberg("shop.sales") as table:
        table.manage_snapshots().rollback_to_snapshot(table.history()[0].snapshot_id).commit()
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    assert work(player.plan()) == {"changed": 1}
    player.apply()
    kept = [(1, 1)] if on_change == "append" else []
    assert sorted((r["day"], r["amount"]) for r in player.rows("shop.sales")) == [*kept, (1, 10)]
    player.no_changes()
    assert player.run("verify", "sales").code == 0


@pytest.mark.slow
def test_a_rebuilt_state_gives_no_id_again_under_which_rejected_rows_are_kept(
    player: Player, local_store: LocalStore
) -> None:
    player.spec(
        SPEC.format(root=local_store.root) + "    schema: {columns: [{name: day, type: long}], max_bad_rows: 100%}"
    )
    local_store.put("a.csv", "day\n1\nx\n2\ny\n")
    player.apply()
    local_store.put("b.csv", "day\nnone\n")
    player.apply()
    (player.folder / ".autoloader" / "state.db").unlink()
    local_store.put("c.csv", "day\nno\n")
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    [remembered] = player.run("files", "sales", "--format", "json").json["files"]
    assert (remembered["rows"], remembered["rejected_rows"]) == (2, 2)
    player.apply()
    rejected = player.table("shop.sales__quarantine").to_pylist()
    assert sorted(row["raw"] for row in rejected) == ["no", "none", "none", "x", "y"]
    assert len({row["src_file_id"] for row in rejected}) == 4


@pytest.mark.slow
@pytest.mark.parametrize("loaded", [True, False])
def test_what_start_now_left_out_is_left_out_again_after_the_state_was_lost(
    player: Player, local_store: LocalStore, loaded: bool
) -> None:
    columns = "    schema: {columns: [{name: day, type: long}, {name: amount, type: long}]}\n"
    player.spec(SPEC.format(root=local_store.root).replace("}\n", ", start: now}\n", 1) + columns)
    for day in (1, 2):
        local_store.put(f"{day}.csv", f"day,amount\n{day},1\n")
    local_store.put("_hidden.csv", "day,amount\n")
    player.apply()
    if loaded:
        local_store.put("3.csv", "day,amount\n3,1\n")
        player.apply()
    (player.folder / ".autoloader" / "state.db").unlink()
    if loaded:
        local_store.put("4.csv", "day,amount\n4,1\n")
    said = player.run("rebuild-ledger", "sales", "-y")
    assert (said.code, "2 files in storage" in said.out, "source.start" in said.out) == (0, True, True)
    player.apply()
    assert sorted(r["day"] for r in player.rows("shop.sales")) == ([3, 4] if loaded else [])
    player.no_changes()
    local_store.put("2.csv", "day,amount\n2,2\n")
    assert work(player.plan()) == {"new": 1}
    assert "left out" not in player.run("rebuild-ledger", "sales", "-y").out


@pytest.mark.slow
def test_a_rebuilt_ledger_says_how_files_stay_out_whose_rows_a_refresh_took_out(
    player: Player, local_store: LocalStore
) -> None:
    local_store.put("1.csv", "day,amount\n1,1\n")
    os.utime(local_store.folder / "1.csv", (time.time() - 60,) * 2)
    player.spec(SPEC.format(root=local_store.root))
    player.apply()
    player.apply("--refresh", "sales=new-only")
    local_store.put("2.csv", "day,amount\n2,1\n")
    os.utime(local_store.folder / "2.csv", (time.time() + 60,) * 2)
    player.apply()
    assert "emptied" not in player.run("rebuild-ledger", "sales", "-y").out
    (player.folder / ".autoloader" / "state.db").unlink()
    said = player.run("rebuild-ledger", "sales", "-y").out
    [start] = re.findall(r"It was emptied at (\S+) \(refresh: new-only", said)
    player.spec(SPEC.format(root=local_store.root).replace("}\n", f", start: {start}}}\n", 1))
    assert work(player.plan()) == {"changed": 1}  # 2.csv, which is newer than its batch


@pytest.mark.slow
def test_an_adopted_table_with_start_now_takes_only_what_comes_after(player: Player, local_store: LocalStore) -> None:
    local_store.put("1.csv", "day,amount\n1,1\n")
    player.spec(SPEC.format(root=local_store.root))
    player.apply()
    with player.iceberg("shop.sales") as table, table.update_schema() as update:
        for name in ("_src_file_id", "_src_path", "_src_row", "_batch_id", "_ingested_at", "_rescued"):
            update.delete_column(name)
    player.run("state", "rm", "sales", "-y")
    player.spec(SPEC.format(root=local_store.root).replace("}\n", ", start: now}\n", 1))
    said = player.run("state", "adopt", "sales", "-y")
    assert (said.code, "1 file in storage left out" in said.out) == (0, True)
    player.no_changes()
    local_store.put("2.csv", "day,amount\n2,1\n")
    assert work(player.plan()) == {"new": 1}


@pytest.mark.slow
def test_rows_of_gone_files_leave_although_no_file_was_loaded_since_the_ledger_was_rebuilt(
    player: Player, local_store: LocalStore
) -> None:
    for day in (1, 2, 3):
        local_store.put(f"{day}.csv", f"day,amount\n{day},1\n")
    player.spec(SPEC.format(root=local_store.root).replace("}\n", ", on_delete: delete_rows}\n", 1))
    player.apply()
    (player.folder / ".autoloader" / "state.db").unlink()
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    local_store.delete("1.csv")
    player.apply()
    assert sorted(r["day"] for r in player.rows("shop.sales")) == [2, 3]
    player.no_changes()


@pytest.mark.slow
def test_an_adopted_table_is_emptied_although_there_is_no_file_to_load(player: Player, local_store: LocalStore) -> None:
    local_store.put("1.csv", "day,amount\n1,1\n")
    player.spec(SPEC.format(root=local_store.root))
    player.apply()
    local_store.delete("1.csv")
    player.run("state", "rm", "sales", "-y")
    assert player.run("state", "adopt", "sales", "-y").code == 0
    player.apply("--refresh", "sales=new-only", "--confirm", "sales")
    assert player.rows("shop.sales") == []


def copy_state(source: Path, target: Path) -> None:
    """A copy of a state as `sqlite3 .backup` makes it."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@pytest.mark.slow
def test_a_state_that_was_put_back_to_an_older_copy_is_refused_and_rebuilt_and_nothing_is_doubled(
    player: Player, local_store: LocalStore
) -> None:
    state, copy = player.folder / ".autoloader" / "state.db", player.folder / "copy.db"
    player.spec(SPEC.format(root=local_store.root))
    local_store.put("1.csv", "day,amount\n1,1\n")
    local_store.put("2.csv", "day,amount\n2,2\n")
    player.apply()
    copy_state(state, copy)
    local_store.put("2.csv", "day,amount\n2,20\n")
    local_store.put("3.csv", "day,amount\n3,3\n")
    player.apply()
    rows = [(1, 1), (2, 20), (3, 3)]

    copy_state(copy, state)
    said = player.run("plan")
    assert said.code == 3
    assert "state-behind" in said.out
    assert "rebuild-ledger sales" in said.out
    assert "shop.sales got a load that this state does not remember" in player.plan("--refresh-only")["drift"]
    player.apply(code=3)
    assert sorted((r["day"], r["amount"]) for r in player.rows("shop.sales")) == rows
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    player.no_changes()
    assert player.run("verify", "sales").code == 0
    local_store.put("4.csv", "day,amount\n4,4\n")
    player.apply()
    assert sorted((r["day"], r["amount"]) for r in player.rows("shop.sales")) == [*rows, (4, 4)]


@pytest.mark.slow
def test_a_file_that_is_again_what_an_older_copy_of_the_state_remembers_is_loaded_again(
    player: Player, store: Store
) -> None:
    state, copy = player.folder / ".autoloader" / "state.db", player.folder / "copy.db"
    player.spec(SPEC.format(root=store.root))
    store.put("1.csv", "day,amount\n1,1\n")
    player.apply()
    copy_state(state, copy)
    store.put("1.csv", "day,amount\n1,9\n")
    player.apply()
    copy_state(copy, state)
    store.put("1.csv", "day,amount\n1,1\n")
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    assert work(player.plan()) == {"changed": 1}
    player.apply()
    assert player.rows("shop.sales") == [{"day": 1, "amount": 1}]
    player.no_changes()


@pytest.mark.slow
def test_a_state_older_than_a_rebuild_of_its_table_is_refused_although_the_snapshot_that_it_knows_is_gone(
    player: Player, local_store: LocalStore
) -> None:
    state, copy = player.folder / ".autoloader" / "state.db", player.folder / "copy.db"
    player.spec(SPEC.format(root=local_store.root))
    local_store.put("1.csv", "day,amount\n1,1\n")
    player.apply()
    copy_state(state, copy)
    local_store.put("2.csv", "day,amount\n2,2\n")
    player.apply("--refresh", "sales=full")

    copy_state(copy, state)
    said = player.run("plan")
    assert said.code == 3, said.out
    assert "state-behind" in said.out
    player.apply(code=3)
    assert player.run("rebuild-ledger", "sales", "-y").code == 0
    player.no_changes()
    assert sorted((r["day"], r["amount"]) for r in player.rows("shop.sales")) == [(1, 1), (2, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("lost", [True, False])
def test_a_state_that_counts_from_below_the_fence_of_an_emptied_table_loads_into_it_at_once(
    player: Player, local_store: LocalStore, lost: bool
) -> None:
    """It was lost, or put back to a copy of before: its tokens are lower than what the table has seen."""
    state, copy = player.folder / ".autoloader" / "state.db", player.folder / "copy.db"
    player.spec(SPEC.format(root=local_store.root))
    local_store.put("1.csv", "day,amount\n1,1\n")
    player.apply()
    copy_state(state, copy)
    for _ in range(3):
        player.apply("--reingest", "sales=*")
    player.apply("--refresh", "sales=new-only")
    assert player.rows("shop.sales") == []
    state.unlink()
    if not lost:
        copy_state(copy, state)
    local_store.put("2.csv", "day,amount\n2,2\n")
    player.apply()
    rows = [(1, 1)] * lost + [(2, 2)]  # a state that knows nothing loads what is there
    assert sorted((r["day"], r["amount"]) for r in player.rows("shop.sales")) == rows
    player.apply()
    assert sorted((r["day"], r["amount"]) for r in player.rows("shop.sales")) == rows


@pytest.mark.slow
def test_verify_finds_a_file_version_whose_rows_were_committed_by_two_batches(
    player: Player, local_store: LocalStore
) -> None:
    player.spec(SPEC.format(root=local_store.root))
    local_store.put("1.csv", "day,amount\n1,1\n")
    player.apply()
    with player.iceberg("shop.sales") as table:
        rows = table.scan().to_arrow()
        table.append(rows.set_column(rows.schema.get_field_index("_batch_id"), "_batch_id", [["another batch"]]))
    said = player.run("verify", "sales", "--format", "json")
    assert said.code == 1
    [found] = said.json["violations"]
    assert found["violation"] == "its rows were committed by more than one batch"
    assert (found["ledger_rows"], found["table_rows"]) == (1, 2)
