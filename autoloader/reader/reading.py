"""Reading files: strictly and streaming where one file is large, staged where many are small or values are bad."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import pyarrow as pa

from autoloader import schema as schemas
from autoloader.errors import ReadError
from autoloader.reader.cells import text_cell
from autoloader.reader.contract import ReadContract, SourceFile
from autoloader.reader.csvfile import is_plainly_quoted
from autoloader.reader.duck import first_row, literal
from autoloader.reader.growing import SchemaGrowsError, check_columns
from autoloader.reader.guards import usual_forms
from autoloader.reader.jsonlines import JsonRecords
from autoloader.reader.opening import Prepared, attempt, open_many, prepare
from autoloader.reader.plain import compression
from autoloader.reader.raw import Raw, fingerprint
from autoloader.reader.rows import (
    Layout,
    final_select,
    has_rescue,
    layout,
    partition_columns,
    partition_values,
    strict_select,
    texts_of,
)
from autoloader.reader.stage import Counts, Stage, is_value_error, sentence

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

LARGE_BYTES: Final = 32 * 1024 * 1024
GROUP_BYTES: Final = 64 * 1024 * 1024
GROUP_FILES: Final = 2_000
_INFLATES: Final = 8  # bytes that a compressed byte may become, for sizing groups

KEPT_REJECTS: Final = 1_000
"""Rows of a file that is quarantined whole whose faults are kept: enough to see what is wrong with it."""

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
        fingerprint: Hash of the sorted (lower-case name, type) pairs that the file really has; None: unknown.
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
        rejects: `REJECTS`. Of files with an error: none, but for those that have too many, of whose rows the first
            `KEPT_REJECTS` tell why.
    """

    result: T | None
    files: tuple[FileDone, ...]
    rejects: pa.Table


@dataclass(slots=True)
class _State:
    """What is known so far of one file."""

    file: SourceFile
    prepared: Prepared | None = None
    error: ReadError | None = None
    made: Layout | None = None
    early: pa.Table | None = None  # rejects from before the relation


class Reading:
    """Files of one group, opened. Columns of every SELECT: the contract's, then the lineage columns."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        files: Sequence[SourceFile],
        contract: ReadContract,
        workdir: Path,
    ) -> None:
        self._con = con
        self._contract = contract
        self._workdir = workdir
        self._states = [_State(f) for f in files]
        self._stage = Stage(con, files, contract)
        self._good_parts: dict[tuple[str, schemas.Type], bool] = {}

    def run(self, function: Callable[[str], T], *, rows_of: Callable[[T], int] | None = None) -> Done[T]:
        """Call `function(select_sql)` once, or again where the strict SELECT raised.

        Args:
            function: Must raise DuckDB's own errors unchanged. What it wrote in a call that raised is to be
                thrown away. It is not called when no file can be read.
            rows_of: The number of rows in the function's result, where it knows; saves counting them.
        """
        for number, state in enumerate(self._states):
            try:
                # most files need no copy; a folder each would cost more than reading them
                state.prepared = prepare(state.file, self._contract, self._workdir / str(number))
            except ReadError as error:
                state.error = error
        only = self._states[0]
        prepared = only.prepared
        if len(self._states) == 1 and prepared is not None and prepared.path.stat().st_size >= LARGE_BYTES:
            return self._stream(only, prepared, function, rows_of)
        return self._staged(function)

    def close(self) -> None:
        """Drop what is left in the connection."""
        self._stage.drop()

    def _stream(
        self,
        state: _State,
        prepared: Prepared,
        function: Callable[[str], T],
        rows_of: Callable[[T], int] | None,
    ) -> Done[T]:
        results: list[tuple[T, int, int]] = []

        def use(raw: Raw) -> None:
            if raw.rejects is None:
                import duckdb

                made = layout(raw, self._contract)
                check_columns(self._con, made)
                select = self._strict(made, state.file)
                try:
                    result = function(select)
                except duckdb.Error as error:
                    if not is_value_error(error):
                        raise
                else:
                    state.made = made
                    rows = rows_of(result) if rows_of is not None else self._count(raw.relation)
                    rescued = self._rescued_of(made) if has_rescue(made) else 0
                    results.append((result, rows, rescued))
                    return
            self._add(state, 0, raw, tolerant=True)

        try:
            attempt(self._con, prepared, self._contract, self._workdir, use)
        except ReadError as error:
            state.error = error
        if not results:
            return self._finish(function)
        result, rows, rescued = results[0]
        done = self._done(state, Counts(rows, 0, 0, rescued))
        return Done(result, (done,), REJECTS.empty_table())

    def _strict(self, made: Layout, file: SourceFile) -> str:
        lineage = None
        if self._contract.lineage_columns:
            who = file.lineage
            lineage = {
                "src_file_id": f"CAST({who.src_file_id} AS BIGINT)",
                "src_path": literal(who.src_path),
                "batch_id": literal(who.batch_id),
                "ingested_at": f"CAST({literal(who.ingested_at.isoformat())} AS TIMESTAMP WITH TIME ZONE)",
            }
        usual = usual_forms(self._con, made.raw.relation, texts_of(made)) if self._contract.format == "csv" else {}
        relation = f"({strict_select(made, self._stage.facts_of([0]), usual)})"
        return final_select(self._contract.schema, relation, None, lineage)

    def _count(self, relation: str) -> int:
        row = first_row(self._con, f"SELECT count(*) FROM ({relation})")
        return int(row[0]) if row is not None else 0

    def _rescued_of(self, made: Layout) -> int:
        select = strict_select(made, self._stage.facts_of([0]))
        return self._count(f"SELECT 1 FROM ({select}) WHERE __rescued IS NOT NULL")

    def _staged(self, function: Callable[[str], T]) -> Done[T]:
        for bunch in self._bunches():
            left: Sequence[int] = bunch
            if len(bunch) > 1:
                left = self._json_together(bunch) if self._contract.format == "json" else self._together(bunch)
            for index in left:
                self._alone(index)
        return self._finish(function)

    def _bunches(self) -> list[list[int]]:
        """Positions of files that are alike together, others alone."""
        bunches: dict[object, list[int]] = {}
        for index, state in enumerate(self._states):
            if state.prepared is None:
                continue
            alike = state.prepared.alike
            if state.prepared.header is not None and not is_plainly_quoted(state.prepared.path, self._contract.dialect):
                alike = None
            bunches.setdefault(index if alike is None else ("alike", alike), []).append(index)
        return list(bunches.values())

    def _together(self, bunch: Sequence[int]) -> Sequence[int]:
        """Read the files of a bunch in one statement; those that are left to be read alone: all or none."""
        import duckdb

        prepared = [p for i in bunch if (p := self._states[i].prepared) is not None]
        try:
            raw = open_many(self._con, prepared, self._contract, self._workdir)
            again = self._contract.format in ("csv", "text")
            made = self._stage.add_many(raw, bunch) if again else self._stage.add(raw, bunch)
        except SchemaGrowsError as error:
            self._refuse(bunch, error)
            return ()
        except (duckdb.Error, ReadError):
            return bunch
        for index in bunch:
            self._states[index].made = made
        return ()

    def _json_together(self, bunch: Sequence[int]) -> Sequence[int]:
        """Read files of JSON lines, all of one structure in one statement; those that are left."""
        import duckdb

        records = JsonRecords(self._con)
        try:
            for index in bunch:
                prepared = self._states[index].prepared
                if prepared is not None:
                    records.take(index, prepared.path)
            for raw, indexes in records.alike(self._contract.schema):
                try:
                    made = self._stage.add(raw, indexes)
                except SchemaGrowsError as error:
                    self._refuse(indexes, error)
                    continue
                except (duckdb.Error, ReadError):
                    records.left.extend(indexes)
                    continue
                for index in indexes:
                    self._states[index].made = made
        finally:
            records.drop()
        return sorted(records.left)

    def _refuse(self, indexes: Sequence[int], error: ReadError) -> None:
        for index in indexes:
            self._states[index].error = error

    def _alone(self, index: int) -> None:
        state = self._states[index]
        if state.prepared is None:
            return
        try:
            folder = self._workdir / str(index)
            attempt(self._con, state.prepared, self._contract, folder, lambda raw: self._add(state, index, raw))
        except ReadError as error:
            state.error = error

    def _add(self, state: _State, index: int, raw: Raw, *, tolerant: bool = False) -> None:
        state.made = self._stage.add(raw, [index], tolerant=tolerant)
        state.early = raw.rejects

    def _finish(self, function: Callable[[str], T]) -> Done[T]:
        counts = self._stage.counts()
        done = []
        for index, state in enumerate(self._states):
            counted = counts.get(index, Counts())
            if state.error is None:
                state.error = self._verdict(index, state, counted)
                if state.error is not None:
                    self._stage.remove(index, keep_rejects=KEPT_REJECTS if state.error.quarantine else 0)
            done.append(self._done(state, counted))
        if all(state.error is not None for state in self._states):
            return Done(None, tuple(done), self._rejects())
        return Done(function(self._stage.select()), tuple(done), self._rejects())

    def _verdict(self, index: int, state: _State, counts: Counts) -> ReadError | None:
        """The error of a file that has more bad rows than it may; None: it may be loaded."""
        early = state.early.num_rows if state.early is not None else 0
        bad, total = counts.bad + early, counts.rows + early
        if bad == 0:
            return None
        example = self._stage.example(index)
        if not example and state.early is not None and early:
            first = state.early.slice(0, 1).to_pylist()[0]
            example = sentence(first["row"], None, first["raw"], first["error"])
        if self._contract.on_bad_row == "fail":
            return ReadError(
                f"{bad:,} of {total:,} rows cannot be read.",
                why=f"{example} The contract says on_bad_row: fail.".strip(),
                fix="Upload a corrected file, or set schema.on_bad_row to quarantine or rescue.",
            )
        if self._contract.max_bad_rows.allows(bad, total):
            return None
        error = ReadError(
            f"{bad:,} of {total:,} rows cannot be read, more than the limit of {self._contract.max_bad_rows}.",
            why=example,
            fix="Upload a corrected file, declare types that fit, or raise schema.max_bad_rows.",
        )
        error.quarantine = True
        return error

    def _done(self, state: _State, counts: Counts) -> FileDone:
        early = state.early.num_rows if state.early is not None else 0
        columns = state.made.raw.schema if state.made is not None else schemas.TableSchema(())
        return FileDone(
            file=state.file,
            error=state.error,
            rows=0 if state.error is not None else counts.rows - counts.rejected,
            rejected_rows=counts.rejected + early,
            rescued_rows=counts.rescued,
            fingerprint=fingerprint(columns) if state.made is not None else None,
            columns=columns,
            new_columns=state.made.new_columns if state.made is not None else schemas.TableSchema(()),
            notes=self._notes(state),
        )

    def _notes(self, state: _State) -> tuple[str, ...]:
        names = partition_columns(self._contract)
        values = partition_values(state.file.key, names)
        notes = []
        for column, value in zip(names, values, strict=True):
            kind = schemas.parse_type(self._contract.partitions[column])
            if value is not None and not self._is_good(value, kind):
                notes.append(f"Folder {column}={value}: {value!r} is not {kind}; null, and kept in _rescued.")
            elif value is None and f"{column.casefold()}=" not in f"/{state.file.key.casefold()}":
                notes.append(f"There is no folder {column}=…; {column} is null.")
        return tuple(notes)

    def _is_good(self, value: str, kind: schemas.Type) -> bool:
        if not isinstance(kind, schemas.Primitive | schemas.Decimal):
            return False
        known = self._good_parts.get((value, kind))
        if known is None:
            row = first_row(self._con, f"SELECT NOT {text_cell(literal(value), kind).bad}")
            known = self._good_parts[value, kind] = bool(row and row[0])
        return known

    def _rejects(self) -> pa.Table:
        tables = [self._stage.rejects(REJECTS)]
        for state in self._states:
            told = state.error is None or state.error.quarantine
            if told and state.early is not None and state.early.num_rows:
                early = state.early if state.error is None else state.early.slice(0, KEPT_REJECTS)
                tables.append(_early_rejects(state.file, early))
        if len(tables) == 1:
            return tables[0]
        return pa.concat_tables(tables).sort_by([("src_file_id", "ascending"), ("row", "ascending")])


def _early_rejects(file: SourceFile, early: pa.Table) -> pa.Table:
    count = early.num_rows
    return pa.Table.from_arrays(
        [
            pa.array([file.lineage.src_file_id] * count, pa.int64()),
            pa.array([file.lineage.src_path] * count, pa.string()),
            early["row"],
            pa.nulls(count, pa.string()),
            early["raw"],
            early["error"],
        ],
        schema=REJECTS,
    )


def groups(files: Iterable[SourceFile], contract: ReadContract) -> Iterator[tuple[SourceFile, ...]]:
    """Files that are read together: small ones, up to `GROUP_FILES` or about `GROUP_BYTES`; large ones alone.

    The order of small files is kept. Files are taken from the iterable as they are needed.
    """
    waiting: list[SourceFile] = []
    size = 0
    for file in files:
        stored = file.path.stat().st_size
        plain = stored * _INFLATES if contract.format == "csv" and compression(file.path) else stored
        if plain >= LARGE_BYTES:
            yield (file,)
            continue
        if waiting and (size + plain > GROUP_BYTES or len(waiting) >= GROUP_FILES):
            yield tuple(waiting)
            waiting, size = [], 0
        waiting.append(file)
        size += plain
    if waiting:
        yield tuple(waiting)


@contextmanager
def open_reading(
    con: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], contract: ReadContract, workdir: Path
) -> Iterator[Reading]:
    """Open one group; what it puts into `workdir` (decompressed copies) is gone at exit.

    Raises nothing for a file that cannot be read: `run` says so per file.
    """
    with tempfile.TemporaryDirectory(prefix="read-", dir=workdir, ignore_cleanup_errors=True) as folder:
        reading = Reading(con, files, contract, Path(folder))
        try:
            yield reading
        finally:
            reading.close()
