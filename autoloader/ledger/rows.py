"""What the ledger says of the few (ingestions, runs, batches, leases) as frozen values. Files are Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa

LeaseKind = Literal["load", "alone"]


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """Which history this is.

    Attributes:
        serial: Rises with every recorded change of an ingestion.
        version: Of the release that wrote it last.
        next_token: The fencing token of the next lease.
    """

    lineage: str
    serial: int
    version: str
    next_token: int


@dataclass(frozen=True, slots=True)
class IngestionRow:
    """What is recorded of one ingestion.

    Attributes:
        name: Its address.
        spec: The spec as last applied, as data under its YAML keys.
        data_fingerprint: Of the keys that decide which rows are in the table.
        metadata_fingerprint: Of the others.
        spec_digest: Of the whole spec.
        status: draft, active or paused.
        protect: Nothing may drop or rebuild the table.
        table: The table's name in the catalog.
        table_uuid: The table's UUID when it was last seen, None before there is one.
        schema: The pinned schema as `schema.to_data` writes it, None before it is resolved.
        dialect: The resolved dialect of its files, None where there is none to resolve.
        backfill: Progress of its backfill, None without one.
        extra: Anything else that a room wants to keep with the ingestion; JSON-able.
        serial: Rises with every recorded change of this row; the ledger sets it.
        last_run_at: Start of its last run; the ledger sets it.
        created_at: The ledger sets it.
        updated_at: The ledger sets it.
    """

    name: str
    spec: Mapping[str, Any]
    data_fingerprint: str = ""
    metadata_fingerprint: str = ""
    spec_digest: str = ""
    status: str = "active"
    protect: bool = False
    table: str | None = None
    table_uuid: str | None = None
    schema: list[dict[str, Any]] | None = None
    dialect: dict[str, Any] | None = None
    backfill: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    serial: int = 0
    last_run_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on an ingestion until `expires_at`, as long as no one took it over.

    Attributes:
        token: The fencing token: higher than every one given before in this state.
        kind: "load" is shared among loads, "alone" excludes everything else on the ingestion.
    """

    id: str
    ingestion: str
    kind: str
    holder: str
    token: int
    ttl_s: float
    acquired_at: datetime
    heartbeat_at: datetime
    expires_at: datetime

    def is_live(self, now: datetime) -> bool:
        """Whether it has not run out yet."""
        return self.expires_at > now


@dataclass(frozen=True, slots=True)
class RunRow:
    """One apply of one ingestion in one lane. Unknown money and time is None, never 0."""

    run_id: str
    ingestion: str
    lane: str | None
    plan_id: str | None
    holder: str | None
    state: str
    started_at: datetime
    finished_at: datetime | None
    files: int
    failed_files: int
    rows: int
    rejected_rows: int
    size_bytes: int
    planned_files: int | None
    planned_size_bytes: int | None
    estimated_usd: Decimal | None
    actual_usd: Decimal | None
    estimated_s: float | None
    actual_s: float | None
    snapshot_id: int | None
    error: str | None
    extra: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class BatchRow:
    """Files that are committed in one snapshot.

    Attributes:
        state: claimed, written, recorded, released or undone (by a rollback).
        lease: Id of the lease under which it was claimed or last taken over.
        token: That lease's fencing token.
        sequence: Order of recording over the whole state, None before.
        results: The blob that `written` kept, None before and once recorded.
    """

    batch_id: str
    run_id: str
    ingestion: str
    lane: str | None
    state: str
    lease: str | None
    token: int
    sequence: int | None
    files: int
    rows: int | None
    rejected_rows: int | None
    size_bytes: int
    snapshot_id: int | None
    claimed_at: datetime
    written_at: datetime | None
    recorded_at: datetime | None
    results: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SchemaVersionRow:
    """One schema that an ingestion had, and how the change to it was resolved."""

    ingestion: str
    version: int
    detected_at: datetime
    schema: list[dict[str, Any]]
    fingerprint: str | None
    affected_files: int | None
    resolution_type: str | None
    resolved_at: datetime | None
    resolved_by: str | None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change of the state that is not a load."""

    at: datetime
    ingestion: str | None
    action: str
    actor: str | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claimed:
    """What `claim` got.

    Attributes:
        batch_id: The batch's id; where no file could be claimed it exists nowhere in the ledger.
        files: The rows of the input that were claimed, in its order, with `src_file_id` (int64) added.
        left_out: The other rows' `file_path` and `reason`, in the input's order.
    """

    batch_id: str
    files: pa.Table
    left_out: pa.Table
