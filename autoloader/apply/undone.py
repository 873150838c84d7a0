"""Batches that somebody undid by rolling the table back behind our back, and what came back into it with that.

Nothing is marked in the ledger for it: the table's history says which batches it has lost, and they are there again
once somebody takes it forward. Only what a later commit would hide is noted beside the ingestion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.apply.tools import Tools
from autoloader.inventory import Disposition, FileState

if TYPE_CHECKING:
    from autoloader.lake import TableState
    from autoloader.ledger import BatchRow, IngestionRow, Ledger

_UNDONE: Final = "undone"
"""Kept beside an ingestion: ids of such batches. Once we have committed to the table again, little else tells."""

_SETTLED: Final = "undone_settled"
"""Kept beside an ingestion: ids of such batches without which the ledger was made anew, from the table."""


def undone_batches(ledger: Ledger, row: IngestionRow, table: TableState) -> tuple[str, ...]:
    """Those of `lost_batches` that are not settled."""
    settled = settled_ids(row)
    return tuple(batch for batch in lost_batches(ledger, row, table) if batch not in settled)


def settled_batches(ledger: Ledger, row: IngestionRow, table: TableState) -> tuple[str, ...]:
    """Those of `lost_batches` that the table still lacks after the ledger was made anew from it."""
    settled = settled_ids(row)
    return tuple(batch for batch in lost_batches(ledger, row, table) if batch in settled) if settled else ()


def settled_ids(row: IngestionRow) -> frozenset[str]:
    """Batches that the table lacked when the ledger was made anew from it; it may have them again."""
    return _noted(row, _SETTLED)


def lost_batches(ledger: Ledger, row: IngestionRow, table: TableState) -> list[str]:
    """Recorded batches that the table has lost, as they were recorded; those found by earlier applies as well.

    What came before a rebuild was swapped out by ourselves and does not count.
    """
    noted = _noted(row, _UNDONE) | settled_ids(row)
    current = {info.snapshot_id for info in table.history}
    known = table.astray.union(current)
    seen = (row.extra or {}).get("snapshot_id")
    if not noted and not table.astray and (seen is None or seen in known):
        return []
    batches = [batch for batch in ledger.batches(ingestion=row.name) if batch.state == "recorded"]
    lost = [
        batch
        for batch in batches
        if batch.snapshot_id not in current  # else somebody took the table forward again
        and (batch.batch_id in noted or batch.snapshot_id in table.astray or _is_cut_off(batch, known, table))
    ]
    if table.is_rebuilt:
        served = {info.batch_id for info in table.history}
        first = min((batch.sequence or 0 for batch in batches if batch.batch_id in served), default=None)
        lost = [batch for batch in lost if first is not None and (batch.sequence or 0) > first]
    return [batch.batch_id for batch in sorted(lost, key=lambda batch: batch.sequence or 0)]


def _noted(row: IngestionRow, key: str) -> frozenset[str]:
    return frozenset((row.extra or {}).get(key) or ())


def _is_cut_off(batch: BatchRow, known: frozenset[int], table: TableState) -> bool:
    """Whether a batch was begun after all that the table has, and its snapshot is unknown there.

    Somebody rolled the table back and expired what it was rolled back over, or put the catalog back to an older copy.
    A snapshot that expired in its time is older than the table's newest.
    """
    if batch.snapshot_id is None or batch.snapshot_id in known:
        return False
    return not table.history or batch.claimed_at > table.history[0].committed_at


def with_undone(extra: Mapping[str, Any], batch_ids: Iterable[str]) -> dict[str, Any]:
    """What is kept beside an ingestion, with these batches as those that were undone and are not settled."""
    return _with(extra, _UNDONE, batch_ids)


def with_settled(extra: Mapping[str, Any], batch_ids: Iterable[str]) -> dict[str, Any]:
    """What is kept beside an ingestion, with these batches as those that were undone, all of them settled."""
    return _with(_with(extra, _UNDONE, ()), _SETTLED, batch_ids)


def _with(extra: Mapping[str, Any], key: str, batch_ids: Iterable[str]) -> dict[str, Any]:
    others = {name: value for name, value in extra.items() if name != key}
    found = list(batch_ids)
    return {**others, key: found} if found else others


def versions_back(tools: Tools, row: IngestionRow | None) -> pa.Table | None:
    """File versions that undone batches had taken out of the table, and that no later load has settled.

    Returns:
        `file_path`, `src_file_id`, and `removed`: taken out because their file was gone, not by a newer version of it.
        None = there are none.
    """
    table = tools.lake.table(row.table) if row is not None and row.table else None
    lost = undone_batches(tools.ledger, row, table) if row is not None and table is not None else ()
    if row is None or not lost:
        return None
    versions = tools.ledger.versions(row.name).select(
        ["file_path", "src_file_id", "replaces", "batch", "state", "disposition"]
    )
    of_lost = pc.is_in(versions["batch"], pa.array(lost, pa.string()))
    taking = versions.filter(pc.and_(of_lost, pc.is_valid(versions["replaces"])))
    good = pc.equal(versions["state"], FileState.SUCCESS.value)
    ours = versions.filter(pc.and_(good, pc.invert(of_lost)))
    since = _bound(taking, _newest(ours.filter(is_beside(ours))))  # what stays was decided by then
    taking = taking.filter(pc.fill_null(pc.greater(taking["src_file_id"], since), True))
    gone = _newest(taking.filter(pc.equal(taking["state"], "DELETED")))
    older = ours.filter(pc.fill_null(pc.less(ours["src_file_id"], _bound(ours, gone)), False))
    paths = pa.chunked_array([*taking["file_path"].chunks, *older["file_path"].chunks], pa.string())
    ids = pa.chunked_array([*taking["replaces"].chunks, *older["src_file_id"].chunks], pa.int64())
    removed = pc.is_in(paths, gone["file_path"].combine_chunks())
    return pa.table({"file_path": paths, "src_file_id": ids, "removed": removed})


def is_beside(versions: pa.Table) -> pa.ChunkedArray:
    """Which versions were added beside their file's older ones (`on_change: append`), or had none to replace."""
    changed = pa.array([Disposition.CHANGED.value, Disposition.RETRY.value])
    return pc.and_(pc.is_null(versions["replaces"]), pc.is_in(versions["disposition"], changed))


def _newest(versions: pa.Table) -> pa.Table:
    """The highest id per path: `file_path, newest`."""
    return versions.group_by("file_path").aggregate([("src_file_id", "max")]).rename_columns(["file_path", "newest"])


def _bound(versions: pa.Table, bounds: pa.Table) -> pa.ChunkedArray:
    """The bound of each version's path, null where it has none."""
    at = pc.index_in(versions["file_path"], bounds["file_path"].combine_chunks())
    return pc.take(bounds["newest"].combine_chunks(), at)
