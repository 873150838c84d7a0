"""The lake's work on PyIceberg: one function per thing that can be done to a table.

Loaded by the `Lake` façade when first needed, because importing PyIceberg takes about 0.5 s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain, count
from typing import Any, Final, cast

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.expressions import And, BooleanExpression, In
from pyiceberg.table import Table, Transaction
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.table.sorting import SortOrder
from pyiceberg.table.update import AddSortOrderUpdate, AssertDefaultSortOrderId, SetDefaultSortOrderUpdate, TableUpdate
from pyiceberg.table.update.snapshot import ManageSnapshots

from autoloader.errors import LakeError
from autoloader.lake import commits, contents, keepsakes
from autoloader.lake.shapes import apply_update, iceberg_schema, parse_term, partition_spec, sort_order
from autoloader.lake.state import (
    BATCH_ID,
    QUARANTINE,
    REVOKED,
    Commit,
    HeldFile,
    SchemaUpdate,
    TableState,
    quarantine_name,
    state_of,
    unreachable,
)
from autoloader.loader import RESULT, WriteFormat
from autoloader.schema import TableSchema

DEFAULTS: Final = {
    # metadata files of old versions would pile up, one per batch; snapshots stay
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.manifest-merge.enabled": "true",
}
"""Properties of a new table where the spec does not set them."""


def load(catalog: Catalog, name: str) -> Table | None:
    """The table, or None where there is none."""
    try:
        return catalog.load_table(name)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None


def needed(catalog: Catalog, name: str) -> Table:
    """The table.

    Raises:
        LakeError: There is none.
    """
    table = load(catalog, name)
    if table is None:
        raise LakeError(
            f"there is no table {name}",
            why="it is not in the catalog: it was dropped or renamed, or never made",
            fix="plan again to see what that means:\n  autoloader plan",
        )
    return table


def state(name: str, table: Table) -> TableState:
    """A loaded table's state."""
    return state_of(name, json.loads(table.metadata.model_dump_json()))


def create(
    catalog: Catalog,
    name: str,
    schema: TableSchema,
    partition_by: tuple[str, ...],
    properties: Mapping[str, str],
    *,
    lineage: bool,
    sort_by: tuple[str, ...] = (),
    location: str | None = None,
) -> Table:
    """Make a table, and its namespace where it is not there.

    Raises:
        LakeError: There is one of that name already, or the schema or partitioning cannot be.
    """
    namespace, _, _ = name.rpartition(".")
    if not namespace:
        raise LakeError(
            f"the table {name} has no namespace",
            why="Iceberg catalogs keep tables in namespaces",
            fix=f"write destination.table as raw.{name}, say.",
        )
    whole = iceberg_schema(schema, lineage=lineage)
    spec, order = partition_spec(partition_by, whole), sort_order(sort_by, whole)
    catalog.create_namespace_if_not_exists(namespace)
    try:
        return catalog.create_table(
            name,
            whole,
            location=location,
            partition_spec=spec,
            sort_order=order,
            properties=DEFAULTS | dict(properties),
        )
    except TableAlreadyExistsError as error:
        raise LakeError(
            f"the table {name} is there already",
            why="another run, or another tool, made it",
            fix="plan again; a table made by another tool is taken over by:\n  autoloader state adopt NAME",
        ) from error


def write_format(table: Table, update: SchemaUpdate | None = None) -> WriteFormat:
    """What data files of the table look like, after a schema update that is to be committed with them."""
    metadata = table.metadata
    if update is not None:
        metadata = commits.updated(table, update)
    return WriteFormat(
        location=metadata.location.rstrip("/"),
        schema_json=metadata.schema().model_dump_json(),
        spec_json=metadata.spec().model_dump_json(),
        order_json=metadata.sort_order().model_dump_json(),
        properties=dict(metadata.properties),
    )


def quarantine_format(catalog: Catalog, name: str, main: WriteFormat) -> WriteFormat:
    """The format of the quarantine table, also before there is one."""
    table = load(catalog, quarantine_name(name))
    if table is not None:
        return write_format(table)
    return WriteFormat(
        location=f"{main.location}__quarantine",
        schema_json=iceberg_schema(QUARANTINE, lineage=False).model_dump_json(),
    )


def commit(catalog: Catalog, name: str, wanted: Commit) -> int | None:
    """Commit a batch to its table and, where rows were rejected, to the quarantine table after it.

    A batch of nothing but rejected rows leaves an empty snapshot in its table. Rows that were rejected for a branch
    are kept once it is served, by the same call without the branch.
    """
    rows = wanted.data_files if wanted.data_files is not None else RESULT.empty_table()
    by_table = {
        table: rows.filter(
            pa.array(
                [
                    k == "data_file" and t == table
                    for k, t in zip(rows["kind"].to_pylist(), rows["table"].to_pylist(), strict=True)
                ],
                pa.bool_(),
            )
        )
        for table in ("main", "quarantine")
    }
    found = commits.commit_files(
        catalog,
        name,
        summary=wanted.summary,
        rows=by_table["main"],
        removed=wanted.removed_files,
        branch=wanted.branch,
        schema_update=wanted.schema_update,
        foreseen=wanted.foreseen,
        marked=by_table["quarantine"].num_rows > 0,  # who looks for the batch has to find it
    )
    if by_table["quarantine"].num_rows and wanted.branch is None:
        _commit_quarantine(catalog, name, wanted, by_table["quarantine"])
    return found


def _commit_quarantine(catalog: Catalog, name: str, wanted: Commit, rows: pa.Table) -> None:
    own = quarantine_name(name)
    if load(catalog, own) is None:
        location = needed(catalog, name).location().rstrip("/")
        try:
            create(catalog, own, QUARANTINE, (), {}, lineage=False, location=f"{location}__quarantine")
        except LakeError:
            if load(catalog, own) is None:
                raise
    commits.commit_files(catalog, own, summary=wanted.summary, rows=rows, removed=(), branch=None)


def revoke(
    catalog: Catalog, name: str, batch_id: str, branch: str | None, ids: Sequence[int], token: int | None
) -> int | None:
    """Settle a batch whose worker is gone: its snapshot if it was committed, else never any more.

    A mark in the history (an empty snapshot) makes a commit of the batch that is under way fail in every catalog,
    and one in the properties outlives the history. So a worker that wakes up cannot commit data files that
    have been deleted.
    """
    found: list[int] = []

    def stage(transaction: Transaction, table: Table) -> None:
        snapshot_id = commits.outcome(table, batch_id, branch, lambda: contents.holds_batch(table, batch_id, ids))
        if snapshot_id is not None:
            found.append(snapshot_id)
        if snapshot_id is not None or commits.is_revoked(table, batch_id, branch):
            return
        transaction.update_snapshot(
            snapshot_properties={REVOKED: batch_id}, branch=branch or MAIN_BRANCH
        ).fast_append().commit()
        transaction.set_properties(keepsakes.with_revoked(table.properties, batch_id, token))

    commits.commit(catalog, name, stage, branch=branch)
    return found[0] if found else None


def evolve(
    catalog: Catalog,
    name: str,
    update: SchemaUpdate | None,
    properties: Mapping[str, str] | None,
    partition_by: tuple[str, ...] | None,
    sort_by: tuple[str, ...] | None = None,
    unset: Collection[str] = (),
) -> None:
    """Change a table's schema, properties, partitioning or sorting (both for new files), in one commit."""
    kept = {key: DEFAULTS[key] for key in unset if key in DEFAULTS} | dict(properties or {})

    def stage(transaction: Transaction, table: Table) -> None:
        if update is not None:
            with transaction.update_schema() as staged:
                apply_update(staged, table.schema(), update)
        gone = (table.properties.keys() & set(unset)) - kept.keys() - keepsakes.OWN
        if kept:
            transaction.set_properties(kept)
        if gone:
            transaction.remove_properties(*sorted(gone))
        if partition_by is not None:
            _repartition(transaction, table, partition_by)
        if sort_by is not None:
            _reorder(transaction, sort_by)

    commits.commit(catalog, name, stage)


def _repartition(transaction: Transaction, table: Table, partition_by: tuple[str, ...]) -> None:
    schema = transaction.table_metadata.schema()
    wanted = {(f.source_id, str(f.transform)): f for f in partition_spec(partition_by, schema).fields}
    have = {(f.source_id, str(f.transform)): f for f in table.spec().fields if str(f.transform) != "void"}
    with transaction.update_spec() as spec:
        for key, field in have.items():
            if key not in wanted:
                spec.remove_field(field.name)
        for term in partition_by:
            transform, source = parse_term(term)
            key = (schema.find_field(source, case_sensitive=False).field_id, str(transform))
            if key not in have:
                spec.add_field(source, transform, _free_name(table, key, wanted[key].name))


def _free_name(table: Table, key: tuple[int, str], name: str) -> str:
    """A name for a partition field that none of another source or transform has, in whatever spec of the table.

    A field that was there before has its old name again, and with it its id. Else, where `v_bucket` is of other
    buckets, it is `v_bucket_7`, as other engines name a field that is added to a table.
    """
    fields = [f for spec in table.specs().values() for f in spec.fields if str(f.transform) != "void"]
    own = [f.name for f in fields if (f.source_id, str(f.transform)) == key]
    taken = {f.name for f in fields if (f.source_id, str(f.transform)) != key}
    numbered = [f"{name}_{width}" for width in re.findall(r"\d+", key[1])]
    names = chain(own, [name], numbered, (f"{name}_{number}" for number in count(2)))
    return next(each for each in names if each not in taken)


def _reorder(transaction: Transaction, sort_by: tuple[str, ...]) -> None:
    """PyIceberg's own `update_sort_order` cannot take the order of a table away that was made with one."""
    metadata = transaction.table_metadata
    before, order = metadata.default_sort_order_id, sort_order(sort_by, metadata.schema())
    known = next((each.order_id for each in metadata.sort_orders if each.fields == order.fields), None)
    if known == before:
        return
    updates: tuple[TableUpdate, ...] = (SetDefaultSortOrderUpdate(sort_order_id=known if known is not None else 0),)
    if known is None:
        if order.fields:
            highest = max((each.order_id for each in metadata.sort_orders), default=0)
            order = SortOrder(*order.fields, order_id=highest + 1)
        last_added = -1 if order.fields else 0
        updates = (AddSortOrderUpdate(sort_order=order), SetDefaultSortOrderUpdate(sort_order_id=last_added))
    transaction._apply(updates, (AssertDefaultSortOrderId(default_sort_order_id=before),))


def start_branch(catalog: Catalog, name: str, branch: str, summary: Mapping[str, str]) -> None:
    """Make a branch that holds no rows: an empty snapshot without a parent. Nothing where it is there.

    A table without any snapshot gets an empty one first: Iceberg begins branches only beside `main`.
    """
    if needed(catalog, name).current_snapshot() is None:
        commits.commit(catalog, name, lambda transaction, _: _empty_snapshot(transaction, summary))

    def stage(transaction: Transaction, table: Table) -> None:
        snapshot = table.metadata.snapshot_by_name(branch)
        if snapshot is None:
            # a branch that is not there yet starts without a parent, so without data
            transaction.update_snapshot(snapshot_properties=dict(summary), branch=branch).fast_append().commit()

    commits.commit(catalog, name, stage, branch=branch)


def _empty_snapshot(transaction: Transaction, summary: Mapping[str, str]) -> None:
    transaction.update_snapshot(snapshot_properties=dict(summary), branch=MAIN_BRANCH).fast_append().commit()


def swap(
    catalog: Catalog,
    name: str,
    branch: str,
    expected_snapshot_id: int | None,
    schema_update: SchemaUpdate | None = None,
    fencing_token: int | None = None,
    batch_ids: Sequence[str] = (),
    seen: TableState | None = None,
) -> int | None:
    """Make a branch's snapshot the current one of `main`, and drop the branch's name.

    Its batches are kept as committed from then on, and holders of lower fencing tokens are shut out.

    Raises:
        LakeError: There is no such branch, or `main` moved from `expected_snapshot_id` meanwhile, or a schema update
            comes with it and the table has not the columns any more that it had when it was `seen`.
    """

    def stage(transaction: Transaction, table: Table) -> None:
        commits.check_fence(table, fencing_token)
        refs = table.metadata.refs
        if branch not in refs:
            raise LakeError(
                f"{name} has no branch {branch}",
                why="nothing was built aside, or it was swapped in already",
                fix="plan the refresh again:\n  autoloader plan",
            )
        current = table.current_snapshot()
        now = current.snapshot_id if current else None
        if now != expected_snapshot_id:
            raise LakeError(
                f"the rebuilt {name} was not swapped in",
                why=f"the served table moved meanwhile, from snapshot {expected_snapshot_id} to {now}",
                fix="run the refresh again; the table that is served is untouched.",
            )
        if schema_update is not None:
            _check_columns(table, seen, name)
            with transaction.update_schema() as update:
                apply_update(update, table.schema(), schema_update)
            if schema_update.partition_by is not None:
                _repartition(transaction, table, schema_update.partition_by)
            if schema_update.sort_by is not None:
                _reorder(transaction, schema_update.sort_by)
        found = {
            summary[BATCH_ID]: snapshot.snapshot_id
            for snapshot in ancestors_of(table.metadata.snapshot_by_name(branch), table.metadata)
            if BATCH_ID in (summary := snapshot.summary.additional_properties if snapshot.summary else {})
        }
        expired = [each for each in batch_ids if each not in found]
        head = refs[branch].snapshot_id
        batches = [*((each, head) for each in expired), *reversed(found.items())]
        ManageSnapshots(transaction).set_current_snapshot(ref_name=branch).remove_branch(branch).commit()
        transaction.set_properties(
            keepsakes.with_committed(table.properties, batches) | keepsakes.with_fence(table.properties, fencing_token)
        )

    return commits.commit(catalog, name, stage)


def _check_columns(table: Table, seen: TableState | None, name: str) -> None:
    """Columns that come with a branch get the field ids that its data files have only beside the same columns."""
    now = (table.metadata.current_schema_id, table.metadata.last_column_id)
    if seen is not None and now != (seen.schema_id, seen.last_column_id):
        raise LakeError(
            f"the rebuilt {name} was not swapped in",
            why="somebody changed the columns of the served table meanwhile; the new ones would get other field ids"
            " than the rebuilt files have",
            fix="plan and apply the refresh again; the table that is served is untouched.",
        )


def remove_branch(catalog: Catalog, name: str, branch: str) -> None:
    """Forget a branch; nothing where there is none."""
    table = needed(catalog, name)
    if branch in table.metadata.refs:
        table.manage_snapshots().remove_branch(branch).commit()


def rollback(
    catalog: Catalog, name: str, snapshot_id: int, fencing_token: int | None = None, seen: TableState | None = None
) -> int | None:
    """Make an earlier snapshot of `main` the current one; holders of lower fencing tokens are shut out.

    Raises:
        ShutOutError: Somebody committed since the table was `seen`.
        LakeError: It is not in the history (any more).
    """
    table = needed(catalog, name)
    metadata = table.metadata
    if snapshot_id not in {s.snapshot_id for s in ancestors_of(metadata.current_snapshot(), metadata)}:
        raise unreachable(name, snapshot_id)

    def stage(transaction: Transaction, table: Table) -> None:
        commits.check_fence(table, fencing_token)
        commits.check_unmoved(table, seen)
        ManageSnapshots(transaction).set_current_snapshot(snapshot_id=snapshot_id).commit()
        if fencing_token is not None:
            transaction.set_properties(keepsakes.with_fence(table.properties, fencing_token))

    return commits.commit(catalog, name, stage)


def truncate(
    catalog: Catalog,
    name: str,
    summary: Mapping[str, str],
    fencing_token: int | None = None,
    seen: TableState | None = None,
) -> int | None:
    """Take all data files out of a table in one snapshot; the history keeps them.

    Files that come in after they were listed stay.

    Raises:
        ShutOutError: Somebody committed since the table was `seen`.
    """
    table = needed(catalog, name)
    commits.check_unmoved(table, seen)
    paths = [file.file_path for file in commits.live_files(table)]
    return commits.commit_files(
        catalog, name, summary=summary, rows=None, removed=paths, branch=None, fencing_token=fencing_token
    )


def drop(catalog: Catalog, name: str, *, purge: bool) -> None:
    """Drop a table and its quarantine table; with `purge` their files, too. Nothing where there is none."""
    for one in (name, quarantine_name(name)):
        try:
            if purge:
                catalog.purge_table(one)
            else:
                catalog.drop_table(one)
        except (NoSuchTableError, NoSuchNamespaceError):
            continue


def rename(catalog: Catalog, old: str, new: str) -> None:
    """Rename a table and its quarantine table; files stay where they are.

    The table comes last: as long as it has its old name, whoever was cut off finds that there is work left.
    """
    namespace, _, _ = new.rpartition(".")
    catalog.create_namespace_if_not_exists(namespace)
    if load(catalog, quarantine_name(old)) is not None:
        catalog.rename_table(quarantine_name(old), quarantine_name(new))
    catalog.rename_table(old, new)


def rejected_rows(catalog: Catalog, name: str, batch_ids: Sequence[str], paths: Sequence[str], limit: int) -> pa.Table:
    """Rows of a table's quarantine table, of some batches and files, by file and row."""
    beside = load(catalog, quarantine_name(name))
    columns = tuple(column.name for column in QUARANTINE.columns)
    if beside is None or not batch_ids:
        return pa.table({column: pa.array([], pa.string()) for column in columns})
    wanted: BooleanExpression = _among("batch_id", batch_ids)
    if paths:
        wanted = And(wanted, _among("file_path", paths))
    found = beside.scan(row_filter=wanted, selected_fields=columns).to_arrow()
    return found.sort_by([("file_path", "ascending"), ("row", "ascending")]).slice(0, limit)


def _among(column: str, values: Sequence[str]) -> BooleanExpression:
    among = cast(Callable[[str, set[str]], BooleanExpression], In)  # what mypy sees of it depends on its cache
    return among(column, set(values))


def rejected_counts(catalog: Catalog, name: str) -> pa.Table:
    """Rejected rows per source file version in a table's quarantine table: `src_file_id, rejected_rows`."""
    beside = load(catalog, quarantine_name(name))
    if beside is None:
        return pa.table({"src_file_id": pa.array([], pa.int64()), "rejected_rows": pa.array([], pa.int64())})
    key = ["src_file_id", "row"]  # a row may have been rejected for several of its columns
    rows = beside.scan(selected_fields=tuple(key)).to_arrow().group_by(key).aggregate([])
    found = rows.group_by("src_file_id").aggregate([([], "count_all")])
    return found.rename_columns(["src_file_id", "rejected_rows"])


def files_holding(catalog: Catalog, name: str, ids: Sequence[int], branch: str | None) -> tuple[HeldFile, ...]:
    """The data files with rows of those source files; none for a table without rows."""
    table = needed(catalog, name)
    column = "src_file_id" if name.endswith(quarantine_name("")) else "_src_file_id"
    return contents.files_holding(table, column, ids, branch)


def rewritten_bytes(catalog: Catalog, name: str, ids: Sequence[int]) -> int:
    """Bytes of the data files with rows of those source files beside others, about; 0 without lineage columns."""
    table = load(catalog, name)
    if table is None or all(field.name != "_src_file_id" for field in table.schema().fields):
        return 0
    return contents.rewritten_bytes(table, "_src_file_id", ids)


def files_rescuing(catalog: Catalog, name: str, keys: Collection[str], names: Collection[str]) -> tuple[HeldFile, ...]:
    """The data files with rows that have one of those keys in `_rescued`; none without lineage columns."""
    table = load(catalog, name)
    if table is None or all(field.name != "_rescued" for field in table.schema().fields):
        return ()
    return contents.files_rescuing(table, keys, names)


def referenced(table: Table) -> frozenset[str]:
    """The paths of all data files that any snapshot of the table knows."""
    seen: set[str] = set()
    manifests: dict[str, Any] = {}
    for snapshot in table.metadata.snapshots:
        for manifest in snapshot.manifests(table.io):
            manifests[manifest.manifest_path] = manifest
    for manifest in manifests.values():
        seen.update(e.data_file.file_path for e in manifest.fetch_manifest_entry(table.io, discard_deleted=False))
    return frozenset(seen)
