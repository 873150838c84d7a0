"""Spark Connect: a remote server, or Sail inside this process.

There is no SparkContext here, so tasks travel as rows of a DataFrame through `mapInArrow`, spread so that
every partition holds exactly one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from autoloader.engine.jobs import POLL_S, Job
from autoloader.engine.packing import PACKED, TASK, PackedTask, done_here

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

Packed = tuple[tuple[int, bytes], ...]


def run(
    session: SparkSession,
    task: PackedTask,
    packed: Packed,
    on_progress: Callable[[int, int], None],
    *,
    in_process: bool,
) -> list[bytes]:
    """Runs every packed task in a partition of its own; returns their results in the order of `packed`.

    Args:
        in_process: Whether the server is in this process (Sail), which then counts its tasks itself.
    """
    tag = f"autoloader-{uuid.uuid4().hex}"
    stages = _Stages(len(packed))
    job = Job(lambda: _collect(session, task, packed, tag, in_process=in_process))
    session.registerProgressHandler(stages)
    try:
        job.start()
        while not job.wait(POLL_S):
            done = done_here(task.run_id) if in_process else stages.done
            on_progress(min(done, len(packed)), len(packed))
    except BaseException:
        session.interruptTag(tag)
        raise
    finally:
        session.removeProgressHandler(stages)
    results = dict(job.result())
    return [results[number] for number, _ in packed]


def _collect(
    session: SparkSession, task: PackedTask, packed: Packed, tag: str, *, in_process: bool
) -> list[tuple[int, bytes]]:
    numbers, payloads = zip(*packed, strict=True)
    rows = session.createDataFrame(pa.table([numbers, payloads], schema=PACKED))
    # Spark: a sampled range over distinct numbers is exact, one each and in order. Sail: dealt out.
    spread = rows.repartition(len(packed)) if in_process else rows.repartitionByRange(len(packed), TASK)
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

    def __call__(
        self, stages: Iterable[Any] | None, inflight_tasks: int, operation_id: str | None, done: bool
    ) -> None:
        for stage in stages or ():
            if stage.num_tasks == self._total:
                self.done = int(stage.num_completed_tasks)
