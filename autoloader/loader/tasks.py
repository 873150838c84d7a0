"""The task: pinned files -> reader -> data files -> one result row per source file.

Small files share a data file, large ones stream into their own. A file whose rows cannot all be had
contributes none. What goes wrong with one file is that file's result; what goes wrong with writing is
the task's error.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from autoloader import reader
from autoloader.errors import LakeError
from autoloader.loader.files import Pins, Row, Unreadable, describe
from autoloader.loader.job import GROWS, RESULT, LoadJob, Mapper
from autoloader.loader.writer import TableWriter, Written, data_file_row
from autoloader.reader import FileDone, SchemaGrowsError, SourceFile
from autoloader.schema import TableSchema

if TYPE_CHECKING:
    pass

OWN_FILE_BYTES: Final = 32 * 1024 * 1024  # groups from here on stream into data files of their own
FLUSH_BYTES: Final = 256 * 1024 * 1024  # source bytes after which gathered small files are written


def load_files(job: LoadJob) -> Mapper:
    """The function for `mapInArrow`: batches of `TASK` in, batches of `RESULT` out.

    All rows of one call make one task, whatever their `task` number. Raises only what is not one file's
    fault: a data file that could not be written.
    """
    return partial(_load, job)


def _load(job: LoadJob, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rows = [row for batch in batches for row in batch.to_pylist()]
    if not rows:
        return
    with tempfile.TemporaryDirectory(prefix="autoloader-", dir=job.workdir, ignore_cleanup_errors=True) as folder:
        task = _Task(job, Path(folder))
        try:
            results = task.run(rows)
        finally:
            task.close()
    yield from pa.Table.from_pylist(results, schema=RESULT).to_batches()


@dataclass(slots=True)
class _Gathered:
    """Groups read into DuckDB tables that wait for the data file that they share."""

    tables: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    rows: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Read:
    """One group, read and put somewhere."""

    files: tuple[FileDone, ...]
    rejects: pa.Table
    written: tuple[Written, ...]
    table: str | None
    elapsed_s: float


class _Task:
    def __init__(self, job: LoadJob, workdir: Path) -> None:
        self._job = job
        self._workdir = workdir
        self._con = reader.connect(threads=job.threads, memory_limit=job.memory_limit, temp_directory=workdir)
        self._pins = Pins(job, workdir)
        self._writer = self._writer_for(job.main)
        self._gathered = _Gathered()
        self._results: list[dict[str, Any]] = []
        self._rejects: list[pa.Table] = []
        self._names = 0
        self._rows: Mapping[int, Row] = {}
        columns = [c.name.lower() for c in job.contract.schema.columns]
        lineage = [c.name for c in self._writer.columns if c.name.startswith("_")]
        self._present = frozenset(columns + (lineage if job.contract.lineage_columns else []))

    def _writer_for(self, table: Any) -> TableWriter:
        return TableWriter(
            self._con,
            table,
            self._job.batch_id,
            workdir=self._workdir,
            storage=self._job.storage,
            target_file_bytes=self._job.target_file_bytes,
        )

    def run(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Load all files; the result rows."""
        self._rows = {row["src_file_id"]: row for row in rows}
        for group in reader.groups(self._pins.stream(rows), self._job.contract):
            self._load_group(group)
            if self._gathered.size_bytes >= FLUSH_BYTES:
                self._flush()
        self._flush()
        for lost in self._pins.lost:
            self._results.append(_failed(lost))
        self._write_rejects()
        return self._results

    def close(self) -> None:
        """Release pins and the connection."""
        self._pins.close()
        self._con.close()

    def _load_group(self, files: Sequence[SourceFile]) -> None:
        """Read a group and keep it, unless a file of it moved meanwhile: then once more without that one."""
        try:
            read = self._read(files)
        except LakeError:
            raise
        except Exception as error:
            self._pins.release(files, self._rows)
            self._after_failure(files, error)
            return
        moved = self._pins.release(files, self._rows)
        if not moved:
            self._keep(read)
            return
        self._drop(read)
        gone = {lost.row["src_file_id"] for lost in moved}
        self._pins.lost.extend(moved)
        self._load_again([f for f in files if f.lineage.src_file_id not in gone])

    def _after_failure(self, files: Sequence[SourceFile], error: Exception) -> None:
        """The reader itself failed: find the file that does it by reading each alone."""
        if len(files) == 1:
            row = self._rows[files[0].lineage.src_file_id]
            self._pins.lost.append(Unreadable(row, "FAILED", describe(error)))
            return
        for file in files:
            self._load_again([file])

    def _load_again(self, files: Sequence[SourceFile]) -> None:
        found = [self._pins.again(self._rows[f.lineage.src_file_id]) for f in files]
        for group in reader.groups([f for f in found if f is not None], self._job.contract):
            self._load_group(group)

    def _read(self, files: Sequence[SourceFile]) -> _Read:
        started = time.monotonic()
        size = sum(self._rows[f.lineage.src_file_id]["size_bytes"] for f in files)
        alone = size >= OWN_FILE_BYTES and not self._writer.partitioned
        constants = {"_batch_id": self._job.batch_id} if self._job.contract.lineage_columns else {}
        if constants and len(files) == 1:
            constants["_src_path"] = files[0].lineage.src_path
        self._names += 1
        table = f"part_{self._names}"
        errors: list[LakeError] = []

        def put(select_sql: str) -> tuple[tuple[Written, ...], int]:
            if alone:
                try:
                    written = self._writer.write_select(select_sql, self._present, constants)
                except LakeError as error:
                    errors.append(error)
                    raise
                return written, sum(file.rows for file in written)
            ((rows,),) = self._con.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {select_sql}").fetchall()
            return (), int(rows)

        with reader.open_reading(self._con, files, self._job.contract, self._workdir) as reading:
            done = reading.run(put, rows_of=itemgetter(1))
        if errors:
            raise errors[0]
        return _Read(
            files=done.files,
            rejects=done.rejects,
            written=done.result[0] if done.result is not None else (),
            table=None if alone or done.result is None else table,
            elapsed_s=time.monotonic() - started,
        )

    def _keep(self, read: _Read) -> None:
        loaded = [f for f in read.files if f.error is None]
        ids = [f.file.lineage.src_file_id for f in loaded if f.rows]
        sizes = {f.file.lineage.src_file_id: self._size(f.file) for f in read.files}
        if read.table is not None and ids:
            self._gathered.tables.append(read.table)
            self._gathered.ids.extend(ids)
            self._gathered.rows += sum(f.rows for f in loaded)
            self._gathered.size_bytes += sum(sizes[i] for i in ids)
        self._emit(read.written, "main", ids, sum(f.rows for f in loaded))
        total = sum(sizes.values()) or 1
        for file in read.files:
            share = sizes[file.file.lineage.src_file_id] / total if total > 1 else 1 / len(read.files)
            self._results.append(_file_row(file, self._rows, read.elapsed_s * share))
        if read.rejects.num_rows:
            self._rejects.append(read.rejects)

    def _drop(self, read: _Read) -> None:
        self._writer.discard(read.written)
        if read.table is not None:
            self._con.execute(f"DROP TABLE IF EXISTS {read.table}")

    def _size(self, file: SourceFile) -> int:
        return int(self._rows[file.lineage.src_file_id]["size_bytes"])

    def _flush(self) -> None:
        """Write what is gathered as one data file (or one per partition)."""
        gathered, self._gathered = self._gathered, _Gathered()
        if not gathered.tables:
            return
        if len(gathered.tables) == 1:
            source = gathered.tables[0]
        else:
            source = f"all_{self._names}"
            union = " UNION ALL BY NAME ".join(f"SELECT * FROM {name}" for name in gathered.tables)
            self._con.execute(f"CREATE OR REPLACE TEMP VIEW {source} AS {union}")
        written = self._writer.write_table(source, self._present)
        self._emit(written, "main", gathered.ids, gathered.rows)
        if len(gathered.tables) > 1:
            self._con.execute(f"DROP VIEW {source}")
        for name in gathered.tables:
            self._con.execute(f"DROP TABLE {name}")

    def _emit(self, written: Sequence[Written], table: str, ids: Sequence[int], rows: int) -> None:
        if not written and not rows:
            return
        found = sum(file.rows for file in written)
        if table == "main" and written and found != rows:
            raise LakeError(
                "a data file does not hold the rows that were read",
                why=f"{rows} rows were read, {found} were written",
                fix="run the same command again; if it stays, report it with the files of this batch.",
            )
        writer = self._writer if table == "main" else None
        if writer is not None:
            writer.publish(written)
        self._results.extend(data_file_row(file, table, ids) for file in written)

    def _write_rejects(self) -> None:
        """Rejected rows as a data file of the quarantine table."""
        if not self._rejects or self._job.quarantine is None:
            return
        rejects = pa.concat_tables(self._rejects)
        if not rejects.num_rows:
            return
        constant = {"batch_id": pa.scalar(self._job.batch_id), "ingested_at": self._ingested_at()}
        for name, value in constant.items():
            rejects = rejects.append_column(name, pa.array([value.as_py()] * rejects.num_rows, value.type))
        writer = self._writer_for(self._job.quarantine)
        self._con.register("rejected_rows", rejects)
        written = writer.write_select("SELECT * FROM rejected_rows", frozenset(rejects.column_names))
        self._con.unregister("rejected_rows")
        writer.publish(written)
        ids = sorted(set(rejects.column("src_file_id").to_pylist()))
        self._results.extend(data_file_row(file, "quarantine", ids) for file in written)

    def _ingested_at(self) -> pa.Scalar:
        return pa.scalar(self._job.ingested_at, pa.timestamp("us", tz="UTC"))


def _file_row(done: FileDone, rows: Mapping[int, Row], elapsed_s: float) -> dict[str, Any]:
    from autoloader import schema as schemas

    src_file_id = done.file.lineage.src_file_id
    failed = done.error is not None
    return {
        "kind": "file",
        "src_file_id": src_file_id,
        "file_path": done.file.lineage.src_path,
        "state": _state(done),
        "error": describe(done.error) if done.error is not None else None,
        "rows": 0 if failed else done.rows,
        "rejected_rows": done.rejected_rows,
        "rescued_rows": 0 if failed else done.rescued_rows,
        "fingerprint": done.fingerprint,
        "columns_json": json.dumps(
            {
                "columns": schemas.to_data(done.columns),
                "new_columns": schemas.to_data(done.new_columns),
                "asks": schemas.to_data(_asks(done)),
                "notes": list(done.notes),
            },
            ensure_ascii=False,
        ),
        "bytes_read": rows[src_file_id]["size_bytes"],
        "seconds": elapsed_s,
    }


def _asks(done: FileDone) -> TableSchema:
    return done.error.found if isinstance(done.error, SchemaGrowsError) else TableSchema()


def _state(done: FileDone) -> str:
    if done.error is None:
        return "SUCCESS"
    if isinstance(done.error, SchemaGrowsError):
        return GROWS
    return "QUARANTINED" if getattr(done.error, "quarantine", False) else "FAILED"


def _failed(lost: Unreadable) -> dict[str, Any]:
    return {
        "kind": "file",
        "src_file_id": lost.row["src_file_id"],
        "file_path": lost.row["file_path"],
        "state": lost.state,
        "error": lost.error,
        "rows": 0,
        "rejected_rows": 0,
        "rescued_rows": 0,
        "bytes_read": 0,
        "seconds": 0.0,
    }
