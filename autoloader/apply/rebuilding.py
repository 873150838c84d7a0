"""Refresh: a table built anew beside the one that is served, and swapped in when it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.apply.loading import Loaded, run_lane
from autoloader.apply.report import Steps
from autoloader.apply.target import Budget, Target
from autoloader.apply.tools import Tools
from autoloader.errors import IncompleteError

if TYPE_CHECKING:
    from autoloader.ledger import Lease


def branch_of(run_id: str) -> str:
    """The branch on which a run builds a table anew."""
    return f"refresh-{run_id}"


def rebuild_aside(tools: Tools, target: Target, files: pa.Table, lease: Lease, budget: Budget, steps: Steps) -> Loaded:
    """Load all files into a branch and serve it once every one of them is in.

    Until then the old table is served and the ledger says nothing new; whatever stops the rebuild leaves
    both as they were.

    Args:
        tools: The surroundings.
        target: What is loaded where; `branch` names the branch.
        files: Every file of the new table.
        lease: Held on the ingestion.
        budget: Where to stop.
        steps: Told each step.

    Raises:
        IncompleteError: It was stopped or a file failed; the old table stays.
    """
    branch, table = target.branch or branch_of(target.run_id), target.table
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
            )
    except BaseException:
        tools.lake.remove_branch(table, branch)
        raise
    tools.at("swapped")
    with steps.step("processed_files_cleared") as details:
        for batch in loaded.pending:
            tools.ledger.record(
                batch.batch_id,
                batch.outcome,
                snapshot_id,
                lease=lease,
                now=tools.clock(),
                max_attempts=target.max_attempts,
            )
        replaced = files.num_rows - files["replaces"].null_count
        details.update(files=replaced + _forget_the_rest(tools, target, loaded), rows=rows_before)
    return loaded


def empty_table(tools: Tools, target: Target) -> int:
    """Take every row out of the table, in a snapshot of its own; the files stay settled.

    Returns:
        How many files had rows in it.
    """
    tools.lake.rollback(target.table, None)
    return tools.ledger.clear_rows(target.ingestion, target.run_id, now=tools.clock())


def _check_whole(target: Target, loaded: Loaded) -> None:
    """A rebuilt table may lack no file whose rows the old one has; files that never gave rows may fail again."""
    lost = loaded.counts.left_out + sum(batch.lost for batch in loaded.pending)
    if loaded.stopped is None and lost == 0:
        return
    raise IncompleteError(
        f"{target.table} was not rebuilt; the old table is served as before.",
        why=loaded.stopped or f"{lost} files whose rows it has could not be loaded, such as {_first(loaded)}",
        fix="Plan and apply the refresh again.",
    )


def _forget_the_rest(tools: Tools, target: Target, loaded: Loaded) -> int:
    """Files that are not in the new table (gone from storage, out of scope) have no rows any more; how many."""
    ids = [pc.min(batch.outcome["src_file_id"]).as_py() for batch in loaded.pending]
    if not ids:
        return 0
    return tools.ledger.clear_rows(target.ingestion, target.run_id, now=tools.clock(), below=min(ids))


def _first(loaded: Loaded) -> str:
    return ": ".join(loaded.problems[0]) if loaded.problems else "?"
