"""Ctrl-C: once, and the batch in hand is finished; twice, and it is left at once. Nothing is lost or doubled."""

from __future__ import annotations

import json

import pytest

from tests.faults import steps
from tests.faults.holding import held
from tests.faults.mortal import ONCE, TWICE
from tests.faults.stage import Stage
from tests.faults.stories import History

INCOMPLETE, INTERRUPTED = 6, 130
FILES = 8


def _filled(history: History) -> None:
    for number in range(FILES):
        history.world.write(f"{number}.csv")


@pytest.mark.slow
def test_ctrl_c_finishes_the_batch_in_hand_and_the_next_apply_does_the_rest(stage: Stage) -> None:
    with stage.history("once", 0) as history:
        _filled(history)
        with held(history) as apply:
            apply.interrupt()
            apply.await_saying("Stopping after the batch in hand")
            apply.release()
            ended = apply.end()
        assert ended.code == INCOMPLETE, ended.said
        assert "Stopped; apply again to resume" in ended.said
        found = json.loads(history.run("runs", "--format", "json").said)
        assert [(run["state"], run["files"]) for run in found["runs"]] == [("incomplete", 3)]
        history.settle()


@pytest.mark.slow
def test_ctrl_c_twice_leaves_at_once_though_tasks_hang_and_the_next_apply_does_it_all(stage: Stage) -> None:
    with stage.history("twice", 0) as history:
        _filled(history)
        with held(history) as apply:
            apply.interrupt()
            apply.await_saying("Stopping after the batch in hand")
            apply.interrupt()
            ended = apply.end()  # while its tasks are held
            assert ended.code == INTERRUPTED, ended.said
            assert "Traceback" not in ended.said
            apply.release()
        history.settle()


@pytest.mark.slow
def test_ctrl_c_while_an_earlier_apply_is_cleared_up_after_leaves_that_to_the_next_one(stage: Stage) -> None:
    with stage.history("clearing", 0) as history:
        _filled(history)
        assert history.dies(steps.of("data files are written"), "apply", "-y")
        history.by = ONCE
        assert history.dies(steps.of("recovery: data files are deleted"), "apply", "-y")
        history.settle()


@pytest.mark.slow
def test_ctrl_c_twice_at_a_step_is_no_worse_than_a_kill(stage: Stage) -> None:
    missing = {steps.of(name) for name in ("files are claimed", "results are kept", "a batch is committed")}
    for seed in range(4):  # not every apply comes to a second batch
        history = stage.play("load", seed, by=TWICE, wanted=missing.__contains__)
        missing = {step for step in missing if not history.killed[step.name]}
    assert not missing


@pytest.mark.slow
def test_ctrl_c_twice_while_a_table_is_built_anew_leaves_no_branch(stage: Stage) -> None:
    names = {"rebuild: the branch is made", "rebuild: the branch is served, not answered"}
    history = stage.play("rebuild", 0, by=TWICE, wanted=lambda step: step.name in names)
    assert {name for name, times in history.killed.items() if times} >= names
