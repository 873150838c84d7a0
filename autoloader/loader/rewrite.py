"""Data files written anew without some source files' rows: the removal half of a replacement.

A rewrite keeps the file's own schema, field ids and all: rows go, nothing else changes. Its partition
and partition spec stay, too.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from autoloader.errors import LakeError
from autoloader.loader.columns import table_columns
from autoloader.loader.job import RESULT, FillJob, Mapper, RewriteJob, WriteFormat
from autoloader.loader.writer import Written, data_file_row, local_path, read_footer

_BATCH_ROWS: Final = 65_536
Copy = Callable[[Path, Path], tuple[int, set[int]] | None]
_ID_COLUMNS: Final = {"main": "_src_file_id", "quarantine": "src_file_id"}


def rewrite_files(job: RewriteJob) -> Mapper:
    """The function for `mapInArrow`: batches of `REWRITE_TASK` in, `data_file` rows of `RESULT` out.

    A data file that has no other rows yields no row: it simply leaves the table. Every output row says
    in `replaces` which data file it stands for.
    """
    return partial(_rewrite, job)


def _rewrite(job: RewriteJob, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="autoloader-", dir=job.workdir, ignore_cleanup_errors=True) as folder:
        for row in (row for batch in batches for row in batch.to_pylist()):
            table = job.main if row["table"] == "main" else job.quarantine
            if table is None:
                raise LakeError(f"a data file of an unknown table cannot be rewritten: {row['path']}")
            with tempfile.TemporaryDirectory(dir=folder) as own:
                done = _rewrite_one(job, table, row, Path(own))
            if done is not None:
                results.append(done)
    if results:
        yield from pa.Table.from_pylist(results, schema=RESULT).to_batches()


def _rewrite_one(job: RewriteJob, table: WriteFormat, row: Mapping[str, Any], workdir: Path) -> dict[str, Any] | None:
    name = _ID_COLUMNS[row["table"]]
    own = next((c.field_id for c in table_columns(table.schema_json) if c.name == name), None)
    if own is None:
        raise LakeError(
            f"rows of a file cannot be removed from {row['path']}",
            why=f"the table has no column {name}, so nothing says which rows are the file's",
            fix="switch lineage_columns on and rebuild the table with a refresh of mode full.",
        )
    remove = frozenset(row["remove_ids"])
    return rewritten(job, table, row, workdir, lambda source, target: _copy_without(source, target, own, remove))


def rewritten(
    job: RewriteJob | FillJob, table: WriteFormat, row: Mapping[str, Any], workdir: Path, copy: Copy
) -> dict[str, Any] | None:
    """Write one data file anew.

    Args:
        job: The batch, and how to reach its storage.
        table: The format of its table.
        row: The data file, of `REWRITE_TASK`.
        workdir: For files of this call alone.
        copy: Copies a Parquet file; how many rows there are then, and of which source files, None = no file is left.

    Returns:
        Its row of `RESULT`; None where there is no new file.
    """
    location = f"{table.batch_location(job.batch_id)}/rewrite-{uuid.uuid4()}.parquet"
    place = local_path(location)
    target = place or workdir / "new.parquet"
    try:
        source = _local_copy(job, row, workdir)
        target.parent.mkdir(parents=True, exist_ok=True)
        copied = copy(source, target)
        if copied is None:
            return None
        rows, ids = copied
        written = Written(
            target, location, target.stat().st_size, rows, read_footer(target),
            row["partition_json"] or "[]", row["spec_id"],
        )  # fmt: skip
        if place is None:
            from autoloader import sources

            sources.put(target, location, job.storage)
    except OSError as error:
        raise LakeError(f"{row['path']} could not be rewritten", why=str(error)) from error
    return data_file_row(written, row["table"], ids, replaces=row["path"])


def _local_copy(job: RewriteJob | FillJob, row: Mapping[str, Any], workdir: Path) -> Path:
    found = local_path(row["path"])
    if found is not None:
        return found
    from autoloader import sources

    return sources.get(row["path"], job.storage, workdir / "old.parquet")


def _copy_without(source: Path, target: Path, own: int, remove: frozenset[int]) -> tuple[int, set[int]] | None:
    """Copy a Parquet file without the rows of some source files.

    Returns:
        How many rows are left, and of which source files; None where none is.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    gone = pa.array(sorted(remove), pa.int64())
    rows, ids = 0, set[int]()
    with pq.ParquetFile(source, memory_map=False) as file:
        schema = file.schema_arrow
        place = next(i for i, f in enumerate(schema) if field_id(f) == own)
        codec = file.metadata.row_group(0).column(0).compression.lower() if file.metadata.num_row_groups else "zstd"
        with pq.ParquetWriter(target, schema, compression=codec) as writer:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                column = batch.column(place)
                stays = pc.invert(pc.is_in(column, gone))
                kept = batch.filter(stays)
                if kept.num_rows:
                    writer.write_batch(kept)
                    rows += kept.num_rows
                    ids.update(v for v in pc.unique(kept.column(place)).to_pylist() if v is not None)
    if rows == 0:
        target.unlink()
        return None
    return rows, ids


def field_id(field: pa.Field) -> int | None:
    """Iceberg's id of a field of a data file."""
    value = (field.metadata or {}).get(b"PARQUET:field_id")
    return None if value is None else int(value)
