"""A real command, killed with SIGKILL at a named step, then others: table and ledger are what a model says.

`make test` kills at a few steps of each story, `make faults` at every step `FAULTS` times (100 unless it is set), for
`FAULTS_MINUTES` at most, and writes what came out to `docs/reliability.md`.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import pytest

from tests.faults.mortal import KILL, TWICE, Step
from tests.faults.page import Campaign
from tests.faults.stage import Stage
from tests.faults.stories import STORIES, WrongError

TRIES = 4
FEW = 3
WORKERS = 1 + len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
ROUNDS = 12
"""Of a history of the campaign: its beginning and its end take as long as two or three."""
ON_POSTGRES = ("load", "removal", "rebuild", "recovery", "create")


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest, stage: Stage) -> Iterator[dict[str, Future[tuple[Step, ...]]]]:
    """A history of each story that is asked for, played side by side: the steps that did not kill."""
    names = [item.callspec.params["story"] for item in request.session.items if "plays" in item.fixturenames]  # type: ignore[attr-defined]
    with ThreadPoolExecutor(WORKERS) as pool:
        yield {name: pool.submit(_until_each_killed, stage, name) for name in names}


def _until_each_killed(stage: Stage, story: str) -> tuple[Step, ...]:
    """Histories of a story until a few of its steps have killed, always the same ones; those that never did."""
    steps = STORIES[story][1]
    missing = tuple(random.Random(story).sample(steps, min(FEW, len(steps))))
    for seed in range(TRIES):
        if missing:
            killed = stage.play(story, seed, wanted=missing.__contains__).killed
            missing = tuple(step for step in missing if not killed[step.name])
    return missing


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("story", STORIES)
def test_whatever_is_killed_at_whatever_step_others_reach_the_model(
    story: str, plays: dict[str, Future[tuple[Step, ...]]]
) -> None:
    assert plays[story].result() == ()


@pytest.mark.slow
def test_on_postgres_as_well(stage: Stage, postgres_url: str) -> None:
    stage.server_url = postgres_url
    history = stage.play("load", 0, postgres=True, wanted=lambda step: step.edge == "commit")
    assert sum(history.killed.values()) >= 2


@dataclass(frozen=True)
class Column:
    """A column of the page: on which state, killed by what, and how often for a hundred on SQLite."""

    name: str
    stories: tuple[str, ...]
    postgres: bool = False
    by: tuple[signal.Signals, ...] = KILL
    percent: int = 100

    def steps(self, story: str) -> tuple[Step, ...]:
        """Those of a story: nobody can be interrupted twice by a task that tells that it has begun, and an apply that
        is interrupted closes its own run."""
        every = STORIES[story][1]
        if self.by == KILL:
            return every
        return tuple(step for step in every if step.edge != "during" and step.name != "recovery: the run is closed")


COLUMNS = (
    Column("SQLite", tuple(STORIES)),
    Column("Postgres", ON_POSTGRES, postgres=True, percent=10),
    Column("Ctrl-C twice", tuple(story for story in STORIES if story != "outlive"), by=TWICE, percent=10),
)


@pytest.mark.faults
@pytest.mark.timeout(0)
def test_many_kills_per_step(stage: Stage, postgres_url: str) -> None:
    stage.server_url = postgres_url
    wanted = int(os.environ.get("FAULTS", "100"))
    campaign = Campaign.of({column.name: -(-wanted * column.percent // 100) for column in COLUMNS})
    began = time.monotonic()
    end = began + 60 * float(os.environ.get("FAULTS_MINUTES", "inf"))

    def play(column: Column, story: str) -> None:
        tally = campaign.tallies[column.name]
        if time.monotonic() > end or tally.is_full(column.steps(story)):
            return
        seed = tally.next_seed(story)

        def is_wanted(step: Step) -> bool:
            return time.monotonic() < end and step in column.steps(story) and not tally.is_full([step])

        try:
            played = stage.play(story, seed, postgres=column.postgres, by=column.by, rounds=ROUNDS, wanted=is_wanted)
            tally.add(played.killed)
        except WrongError as wrong:
            tally.went_wrong(f"{column.name}, {story}, seed {seed}", str(wrong))
        campaign.keep(time.monotonic() - began)  # a run that is cut short leaves what it has seen

    jobs = [(column, story) for column in COLUMNS for story in column.stories]

    def share(job: tuple[Column, str]) -> float:
        """How much of what is asked for has been done."""
        column, story = job
        tally, steps = campaign.tallies[column.name], column.steps(story)
        done = [min(tally.killed[step.name], tally.wanted) for step in steps]
        return max(sum(done) / (tally.wanted * len(done)), tally.seeds[story] / (wanted * TRIES))

    def work() -> None:
        while time.monotonic() < end and share(job := min(jobs, key=share)) < 1:
            play(*job)

    with ThreadPoolExecutor(WORKERS) as pool:
        for done in as_completed([pool.submit(work) for _ in range(WORKERS)]):
            done.result()
    assert [wrong for tally in campaign.tallies.values() for wrong in tally.wrong] == []
    if time.monotonic() < end:
        for column, story in jobs:
            assert campaign.tallies[column.name].is_full(column.steps(story)), story
