"""What travels to a task and what comes back: job descriptions and the Arrow schemas of rows.

Everything here is picklable, holds no credentials, and needs neither DuckDB nor PyIceberg to import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

if TYPE_CHECKING:
    from autoloader.reader import ReadContract
    from autoloader.schema import Place

GROWS: Final = "GROWS"
AWAY: Final = "AWAY"
"""A file whose storage could not be reached: nothing is known of it."""
"""State of a file that gave no rows because it asks for columns or types first (`asks`)."""

TASK: Final = pa.schema(
    [
        pa.field("task", pa.int32(), nullable=False),  # rows of one number go to one task
        pa.field("file_path", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("modified_at_ns", pa.int64()),  # Spark's own times end at microseconds
        pa.field("etag", pa.string()),
        pa.field("version_id", pa.string()),
        pa.field("src_file_id", pa.int64(), nullable=False),
    ]
)
"""One row per source file to load, its identity pinned."""

RESULT: Final = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),  # "file" | "data_file"
        # file
        pa.field("src_file_id", pa.int64()),
        pa.field("file_path", pa.string()),
        pa.field("state", pa.string()),  # SUCCESS | FAILED | QUARANTINED | MISSING (moved or gone) | GROWS | AWAY
        pa.field("error", pa.string()),
        pa.field("rows", pa.int64()),  # of data files, too
        pa.field("rejected_rows", pa.int64()),
        pa.field("rescued_rows", pa.int64()),
        pa.field("fingerprint", pa.string()),
        pa.field("columns_json", pa.string()),  # {"columns": …, "new_columns": …, "asks": …, "notes": […]}
        pa.field("bytes_read", pa.int64()),
        pa.field("seconds", pa.float64()),
        # data_file
        pa.field("table", pa.string()),  # "main" | "quarantine"
        pa.field("path", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("spec_id", pa.int32()),
        pa.field("sort_order_id", pa.int32()),  # None: of rows in no order that is promised
        pa.field("partition_json", pa.string()),  # list, one value per partition field
        pa.field("footer", pa.binary()),  # the Parquet footer with its length and magic
        pa.field("src_file_ids", pa.list_(pa.int64())),
        pa.field("replaces", pa.string()),  # path of the data file that this one is a rewrite of
        pa.field("filled_rows", pa.int64()),  # of a rewrite: rows that got values out of `_rescued`
    ]
)
"""What a task says: one `file` row per source file, one `data_file` row per Parquet file it wrote."""

REWRITE_TASK: Final = pa.schema(
    [
        pa.field("task", pa.int32(), nullable=False),
        pa.field("table", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("spec_id", pa.int32(), nullable=False),
        pa.field("partition_json", pa.string()),
        pa.field("remove_ids", pa.list_(pa.int64()), nullable=False),  # rows with these leave
    ]
)
"""One row per data file to write anew, without some source files' rows or with values filled in."""

Mapper = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True)
class WriteFormat:
    """Where and how the data files of one table are written.

    Attributes:
        location: The table's location.
        schema_json: The Iceberg schema, with the field ids that the data files must carry.
        spec_json: The Iceberg partition spec.
        order_json: The Iceberg sort order.
        properties: The table's properties.
    """

    location: str
    schema_json: str
    spec_json: str = '{"spec-id": 0, "fields": []}'
    order_json: str = '{"order-id": 0, "fields": []}'
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def data_location(self) -> str:
        """The folder of the data files, without a slash at its end."""
        return self.properties.get("write.data.path", f"{self.location}/data").rstrip("/")

    def batch_location(self, batch_id: str) -> str:
        """The folder of one batch's data files, without a slash at its end."""
        return f"{self.data_location}/batch={batch_id}"


@dataclass(frozen=True, slots=True)
class LoadJob:
    """What every task of one batch needs to know.

    Attributes:
        batch_id: The batch.
        ingested_at: Aware UTC, the same for all rows of the batch.
        contract: How files are read.
        main: The table's format.
        quarantine: The quarantine table's; None: rejected rows are counted, not kept.
        storage: Per scheme, how to reach it (`sources.StorageConfig`); no credentials.
        workdir: Where temporary files go; None = the executor's own.
        threads: DuckDB threads of one task.
        memory_limit: DuckDB's, of one task.
        target_file_bytes: About how large a data file should get; None = the table's property, 512 MB.
    """

    batch_id: str
    ingested_at: datetime
    contract: ReadContract
    main: WriteFormat
    quarantine: WriteFormat | None = None
    storage: Mapping[str, Any] = field(default_factory=dict)
    workdir: str | None = None
    threads: int = 1
    memory_limit: str = "2GB"
    target_file_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RewriteJob:
    """What every task that writes data files anew needs to know."""

    batch_id: str
    main: WriteFormat
    quarantine: WriteFormat | None = None
    storage: Mapping[str, Any] = field(default_factory=dict)
    workdir: str | None = None


@dataclass(frozen=True, slots=True)
class FillJob:
    """What every task that fills columns out of `_rescued` needs to know.

    Attributes:
        places: Which keys go where.
    """

    batch_id: str
    main: WriteFormat
    places: tuple[Place, ...]
    storage: Mapping[str, Any] = field(default_factory=dict)
    workdir: str | None = None
