"""An apply that is held while its tasks run, so that the world can be changed around it."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.faults.processes import LONGEST_S, Ended, Started, command
from tests.faults.stories import History, await_tasks, pipes

ENVIRON = {"AUTOLOADER_BATCH_FILES": "3", "NO_COLOR": "1"}


@dataclass(frozen=True)
class Held:
    """An apply whose first tasks have begun and wait.

    Attributes:
        history: Whose apply it is.
        started: Its process.
    """

    history: History
    started: Started

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        assert self.started.process.pid is not None
        os.kill(self.started.process.pid, signal.SIGINT)

    def await_saying(self, text: str) -> None:
        """Until it has said something."""
        until(lambda: text in self.said())

    def said(self) -> str:
        """What it has said so far."""
        return self.started.output.read_text(errors="replace")

    def release(self) -> None:
        """Let its tasks go on, and those that come; those that were held are done when this returns."""
        hold = self.history.folder / "hold"
        with os.fdopen(os.open(hold, os.O_RDWR), "rb"):
            hold.unlink()
            await_tasks(self.history.folder)

    def end(self) -> Ended:
        """Wait for its end."""
        return self.started.end()


@contextmanager
def held(history: History, *words: str) -> Iterator[Held]:
    """An apply, from when its tasks have begun."""
    pipes(history.folder, "begun", "hold")
    begun = os.open(history.folder / "begun", os.O_RDONLY | os.O_NONBLOCK)
    started = history.nursery.start(history.folder, command, "apply", "-y", *words, environ=ENVIRON)
    try:
        there, _, _ = select.select([begun], [], [], LONGEST_S)
        assert there, "no task has begun"
        yield Held(history, started)
    finally:
        os.close(begun)
        started.process.kill()


def until(comes_true: Callable[[], bool]) -> None:
    """Wait for something."""
    deadline = time.monotonic() + LONGEST_S
    while not comes_true():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)
