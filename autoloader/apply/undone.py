"""Batches that somebody undid by rolling the table back behind our back, and what came back into it with that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.apply.tools import Tools

if TYPE_CHECKING:
    from autoloader.lake import TableState
    from autoloader.ledger import BatchRow, IngestionRow, Ledger

_UNDONE: Final = "undone"
"""Kept beside an ingestion: ids of such batches. Once we have committed to the table again, little else tells."""


def undone_batches(ledger: Ledger, row: IngestionRow, table: TableState) -> tuple[str, ...]:
    """Recorded batches that the table has lost, as they were recorded; those found by earlier applies as well.

    What came before a rebuild was swapped out by ourselves and does not count.
    """
    extra = row.extra or {}
    noted = frozenset(extra.get(_UNDONE) or ())
    known = table.astray.union(info.snapshot_id for info in table.history)
    seen = extra.get("snapshot_id")
    if not noted and not table.astray and (seen is None or seen in known):
        return ()
    batches = [batch for batch in ledger.batches(ingestion=row.name) if batch.state == "recorded"]
    current = {info.snapshot_id for info in table.history}
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
    return tuple(batch.batch_id for batch in sorted(lost, key=lambda batch: batch.sequence or 0))


def _is_cut_off(batch: BatchRow, known: frozenset[int], table: TableState) -> bool:
    """Whether a batch was begun after all that the table has, and its snapshot is unknown there.

    Somebody rolled the table back and expired what it was rolled back over, or put the catalog back to an older copy.
    A snapshot that expired in its time is older than the table's newest.
    """
    if batch.snapshot_id is None or batch.snapshot_id in known:
        return False
    return not table.history or batch.claimed_at > table.history[0].committed_at


def with_undone(extra: Mapping[str, Any], batch_ids: Iterable[str]) -> dict[str, Any]:
    """What is kept beside an ingestion, with these batches as those that were undone."""
    others = {key: value for key, value in extra.items() if key != _UNDONE}
    found = list(batch_ids)
    return {**others, _UNDONE: found} if found else others


def versions_back(tools: Tools, row: IngestionRow | None) -> pa.Table | None:
    """File versions that undone batches had taken out of the table. None = there are none.

    Returns:
        `file_path`, `src_file_id`, and `removed`: taken out because their file was gone, not by a newer version of it.
    """
    table = tools.lake.table(row.table) if row is not None and row.table else None
    lost = undone_batches(tools.ledger, row, table) if row is not None and table is not None else ()
    if row is None or not lost:
        return None
    versions = tools.ledger.versions(row.name)
    of_lost = pc.is_in(versions["batch"], pa.array(lost, pa.string()))
    taken = versions.filter(pc.and_(of_lost, pc.is_valid(versions["replaces"])))
    removed = pc.equal(taken["state"], "DELETED")
    return pa.table({"file_path": taken["file_path"], "src_file_id": taken["replaces"], "removed": removed})
