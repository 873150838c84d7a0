"""docs/reliability.md, from what was measured and nothing else; and the tallies that a later run goes on with."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tests.faults.mortal import Step
from tests.faults.stories import STORIES
from tests.playing import ROOT

_HEAD: Final = """\
# Reliability

A real command in a process of its own (engine Spark Connect on a Sail server, local files) is killed with `SIGKILL`
at a named step. A step is a line of the code, not a wait: right before a function is called, right after it has
returned, right before the transaction in it is committed, or while tasks run on the server. Histories of adds,
replacements and deletes are random, some rows cannot be read, and after a kill somebody comes back, or the world goes
on before somebody comes back, or whoever comes back is killed as well, several times over. Then one `apply` must end
well, and after it

- the table equals a model as a multiset of rows, and rejected rows are kept exactly once,
- `verify` finds nothing, and the next plan says "No changes",
- no data file lies about that no snapshot knows, no branch, no lock, and no run that claims to be running.

The Spark server lives on when a command is killed, and so do the tasks of it: at *tasks run on after recovery* they
are held until another apply has cleared up and loaded the files, and only then write theirs. One thing is left lying
about: the data files of a table whose `drop` was cut off right in the middle. In the column *Ctrl-C twice* the command
is not killed: it gets two interrupts at the step, has to end with 130, and then all of the above must hold.

The number is that of kills at each step, 100 unless it is given; a run stops after so many minutes, if they are given.
Another run on the same product (how Spark is started left aside) goes on where the last one stopped, on any machine:
`tests/faults/kills.json` is in the repository. When the product changes the count begins anew; the column *before* has
the kills, on any state and by any signal, that earlier states of the product withstood.

    make faults
    FAULTS=5 FAULTS_MINUTES=60 make faults

`make test` kills at three steps of each of these stories, always the same ones.
"""
_PRODUCT: Final = ("autoloader", *(f":!autoloader/engine/{name}.py" for name in ("java", "jvm", "starting")))
"""What is killed: all but how Spark is started and ended, since the server of the harness lives on."""
_KEPT: Final = ROOT / "tests" / "faults" / "kills.json"


@dataclass
class Tally:
    """Kills per step so far, and what went wrong.

    Attributes:
        wanted: So many kills of each step are asked for.
        seeds: Histories that were begun, by story.
        histories: Histories that were played to their end.
    """

    wanted: int
    killed: Counter[str] = field(default_factory=Counter)
    seeds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    histories: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_seed(self, story: str) -> int:
        """The number of a history that was not played yet."""
        with self._lock:
            self.seeds[story] += 1
            return self.seeds[story] - 1

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

    def is_full(self, steps: Sequence[Step]) -> bool:
        """Whether these steps have killed often enough."""
        return all(self.killed[step.name] >= self.wanted for step in steps)


@dataclass
class Campaign:
    """What was seen of one state of the product, over one run or several.

    Attributes:
        commit: The last one that changed it.
        tallies: By column of the page.
        elapsed_s: Time of all runs.
        earlier: Of earlier states of the product: commit, kills by step, histories, what went wrong.
    """

    commit: str
    tallies: Mapping[str, Tally]
    elapsed_s: float = 0.0
    earlier: list[dict[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, wanted: Mapping[str, int]) -> Campaign:
        """A new one, or the one that an earlier run on this product has begun, whatever else was committed since."""
        changed = _git("status", "--porcelain", "--", *_PRODUCT)
        commit = _git("log", "-1", "--format=%h", "--", *_PRODUCT) + " with changes" * bool(changed)
        campaign = cls(commit, {name: Tally(number) for name, number in wanted.items()})
        kept = json.loads(_KEPT.read_text()) if _KEPT.exists() else {}
        campaign.earlier = kept.get("earlier", [])
        if kept.get("commit") != commit:
            campaign.earlier += _as_earlier(kept)
        elif "changes" not in commit:
            campaign.elapsed_s = kept["elapsed_s"]
            for name, tally in campaign.tallies.items():
                known = kept["tallies"].get(name, {})
                tally.killed, tally.seeds = Counter(known.get("killed")), Counter(known.get("seeds"))
                tally.wrong, tally.histories = known.get("wrong", []), known.get("histories", 0)
        return campaign

    def before(self) -> Counter[str]:
        """Kills by step that earlier states of the product withstood."""
        return sum((Counter[str](each["killed"]) for each in self.earlier), Counter[str]())

    def keep(self, elapsed_s: float) -> None:
        """Write the page, and what a later run needs.

        Args:
            elapsed_s: Time of this run so far.
        """
        with self._lock:
            self._keep(self.elapsed_s + elapsed_s)

    def _keep(self, total_s: float) -> None:
        data: dict[str, Any] = {"commit": self.commit, "elapsed_s": total_s, "earlier": self.earlier}
        data["tallies"] = {
            name: {"killed": each.killed, "seeds": each.seeds, "wrong": each.wrong, "histories": each.histories}
            for name, each in self.tallies.items()
        }
        _KEPT.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
        (ROOT / "docs" / "reliability.md").write_text(self._page(total_s), encoding="utf-8")

    def _page(self, elapsed_s: float) -> str:
        tallies = self.tallies
        kills = sum(sum(tally.killed.values()) for tally in tallies.values())
        histories = sum(tally.histories for tally in tallies.values())
        asked = ", ".join(f"{tally.wanted} in the column *{name}*" for name, tally in tallies.items())
        lines = [
            _HEAD,
            f"Written by `make faults` on {datetime.now(UTC):%Y-%m-%d}, the product as of commit {self.commit}:"
            f" {kills:,} kills in {histories:,} histories, in {elapsed_s / 60:.0f} minutes on {_machine()}. Asked for"
            f" were at each step {asked}; fewer mean that the run ended before.",
            *(
                f"Before, as of {each['commit']}: {sum(each['killed'].values()):,} kills in {each['histories']:,}"
                f" histories, {min(each['killed'].values())} and more at each step,"
                f" wrong afterwards: {len(each['wrong'])}."
                for each in self.earlier
            ),
            "",
            "| killed at | " + " | ".join(tallies) + " | before |",
            "|---" * (len(tallies) + 2) + "|",
        ]
        before = self.before()
        for _, steps in STORIES.values():
            for step in steps:
                numbers = [each.killed[step.name] for each in tallies.values()]
                numbers.append(before[step.name])
                lines.append(f"| {step.name} | " + " | ".join(str(number or "") for number in numbers) + " |")
        wrong = [each for tally in tallies.values() for each in tally.wrong]
        lines += ["", f"Wrong afterwards: {len(wrong)}."]
        lines += [f"- {each}" for each in wrong]
        return "\n".join(lines) + "\n"


def _as_earlier(kept: dict[str, Any]) -> list[dict[str, Any]]:
    """A campaign that was kept, as one of those before; none where it killed nobody."""
    tallies = list(kept.get("tallies", {}).values())
    killed = sum((Counter[str](each["killed"]) for each in tallies), Counter[str]())
    if not killed:
        return []
    histories = sum(each["histories"] for each in tallies)
    wrong = [what for each in tallies for what in each["wrong"]]
    return [{"commit": kept["commit"], "killed": dict(killed), "histories": histories, "wrong": wrong}]


def _machine() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} cores ({platform.system()} {platform.machine()}, {memory_gb:.0f} GB),"
        f" Python {platform.python_version()}"
    )


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or ("" if done.returncode == 0 else "unknown")
