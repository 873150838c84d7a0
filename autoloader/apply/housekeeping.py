"""What a plan saw and no load changes: files that are gone, back, touched or skipped; how far a backfill is."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.diff import BACK_REASON, SETTLED_BACK_REASON, START_REASON
from autoloader.inventory import Disposition

if TYPE_CHECKING:
    from autoloader.ledger import Ledger


def note_files(ledger: Ledger, name: str, files: pa.Table, now: datetime) -> None:
    """Bring the ledger to what was seen of files that are not loaded.

    Args:
        ledger: The state.
        name: The ingestion; it is recorded.
        files: Its dispositions, `inventory.DIFF`.
        now: The time.
    """
    gone = _of(files, Disposition.MISSING)
    kept = gone.filter(pc.is_null(gone["replaces"]))
    if kept.num_rows:
        ledger.mark_missing(name, kept["file_path"], now=now)
    back = _because(files, Disposition.DONE, BACK_REASON, SETTLED_BACK_REASON)
    if back.num_rows:
        ledger.mark_returned(name, back["file_path"], now=now)
    touched = _of(files, Disposition.TOUCHED)
    if touched.num_rows:
        ledger.mark_touched(name, touched, now=now)
    skipped = _because(files, Disposition.OUT_OF_SCOPE, START_REASON)
    if skipped.num_rows:
        ledger.mark_skipped(name, skipped, now=now, reason=START_REASON)


def _of(files: pa.Table, disposition: Disposition) -> pa.Table:
    return files.filter(pc.equal(files["disposition"], disposition.value))


def _because(files: pa.Table, disposition: Disposition, *reasons: str) -> pa.Table:
    mine = _of(files, disposition)
    return mine.filter(pc.is_in(mine["reason"], value_set=pa.array(reasons)))
