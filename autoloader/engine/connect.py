"""Spark Connect: a remote server, or Sail inside this process.

There is no SparkContext here, so tasks travel as rows of a DataFrame through `mapInArrow`, spread so that
every partition holds exactly one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from autoloader.engine.jobs import GIVE_UP_S, POLL_S, Job, within
from autoloader.engine.packing import PACKED, TASK, PackedTask, run_here

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

Packed = tuple[tuple[int, bytes], ...]


def run(
    session: SparkSession,
    task: PackedTask,
    packed: Packed,
    on_progress: Callable[[int, int], None],
) -> list[bytes]:
    """Runs every packed task in a partition of its own on a Spark server.

    Returns:
        Their results in the order of `packed`.
    """
    stages = _Stages(len(packed))
    session.registerProgressHandler(stages)  # type: ignore[arg-type]  # asks for a class where a call does
    try:
        return _run(session, task, packed, on_progress, lambda: stages.done)
    finally:
        session.removeProgressHandler(stages)  # type: ignore[arg-type]


def run_on_sail(
    session: SparkSession,
    task: PackedTask,
    packed: Packed,
    on_progress: Callable[[int, int], None],
    *,
    slots: int,
) -> list[bytes]:
    """The same on Sail in this process, which tells no progress and knows no bound: we count and queue.

    Tasks that wait for their turn hold the threads that would answer an interrupt: they are given up first.
    """
    with run_here(task.run_id, slots) as here:
        return _run(session, task, packed, on_progress, lambda: here.done, give_up=here.end)


def _run(
    session: SparkSession,
    task: PackedTask,
    packed: Packed,
    on_progress: Callable[[int, int], None],
    done: Callable[[], int],
    give_up: Callable[[], None] | None = None,
) -> list[bytes]:
    tag = f"autoloader-{task.run_id}"
    job = Job(lambda: _collect(session, task, packed, tag))
    job.start()
    try:
        while not job.wait(POLL_S):
            on_progress(min(done(), len(packed)), len(packed))
    except BaseException:
        if give_up is not None:
            give_up()
        with suppress(Exception):  # a server whose tasks hang does not answer, and one that is gone cannot
            within(GIVE_UP_S, lambda: session.interruptTag(tag))
        raise
    results = dict(job.result())
    return [results[number] for number, _ in packed]


def _collect(session: SparkSession, task: PackedTask, packed: Packed, tag: str) -> list[tuple[int, bytes]]:
    numbers, payloads = zip(*packed, strict=True)
    rows = session.createDataFrame(pa.table([numbers, payloads], schema=PACKED))
    # Spark: a sampled range over distinct numbers is exact, one each and in order. Sail: dealt out.
    count = len(packed)
    spread = rows.repartition(count) if task.in_process else rows.repartitionByRange(count, TASK)
    session.addTag(tag)
    try:
        result = spread.mapInArrow(task.over_batches, "task int, payload binary").toArrow()
    finally:
        session.removeTag(tag)
    return list(zip(result.column(0).to_pylist(), result.column(1).to_pylist(), strict=True))


class _Stages:
    """Counts finished tasks from the server's progress messages: of the last stage with our many tasks."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.done = 0

    def __call__(self, stages: Iterable[Any] | None, **_: object) -> None:
        for stage in stages or ():
            if stage.num_tasks == self._total:
                self.done = int(stage.num_completed_tasks)
