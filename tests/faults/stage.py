"""Where histories are played: processes, a Spark server, a disk, and a database server where there is one."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.databases import drop_database, new_database
from tests.faults.mortal import KILL, Step
from tests.faults.processes import Nursery
from tests.faults.stories import STORIES, History


@dataclass
class Stage:
    """Where histories are played: processes, a Spark server, a disk, a database server where there is one."""

    nursery: Nursery
    remote: str
    disk: Path
    server_url: str | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    def play(
        self,
        story: str,
        seed: int,
        *,
        postgres: bool = False,
        by: tuple[signal.Signals, ...] = KILL,
        rounds: int = 1,
        wanted: Callable[[Step], bool],
    ) -> History:
        """One history of a story, through its steps in random order; those that are wanted.

        Args:
            story: One of `STORIES`.
            seed: Another one, another history.
            postgres: Whether the state is on the server.
            by: What ends processes at their steps.
            rounds: About so many where fewer steps are wanted; each of these has its turn equally often.
            wanted: The steps.

        Raises:
            WrongError: It did not come out as the model says; its folder is kept.
        """
        play, steps = STORIES[story]
        begins_filled = story not in ("create", "fill")  # those have projects of their own
        with self.history(story, seed, postgres=postgres) as history:
            if begins_filled:
                history.change()
                history.change()
                history.settle()
            history.by, history.wanted = by, wanted
            lacking = [step for step in steps if wanted(step)]
            turns = lacking * max(1, rounds // max(1, len(lacking)))
            for step in history.random.sample(turns, len(turns)):
                if wanted(step):
                    play(history, step)
            if begins_filled:
                history.settle()
        return history

    @contextmanager
    def history(self, name: str, seed: int, *, postgres: bool = False) -> Iterator[History]:
        """A project that has no table yet, in a folder of its own; it goes, unless something goes wrong."""
        folder = self.disk / f"{name}-{seed}-{next(self._numbers)}"
        chance = random.Random(f"{name}-{seed}")
        with self._states(postgres=postgres) as new_state:
            yield History(folder, self.nursery, chance, self.remote, new_state)
        shutil.rmtree(folder)

    @contextmanager
    def _states(self, *, postgres: bool) -> Iterator[Callable[[], str | None]]:
        """Gives states that nobody has used, and takes them away."""
        made: list[str] = []

        def new_state() -> str | None:
            if self.server_url is None or not postgres:
                return None
            made.append(new_database(self.server_url))
            return made[-1]

        yield new_state
        for url in made:
            drop_database(str(self.server_url), url)
