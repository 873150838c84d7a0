"""Steps at which a process kills itself or is interrupted, and how it is brought to do so.

A step is a line of the product: right before a function is called, right after it has returned, right before the
transaction in it is committed, or, while it runs, when a task of it tells that it has begun. The functions are
wrapped in the process that is to die, from outside: the product has no hook for this.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from inspect import getattr_static
from typing import Any, Final, Literal

Edge = Literal["before", "after", "commit", "during"]
KILL: Final = (signal.SIGKILL,)
ONCE: Final = (signal.SIGINT,)
TWICE: Final = (signal.SIGINT, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Step:
    """A line to die at.

    Attributes:
        name: How it is called in the tests and on the page.
        at: The function, `module:name` or `module:Class.name`; where it is looked up by its callers.
        edge: `before` it is called, `after` it has returned, right before the `commit` of its transaction, or
            `during` it, when a task has written to the pipe `begun` in the working directory.
        within: A function that has to be running meanwhile.
        without: One that must not be running.
        times: How often it may be passed in one process, for choosing the time to die.
    """

    name: str
    at: str
    edge: Edge = "after"
    within: str | None = None
    without: str | None = None
    times: int = 2


@dataclass(slots=True)
class Death:
    """One process's end: at the nth time that it passes a step.

    Attributes:
        step: Where.
        left: How often it is still passed, the last time included.
        by: The signals that the process sends to itself there.
    """

    step: Step
    left: int = 1
    by: tuple[signal.Signals, ...] = KILL
    _running: dict[str, int] = field(default_factory=dict)

    def arm(self) -> None:
        """From now on this process dies at its step."""
        for scope in (self.step.within, self.step.without):
            if scope is not None:
                _wrap(scope, self._counted(scope))
        if self.step.edge == "commit":
            _wrap(self.step.at, self._counted(self.step.at))
            _wrap("autoloader.ledger.session:Session.commit", self._commits)
        else:
            _wrap(self.step.at, self._passing)

    def _counted(self, scope: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(function)
            def counted(*args: Any, **named: Any) -> Any:
                self._running[scope] = self._running.get(scope, 0) + 1
                try:
                    return function(*args, **named)
                finally:
                    self._running[scope] -= 1

            return counted

        return wrap

    def _passing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def passing(*args: Any, **named: Any) -> Any:
            if self.step.edge == "before":
                self._pass()
            if self.step.edge == "during":
                pipe = os.open("begun", os.O_RDONLY | os.O_NONBLOCK)
                threading.Thread(target=self._listen, args=(pipe,), daemon=True).start()
            found = function(*args, **named)
            if self.step.edge == "after":
                self._pass()
            return found

        return passing

    def _commits(self, commit: Callable[..., None]) -> Callable[..., None]:
        @wraps(commit)
        def before(*args: Any) -> None:
            if self._running.get(self.step.at):
                self._pass()
            commit(*args)

        return before

    def _listen(self, pipe: int) -> None:
        """Die when a task has begun."""
        select.select([pipe], [], [])
        self._pass()

    def _pass(self) -> None:
        step = self.step
        if step.within is not None and not self._running.get(step.within):
            return
        if step.without is not None and self._running.get(step.without):
            return
        self.left -= 1
        if self.left == 0:
            for number in self.by:
                os.kill(os.getpid(), number)


def _wrap(target: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put a wrapper around a function where its callers find it."""
    module, _, path = target.partition(":")
    owner: Any = import_module(module)
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    wrapped = wrapper(getattr(owner, name))
    setattr(owner, name, staticmethod(wrapped) if isinstance(getattr_static(owner, name), staticmethod) else wrapped)
