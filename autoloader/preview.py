"""A few files through the very reader of apply, into memory: rows, rejected rows, a profile. Writes nothing.

No JVM and no table: the SELECT is the one that the loader's tasks run, so what is shown here is what apply
would load.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader import reader, sources
from autoloader.errors import ReadError
from autoloader.spec import StorageSettings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from autoloader.reader import ReadContract
    from autoloader.schema import TableSchema

LARGE_BYTES: Final = 32 * 1024 * 1024  # of a file from here on, only the first rows are looked at
LARGE_ROWS: Final = 100_000
COUNTED_ROWS: Final = 100_000  # up to here distinct values are counted, above they are estimated
_TABLE: Final = "previewed"
_ROUNDS: Final = 3  # of files that ask for columns and types; after that they are read as the schema is
_LINEAGE: Final = frozenset({"_src_file_id", "_src_path", "_src_row", "_batch_id", "_ingested_at"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One file version to look at.

    Attributes:
        file_path: Canonical URI.
        key: Path below the source root.
        size_bytes: Of its identity, as the next three.
        modified_at_ns: Nanoseconds since the epoch.
        etag: None for local files.
        version_id: None where there is none.
    """

    file_path: str
    key: str
    size_bytes: int
    modified_at_ns: int | None
    etag: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a few files would give.

    Attributes:
        rows: The first rows, in the order of the samples and of the rows in them: data columns, and
            `_rescued` where the contract keeps lineage.
        rejected: `reader.REJECTS` of all samples.
        profile: Per data column: name, type, rows, nulls, distinct (`distinct_is_exact` or not), min and max as text.
        files: Per sample: its path, rows, rejected and rescued rows, error, notes.
        total_rows: Rows of all samples.
        contract: As they were read in the end: with the columns and types that they asked for.
    """

    rows: pa.Table
    rejected: pa.Table
    profile: tuple[dict[str, Any], ...]
    files: tuple[dict[str, Any], ...]
    total_rows: int
    contract: ReadContract


def preview(
    samples: Sequence[Sample],
    contract: ReadContract,
    storage: Mapping[str, StorageSettings],
    *,
    now: datetime,
    table: TableSchema | None = None,
    max_rows: int = 20,
    threads: int = 2,
) -> Preview:
    """Read samples as apply would: what they ask of the table is granted before.

    Args:
        samples: The files, in load order.
        contract: How they are read.
        storage: Per scheme, how to reach it.
        now: Stands for the time of a load.
        table: The columns that the table has, None where there is none.
        max_rows: Rows to return.
        threads: Of DuckDB.

    Raises:
        FileMovedError: A sample was replaced while it was looked at.
        SourceError: A sample cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix="autoloader-") as folder, ExitStack() as stack:
        workdir = Path(folder)
        files = [_pinned(stack, sample, number, storage, workdir, now) for number, sample in enumerate(samples)]
        con = reader.connect(threads=threads, memory_limit="2GB", temp_directory=workdir)
        stack.callback(con.close)
        contract, done = _grown(con, files, contract, table, workdir)
        return _shown(con, contract, done, max_rows)


def _grown(
    con: duckdb.DuckDBPyConnection,
    files: Sequence[reader.SourceFile],
    contract: ReadContract,
    table: TableSchema | None,
    workdir: Path,
) -> tuple[ReadContract, list[reader.Done[str]]]:
    """The samples as they are read once they ask for no more, and the contract by then."""
    for number in range(_ROUNDS):
        done = list(_read(con, files, replace(contract, may_grow=True), workdir / f"round-{number}"))
        asks = [f.error.found for d in done for f in d.files if isinstance(f.error, reader.SchemaGrowsError)]
        if not asks:
            return contract, done
        contract = reader.grown(contract, asks, table)
    return contract, list(_read(con, files, contract, workdir / "last"))


def _pinned(
    stack: ExitStack,
    sample: Sample,
    number: int,
    storage: Mapping[str, StorageSettings],
    workdir: Path,
    now: datetime,
) -> reader.SourceFile:
    own = workdir / f"file-{number}"
    own.mkdir()
    path = stack.enter_context(
        sources.pinned(
            sample.file_path,
            size_bytes=sample.size_bytes,
            modified_at_ns=sample.modified_at_ns,
            etag=sample.etag,
            version_id=sample.version_id,
            storage=storage,
            workdir=own,
        )
    )
    return reader.SourceFile(path, sample.key, reader.Lineage(number, sample.file_path, "preview", now))


def _read(
    con: duckdb.DuckDBPyConnection, files: Sequence[reader.SourceFile], contract: ReadContract, workdir: Path
) -> Iterator[reader.Done[str]]:
    """Read group by group into tables of their own, which together are the preview."""
    for number, group in enumerate(reader.groups(files, contract)):
        own = workdir / f"group-{number}"
        own.mkdir(parents=True)
        table = f"{_TABLE}_{number}"

        large = sum(file.path.stat().st_size for file in group) >= LARGE_BYTES
        limit = f" LIMIT {LARGE_ROWS}" if large and len(group) == 1 else ""

        def keep(select_sql: str, table: str = table, limit: str = limit) -> str:
            con.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM ({select_sql}){limit}")
            return table

        with reader.open_reading(con, group, contract, own) as reading:
            done = reading.run(keep, rows_of=lambda table: len(con.execute(f"FROM {table} SELECT 1").fetchall()))
        yield _said(done, limit)


def _said(done: reader.Done[str], limit: str) -> reader.Done[str]:
    """The outcome with a note where not the whole file was looked at."""
    if not limit:
        return done
    files = [
        replace(file, rows=min(file.rows, LARGE_ROWS), notes=(*file.notes, f"its first {LARGE_ROWS:,} rows"))
        if file.rows >= LARGE_ROWS
        else file
        for file in done.files
    ]
    return replace(done, files=tuple(files))


def _shown(
    con: duckdb.DuckDBPyConnection, contract: ReadContract, done: Sequence[reader.Done[str]], max_rows: int
) -> Preview:
    import pyarrow as pa

    tables = [each.result for each in done if each.result is not None]
    rejected = pa.concat_tables([reader.REJECTS.empty_table(), *(each.rejects for each in done)])
    files = tuple(_file(file) for each in done for file in each.files)
    if not tables:
        return Preview(pa.table({}), rejected, (), files, 0, contract)
    together = " UNION ALL ".join(f"SELECT * FROM {table}" for table in tables)
    con.execute(f"CREATE VIEW {_TABLE} AS {together}")
    names = [name for name in con.table(_TABLE).columns if name not in _LINEAGE]
    order = "ORDER BY _src_file_id, _src_row" if contract.lineage_columns else ""
    columns = ", ".join(_quoted(name) for name in names)
    rows = con.sql(f"SELECT {columns} FROM {_TABLE} {order} LIMIT {int(max_rows)}").to_arrow_table()
    ((total,),) = con.sql(f"SELECT count(*) FROM {_TABLE}").fetchall()
    return Preview(rows, rejected, _profile(con, contract), files, int(total), contract)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _file(done: reader.FileDone) -> dict[str, Any]:
    error: ReadError | None = done.error
    return {
        "file_path": done.file.lineage.src_path,
        "rows": done.rows,
        "rejected_rows": done.rejected_rows,
        "rescued_rows": done.rescued_rows,
        "error": None if error is None else " ".join(part for part in (error.what, error.why) if part),
        "notes": list(done.notes),
    }


def _profile(con: duckdb.DuckDBPyConnection, contract: ReadContract) -> tuple[dict[str, Any], ...]:
    """One query over all data columns; types without an order have no min and max."""
    names = [column.name for column in contract.schema.columns]
    if not names:
        return ()
    ((rows,),) = con.sql(f"SELECT count(*) FROM {_TABLE}").fetchall()
    exact = rows <= COUNTED_ROWS
    parts = []
    for name in names:
        column = _quoted(name)
        parts += [
            f"count(*) - count({column})",
            f"count(DISTINCT {column}::VARCHAR)" if exact else f"approx_count_distinct({column}::VARCHAR)",
            f"min({column})::VARCHAR",
            f"max({column})::VARCHAR",
        ]
    (found,) = con.sql(f"SELECT {', '.join(parts)} FROM {_TABLE}").fetchall()
    return tuple(
        {
            "column": column.name,
            "type": str(column.type),
            "rows": rows,
            "nulls": found[4 * place],
            "distinct": found[1 + 4 * place],
            "distinct_is_exact": exact,
            "min": found[2 + 4 * place],
            "max": found[3 + 4 * place],
        }
        for place, column in enumerate(contract.schema.columns)
    )
