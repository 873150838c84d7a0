"""docs/reliability.md, from what was measured and nothing else."""

from __future__ import annotations

import os
import platform
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from tests.faults.stories import STORIES
from tests.playing import ROOT

_HEAD: Final = """\
# Reliability

A real command in a process of its own (engine Spark Connect on a Sail server, local files) is killed with `SIGKILL`
at a named step. A step is a line of the code, not a wait: right before a function is called, right after it has
returned, right before the transaction in it is committed, or while tasks run on the server. Histories of adds,
replacements and deletes are random, some rows cannot be read, and after a kill somebody comes back, or the world goes
on before somebody comes back, or whoever comes back is killed as well. Then one `apply` must end well, and after it

- the table equals a model as a multiset of rows, and rejected rows are kept exactly once,
- `verify` finds nothing, and the next plan says "No changes",
- no data file lies about that no snapshot knows, no branch, no lock, and no run that claims to be running.

One thing is left lying about: the data files of a table whose `drop` was cut off right in the middle. Tasks of a killed
command that run on at the server, on purpose held back until others have done their work, are not among the steps.
"""


@dataclass
class Tally:
    """Kills per step so far, and what went wrong.

    Attributes:
        wanted: So many kills of each step are asked for.
        histories: Histories that were played to their end.
    """

    wanted: int
    killed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    histories: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, killed: Counter[str]) -> None:
        """Count one history."""
        with self._lock:
            self.killed += killed
            self.histories += 1

    def went_wrong(self, which: str, what: str) -> None:
        """Keep what went wrong, and say it at once."""
        with self._lock:
            self.wrong.append(f"{which}: {what.splitlines()[0]}")
        print(f"WRONG: {which}: {what}", flush=True)

    def is_full(self, names: Iterable[str]) -> bool:
        """Whether these steps have killed often enough."""
        return all(self.killed[name] >= self.wanted for name in names)


def write_page(tallies: Mapping[str, Tally], elapsed_s: float) -> None:
    """Write the page."""
    kills = sum(sum(tally.killed.values()) for tally in tallies.values())
    histories = sum(tally.histories for tally in tallies.values())
    states = list(tallies)
    lines = [
        _HEAD,
        f"Written by `make faults` on {datetime.now(UTC):%Y-%m-%d}: {kills:,} kills in {histories:,} histories, in"
        f" {elapsed_s / 60:.0f} minutes on {os.cpu_count()} cores, Python {platform.python_version()}. Asked for were"
        f" {', '.join(f'{tally.wanted} kills at each step on {state}' for state, tally in tallies.items())}:"
        " fewer in the table mean that the run was cut short.",
        "",
        "| killed at | " + " | ".join(f"kills, {state}" for state in states) + " |",
        "|---" * (len(states) + 1) + "|",
    ]
    for _, steps in STORIES.values():
        lines += [
            f"| {step.name} | " + " | ".join(str(tally.killed[step.name] or "") for tally in tallies.values()) + " |"
            for step in steps
        ]
    wrong = [each for tally in tallies.values() for each in tally.wrong]
    lines += ["", f"Wrong afterwards: {len(wrong)}."]
    lines += [f"- {each}" for each in wrong]
    (ROOT / "docs" / "reliability.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
