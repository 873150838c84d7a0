"""Snapshots whose data files may be of any partition spec of their table.

Own code instead of PyIceberg's, for two reasons. PyIceberg puts all data files that a snapshot adds into one manifest
of the table's current spec; a data file that is written anew keeps its own spec, and one may have been written before
the spec changed. In a manifest of another spec its partition values are taken for that one's, and readers leave out
rows that are there. And PyIceberg looks for the manifests of files that leave by their partition values, of which NaN
cannot be looked for.
Imports PyIceberg: loaded by `tables` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pyiceberg.manifest import DataFile, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table import TableProperties, Transaction
from pyiceberg.table.snapshots import Operation, SnapshotSummaryCollector, Summary, update_snapshot_summaries
from pyiceberg.table.update.snapshot import _FastAppendFiles, _MergeAppendFiles, _OverwriteFiles, _SnapshotProducer
from pyiceberg.typedef import EMPTY_DICT
from pyiceberg.utils.concurrent import ExecutorFactory
from pyiceberg.utils.properties import property_as_int


class _BySpec(_SnapshotProducer[Any]):
    """Writes one manifest per partition spec for the data files that come, as for those that leave."""

    def _manifests(self) -> list[ManifestFile]:
        gone = self._deleted_entries()  # fails before anything is written
        come = [
            ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED,
                snapshot_id=self._snapshot_id,
                sequence_number=None,
                file_sequence_number=None,
                data_file=file,
            )
            for file in self._added_data_files
        ]
        pool = ExecutorFactory.get_or_create()
        parts = [pool.submit(self._by_spec, come), pool.submit(self._by_spec, gone)]
        parts.append(pool.submit(self._existing_manifests))
        return self._process_manifests([manifest for part in parts for manifest in part.result()])

    def _by_spec(self, entries: Iterable[ManifestEntry]) -> list[ManifestFile]:
        groups: dict[int, list[ManifestEntry]] = {}
        for entry in entries:
            groups.setdefault(entry.data_file.spec_id, []).append(entry)
        manifests = []
        for spec_id, group in groups.items():
            with self.new_manifest_writer(self.spec(spec_id)) as writer:
                for entry in group:
                    writer.add_entry(entry)
            manifests.append(writer.to_manifest_file())
        return manifests

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        metadata = self._transaction.table_metadata
        schema, specs = metadata.schema(), metadata.specs()
        limit, default = (
            TableProperties.WRITE_PARTITION_SUMMARY_LIMIT,
            TableProperties.WRITE_PARTITION_SUMMARY_LIMIT_DEFAULT,
        )
        collector = SnapshotSummaryCollector(property_as_int(metadata.properties, limit, default) or 0)
        for file in self._added_data_files:
            collector.add_file(file, schema, specs[file.spec_id])
        for file in self._deleted_data_files:
            collector.remove_file(file, schema, specs[file.spec_id])
        before = None if self._parent_snapshot_id is None else metadata.snapshot_by_id(self._parent_snapshot_id)
        return update_snapshot_summaries(
            Summary(operation=self._operation, **collector.build(), **snapshot_properties),
            before.summary if before is not None else None,
        )


class _Append(_BySpec, _FastAppendFiles):
    pass


class _MergingAppend(_BySpec, _MergeAppendFiles):
    pass


class Replacement(_BySpec, _OverwriteFiles):
    """A snapshot that takes data files out, and may bring others."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._holding: set[str] = set()

    def take_out(self, file: DataFile, manifest: ManifestFile) -> None:
        """Let a data file leave that is in that manifest."""
        self.delete_data_file(file)
        self._holding.add(manifest.manifest_path)

    def _build_delete_files_partition_predicate(self) -> None:
        """Nothing: the manifests are known."""

    def _build_manifest_evaluator(self, spec_id: int) -> Callable[[ManifestFile], bool]:  # noqa: ARG002
        return lambda manifest: manifest.manifest_path in self._holding


def append(transaction: Transaction, summary: dict[str, str], branch: str, *, merge: bool) -> _BySpec:
    """A snapshot that brings data files and takes none out; with `merge` it also puts small manifests together."""
    kind = _MergingAppend if merge else _Append
    io = transaction._table.io
    return kind(Operation.APPEND, transaction, io, branch=branch, snapshot_properties=summary)


def replacement(transaction: Transaction, summary: dict[str, str], branch: str) -> Replacement:
    """A snapshot that takes data files of a branch out, and may bring others."""
    io = transaction._table.io
    return Replacement(Operation.OVERWRITE, transaction, io, branch=branch, snapshot_properties=summary)
