"""Which files are committed together, and which files one Spark task gets. Pure arithmetic on columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from autoloader.cost import BATCH_MAX_BYTES, BATCH_MAX_FILES


@dataclass(frozen=True, slots=True)
class BatchSize:
    """Bounds of one batch. A file larger than `max_bytes` makes a batch of its own.

    Attributes:
        max_files: Files per batch.
        max_bytes: Stored bytes per batch.
    """

    max_files: int = BATCH_MAX_FILES
    max_bytes: int = BATCH_MAX_BYTES


def split_into_batches(files: pa.Table, size: BatchSize) -> Iterator[pa.Table]:
    """Cut work into batches, in the order of the rows; no batch holds files of two backfill slices.

    Args:
        files: Rows of `inventory.DIFF`, all of one ingestion and lane.
        size: The bounds.

    Yields:
        Non-empty runs of consecutive rows; together they are `files`, each row once.
    """
    total = files.num_rows
    if total == 0:
        return
    sizes = files["size_bytes"].to_numpy(zero_copy_only=False)
    summed = np.cumsum(np.nan_to_num(sizes.astype(float)))
    borders = _slice_borders(files)
    start = 0
    while start < total:
        before = summed[start - 1] if start else 0.0
        by_bytes = int(np.searchsorted(summed, before + size.max_bytes, side="right"))
        by_slice = int(borders[np.searchsorted(borders, start, side="right")])
        end = max(start + 1, min(by_bytes, start + size.max_files, by_slice, total))
        yield files.slice(start, end - start)
        start = end


def _slice_borders(files: pa.Table) -> np.ndarray:
    codes = files["slice"].combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    changes = np.flatnonzero(np.diff(codes)) + 1
    return np.append(changes, files.num_rows)


def spread_over_tasks(size_bytes: np.ndarray, tasks: int) -> np.ndarray:
    """Give every file a task, so that the tasks carry about the same bytes and the same number of files.

    Args:
        size_bytes: Stored size per file.
        tasks: How many tasks there may be; fewer are used when there are fewer files.

    Returns:
        The task number of each file, int32, from 0 on.
    """
    number = max(1, min(tasks, len(size_bytes)))
    order = np.argsort(-size_bytes, kind="stable")
    lap, position = np.divmod(np.arange(len(size_bytes)), number)
    snake = np.where(lap % 2 == 0, position, number - 1 - position)
    assigned = np.empty(len(size_bytes), dtype=np.int32)
    assigned[order] = snake
    return assigned
