"""The six groups of planned features, each played through the commands on both storages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.clock import Clock
from tests.playing import Player, Store, work

SPEC = """
    name: events
    source: {{path: "{root}"{source}}}
    destination: {{table: lake.events}}
{more}
"""
DATED = ', path_date: "{Y}-{m}-{d}"'


def declare(player: Player, store: Store, source: str = "", more: str = "") -> None:
    player.spec(SPEC.format(root=store.root, source=source, more=more))


def put(store: Store, key: str, *ids: int, header: str = "id,n") -> None:
    store.put(key, f"{header}\n" + "".join(f"{number},1{',x' * (header.count(',') - 1)}\n" for number in ids))


def ids(player: Player) -> list[int]:
    return sorted(row["id"] for row in player.rows("lake.events"))


def lanes(player: Player) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = player.run("status", "--format", "json").json["ingestions"][0]["lanes"]
    return found


@pytest.mark.slow
def test_group_backfill_a_range_is_loaded_slice_by_slice_and_then_switches_to_incremental_by_itself(
    player: Player, store: Store, at: Clock
) -> None:
    for number, day in enumerate(["2019-05-01", "2020-05-01", "2021-05-01", "2022-05-01"]):
        put(store, f"{day}.csv", number)
    paced = "    backfill: {from: 2020-01-01, through: 2021-12-31, step: 1 year, every: 1 day, order: newest}"
    declare(player, store, DATED, paced)
    declared = (player.folder / "ingestions" / "specs.yml").read_text()
    player.apply()
    assert ids(player) == [2, 3]
    backfill = lanes(player)["backfill"]
    assert (backfill["state"], backfill["files_done"], backfill["files_total"]) == ("running", 1, 2)
    assert backfill["bytes_done"] < backfill["bytes_total"]  # type: ignore[operator]
    assert [piece["state"] for piece in backfill["slices"]] == ["pending", "complete"]  # type: ignore[attr-defined]
    assert str(backfill["eta_at"]) >= (datetime.now(UTC) + timedelta(hours=23)).isoformat()
    [offline] = player.run("status", "--offline", "--format", "json").json["ingestions"]
    assert (offline["lanes"]["backfill"]["files_done"], offline["lanes"]["backfill"]["files_total"]) == (1, 2)
    assert (offline["lanes"]["live"]["files_done"], offline["lanes"]["live"]["files_total"]) == (1, None)
    at.move(days=1, minutes=1)
    player.apply()
    assert ids(player) == [1, 2, 3]
    assert lanes(player)["backfill"]["state"] == "complete"
    assert (player.folder / "ingestions" / "specs.yml").read_text() == declared
    put(store, "2022-05-02.csv", 9)
    assert work(player.plan()) == {"new": 1}
    player.apply()
    assert ids(player) == [1, 2, 3, 9]
    player.no_changes()


@pytest.mark.slow
def test_group_throttling_each_run_stays_within_its_files_and_both_lanes_go_on(player: Player, store: Store) -> None:
    for number in range(4):
        put(store, f"2020-01-0{number + 1}.csv", number)
        put(store, f"2024-01-0{number + 1}.csv", 10 + number)
    more = "    limits: {max_files: 4}\n    backfill: {from: 2020-01-01, until: 2021-01-01, share: 25%}"
    declare(player, store, DATED, more)
    plan = player.plan()
    assert sum(work(plan).values()) == 4
    assert plan["totals"]["files_by_disposition"]["deferred"] == 4
    said = player.apply()
    assert "Left for a later run: 4 files." in said.out
    assert ids(player) == [0, 10, 11, 12]
    player.apply()
    assert len(ids(player)) == 8
    player.no_changes()


@pytest.mark.slow
def test_group_reprocessing_files_are_chosen_by_pattern_date_state_schema_and_batch(
    player: Player, store: Store
) -> None:
    for number, day in enumerate(["2024-01-15", "2024-02-15", "2024-03-15", "2024-04-15"]):
        put(store, f"{day}.csv", number)
    declare(player, store, DATED)
    player.apply()
    [row] = player.run("files", "events", "--match", "2024-01-*", "--format", "json").json["files"]
    chosen = {
        "2024-0[12]-*.csv": 2,
        "dates:2024-01-01..2024-04-01": 3,
        "state:SUCCESS": 4,
        f"batch:{row['batch']}": 4,
    }
    for selector, number in chosen.items():
        assert work(player.plan("--reingest", f"events={selector}")) == {"reingest": number}, selector
    player.apply("--reingest", "events=dates:2024-01-01..2024-04-01")
    assert ids(player) == [0, 1, 2, 3]
    asked = '    reingest: [{match: "2024-04-*", request: INC-1, reason: corrupt}]'
    declare(player, store, DATED, asked)
    assert work(player.plan()) == {"reingest": 1}
    player.apply()
    player.no_changes()
    assert ids(player) == [0, 1, 2, 3]
    assert player.run("verify", "events").code == 0


@pytest.mark.slow
def test_group_schemas_each_file_has_its_version_and_only_those_with_the_column_load_again(
    player: Player, store: Store
) -> None:
    put(store, "1.csv", 1)
    put(store, "2.csv", 2, header="id,n,extra")
    columns = "{name: id, type: long}, {name: n, type: long}"
    declare(player, store, more=f"    schema: {{new_columns: ignore, columns: [{columns}]}}")
    player.apply()
    files = player.run("files", "events", "--format", "json").json["files"]
    assert len({row["fingerprint"] for row in files}) == 2
    assert len({row["schema_version"] for row in files}) == 2
    [wide] = [row for row in files if row["file_path"].endswith("2.csv")]
    wanted = f"events=schema:{wide['schema_version']}"
    declare(player, store, more=f"    schema: {{columns: [{columns}, {{name: extra, type: string}}]}}")
    plan = player.plan("--reingest", wanted)
    assert work(plan) == {"reingest": 1}
    player.apply("--reingest", wanted)
    assert {row["id"]: row["extra"] for row in player.rows("lake.events")} == {1: None, 2: "x"}
    versions = player.run("state", "show", "events", "--format", "json").json["schema_versions"]
    of_files = [each for each in versions if each["of"] == "files"]
    assert sorted(("extra" in each["columns"], each["affected_files"]) for each in of_files) == [(False, 1), (True, 1)]
    assert "auto_merge" in {each["resolution_type"] for each in versions if each["of"] == "table"}
    assert "of 1 file: " in player.run("state", "show", "events").out
    assert player.run("verify", "events").code == 0


@pytest.mark.slow
def test_group_globs_take_exactly_the_files_that_they_name(player: Player, store: Store) -> None:
    for number, key in enumerate(["a/1.csv", "a/b/2.csv", "c/3.csv", "c/x4.csv", "d1/5.csv", "d2/6.csv", "7.csv"]):
        put(store, key, number + 1)
    taken = {
        "**/*.csv": [1, 2, 3, 4, 5, 6, 7],
        "*/*.csv": [1, 3, 4, 5, 6],
        "a/**": [1, 2],
        "{a,c}/*.csv": [1, 3, 4],
        "d[!1]/*.csv": [6],
        "c/?.csv": [3],
        "*.csv": [7],
    }
    for pattern, expected in taken.items():
        declare(player, store, f', include: ["{pattern}"]')
        assert work(player.plan()) == {"new": len(expected)}, pattern
    declare(player, store, ', include: ["**/*.csv"], exclude: ["c/**", "d[12]/*"]')
    player.apply()
    assert ids(player) == [1, 2, 7]


def test_group_monitoring_runs_events_costs_and_progress_tell_the_same(player: Player, store: Store) -> None:
    put(store, "2020-01-01.csv", 1)
    put(store, "2024-01-01.csv", 2, 3)
    declare(player, store, DATED, "    backfill: {from: 2020-01-01, until: 2021-01-01}")
    report = player.report("--events", "events.ndjson")
    runs = player.run("runs", "--format", "json").json["runs"]
    assert {run["lane"]: (run["state"], run["files"], run["rows"]) for run in runs} == {
        "live": ("complete", 1, 2),
        "backfill": ("complete", 1, 1),
    }
    assert [run["run_id"] for run in runs] == report["runs"]
    for run in runs:
        assert run["started_at"] <= run["finished_at"]
        assert run["cost_usd"]["actual"] is not None
        shown = player.run("show", run["run_id"], "--format", "json").json
        assert [batch["state"] for batch in shown["batches"]] == ["recorded"]
        assert shown["problems"] == []
        assert run["run_id"] in player.run("show", run["run_id"]).out
    events = [json.loads(line) for line in (player.folder / "events.ndjson").read_text().splitlines()]
    assert {event["run_id"] for event in events if event["event"] == "run_started"} == {r["run_id"] for r in runs}
    done = lanes(player)
    assert done["backfill"]["state"] == done["live"]["state"] == "complete"
    cost = player.run("cost", "events", "--format", "json").json
    assert len(cost["runs"]) == 2
