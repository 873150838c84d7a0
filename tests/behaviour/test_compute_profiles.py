"""Compute profiles reach Spark: each lane's cores and conf, in one apply; and no Spark for a plan that is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from autoloader.engine import start_in_background
from autoloader.project.computing import Engines
from autoloader.spec import Settings
from tests.playing import LocalStore, Player

SPEC = """
    name: events
    source: {path: in/, path_date: "{Y}"}
    destination: {table: lake.events}
    backfill: {from: 2015-01-01, until: 2020-01-01}
    compute: {live: wide, backfill: narrow}
"""
SETTINGS = """
    spark: {engine: local}
    compute:
      wide: {cores: 2}
      narrow: {cores: 2, conf: {spark.default.parallelism: 1}}
"""


@pytest.mark.slow
@pytest.mark.jvm
def test_each_lane_is_loaded_by_a_spark_of_its_own_profile(project_dir: Path, local_store: LocalStore) -> None:
    player = Player(project_dir)
    for year in (2016, 2017, 2018, 2019, 2021, 2022, 2023, 2024):
        local_store.put(f"{year}.csv", f"year\n{year}\n")
    player.spec(SPEC)
    player.spec(SETTINGS, "autoloader.yml")
    said = player.command("apply", "-y")
    assert said.code == 0, said.err
    assert sorted(row["year"] for row in player.rows("lake.events")) == [2016, 2017, 2018, 2019, 2021, 2022, 2023, 2024]
    # two tasks at once write two data files; with a parallelism of one there is one for the whole slice
    assert data_files(player, "lake.events") == Counter({"live": 2, "backfill": 1})


def data_files(player: Player, table: str) -> Counter[str]:
    """Data files of a table per lane of the runs that added them."""
    from pyiceberg.catalog.sql import SqlCatalog

    runs = player.run("runs", "--format", "json").json["runs"]
    lanes = {run["snapshot_id"]: run["lane"] for run in runs}
    catalog = SqlCatalog("lake", uri=f"sqlite:///{player.folder}/.autoloader/catalog.db")
    try:
        entries = catalog.load_table(table).inspect.entries().to_pylist()
    finally:
        catalog.engine.dispose()
    return Counter(lanes[entry["snapshot_id"]] for entry in entries)


class Started:
    """Stands for Spark's start: remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int | None, dict[str, str]]] = []
        self.stopped = 0

    def __call__(self, settings: Any, kind: str | None, *, cores: int | None, conf: dict[str, str]) -> Started:
        self.asked.append((cores, conf))
        return self

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    fake = Started()
    monkeypatch.setattr("autoloader.engine.start_in_background", fake)
    assert start_in_background is not fake
    return fake


COMPUTE = {"default": {"usd_per_hour": 1}, "cheap": {"usd_per_hour": 0.5}, "small": {"cores": 1, "conf": {"a": "b"}}}


def test_profiles_that_differ_in_price_alone_share_an_engine(started: Started) -> None:
    engines = Engines(Settings.model_validate({"compute": COMPUTE}), None, print)
    engines.begin("default")
    engines.switch("cheap")
    engines.begin("cheap")
    assert started.asked == [(None, {})]
    engines.begin("small")
    assert started.asked[1:] == [(1, {"a": "b"})]
    assert started.stopped == 1


@pytest.mark.parametrize("words", [("--max-usd", "0.0000001"), ()])
def test_no_spark_starts_for_a_plan_that_a_guardrail_refuses(
    project_dir: Path, local_store: LocalStore, started: Started, words: tuple[str, ...]
) -> None:
    player = Player(project_dir)
    local_store.put("2024.csv", "year\n2024\n" * 1000)
    player.spec(SPEC)
    player.spec(SETTINGS + ("" if words else "    guardrails: {max_bytes: 100B}\n"), "autoloader.yml")
    assert player.run("apply", "-y", *words).code == 3
    assert started.asked == []
