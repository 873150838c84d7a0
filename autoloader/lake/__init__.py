"""Iceberg tables: their state, DDL, commits, branches, and what is in them.

`Lake` is a façade that imports PyIceberg only when it has to: with the embedded catalog, `table()` reads one
row of SQLite and one JSON file. Nothing here reads a clock, asks a person, or knows the ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloader.errors import LakeError
from autoloader.lake import peek
from autoloader.lake.catalogs import catalog_properties, explained, open_catalog
from autoloader.lake.state import (
    BRANCH,
    LINEAGE,
    QUARANTINE,
    Commit,
    HeldFile,
    SchemaUpdate,
    SnapshotInfo,
    TableState,
    quarantine_name,
    state_of,
)
from autoloader.loader import WriteFormat

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog

    from autoloader.schema import TableSchema
    from autoloader.spec import StorageSettings

__all__ = [
    "LINEAGE",
    "QUARANTINE",
    "Commit",
    "HeldFile",
    "Lake",
    "SchemaUpdate",
    "SnapshotInfo",
    "TableState",
    "quarantine_name",
]


class Lake:
    """The Iceberg catalog of a project.

    Every method raises `LakeError` (what, why, fix) for a catalog that is down, a missing table or a missing
    permission; table names are `namespace.table`.
    """

    def __init__(
        self,
        catalog: Mapping[str, str] | None = None,
        storage: Mapping[str, StorageSettings] | None = None,
        *,
        project_dir: Path | None = None,
    ) -> None:
        """Name the catalog; nothing is opened, made or imported yet.

        Args:
            catalog: PyIceberg's properties; empty = the embedded SQL catalog below `.autoloader/`.
            storage: How to reach each scheme, for the tables' own files.
            project_dir: Where relative paths start; None = the working directory.
        """
        self._storage = dict(storage or {})
        self.properties = catalog_properties(catalog or {}, self._storage, project_dir or Path.cwd())
        self._name = self.properties.get("name", "lake")
        self._lock = threading.RLock()

    def warm(self) -> threading.Thread:
        """Begin to import PyIceberg in the background: call it when a commit is to be expected."""
        thread = threading.Thread(target=import_module, args=("autoloader.lake.tables",), daemon=True)
        thread.start()
        return thread

    @cached_property
    def _opened(self) -> Catalog:
        return open_catalog(self.properties)

    @property
    def _catalog(self) -> Catalog:
        with self._lock:
            return self._opened

    @property
    def _work(self) -> Any:
        return import_module("autoloader.lake.tables")

    def close(self) -> None:
        """Let go of the catalog's connections; the lake may be used again afterwards."""
        with self._lock:
            catalog = self.__dict__.pop("_opened", None)
            if catalog is not None:
                catalog.close()

    # ------------------------------------------------------------------ state

    def table(self, name: str) -> TableState | None:
        """A table's state now; None where there is no such table, or no catalog yet. Writes nothing."""
        file = peek.sqlite_file(self.properties)
        if file is not None:
            namespace, _, table = name.rpartition(".")
            try:
                metadata = peek.table_metadata(file, self._name, namespace, table)
            except peek.Unfit:
                pass
            else:
                return None if metadata is None else state_of(name, metadata)
        with explained(f"the table {name} cannot be read"):
            found = self._work.load(self._catalog, name)
            return None if found is None else self._work.state(name, found)

    def check(self) -> str:
        """One sentence on the catalog for `doctor`: opened, and how many namespaces it has."""
        with explained("the Iceberg catalog cannot be reached"):
            spaces = self._catalog.list_namespaces()
        return f"catalog {self._name} answers, {len(spaces)} namespace{'s' * (len(spaces) != 1)}"

    # ------------------------------------------------------------------ DDL

    def create(
        self,
        name: str,
        schema: TableSchema,
        partition_by: Sequence[str] = (),
        properties: Mapping[str, str] | None = None,
        *,
        lineage_columns: bool = True,
        sort_by: Sequence[str] = (),
    ) -> TableState:
        """Make a table, its namespace where need be; lineage columns at its end."""
        with explained(f"the table {name} cannot be created"):
            table = self._work.create(
                self._catalog,
                name,
                schema,
                tuple(partition_by),
                properties or {},
                lineage=lineage_columns,
                sort_by=tuple(sort_by),
            )
            found: TableState = self._work.state(name, table)
            return found

    def evolve(
        self,
        name: str,
        update: SchemaUpdate | None = None,
        *,
        properties: Mapping[str, str] | None = None,
        unset: Sequence[str] = (),
        partition_by: Sequence[str] | None = None,
        sort_by: Sequence[str] | None = None,
    ) -> TableState:
        """Change schema, properties, partitioning or sorting by metadata alone; doing it twice changes nothing.

        Properties in `unset` go, or back to what a new table has; what is kept for recovery stays.
        """
        with explained(f"the table {name} cannot be changed"):
            parts, order = (None if terms is None else tuple(terms) for terms in (partition_by, sort_by))
            self._work.evolve(self._catalog, name, update, properties, parts, order, unset=unset)
        return self._there(name)

    def drop(self, name: str, *, purge: bool = False) -> None:
        """Drop a table with its quarantine table; with `purge` their files. Nothing where there is none."""
        with explained(f"the table {name} cannot be dropped"):
            self._work.drop(self._catalog, name, purge=purge)

    def rename(self, old: str, new: str) -> None:
        """Rename a table with its quarantine table; the files stay where they are."""
        with explained(f"the table {old} cannot be renamed to {new}"):
            self._work.rename(self._catalog, old, new)

    # ------------------------------------------------------------------ writing

    def write_format(
        self,
        name: str,
        branch: str | None = None,  # noqa: ARG002
        *,
        update: SchemaUpdate | None = None,
    ) -> WriteFormat:
        """What the loader's data files must look like; the same for every branch.

        Args:
            name: The table.
            branch: Where they will be committed; changes nothing, since branches share one schema.
            update: A schema update that will be committed together with them.
        """
        with explained(f"the table {name} cannot be read"):
            table = self._work.needed(self._catalog, name)
            found: WriteFormat = self._work.write_format(table, update)
            return found

    def quarantine_format(self, name: str) -> WriteFormat:
        """The same for the table's quarantine table, which is made by the first commit that needs it."""
        with explained(f"the table {name} cannot be read"):
            main = self._work.write_format(self._work.needed(self._catalog, name))
            found: WriteFormat = self._work.quarantine_format(self._catalog, name, main)
            return found

    def commit(self, name: str, commit: Commit) -> int | None:
        """Commit a batch: one snapshot of the table, then one of the quarantine table if rows were rejected.

        Doing it again finds the batch and changes nothing, so an interrupted commit is completed by the
        same call. Rows that were rejected for a branch are kept by it once the branch is served.

        Returns:
            The batch's snapshot; without files to add or remove, and without rejected rows, no snapshot is made,
            and it is the branch's current one, or None.

        Raises:
            RowsMovedError: Removed files are not there any more; prepare the removal anew.
            ShutOutError: The batch was revoked, or somebody had the table alone meanwhile.
            CommitConflictError: Other writers were quicker every time.
            CommitUnknownError: The catalog did not say whether it took place.
        """
        with explained(f"{name} could not be committed to"):
            found: int | None = self._work.commit(self._catalog, name, commit)
            return found

    def find_batch(self, name: str, batch_id: str, branch: str | None = None) -> int | None:
        """The snapshot of a batch that was committed to a branch (to `main`); None: it was not, or was rolled back."""
        with explained(f"the table {name} cannot be read"):
            table = self._work.load(self._catalog, name)
            return None if table is None else self._work.commits.committed(table, batch_id, branch)

    def revoke(
        self,
        name: str,
        batch_id: str,
        branch: str | None = None,
        *,
        src_file_ids: Sequence[int] = (),
        fencing_token: int | None = None,
    ) -> int | None:
        """Settle a batch of a dead worker before its files are released.

        Args:
            name: The table.
            batch_id: The batch.
            branch: Where it was to be committed; None = `main`.
            src_file_ids: The source file versions that it has rows of: where snapshots have expired that would tell of
                it, these rows do.
            fencing_token: Under which it was loaded.

        Returns:
            Its snapshot, if it was committed after all. None: it was not, and can never be any more.
        """
        with explained(f"{name} could not be committed to"):
            found: int | None = self._work.revoke(
                self._catalog, name, batch_id, branch, tuple(src_file_ids), fencing_token
            )
            return found

    def sweep(self, name: str, batch_id: str) -> int:
        """Delete the data files of a batch that no snapshot knows; how many. Only for settled batches."""
        from autoloader.lake.sweeping import sweep

        with explained(f"the left-over files of a batch of {name} cannot be deleted"):
            return sweep(self._catalog, name, batch_id, self._storage)

    # ------------------------------------------------------------------ branches and history

    def start_branch(self, name: str, branch: str) -> None:
        """Make a branch without rows, to build a table's new content aside; nothing where it is there."""
        with explained(f"the branch {branch} of {name} cannot be made"):
            self._work.start_branch(self._catalog, name, branch, {BRANCH: branch})

    def swap(
        self,
        name: str,
        branch: str,
        *,
        expected_snapshot_id: int | None,
        schema_update: SchemaUpdate | None = None,
        fencing_token: int | None = None,
        batch_ids: Sequence[str] = (),
        seen: TableState | None = None,
    ) -> int | None:
        """Serve a branch's content as the table, in one step, and forget the branch's name.

        Args:
            name: The table.
            branch: The branch.
            expected_snapshot_id: Where the table stood when the branch was begun.
            schema_update: Done in the same step; the branch's data files were written for it.
            fencing_token: Of the lease that has the table alone: commits under lower ones are refused from then on.
            batch_ids: The batches in the branch, for those whose snapshots have expired meanwhile.
            seen: The table before the branch's data files were written; None = its columns are not compared.

        Raises:
            LakeError: The table moved from `expected_snapshot_id` since the branch was begun, or a schema update comes
                with it and the table has other columns than when it was `seen`.
        """
        with explained(f"the branch {branch} of {name} cannot be swapped in"):
            found: int | None = self._work.swap(
                self._catalog, name, branch, expected_snapshot_id, schema_update, fencing_token, batch_ids, seen
            )
            return found

    def remove_branch(self, name: str, branch: str) -> None:
        """Forget a branch; nothing where there is none."""
        with explained(f"the branch {branch} of {name} cannot be removed"):
            self._work.remove_branch(self._catalog, name, branch)

    def rollback(
        self,
        name: str,
        snapshot_id: int | None,
        *,
        fencing_token: int | None = None,
        seen: TableState | None = None,
    ) -> int | None:
        """Make an earlier snapshot the current one; None = take all rows out, in a new snapshot.

        Args:
            name: The table.
            snapshot_id: The snapshot.
            fencing_token: Commits under a lower one are refused from then on.
            seen: The table as its rows were counted, before the lease was last checked; None = as it is now.

        Returns:
            The table's snapshot from then on.

        Raises:
            ShutOutError: Somebody had the table alone meanwhile, or committed to it since it was `seen`.
        """
        with explained(f"{name} cannot be rolled back"):
            if snapshot_id is None:
                found: int | None = self._work.truncate(
                    self._catalog, name, {"autoloader.rollback": "all"}, fencing_token, seen
                )
            else:
                found = self._work.rollback(self._catalog, name, snapshot_id, fencing_token, seen)
            return found

    # ------------------------------------------------------------------ content

    def files_holding(self, name: str, src_file_ids: Sequence[int], branch: str | None = None) -> tuple[HeldFile, ...]:
        """The data files with rows of those source file versions, sorted by path; exact."""
        with explained(f"the data files of {name} cannot be read"):
            found: tuple[HeldFile, ...] = self._work.files_holding(self._catalog, name, tuple(src_file_ids), branch)
            return found

    def rewritten_bytes(self, name: str, src_file_ids: Sequence[int]) -> int:
        """Bytes of the data files that hold rows of those source file versions beside others.

        So many are written anew when those rows leave; about, where it would take the reading of many to know. 0
        where there is no such table.
        """
        with explained(f"the data files of {name} cannot be read"):
            return int(self._work.rewritten_bytes(self._catalog, name, tuple(src_file_ids)))

    def files_rescuing(self, name: str, keys: Collection[str], names: Collection[str]) -> tuple[HeldFile, ...]:
        """The data files with rows that have one of those keys in `_rescued`, sorted by path; exact.

        Args:
            name: The table.
            keys: The keys; case does not count.
            names: Columns that are to be filled; data files that are partitioned by one of them are left out.

        Returns:
            `held` says under 0 how many rows have one; nothing for a table without lineage columns.
        """
        with explained(f"the data files of {name} cannot be read"):
            found: tuple[HeldFile, ...] = self._work.files_rescuing(self._catalog, name, keys, names)
            return found

    def rejected_rows(
        self, name: str, batch_ids: Sequence[str], paths: Sequence[str] = (), *, limit: int
    ) -> pa.Table | None:
        """Rejected rows of some batches, with the columns of `QUARANTINE`, by file and row.

        Args:
            name: The table.
            batch_ids: The batches.
            paths: Of these files alone; empty = of all.
            limit: The most rows to give.

        Returns:
            None where the table has no quarantine table.
        """
        if self.table(quarantine_name(name)) is None:
            return None
        with explained(f"the rejected rows of {name} cannot be read"):
            found: pa.Table = self._work.rejected_rows(self._catalog, name, batch_ids, paths, limit)
            return found

    def row_counts(
        self,
        name: str,
        *,
        branch: str | None = None,
        snapshot_id: int | None = None,
        with_paths: bool = False,
    ) -> pa.Table:
        """Rows per source file version: `src_file_id, file_path, batch_id, ingested_at, rows`, sorted by id.

        Path, batch and time are null unless `with_paths` (which reads three more columns). Rows that are not ours
        are counted under a null id.
        """
        with explained(f"the data files of {name} cannot be read"):
            table = self._work.needed(self._catalog, name)
            found: pa.Table = self._work.contents.row_counts(table, branch, snapshot_id, with_paths=with_paths)
            return found

    def rejected_counts(self, name: str) -> pa.Table:
        """Rows rejected and kept beside the table: `src_file_id, rejected_rows`, one row per file version with some."""
        with explained(f"the rejected rows of {name} cannot be read"):
            found: pa.Table = self._work.rejected_counts(self._catalog, name)
            return found

    def _there(self, name: str) -> TableState:
        state = self.table(name)
        if state is None:
            raise LakeError(f"there is no table {name}")
        return state
