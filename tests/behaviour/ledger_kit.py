"""Building blocks of the ledger's suite: DIFF rows, results, a claim from end to end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from autoloader.inventory import DIFF, INSTANT
from autoloader.ledger import Claimed, IngestionRow, Ledger

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
MTIME_NS = 1_767_225_600_123_456_789


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def paths(count: int, start: int = 0) -> list[str]:
    return [f"s3://bucket/data/file-{number:06d}.csv" for number in range(start, start + count)]


def diff(
    names: Sequence[str],
    disposition: str = "new",
    *,
    version: int = 1,
    replaces: Sequence[int | None] | None = None,
    retry_count: int | None = None,
) -> pa.Table:
    """DIFF rows; `version` makes another identity of the same path."""
    count = len(names)
    given = {
        "ingestion": pa.array(["flights"] * count),
        "file_path": pa.array(list(names), pa.string()),
        "size_bytes": pa.array([100 + version] * count),
        "modified_at": pa.array([MTIME_NS + version] * count, pa.int64()).cast(INSTANT),
        "etag": pa.array([f"etag-{version}"] * count),
        "disposition": pa.array([disposition] * count),
        "reason": pa.array(["because"] * count),
        "lane": pa.array(["live"] * count),
        "replaces": pa.array(list(replaces) if replaces else [None] * count, pa.int64()),
        "retry_count": pa.array([retry_count] * count, pa.int32()),
    }
    return pa.table([given.get(field.name, pa.nulls(count, field.type)) for field in DIFF], schema=DIFF)


def results(claimed: Claimed, state: str = "SUCCESS", **columns: object) -> pa.Table:
    """What the loader would say of every claimed file."""
    count = claimed.files.num_rows
    base: dict[str, object] = {
        "kind": ["file"] * count,
        "src_file_id": claimed.files["src_file_id"],
        "file_path": claimed.files["file_path"],
        "state": [state] * count,
        "error": pa.array([None if state == "SUCCESS" else "it is broken"] * count, pa.string()),
        "rows": [10] * count,
        "rejected_rows": [1] * count,
        "fingerprint": ["print"] * count,
        "seconds": [0.5] * count,
    }
    return pa.table({**base, **columns})


def load(
    ledger: Ledger, files: pa.Table, state: str = "SUCCESS", *, now: datetime = NOW, snapshot_id: int = 1,
    max_attempts: int = 3,
) -> tuple[str, Claimed]:  # fmt: skip
    """One run of one batch, claimed and recorded. Returns the run's id and what was claimed."""
    lease = ledger.acquire("flights", "load", "tester", 60, now)
    run_id = ledger.start_run("flights", "live", now=now)
    claimed = ledger.claim(run_id, "flights", "live", files, lease, now=now)
    if claimed.files.num_rows:
        outcome = results(claimed, state)
        ledger.written(claimed.batch_id, b"results", lease=lease, now=now)
        ledger.record(claimed.batch_id, outcome, snapshot_id, lease=lease, now=now, max_attempts=max_attempts)
    ledger.finish_run(run_id, "complete", now=now)
    ledger.unlock(lease)
    return run_id, claimed


def remembered(ledger: Ledger, *, now: datetime = NOW) -> dict[str, dict[str, object]]:
    """The slice by path, as plain data (instants as nanoseconds)."""
    table = ledger.slice("flights", now=now)
    for index, field in enumerate(table.schema):
        if field.type == INSTANT:
            table = table.set_column(index, field.name, table.column(index).cast(pa.int64()))
    return {row["file_path"]: row for row in table.to_pylist()}


def flights(ledger: Ledger) -> IngestionRow:
    return ledger.put_ingestion(IngestionRow("flights", {"name": "flights"}, spec_digest="d1"), now=NOW)
