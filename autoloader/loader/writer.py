"""Data files of one table: DuckDB's COPY with Iceberg's field ids, or PyArrow where DuckDB is not right.

Local tables are written in place; for the others a file is written beside the task's temporary files
and uploaded by `publish`. What fails here is the task's failure (disk full, no permission), never a file's.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import LakeError, is_full_disk
from autoloader.loader.columns import field_ids, projection, quote, table_columns, text
from autoloader.loader.job import WriteFormat
from autoloader.loader.partitions import drop_numbers, number_partitions, partition_fields
from autoloader.loader.sorting import sorting

if TYPE_CHECKING:
    import duckdb

TARGET_FILE_BYTES: Final = 512 * 1024 * 1024
_CODECS: Final = {
    "zstd": "zstd",
    "snappy": "snappy",
    "gzip": "gzip",
    "lz4": "lz4_raw",
    "uncompressed": "uncompressed",
}


@dataclass(frozen=True, slots=True)
class Written:
    """One Parquet file.

    Attributes:
        local: Where it is on this machine until it is published.
        path: Its location in the table.
        size_bytes: Its size.
        rows: Its rows, more than 0.
        footer: The footer with its length and magic: enough for its statistics.
        partition_json: Its partition values.
        spec_id: The partition spec that they belong to.
        sort_order_id: The sort order that its rows are in; None: none.
    """

    local: Path
    path: str
    size_bytes: int
    rows: int
    footer: bytes
    partition_json: str = "[]"
    spec_id: int = 0
    sort_order_id: int | None = None


def local_path(location: str) -> Path | None:
    """The path of a `file:` URI or plain path; None for other schemes. Nothing is percent-decoded."""
    if location.startswith("file://"):
        return Path(location.removeprefix("file://"))
    if location.startswith("file:"):
        return Path(location.removeprefix("file:"))
    return Path(location) if location.startswith("/") else None


class TableWriter:
    """Writes the data files of one table for one task of one batch."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        table: WriteFormat,
        batch_id: str,
        *,
        workdir: Path,
        storage: Mapping[str, Any],
        target_file_bytes: int | None = None,
    ) -> None:
        self._con = con
        self._storage = storage
        self.columns = table_columns(table.schema_json)
        self.partition_fields = partition_fields(table.spec_json, self.columns)
        self.by_duckdb = all(column.duckdb_type is not None for column in self.columns)
        self._schema_json = table.schema_json
        self._spec_id = json.loads(table.spec_json)["spec-id"]
        self._sort_order_id, self._order_by = sorting(table.order_json, self.columns)
        self._location = table.batch_location(batch_id)
        folder = local_path(self._location)
        self._remote = folder is None
        self._folder = workdir / f"out-{uuid.uuid4().hex[:8]}" if folder is None else folder
        codec = table.properties.get("write.parquet.compression-codec", "zstd").lower()
        self._codec = _CODECS.get(codec, "zstd")
        target = table.properties.get("write.target-file-size-bytes")
        self._target = target_file_bytes or (int(target) if target else TARGET_FILE_BYTES)
        self._task = uuid.uuid4().hex

    @property
    def partitioned(self) -> bool:
        """Whether rows go to one file per partition."""
        return bool(self.partition_fields)

    def write_select(
        self, select_sql: str, present: frozenset[str], constants: Mapping[str, str] | None = None
    ) -> tuple[Written, ...]:
        """Write a relation of an unpartitioned table, streaming.

        Args:
            select_sql: A SELECT.
            present: The lower-case names of its columns.
            constants: Text columns that have one value in all rows, and it.
        """
        source = projection(self.columns, present, f"({select_sql})", constants if self.by_duckdb else None)
        source += self._order_by
        if not self.by_duckdb:
            return self._with_pyarrow(source, "[]")
        return self._copy(source, "")

    def write_table(self, table: str, present: frozenset[str]) -> tuple[Written, ...]:
        """Write the rows of a DuckDB table, one file (or more, if large) per partition.

        Args:
            table: A DuckDB table's name, unquoted and safe.
            present: The lower-case names of its columns.
        """
        if not self.partitioned:
            return self.write_select(f"SELECT * FROM {table}", present)
        shaped = f"{table}_shaped"
        self._con.execute(f"CREATE OR REPLACE TEMP VIEW {shaped} AS {projection(self.columns, present, table)}")
        try:
            parts = number_partitions(self._con, self.partition_fields, shaped)
            names = ", ".join(f"{shaped}.{q}" for q in (quote(c.name) for c in self.columns))
            source = f"SELECT {names}, parts.{parts.number} FROM {parts.source}{self._order_by}"
            if not self.by_duckdb:
                return tuple(
                    written
                    for number, values in enumerate(parts.values)
                    for written in self._with_pyarrow(
                        f"SELECT * EXCLUDE ({parts.number}) FROM ({source}) WHERE {parts.number} = {number}",
                        values,
                    )
                )
            return self._copy(source, parts.number, parts.values)
        finally:
            drop_numbers(self._con, self.partition_fields, shaped)
            self._con.execute(f"DROP VIEW IF EXISTS {shaped}")

    def _copy(self, source: str, number: str, values: Sequence[str] = ()) -> tuple[Written, ...]:
        """COPY to a folder of this call; DuckDB starts another file when one is large enough."""
        import duckdb

        folder = self._folder / f"{self._task}-{uuid.uuid4().hex[:8]}"
        by = f"PARTITION_BY ({number}), WRITE_PARTITION_COLUMNS false, " if number else ""
        size = "" if number else f"FILE_SIZE_BYTES {self._target}, "
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            stats = self._con.execute(
                f"COPY ({source}) TO {text(str(folder))} (FORMAT parquet, COMPRESSION {self._codec},"
                f" {by}{size}FILENAME_PATTERN 'part-{{uuid}}', FIELD_IDS {field_ids(self.columns)}, RETURN_STATS)"
            ).fetchall()
        except OSError as error:
            raise _unwritable(self._location, error) from error
        except duckdb.IOException as error:
            # the same statement reads the source file: its trouble is the file's, not the task's
            if str(folder) in str(error) or is_full_disk(error):
                raise _unwritable(self._location, error) from error
            raise
        written = []
        for name, rows, _, footer_bytes, _, keys, *_ in stats:
            path = Path(name)
            if rows == 0:
                path.unlink()
                continue
            partition = values[int(keys[number])] if number else "[]"
            written.append(self._written(path, rows, footer_bytes, partition))
        return tuple(written)

    def _with_pyarrow(self, source: str, partition_json: str) -> tuple[Written, ...]:
        """Write through Arrow under the schema that PyIceberg derives: right for every Iceberg type."""
        from autoloader.loader.arrow import write_batches

        path = self._folder / f"{self._task}-{uuid.uuid4().hex[:8]}" / f"part-{uuid.uuid4()}.parquet"
        reader = self._con.sql(source).to_arrow_reader(65_536)
        try:
            rows = write_batches(reader, self._schema_json, path, self._codec)
        except OSError as error:
            raise _unwritable(self._location, error) from error
        return (self._written(path, rows, None, partition_json),) if rows else ()

    def _written(self, path: Path, rows: int, footer_bytes: int | None, partition_json: str) -> Written:
        size = path.stat().st_size
        relative = path.relative_to(self._folder)
        return Written(
            path, f"{self._location}/{relative}", size, rows, read_footer(path, footer_bytes),
            partition_json, self._spec_id, self._sort_order_id,
        )  # fmt: skip

    def publish(self, files: Sequence[Written]) -> None:
        """Bring files to the table's storage. Local ones are there already."""
        if not self._remote:
            return
        from autoloader import sources

        for file in files:
            sources.put(file.local, file.path, self._storage)
            file.local.unlink()

    def discard(self, files: Sequence[Written]) -> None:
        """Remove files that were written and are not wanted after all; before `publish` only."""
        for file in files:
            file.local.unlink(missing_ok=True)


def read_footer(path: Path, footer_bytes: int | None = None) -> bytes:
    """The Parquet footer of a local file: metadata, its length, and the magic."""
    with path.open("rb") as file:
        if footer_bytes is None:
            file.seek(-8, 2)
            footer_bytes = int.from_bytes(file.read(4), "little")
        file.seek(-footer_bytes - 8, 2)
        return file.read()


def data_file_row(file: Written, table: str, ids: Iterable[int], replaces: str | None = None) -> dict[str, Any]:
    """The result row of one data file."""
    return {
        "kind": "data_file",
        "table": table,
        "path": file.path,
        "size_bytes": file.size_bytes,
        "rows": file.rows,
        "partition_json": file.partition_json,
        "spec_id": file.spec_id,
        "sort_order_id": file.sort_order_id,
        "footer": file.footer,
        "src_file_ids": sorted(ids),
        "replaces": replaces,
    }


def _unwritable(location: str, error: Exception) -> LakeError:
    return LakeError(
        f"data files could not be written below {location}",
        why=str(error),
        fix="free some space or allow writing there, then run the same command again: it resumes.",
    )
