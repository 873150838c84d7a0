"""Spark with a SparkContext in this process: local cores, or a cluster whose driver we are.

Tasks travel as a resilient distributed dataset of bytes, one partition each: exact, in order (the first
tasks start first), and without Spark SQL, whose first query costs two seconds more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from autoloader.engine.jobs import POLL_S, Job
from autoloader.engine.packing import PackedTask

if TYPE_CHECKING:
    from pyspark import SparkContext


CANCEL_S: Final = 5.0


def run(
    context: SparkContext,
    group: str,
    task: PackedTask,
    packed: tuple[tuple[int, bytes], ...],
    on_progress: Callable[[int, int], None],
) -> list[bytes]:
    """Runs every packed task as one Spark task of a job in that group; their results in the order of `packed`.

    The job runs in a thread of its own, so that progress and Ctrl-C are served by the caller's.
    """
    job = Job(lambda: _collect(context, task, packed, group))
    job.start()
    try:
        while not job.wait(POLL_S):
            on_progress(min(_done(context, group), len(packed)), len(packed))
    except BaseException:
        context.cancelJobGroup(group)
        job.wait(CANCEL_S)
        raise
    return [payload for _, payload in job.result()]


def _collect(
    context: SparkContext, task: PackedTask, packed: tuple[tuple[int, bytes], ...], group: str
) -> list[tuple[int, bytes]]:
    context.setJobGroup(group, f"autoloader: {len(packed)} tasks", interruptOnCancel=True)
    partitions = context.parallelize(packed, len(packed))
    return partitions.mapPartitions(task.over_pairs).collect()


def _done(context: SparkContext, group: str) -> int:
    tracker = context.statusTracker()
    done = 0
    for job_id in tracker.getJobIdsForGroup(group):
        info = tracker.getJobInfo(job_id)
        for stage_id in info.stageIds if info else ():
            stage = tracker.getStageInfo(stage_id)
            done += stage.numCompletedTasks if stage else 0
    return done
