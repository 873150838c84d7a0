"""The task: fetch -> reader -> Iceberg data files -> one result row per source file.

Runs on executors in plain Python; what it needs to know travels in a job, what it did comes back as
rows. Nothing here commits: `lake` does, on the driver, with the data files that the rows describe.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from autoloader.loader.job import AWAY, GROWS, RESULT, REWRITE_TASK, TASK, FillJob, LoadJob, RewriteJob, WriteFormat
from autoloader.loader.writer import local_path

if TYPE_CHECKING:
    import pyarrow as pa

    from autoloader.loader.job import Mapper

__all__ = [
    "AWAY",
    "GROWS",
    "RESULT",
    "REWRITE_TASK",
    "TASK",
    "FillJob",
    "LoadJob",
    "RewriteJob",
    "WriteFormat",
    "fill_files",
    "load_files",
    "local_path",
    "rewrite_files",
]


def load_files(job: LoadJob) -> Mapper:
    """The function for `mapInArrow`: batches of `TASK` in, batches of `RESULT` out."""
    return _Lazily("tasks", "load_files", job)


def rewrite_files(job: RewriteJob) -> Mapper:
    """The function for `mapInArrow`: batches of `REWRITE_TASK` in, `data_file` rows of `RESULT` out."""
    return _Lazily("rewrite", "rewrite_files", job)


def fill_files(job: FillJob) -> Mapper:
    """The function for `mapInArrow`: batches of `REWRITE_TASK` in, `data_file` rows of `RESULT` out."""
    return _Lazily("filling", "fill_files", job)


class _Lazily:
    """Picklable; imports the reader and DuckDB where it is called, not where it is made."""

    def __init__(self, module: str, name: str, job: LoadJob | RewriteJob | FillJob) -> None:
        self._module, self._name, self._job = module, name, job

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from importlib import import_module

        mapper: Mapper = getattr(import_module(f"autoloader.loader.{self._module}"), self._name)(self._job)
        return mapper(batches)
