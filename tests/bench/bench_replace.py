"""One source file of 10,000 replaced in a table of 200 data files: how much of the table is written anew."""

from __future__ import annotations

import shutil
import time

from tests.bench.measure import DATA, Figure, Measured
from tests.replacing import TABLE, Filled, replace_one

_AT_MOST = 2  # the table takes longer to fill than the replacement that is measured


def run(repetitions: int) -> list[Measured]:
    """Seconds of the replacement without the engine's start, and the share of data files that it touches."""
    filled = Filled()
    work = DATA / "work" / "replace"
    seconds, shares = [], []
    for _ in range(min(repetitions, _AT_MOST)):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        lake = filled.fill(work)
        before = _paths(lake)
        begun = time.perf_counter()
        replace_one(lake, old=filled.sources // 3, new=filled.sources + 1)
        seconds.append(time.perf_counter() - begun)
        shares.append(100 * len(before - _paths(lake)) / len(before))
        lake.close()
    shutil.rmtree(work)
    name = f"replacing 1 of {filled.sources:,} source files in a table of {filled.data_files} data files"
    return [
        Figure(f"{name}, tasks in one process", tuple(seconds)),
        Figure("data files that it writes anew", tuple(shares), 1, "%"),
    ]


def _paths(lake: object) -> set[str]:
    table = lake._catalog.load_table(TABLE)  # type: ignore[attr-defined]
    return set(table.inspect.files()["file_path"].to_pylist())
