"""What a person waits for: `--help`, a preview, and local Spark until its first task has run."""

from __future__ import annotations

import subprocess
import sys
import time

import pyarrow as pa

from autoloader import engine as engines
from autoloader.engine.engines import WARM_SCHEMA, import_modules
from autoloader.spec import SparkSettings
from tests.bench.bench_small_files import write_files
from tests.bench.measure import DATA, ROOT, Figure, Measured


def run(repetitions: int) -> list[Measured]:
    """Wall times without a baseline."""
    starts = [_start() for _ in range(repetitions)]
    return [
        Figure("`plan_apply.py --help`", tuple(_help() for _ in range(2 * repetitions + 1)), 0.3),
        Figure("`preview` of ten local files", tuple(_preview() for _ in range(repetitions)), 2),
        Figure("local Spark until it takes tasks", tuple(ready for ready, _ in starts)),
        Figure("its first task, with all that loading imports", tuple(first for _, first in starts)),
    ]


def _help() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "plan_apply.py", "--help"], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - begun


def _preview() -> float:
    project = DATA / "preview"
    (project / "ingestions").mkdir(parents=True, exist_ok=True)
    (project / "ingestions" / "ten.yml").write_text(
        "name: ten\nsource: {path: data/}\ndestination: {table: bench.ten}\n"
    )
    write_files(project / "data", files=10)
    command = [sys.executable, str(ROOT / "plan_apply.py"), "preview", "ten"]
    begun = time.perf_counter()
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return time.perf_counter() - begun


def _start() -> tuple[float, float]:
    begun = time.perf_counter()
    with engines.start("local", SparkSettings()) as engine:
        ready = time.perf_counter()
        engine.map(pa.table({"task": [0]}), import_modules, WARM_SCHEMA)
        return ready - begun, time.perf_counter() - ready
