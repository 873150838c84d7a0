"""Scenarios 7 and 9, limits, schedules and lanes, on real Spark and real tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autoloader.project import Project, backfilling
from tests.playing import Player, Store, work

SPEC = """
    name: events
    source: {{path: "{root}", path_date: "year={{Y}}/{{m}}.csv"}}
    destination: {{table: lake.events}}
{more}
"""
TEN_YEARS = """    backfill: {from: 2015-01-01, until: 2018-01-01, step: 1 year, every: 1 week}"""


def put_months(store: Store, *months: str) -> None:
    for month in months:
        year, number = month.split("-")
        store.put(f"year={year}/{number}.csv", f"month,n\n{month},1\n")


def declare(player: Player, store: Store, more: str = "") -> None:
    player.spec(SPEC.format(root=store.root, more=more))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Clock:
    """The project's clock, which a test may move."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta(0)
        patch.setattr(Project, "clock", lambda _: datetime.now(UTC) + self.ahead)

    def move(self, **by: float) -> None:
        self.ahead += timedelta(**by)


def months(player: Player) -> list[str]:
    return sorted(str(row["month"]) for row in player.rows("lake.events"))


@pytest.mark.slow
def test_an_ingestion_that_is_removed_while_its_progress_is_looked_at_stays_removed(
    player: Player, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_months(store, "2015-01")
    declare(player, store, TEN_YEARS)
    look_at = backfilling.look_at

    def removed_meanwhile(*arguments: Any) -> Any:
        Project("ingestions").ledger.forget("events", now=datetime.now(UTC))
        return look_at(*arguments)

    monkeypatch.setattr(backfilling, "look_at", removed_meanwhile)
    player.apply()
    assert Project("ingestions").ledger.ingestion("events") is None


@pytest.mark.slow
def test_scenario_7_years_are_loaded_slice_by_slice_one_a_week_and_then_incrementally(
    player: Player, store: Store, at: Clock
) -> None:
    put_months(store, "2014-05", "2015-01", "2015-12", "2016-02", "2017-03", "2018-01")
    declare(player, store, TEN_YEARS)
    player.apply()
    assert months(player) == ["2015-01", "2015-12", "2018-01"]
    player.apply()
    assert months(player) == ["2015-01", "2015-12", "2018-01"]
    lane = player.run("status", "--format", "json").json["ingestions"][0]["lanes"]["backfill"]
    assert (lane["state"], lane["files_done"], lane["files_total"]) == ("running", 2, 4)
    at.move(days=8)
    player.apply()
    assert "2016-02" in months(player)
    at.move(days=8)
    player.apply()
    assert months(player) == ["2015-01", "2015-12", "2016-02", "2017-03", "2018-01"]
    lane = player.run("status", "--format", "json").json["ingestions"][0]["lanes"]["backfill"]
    assert (lane["state"], lane["files_done"], lane["files_total"]) == ("complete", 4, 4)
    put_months(store, "2018-02")
    player.apply()
    assert "2018-02" in months(player)
    assert not any("2014" in month for month in months(player))


@pytest.mark.slow
def test_scenario_7_a_late_file_reopens_its_slice_only(player: Player, store: Store, at: Clock) -> None:
    put_months(store, "2015-01", "2016-02")
    declare(player, store, "    backfill: {from: 2015-01-01, until: 2017-01-01, step: 1 year}")
    player.apply()
    player.apply()
    assert months(player) == ["2015-01", "2016-02"]
    put_months(store, "2015-07")
    plan = player.plan()
    assert work(plan) == {"late": 1}
    player.apply()
    assert months(player) == ["2015-01", "2015-07", "2016-02"]


@pytest.mark.slow
def test_scenario_9_limits_bound_a_run_and_the_rest_waits(player: Player, store: Store) -> None:
    put_months(store, *(f"2020-{month:02d}" for month in range(1, 8)))
    declare(player, store, "    limits: {max_files: 3}")
    said = player.apply()
    assert len(months(player)) == 3
    assert "Left for a later run: 4 files." in said.out
    player.apply()
    player.apply()
    assert len(months(player)) == 7
    assert player.plan()["changes"] == []


def test_scenario_9_a_guardrail_refuses_a_plan_that_costs_too_much(player: Player, store: Store) -> None:
    put_months(store, "2020-01")
    declare(player, store)
    player.spec("guardrails: {max_files: 0}\n", "autoloader.yml")
    assert player.run("plan").code == 3
    player.apply(code=3)
    assert player.run("plan", "--max-usd", "0.0000000001").code == 3
    player.spec("prices: {usd_per_gb: null}\n", "autoloader.yml")
    unknown = player.plan("--max-usd", "5")
    assert unknown["totals"]["estimated_cost_usd"] is None
    assert player.run("plan", "--max-usd", "5").code == 3


def test_scenario_9_actual_seconds_and_money_stand_beside_the_estimate(player: Player, store: Store) -> None:
    put_months(store, "2020-01")
    declare(player, store)
    player.apply()
    [run] = player.run("runs", "--format", "json").json["runs"]
    assert run["cost_usd"]["estimated"] is not None
    assert run["cost_usd"]["actual"] is not None
    assert (run["state"], run["files"], run["rows"]) == ("complete", 1, 1)
    cost = player.run("cost", "events", "--format", "json").json
    [paid] = cost["runs"]
    assert paid["actual_seconds"] > 0
    for error, of in (("error_percent", "usd"), ("time_error_percent", "seconds")):
        estimated, actual = float(paid[f"estimated_{of}"]), float(paid[f"actual_{of}"])
        assert paid[error] == pytest.approx((estimated / actual - 1) * 100, abs=0.06)
    said = player.run("cost", "events").out
    assert "cost error" in said
    assert "time error" in said


def test_due_ingestions_run_and_others_wait(player: Player, store: Store, at: Clock) -> None:
    put_months(store, "2020-01")
    declare(player, store, "    schedule: {every: 1 day}")
    player.apply("--due")
    assert months(player) == ["2020-01"]
    put_months(store, "2020-02")
    player.apply("--due")
    assert months(player) == ["2020-01"]
    at.move(days=1, minutes=1)
    player.apply("--due")
    assert months(player) == ["2020-01", "2020-02"]


def test_events_tell_each_step_of_each_batch(player: Player, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_months(store, "2020-01", "2020-02")
    monkeypatch.setenv("AUTOLOADER_BATCH_FILES", "1")
    declare(player, store)
    player.apply("--events", "events.ndjson")
    events = [json.loads(line)["event"] for line in (player.folder / "events.ndjson").read_text().splitlines()]
    one = ["batch_claimed", "batch_written", "batch_committed", "batch_recorded"]
    assert [event for event in events if event.startswith("batch")] == one * 2
    assert events[0] == "apply_started"
    assert events[-1] == "apply_finished"
    player.apply("--events", "nothing.ndjson")
    nothing = (player.folder / "nothing.ndjson").read_text().splitlines()
    assert [json.loads(line)["event"] for line in nothing] == ["apply_started", "apply_finished"]


def test_editing_description_owner_or_tags_loads_nothing(player: Player, store: Store) -> None:
    put_months(store, "2020-01")
    declare(player, store)
    player.apply()
    declare(player, store, "    description: all events\n    owner: me@example.com\n    tags: [a]")
    plan = player.plan()
    assert work(plan) == {}
    [change] = plan["changes"]
    assert change["reason"] == "metadata_changed"
    player.apply()
    assert player.plan()["changes"] == []
