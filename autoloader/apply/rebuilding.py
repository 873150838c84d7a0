"""Refresh: a table built anew beside the one that is served, and swapped in when it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.apply.loading import Loaded, load_lane
from autoloader.apply.target import Budget, Target
from autoloader.apply.tools import Tools
from autoloader.errors import IncompleteError

if TYPE_CHECKING:
    from autoloader.ledger import Lease


def branch_of(run_id: str) -> str:
    """The branch on which a run builds a table anew."""
    return f"refresh-{run_id}"


def rebuild_aside(tools: Tools, target: Target, files: pa.Table, lease: Lease, budget: Budget) -> Loaded:
    """Load all files into a branch and serve it once every one of them is in.

    Until then the old table is served and the ledger says nothing new; whatever stops the rebuild leaves
    both as they were.

    Args:
        tools: The surroundings.
        target: What is loaded where; `branch` names the branch.
        files: Every file of the new table.
        lease: Held on the ingestion.
        budget: Where to stop.

    Raises:
        IncompleteError: It was stopped or a file failed; the old table stays.
    """
    branch = target.branch or branch_of(target.run_id)
    tools.lake.remove_branch(target.table, branch)
    tools.lake.start_branch(target.table, branch)
    served = tools.lake.table(target.table)
    try:
        loaded = load_lane(tools, target, files, lease, budget)
        _check_whole(target, loaded)
        snapshot_id = tools.lake.swap(
            target.table,
            branch,
            expected_snapshot_id=served.snapshot_id if served else None,
            schema_update=target.foreseen,
        )
    except BaseException:
        tools.lake.remove_branch(target.table, branch)
        raise
    tools.at("swapped")
    for batch in loaded.pending:
        tools.ledger.record(
            batch.batch_id, batch.outcome, snapshot_id, lease=lease, now=tools.clock(), max_attempts=target.max_attempts
        )
    _forget_the_rest(tools, target, loaded)
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


def _forget_the_rest(tools: Tools, target: Target, loaded: Loaded) -> None:
    """Files that are not in the new table (gone from storage, out of scope) have no rows any more."""
    ids = [pc.min(batch.outcome["src_file_id"]).as_py() for batch in loaded.pending]
    if ids:
        tools.ledger.clear_rows(target.ingestion, target.run_id, now=tools.clock(), below=min(ids))


def _first(loaded: Loaded) -> str:
    return ": ".join(loaded.problems[0]) if loaded.problems else "?"
