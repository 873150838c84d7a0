"""Refresh: a table built anew beside the one that is served, and swapped in when it is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.apply import changes
from autoloader.apply.loading import Loaded, run_lane
from autoloader.apply.recipe import Recipe
from autoloader.apply.removal import commit_of
from autoloader.apply.report import Steps
from autoloader.apply.target import Budget, Target
from autoloader.apply.tools import Tools
from autoloader.errors import IncompleteError

if TYPE_CHECKING:
    from autoloader.ledger import Lease
    from autoloader.schema import TableSchema


def branch_of(run_id: str) -> str:
    """The branch on which a run builds a table anew."""
    return f"refresh-{run_id}"


def is_served(tools: Tools, plan_id: str, name: str) -> bool:
    """Whether what a plan builds anew is served already: it was cut off after that, and its batches are recorded."""
    runs = [run for run in tools.ledger.runs(name) if run.plan_id == plan_id and "rebuild" in (run.extra or {})]
    return any(batch.state == "recorded" for run in runs for batch in tools.ledger.batches(run.run_id))


def pins(recipe: Recipe, requests: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What is recorded once the rebuilt table is served, as data that is kept with the run for recovery."""
    return {"recipe": recipe.to_data(), "requests": [list(each) for each in requests]}


def with_columns(pinned: Mapping[str, Any], schema: TableSchema | None) -> Mapping[str, Any]:
    """What `pins` made, for a table that has grown while it was loaded; None: it has not."""
    if schema is None:
        return pinned
    return {**pinned, "recipe": replace(Recipe.from_data(pinned["recipe"]), schema=schema).to_data()}


def rebuild_aside(
    tools: Tools,
    target: Target,
    files: pa.Table,
    lease: Lease,
    budget: Budget,
    pinned: Mapping[str, Any],
    steps: Steps,
) -> Loaded:
    """Load all files into a branch and serve it once every one of them is in.

    Until then the old table is served and the ledger says nothing new; whatever stops the rebuild leaves
    both as they were.

    Args:
        tools: The surroundings.
        target: What is loaded where; `branch` names the branch.
        files: Every file of the new table.
        lease: Held on the ingestion.
        budget: Where to stop.
        pinned: What `pins` made.
        steps: Told each step.

    Raises:
        IncompleteError: It was stopped or a file failed; the old table stays.
    """
    branch, table = target.branch or branch_of(target.run_id), target.table
    layout = changes.free_layout(tools, table, target.foreseen.drops if target.foreseen else ())
    try:
        with steps.step("branch_created", table=table):
            tools.lake.remove_branch(table, branch)
            tools.lake.start_branch(table, branch)
        served = tools.lake.table(table)
        loaded = run_lane(tools, target, files, lease, budget, steps)
        rows_before = served.rows if served else None
        with steps.step("branch_compared", rows_before=rows_before, rows_after=loaded.counts.rows):
            _check_whole(target, loaded)
        with steps.step("branch_swapped", table=table):
            snapshot_id = tools.lake.swap(
                table,
                branch,
                expected_snapshot_id=served.snapshot_id if served else None,
                schema_update=(loaded.target or target).foreseen,
                fencing_token=lease.token,
                batch_ids=[batch.batch_id for batch in loaded.pending],
                seen=served,
            )
    except BaseException:
        tools.lake.remove_branch(table, branch)
        if layout is not None:
            tools.lake.evolve(table, partition_by=layout.partition_by, sort_by=layout.sort_by)
        raise
    tools.at("swapped")
    with steps.step("processed_files_cleared") as details:
        ids = [pc.min(batch.outcome["src_file_id"]).as_py() for batch in loaded.pending]
        reads = loaded.target.reads if loaded.target else None
        whole = with_columns(pinned, reads.schema if reads else None)
        gone = record_swap(tools, target.ingestion, target.run_id, min(ids, default=None), whole)
        for batch in loaded.pending:
            if batch.rejected.num_rows:
                tools.lake.commit(table, commit_of(target, batch.batch_id, batch.rejected, lease))
        for batch in loaded.pending:  # last: as long as one is not recorded, recovery comes back to all of this
            tools.ledger.record(
                batch.batch_id,
                batch.outcome,
                snapshot_id,
                lease=lease,
                now=tools.clock(),
                max_attempts=target.max_attempts,
            )
        replaced = files.num_rows - files["replaces"].null_count
        details.update(files=replaced + gone, rows=rows_before)
    return loaded


def record_swap(tools: Tools, name: str, run_id: str, first: int | None, pinned: Mapping[str, Any]) -> int:
    """Bring the ledger to a rebuilt table that is served now, its batches aside. Twice is once.

    Files that are not in the new table (gone from storage, out of scope, too young) have no rows any more, and are
    loaded like new ones when they are there or asked for again; the columns are those that it was built for; what
    asked for it is done.

    Args:
        tools: The surroundings.
        name: The ingestion.
        run_id: The run that built it.
        first: The lowest `src_file_id` in the new table; None: it holds no file.
        pinned: What `pins` made.

    Returns:
        How many files have no rows any more.
    """
    gone = tools.ledger.clear_rows(name, run_id, now=tools.clock(), below=first, settled=False)
    row = tools.ledger.ingestion(name)
    if row is not None:
        changes.record_schema(tools, Recipe.from_data(pinned["recipe"]), row, "backfill")
    for kind, request in pinned["requests"]:
        tools.ledger.record_request(name, kind, request, now=tools.clock(), run_id=run_id)
    return gone


def empty_table(tools: Tools, target: Target, lease: Lease) -> int:
    """Take every row out of the table, in a snapshot of its own; the files stay settled.

    Returns:
        How many files had rows in it.
    """
    seen = tools.lake.table(target.table)
    tools.ledger.check_lease(lease)
    emptied = tools.lake.rollback(target.table, None, fencing_token=lease.token, seen=seen)
    return tools.ledger.clear_rows(target.ingestion, target.run_id, now=tools.clock(), snapshot_id=emptied)


def _check_whole(target: Target, loaded: Loaded) -> None:
    """A rebuilt table may lack no file whose rows the old one has; files that never gave rows may fail again."""
    lost = loaded.counts.left_out + sum(batch.lost for batch in loaded.pending)
    if loaded.stopped is None and loaded.left is None and lost == 0:
        return
    raise IncompleteError(
        f"{target.table} was not rebuilt; the old table is served as before.",
        why=loaded.stopped
        or loaded.left
        or f"{lost} files whose rows it has could not be loaded, such as {_first(loaded)}",
        fix="Plan and apply the refresh again.",
    )


def _first(loaded: Loaded) -> str:
    return ": ".join(loaded.problems[0]) if loaded.problems else "?"
