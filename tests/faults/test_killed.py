"""A real command, killed with SIGKILL at a named step, then others: table and ledger are what a model says.

`make test` kills at a few steps of each story, `make faults` at every step `FAULTS` times (100 unless it is set), and
writes what came out to `docs/reliability.md`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults.mortal import Step
from tests.faults.page import Tally, write_page
from tests.faults.stage import Stage
from tests.faults.stories import STORIES, WrongError

TRIES = 4
FEW = 3
WORKERS = 1 + len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
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


@pytest.mark.faults
@pytest.mark.timeout(0)
def test_many_kills_per_step(stage: Stage, postgres_url: str) -> None:
    stage.server_url = postgres_url
    wanted = int(os.environ.get("FAULTS", "100"))
    tallies = {"SQLite": Tally(wanted), "Postgres": Tally(-(-wanted // 5))}
    began = time.monotonic()

    def play(story: str, seed: int, state: str) -> None:
        tally = tallies[state]
        names = [step.name for step in STORIES[story][1]]
        if tally.is_full(names):
            return
        try:
            history = stage.play(
                story, seed, postgres=state == "Postgres", wanted=lambda step: not tally.is_full([step.name])
            )
        except WrongError as wrong:
            tally.went_wrong(f"{state}, {story}, seed {seed}", str(wrong))
        else:
            tally.add(history.killed)

    stories = [(story, "SQLite") for story in STORIES] + [(story, "Postgres") for story in ON_POSTGRES]
    with ThreadPoolExecutor(WORKERS) as pool:
        for seed in range(wanted * TRIES):
            for _ in pool.map(lambda each, seed=seed: play(each[0], seed, each[1]), stories):
                write_page(tallies, time.monotonic() - began)  # a run that is cut short leaves what it has seen
    assert [wrong for tally in tallies.values() for wrong in tally.wrong] == []
    for story, state in stories:
        assert tallies[state].is_full([step.name for step in STORIES[story][1]])
