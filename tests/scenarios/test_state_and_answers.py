"""State surgery, locks, verify, why, guardrails, limits and the smaller options, through the commands."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from autoloader.apply import Recovered, Step
from autoloader.errors import StateLostError
from autoloader.ledger import Ledger
from tests.clock import Clock
from tests.orders import SPEC, declare, ids, last_run, put
from tests.playing import LocalStore, Player, work


def lake(player: Player) -> Any:
    from pyiceberg.catalog.sql import SqlCatalog

    return SqlCatalog("lake", uri=f"sqlite:///{player.folder}/.autoloader/catalog.db")


# ------------------------------------------------------------------ state, locks, verify


def test_state_is_listed_shown_renamed_forgotten_and_adopted_again(player: Player, local_store: LocalStore) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    [listed] = player.run("state", "list", "--format", "json").json["ingestions"]
    assert (listed["name"], listed["files"], listed["files_by_state"]) == ("orders", 1, {"SUCCESS": 1})
    assert player.run("state", "mv", "orders", "sales").code == 0
    text = (player.folder / "ingestions" / "specs.yml").read_text()
    player.spec(text.replace("name: orders", "name: sales", 1))
    player.no_changes()
    shown = player.run("state", "show", "sales", "--format", "json").json
    assert "renamed" in json.dumps(shown["audit"])
    said = player.run("state", "show", "sales").out
    assert "id long, n long" in said, "the table's columns, as a person writes them"
    assert "of 1 file: id, n\n" in said, "a CSV file's columns have no types"
    assert "{" not in said
    put(local_store, "b.csv", 2)
    player.apply()
    assert ids(player) == [1, 2]
    assert player.run("state", "rm", "sales").code == 1, "it asks, and there is nobody to answer"
    assert player.run("state", "rm", "sales", "-y").code == 0
    assert player.run("plan").code == 3, "the table holds rows that nobody remembers"
    assert player.run("state", "adopt", "sales", "-y").code == 0
    player.no_changes()
    assert player.run("verify", "sales").code == 0
    assert player.run("state", "show", "nobody").code == 1


@pytest.mark.slow
def test_a_lock_is_listed_keeps_others_out_and_is_broken_with_a_reason(player: Player, local_store: LocalStore) -> None:
    from autoloader.ledger import open_ledger

    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "b.csv", 2)
    ledger = open_ledger(f"sqlite:///{player.folder}/.autoloader/state.db")
    lease = ledger.acquire("orders", "alone", "ann@elsewhere:1", 3600, datetime.now(UTC))
    [lock] = player.run("locks", "list", "--format", "json").json["locks"]
    assert (lock["id"], lock["holder"], lock["live"]) == (lease.id, "ann@elsewhere:1", True)
    said = player.run("apply", "-y")
    assert said.code == 5
    assert f"locks break {lease.id}" in said.err
    assert player.run("rollback", "orders", "--to-run", "x", "-y").code in (1, 5)
    assert ids(player) == [1]
    assert player.run("locks", "break", lease.id).code != 0, "a reason is needed"
    assert player.run("locks", "break", lease.id, "--reason", "ann is on holiday").code == 0
    player.apply()
    assert ids(player) == [1, 2]
    assert "on holiday" in json.dumps(player.run("state", "show", "orders", "--format", "json").json["audit"])


def test_verify_finds_lost_doubled_and_foreign_rows(player: Player, local_store: LocalStore) -> None:
    put(local_store, "a.csv", 1, 2)
    put(local_store, "b.csv", 3)
    declare(player, local_store)
    player.apply()
    assert player.run("verify", "orders").code == 0
    table = lake(player).load_table("shop.orders")
    rows = table.scan().to_arrow()
    table.append(rows.slice(0, 1))
    said = player.run("verify", "orders", "--format", "json")
    assert said.code == 1
    assert [each["violation"] for each in said.json["violations"]] == ["row counts differ"]
    lake(player).load_table("shop.orders").delete("id = 3")
    found = player.run("verify", "orders", "--format", "json").json["violations"]
    assert "the ledger has rows of it, the table has none" in {each["violation"] for each in found}
    assert {each["file_path"].rsplit("/", 1)[1] for each in found} >= {"b.csv"}


# ------------------------------------------------------------------ why, status, plan's forms


def test_why_says_who_takes_a_file_and_why_nobody_does(player: Player, local_store: LocalStore) -> None:
    put(local_store, "a.csv", 1)
    put(local_store, "_b.csv", 2)
    put(local_store, "x/c.csv", 3)
    put(local_store, "d.txt", 4)
    declare(player, local_store, ', include: ["**/*.csv"], exclude: ["x/**"]')
    expected = {
        "a.csv": "never seen",
        "_b.csv": "hidden",
        "x/c.csv": "exclude pattern",
        "d.txt": "no include pattern",
        "gone.csv": "not in storage",
    }
    for key, reason in expected.items():
        said = player.run("why", local_store.root + key)
        assert said.code == 0
        assert reason in said.out, said.out
    player.apply()
    [told] = player.run("why", "in/a.csv", "--format", "json").json["ingestions"]
    assert (told["ingestion"], told["disposition"], told["state"], told["rows"]) == ("orders", "done", "SUCCESS", 1)
    assert len(told["history"]) == 1
    assert "No ingestion looks there" in player.run("why", "/elsewhere/z.csv").out


def test_a_plan_offline_looks_at_nothing_and_refresh_only_changes_nothing(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "b.csv", 2)
    offline = player.plan("--offline")
    assert (offline["mode"], offline["complete"]) == ("offline", False)
    assert work(offline) == {}
    declare(player, local_store, more="    description: orders of the shop")
    assert [change["reason"] for change in player.plan("--offline")["changes"]] == ["metadata_changed"]
    lake(player).load_table("shop.orders").delete("id = 1")
    drifted = player.plan("--refresh-only")
    assert drifted["mode"] == "refresh-only"
    assert drifted["changes"] == []
    assert drifted["drift"]


def test_one_plan_has_three_lengths_and_its_json_beside_it(player: Player, local_store: LocalStore) -> None:
    for number in range(30):
        put(local_store, f"{number:02d}.csv", number)
    declare(player, local_store)
    short = player.run("plan", "--summary", "--json-into", "plan.json").out
    usual = player.run("plan").out
    full = player.run("plan", "--full").out
    assert len(short) < len(usual) < len(full)
    assert all(f"{number:02d}.csv" in full for number in range(30))
    assert "Plan: 1 to create" in short
    plan = json.loads((player.folder / "plan.json").read_text())
    assert plan["format_version"] == "1.0"
    assert plan["changes"][0]["ingestion"] == "orders"


def test_ingestions_are_selected_by_tag(player: Player, local_store: LocalStore) -> None:
    put(local_store, "one/a.csv", 1)
    put(local_store, "two/b.csv", 2)
    player.spec(f"name: one\nsource: {{path: {local_store.root}one/}}\ndestination: {{table: t.one}}\ntags: [x]\n")
    player.spec(f"name: two\nsource: {{path: {local_store.root}two/}}\ndestination: {{table: t.two}}\n", "two.yml")
    assert [change["ingestion"] for change in player.plan("--select", "tag:x")["changes"]] == ["one"]
    player.apply("--select", "tag:x")
    assert [change["ingestion"] for change in player.plan()["changes"]] == ["two"]
    assert player.run("plan", "--select", "tag:nothing").code == 1
    assert player.run("plan", "--select", "tow").code == 1


# ------------------------------------------------------------------ guardrails, limits, profiles, resume


@pytest.mark.slow
def test_a_guardrail_warns_before_it_denies(player: Player, local_store: LocalStore) -> None:
    for number in range(3):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store)
    player.spec("guardrails: {max_files: {warn: 2, deny: 5}}\n", "autoloader.yml")
    plan = player.plan()
    assert [(rail["level"], rail["passed"]) for rail in plan["guardrails"]] == [("warn", False), ("deny", True)]
    player.apply()
    assert len(ids(player)) == 3
    for number in range(3, 10):
        put(local_store, f"{number}.csv", number)
    assert player.run("plan").code == 3
    player.apply(code=3)
    assert len(ids(player)) == 3
    player.spec("guardrails: {max_replaced_percent: 50}\n", "autoloader.yml")
    player.apply()
    for number in range(6):
        put(local_store, f"{number}.csv", number, 100 + number)
    assert player.run("plan").code == 3


@pytest.mark.slow
def test_limits_of_bytes_money_and_time_leave_the_rest_for_later_and_all_is_loaded_in_the_end(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        put(local_store, f"{number}.csv", *range(number * 50, number * 50 + 50))
    size = (player.folder / "in" / "5.csv").stat().st_size
    declare(player, local_store, more=f"    limits: {{max_bytes: {2 * size}B}}")
    player.apply()
    first = len(ids(player))
    assert 0 < first < 300
    monkeypatch.setenv("AUTOLOADER_BATCH_FILES", "1")
    declare(player, local_store, more="    limits: {max_duration: 1s}")
    player.spec("prices: {usd_per_gb: 1000000}\n", "autoloader.yml")
    said = player.run("apply", "-y")
    assert said.code == 0, said.err
    declare(player, local_store, more="    limits: {max_usd: 0.0001}")
    for _ in range(8):
        said = player.run("apply", "-y")
        assert said.code == 0, said.err + said.out
    assert len(ids(player)) == 300
    player.apply("--refresh", "orders=full")  # all or nothing: the plan has shown it whole
    assert len(ids(player)) == 300
    assert player.run("verify", "orders").code == 0


def test_each_lane_is_priced_and_recorded_with_its_own_compute_profile(player: Player, local_store: LocalStore) -> None:
    put(local_store, "2020-01-01.csv", 1)
    put(local_store, "2024-01-01.csv", 2)
    more = "    backfill: {from: 2020-01-01, until: 2021-01-01}\n    compute: {live: big, backfill: small}"
    declare(player, local_store, ', path_date: "{Y}-{m}-{d}"', more)
    player.spec("compute: {big: {usd_per_hour: 3600}, small: {usd_per_hour: 36}}\n", "autoloader.yml")
    player.apply()
    runs = {run["lane"]: run for run in player.run("runs", "--format", "json").json["runs"]}
    for lane, dollars_per_second in (("live", 1.0), ("backfill", 0.01)):
        run = runs[lane]
        assert run["cost_usd"]["actual"] == pytest.approx(run["seconds"]["actual"] * dollars_per_second, rel=0.01)


def _stop_after_the_first_batch(monkeypatch: pytest.MonkeyPatch, stops: str = "batch_recorded") -> None:
    """As the first Ctrl-C does: the batch in hand is finished, then the apply stops."""
    from autoloader.apply.report import Events

    send = Events.send

    def sent(events: Events, event: str, **details: Any) -> None:
        send(events, event, **details)
        if event == stops:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Events, "send", sent)


def test_an_interrupted_run_is_resumed_by_its_id(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        put(local_store, f"{number}.csv", number)
    monkeypatch.setenv("AUTOLOADER_BATCH_FILES", "1")
    declare(player, local_store)
    _stop_after_the_first_batch(monkeypatch)
    said = player.run("apply", "-y")
    assert said.code == 6, said.out + said.err
    assert ids(player) == [0]
    run = player.run("runs", "--format", "json").json["runs"][-1]
    assert run["state"] == "incomplete"
    monkeypatch.undo()
    monkeypatch.chdir(player.folder)
    assert player.run("apply", "--resume", run["run_id"]).code == 0
    assert ids(player) == [0, 1, 2, 3]
    assert player.run("apply", "--resume", "nothing").code == 1


def _interrupted(
    player: Player, store: LocalStore, monkeypatch: pytest.MonkeyPatch, source: str = "", more: str = ""
) -> str:
    """Four files of which the first is loaded; the id of the run that was stopped there."""
    for number in range(4):
        put(store, f"{number}.csv", number)
    declare(player, store, source, more)
    with monkeypatch.context() as patched:
        patched.setenv("AUTOLOADER_BATCH_FILES", "1")
        _stop_after_the_first_batch(patched)
        assert player.run("apply", "-y").code == 6
    assert ids(player) == [0]
    return last_run(player)


@pytest.mark.parametrize("hours", [-1000, 1000], ids=["old", "ahead"])
def test_resume_loads_what_the_run_left_and_what_came_since_whatever_their_times(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    run_id = _interrupted(player, local_store, monkeypatch)
    put(local_store, "9.csv", 9)
    at = time.time() + 3600 * hours
    os.utime(local_store.folder / "9.csv", (at, at))
    said = player.run("apply", "--resume", run_id)
    assert said.code == 0, said.err
    assert "Left for a later run" not in said.out
    assert ids(player) == [0, 1, 2, 3, 9]


def test_resume_follows_a_spec_that_was_renamed(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = _interrupted(player, local_store, monkeypatch)
    player.spec(
        f"name: sales\nprevious_name: orders\nsource: {{path: {local_store.root}}}\n"
        "destination: {table: shop.orders}\n"
    )
    said = player.run("apply", "--resume", run_id)
    assert said.code == 1
    assert "no terminal to ask on" in said.err  # a rename is more than a load
    assert ids(player) == [0]
    said = player.run("apply", "-y", "--resume", run_id)
    assert said.code == 0, said.err
    assert ids(player) == [0, 1, 2, 3]


_ASKED = "    refresh: {mode: full, request: r1}"


def _interrupted_rebuild(
    player: Player, store: LocalStore, monkeypatch: pytest.MonkeyPatch, more: str = "", *words: str
) -> str:
    """A table of three files whose rebuild was stopped after the first of them; the id of that run."""
    for number in range(3):
        put(store, f"{number}.csv", number)
    declare(player, store)
    player.apply()
    declare(player, store, more=more)
    with monkeypatch.context() as patched:
        patched.setenv("AUTOLOADER_BATCH_FILES", "1")
        _stop_after_the_first_batch(patched, "batch_committed")
        assert player.run("apply", "-y", *words).code == 6
    return last_run(player)


def test_resume_goes_on_with_the_rebuild_that_the_spec_asks_for(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = _interrupted_rebuild(player, local_store, monkeypatch, _ASKED)
    said = player.run("apply", "--resume", run_id, "--format", "json")
    assert said.code == 0, said.err
    assert "branch_swapped" in [each["operation"] for each in said.json["operations"]]
    assert ids(player) == [0, 1, 2]
    player.no_changes()


@pytest.mark.parametrize("what", ["another request", "a file less"])
def test_resume_asks_for_a_rebuild_that_is_not_the_one_of_the_run(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    run_id = _interrupted_rebuild(player, local_store, monkeypatch, _ASKED)
    if what == "another request":
        declare(player, local_store, more=_ASKED.replace("r1", "r2"))
    else:
        local_store.delete("0.csv")
    before = player.table("shop.orders")
    said = player.run("apply", "--resume", run_id)
    assert said.code == 1
    assert "changes that were not approved with the run" in said.err
    assert player.table("shop.orders") == before


def test_a_rebuild_that_only_the_command_line_asked_for_is_asked_for_again(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = _interrupted_rebuild(player, local_store, monkeypatch, "", "--refresh", "orders=full")
    said = player.run("apply", "--resume", run_id)
    assert said.code == 1
    assert f"autoloader apply --resume {run_id} --refresh orders=full" in said.err
    again = ("--resume", run_id, "--refresh", "orders=full")
    said = player.run("apply", *again)
    assert said.code == 1
    assert f"autoloader apply --auto-approve {' '.join(again)}" in said.err
    assert "branch_swapped" in [each["operation"] for each in player.report(*again)["operations"]]
    assert ids(player) == [0, 1, 2]
    said = player.run("apply", "-y", *again[:2], "--refresh", "other=full")
    assert said.code == 1
    assert "goes on with orders, and --refresh asks for other" in said.err


def test_what_recovery_settled_is_told_where_the_plan_is_refused(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = _interrupted(player, local_store, monkeypatch)
    declare(player, local_store, more=_ASKED)
    settled = Recovered([Step("orders", "batch_released", "done", 0.0, {})])
    monkeypatch.setattr("autoloader.project.applied.recover", lambda *_: settled)
    said = player.run("apply", "--resume", run_id)
    assert said.code == 1
    assert "(orders: release a batch of an earlier run); nothing else was changed" in said.err
    assert "Nothing was changed" not in said.err


@pytest.mark.parametrize("approval", [(), ("-y",)], ids=["", "approved"])
def test_resume_destroys_no_table_of_a_spec_that_is_gone(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch, approval: tuple[str, ...]
) -> None:
    run_id = _interrupted(player, local_store, monkeypatch, more="    on_remove: drop")
    player.spec(f"name: other\nsource: {{path: {local_store.root}}}\ndestination: {{table: shop.other}}\n")
    said = player.run("apply", *approval, "--resume", run_id)
    assert said.code == 1
    assert "has no spec any more" in said.err
    assert ids(player) == [0]


@pytest.mark.parametrize("what", ["a rebuild", "a gone file"])
def test_resume_asks_for_what_the_run_was_not_approved_for(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    run_id = _interrupted(player, local_store, monkeypatch, ", on_delete: delete_rows")
    if what == "a rebuild":
        declare(player, local_store, ", on_delete: delete_rows", "    refresh: {mode: full, request: again}")
    else:
        local_store.delete("0.csv")
    before = player.table("shop.orders")
    said = player.run("apply", "--resume", run_id, "--confirm", "orders")
    assert said.code == 1
    assert "no terminal to ask on" in said.err
    assert f"--auto-approve --resume {run_id}" in said.err
    assert player.table("shop.orders") == before


def test_a_complete_run_leaves_nothing_to_resume(player: Player, local_store: LocalStore) -> None:
    put(local_store, "0.csv", 0)
    declare(player, local_store)
    [run_id] = player.report()["runs"]
    put(local_store, "1.csv", 1)
    said = player.run("apply", "--resume", run_id, "--format", "json")
    assert said.code == 0
    assert said.json["operations"] == []
    assert f"Run {run_id} ended as complete; what failed or waits is for the next apply." in said.err
    assert ids(player) == [0]


def test_a_state_that_is_lost_in_the_middle_leaves_the_rest_to_the_next_apply(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store)
    record, recorded = Ledger.record, list[str]()

    def lost_at_the_third(ledger: Ledger, batch_id: str, *args: Any, **options: Any) -> Any:
        recorded.append(batch_id)
        if len(recorded) == 3:
            raise StateLostError("The connection to the state was lost.", why="server closed the connection")
        return record(ledger, batch_id, *args, **options)

    with monkeypatch.context() as patched:
        patched.setenv("AUTOLOADER_BATCH_FILES", "1")
        patched.setattr(Ledger, "record", lost_at_the_third)
        said = player.run("apply", "-y", "--format", "json")
    assert said.code == 6, said.out
    assert (said.json["totals"]["files"], said.json["totals"]["rows"]) == (2, 2)
    assert "was lost" in said.json["errors"][0]["error"]
    player.apply()
    assert ids(player) == [0, 1, 2, 3]
    assert player.run("verify", "orders").code == 0


# ------------------------------------------------------------------ which key does what, through the commands


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ("    description: all orders", "metadata_changed"),
        ("    owner: ann@example.com", "metadata_changed"),
        ("    tags: [finance, daily]", "metadata_changed"),
        ("    limits: {max_files: 5}", "spec_changed"),
        ("    schedule: {every: 1 day}", "spec_changed"),
        ("    protect: true", "spec_changed"),
        ("    destination_properties", "spec_changed"),
    ],
)
def test_editing_a_key_plans_a_change_of_the_record_and_no_load(
    player: Player, local_store: LocalStore, edit: str, reason: str
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    if edit.strip() == "destination_properties":
        text = SPEC.format(root=local_store.root, source="", more="")
        player.spec(text.replace("shop.orders}", 'shop.orders, properties: {owner.team: "shop"}}'))
    else:
        declare(player, local_store, more=edit)
    plan = player.plan()
    assert work(plan) == {}
    assert [change["reason"] for change in plan["changes"]] == [reason]
    player.apply()
    player.no_changes()
    assert ids(player) == [1]
    assert len(player.run("runs", "--format", "json").json["runs"]) == 1


def test_properties_that_leave_the_spec_leave_the_table_and_those_of_others_stay(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    text = SPEC.format(root=local_store.root, source="", more="")
    versions = "write.metadata.previous-versions-max"
    player.spec(text.replace("shop.orders}", f'shop.orders, properties: {{team: "shop", x: "1", {versions}: "5"}}}}'))
    player.apply()
    with player.iceberg("shop.orders") as table, table.transaction() as transaction:
        transaction.set_properties({"theirs": "yes"})
    player.spec(text.replace("shop.orders}", 'shop.orders, properties: {x: "2"}}'))
    assert "take properties off the table: team" in player.run("plan").out
    player.apply()
    with player.iceberg("shop.orders") as table:
        found = dict(table.properties)
    assert (found["x"], found["theirs"], found[versions]) == ("2", "yes", "20")
    assert "team" not in found
    player.no_changes()


# ------------------------------------------------------------------ the state in Postgres


@pytest.mark.slow
def test_a_whole_scenario_with_the_state_in_postgres(
    player: Player, local_store: LocalStore, fresh_postgres_url: str, monkeypatch: pytest.MonkeyPatch, at: Clock
) -> None:
    monkeypatch.setenv("AUTOLOADER_STATE", fresh_postgres_url)
    for number in range(4):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store, ", on_delete: delete_rows")
    assert work(player.plan()) == {"new": 4}
    player.apply()
    assert not (player.folder / ".autoloader" / "state.db").exists()
    player.no_changes()
    put(local_store, "0.csv", 100)
    local_store.delete("1.csv")
    local_store.put("bad.csv.gz", b"\x1f\x8b\x08\x00 no gzip at all")
    player.apply()
    assert ids(player) == [2, 3, 100]
    assert player.run("verify", "orders").code == 0
    runs = player.run("runs", "--format", "json").json["runs"]
    assert player.run("rollback", "orders", "--to-run", runs[0]["run_id"], "-y").code == 0
    assert ids(player) == [0, 1, 2, 3]
    player.apply()
    assert ids(player) == [2, 3, 100]
    assert player.run("verify", "orders").code == 0
    lanes = player.run("status", "--format", "json").json["ingestions"][0]["lanes"]
    assert lanes["live"]["files_done"] >= 3
    assert [row["name"] for row in player.run("state", "list", "--format", "json").json["ingestions"]] == ["orders"]
    assert fresh_postgres_url.split("@")[0] not in player.run("doctor").out
