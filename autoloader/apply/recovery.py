"""What a dead apply left half done: recorded where its commit took place, given back where it did not."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.apply.blobs import from_blob
from autoloader.apply.growing import learn, pin, schema_of
from autoloader.apply.rebuilding import branch_of
from autoloader.apply.report import Step
from autoloader.apply.tools import LEASE_S, Tools
from autoloader.errors import LedgerError, LockBusyError

if TYPE_CHECKING:
    from autoloader.ledger import BatchRow
    from autoloader.schema import TableSchema


_HOLDER: Final = re.compile(r".*@(?P<host>[^@:]+):(?P<pid>[0-9]+)", re.DOTALL)
CUT_OFF: Final = "its process ended before it"


def recover(tools: Tools, tables: Mapping[str, str]) -> list[Step]:
    """Settle every unfinished batch whose holder is dead.

    Args:
        tools: The surroundings.
        tables: Table name per recorded ingestion.

    Returns:
        One step per batch. A batch that another process is settling at this moment is left to it.
    """
    free_dead_leases(tools)
    steps = []
    for batch in tools.ledger.unfinished(now=tools.clock()):
        try:
            steps.append(_settle(tools, batch, tables[batch.ingestion]))
        except LockBusyError:
            continue
    close_dead_runs(tools, tables)
    return steps


def close_dead_runs(tools: Tools, tables: Mapping[str, str]) -> int:
    """Close runs whose process died before their first batch or after their last one: no batch leads to them.

    Such a run may have made a branch and put nothing on it.

    Returns:
        How many there were.
    """
    now = tools.clock()
    living = {lease.holder for lease in tools.ledger.leases() if lease.is_live(now)}
    dead = [run for run in tools.ledger.runs(state="running") if run.holder not in living]
    for run in dead:
        table = tables.get(run.ingestion)
        if table is not None and tools.lake.table(table) is not None:
            tools.lake.remove_branch(table, branch_of(run.run_id))
        tools.ledger.finish_run(run.run_id, "incomplete", now=now, error=CUT_OFF)
    return len(dead)


def free_dead_leases(tools: Tools) -> int:
    """End the leases of processes of this host that are gone, so that nobody has to wait for their time.

    A holder that only looks gone (another container under the same host name) is fenced off and loses nothing.

    Returns:
        How many there were.
    """
    own = _HOLDER.fullmatch(tools.holder)
    if own is None or os.name != "posix":
        return 0
    freed = 0
    for lease in tools.ledger.leases():
        holder = _HOLDER.fullmatch(lease.holder)
        if holder is None or holder["host"] != own["host"] or _lives(int(holder["pid"])):
            continue
        try:
            tools.ledger.break_lease(lease.id, "its process is gone", now=tools.clock(), actor=tools.holder)
        except LedgerError:
            continue  # somebody else was quicker
        freed += 1
    return freed


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _settle(tools: Tools, batch: BatchRow, table: str) -> Step:
    started = tools.clock()
    lease = tools.ledger.take_over(batch.batch_id, tools.holder, LEASE_S, tools.clock())
    try:
        snapshot_id = _revoke(tools, table, batch.batch_id)
        if snapshot_id is not None and batch.results is not None:
            outcome = from_blob(batch.results)
            _learn(tools, batch, table, schema_of(outcome))
            tools.ledger.record(batch.batch_id, outcome, snapshot_id, lease=lease, now=tools.clock())
            _finish_rebuild(tools, batch, table)
            operation = "batch_recorded"
        else:
            if tools.lake.table(table) is not None:
                tools.lake.remove_branch(table, branch_of(batch.run_id))
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


def _learn(tools: Tools, batch: BatchRow, table: str, schema: TableSchema | None) -> None:
    """Pin the columns that a batch was written for, as its worker would have done after the commit."""
    if schema is None:
        return
    if _was_rebuilt(tools, batch, table):
        row = tools.ledger.ingestion(batch.ingestion)
        if row is not None:
            pin(tools, row, schema, "backfill")
        return
    learn(tools, batch.ingestion, schema)


def _was_rebuilt(tools: Tools, batch: BatchRow, table: str) -> bool:
    """Whether the table that is served is the one that the batch's run has built aside."""
    state = tools.lake.table(table)
    if state is None or not state.history:
        return False
    return state.history[-1].summary.get("autoloader.branch") == branch_of(batch.run_id)


def _finish_rebuild(tools: Tools, batch: BatchRow, table: str) -> None:
    """A rebuilt table was served before its process died: files that are not in it have no rows any more."""
    if not _was_rebuilt(tools, batch, table):
        return
    of_run = {each.batch_id for each in tools.ledger.batches(batch.run_id)}
    versions = tools.ledger.versions(batch.ingestion)
    mine = versions.filter(pc.is_in(versions["batch"], value_set=pa.array(sorted(of_run), pa.string())))
    first = pc.min(mine["src_file_id"]).as_py()
    if first is not None:
        tools.ledger.clear_rows(batch.ingestion, batch.run_id, now=tools.clock(), below=first)


def _close_run(tools: Tools, batch: BatchRow) -> None:
    run = tools.ledger.run(batch.run_id)
    if run is not None and run.state == "running":
        tools.ledger.finish_run(batch.run_id, "incomplete", now=tools.clock(), error=CUT_OFF)
