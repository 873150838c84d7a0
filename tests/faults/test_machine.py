"""Random sequences of whatever can happen to files, plans and applies, against a model of the table's rows.

`make test` plays a few short ones, always the same; `make faults` plays `FAULTS` longer ones.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import ClassVar, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.faults.mortal import Step
from tests.faults.stage import Stage
from tests.faults.steps import LOAD
from tests.faults.stories import REFUSED, History

STALE: Final = 4
SEEDS: Final = st.integers(0, 2**32)
STEPS: Final = [step for step in LOAD if step.edge != "during"]


class Machine(RuleBasedStateMachine):
    """One project, with a model of what belongs into its table."""

    stage: ClassVar[Stage]
    postgres: ClassVar[bool] = False

    @initialize(on_delete=st.sampled_from(["keep", "delete_rows"]), seed=SEEDS)
    def begin(self, on_delete: str, seed: int) -> None:
        self.stack = ExitStack()
        self.history: History = self.stack.enter_context(self.stage.history("machine", seed, postgres=self.postgres))
        self.history.on_delete = on_delete
        self.history.declare()
        self.fresh_plan: bool | None = None
        self.lost: dict[str, bytes] = {}
        for number in range(4):
            self.history.world.write(f"{number}.csv")

    @rule(number=st.integers(0, 30), seed=SEEDS)
    def write(self, number: int, seed: int) -> None:
        """A file is added, or replaced by another version."""
        self.history.random.seed(seed)
        self.lost.pop(f"{number}.csv", None)
        self.history.world.write(f"{number}.csv")

    @rule(seed=SEEDS)
    def touch(self, seed: int) -> None:
        """A file gets another time and keeps its bytes."""
        self.history.random.seed(seed)
        key = self._some_file()
        self.history.world.store.put(key, (self.history.world.store.folder / key).read_bytes())

    @rule(seed=SEEDS)
    def delete(self, seed: int) -> None:
        """A file goes: its rows stay or go, as the spec says; never so many that the listing looks wrong."""
        self.history.random.seed(seed)
        world = self.history.world
        if world.may_go():
            world.gone += 1
            self._take_away(self._some_file())

    @precondition(lambda self: self.lost)
    @rule(seed=SEEDS)
    def recreate(self, seed: int) -> None:
        """A file that went comes back as it was."""
        self.history.random.seed(seed)
        self._bring_back(self.history.random.choice(sorted(self.lost)))

    @rule()
    def apply(self) -> None:
        """Everything is loaded, and the table is what the model says."""
        self.fresh_plan = False if self.fresh_plan is not None else None
        self.history.settle()

    @rule(how=st.sampled_from([("--reingest", "orders=**"), ("--refresh", "orders=clear-history"),
                               ("--refresh", "orders=full")]))  # fmt: skip
    def load_again(self, how: tuple[str, str]) -> None:
        """All that is there is loaded again, and nothing is doubled."""
        self.apply()
        if how == ("--refresh", "orders=full") and self.lost:
            return  # rows of files that are gone would go with it, and that is another promise
        self.history.does("apply", "-y", *how)
        self.history.check()

    @rule(step=st.sampled_from(STEPS), seed=SEEDS)
    def crash(self, step: Step, seed: int) -> None:
        """An apply is killed; nobody comes back yet."""
        self.history.random.seed(seed)
        self.fresh_plan = False if self.fresh_plan is not None else None
        self.history.dies(step, "apply", "-y")

    @rule()
    def plan(self) -> None:
        """A plan is kept for later."""
        self.history.does("plan", "--out", "saved.plan")
        self.fresh_plan = True

    @precondition(lambda self: self.fresh_plan is not None)
    @rule()
    def apply_saved(self) -> None:
        """A kept plan is applied; it may be refused only where something was applied since it was made."""
        ended = self.history.run("apply", "saved.plan")
        if ended.code not in ((0,) if self.fresh_plan else (0, STALE)):
            raise self.history.wrong(ended.said)
        self.fresh_plan = None

    @rule(seed=SEEDS)
    def refuse(self, seed: int) -> None:
        """With `on_delete: fail` a file that went stops everything until it is there again."""
        self.history.random.seed(seed)
        self.apply()
        key, usual = self._some_file(), self.history.on_delete
        rows = self.history.world.rows[key]
        self.history.on_delete = "fail"
        self.history.declare()
        self.history.settle()
        self._take_away(key)
        ended = self.history.run("apply", "-y")
        if ended.code != REFUSED:
            raise self.history.wrong(f"not refused: {ended.code}: {ended.said}")
        self._bring_back(key)
        assert self.history.world.rows[key] == rows
        self.history.check_rows()
        self.history.on_delete = usual
        self.history.declare()
        self.history.settle()

    def teardown(self) -> None:
        """Whatever happened, one more apply and everything is as the model says."""
        if hasattr(self, "stack"):
            self.history.settle()
            self.stack.close()

    def _there(self) -> list[str]:
        return sorted(key for key in self.history.world.rows if key not in self.lost)

    def _some_file(self) -> str:
        return self.history.random.choice(self._there())

    def _take_away(self, key: str) -> None:
        world = self.history.world
        self.lost[key] = (world.store.folder / key).read_bytes()
        self._rows = {**getattr(self, "_rows", {}), key: world.rows[key]}
        world.store.delete(key)
        if self.history.on_delete == "delete_rows":
            del world.rows[key]

    def _bring_back(self, key: str) -> None:
        world = self.history.world
        world.store.put(key, self.lost.pop(key))
        world.rows[key] = self._rows[key]


def _play(stage: Stage, *, examples: int, steps: int, server_url: str | None, derandomize: bool) -> None:
    stage.server_url = server_url

    class Played(Machine):
        pass

    Played.stage, Played.postgres = stage, server_url is not None
    run_state_machine_as_test(
        Played,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_whatever_happens_in_whatever_order_rows_are_what_the_model_says(stage: Stage) -> None:
    _play(stage, examples=3, steps=10, server_url=None, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_on_postgres_rows_are_what_the_model_says_as_well(stage: Stage, postgres_url: str) -> None:
    _play(stage, examples=2, steps=10, server_url=postgres_url, derandomize=True)


@pytest.mark.faults
@pytest.mark.timeout(0)
@pytest.mark.parametrize("state", ["sqlite", "postgres"])
def test_many_long_sequences(stage: Stage, postgres_url: str, state: str) -> None:
    examples = -(-int(os.environ.get("FAULTS", "100")) // 2)
    _play(
        stage, examples=examples, steps=25, server_url=postgres_url if state == "postgres" else None, derandomize=False
    )
