"""Delete files as Spark and Trino write them for merge-on-read: rows leave a table, its data files stay."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
)
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles

_POSITIONS = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": "2147483546"}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": "2147483545"}),
    ]
)


class _DeleteManifest(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _Deletes(_FastAppendFiles):
    file: DataFile

    def _existing_manifests(self) -> list[ManifestFile]:
        metadata = self._transaction.table_metadata
        spec, output = metadata.spec(), self.new_manifest_output()
        with _DeleteManifest(spec, metadata.schema(), output, self._snapshot_id, self._compression) as writer:
            writer.add(ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, data_file=self.file))
        return [*super()._existing_manifests(), writer.to_manifest_file()]


def delete_rows(table: Table, column: str, value: object) -> None:
    """Delete the rows of a local table that have a value, by the positions that they have in one data file."""

    def places(task: FileScanTask) -> list[int]:
        values = pq.read_table(task.file.file_path.removeprefix("file://"), columns=[column])[column].to_pylist()
        return [place for place, each in enumerate(values) if each == value]

    task = next(task for task in table.scan().plan_files() if places(task))
    location = f"{table.location()}/data/deletes-{uuid.uuid4()}.parquet"
    target = location.removeprefix("file://")
    paths: list[Any] = [task.file.file_path] * len(places(task))
    pq.write_table(pa.table({"file_path": paths, "pos": places(task)}, schema=_POSITIONS), target)
    transaction = table.transaction()
    producer = _Deletes(Operation.APPEND, transaction, table.io)
    producer.file = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=task.file.partition,
        record_count=len(paths),
        file_size_in_bytes=Path(target).stat().st_size,
    )
    producer.commit()
    transaction.commit_transaction()
