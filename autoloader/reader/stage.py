"""Typed rows of several files in one temporary table, each file in or out as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from autoloader.errors import ReadError
from autoloader.reader.contract import ReadContract, SourceFile
from autoloader.reader.duck import first_row
from autoloader.reader.growing import check_columns, check_values
from autoloader.reader.raw import Raw
from autoloader.reader.rows import (
    STRICT_FAILURE,
    Layout,
    final_select,
    layout,
    partition_columns,
    partition_values,
    stage_columns,
    strict_select,
    tolerant_select,
)

if TYPE_CHECKING:
    import duckdb

_NUMBERS: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of one file in the stage: all of them, those that are bad, that are left out, that are rescued."""

    rows: int = 0
    bad: int = 0
    rejected: int = 0
    rescued: int = 0


def is_value_error(error: BaseException) -> bool:
    """Whether a strict SELECT raised because of a value, not because the file cannot be parsed."""
    import duckdb

    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return True
    return isinstance(error, duckdb.Error) and STRICT_FAILURE in str(error)


class Stage:
    """Two temporary tables of one connection: facts about the files, and their typed rows."""

    def __init__(self, con: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], contract: ReadContract) -> None:
        self._con = con
        self._contract = contract
        number = next(_NUMBERS)
        self.facts = f"reader_facts_{number}"
        self.rows = f"reader_rows_{number}"
        self._raw = f"reader_raw_{number}"
        self._create_facts(files)
        con.execute(f"CREATE TEMP TABLE {self.rows} ({stage_columns(contract.schema)})")

    def _create_facts(self, files: Sequence[SourceFile]) -> None:
        parts = partition_columns(self._contract)
        values = [partition_values(f.key, parts) for f in files]
        table = {
            "__file": pa.array(range(len(files)), pa.int32()),
            "src_file_id": pa.array([f.lineage.src_file_id for f in files], pa.int64()),
            "src_path": pa.array([f.lineage.src_path for f in files], pa.string()),
            "batch_id": pa.array([f.lineage.batch_id for f in files], pa.string()),
            "ingested_at": pa.array([f.lineage.ingested_at for f in files], pa.timestamp("us", "UTC")),
        }
        for index in range(len(parts)):
            table[f"p{index}"] = pa.array([v[index] for v in values], pa.string())
        self._con.register(f"{self.facts}_arrow", pa.table(table))
        self._con.execute(f"CREATE TEMP TABLE {self.facts} AS SELECT * FROM {self.facts}_arrow")
        self._con.unregister(f"{self.facts}_arrow")

    def facts_of(self, indexes: Sequence[int]) -> str:
        """The facts of some files, `__file` counted from 0 in the order of `indexes`."""
        if len(indexes) == 1:
            return f"SELECT * REPLACE (0 AS __file) FROM {self.facts} WHERE __file = {indexes[0]}"
        listed = ", ".join(f"({i}, {n})" for n, i in enumerate(indexes))
        return (
            f"SELECT t.* REPLACE (CAST(w.n AS INTEGER) AS __file) FROM {self.facts} AS t"
            f" JOIN (VALUES {listed}) AS w(i, n) ON w.i = t.__file"
        )

    def add(self, raw: Raw, indexes: Sequence[int], *, tolerant: bool = False) -> Layout:
        """Put the rows of a raw relation into the stage: all of it, or nothing where this raises.

        Args:
            raw: `__file` counts from 0 in the order of `indexes`.
            indexes: Positions of its files among those of the stage.
            tolerant: Do not try the strict SELECT first.

        Raises:
            SchemaGrowsError: The files ask for columns or types first.
        """
        import duckdb

        made = layout(raw, self._contract)
        check_columns(self._con, made)
        facts = self.facts_of(indexes)
        if not tolerant:
            try:
                self._insert(strict_select(made, facts), indexes)
                return made
            except duckdb.Error as error:
                if not is_value_error(error):
                    raise
        check_values(self._con, made, facts)
        self._insert(tolerant_select(made, facts), indexes)
        return made

    def add_many(self, raw: Raw, indexes: Sequence[int]) -> Layout:
        """`add` for small files that one relation reads together; their text is parsed once.

        Raises:
            ReadError: They run into each other; they must be read alone.
        """
        ordinal = "" if raw.mark else " REPLACE (__row - min(__row) OVER (PARTITION BY __file) AS __row)"
        self._con.execute(f"CREATE TEMP TABLE {self._raw} AS SELECT *{ordinal} FROM ({raw.relation})")
        try:
            if raw.mark:
                self._check_marks(raw.mark, len(indexes))
            return self.add(Raw(f"SELECT * FROM {self._raw} WHERE __row >= 0", raw.columns), indexes)
        finally:
            self._con.execute(f"DROP TABLE {self._raw}")

    def _check_marks(self, mark: str, files: int) -> None:
        found = self._con.execute(f"SELECT c0 FROM {self._raw} WHERE __row < 0 ORDER BY __file").fetchall()
        if [row[0] for row in found] != [f"{mark}{index}" for index in range(files)]:
            raise ReadError("A quote of one file is closed in another.")

    def _insert(self, select: str, indexes: Sequence[int]) -> None:
        listed = ", ".join(str(i) for i in indexes)
        file = f"CAST([{listed}][__file + 1] AS INTEGER) AS __file"
        self._con.execute(f"INSERT INTO {self.rows} BY NAME SELECT * REPLACE ({file}) FROM ({select})")

    def counts(self) -> Mapping[int, Counts]:
        """Per position of a file; files without rows are absent."""
        found = self._con.execute(
            "SELECT __file, count(*), count(*) FILTER (coalesce(__bad, false)),"
            " count(*) FILTER (__rejects IS NOT NULL),"
            " count(*) FILTER (__rejects IS NULL AND __rescued IS NOT NULL)"
            f" FROM {self.rows} GROUP BY __file"
        ).fetchall()
        return {row[0]: Counts(*row[1:]) for row in found}

    def remove(self, index: int, *, keep_rejects: int = 0) -> None:
        """Take the rows of one file out again, but for the first ones that are left out, which tell why."""
        kept = (
            f"SELECT __row FROM {self.rows} WHERE __file = {index} AND __rejects IS NOT NULL"
            f" ORDER BY __row LIMIT {keep_rejects}"
        )
        self._con.execute(
            f"DELETE FROM {self.rows} WHERE __file = {index} AND (__row IS NULL OR __row NOT IN ({kept}))"
        )

    def select(self) -> str:
        """The good rows, in the columns that the reader promises."""
        relation = f"(SELECT * FROM {self.rows} WHERE __rejects IS NULL)"
        order = " ORDER BY s.__file, s.__row"
        facts = f"SELECT * FROM {self.facts}" if self._contract.lineage_columns else None
        return final_select(self._contract.schema, relation, facts, None) + order

    def rejects(self, schema: pa.Schema) -> pa.Table:
        """The faults of the rows that are left out, by file and row."""
        found: pa.Table = self._con.sql(
            'SELECT f.src_file_id, f.src_path AS file_path, r."row", x."column", x.raw, x.error FROM'
            f' (SELECT __file, __row AS "row", unnest(__rejects) AS x FROM {self.rows} WHERE __rejects IS NOT NULL)'
            f' AS r JOIN {self.facts} AS f USING (__file) ORDER BY __file, "row"'
        ).to_arrow_table()
        return found.cast(schema)

    def example(self, index: int) -> str:
        """The first fault of a file, as a sentence, for the message of its error."""
        row = first_row(
            self._con,
            f"SELECT __row, __rejects[1] FROM {self.rows} WHERE __file = {index} AND __rejects IS NOT NULL"
            " ORDER BY __row LIMIT 1",
        )
        if row is None:
            return ""
        return sentence(row[0], row[1]["column"], row[1]["raw"], row[1]["error"])

    def drop(self) -> None:
        """Drop the tables."""
        for table in (self.rows, self.facts):
            self._con.execute(f"DROP TABLE IF EXISTS {table}")


def sentence(row: int | None, column: str | None, raw: str | None, error: str) -> str:
    """One fault for people; `row` counts from 0 inside and from 1 outside."""
    shown = (raw or "")[:80]
    where = f"Row {row + 1}" if row is not None else "A row"
    what = f", column {column}: {shown!r} {error}" if column is not None else f" {error}: {shown!r}"
    return f"{where}{what}."
