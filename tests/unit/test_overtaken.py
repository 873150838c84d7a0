"""An apply that others overtook: what it did and every error stay in its report."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from autoloader.apply import Done, Step
from autoloader.errors import AutoloaderError, PlanStaleError, SettingsError
from autoloader.project import applied


def carried_out(monkeypatch: pytest.MonkeyPatch, came: Done, again: Any = None) -> Done:
    """What comes of a pass that ended so, where a new plan is `again`."""
    monkeypatch.setattr(applied, "_one_pass", lambda *_: came)
    monkeypatch.setattr(applied, "_WAITS_S", (0.0,) if again else ())
    wanted = SimpleNamespace(again=again, talk=lambda _: None)
    planned = SimpleNamespace(recovered=(), plan=SimpleNamespace(errored=False))
    tools: Any = (None, planned, wanted, None, None)
    return applied._carry_out(*tools)[0]


def test_other_errors_are_told_beside_that_of_a_stale_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[tuple[str, AutoloaderError]] = [("a", PlanStaleError("stale")), ("b", SettingsError("wrong"))]
    assert carried_out(monkeypatch, Done(errors=errors)).errors == errors


def test_a_plan_that_is_stale_as_a_whole_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = PlanStaleError("stale")
    with pytest.raises(PlanStaleError):
        carried_out(monkeypatch, Done(errors=[("a", stale), ("b", stale)]))


def test_what_was_done_is_told_where_the_new_plan_has_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Step("b", "run_triggered", "done", 1.0, {})
    wrong = SimpleNamespace(recovered=(), plan=SimpleNamespace(errored=True), errors=lambda: "Error: no list")
    done = carried_out(monkeypatch, Done(steps=[step], errors=[("a", PlanStaleError("stale"))]), lambda _: wrong)
    assert done.steps == [step]
    assert [(name, "no list" in str(error)) for name, error in done.errors] == [("a", True)]
