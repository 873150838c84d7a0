"""How far a backfill has come: what apply keeps in state after a run, and what `status` shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.diff import BackfillRules
from autoloader.inventory import WORK, Disposition

_OPEN: Final = pa.array([*(d.value for d in WORK), Disposition.DEFERRED.value])


def backfill_progress(
    window: BackfillRules,
    files: pa.Table,
    previous: Mapping[str, Any] | None,
    now: datetime,
    began: Iterable[str] = (),
) -> dict[str, Any]:
    """The progress of a backfill, to be kept with its ingestion and handed back as `Recorded.backfill`.

    Args:
        window: `Rules.backfill` of the ingestion.
        files: Its diff against a fresh listing: after a run, made anew; for `status`, as it stands.
        previous: What was kept before, None at first.
        now: The instant, aware UTC.
        began: Slices of which a run has loaded files since `previous`.

    Returns:
        JSON-able: `state` (`running` or `complete`), `until_at`, `started`, `finished`, `last_started_at`,
        `complete_at`, `files_total`, `files_done`, `bytes_total`, `bytes_done`, and `slices` in load order, each
        with its label, state (`pending`, `running`, `complete`) and the same four counts. The window is
        complete when it has ended and every file of it is settled; a late file makes it `running` again,
        while `complete_at` stays; new slices of a wider window take it away.
    """
    before = dict(previous or {})
    counts = _counts(files)
    known = set(before.get("started", ()))
    started = known | set(began)
    was_complete = completed(before, (piece.label for piece in window.slices))
    slices = [_slice(piece.label, counts, started) for piece in window.slices]
    finished = {s["slice"] for s in slices if s["state"] == "complete" and s["slice"] in started}
    ended = window.ends_at is None or window.ends_at <= now
    complete = ended and all(s["files_done"] == s["files_total"] for s in slices)
    sums = {key: sum(s[key] for s in slices) for key in ("files_total", "files_done", "bytes_total", "bytes_done")}
    return {
        "state": "complete" if complete else "running",
        "until_at": _text(window.ends_at),
        "started": sorted(started),
        "finished": sorted(finished | once_finished(before)),
        "last_started_at": _text(now) if started - known else before.get("last_started_at"),
        "complete_at": before["complete_at"] if was_complete else _text(now) if complete else None,
        **sums,
        "slices": slices,
    }


def completed(progress: Mapping[str, Any], labels: Iterable[str]) -> bool:
    """Whether the window was once complete, and has no slices that it did not have then."""
    slices = {each["slice"] for each in progress.get("slices", ())}
    return progress.get("complete_at") is not None and slices.issuperset(labels)


def once_finished(progress: Mapping[str, Any]) -> frozenset[str]:
    """Slices that were once complete: all of them where the window was, those without files included."""
    slices = progress.get("slices", ()) if progress.get("complete_at") is not None else ()
    return frozenset([*progress.get("finished", ()), *(each["slice"] for each in slices)])


def _counts(files: pa.Table) -> dict[str, tuple[int, int, int, int]]:
    """Slice -> files, files settled, bytes, bytes settled. Files that are gone or kept out count as settled."""
    if files.num_rows == 0:
        return {}
    settled = pc.invert(pc.is_in(files["disposition"], _OPEN))
    size = pc.fill_null(files["size_bytes"], 0)
    table = pa.table(
        {
            "slice": files["slice"],
            "one": settled.cast(pa.int64()),
            "size": size,
            "settled": pc.multiply(size, settled.cast(pa.int64())),
        }
    ).filter(pc.is_valid(files["slice"]))
    summed = table.group_by("slice").aggregate([([], "count_all"), ("one", "sum"), ("size", "sum"), ("settled", "sum")])
    return {
        row["slice"]: (row["count_all"], row["one_sum"], row["size_sum"], row["settled_sum"])
        for row in summed.to_pylist()
    }


def _slice(label: str, counts: Mapping[str, tuple[int, int, int, int]], started: set[str]) -> dict[str, Any]:
    total, done, size, size_done = counts.get(label, (0, 0, 0, 0))
    open_state = "running" if label in started else "pending"
    return {
        "slice": label,
        "state": "complete" if total == done else open_state,
        "files_total": total,
        "files_done": done,
        "bytes_total": size,
        "bytes_done": size_done,
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
