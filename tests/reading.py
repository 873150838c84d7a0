"""Bytes in, rows out: the reader on files that a test writes, for unit tests and hard inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from autoloader import reader, schema
from autoloader.reader import FileDone, Lineage, ReadContract, SourceFile
from autoloader.spec.quantities import parse_bad_rows

NOW = datetime(2024, 1, 1, tzinfo=UTC)
Content = bytes | str | Callable[[Path], Any]
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Found:
    """What reading some files gave: rows as dictionaries, files, rejects as tuples (row, column, raw, error)."""

    rows: list[dict[str, Any]]
    files: list[FileDone]
    rejects: list[tuple[int | None, str | None, str | None, str]]

    @property
    def error(self) -> str | None:
        """The only file's error as text."""
        (file,) = self.files
        return None if file.error is None else str(file.error)

    def column(self, name: str) -> list[Any]:
        """One column's values, in order."""
        return [row[name] for row in self.rows]


def contract(columns: Mapping[str, str], form: str = "csv", **others: Any) -> ReadContract:
    """A contract from names and type texts."""
    if "max_bad_rows" in others:
        others["max_bad_rows"] = parse_bad_rows(others["max_bad_rows"])
    declared = schema.from_data([{"name": n, "type": t} for n, t in columns.items()])
    return ReadContract(declared, form, **others)  # type: ignore[arg-type]


def source_file(folder: Path, content: Content, key: str = "x.csv") -> SourceFile:
    """A file with that content; the number of the version is that of the call."""
    number = next(_NUMBERS)
    path = folder / f"file-{number}"
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return SourceFile(path, key, Lineage(number, f"s3://bucket/{key}", "batch-1", NOW))


def read(
    folder: Path,
    contents: Content | Sequence[Content],
    columns: Mapping[str, str],
    form: str = "csv",
    *,
    key: str = "x.csv",
    **others: Any,
) -> Found:
    """Read files with those contents under a contract."""
    several = [contents] if isinstance(contents, bytes | str) or callable(contents) else list(contents)
    files = [source_file(folder, c, key) for c in several]
    return read_files(folder, files, contract(columns, form, **others))


def read_files(folder: Path, files: Sequence[SourceFile], told: ReadContract, *, threads: int = 2) -> Found:
    """Read files under a contract."""
    con = reader.connect(threads=threads, memory_limit="1GB", temp_directory=folder)
    rows: list[dict[str, Any]] = []
    done: list[FileDone] = []
    rejects: list[Any] = []
    try:
        for group in reader.groups(files, told):
            with reader.open_reading(con, group, told, folder) as reading:
                result = reading.run(lambda select: con.sql(select).to_arrow_table())
            if result.result is not None:
                rows += _rows(result.result)
            done += result.files
            rejects += [(r["row"], r["column"], r["raw"], r["error"]) for r in result.rejects.to_pylist()]
    finally:
        con.close()
    return Found(rows, done, rejects)


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    kept = [n for n in table.column_names if n not in ("_batch_id", "_ingested_at", "_src_path", "_src_file_id")]
    return list(table.select(kept).to_pylist())
