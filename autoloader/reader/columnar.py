"""Parquet, Avro and ORC files as raw columns: the file's own schema, columns by name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import ReadError
from autoloader.reader.duck import from_duck, literal, name
from autoloader.reader.plain import first_bytes
from autoloader.reader.raw import Raw, RawColumn, check_names

if TYPE_CHECKING:
    import duckdb

_BATCH: Final = 16_384


def parquet_schema(path: Path) -> str:
    """The physical and logical schema of a Parquet file as text; files of the same text are read together.

    Raises:
        ReadError: The file is empty, cut, encrypted or no Parquet; or two columns have the same name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_magic(path)
    try:
        with pq.ParquetFile(path) as file:
            schema, text = file.schema_arrow, str(file.schema)
    except (pa.ArrowException, OSError) as error:
        raise ReadError("The Parquet footer cannot be read.", why=str(error)) from error
    _check_fields(list(schema))
    return text.partition("\n")[2]  # the first line is an address


def _check_fields(fields: Sequence[Any]) -> None:
    """Raises ReadError where columns, or fields of a struct at any depth, have one name twice or none."""
    names = [f.name for f in fields]
    if "" in names:
        raise ReadError("A column or field of the file has no name.", fix="Give it one in the file.")
    check_names(names)
    for field in fields:
        _check_fields([field.type.field(i) for i in range(field.type.num_fields)])


def open_parquet(con: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> Raw:
    """Parquet files of one schema; `__file` is the index in `paths`."""
    import pyarrow.parquet as pq

    names = pq.read_schema(paths[0]).names
    listed = ", ".join(literal(str(p)) for p in paths)
    scan = f"read_parquet([{listed}], hive_partitioning=false, filename=false)"
    taken = {n.casefold() for n in names}
    row = "row_number() OVER () - 1"
    if "file_row_number" not in taken:
        scan = scan[:-1] + ", file_row_number=true)"
        row = "file_row_number"
    file = "0" if len(paths) == 1 else "file_index"
    found = con.execute(f"SELECT * FROM {scan} LIMIT 0").description or []
    kinds = [d[1] for d in found][: len(names)]
    columns = [f"{name(n)} AS c{i}" for i, n in enumerate(names)]
    columns += [f"{row} AS __row", f"CAST({file} AS INTEGER) AS __file"]
    return Raw(
        relation=f"SELECT {', '.join(columns)} FROM {scan}",
        columns=tuple(
            RawColumn(n, f"c{i}", "typed", from_duck(k), k) for i, (n, k) in enumerate(zip(names, kinds, strict=True))
        ),
    )


def reads_together(schema: str) -> bool:
    """Whether files of a schema can be told apart when they are read together."""
    return not any(f" {word}" in schema.lower() for word in ("file_row_number", "file_index"))


def _check_magic(path: Path) -> None:
    head = first_bytes(path, 4)
    size = path.stat().st_size
    if size == 0:
        raise ReadError("The file is empty: zero bytes are no Parquet file.", fix="Upload it again.")
    if head == b"PARE":
        raise ReadError("The Parquet file is encrypted.", fix="Decrypt it before it is loaded.")
    if head != b"PAR1":
        raise ReadError(
            "The file is no Parquet.",
            why=f"It begins with {first_bytes(path, 20)!r}.",
            fix="Check source.format, or narrow source.include.",
        )
    with path.open("rb") as file:
        file.seek(max(0, size - 4))
        if file.read(4) != b"PAR1" or size < 12:
            raise ReadError("The Parquet file is cut: its footer is missing.", fix="Upload it again.")


def avro_as_parquet(path: Path, workdir: Path) -> Path:
    """A Parquet copy of an Avro file.

    Raises:
        ReadError: The file is no Avro or ends early.
    """
    import pyarrow as pa

    from autoloader.reader.avro import record_form
    from autoloader.reader.avrofile import AvroFile

    workdir.mkdir(exist_ok=True)
    target = workdir / f"{path.name}.parquet"
    try:
        with path.open("rb") as file:
            opened = AvroFile(file)
            form = record_form(opened.schema)
            records = map(form.convert, opened.records()) if form.convert else opened.records()
            _write(target, pa.schema(list(form.type)), _batches(records, pa.schema(list(form.type))))
    except ReadError:
        raise
    except Exception as error:  # damaged bytes make every kind of trouble in a decoder
        raise _unreadable("Avro", error) from error
    return target


def _batches(records: Any, schema: Any) -> Any:
    import pyarrow as pa

    while waiting := list(itertools.islice(records, _BATCH)):
        yield pa.RecordBatch.from_pylist(waiting, schema)


def orc_as_parquet(path: Path, workdir: Path) -> Path:
    """A Parquet copy of an ORC file.

    Raises:
        ReadError: The file is no ORC or is cut.
    """
    import pyarrow as pa
    from pyarrow import orc

    workdir.mkdir(exist_ok=True)
    target = workdir / f"{path.name}.parquet"
    try:
        file = orc.ORCFile(path)
        stripes = (file.read_stripe(i) for i in range(file.nstripes))
        _write(target, file.schema, stripes)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable("ORC", error) from error
    return target


def _write(target: Path, schema: Any, batches: Any) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(target, schema, compression="lz4") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _unreadable(form: str, error: BaseException) -> ReadError:
    return ReadError(
        f"The file cannot be read as {form}.",
        why=f"{type(error).__name__}: {error}",
        fix="Check source.format, or upload the file again.",
    )
