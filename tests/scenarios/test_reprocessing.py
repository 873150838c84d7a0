"""Scenarios 2, 3 and 10, refresh, reingest and rollback, on real Spark and real tables."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.playing import LocalStore, Player, Store, work

DECLARED = """
    name: orders
    source: {{path: "{root}"}}
    destination: {{table: shop.orders}}
    schema:
      columns: [{columns}]
      {rules}
"""
INFERRED = """
    name: orders
    source: {{path: "{root}"{source}}}
    destination: {{table: shop.orders}}
{more}
"""


def infer(player: Player, store: Store, more: str = "", source: str = "") -> None:
    player.spec(INFERRED.format(root=store.root, more=more, source=source))


def declare(player: Player, store: Store, columns: str, rules: str = "new_columns: add") -> None:
    player.spec(DECLARED.format(root=store.root, columns=columns, rules=rules))


def ids(player: Player) -> list[int]:
    return sorted(row["id"] for row in player.rows("shop.orders"))


def test_scenario_2_widening_a_type_is_metadata_only(player: Player, store: Store) -> None:
    store.put("a.csv", "id,n\n1,10\n2,20\n")
    declare(player, store, "{name: id, type: int}, {name: n, type: int}")
    player.apply()
    declare(player, store, "{name: id, type: long}, {name: n, type: int}")
    plan = player.plan()
    assert work(plan) == {}
    assert any("schema" in change["actions"] for change in plan["changes"])
    player.apply()
    assert str(player.table("shop.orders").schema.field("id").type) == "int64"
    assert ids(player) == [1, 2]
    assert player.plan()["changes"] == []


def test_scenario_2_an_incompatible_change_is_refused_until_the_table_is_rebuilt_aside(
    player: Player, store: Store
) -> None:
    store.put("a.csv", "id,n\n1,10\n2,20\n")
    store.put("b.csv", "id,n\n3,30\n")
    declare(player, store, "{name: id, type: int}, {name: n, type: int}")
    player.apply()
    declare(player, store, "{name: id, type: int}, {name: n, type: string}")
    assert player.run("plan").code == 3
    player.apply(code=3)
    player.apply("--refresh", "orders=full")
    assert sorted((row["id"], row["n"]) for row in player.rows("shop.orders")) == [(1, "10"), (2, "20"), (3, "30")]
    assert player.plan()["changes"] == []
    assert player.run("verify", "orders").code == 0


@pytest.mark.slow
def test_scenario_3_a_replaced_file_leaves_nothing_of_its_old_rows(player: Player, store: Store) -> None:
    """To append the new rows alone would leave both."""
    for number in range(4):
        store.put(f"{number}.csv", f"id,n\n{number},1\n{number + 10},1\n")
    infer(player, store)
    player.apply()
    store.put("1.csv", "id,n\n1,2\n")
    plan = player.plan()
    assert work(plan) == {"changed": 1}
    assert "2 old rows leave" in plan["changes"][0]["detail"]
    player.apply()
    assert ids(player) == [0, 1, 2, 3, 10, 12, 13]
    assert player.run("verify", "orders").code == 0


@pytest.mark.slow
def test_scenario_3_files_of_the_same_identity_are_loaded_again_by_glob_and_replace_their_rows(
    player: Player, store: Store
) -> None:
    store.put("q1/a.csv", "id,n\n1,1\n")
    store.put("q2/b.csv", "id,n\n2,1\n")
    infer(player, store)
    player.apply()
    assert work(player.plan("--reingest", "orders=q1/**")) == {"reingest": 1}
    player.apply("--reingest", "orders=q1/**")
    assert ids(player) == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "match", "loads", "left"),
    [("full", "**", {"reingest": 2}, [1, 2]), ("new-only", "q1/**", {"reingest": 1}, [1]),
     ("new-only", "q9/**", {}, []), ("clear-history", "q1/**", {"reingest": 2}, [1, 2])],
)  # fmt: skip
def test_a_refresh_and_a_reingest_of_one_edit_load_each_file_once(
    player: Player, local_store: LocalStore, mode: str, match: str, loads: dict[str, int], left: list[int]
) -> None:
    local_store.put("q1/a.csv", "id,n\n1,1\n")
    local_store.put("q2/b.csv", "id,n\n2,1\n")
    infer(player, local_store)
    player.apply()
    asked = f'    refresh: {{mode: {mode}, request: r1}}\n    reingest: [{{match: "{match}", request: r2}}]'
    infer(player, local_store, asked)
    assert work(player.plan()) == loads
    player.apply()
    assert ids(player) == left
    player.no_changes()
    assert player.run("verify", "orders").code == 0


@pytest.mark.slow
def test_a_reingest_request_of_the_spec_is_done_once(player: Player, store: Store) -> None:
    store.put("q1/a.csv", "id,n\n1,1\n")
    store.put("q2/b.csv", "id,n\n2,1\n")
    infer(player, store)
    player.apply()
    infer(player, store, '    reingest: [{match: "q1/**", request: INC-812, reason: corrupted}]')
    assert work(player.plan()) == {"reingest": 1}
    player.apply()
    assert ids(player) == [1, 2]
    assert player.plan()["changes"] == []


@pytest.mark.slow
def test_refresh_clear_history_replaces_and_never_doubles(player: Player, store: Store) -> None:
    store.put("a.csv", "id,n\n1,1\n")
    store.put("b.csv", "id,n\n2,1\n")
    infer(player, store)
    player.apply()
    infer(player, store, "    refresh: {mode: clear-history, request: r1}")
    assert work(player.plan()) == {"reingest": 2}
    player.apply()
    assert ids(player) == [1, 2]
    assert player.plan()["changes"] == []


def test_refresh_new_only_says_how_many_rows_leave_and_loads_only_what_comes_later(
    player: Player, store: Store
) -> None:
    store.put("a.csv", "id,n\n1,1\n2,1\n")
    infer(player, store)
    player.apply()
    plan = player.plan("--refresh", "orders=new-only")
    assert "2 rows of 1 file leave the table" in str(plan["changes"])
    player.apply("--refresh", "orders=new-only")
    assert player.rows("shop.orders") == []
    store.put("b.csv", "id,n\n3,1\n")
    player.apply()
    assert ids(player) == [3]
    assert player.run("verify", "orders").code == 0


@pytest.mark.slow
def test_rollback_takes_table_and_ledger_back_to_a_run(player: Player, store: Store) -> None:
    store.put("a.csv", "id,n\n1,1\n")
    infer(player, store)
    player.apply()
    [first] = player.run("runs", "--format", "json").json["runs"]
    store.put("b.csv", "id,n\n2,1\n")
    player.apply()
    assert ids(player) == [1, 2]
    assert player.run("rollback", "orders", "--to-run", first["run_id"]).code == 1
    said = player.run("rollback", "orders", "--to-run", first["run_id"], "-y")
    assert "loaded again by the next apply" in said.out + said.err
    assert said.code == 0, said.err
    assert ids(player) == [1]
    assert work(player.plan()) == {"new": 1}
    player.apply()
    assert ids(player) == [1, 2]


def test_protect_keeps_a_table_from_being_rebuilt_or_dropped(player: Player, store: Store) -> None:
    store.put("a.csv", "id,n\n1,1\n")
    infer(player, store, "    protect: true\n    on_remove: drop")
    player.apply()
    assert player.run("plan", "--refresh", "orders=full").code == 3
    player.spec("", "specs.yml")
    player.spec("vars: {}", "autoloader.yml")
    assert player.run("plan").code == 3
    player.apply(code=3)
    assert ids(player) == [1]


def test_a_spec_that_is_gone_is_forgotten_and_its_table_stays(player: Player, store: Store) -> None:
    store.put("a.csv", "id,n\n1,1\n")
    infer(player, store)
    player.apply()
    player.spec("", "specs.yml")
    player.spec("vars: {}", "autoloader.yml")
    [change] = player.plan()["changes"]
    assert change["actions"] == ["forget"]
    player.apply()
    assert ids(player) == [1]
    assert player.run("state", "list", "--format", "json").json["ingestions"] == []


def test_a_renamed_ingestion_keeps_its_history(player: Player, store: Store) -> None:
    store.put("a.csv", "id,n\n1,1\n")
    infer(player, store)
    player.apply()
    infer(player, store, "    previous_name: orders")
    text = (player.folder / "ingestions" / "specs.yml").read_text().replace("name: orders", "name: sales", 1)
    player.spec(text)
    assert work(player.plan()) == {}
    player.apply()
    assert player.plan()["changes"] == []
    assert [row["name"] for row in player.run("state", "list", "--format", "json").json["ingestions"]] == ["sales"]
    assert ids(player) == [1]


@pytest.mark.slow
def test_on_delete_keeps_rows_or_takes_them_out(player: Player, store: Store) -> None:
    for name in "abc":
        store.put(f"{name}.csv", f"id,n\n{ord(name)},1\n")
    infer(player, store)
    player.apply()
    store.delete("a.csv")
    player.apply()
    assert len(ids(player)) == 3
    [row] = player.run("files", "orders", "--state", "MISSING", "--format", "json").json["files"]
    assert row["file_path"].endswith("a.csv")
    infer(player, store, source=", on_delete: delete_rows")
    player.apply()
    assert ids(player) == [ord("b"), ord("c")]
    assert player.run("verify", "orders").code == 0


@pytest.mark.slow
def test_one_bad_file_stops_no_other_and_is_quarantined_in_the_end(player: Player, store: Store) -> None:
    store.put("good.parquet.csv", "id,n\n1,1\n")
    store.put("bad.csv.gz", b"\x1f\x8b\x08\x00truncated")
    infer(player, store)
    player.apply()
    assert ids(player) == [1]
    states = {row["state"] for row in player.run("files", "orders", "--format", "json").json["files"]}
    assert "SUCCESS" in states
    assert states & {"FAILED", "QUARANTINED"}
    store.put("bad.csv.gz", "id,n\n2,1\n")
    player.apply()
    assert ids(player) == [1, 2]


@pytest.mark.slow
def test_scenario_10_a_new_column_is_added_and_null_in_old_rows(player: Player, store: Store) -> None:
    store.put("a.csv", "id,n\n1,1\n")
    infer(player, store)
    player.apply()
    store.put("b.csv", "id,n,extra\n2,1,x\n")
    plan = player.plan()
    assert work(plan) == {"new": 1}
    assert any("schema" in change["actions"] for change in plan["changes"])
    player.apply()
    assert {row["id"]: row["extra"] for row in player.rows("shop.orders")} == {1: None, 2: "x"}
    assert player.plan()["changes"] == []


@pytest.mark.slow
def test_scenario_10_the_plan_names_the_files_that_have_a_new_column_and_prices_each_way(
    player: Player, store: Store
) -> None:
    columns = "{name: id, type: long}, {name: n, type: long}"
    store.put("a.csv", "id,n\n1,1\n")
    store.put("b.csv", "id,n,extra\n2,1,x\n")
    store.put("c.csv", "id,n\n3,1\n")
    declare(player, store, columns, "new_columns: ignore")
    player.apply()
    declare(player, store, columns + ", {name: extra, type: string}", "new_columns: ignore")
    notes = " ".join(player.plan()["notes"])
    assert "column extra: 1 of 3 loaded files has it" in notes
    [selector] = {word for word in notes.split() if word.startswith("orders=schema:")}
    assert work(player.plan("--reingest", selector)) == {"reingest": 1}
    player.apply()
    assert {row["id"]: row["extra"] for row in player.rows("shop.orders")} == {1: None, 2: None, 3: None}
    player.apply("--reingest", selector)
    assert {row["id"]: row["extra"] for row in player.rows("shop.orders")} == {1: None, 2: "x", 3: None}


@pytest.mark.slow
def test_the_report_of_a_refresh_names_the_plan_s_steps_with_what_they_came_to(
    player: Player, local_store: LocalStore
) -> None:
    local_store.put("a.csv", "id,n\n1,10\n2,20\n")
    local_store.put("b.csv", "id,n\n3,30\n")
    infer(player, local_store)
    player.apply()
    local_store.delete("b.csv")
    local_store.put("c.csv", "id,n\n4,40\n5,50\n")
    [change] = player.plan("--refresh", "orders=full")["changes"]
    done = player.report("--refresh", "orders=full")["operations"]
    assert [step["operation"] for step in done] == [step["operation"] for step in change["operations"]]
    assert {step["status"] for step in done} == {"done"}
    details = {step["operation"]: step["details"] for step in done}
    assert (details["run_triggered"]["files"], details["run_triggered"]["rows"]) == (2, 4)
    assert details["branch_compared"] == {"rows_before": 3, "rows_after": 4}
    assert details["processed_files_cleared"] == {"rows": 3, "files": 2}


def test_a_refresh_that_fails_says_at_which_step(player: Player, local_store: LocalStore) -> None:
    local_store.put("a.csv", "id,n\n1,10\n2,20\n")
    infer(player, local_store)
    player.apply()
    local_store.put("a.csv", b"\x1f\x8b\x08 cut off")
    done = player.report("--refresh", "orders=full", code=6)["operations"]
    assert [(step["operation"], step["status"]) for step in done] == [
        ("branch_created", "done"),
        ("run_triggered", "done"),
        ("branch_compared", "failed"),
    ]
    assert "the old table is served as before" in done[-1]["details"]["error"]
    assert ids(player) == [1, 2]


@pytest.mark.slow
def test_data_files_written_anew_for_a_replaced_or_a_gone_file_are_priced_and_paid(
    player: Player, local_store: LocalStore
) -> None:
    for number in range(8):  # more files than tasks: they share data files
        local_store.put(f"{number}.csv", f"id,n\n{number},1\n{number + 10},1\n")
    player.spec("prices: {usd_per_gb: 1000000}", "autoloader.yml")
    infer(player, local_store, source=", on_delete: delete_rows")
    player.apply()
    files = Path(player.folder / ".autoloader" / "warehouse").rglob("*.parquet")
    sizes = sorted(path.stat().st_size for path in files)
    local_store.put("3.csv", "id,n\n33,1\n")
    [change] = player.plan()["changes"]
    [rewrite] = [each for each in change["operations"] if each["operation"] == "data_files_rewritten"]
    assert rewrite["details"]["bytes"] in sizes
    priced = Decimal(str(change["impact"]["estimated_cost_usd"]["expected"]))
    loaded_bytes = len("id,n\n33,1\n")
    assert priced == pytest.approx(Decimal(rewrite["details"]["bytes"] + loaded_bytes) / 1000, rel=Decimal("0.001"))
    player.apply()
    paid = [run["cost_usd"] for run in player.run("runs", "--format", "json").json["runs"]][-1]
    assert Decimal(str(paid["actual"])) == pytest.approx(priced, rel=Decimal("0.001"))
    assert Decimal(str(paid["estimated"])) == pytest.approx(priced, rel=Decimal("0.001"))

    local_store.delete("5.csv")
    [change] = player.plan()["changes"]
    assert [each["operation"] for each in change["operations"]] == ["rows_removed", "data_files_rewritten"]
    about = change["operations"][1]["details"]["bytes"]
    player.apply()
    paid = [run["cost_usd"] for run in player.run("runs", "--format", "json").json["runs"]][-1]
    assert Decimal(str(paid["actual"])) == pytest.approx(Decimal(about) / 1000, rel=Decimal("0.001"))
    assert ids(player) == [0, 1, 2, 4, 6, 7, 10, 11, 12, 14, 16, 17, 33]
    player.no_changes()
