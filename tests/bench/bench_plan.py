"""A plan that finds nothing to do: 100,000 local files, 100,000 ledger rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bench.bench_listing import bare_walk
from tests.bench.measure import DATA, ROOT, Comparison, Figure, Measured, Turns

FILES = 100_000
SPEC = """name: many
source: {path: data/, include: ["**/*.csv"]}
destination: {table: bench.many}
schema: {columns: [{name: id, type: long}, {name: name, type: string}]}
"""


def run(repetitions: int) -> list[Measured]:
    """Ours against a bare walk; memory; and that pyspark stays away."""
    project = make_project(DATA / "plan")
    memory: list[float] = []
    _plan(project, memory)  # the walk's directory entries are cached from here on
    memory.clear()
    took = Turns(repetitions).run(ours=lambda: _plan(project, memory), walk=lambda: _walk(project))
    return [
        Comparison(
            "plan without changes of 100,000 local files, less 1 s",
            tuple(seconds - 1 for seconds in took["ours"]),
            took["walk"],
            "a bare os.scandir and stat walk",
            3,
            notes=(f"with the second: {min(took['ours']):.2f} s at best, process start included",),
        ),
        Figure("its peak memory", tuple(memory), 400, "MB"),
    ]


def make_project(project: Path, files: int = FILES) -> Path:
    """A project whose files are all loaded; made once, found again."""
    (project / "ingestions").mkdir(parents=True, exist_ok=True)
    (project / "ingestions" / "many.yml").write_text(SPEC)
    done = project / "loaded"
    if not done.exists():
        for number in range(files):
            if number % 1000 == 0:
                folder = project / "data" / f"part={number // 1000:03}"
                folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:06}.csv").write_text(f"id,name\n{number},name {number}\n")
        _cli(project, "apply", "-y")
        done.touch()
    return project


def _cli(project: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, str(ROOT / "plan_apply.py"), *arguments], cwd=project, check=True)


_WAITER = """
import os, subprocess, sys, time
begun = time.perf_counter()
null = subprocess.DEVNULL
process = subprocess.Popen(sys.argv[1:], stdout=null, stderr=null)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - begun, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""
# a process of its own: a child's peak begins at what its parent held when it was forked, and benches hold much


def _plan(project: Path, memory: list[float]) -> float:
    """Wall seconds of one plan; its peak resident set goes to `memory`, in MB."""
    said = subprocess.run(
        [sys.executable, "-c", _WAITER, sys.executable, str(ROOT / "plan_apply.py"), "plan", "--detailed-exitcode"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    elapsed_s, peak, code = said.stdout.split()
    assert code == "0", "the plan found something to do"
    memory.append(float(peak) / 1024 * (1 if sys.platform == "linux" else 1 / 1024))
    return float(elapsed_s)


def _walk(project: Path) -> None:
    assert bare_walk(str(project / "data")) == FILES
