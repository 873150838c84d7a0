"""Reading files that share a header in one statement, strictly first and tolerantly only when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import pyarrow as pa

from autoloader import schema as schemas
from autoloader.errors import ReadError
from autoloader.reader.contract import ReadContract, SourceFile

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

REJECTS: Final = pa.schema(
    [
        pa.field("src_file_id", pa.int64(), nullable=False),
        pa.field("file_path", pa.string(), nullable=False),
        pa.field("row", pa.int64()),  # 0-based ordinal in the file; None: not known
        pa.field("column", pa.string()),  # None: the row as a whole
        pa.field("raw", pa.string()),
        pa.field("error", pa.string(), nullable=False),
    ]
)
"""One row per value (or row) that was rejected, sorted by file and row."""


@dataclass(frozen=True, slots=True)
class FileDone:
    """What became of one file.

    Attributes:
        file: The file.
        error: None: its rows were selected. Else it yielded no rows at all, for this reason.
        rows: Rows selected.
        rejected_rows: Rows left out, by `on_bad_row`.
        rescued_rows: Rows with something in `_rescued`.
        fingerprint: Hash of the sorted (lower-case name, type) pairs that the file really has.
        columns: The columns that the file really has, in the file's order.
        new_columns: Those that the contract's schema has not.
        notes: What else is worth saying: a malformed partition folder, …
    """

    file: SourceFile
    error: ReadError | None
    rows: int
    rejected_rows: int
    rescued_rows: int
    fingerprint: str | None
    columns: schemas.TableSchema
    new_columns: schemas.TableSchema
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What `Reading.run` brought.

    Attributes:
        result: What the function returned in the call that counts; None: no file of the group was readable.
        files: One per file of the group, in its order.
        rejects: `REJECTS`.
    """

    result: T | None
    files: tuple[FileDone, ...]
    rejects: pa.Table


class Reading:
    """Files of one group, opened. Columns of every SELECT: the contract's, then the lineage columns."""

    def run(self, function: Callable[[str], T]) -> Done[T]:
        """Call `function(select_sql)` once, or again where the strict SELECT raised.

        `function` must raise DuckDB's own errors unchanged. It is not called when no file can be read.
        """
        raise NotImplementedError


def connect(*, threads: int, memory_limit: str, temp_directory: Path) -> duckdb.DuckDBPyConnection:
    """A private in-memory DuckDB: no extension from the network, bounded memory, order kept."""
    raise NotImplementedError


def groups(files: Iterable[SourceFile], contract: ReadContract) -> Iterator[tuple[SourceFile, ...]]:
    """Files that one statement can read together: small ones of the same header; large ones alone."""
    raise NotImplementedError


@contextmanager
def open_reading(
    con: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], contract: ReadContract, workdir: Path
) -> Iterator[Reading]:
    """Open one group; what it puts into `workdir` (decompressed copies) is gone at exit.

    Raises nothing for a file that cannot be read: `run` says so per file.
    """
    raise NotImplementedError
    yield
