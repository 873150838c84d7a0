"""One batch, one snapshot: schema change, removed and added data files and the batch's id in one commit.

Imports PyIceberg: loaded by `tables` only.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException, ValidationException
from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from autoloader.errors import (
    AutoloaderError,
    CommitConflictError,
    CommitUnknownError,
    DeleteFilesError,
    LakeError,
    RowsMovedError,
    SchemaMovedError,
    ShutOutError,
)
from autoloader.lake import keepsakes, snapshots
from autoloader.lake.catalogs import explain, reason
from autoloader.lake.datafiles import DataFiles
from autoloader.lake.shapes import apply_update
from autoloader.lake.state import BATCH_ID, BRANCH, FENCING_TOKEN, REVOKED, SchemaUpdate, TableState

ATTEMPTS: Final = 8  # against other committers; waits add up to about 10 s
_FIRST_WAIT_S: Final = 0.05

Stage = Callable[[Transaction, Table], None]


def commit_files(
    catalog: Catalog,
    name: str,
    *,
    summary: Mapping[str, str],
    rows: pa.Table | None,
    removed: Iterable[str],
    branch: str | None,
    schema_update: SchemaUpdate | None = None,
    foreseen: SchemaUpdate | None = None,
    fencing_token: int | None = None,
    marked: bool = False,
) -> int | None:
    """Commit one batch to one table, once; with a fencing token, holders of lower ones are shut out from then on.

    Returns:
        The snapshot that holds the batch: the new one, or the one that was found in the history. Without
        files to add or remove there is no snapshot, unless the batch is to be `marked` as committed nevertheless;
        then the branch's current one, or None.
    """
    batch_id = summary.get(BATCH_ID)
    gone = frozenset(removed)

    def stage(transaction: Transaction, table: Table) -> None:
        check_fence(table, fencing_token, int(summary[FENCING_TOKEN]) if FENCING_TOKEN in summary else None)
        if branch is not None and branch not in table.metadata.refs:
            raise ShutOutError(
                f"the branch {branch} of {name} is gone",
                why="somebody removed it, or it expired, while the table was built anew on it",
                fix="the table is as it was; run the same command again: it is built from the beginning.",
            )
        if schema_update is not None:
            _update_schema(transaction, table, schema_update)
        if not marked and not gone and (rows is None or not rows.num_rows):
            return
        known = DataFiles(updated(table, foreseen) if foreseen is not None else transaction.table_metadata)
        added = [known.data_file(row) for row in rows.to_pylist()] if rows is not None else []
        producer: Any
        if not gone:
            producer = snapshots.append(transaction, dict(summary), branch or MAIN_BRANCH, merge=_merges(table))
        else:
            producer = snapshots.replacement(transaction, dict(summary), branch or MAIN_BRANCH)
            for file, manifest in _live_files(table, branch, gone, name):
                producer.take_out(file, manifest)
        for file in added:
            producer.append_data_file(file)
        producer.commit()
        kept = keepsakes.with_fence(table.properties, fencing_token)
        if batch_id is not None and branch is None:  # a branch's batches count once it is swapped in
            kept |= keepsakes.with_committed(table.properties, [(batch_id, int(producer.snapshot_id))])
        if kept:
            transaction.set_properties(kept)

    return commit(catalog, name, stage, batch_id=batch_id, branch=branch)


def _update_schema(transaction: Transaction, table: Table, wanted: SchemaUpdate) -> None:
    try:
        with transaction.update_schema() as update:
            apply_update(update, table.schema(), wanted)
    except LakeError as error:
        raise SchemaMovedError(error.what, why=error.why, fix=error.fix) from error


def updated(table: Table, update: SchemaUpdate) -> TableMetadata:
    """The table's metadata as it will be after a schema update; nothing is committed."""
    transaction = table.transaction()
    with transaction.update_schema() as staged:
        apply_update(staged, table.schema(), update)
    return transaction.table_metadata


def commit(
    catalog: Catalog, name: str, stage: Stage, *, batch_id: str | None = None, branch: str | None = None
) -> int | None:
    """Stage a change on fresh metadata and commit it; again where somebody else was quicker.

    Args:
        catalog: The catalog.
        name: The table.
        stage: Puts the change into a transaction; called anew for every attempt.
        batch_id: The id by which the outcome is found in the history; None: the change may be repeated.
        branch: The branch whose history counts.

    Raises:
        RowsMovedError: A data file that was to leave has left already.
        ShutOutError: The batch was revoked, or its fencing token is too low.
        CommitConflictError: Others were quicker every time.
        CommitUnknownError: The outcome could not be learned.
    """
    for attempt in range(ATTEMPTS):
        table = catalog.load_table(name)
        if batch_id is not None and (found := settled(table, batch_id, branch)) is not None:
            return found
        transaction = table.transaction()
        stage(transaction, table)
        producers = list(transaction._snapshot_producers)
        transaction._snapshot_producers = []  # PyIceberg's own retry would not look for the batch first
        try:
            transaction.commit_transaction()
        except (CommitFailedException, ValidationException) as error:
            try:
                fresh = catalog.load_table(name)
            except Exception:
                return _learn(catalog, name, batch_id, branch, CommitStateUnknownException(str(error)))
            if producers and all(fresh.metadata.snapshot_by_id(each.snapshot_id) for each in producers):
                return _head(fresh, branch)  # it took place, and a repeated request for it was refused
            for producer in producers:
                producer._clean_all_uncommitted()
            if attempt == ATTEMPTS - 1:
                raise CommitConflictError(
                    f"{name} could not be committed to",
                    why=f"other writers were quicker {ATTEMPTS} times in a row; the last time: {error}",
                    fix="run the same command again; the batch is resumed, nothing is loaded twice.",
                ) from error
            time.sleep(_FIRST_WAIT_S * 2**attempt * (0.5 + random.random()))  # noqa: S311 - no secret
            continue
        except Exception as error:
            return _learn(catalog, name, batch_id, branch, error)
        return _head(transaction._table, branch)
    raise AssertionError("unreachable")


def _learn(catalog: Catalog, name: str, batch_id: str | None, branch: str | None, error: Exception) -> int | None:
    """What became of a commit that ended in an error which does not say so."""
    unknown = isinstance(error, CommitStateUnknownException) or batch_id is not None
    if unknown and batch_id is not None:
        try:
            found = settled(catalog.load_table(name), batch_id, branch)
        except AutoloaderError:
            raise
        except Exception:
            found = None
        if found is not None:
            return found
    if unknown:
        raise CommitUnknownError(
            f"it is not known whether the commit to {name} took place",
            why=reason(error),
            fix="run the same command again when the catalog is up: it looks for the batch first.",
        ) from error
    raise explain(f"{name} could not be committed to", error) from error


def settled(table: Table, batch_id: str, branch: str | None) -> int | None:
    """The snapshot of a batch that was committed to a branch; None: it is not there, and may be committed.

    Raises:
        ShutOutError: The batch was revoked there.
    """
    if is_revoked(table, batch_id, branch):
        raise ShutOutError(
            f"the batch {batch_id} may not be committed any more",
            why="another run took its files back while this one was away",
            fix="nothing is lost: the files are loaded by the other run, or by the next one.",
        )
    return committed(table, batch_id, branch)


def committed(table: Table, batch_id: str, branch: str | None) -> int | None:
    """The snapshot of a batch in a branch's history, or in what the table keeps where that one has expired."""
    history = list(_history(table, branch))
    if (found := _named(history, batch_id)) is not None:
        return found
    kept = keepsakes.committed(table.properties, batch_id) if branch is None else None
    living = table.metadata.snapshot_by_id(kept) if kept is not None else None
    if living is not None and (not is_cut_off(history) or _age(living) > _age(history[-1])):
        return None  # a snapshot that lives outside of the history was rolled back: its rows are not there
    return kept


def outcome(table: Table, batch_id: str, branch: str | None, holds: Callable[[], bool | None]) -> int | None:
    """What became of a batch whose worker is gone: its snapshot; None: it is not in the branch.

    Where expiry has cut the history off, or somebody has replaced it, the table's rows tell.

    Args:
        table: The table.
        batch_id: The batch.
        branch: The branch; None = main.
        holds: Whether rows of the batch are in the table; None where that cannot be seen. Asked only when the history
            does not tell.
    """
    history = list(_history(table, branch))
    found = _named(history, batch_id)
    if found is not None or branch is not None or not history:
        return found
    kept, cut_off = keepsakes.committed(table.properties, batch_id), is_cut_off(history)
    if is_revoked(table, batch_id, branch) or (kept is None and not cut_off):
        return None
    held = holds()
    if held is None:
        return committed(table, batch_id, branch) if cut_off else None
    if not held:
        return None
    return kept if kept is not None and cut_off else history[-1].snapshot_id  # they were there by then


def _named(history: Iterable[Snapshot], batch_id: str) -> int | None:
    for snapshot in history:
        if snapshot.summary and snapshot.summary.additional_properties.get(BATCH_ID) == batch_id:
            return snapshot.snapshot_id
    return None


def is_cut_off(history: Sequence[Snapshot]) -> bool:
    """Whether snapshots before a history's oldest one have expired; a tag or a branch may keep some of them alive.

    Who expires them may take the parent out of the oldest one, too: only a table's first snapshot and the first one of
    a rebuild are certain.
    """
    if not history:
        return False
    oldest = history[-1]
    rebuilt = oldest.summary is not None and BRANCH in oldest.summary.additional_properties
    return oldest.parent_snapshot_id is not None or not (oldest.sequence_number == 1 or rebuilt)


def _age(snapshot: Snapshot) -> tuple[int, int]:
    return snapshot.sequence_number or 0, snapshot.timestamp_ms


def is_revoked(table: Table, batch_id: str, branch: str | None) -> bool:
    """Whether a batch was taken back before it was committed."""
    return keepsakes.is_revoked(table.properties, batch_id) or any(
        snapshot.summary and snapshot.summary.additional_properties.get(REVOKED) == batch_id
        for snapshot in _history(table, branch)
    )


def _history(table: Table, branch: str | None) -> Iterable[Snapshot]:
    return ancestors_of(table.metadata.snapshot_by_name(branch or MAIN_BRANCH), table.metadata)


def check_fence(table: Table, *tokens: int | None) -> None:
    """Whoever had the table alone since a holder got its token has shut it out."""
    fence = keepsakes.fence(table.properties)
    for token in tokens:
        if token is not None and token < fence:
            raise ShutOutError(
                f"{'.'.join(table.name())} was rebuilt or rolled back while this run was away",
                why=f"its fencing token is {token}; the table takes commits from {fence} on",
                fix="nothing is lost: apply again, the files are loaded anew.",
            )


def check_unmoved(table: Table, seen: TableState | None) -> None:
    """Whoever takes rows out of a table has seen every one of them: loads that came since do not raise the fence."""
    current = table.current_snapshot()
    if seen is not None and seen.snapshot_id != (current.snapshot_id if current else None):
        raise ShutOutError(
            f"{'.'.join(table.name())} was written by somebody else meanwhile",
            why=f"it was at snapshot {seen.snapshot_id} when this began, and rows that came since would have left it",
            fix="nothing was changed by this: look at what is there now, and run the same command again.",
        )


def _head(table: Table, branch: str | None) -> int | None:
    snapshot = table.metadata.snapshot_by_name(branch or MAIN_BRANCH)
    return snapshot.snapshot_id if snapshot else None


def _merges(table: Table) -> bool:
    return str(table.properties.get("commit.manifest-merge.enabled", "false")).lower() == "true"


def _live_files(
    table: Table, branch: str | None, paths: frozenset[str], name: str
) -> list[tuple[DataFile, ManifestFile]]:
    """The data files of those paths that are in the branch now, each with its manifest: all, or a conflict."""
    found = [each for each in _live(table, branch, None) if each[0].file_path in paths]
    if len(found) != len(paths):
        missing = sorted(paths - {file.file_path for file, _ in found})
        raise RowsMovedError(
            f"{name} was changed by another writer while rows of it were being replaced",
            why=f"{len(missing)} data files left it (compacted? rows deleted?), such as {missing[0]}",
            fix="run the same command again: the replacement is made anew from what the table holds now.",
        )
    return found


def live_files(table: Table, branch: str | None = None, *, snapshot_id: int | None = None) -> Iterable[DataFile]:
    """The data files of a branch (or of one snapshot), in no particular order.

    Raises:
        DeleteFilesError: The table has delete files of another engine: rows in a data file may be deleted.
    """
    for file, _ in _live(table, branch, snapshot_id):
        yield file


def _live(table: Table, branch: str | None, snapshot_id: int | None) -> Iterable[tuple[DataFile, ManifestFile]]:
    metadata = table.metadata
    snapshot = (
        metadata.snapshot_by_name(branch or MAIN_BRANCH)
        if snapshot_id is None
        else metadata.snapshot_by_id(snapshot_id)
    )
    if snapshot is None:
        return
    for manifest in snapshot.manifests(table.io):
        if manifest.content == ManifestContent.DELETES and (
            manifest.has_added_files() or manifest.has_existing_files()
        ):
            raise DeleteFilesError(
                f"the data files of {'.'.join(table.name())} do not tell which rows it has",
                why="another engine has deleted rows of it through delete files: where data files are written anew or"
                " counted without those, the rows would be there again",
                fix="compact the table with that engine (Spark: CALL system.rewrite_data_files) and run again.",
            )
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            yield entry.data_file, manifest
