"""Results of tasks as bytes, for the ledger to keep between writing and recording."""

from __future__ import annotations

import pyarrow as pa


def to_blob(results: pa.Table) -> bytes:
    """Results as an Arrow IPC stream, for the ledger to keep until the batch is recorded."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, results.schema) as writer:
        writer.write_table(results)
    return bytes(sink.getvalue())


def from_blob(blob: bytes) -> pa.Table:
    """The results that `to_blob` wrote."""
    return pa.ipc.open_stream(blob).read_all()
