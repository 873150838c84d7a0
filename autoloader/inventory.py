"""What is in storage and what is remembered, as Arrow tables: their schemas, and file identity.

A million files are a million rows here, never a million Python objects. Nothing in this room does IO.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import pyarrow as pa

INSTANT: Final = pa.timestamp("ns", tz="UTC")

LISTING: Final = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False),  # canonical URI, never percent-encoded
        pa.field("key", pa.string(), nullable=False),  # below source.path, '/' between parts
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("modified_at", INSTANT),
        pa.field("etag", pa.string()),  # None for local files
        pa.field("version_id", pa.string()),
    ]
)
"""One row per object or regular file, sorted by nothing in particular, no duplicates."""

LEDGER_SLICE: Final = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),  # size_bytes..version_id: identity of the last attempt
        pa.field("modified_at", INSTANT),
        pa.field("etag", pa.string()),
        pa.field("version_id", pa.string()),
        pa.field("state", pa.string(), nullable=False),  # FileState
        pa.field("claimed", pa.bool_(), nullable=False),  # PROCESSING under a lease that still lives
        pa.field("src_file_id", pa.int64()),  # version whose rows are in the table; None: no rows
        pa.field("rows", pa.int64()),
        pa.field("retry_count", pa.int32(), nullable=False),
        pa.field("next_attempt_at", INSTANT),  # back-off of a FAILED file
        pa.field("fingerprint", pa.string()),
        pa.field("schema_version", pa.int32()),
        pa.field("batch_id", pa.string()),
        pa.field("data_date", pa.date32()),
        pa.field("reload", pa.bool_(), nullable=False),  # marked by clear-history or a reingest
        pa.field("error", pa.string()),
        pa.field("processed_at", INSTANT),
        pa.field("attempt_replaces", pa.int64()),  # of a failed or dead attempt: the version that was to leave
    ]
)
"""One row per file path that the ledger remembers of one ingestion."""

DIFF: Final = pa.schema(
    [
        pa.field("ingestion", pa.string(), nullable=False),
        pa.field("file_path", pa.string(), nullable=False),
        pa.field("key", pa.string()),  # None: remembered, not listed, and outside source.path
        pa.field("size_bytes", pa.int64()),  # what is in storage now; for missing files: what was
        pa.field("modified_at", INSTANT),
        pa.field("etag", pa.string()),
        pa.field("version_id", pa.string()),
        pa.field("disposition", pa.string(), nullable=False),  # Disposition
        pa.field("reason", pa.string(), nullable=False),  # one short sentence for `why`
        pa.field("lane", pa.string()),  # Lane for work and deferred files, else None
        pa.field("slice", pa.string()),  # label of the backfill slice, e.g. 2015-01-01/2016-01-01
        pa.field("data_date", pa.date32()),
        pa.field("replaces", pa.int64()),  # src_file_id whose rows leave when this file is loaded
        pa.field("replaces_rows", pa.int64()),
        pa.field("known_etag", pa.string()),
        pa.field("known_size_bytes", pa.int64()),
        pa.field("known_modified_at", INSTANT),
        pa.field("retry_count", pa.int32()),
        pa.field("known_state", pa.string()),  # FileState before this plan, None: never seen
    ]
)
"""One row per listed or remembered file: exactly one disposition each. Sorted by load order, then path."""


class FileState(StrEnum):
    """What the ledger says of one file."""

    DISCOVERED = "DISCOVERED"
    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    QUARANTINED = "QUARANTINED"
    MISSING = "MISSING"


class Disposition(StrEnum):
    """What a plan says of one file: to load (the first six) or not now (the rest)."""

    NEW = "new"
    CHANGED = "changed"
    RETRY = "retry"
    REINGEST = "reingest"
    SCHEMA = "schema"
    LATE = "late"
    DONE = "done"
    TOUCHED = "touched"
    OUT_OF_SCOPE = "out_of_scope"
    HIDDEN = "hidden"
    EXCLUDED = "excluded"
    QUARANTINED = "quarantined"
    MISSING = "missing"
    DEFERRED = "deferred"


WORK: Final = frozenset(
    {
        Disposition.NEW,
        Disposition.CHANGED,
        Disposition.RETRY,
        Disposition.REINGEST,
        Disposition.SCHEMA,
        Disposition.LATE,
    }
)


class Lane(StrEnum):
    """Why a file is loaded; each lane has its own limits and progress."""

    LIVE = "live"
    BACKFILL = "backfill"
    REINGEST = "reingest"
    REFRESH = "refresh"


def same_identity_sql(left: str, right: str) -> str:
    """The SQL condition under which two rows of one path are the same bytes.

    Args:
        left: Alias of a relation with `size_bytes`, `modified_at`, `etag`, `version_id`.
        right: Alias of another.

    Returns:
        A boolean DuckDB expression, never null: version ids where both have one, else etag and size
        where both have one, else size and modification time to the nanosecond.
    """
    return (
        f"coalesce(CASE WHEN {left}.version_id IS NOT NULL AND {right}.version_id IS NOT NULL"
        f" THEN {left}.version_id = {right}.version_id"
        f" WHEN {left}.etag IS NOT NULL AND {right}.etag IS NOT NULL"
        f" THEN {left}.etag = {right}.etag AND {left}.size_bytes = {right}.size_bytes"
        f" ELSE {left}.size_bytes = {right}.size_bytes"
        f" AND epoch_ns({left}.modified_at) = epoch_ns({right}.modified_at) END, false)"
    )
