"""The spec of an ingestion and the settings of a project, validated. One model per YAML mapping.

Attributes carry the YAML keys' names (`from` is `from_`, `schema` is `table_schema`). No disk here:
`specfiles` reads, this room judges.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class CsvOptions(_Model):
    """How a CSV (or JSON, text) file is written; None = resolved once by sniffing, then pinned."""

    delimiter: str | None = None
    header: bool | None = None
    quote: str | None = None
    escape: str | None = None
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)
    comment: str | None = None
    skip_rows: int = 0


class Source(_Model):
    """Where the files are and which of them count."""

    path: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    format: Literal["csv", "json", "parquet", "avro", "orc", "text"] | None = None
    options: CsvOptions = CsvOptions()
    path_date: str | None = None
    partitions: dict[str, str] = Field(default_factory=dict)
    min_age: timedelta = timedelta(0)
    start: Literal["all", "now"] | datetime = "all"
    on_change: Literal["replace", "append", "ignore", "fail"] = "replace"
    on_delete: Literal["keep", "delete_rows", "fail"] = "keep"


class Destination(_Model):
    """The Iceberg table."""

    table: str
    partition_by: tuple[str, ...] = ()
    properties: dict[str, str] = Field(default_factory=dict)


class ColumnSpec(_Model):
    """One declared column; `from_` is its name in the files."""

    name: str
    type: str
    from_: str | None = Field(default=None, alias="from")
    description: str | None = None


class SchemaSpec(_Model):
    """Declared columns (None = inferred at plan, then pinned) and the contract."""

    columns: tuple[ColumnSpec, ...] | None = None
    new_columns: Literal["add", "rescue", "ignore", "fail"] = "add"
    type_change: Literal["widen", "rescue", "fail"] = "widen"
    missing_columns: Literal["null", "fail"] = "null"
    on_bad_row: Literal["quarantine", "rescue", "fail"] = "quarantine"
    max_bad_rows: Decimal = Decimal("0.01")  # a fraction; YAML says "1%" or an absolute count


class Backfill(_Model):
    """A window of old files, loaded in slices."""

    by: Literal["path", "modified"] = "path"
    from_: date | datetime | None = Field(default=None, alias="from")
    until: date | datetime | None = None
    through: date | datetime | None = None
    timezone: str = "UTC"
    step: str | None = None  # "1 year", "3 months", "1 week", "1 day"
    every: str | None = None
    order: Literal["oldest", "newest"] = "oldest"
    share: Decimal = Decimal("0.5")


class Limits(_Model):
    """Bounds of one run; None = none. What is over is deferred."""

    max_files: int | None = None
    max_bytes: int | None = None
    max_usd: Decimal | None = None
    max_duration: timedelta | None = None


class Schedule(_Model):
    """When the ingestion is due: cron, or every (with at)."""

    cron: str | None = None
    every: str | None = None
    at: str | None = None
    timezone: str = "UTC"


class Compute(_Model):
    """Names of compute profiles per lane."""

    live: str = "default"
    backfill: str = "default"


class Refresh(_Model):
    """A rebuild, done once per request."""

    mode: Literal["full", "new-only", "clear-history"]
    request: str
    reason: str | None = None


class Reingest(_Model):
    """Files to load again, done once per request."""

    match: str
    request: str
    reason: str | None = None


class IngestionSpec(_Model):
    """One ingestion: one source into one table."""

    name: str
    description: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    status: Literal["draft", "active", "paused"] = "active"
    previous_name: str | None = None
    source: Source
    destination: Destination
    table_schema: SchemaSpec = Field(default=SchemaSpec(), alias="schema")
    backfill: Backfill | None = None
    limits: Limits = Limits()
    schedule: Schedule | None = None
    compute: Compute = Compute()
    refresh: Refresh | None = None
    reingest: tuple[Reingest, ...] = ()
    protect: bool = False
    on_remove: Literal["forget", "drop"] = "forget"

    def as_data(self) -> dict[str, Any]:
        """The spec as JSON-able data under its YAML keys, defaults left out, keys in model order."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class StorageSettings(_Model):
    """How to reach one scheme. Credentials never stand here: the provider's own chain finds them."""

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    anonymous: bool = False


class SparkSettings(_Model):
    """Which Spark runs the tasks."""

    engine: Literal["auto", "local", "cluster", "connect", "sail"] = "auto"
    master: str | None = None
    remote: str | None = None
    conf: dict[str, str] = Field(default_factory=dict)


class ComputeProfile(_Model):
    """A size of compute and its price."""

    usd_per_hour: Decimal | None = None
    cores: int | None = None
    conf: dict[str, str] = Field(default_factory=dict)


class Prices(_Model):
    """The price book; None = unknown, never free."""

    usd_per_gb: Decimal | None = Decimal("0.25")
    usd_per_1000_list: Decimal | None = None
    usd_per_1000_get: Decimal | None = None
    usd_per_gb_month: Decimal | None = None


class Threshold(_Model):
    """A guardrail's two levels."""

    warn: Decimal | None = None
    deny: Decimal | None = None


class Guardrails(_Model):
    """Limits that fail a plan or stop an apply. Bytes in bytes, duration in seconds, percent as 0-100."""

    max_usd: Threshold | None = None
    max_bytes: Threshold | None = None
    max_files: Threshold | None = None
    max_duration: Threshold | None = None
    max_replaced_percent: Threshold | None = None


class Settings(_Model):
    """`ingestions/autoloader.yml`."""

    state: str | None = None
    catalog: dict[str, str] = Field(default_factory=dict)
    spark: SparkSettings = SparkSettings()
    storage: dict[str, StorageSettings] = Field(default_factory=dict)
    compute: dict[str, ComputeProfile] = Field(default_factory=dict)
    prices: Prices = Prices()
    guardrails: Guardrails = Guardrails()
    vars: dict[str, Any] = Field(default_factory=dict)
    lineage_columns: bool = True
