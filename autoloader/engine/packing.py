"""Rows of one task as one opaque value: what travels through Spark, and what runs on its workers.

Spark sees pairs of task number and Arrow IPC bytes, nothing else. So no engine converts a type, a time
zone or a null of ours, no engine's limit on batch sizes splits a task, and every engine gives the same
table back. Imported on executors: nothing but pyarrow and the standard library may enter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

TaskFunction = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""What a task runs: batches of its rows in, batches of results out. Must be picklable."""

TASK: Final = "task"
PACKED: Final = pa.schema([pa.field(TASK, pa.int32()), pa.field("payload", pa.binary())])
MARK: Final = "\u27e6task failed\u27e7"
"""Stands around a task's own error in whatever an engine makes of it; see `failures`."""


def pack(table: pa.Table) -> tuple[tuple[int, bytes], ...]:
    """One entry per task number of `table`, rising; rows keep their order within a task.

    Raises:
        ValueError: If there is no integer column `task`, or if it holds a null.
    """
    import pyarrow.compute as pc

    numbers = table.column(TASK) if TASK in table.column_names else None
    if numbers is None or not pa.types.is_integer(numbers.type) or numbers.null_count:
        raise ValueError("the table needs an integer column 'task' without nulls")
    if not table.num_rows:
        return ()
    in_order = table.take(pc.sort_indices(numbers))  # stable
    runs = pc.run_end_encode(in_order.column(TASK).combine_chunks())
    ends = runs.run_ends.to_pylist()
    return tuple(
        (int(number), to_bytes(in_order.slice(start, end - start)))
        for number, start, end in zip(runs.values.to_pylist(), [0, *ends[:-1]], ends, strict=True)
    )


def to_bytes(table: pa.Table) -> bytes:
    """The table as one zstd-compressed Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_bytes(payloads: Iterator[bytes], schema: pa.Schema) -> pa.Table:
    """All streams one after the other, as one table of `schema`."""
    batches = [batch for payload in payloads for batch in pa.ipc.open_stream(payload)]
    return pa.Table.from_batches(batches, schema=schema)


@dataclass(frozen=True, slots=True)
class PackedTask:
    """The work of one task, picklable: unpack, run the function, pack what it yields.

    Attributes:
        function: What to run.
        schema: What every yielded batch must look like, names and types.
        slots: At most so many tasks at once in one process; 0 = as many as the engine starts. Sail
            runs all partitions at once as threads of one process, whatever their number.
    """

    function: TaskFunction
    schema: pa.Schema
    run_id: str
    slots: int = 0

    def run(self, payload: bytes) -> bytes:
        """One packed task in, its packed results out.

        Raises:
            RuntimeError: If the function raised; the text carries its error between two marks.
        """
        try:
            with _slot(self.run_id, self.slots):
                return self._run(payload)
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise RuntimeError(f"{MARK}{text}{MARK}") from error

    def _run(self, payload: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(sink, self.schema, options=options) as writer:
            for batch in self.function(iter(pa.ipc.open_stream(payload))):
                writer.write_batch(batch)
        return bytes(sink.getvalue())

    def over_pairs(self, pairs: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """For `RDD.mapPartitions`."""
        for number, payload in pairs:
            yield number, self.run(payload)

    def over_batches(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """For `DataFrame.mapInArrow` over rows of `PACKED`."""
        for batch in batches:
            for number, payload in zip(batch.column(0), batch.column(1), strict=True):
                result = self.run(payload.as_py())
                _count(self.run_id)
                yield pa.record_batch([[number.as_py()], [result]], schema=PACKED)


_lock = threading.Lock()
_slots: dict[str, threading.BoundedSemaphore] = {}
_done: dict[str, int] = {}


def _slot(run_id: str, slots: int) -> AbstractContextManager[object]:
    if not slots:
        return nullcontext()
    with _lock:
        return _slots.setdefault(run_id, threading.BoundedSemaphore(slots))


def _count(run_id: str) -> None:
    with _lock:
        _done[run_id] = _done.get(run_id, 0) + 1


def done_here(run_id: str) -> int:
    """How many tasks of a run this very process has finished (Sail's tasks run in ours)."""
    with _lock:
        return _done.get(run_id, 0)


def forget(run_id: str) -> None:
    """Drops what this process remembers of a run."""
    with _lock:
        _done.pop(run_id, None)
        _slots.pop(run_id, None)
