"""What a dead apply left half done: recorded where its commit took place, given back where it did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoloader.apply.blobs import from_blob
from autoloader.apply.report import Step
from autoloader.apply.tools import LEASE_S, Tools
from autoloader.errors import LockBusyError

if TYPE_CHECKING:
    from autoloader.ledger import BatchRow


def recover(tools: Tools, tables: Mapping[str, str]) -> list[Step]:
    """Settle every unfinished batch whose holder is dead.

    Args:
        tools: The surroundings.
        tables: Table name per recorded ingestion.

    Returns:
        One step per batch. A batch that another process is settling at this moment is left to it.
    """
    steps = []
    for batch in tools.ledger.unfinished(now=tools.clock()):
        try:
            steps.append(_settle(tools, batch, tables[batch.ingestion]))
        except LockBusyError:
            continue
    return steps


def _settle(tools: Tools, batch: BatchRow, table: str) -> Step:
    started = tools.clock()
    lease = tools.ledger.take_over(batch.batch_id, tools.holder, LEASE_S, tools.clock())
    try:
        snapshot_id = _revoke(tools, table, batch.batch_id)
        if snapshot_id is not None and batch.results is not None:
            tools.ledger.record(batch.batch_id, from_blob(batch.results), snapshot_id, lease=lease, now=tools.clock())
            operation = "batch_recorded"
        else:
            tools.lake.sweep(table, batch.batch_id)
            tools.ledger.release(batch.batch_id, lease=lease, now=tools.clock())
            operation = "batch_released"
        _close_run(tools, batch)
    finally:
        tools.ledger.unlock(lease)
    seconds = (tools.clock() - started).total_seconds()
    tools.events.send(operation, batch_id=batch.batch_id, run_id=batch.run_id, recovered=True)
    details = {"batch": batch.batch_id, "files": batch.files, "run": batch.run_id, "recovered": True}
    return Step(batch.ingestion, operation, "done", seconds, details)


def _revoke(tools: Tools, table: str, batch_id: str) -> int | None:
    """The batch's snapshot; None when it was not committed, and from now on cannot be."""
    if tools.lake.table(table) is None:
        return None
    return tools.lake.revoke(table, batch_id)


def _close_run(tools: Tools, batch: BatchRow) -> None:
    run = tools.ledger.run(batch.run_id)
    if run is not None and run.state == "running":
        tools.ledger.finish_run(batch.run_id, "incomplete", now=tools.clock(), error="its process ended before it")
