"""Ratios that survive a busy machine: ours and the baseline take turns, and the median of the ratios counts."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".bench"
"""Generated input; kept between runs, ignored by git, removed by `make clean`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One promise and what was measured.

    Attributes:
        name: What is compared, in a few words.
        ours: Seconds (or another unit) of each repetition.
        baseline: The same of the baseline, taken in turns with ours.
        against: What the baseline is.
        bound: The promise: the median ratio ours/baseline is at most this. For "faster" promises, the
            median ratio baseline/ours is at least this. None: only reported.
        kind: Which of the two.
        unit: Of the figures.
        notes: What else is worth a line.
    """

    name: str
    ours: tuple[float, ...]
    baseline: tuple[float, ...]
    against: str
    bound: float | None
    kind: Literal["at most", "times faster"] = "at most"
    unit: str = "s"
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        """The median of the repetitions' own ratios."""
        pairs = zip(self.ours, self.baseline, strict=True)
        ratios = [ours / base if self.kind == "at most" else base / ours for ours, base in pairs]
        return statistics.median(ratios)

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept; None where none was given."""
        if self.bound is None:
            return None
        return self.ratio <= self.bound if self.kind == "at most" else self.ratio >= self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure without a baseline, with its bound.

    Attributes:
        name: What was measured.
        values: Of each repetition; the median counts.
        bound: At most this; None: only reported.
        unit: Of the values.
        notes: What else is worth a line.
    """

    name: str
    values: tuple[float, ...]
    bound: float | None = None
    unit: str = "s"
    notes: tuple[str, ...] = ()

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def kept(self) -> bool | None:
        """Whether the bound is kept; None where none was given."""
        return None if self.bound is None else self.median <= self.bound


Measured = Comparison | Figure


@dataclass(slots=True)
class Turns:
    """Runs several things in turns, a number of times.

    Attributes:
        seconds: Per name, the seconds of each repetition.
        cpu_seconds: Per name, what this process and all below it used of the processor meanwhile.
    """

    repetitions: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu_seconds: dict[str, list[float]] = field(default_factory=dict)

    def run(self, **calls: Callable[[], float | None]) -> Mapping[str, tuple[float, ...]]:
        """Calls each in turn, as often as there are repetitions; the order is turned round every time.

        A call that returns seconds has measured itself; else the call as a whole is measured.
        """
        names = list(calls)
        for turn in range(self.repetitions):
            for name in names if turn % 2 == 0 else reversed(names):
                begun, cpu_begun = time.perf_counter(), _cpu_times()
                own = calls[name]()
                elapsed_s = time.perf_counter() - begun if own is None else own
                cpu_s = _cpu_between(cpu_begun, _cpu_times())
                self.seconds.setdefault(name, []).append(elapsed_s)
                self.cpu_seconds.setdefault(name, []).append(cpu_s)
                print(f"    {name}: {elapsed_s:.2f} s, of the processor {cpu_s:.1f} s", flush=True)
        return {name: tuple(self.seconds[name]) for name in names}

    def cpu_note(self, ours: str, baseline: str) -> str:
        """Processor time of both, for a machine that has others to serve as well."""
        mine, other = (statistics.median(self.cpu_seconds[name]) for name in (ours, baseline))
        return f"processor time {mine:.1f} s against {other:.1f} s"


def _cpu_times() -> dict[int, tuple[float, float]]:
    """Of this process and all below it: what each has used itself, and what those used that it has outlived."""
    found = {}
    mine = psutil.Process()
    for process in (mine, *mine.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found[process.pid] = (times.user + times.system, times.children_user + times.children_system)
    return found


def _cpu_between(begun: Mapping[int, tuple[float, float]], ended: Mapping[int, tuple[float, float]]) -> float:
    """Seconds used between two looks. What a process had used before the first and ended after is not of them."""
    own = sum(now - begun.get(pid, (0, 0))[0] for pid, (now, _) in ended.items())
    outlived = sum(now - begun.get(pid, (0, 0))[1] for pid, (_, now) in ended.items())
    gone = sum(sum(before) for pid, before in begun.items() if pid not in ended)
    return own + max(0.0, outlived - gone)


def machine() -> str:
    """One line: processor, cores, memory, system, Python."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
        memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
        memory = f"{memory_kb / 1024 / 1024:.0f} GiB"
    except (OSError, ValueError, IndexError):
        memory = "unknown memory"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {memory}, {platform.system()}, Python {platform.python_version()}"
