"""The first form of the ledger. Frozen: later changes are versions of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT = sa.String(27).with_variant(TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    """Makes every table."""
    _project()
    _ingestion()
    _processed_file()
    _batch_file()
    _schema_version()
    _run()
    _batch()
    _lease()
    _request()
    _audit()


def _project() -> None:
    op.create_table(
        "project",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("lineage", sa.Text(), nullable=False),
        sa.Column("serial", BIG, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("next_src_file_id", BIG, nullable=False),
        sa.Column("next_token", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _ingestion() -> None:
    op.create_table(
        "ingestion",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("data_fingerprint", sa.Text()),
        sa.Column("metadata_fingerprint", sa.Text()),
        sa.Column("spec_digest", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("protect", sa.Boolean(), nullable=False),
        sa.Column("serial", BIG, nullable=False),
        sa.Column("table_name", sa.Text()),
        sa.Column("table_uuid", sa.Text()),
        sa.Column("schema_json", sa.Text()),
        sa.Column("dialect", sa.Text()),
        sa.Column("backfill", sa.Text()),
        sa.Column("extra", sa.Text()),
        sa.Column("last_run_at", AT),
        sa.Column("created_at", AT),
        sa.Column("updated_at", AT),
        sa.PrimaryKeyConstraint("name"),
    )


def _processed_file() -> None:
    op.create_table(
        "processed_file",
        sa.Column("id", BIG, nullable=False),
        sa.Column("ingestion", sa.Text(), nullable=False),
        sa.Column("src_file_id", BIG),
        sa.Column("file_path", sa.Text(), nullable=False),
        sa.Column("file_size", BIG),
        sa.Column("modified_at", AT),
        sa.Column("modified_at_ns", BIG),
        sa.Column("etag", sa.Text()),
        sa.Column("version_id", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("rows", BIG),
        sa.Column("rejected_rows", BIG),
        sa.Column("fingerprint", sa.Text()),
        sa.Column("schema_version", sa.Integer()),
        sa.Column("batch", sa.Text()),
        sa.Column("data_date", sa.Date()),
        sa.Column("discovered_at", AT),
        sa.Column("processed_at", AT),
        sa.Column("seconds", sa.Float()),
        sa.Column("next_attempt_at", AT),
        sa.Column("reload", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("ingestion", "file_path", name="uq_processed_file_path"),
    )


def _batch_file() -> None:
    op.create_table(
        "batch_file",
        sa.Column("src_file_id", BIG, autoincrement=False, nullable=False),
        sa.Column("batch", sa.Text(), nullable=False),
        sa.Column("ingestion", sa.Text(), nullable=False),
        sa.Column("file_path", sa.Text(), nullable=False),
        sa.Column("file_size", BIG),
        sa.Column("modified_at_ns", BIG),
        sa.Column("etag", sa.Text()),
        sa.Column("version_id", sa.Text()),
        sa.Column("data_date", sa.Date()),
        sa.Column("disposition", sa.Text()),
        sa.Column("replaces", BIG),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("rows", BIG),
        sa.Column("rejected_rows", BIG),
        sa.Column("fingerprint", sa.Text()),
        sa.Column("schema_version", sa.Integer()),
        sa.Column("seconds", sa.Float()),
        sa.Column("processed_at", AT),
        sa.Column("prior_state", sa.Text()),
        sa.Column("prior_src_file_id", BIG),
        sa.Column("prior_file_size", BIG),
        sa.Column("prior_modified_at", AT),
        sa.Column("prior_modified_at_ns", BIG),
        sa.Column("prior_etag", sa.Text()),
        sa.Column("prior_version_id", sa.Text()),
        sa.Column("prior_retry_count", sa.Integer()),
        sa.Column("prior_error", sa.Text()),
        sa.Column("prior_rows", BIG),
        sa.Column("prior_rejected_rows", BIG),
        sa.Column("prior_fingerprint", sa.Text()),
        sa.Column("prior_schema_version", sa.Integer()),
        sa.Column("prior_batch", sa.Text()),
        sa.Column("prior_data_date", sa.Date()),
        sa.Column("prior_processed_at", AT),
        sa.Column("prior_seconds", sa.Float()),
        sa.Column("prior_next_attempt_at", AT),
        sa.Column("prior_reload", sa.Boolean()),
        sa.PrimaryKeyConstraint("src_file_id"),
    )
    op.create_index("ix_batch_file_batch", "batch_file", ["batch"])


def _schema_version() -> None:
    op.create_table(
        "schema_version",
        sa.Column("ingestion", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("detected_at", AT),
        sa.Column("schema_json", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text()),
        sa.Column("affected_files", BIG),
        sa.Column("resolution_type", sa.Text()),
        sa.Column("resolved_at", AT),
        sa.Column("resolved_by", sa.Text()),
        sa.PrimaryKeyConstraint("ingestion", "version"),
    )


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("ingestion", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text()),
        sa.Column("plan_id", sa.Text()),
        sa.Column("holder", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", AT),
        sa.Column("finished_at", AT),
        sa.Column("files", BIG, nullable=False),
        sa.Column("failed_files", BIG, nullable=False),
        sa.Column("rows", BIG, nullable=False),
        sa.Column("rejected_rows", BIG, nullable=False),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("planned_files", BIG),
        sa.Column("planned_size_bytes", BIG),
        sa.Column("estimated_usd", sa.Float()),
        sa.Column("actual_usd", sa.Float()),
        sa.Column("estimated_s", sa.Float()),
        sa.Column("actual_s", sa.Float()),
        sa.Column("snapshot_id", BIG),
        sa.Column("error", sa.Text()),
        sa.Column("extra", sa.Text()),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("ix_run_ingestion", "run", ["ingestion"])


def _batch() -> None:
    op.create_table(
        "batch",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("ingestion", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lease", sa.Text()),
        sa.Column("token", BIG, nullable=False),
        sa.Column("sequence", BIG),
        sa.Column("files", BIG, nullable=False),
        sa.Column("rows", BIG),
        sa.Column("rejected_rows", BIG),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("snapshot_id", BIG),
        sa.Column("claimed_at", AT),
        sa.Column("written_at", AT),
        sa.Column("recorded_at", AT),
        sa.Column("results", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("batch_id"),
    )
    op.create_index("ix_batch_ingestion", "batch", ["ingestion", "state"])
    op.create_index("ix_batch_run", "batch", ["run_id"])


def _lease() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("ingestion", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", BIG, nullable=False),
        sa.Column("ttl_s", sa.Float(), nullable=False),
        sa.Column("acquired_at", AT),
        sa.Column("heartbeat_at", AT),
        sa.Column("expires_at", AT),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_lease_ingestion", "lease", ["ingestion"])


def _request() -> None:
    op.create_table(
        "request",
        sa.Column("ingestion", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.Column("done_at", AT),
        sa.PrimaryKeyConstraint("ingestion", "kind", "request"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", BIG, nullable=False),
        sa.Column("at", AT),
        sa.Column("ingestion", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
