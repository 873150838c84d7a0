"""What a dead apply left half done: recorded where its commit took place, given back where it did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.apply.blobs import from_blob
from autoloader.apply.growing import learn, schema_of
from autoloader.apply.holders import is_gone
from autoloader.apply.rebuilding import branch_of, record_swap, with_columns
from autoloader.apply.report import Step
from autoloader.apply.tools import Tools
from autoloader.apply.versions import Versions
from autoloader.errors import AutoloaderError, LakeError, LedgerError, LockBusyError, SourceError
from autoloader.inventory import FileState
from autoloader.lake import Commit

if TYPE_CHECKING:
    from autoloader.lake import TableState
    from autoloader.ledger import BatchRow, Lease

CUT_OFF: Final = "its process ended before it"
STRAGGLERS: Final = timedelta(days=1)
"""How long a task may outlive its driver: so long the folders of released batches are looked at again."""


@dataclass(slots=True)
class Recovered:
    """What recovery came to.

    Attributes:
        steps: One per batch, failed for those that could not be settled.
        errors: Ingestion and error of those that could not be; their files stay claimed, and nobody loads them.
    """

    steps: list[Step] = field(default_factory=list)
    errors: list[tuple[str, AutoloaderError]] = field(default_factory=list)


def recover(tools: Tools, tables: Mapping[str, Sequence[str]]) -> Recovered:
    """Settle every unfinished batch whose holder is dead.

    A batch that another process is settling at this moment is left to it; one that may have been committed to a
    table that is not there waits for the table. A table that cannot be read or written stops no other.

    Args:
        tools: The surroundings.
        tables: Per recorded ingestion the names that its table may have: as recorded, and as the spec has it.
    """
    free_dead_leases(tools)
    done = Recovered()
    for batch in tools.ledger.unfinished(now=tools.clock()):
        try:
            table = _table_of(tools, batch, tables.get(batch.ingestion, ()))
            done.steps.append(_settle(tools, batch, table))
        except LockBusyError:
            continue
        except LedgerError:
            if _is_open(tools, batch):
                raise
        except (LakeError, SourceError) as error:
            details = {"batch": batch.batch_id, "run": batch.run_id, "recovered": True, "error": str(error)}
            done.steps.append(Step(batch.ingestion, "batch_released", "failed", 0.0, details))
            done.errors.append((batch.ingestion, error))
    close_dead_runs(tools, tables)
    sweep_stragglers(tools, tables)
    return done


def _is_open(tools: Tools, batch: BatchRow) -> bool:
    """Whether nobody else has settled a batch, or taken it over to settle it, in the meantime."""
    return batch.batch_id in {each.batch_id for each in tools.ledger.unfinished(batch.ingestion, now=tools.clock())}


def settle_rest(tools: Tools, name: str, names: Sequence[str] = (), *, given_up: bool = False) -> None:
    """Settle what died on an ingestion since this apply began. The caller holds the ingestion alone.

    Args:
        tools: The surroundings.
        name: The ingestion.
        names: Names that its table may have beside the recorded one.
        given_up: What is in a table that is not there does not count any more: the ingestion is forgotten, or its table
            is built anew.

    Raises:
        LakeError: A batch may have been committed to a table that is not there.
    """
    find = _find if given_up else _table_of
    for batch in tools.ledger.unfinished(name, now=tools.clock()):
        _settle(tools, batch, find(tools, batch, _names(tools, name, names)))


def check_settled(tools: Tools, name: str, names: Sequence[str] = ()) -> None:
    """Return if no dead batch of an ingestion waits for a table that is not there: loading goes into that one alone.

    Raises:
        LakeError: A batch may have been committed to a table that is not there.
    """
    for batch in tools.ledger.unfinished(name, now=tools.clock()):
        _table_of(tools, batch, _names(tools, name, names))


def _names(tools: Tools, name: str, others: Sequence[str]) -> Sequence[str]:
    row = tools.ledger.ingestion(name)
    return tuple(dict.fromkeys((*filter(None, (row.table if row is not None else None,)), *others)))


def _table_of(tools: Tools, batch: BatchRow, names: Sequence[str]) -> TableState | None:
    """The table that a batch was written for; None where it is not there, and nothing was committed to it.

    Raises:
        LakeError: It is not there, and may hold the batch.
    """
    table = _find(tools, batch, names)
    if table is not None or batch.results is None:
        return table
    there = next((name for name in names if tools.lake.table(name) is not None), None)
    raise LakeError(
        f"a batch of {batch.ingestion} can neither be recorded nor given back",
        why=f"it may have been committed to {' or '.join(names)} (table id {_uuid(tools, batch)});"
        + (f" in this catalog {there} is another table" if there is not None else " this catalog has no such table")
        + f". Until it is found nothing is loaded into {batch.ingestion}.",
        fix="Apply with the catalog that has it (another --env?), or give it its name back. If it is gone for good,"
        f" build it anew:\n  autoloader apply --refresh {batch.ingestion}=full",
    )


def _find(tools: Tools, batch: BatchRow, names: Sequence[str]) -> TableState | None:
    """The very table that a batch was written for, under any of its names; another one of that name is none of it."""
    uuid = _uuid(tools, batch)
    tables = (tools.lake.table(name) for name in names)
    return next((table for table in tables if table is not None and uuid in (None, table.uuid)), None)


def _uuid(tools: Tools, batch: BatchRow) -> str | None:
    run, row = tools.ledger.run(batch.run_id), tools.ledger.ingestion(batch.ingestion)
    of_run = (run.extra or {}).get("table_uuid") if run is not None else None
    return of_run or (row.table_uuid if row is not None else None)


def rise_above_fence(tools: Tools, name: str, names: Sequence[str] = ()) -> None:
    """Let the next lease on an ingestion have a token that its table takes; to be called before it is acquired.

    A state that was lost or put back counts from below what the table has seen. Where the table may have loads that it
    does not know of, its tokens stay as they are: by them the plan tells that it is behind.
    """
    row = tools.ledger.ingestion(name)
    seen = ((row.extra if row is not None else None) or {}).get("snapshot_id")
    for table in filter(None, (tools.lake.table(each) for each in _names(tools, name, names))):
        if table.rows == 0 or seen is None or table.has_come_through(seen):
            tools.ledger.raise_tokens(table.fence)


def close_dead_runs(tools: Tools, tables: Mapping[str, Sequence[str]]) -> int:
    """Close runs whose process died before their first batch or after their last one: no batch leads to them.

    Such a run may have made a branch and put nothing on it.

    Returns:
        How many there were.
    """
    running = tools.ledger.runs(state="running")  # before the leases: whoever begins meanwhile is not among them
    living = {lease.holder for lease in tools.ledger.living(now=tools.clock())}
    dead = [run for run in running if run.holder not in living]
    for run in dead:
        with suppress(LakeError):  # the next apply comes by again
            for table in tables.get(run.ingestion, ()):
                if tools.lake.table(table) is not None:
                    tools.lake.remove_branch(table, branch_of(run.run_id))
            _close_run(tools, run.run_id)
    return len(dead)


def sweep_stragglers(tools: Tools, tables: Mapping[str, Sequence[str]]) -> int:
    """Delete what tasks wrote after their batch was given back: executors may outlive their driver for a while.

    Only where the very table is there that the batch was written for: one in another catalog may lie at the same place.

    Returns:
        How many files there were.
    """
    gone = 0
    for batch in tools.ledger.released(since=tools.clock() - STRAGGLERS):
        with suppress(AutoloaderError):  # housekeeping: the next apply comes by again
            table = _find(tools, batch, tables.get(batch.ingestion, ()))
            gone += tools.lake.sweep(table.name, batch.batch_id) if table is not None else 0
    return gone


def free_dead_leases(tools: Tools) -> int:
    """End the leases of processes of this machine that are gone, so that nobody has to wait for their time.

    Returns:
        How many there were.
    """
    freed = 0
    for lease in tools.ledger.leases():
        if not is_gone(lease.holder, tools.holder):
            continue
        try:
            tools.ledger.break_lease(lease.id, "its process is gone", now=tools.clock(), actor=tools.holder)
        except LedgerError:
            continue  # somebody else was quicker
        freed += 1
    return freed


def _settle(tools: Tools, batch: BatchRow, found: TableState | None) -> Step:
    table = found.name if found is not None else None
    rise_above_fence(tools, batch.ingestion, () if table is None else (table,))
    started = tools.clock()
    lease = tools.ledger.take_over(batch.batch_id, tools.holder, tools.lease_s, tools.clock())
    try:
        snapshot_id = _revoke(tools, table, batch)
        tools.at("revoked")
        if table is not None and snapshot_id is not None and batch.results is not None:
            _record(tools, batch, table, snapshot_id, lease)
            operation = "batch_recorded"
        else:
            _release(tools, batch, table, lease)
            operation = "batch_released"
        _close_run(tools, batch.run_id)
    finally:
        tools.ledger.unlock(lease)
    seconds = (tools.clock() - started).total_seconds()
    tools.events.send(operation, batch_id=batch.batch_id, run_id=batch.run_id, recovered=True)
    details = {"batch": batch.batch_id, "files": batch.files, "run": batch.run_id, "recovered": True}
    return Step(batch.ingestion, operation, "done", seconds, details)


def _revoke(tools: Tools, table: str | None, batch: BatchRow) -> int | None:
    """The batch's snapshot; None when it was not committed, and from now on cannot be."""
    if table is None:
        return None
    ids = _versions_with_rows(batch)
    return tools.lake.revoke(table, batch.batch_id, src_file_ids=ids, fencing_token=batch.token)


def _versions_with_rows(batch: BatchRow) -> list[int]:
    """The source file versions whose rows a commit of the batch puts into the table."""
    results = from_blob(batch.results) if batch.results is not None else None
    if results is None or "kind" not in results.column_names:
        return []
    loaded = pc.and_(pc.equal(results["state"], FileState.SUCCESS.value), pc.greater(results["rows"], 0))
    ids: list[int] = results.filter(pc.and_(pc.equal(results["kind"], "file"), loaded))["src_file_id"].to_pylist()
    return ids


def _record(tools: Tools, batch: BatchRow, table: str, snapshot_id: int, lease: Lease) -> None:
    """The commit took place: what came after it is done now, the rejected rows' own commit included."""
    results = from_blob(batch.results or b"")
    run = tools.ledger.run(batch.run_id)
    rejected = results.filter(pc.equal(results["table"], "quarantine")) if "table" in results.column_names else None
    if rejected is not None and rejected.num_rows:  # the batch is in the table; what may be missing is beside it
        commit = Commit(
            batch_id=batch.batch_id,
            plan_id=(run.plan_id if run is not None else None) or "",
            run_id=batch.run_id,
            fencing_token=lease.token,
            ingestion=batch.ingestion,
            data_files=rejected,
        )
        tools.lake.commit(table, commit)
    rebuild = (run.extra or {}).get("rebuild") if run is not None else None
    grown = schema_of(results)
    if rebuild is not None:
        pinned = with_columns(rebuild, grown)
        record_swap(tools, batch.ingestion, batch.run_id, _first_version(tools, batch), pinned)
    elif grown is not None:
        learn(tools, batch.ingestion, grown)
    if "kind" in results.column_names:
        files = results.filter(pc.equal(results["kind"], "file"))
        results = Versions.of(tools.ledger, batch.ingestion).stamp(files, tools.clock())
    tools.ledger.record(batch.batch_id, results, snapshot_id, lease=lease, now=tools.clock())


def _release(tools: Tools, batch: BatchRow, table: str | None, lease: Lease) -> None:
    """The commit did not take place: files are what they were, and nothing lies about."""
    if table is not None:
        tools.lake.remove_branch(table, branch_of(batch.run_id))
        tools.lake.sweep(table, batch.batch_id)
    tools.ledger.release(batch.batch_id, lease=lease, now=tools.clock())


def _first_version(tools: Tools, batch: BatchRow) -> int | None:
    of_run = {each.batch_id for each in tools.ledger.batches(batch.run_id)}
    versions = tools.ledger.versions(batch.ingestion)
    mine = versions.filter(pc.is_in(versions["batch"], value_set=pa.array(sorted(of_run), pa.string())))
    first: int | None = pc.min(mine["src_file_id"]).as_py()
    return first


def _close_run(tools: Tools, run_id: str) -> None:
    run = tools.ledger.run(run_id)
    if run is not None and run.state == "running":
        tools.ledger.finish_run(run_id, "incomplete", now=tools.clock(), error=CUT_OFF)
