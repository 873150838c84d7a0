"""Rows of one task as one opaque value: what travels through Spark, and what runs on its workers.

Spark sees pairs of task number and Arrow IPC bytes, nothing else. So no engine converts a type, a time
zone or a null of ours, no engine's limit on batch sizes splits a task, and every engine gives the same
table back. Imported on executors: nothing but pyarrow and the standard library may enter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
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
        run_id: Unique.
        in_process: Whether it runs in the process that called for it, see `run_here`.
    """

    function: TaskFunction
    schema: pa.Schema
    run_id: str
    in_process: bool = False

    def run(self, payload: bytes) -> bytes:
        """One packed task in, its packed results out.

        Raises:
            RuntimeError: If the function raised; the text carries its error between two marks.
        """
        try:
            with _turn(self.run_id) if self.in_process else nullcontext():
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

    def over_pairs(self, pairs: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """For `RDD.mapPartitions`."""
        for number, payload in pairs:
            yield number, self.run(payload)

    def over_batches(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """For `DataFrame.mapInArrow` over rows of `PACKED`."""
        for batch in batches:
            for number, payload in zip(batch.column(0), batch.column(1), strict=True):
                yield pa.record_batch([[number.as_py()], [self.run(payload.as_py())]], schema=PACKED)


@dataclass(slots=True)
class RunHere:
    """A run whose tasks are threads of this process.

    Attributes:
        slots: So many of them work at a time; the others wait.
        done: How many are done.
        ended: Whether those that wait are given up.
    """

    slots: threading.BoundedSemaphore
    done: int = 0
    ended: bool = False

    def end(self) -> None:
        """Give up the tasks that still wait for their turn."""
        self.ended = True


_here: dict[str, RunHere] = {}
_lock = threading.Lock()


@contextmanager
def run_here(run_id: str, slots: int) -> Iterator[RunHere]:
    """A run whose tasks are threads of this process: Sail starts all at once, whatever their number.

    Args:
        run_id: As in `PackedTask`.
        slots: So many tasks at a time. When the block is left, the run is ended.
    """
    here = _here[run_id] = RunHere(threading.BoundedSemaphore(slots))
    try:
        yield here
    finally:
        here.end()
        del _here[run_id]


@contextmanager
def _turn(run_id: str) -> Iterator[None]:
    here = _here.get(run_id)
    if here is None:
        raise InterruptedError("the run is over")
    with here.slots:
        if here.ended:
            raise InterruptedError("the run is over")
        yield
    with _lock:
        here.done += 1
