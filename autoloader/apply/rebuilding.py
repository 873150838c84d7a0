"""Refresh: a table built anew beside the one that is served, and swapped in when it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from autoloader.apply.loading import Loaded, load_lane
from autoloader.apply.target import Budget, Target
from autoloader.apply.tools import Tools
from autoloader.errors import IncompleteError

if TYPE_CHECKING:
    from autoloader.ledger import Lease


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
    branch = target.branch or f"refresh-{target.run_id}"
    served = tools.lake.table(target.table)
    tools.lake.remove_branch(target.table, branch)
    tools.lake.start_branch(target.table, branch)
    loaded = load_lane(tools, target, files, lease, budget)
    failed = loaded.counts.failed + loaded.counts.quarantined + loaded.counts.moved + loaded.counts.left_out
    if loaded.stopped is not None or failed:
        tools.lake.remove_branch(target.table, branch)
        for batch in loaded.pending:
            tools.ledger.release(batch.batch_id, lease=lease, now=tools.clock())
        raise IncompleteError(
            f"{target.table} was not rebuilt; the old table is served as before.",
            why=loaded.stopped or f"{failed} files could not be loaded, such as {_first(loaded)}",
            fix="Plan and apply the refresh again.",
        )
    snapshot_id = tools.lake.swap(target.table, branch, expected_snapshot_id=served.snapshot_id if served else None)
    for batch in loaded.pending:
        tools.ledger.record(
            batch.batch_id, batch.outcome, snapshot_id, lease=lease, now=tools.clock(), max_attempts=target.max_attempts
        )
    return loaded


def _first(loaded: Loaded) -> str:
    return ": ".join(loaded.problems[0]) if loaded.problems else "?"
