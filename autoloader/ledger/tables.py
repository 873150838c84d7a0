"""The ledger's tables, one schema for SQLite and Postgres.

They are what `migrations` must arrive at (a test compares the two), and the words in which the rest of
this room writes its SQL. No row object is made at run time: rows travel as Arrow, see `connection`.
Times are aware UTC: `timestamptz` on Postgres, `YYYY-MM-DD HH:MM:SS.ffffffZ` on SQLite, which sorts.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

BIG = BigInteger().with_variant(Integer, "sqlite")


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant to the microsecond."""

    impl = String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """`timestamptz` where there is one, text elsewhere."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(27))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuses a naive time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the ledger")
        if dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%fZ")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Always aware."""
        if value is None or isinstance(value, datetime):
            return value
        return datetime.fromisoformat(value)


class Table(SQLModel, registry=registry(metadata=MetaData())):
    """Base of the ledger's tables, with metadata of its own."""


def _instant() -> Any:
    return Field(default=None, sa_column=Column(Instant, nullable=True))


def _big(default: int | None = None, *, primary_key: bool = False) -> Any:
    column: Column[int] = Column(BIG, primary_key=primary_key, nullable=default is None and not primary_key)
    return Field(default=default, sa_column=column)


def _text(*, nullable: bool = True, primary_key: bool = False, name: str | None = None) -> Any:
    # `name` is for schema_json, which as an attribute would hide one of pydantic's.
    options: Any = {"nullable": nullable and not primary_key, "primary_key": primary_key}
    column: Column[str] = Column(name, Text, **options) if name else Column(Text, **options)
    return Field(default=None if options["nullable"] else ..., sa_column=column)


class Project(Table, table=True):
    """One row: which history this is, and the counters that only rise."""

    __tablename__ = "project"

    id: int = Field(default=1, primary_key=True)
    lineage: str = _text(nullable=False)
    serial: int = _big(0)
    version: str = _text(nullable=False)
    next_src_file_id: int = _big(1)
    next_token: int = _big(1)


class Ingestion(Table, table=True):
    """What is recorded of one ingestion: the spec as last applied and what was resolved for it."""

    __tablename__ = "ingestion"

    name: str = _text(primary_key=True)
    spec: str = _text(nullable=False)
    data_fingerprint: str | None = _text()
    metadata_fingerprint: str | None = _text()
    spec_digest: str | None = _text()
    status: str = _text(nullable=False)
    protect: bool = False
    serial: int = _big(0)
    table_name: str | None = _text()
    table_uuid: str | None = _text()
    schema_text: str | None = _text(name="schema_json")
    dialect: str | None = _text()
    backfill: str | None = _text()
    extra: str | None = _text()
    last_run_at: datetime | None = _instant()
    created_at: datetime | None = _instant()
    updated_at: datetime | None = _instant()


class ProcessedFile(Table, table=True):
    """One row per file ever seen of one ingestion: the last attempt's identity, and what came of it."""

    __tablename__ = "processed_file"
    __table_args__ = (UniqueConstraint("ingestion", "file_path", name="uq_processed_file_path"),)

    id: int | None = _big(primary_key=True)
    ingestion: str = _text(nullable=False)
    src_file_id: int | None = _big()
    file_path: str = _text(nullable=False)
    file_size: int | None = _big()
    modified_at: datetime | None = _instant()
    modified_at_ns: int | None = _big()
    etag: str | None = _text()
    version_id: str | None = _text()
    state: str = _text(nullable=False)
    retry_count: int = 0
    error: str | None = _text()
    rows: int | None = _big()
    rejected_rows: int | None = _big()
    fingerprint: str | None = _text()
    schema_version: int | None = None
    batch: str | None = _text()
    data_date: date | None = None
    discovered_at: datetime | None = _instant()
    processed_at: datetime | None = _instant()
    seconds: float | None = None
    next_attempt_at: datetime | None = _instant()
    reload: bool = False


class BatchFile(Table, table=True):
    """One row per file version that was ever claimed: what came of it, and what the file was before."""

    __tablename__ = "batch_file"
    __table_args__ = (Index("ix_batch_file_batch", "batch"),)

    src_file_id: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    batch: str = _text(nullable=False)
    ingestion: str = _text(nullable=False)
    file_path: str = _text(nullable=False)
    file_size: int | None = _big()
    modified_at_ns: int | None = _big()
    etag: str | None = _text()
    version_id: str | None = _text()
    data_date: date | None = None
    disposition: str | None = _text()
    replaces: int | None = _big()
    state: str = _text(nullable=False)
    error: str | None = _text()
    rows: int | None = _big()
    rejected_rows: int | None = _big()
    fingerprint: str | None = _text()
    schema_version: int | None = None
    seconds: float | None = None
    processed_at: datetime | None = _instant()
    prior_state: str | None = _text()
    prior_src_file_id: int | None = _big()
    prior_file_size: int | None = _big()
    prior_modified_at: datetime | None = _instant()
    prior_modified_at_ns: int | None = _big()
    prior_etag: str | None = _text()
    prior_version_id: str | None = _text()
    prior_retry_count: int | None = None
    prior_error: str | None = _text()
    prior_rows: int | None = _big()
    prior_rejected_rows: int | None = _big()
    prior_fingerprint: str | None = _text()
    prior_schema_version: int | None = None
    prior_batch: str | None = _text()
    prior_data_date: date | None = None
    prior_processed_at: datetime | None = _instant()
    prior_seconds: float | None = None
    prior_next_attempt_at: datetime | None = _instant()
    prior_reload: bool | None = None


class SchemaVersion(Table, table=True):
    """One row per schema that an ingestion's table or files ever had."""

    __tablename__ = "schema_version"

    ingestion: str = _text(primary_key=True)
    version: int = Field(primary_key=True)
    detected_at: datetime | None = _instant()
    schema_text: str = _text(nullable=False, name="schema_json")
    fingerprint: str | None = _text()
    affected_files: int | None = _big()
    resolution_type: str | None = _text()
    resolved_at: datetime | None = _instant()
    resolved_by: str | None = _text()


class Run(Table, table=True):
    """One apply of one ingestion in one lane, with what it was thought to cost and did cost."""

    __tablename__ = "run"
    __table_args__ = (Index("ix_run_ingestion", "ingestion"),)

    run_id: str = _text(primary_key=True)
    ingestion: str = _text(nullable=False)
    lane: str | None = _text()
    plan_id: str | None = _text()
    holder: str | None = _text()
    state: str = _text(nullable=False)
    started_at: datetime | None = _instant()
    finished_at: datetime | None = _instant()
    files: int = _big(0)
    failed_files: int = _big(0)
    rows: int = _big(0)
    rejected_rows: int = _big(0)
    size_bytes: int = _big(0)
    planned_files: int | None = _big()
    planned_size_bytes: int | None = _big()
    estimated_usd: float | None = None
    actual_usd: float | None = None
    estimated_s: float | None = None
    actual_s: float | None = None
    snapshot_id: int | None = _big()
    error: str | None = _text()
    extra: str | None = _text()


class Batch(Table, table=True):
    """Files that are committed in one snapshot; `token` fences off a holder that lost its lease."""

    __tablename__ = "batch"
    __table_args__ = (Index("ix_batch_run", "run_id"), Index("ix_batch_ingestion", "ingestion", "state"))

    batch_id: str = _text(primary_key=True)
    run_id: str = _text(nullable=False)
    ingestion: str = _text(nullable=False)
    lane: str | None = _text()
    state: str = _text(nullable=False)
    lease: str | None = _text()
    token: int = _big(0)
    sequence: int | None = _big()
    files: int = _big(0)
    rows: int | None = _big()
    rejected_rows: int | None = _big()
    size_bytes: int = _big(0)
    snapshot_id: int | None = _big()
    claimed_at: datetime | None = _instant()
    written_at: datetime | None = _instant()
    recorded_at: datetime | None = _instant()
    results: bytes | None = Field(default=None, sa_column=Column(LargeBinary))


class LeaseRow(Table, table=True):
    """Who may work on an ingestion now."""

    __tablename__ = "lease"
    __table_args__ = (Index("ix_lease_ingestion", "ingestion"),)

    id: str = _text(primary_key=True)
    ingestion: str = _text(nullable=False)
    kind: str = _text(nullable=False)
    holder: str = _text(nullable=False)
    token: int = _big(0)
    ttl_s: float = 0.0
    acquired_at: datetime | None = _instant()
    heartbeat_at: datetime | None = _instant()
    expires_at: datetime | None = _instant()


class Request(Table, table=True):
    """Refresh and reingest requests of specs that were done: each is done once."""

    __tablename__ = "request"

    ingestion: str = _text(primary_key=True)
    kind: str = _text(primary_key=True)
    request: str = _text(primary_key=True)
    run_id: str | None = _text()
    done_at: datetime | None = _instant()


class Audit(Table, table=True):
    """What was done to the state by whom: a line per change that is not a load."""

    __tablename__ = "audit"

    id: int | None = _big(primary_key=True)
    at: datetime | None = _instant()
    ingestion: str | None = _text()
    action: str = _text(nullable=False)
    actor: str | None = _text()
    detail: str | None = _text()
