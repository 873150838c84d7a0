"""Records of many small JSON files in one table, and which files have the same structure."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from autoloader.errors import ReadError
from autoloader.reader.jsonfile import ends_with_newline, lines_of, looked_at
from autoloader.reader.jsonlook import Look, looks
from autoloader.reader.raw import Raw
from autoloader.schema import TableSchema

if TYPE_CHECKING:
    import duckdb

_NUMBERS: Final = itertools.count(1)


class JsonRecords:
    """Files by their index; `left` are those that must be read alone, where their errors are found again."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._table = f"reader_records_{next(_NUMBERS)}"
        self._lines: dict[int, list[str]] = {}
        self._is_whole: dict[int, bool] = {}
        self.left: list[int] = []

    def take(self, index: int, path: Path) -> None:
        """Put the records of one small file in."""
        try:
            lines = lines_of(path)
        except ReadError:
            lines = None
        if lines is None:
            self.left.append(index)
            return
        self._lines[index] = lines
        self._is_whole[index] = ends_with_newline(path)

    def alike(self, schema: TableSchema) -> Iterator[tuple[Raw, list[int]]]:
        """The raw relation of each structure, and the files that have it: `__file` is the place in that list."""
        self._create()
        found = looks(self._con, f"SELECT * FROM {self._table}")
        same: dict[str, tuple[Look, list[int]]] = {}
        for index in self._lines:
            look = found.get(index, Look())
            if look.first_is_broken or (look.last_is_broken and not self._is_whole[index]):
                self.left.append(index)
                continue
            faults = (look.broken > 0, look.strangers > 0, look.doubles > 0, sorted(look.repeating))
            kind = (faults, look.long_numbers, look.mark, look.structure)
            same.setdefault(json.dumps(kind), (look, []))[1].append(index)
        for look, indexes in same.values():
            listed = ", ".join(str(i) for i in indexes)
            relation = (
                f"SELECT line, __row, CAST(list_position([{listed}], __file) - 1 AS INTEGER) AS __file"
                f" FROM {self._table} WHERE __file IN ({listed})"
            )
            yield looked_at(relation, look, schema), indexes

    def _create(self) -> None:
        sizes = [len(lines) for lines in self._lines.values()]
        table = pa.table(
            {
                "line": pa.array(list(itertools.chain.from_iterable(self._lines.values())), pa.string()),
                "__row": pa.array(list(itertools.chain.from_iterable(map(range, sizes))), pa.int64()),
                "__file": pa.array(
                    list(itertools.chain.from_iterable([i] * n for i, n in zip(self._lines, sizes, strict=True))),
                    pa.int32(),
                ),
            }
        )
        self._con.register(f"{self._table}_arrow", table)
        self._con.execute(f"CREATE TEMP TABLE {self._table} AS SELECT * FROM {self._table}_arrow")
        self._con.unregister(f"{self._table}_arrow")

    def drop(self) -> None:
        """Drop the table."""
        self._con.execute(f"DROP TABLE IF EXISTS {self._table}")
