"""Loading one ingestion's files in one lane: claimed, written, committed, recorded, batch by batch.

The order of these four is the whole promise: whatever dies between two of them, the batch id in the
table's history tells the next apply which side of the commit it died on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autoloader import loader
from autoloader.apply import growing
from autoloader.apply.batching import split_into_batches, spread_over_tasks
from autoloader.apply.blobs import to_blob
from autoloader.apply.removal import Swapped, commit_swap
from autoloader.apply.report import Counts, Steps
from autoloader.apply.target import Budget, Target
from autoloader.apply.tools import Tools
from autoloader.apply.undone import is_beside
from autoloader.apply.versions import Versions
from autoloader.errors import AutoloaderError, SchemaMovedError
from autoloader.inventory import FileState

if TYPE_CHECKING:
    from autoloader.ledger import Lease

TASKS_PER_CORE: Final = 3
SMALL_TASK_BYTES: Final = 16_000_000
MOST_PROBLEMS: Final = 20  # that are told by name
ATTEMPTS: Final = 5  # of a batch whose table gets other columns from other workers


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading a lane came to.

    Attributes:
        counts: Files, rows, bytes.
        snapshot_id: The last snapshot that was committed, None where there was none.
        stopped: Why the apply has to end before everything is loaded, None where it has not.
        left: Why the rest is left for a later run, which is fine; None where nothing is.
        problems: Path and error of files that failed, at most `MOST_PROBLEMS`.
        pending: Batches on a branch, to be recorded once the branch is served.
        target: As it was loaded in the end: its schema may have grown.
        grown: What grew, as sentences with their class.
    """

    counts: Counts
    snapshot_id: int | None
    stopped: str | None
    problems: tuple[tuple[str, str], ...]
    pending: tuple[Pending, ...] = ()
    target: Target | None = None
    grown: tuple[dict[str, str], ...] = ()
    left: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A batch that is committed to a branch and not recorded yet.

    Attributes:
        outcome: Its files' results.
        rejected: `loader.RESULT` rows of the data files with rejected rows, which are committed nowhere yet.
        lost: Files that had rows in the old table and failed now.
    """

    batch_id: str
    outcome: pa.Table = field(repr=False)
    rejected: pa.Table = field(repr=False)
    lost: int = 0


def run_lane(tools: Tools, target: Target, files: pa.Table, lease: Lease, budget: Budget, steps: Steps) -> Loaded:
    """Load files as one step of an apply, which says what it came to; see `load_lane`."""
    with steps.step("run_triggered", run=target.run_id, lane=target.lane) as details:
        started = time.monotonic()
        loaded = load_lane(tools, target, files, lease, budget)
        details["cost_usd"] = budget.spent(loaded.counts, time.monotonic() - started)
        details["stopped"], details["left"] = loaded.stopped, loaded.left
        details.update(loaded.counts.as_data())
    if loaded.grown:
        steps.keep("table_grown", "done", 0.0, {"table": target.table, "changes": list(loaded.grown)})
    return loaded


def load_lane(tools: Tools, target: Target, files: pa.Table, lease: Lease, budget: Budget) -> Loaded:
    """Load files in batches until all are done or a bound, a signal or the budget says stop.

    Args:
        tools: The surroundings.
        target: What is loaded where.
        files: The work, rows of `inventory.DIFF`, in load order.
        lease: The load lease of the ingestion; its caller keeps it alive.
        budget: Where to stop.
    """
    counts, snapshot_id, problems = Counts(), None, list[tuple[str, str]]()
    pending: list[Pending] = []
    began = target
    started = time.monotonic()
    if files.num_rows:
        tools.engine()  # before the first claim: without an engine no file is taken
    tools.progress.begin(target.ingestion, target.lane, files.num_rows, _bytes(files))
    stopped = left = None
    try:
        for part in split_into_batches(files, tools.batch_size):
            stopped = _stop_reason(tools, budget, counts, time.monotonic() - started)
            left = budget.limited(counts, time.monotonic() - started) if counts.batches else None
            if stopped is not None or left is not None:
                break
            done = _load_batch(tools, target, part, lease, _teller(tools, counts, part))
            counts.add(done.counts)
            stopped = done.stopped
            snapshot_id = done.snapshot_id or snapshot_id
            target = replace(done.target or target, growth=None)
            problems.extend(done.problems)
            pending.extend(done.pending)
            tools.progress.advance(counts.files, counts.bytes, _float(budget.spent(counts, time.monotonic() - started)))
            if stopped is not None:
                break
    finally:
        tools.progress.end()
    counts.seconds = time.monotonic() - started
    grown = () if target.reads is None else tuple(growing.changes(began, target))
    return Loaded(counts, snapshot_id, stopped, tuple(problems[:MOST_PROBLEMS]), tuple(pending), target, grown, left)


def _stop_reason(tools: Tools, budget: Budget, counts: Counts, elapsed_s: float) -> str | None:
    if tools.stop.asked:
        return "interrupted"
    return budget.exceeded(counts, elapsed_s) if counts.batches else budget.used_up()


def _teller(tools: Tools, before: Counts, part: pa.Table) -> Callable[[int, int], None]:
    """Progress inside a batch: its files and bytes count by the share of its tasks that are done."""
    files, size = part.num_rows, _bytes(part)

    def tell(done: int, total: int) -> None:
        share = done / total if total else 0.0
        tools.progress.advance(before.files + int(files * share), before.bytes + int(size * share), None)

    return tell


def _load_batch(tools: Tools, target: Target, part: pa.Table, lease: Lease, tell: Callable[[int, int], None]) -> Loaded:
    claimed = tools.ledger.claim(target.run_id, target.ingestion, target.lane, part, lease, now=tools.clock())
    counts = Counts(batches=1, left_out=claimed.left_out.num_rows)
    problems = [(row["file_path"], row["reason"]) for row in claimed.left_out.slice(0, MOST_PROBLEMS).to_pylist()]
    if claimed.files.num_rows == 0:
        return Loaded(counts, None, None, tuple(problems))
    batch_id = claimed.batch_id
    tools.events.send("batch_claimed", run_id=target.run_id, batch_id=batch_id, files=claimed.files.num_rows)
    tools.at("claimed")
    target, results, swapped = _committed(tools, target, batch_id, claimed.files, lease, tell)
    tools.at("committed")
    tools.events.send("batch_committed", run_id=target.run_id, batch_id=batch_id, snapshot_id=swapped.snapshot_id)
    if target.growth is not None:
        growing.learn(tools, target.ingestion, target.contract.schema)
    outcome = results.filter(pc.equal(results["kind"], "file"))
    outcome = Versions.of(tools.ledger, target.ingestion).stamp(outcome, tools.clock())
    _count(counts, outcome)
    counts.rewritten_bytes += swapped.rewritten_bytes
    if target.branch is not None:
        rejected = results.filter(pc.equal(results["table"], "quarantine"))
        pending = Pending(batch_id, outcome, rejected, _lost(claimed.files, outcome))
        return Loaded(
            counts, swapped.snapshot_id, _away(outcome), tuple(problems + _failed(outcome)), (pending,), target
        )
    tools.ledger.record(
        batch_id, outcome, swapped.snapshot_id, lease=lease, now=tools.clock(), max_attempts=target.max_attempts
    )
    tools.at("recorded")
    tools.events.send("batch_recorded", run_id=target.run_id, batch_id=batch_id, **counts.as_data())
    return Loaded(counts, swapped.snapshot_id, _away(outcome), tuple(problems + _failed(outcome)), (), target)


def _committed(
    tools: Tools, target: Target, batch_id: str, files: pa.Table, lease: Lease, tell: Callable[[int, int], None]
) -> tuple[Target, pa.Table, Swapped]:
    """The target as it has grown, what the tasks wrote, and the snapshot that holds it.

    Where another worker has given the table columns of its own meanwhile, the batch is written anew for them.
    """
    for left in reversed(range(ATTEMPTS)):
        grown, results = _written(tools, target, batch_id, files, lease, tell)
        tools.at("loaded")
        tools.ledger.written(batch_id, to_blob(growing.with_schema(results, grown)), lease=lease, now=tools.clock())
        tools.at("written")
        tools.events.send("batch_written", run_id=target.run_id, batch_id=batch_id)
        try:
            return grown, results, commit_batch(tools, grown, batch_id, files, results, lease)
        except SchemaMovedError:
            if not left:
                raise
            tools.events.send("batch_rewritten", run_id=target.run_id, batch_id=batch_id)
            tools.lake.sweep(target.table, batch_id)
    raise AssertionError("unreachable")


def _written(
    tools: Tools, target: Target, batch_id: str, files: pa.Table, lease: Lease, tell: Callable[[int, int], None]
) -> tuple[Target, pa.Table]:
    """What the tasks wrote. Where they fail, the files are given back at once and nothing is left behind."""
    try:
        return _write_growing(tools, target, batch_id, files, tell)
    except AutoloaderError:
        with suppress(AutoloaderError):  # what failed may keep this from being done, too: then recovery does it
            tools.ledger.release(batch_id, lease=lease, now=tools.clock())
            tools.lake.sweep(target.table, batch_id)
        raise


def _write_growing(
    tools: Tools, target: Target, batch_id: str, files: pa.Table, tell: Callable[[int, int], None]
) -> tuple[Target, pa.Table]:
    """Write a batch; files that ask for columns or types are written when the others have been heard."""
    results = _write(tools, growing.may_grow(target), batch_id, files, tell)
    for left in reversed(range(growing.ROUNDS)):
        asking = growing.asking(results)
        if not len(asking):
            break
        target = growing.grown(tools, target, results)
        again = files.filter(pc.is_in(files["src_file_id"], asking))
        more = _write(tools, growing.may_grow(target, last=not left), batch_id, again, _tell_nobody)
        others = pc.fill_null(pc.not_equal(results["state"], loader.GROWS), True)
        results = pa.concat_tables([results.filter(others), more])
    return target, results


def _tell_nobody(done: int, total: int) -> None:
    """The batch's tasks have been counted before."""


def _write(tools: Tools, target: Target, batch_id: str, files: pa.Table, tell: Callable[[int, int], None]) -> pa.Table:
    """Run the loader's tasks over a batch; one result row per file, one per data file."""
    engine = tools.engine()
    job = loader.LoadJob(
        batch_id=batch_id,
        ingested_at=tools.clock(),
        contract=target.contract,
        main=tools.lake.write_format(target.table, branch=target.branch, update=target.update),
        quarantine=tools.lake.quarantine_format(target.table) if target.quarantine else None,
        storage=tools.storage,
    )
    tasks = as_tasks(files, _task_count(files, engine.parallelism))
    return engine.map(tasks, loader.load_files(job), loader.RESULT, on_progress=tell)


def _task_count(files: pa.Table, parallelism: int) -> int:
    """Enough tasks to keep every core busy to the end, few enough that data files do not get tiny."""
    by_size = max(parallelism, _bytes(files) // SMALL_TASK_BYTES)
    return int(min(files.num_rows, by_size, parallelism * TASKS_PER_CORE))


def as_tasks(files: pa.Table, tasks: int) -> pa.Table:
    """Claimed rows as rows of `loader.TASK`."""
    sizes = files["size_bytes"].to_numpy(zero_copy_only=False).astype(np.int64)
    columns = {
        "task": pa.array(spread_over_tasks(sizes, tasks)),
        "modified_at_ns": files["modified_at"].cast(pa.int64()),
    }
    return pa.table(
        [columns.get(name, files[name] if name in files.column_names else None) for name in loader.TASK.names],
        schema=loader.TASK,
    )


def commit_batch(
    tools: Tools, target: Target, batch_id: str, files: pa.Table, results: pa.Table, lease: Lease
) -> Swapped:
    """Commit what the tasks wrote in one snapshot, with the old rows of replaced files leaving in it."""
    loaded = results.filter(
        pc.and_(pc.equal(results["kind"], "file"), pc.equal(results["state"], FileState.SUCCESS.value))
    )
    replaced = files.filter(pc.is_in(files["src_file_id"], loaded["src_file_id"].combine_chunks()))
    leaving = replaced["replaces"].drop_null().combine_chunks() if target.branch is None else pa.array([], pa.int64())
    if target.back is not None and target.branch is None:
        leaving = pc.unique(pa.concat_arrays([leaving, _back(target.back, replaced, appends=target.appends)]))
    data_files = results.filter(pc.equal(results["kind"], "data_file"))
    return commit_swap(tools, target, batch_id, data_files, leaving, lease)


def _back(back: pa.Table, loaded: pa.Table, *, appends: bool) -> pa.Array:
    """Which of the versions that a rollback brought back leave with the load of newer ones."""
    leaves = pc.is_in(back["file_path"], loaded["file_path"].combine_chunks())
    if appends:
        beside = loaded.filter(is_beside(loaded))["file_path"].combine_chunks()
        leaves = pc.and_(leaves, pc.or_(back["removed"], pc.invert(pc.is_in(back["file_path"], beside))))
    return back.filter(leaves)["src_file_id"].combine_chunks()


def _lost(files: pa.Table, outcome: pa.Table) -> int:
    good = outcome.filter(pc.equal(outcome["state"], FileState.SUCCESS.value))
    bad = files.filter(pc.invert(pc.is_in(files["src_file_id"], good["src_file_id"].combine_chunks())))
    return int(bad.num_rows - bad["replaces"].null_count)


def _count(counts: Counts, outcome: pa.Table) -> None:
    for state, number in zip(*_value_counts(outcome["state"]), strict=True):
        match state:
            case FileState.SUCCESS:
                counts.files += number
            case FileState.QUARANTINED:
                counts.quarantined += number
            case FileState.MISSING:
                counts.moved += number
            case loader.AWAY:
                counts.away += number
            case _:
                counts.failed += number
    loaded = outcome.filter(pc.equal(outcome["state"], FileState.SUCCESS.value))
    counts.rows += pc.sum(loaded["rows"]).as_py() or 0
    counts.rejected_rows += pc.sum(loaded["rejected_rows"]).as_py() or 0
    counts.rescued_rows += pc.sum(loaded["rescued_rows"]).as_py() or 0
    counts.bytes += pc.sum(loaded["bytes_read"]).as_py() or 0


def _value_counts(column: pa.ChunkedArray) -> tuple[list[str], list[int]]:
    found = column.value_counts()
    return found.field("values").to_pylist(), found.field("counts").to_pylist()


def _failed(outcome: pa.Table) -> list[tuple[str, str]]:
    told = pa.array([FileState.SUCCESS.value, loader.AWAY])  # of these the reason to stop is told
    bad = outcome.filter(pc.invert(pc.is_in(outcome["state"], told))).slice(0, MOST_PROBLEMS)
    return [
        (row["file_path"], row["error"] or row["state"])
        for row in bad.select(["file_path", "error", "state"]).to_pylist()
    ]


def _away(outcome: pa.Table) -> str | None:
    """Why the next batch would fare no better: the storage of a file could not be reached; None: it could."""
    errors = outcome.filter(pc.equal(outcome["state"], loader.AWAY))["error"]
    return None if len(errors) == 0 else str(errors[0].as_py()).partition("\n")[0].rstrip(".")


def _bytes(files: pa.Table) -> int:
    return int(pc.sum(files["size_bytes"]).as_py() or 0)


def _float(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
