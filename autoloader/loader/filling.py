"""Data files written anew with values that their rows had only in `_rescued`: no source file is read.

A value is read by the rules of JSON, as if it stood in a file: what does not fit stays where it is. Everything
else of a data file, its schema with field ids, its order and partition, stays as well.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.errors import LakeError
from autoloader.loader.arrow import arrow_schema, cast
from autoloader.loader.job import RESULT, FillJob, Mapper
from autoloader.loader.rescued import joined, parts
from autoloader.loader.rewrite import field_id, rewritten
from autoloader.schema import Column, Place, TableSchema

if TYPE_CHECKING:
    import duckdb

_RESCUED: Final = "_rescued"
_BATCH_ROWS: Final = 65_536


def fill_files(job: FillJob) -> Mapper:
    """The function for `mapInArrow`: batches of `REWRITE_TASK` in, `data_file` rows of `RESULT` out.

    A data file none of whose rows has a value that fits yields no row: it stays.
    """
    return partial(_fill, job)


def _fill(job: FillJob, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from autoloader import reader

    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="autoloader-", dir=job.workdir, ignore_cleanup_errors=True) as folder:
        con = reader.connect(threads=1, memory_limit="1GB", temp_directory=Path(folder))
        try:
            for row in (row for batch in batches for row in batch.to_pylist()):
                with tempfile.TemporaryDirectory(dir=folder) as own:
                    values = _Values(con, job.places, Path(own))
                    done = rewritten(job, job.main, row, Path(own), partial(_copy_filled, job, values))
                if done is not None:
                    results.append({**done, "filled_rows": values.filled_rows})
        finally:
            con.close()
    if results:
        yield from pa.Table.from_pylist(results, schema=RESULT).to_batches()


@dataclass(slots=True)
class _Rows:
    """What a batch's `_rescued` gives: per place the rows that get a value, with the values; and what is left."""

    rows: list[list[int]]
    values: list[pa.Array | None]
    rescued: pa.Array


class _Values:
    """Reads values out of `_rescued`, by the reader's own rules for JSON."""

    def __init__(self, con: duckdb.DuckDBPyConnection, places: Sequence[Place], workdir: Path) -> None:
        self._con, self._places, self._workdir = con, places, workdir
        self._of_key: dict[str, list[int]] = {}
        for number, place in enumerate(places):
            self._of_key.setdefault(place.key.casefold(), []).append(number)
        self.filled_rows = 0

    def read(self, rescued: pa.Array) -> _Rows | None:
        """What the texts of `_rescued` give; None where there is nothing in them for any place."""
        texts = {row: parts(text) for row, text in enumerate(rescued.to_pylist()) if text is not None}
        wanted = {row: values for row, values in texts.items() if any(k.casefold() in self._of_key for k, _ in values)}
        if not wanted:
            return None
        table = self._typed([self._line(values) for values in wanted.values()])
        left = [dict(parts(text)) if text else {} for text in table[_RESCUED].to_pylist()]
        columns = [table[f"c{number}"].combine_chunks() for number in range(len(self._places))]
        valid = [column.is_valid().to_pylist() for column in columns]
        after = rescued.to_pylist()
        found = _Rows([[] for _ in self._places], [None] * len(self._places), rescued)
        taken: list[list[int]] = [[] for _ in self._places]
        for at, (row, values) in enumerate(wanted.items()):
            keeps: list[tuple[str, str]] = []
            filled = False
            for key, raw in values:
                fits = [number for number in self._of_key.get(key.casefold(), ()) if valid[number][at]]
                for number in fits:
                    found.rows[number].append(row)
                    taken[number].append(at)
                filled = filled or bool(fits)
                keeps += _kept(key, raw, left[at], fits)
            if filled:
                self.filled_rows += 1
                after[row] = joined(keeps)
        found.values = [column.take(pa.array(at, pa.int64())) for column, at in zip(columns, taken, strict=True)]
        found.rescued = pa.array(after, pa.string())
        return found

    def _line(self, values: Sequence[tuple[str, str]]) -> str:
        """One row's values as a line of JSON, keys by the number of their place."""
        numbered = {f"c{number}": raw for key, raw in values for number in self._of_key.get(key.casefold(), ())}
        return joined(numbered.items()) or "{}"

    def _typed(self, lines: Sequence[str]) -> pa.Table:
        from datetime import UTC, datetime

        from autoloader import reader
        from autoloader.spec.quantities import parse_bad_rows

        path = self._workdir / "values.json"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")
        schema = TableSchema(tuple(Column(f"c{number}", place.type) for number, place in enumerate(self._places)))
        contract = reader.ReadContract(
            schema, "json", new_columns="rescue", on_bad_row="rescue", max_bad_rows=parse_bad_rows("100%")
        )
        lineage = reader.Lineage(0, "", "", datetime.fromtimestamp(0, UTC))
        file = reader.SourceFile(path, "values.json", lineage)
        with reader.open_reading(self._con, [file], contract, self._workdir) as reading:
            done = reading.run(lambda select: self._con.sql(select).to_arrow_table())
        if done.result is None or done.result.num_rows != len(lines):
            raise LakeError(f"values of {_RESCUED} cannot be read", why=str(done.files[0].error))
        table: pa.Table = done.result.sort_by("_src_row")
        return table


def _kept(key: str, raw: str, left: Mapping[str, str], fits: Sequence[int]) -> list[tuple[str, str]]:
    """What of a rescued value stays: all where it fits no place, else the parts that the type has no field for."""
    if not fits or any(f"c{number}" in left for number in fits):
        return [(key, raw)]
    inner = [(name, text) for number in fits for name, text in left.items() if name.startswith(f"c{number}.")]
    return [(key + name[name.index(".") :], text) for name, text in inner]


def _copy_filled(job: FillJob, values: _Values, source: Path, target: Path) -> tuple[int, set[int]] | None:
    """Copy a Parquet file with its rows' values in place; None where there is none to put."""
    import pyarrow.parquet as pq

    wanted = arrow_schema(job.main.schema_json)
    rows, ids = 0, set[int]()
    with pq.ParquetFile(source, memory_map=False) as file:
        schema = _schema_with(file.schema_arrow, wanted, {place.path[0] for place in job.places})
        source_id, rescued = (_number(wanted, name) for name in ("_src_file_id", _RESCUED))
        codec = file.metadata.row_group(0).column(0).compression.lower() if file.metadata.num_row_groups else "zstd"
        with pq.ParquetWriter(target, schema, compression=codec) as writer:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                columns = {field_id(field): batch.column(n) for n, field in enumerate(file.schema_arrow)}
                found = values.read(columns[rescued])
                table = _filled(columns, schema, wanted, job.places, found, batch.num_rows)
                writer.write_table(table)
                rows += batch.num_rows
                ids.update(v for v in pc.unique(columns[source_id]).to_pylist() if v is not None)
    if values.filled_rows == 0:
        target.unlink()
        return None
    return rows, ids


def _number(schema: pa.Schema, name: str) -> int | None:
    return field_id(schema.field(name))


def _schema_with(have: pa.Schema, wanted: pa.Schema, names: set[str]) -> pa.Schema:
    """A data file's schema with the columns of those names as the table has them now."""
    new = {field_id(wanted.field(name)): wanted.field(name) for name in names}
    fields = [new.pop(field_id(field), field) for field in have]
    # DuckDB says of a column without nulls that it cannot have one
    return pa.schema([field.with_nullable(True) for field in (*fields, *new.values())])


def _filled(
    columns: Mapping[int | None, pa.Array],
    schema: pa.Schema,
    wanted: pa.Schema,
    places: Sequence[Place],
    found: _Rows | None,
    rows: int,
) -> pa.Table:
    of_column: dict[int | None, list[int]] = {}
    for number, place in enumerate(places):
        of_column.setdefault(_number(wanted, place.path[0]), []).append(number)
    rescued = _number(wanted, _RESCUED)
    made = []
    for field in schema:
        own = field_id(field)
        old = columns.get(own)
        old = pa.nulls(rows, field.type) if old is None else old
        if own == rescued and found is not None:
            old = found.rescued
        elif own in of_column and found is not None:
            for number in of_column[own]:
                if found.rows[number]:
                    old = _put(old, field.type, places[number].path[1:], found.rows[number], found.values[number])
        made.append(_conformed(old, field.type))
    return pa.table(made, schema=schema)


def _put(old: pa.Array, kind: pa.DataType, inside: tuple[str, ...], rows: list[int], values: pa.Array) -> pa.Array:
    """A column with some rows' values, or fields inside of them, replaced."""
    if not inside and not pa.types.is_nested(kind):
        places = [None] * len(old)
        for at, row in enumerate(rows):
            places[row] = at  # type: ignore[call-overload]
        take = pa.array(places, pa.int64())
        storage = [_storage(cast(array, kind)) for array in (old, values)]
        chosen = pc.if_else(take.is_valid(), storage[1].take(take), storage[0])
        return pa.ExtensionArray.from_storage(kind, chosen) if isinstance(kind, pa.BaseExtensionType) else chosen
    listed = old.to_pylist()
    for row, value in zip(rows, values.to_pylist(), strict=True):
        listed[row] = _with_field(listed[row], inside, value)
    return pa.array(listed, kind)


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array


def _with_field(whole: Any, inside: tuple[str, ...], value: Any) -> Any:
    if not inside:
        return value
    known = dict(whole or {})
    return {**known, inside[0]: _with_field(known.get(inside[0]), inside[1:], value)}


def _conformed(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """An old column in the form that it has now: wider, or with fields that it had not."""
    if array.type == kind:
        return array
    return pa.array(array.to_pylist(), kind) if pa.types.is_nested(kind) else cast(array, kind)
