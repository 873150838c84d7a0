"""Which data files hold a source file's rows, and how many: found by statistics, then counted.

Imports PyIceberg: loaded by `tables` only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile, ManifestContent
from pyiceberg.table import Table
from pyiceberg.types import LongType

from autoloader.errors import LakeError
from autoloader.lake.commits import live_files
from autoloader.lake.datafiles import partition_json
from autoloader.lake.state import HeldFile
from autoloader.loader import local_path
from autoloader.loader.rescued import parts

COUNTS: Final = pa.schema(
    [
        pa.field("src_file_id", pa.int64()),
        pa.field("file_path", pa.string()),
        pa.field("batch_id", pa.string()),
        pa.field("ingested_at", pa.timestamp("us", tz="UTC")),
        pa.field("rows", pa.int64(), nullable=False),
    ]
)
"""One row per source file version that has rows in the table; path, batch and time only when asked for."""

_KINDS: Final[dict[str, pa.DataType]] = {
    "_src_file_id": pa.int64(),
    "_src_path": pa.string(),
    "_batch_id": pa.string(),
    "_ingested_at": pa.timestamp("us", tz="UTC"),
    "_rescued": pa.string(),
}
_READERS: Final = 8
_READ_FOR_A_PRICE: Final = 64
_LONG: Final = LongType()


def files_holding(table: Table, id_column: str, ids: Sequence[int], branch: str | None) -> tuple[HeldFile, ...]:
    """The data files with rows of those source files; sorted by path. Exact: the column itself is read."""
    wanted = sorted(set(ids))
    (field_id,) = _field_ids(table, [id_column])
    candidates = [f for f in live_files(table, branch) if _may_hold(f, field_id, wanted)]
    gone = pa.array(wanted, pa.int64())

    def count(file: DataFile) -> HeldFile | None:
        known = _only_id(file, field_id)
        if known is not None:
            held = {known: file.record_count}
        else:
            held = {}
            for batch in _batches(table, file, [field_id]):
                column = batch.column(0)
                for found in pc.value_counts(column.filter(pc.is_in(column, gone))).to_pylist():
                    held[found["values"]] = held.get(found["values"], 0) + found["counts"]
        return held_file(file, held) if held else None

    with ThreadPoolExecutor(_READERS) as pool:
        return tuple(sorted((h for h in pool.map(count, candidates) if h), key=lambda h: h.path))


def holds_batch(table: Table, batch_id: str, ids: Sequence[int]) -> bool | None:
    """Whether rows of a batch are in the table: in data files of its folder, or in those that others made of them.

    Args:
        table: The table.
        batch_id: The batch.
        ids: The source file versions that it had rows of.

    Returns:
        None where it cannot be told: it had no rows, or the table has no lineage columns.
    """
    snapshot = table.current_snapshot()
    manifests = snapshot.manifests(table.io) if snapshot is not None else ()
    files = [
        entry.data_file
        for manifest in manifests
        if manifest.content == ManifestContent.DATA
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    ]
    if any(f"/batch={batch_id}/" in file.file_path for file in files):
        return True
    field = next((each for each in table.schema().fields if each.name == "_src_file_id"), None)
    if field is None or not ids:
        return None
    wanted = sorted(set(ids))
    candidates = [file for file in files if _may_hold(file, field.field_id, wanted)]
    among = pa.array(wanted, pa.int64())
    return any(
        pc.any(pc.is_in(batch.column(0), among)).as_py()
        for file in candidates
        for batch in _batches(table, file, [field.field_id])
    )


def rewritten_bytes(table: Table, id_column: str, ids: Sequence[int]) -> int:
    """Bytes of the data files that hold rows of those source files beside others.

    Exact while statistics leave few data files in question. Where they leave many, those are not read: the largest
    are counted, no more than there are source files, as each has its rows in one data file in most tables.
    """
    wanted = sorted(set(ids))
    field_id = table.schema().find_field(id_column).field_id
    candidates = [file for file in live_files(table) if _may_hold(file, field_id, wanted)]
    if len(candidates) <= _READ_FOR_A_PRICE:
        return sum(held.size_bytes for held in files_holding(table, id_column, ids, None) if not held.empties)
    sizes = sorted((f.file_size_in_bytes for f in candidates if _only_id(f, field_id) is None), reverse=True)
    return sum(sizes[: len(wanted)])


def files_rescuing(table: Table, keys: Collection[str], names: Collection[str]) -> tuple[HeldFile, ...]:
    """The data files with rows that have one of those keys in `_rescued`; sorted by path, `held` counts the rows.

    Exact: where statistics do not say that it is null throughout, the column itself is read.

    Args:
        table: The table.
        keys: The keys; case does not count.
        names: Columns that are to be filled. A data file that is partitioned by one of them is left out, as its rows
            would belong to another partition.
    """
    field_id = table.schema().find_field("_rescued").field_id
    filled = {f.field_id for f in table.schema().fields if f.name in names}
    barred = {i for i, spec in table.specs().items() if any(f.source_id in filled for f in spec.fields)}
    folded = {key.casefold() for key in keys}

    def count(file: DataFile) -> HeldFile | None:
        rows, there = 0, set[str]()
        for batch in _batches(table, file, [field_id]):
            for text in batch.column(0).drop_null().to_pylist():
                found = folded.intersection(key.casefold() for key, _ in parts(text))
                there |= found
                rows += bool(found)
        return replace(held_file(file, {0: rows}), keys=frozenset(there)) if rows else None

    candidates = [f for f in live_files(table) if f.spec_id not in barred and not _all_null(f, field_id)]
    with ThreadPoolExecutor(_READERS) as pool:
        return tuple(sorted((h for h in pool.map(count, candidates) if h), key=lambda h: h.path))


def _all_null(file: DataFile, field_id: int) -> bool:
    return (file.null_value_counts or {}).get(field_id) == file.record_count


def held_file(file: DataFile, held: Mapping[int, int]) -> HeldFile:
    """A data file as the lake tells of it."""
    return HeldFile(
        path=file.file_path,
        size_bytes=file.file_size_in_bytes,
        rows=file.record_count,
        held=held,
        spec_id=file.spec_id,
        partition_json=partition_json(file.partition),
    )


def row_counts(table: Table, branch: str | None, snapshot_id: int | None, *, with_paths: bool) -> pa.Table:
    """Rows per source file version, as `COUNTS` sorted by id; reads the lineage columns only."""
    names = ["_src_file_id", "_src_path", "_batch_id", "_ingested_at"] if with_paths else ["_src_file_id"]
    ids = _field_ids(table, names)

    def count(file: DataFile) -> pa.Table:
        known = None if with_paths else _only_id(file, ids[0])
        if known is not None:
            return pa.table(
                {names[0]: pa.array([known], pa.int64()), "rows": pa.array([file.record_count], pa.int64())}
            )
        parts = [
            pa.table(batch.columns, names=names).group_by(names).aggregate([([], "count_all")])
            for batch in _batches(table, file, ids)
        ]
        return _summed(parts, names, "count_all").rename_columns([*names, "rows"])

    files = list(live_files(table, branch, snapshot_id=snapshot_id))
    with ThreadPoolExecutor(_READERS) as pool:
        counted = _summed(list(pool.map(count, files)), names, "rows")
    columns = dict(zip(counted.column_names, counted.columns, strict=True))
    found = {name.removeprefix("_"): column for name, column in columns.items()}
    found["file_path"] = found.pop("src_path", None)

    def filled(field: pa.Field) -> Any:
        column = found.get(field.name)
        return pa.nulls(counted.num_rows, field.type) if column is None else column.cast(field.type)

    return pa.table(
        [filled(field) for field in COUNTS],
        schema=COUNTS,
    ).sort_by("src_file_id")


def _summed(parts: list[pa.Table], names: list[str], rows: str) -> pa.Table:
    if not parts:
        return pa.schema([*((name, _KINDS[name]) for name in names), (rows, pa.int64())]).empty_table()
    found = pa.concat_tables(parts).group_by(names).aggregate([(rows, "sum")])
    return (
        found.rename_columns([*names, rows])
        if found.column_names[-1] == f"{rows}_sum"
        else found.select([*names, f"{rows}_sum"]).rename_columns([*names, rows])
    )


def _field_ids(table: Table, names: Sequence[str]) -> list[int]:
    """The ids of lineage columns.

    Raises:
        LakeError: The table lacks one of them.
    """
    have = {field.name: field.field_id for field in table.schema().fields}
    if any(name not in have for name in names):
        raise LakeError(
            f"the rows of {'.'.join(table.name())} do not say which files they are of",
            why="it has no lineage columns: it was made with `lineage_columns: false`, or by another tool",
            fix="set `lineage_columns: true` in the settings and make the table anew:\n"
            "  autoloader plan --refresh NAME=full",
        )
    return [have[name] for name in names]


def _bounds(file: DataFile, field_id: int) -> tuple[int, int] | None:
    low, high = (file.lower_bounds or {}).get(field_id), (file.upper_bounds or {}).get(field_id)
    if low is None or high is None:
        return None
    return int(from_bytes(_LONG, low)), int(from_bytes(_LONG, high))


def _may_hold(file: DataFile, field_id: int, wanted: list[int]) -> bool:
    bounds = _bounds(file, field_id)
    if bounds is None:
        return True
    at = bisect_left(wanted, bounds[0])
    return at < len(wanted) and wanted[at] <= bounds[1]


def _only_id(file: DataFile, field_id: int) -> int | None:
    """The one source file whose rows a data file holds, where statistics say so."""
    bounds = _bounds(file, field_id)
    nulls = (file.null_value_counts or {}).get(field_id)
    return bounds[0] if bounds is not None and bounds[0] == bounds[1] and nulls == 0 else None


def _batches(table: Table, file: DataFile, field_ids: list[int]) -> Iterator[Any]:
    """Lineage columns of a data file by field id, in that order; a column that the file has not is null.

    They are of the types of `_KINDS`: another writer's file may hold large strings or dictionaries.
    """
    kinds = [_KINDS[table.schema().find_column_name(i) or ""] for i in field_ids]
    place = local_path(file.file_path)
    source: Any = place if place is not None else table.io.new_input(file.file_path).open()
    with pq.ParquetFile(source) as parquet:
        names = {}
        for field in parquet.schema_arrow:
            value = (field.metadata or {}).get(b"PARQUET:field_id")
            if value is not None:
                names[int(value)] = field.name
        wanted = [names[i] for i in field_ids if i in names]
        for batch in parquet.iter_batches(columns=wanted):
            columns = [
                batch.column(names[i]).cast(kind) if i in names else pa.nulls(batch.num_rows, kind)
                for i, kind in zip(field_ids, kinds, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, names=[str(i) for i in field_ids])
