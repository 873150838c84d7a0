"""Old rows out: which data files hold them, and those files written anew without them, in Spark tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from autoloader import loader
from autoloader.apply.batching import spread_over_tasks
from autoloader.apply.blobs import to_blob
from autoloader.apply.target import Target
from autoloader.apply.tools import Tools
from autoloader.errors import RowsMovedError
from autoloader.inventory import FileState
from autoloader.lake import Commit, HeldFile
from autoloader.sources import head_many

if TYPE_CHECKING:
    from autoloader.ledger import Lease

REMOVALS: Final = 4
"""How often a removal is made before its batch is left to the next apply."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What a commit has to swap so that rows leave.

    Attributes:
        removed: Paths of the data files that leave.
        data_files: `loader.RESULT` rows of the data files that come in their place.
        rows: Rows that leave.
        rewritten_bytes: Bytes of the data files that are written anew.
    """

    removed: tuple[str, ...]
    data_files: pa.Table
    rows: int = 0
    rewritten_bytes: int = 0

    @classmethod
    def none(cls) -> Self:
        """Nothing leaves."""
        return cls((), loader.RESULT.empty_table())


def remove_rows(tools: Tools, table: str, branch: str | None, batch_id: str, src_file_ids: pa.Array) -> Removal:
    """Prepare the removal of all rows of some source file versions.

    A data file that holds nothing else leaves as it is; the others are written anew, in Spark.

    Args:
        tools: The surroundings.
        table: The table's name.
        branch: Its branch; None = main.
        batch_id: The batch below whose folder the new data files are written.
        src_file_ids: The versions whose rows leave, int64.
    """
    held = tools.lake.files_holding(table, src_file_ids.to_pylist(), branch=branch)
    rows = sum(sum(found.held.values()) for found in held)
    partial = [found for found in held if not found.empties]
    rewritten = loader.RESULT.empty_table()
    if partial:
        engine = tools.engine()
        job = loader.RewriteJob(
            batch_id=batch_id, main=tools.lake.write_format(table, branch=branch), storage=tools.storage
        )
        rewritten = engine.map(rewrite_tasks(partial, engine.parallelism), loader.rewrite_files(job), loader.RESULT)
    size_bytes = sum(found.size_bytes for found in partial)
    return Removal(tuple(found.path for found in held), rewritten, rows, size_bytes)


@dataclass(frozen=True, slots=True)
class Swapped:
    """What a swap came to.

    Attributes:
        snapshot_id: The snapshot; None where there was nothing to commit.
        rows: Rows that left.
        rewritten_bytes: Bytes of the data files that were written anew for that, as often as they were.
    """

    snapshot_id: int | None
    rows: int = 0
    rewritten_bytes: int = 0


def commit_swap(
    tools: Tools, target: Target, batch_id: str, data_files: pa.Table, leaving: pa.Array, lease: Lease
) -> Swapped:
    """Commit new data files, and in the same snapshot take the rows of some source file versions out.

    Where another writer rewrites data files that hold such rows meanwhile (a compaction, another worker's
    replacement), the removal is made anew from what the table holds then.

    Raises:
        FencedError: The lease is lost.
        RowsMovedError: Others were quicker every time.
    """
    rewritten_bytes = 0
    for attempt in range(1, REMOVALS + 1):
        removal = Removal.none()
        if len(leaving):
            removal = remove_rows(tools, target.table, target.branch, batch_id, leaving)
            rewritten_bytes += removal.rewritten_bytes
        everything = pa.concat_tables([data_files, removal.data_files])
        if everything.num_rows == 0 and not removal.removed:
            return Swapped(None)
        tools.ledger.check_lease(lease)
        try:
            snapshot_id = tools.lake.commit(
                target.table,
                replace(
                    commit_of(target, batch_id, everything, lease),
                    removed_files=removal.removed,
                    branch=target.branch,
                    foreseen=target.foreseen,
                    schema_update=target.growth,
                ),
            )
        except RowsMovedError:
            if attempt == REMOVALS:
                raise
            continue
        if attempt > 1:
            tools.lake.sweep(target.table, batch_id)  # what the attempts before rewrote is in no snapshot
        return Swapped(snapshot_id, removal.rows, rewritten_bytes)
    raise AssertionError("unreachable")


def commit_of(target: Target, batch_id: str, data_files: pa.Table, lease: Lease) -> Commit:
    """A batch's commit to the served table that adds data files and does nothing else."""
    return Commit(
        batch_id=batch_id,
        plan_id=target.plan_id,
        run_id=target.run_id,
        fencing_token=lease.token,
        ingestion=target.ingestion,
        data_files=data_files,
    )


def still_gone(tools: Tools, gone: pa.Table) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Of files that were gone when the plan was made, those that are gone now; and of the others path and reason.

    Raises:
        SourceError: The storage does not say.
    """
    heads = head_many(gone["file_path"].to_pylist(), tools.storage)
    back = heads.filter(heads["found"])["file_path"].to_pylist()
    why = "it is back in storage: its rows stay until the next apply"
    return gone.filter(pc.invert(heads["found"])), [(path, why) for path in back]


def delete_rows(tools: Tools, target: Target, gone: pa.Table, lease: Lease) -> Swapped:
    """Take the rows of files that are gone from storage out of the table, in one snapshot.

    Args:
        tools: The surroundings.
        target: Which table, for which run.
        gone: Rows of `inventory.DIFF` whose `replaces` names the version that leaves.
        lease: Held on the ingestion.

    Returns:
        What it came to; no snapshot where others have done it meanwhile.
    """
    claimed = tools.ledger.claim(target.run_id, target.ingestion, target.lane, gone, lease, now=tools.clock())
    if claimed.files.num_rows == 0:
        return Swapped(None)
    tools.at("claimed")
    leaving = _all_versions(tools, target.ingestion, claimed.files)
    outcome = pa.table(
        {
            "src_file_id": claimed.files["src_file_id"],
            "state": pa.array(["DELETED"] * claimed.files.num_rows),
        }
    )
    tools.at("loaded")
    tools.ledger.written(claimed.batch_id, to_blob(outcome), lease=lease, now=tools.clock())
    tools.at("written")
    empty = loader.RESULT.empty_table()
    swapped = commit_swap(tools, target, claimed.batch_id, empty, leaving, lease)
    tools.at("committed")
    tools.ledger.record(claimed.batch_id, outcome, swapped.snapshot_id, lease=lease, now=tools.clock())
    tools.at("recorded")
    return swapped


def _all_versions(tools: Tools, name: str, files: pa.Table) -> pa.Array:
    """Every version of some files that was ever loaded: with `on_change: append` several are in the table."""
    versions = tools.ledger.versions(name)
    mine = pc.is_in(versions["file_path"], files["file_path"].combine_chunks())
    loaded = versions.filter(pc.and_(mine, pc.equal(versions["state"], FileState.SUCCESS.value)))
    return pc.unique(pa.concat_arrays([*files["replaces"].chunks, *loaded["src_file_id"].chunks]))


def rewrite_tasks(held: list[HeldFile], parallelism: int) -> pa.Table:
    """Data files to write anew, as rows of `loader.REWRITE_TASK`."""
    sizes = pa.array([found.size_bytes for found in held], pa.int64())
    return pa.table(
        {
            "task": pa.array(spread_over_tasks(sizes.to_numpy(), parallelism * 2)),
            "table": ["main"] * len(held),
            "path": [found.path for found in held],
            "size_bytes": sizes,
            "spec_id": [found.spec_id for found in held],
            "partition_json": [found.partition_json for found in held],
            "remove_ids": [list(found.held) for found in held],
        },
        schema=loader.REWRITE_TASK,
    )
