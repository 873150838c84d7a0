"""Parquet, Avro and ORC files as raw columns: the file's own schema, columns by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import ReadError
from autoloader.reader.duck import from_duck, literal, name
from autoloader.reader.plain import first_bytes
from autoloader.reader.raw import Raw, RawColumn, check_names

if TYPE_CHECKING:
    import duckdb

_BATCH: Final = 16_384


def open_parquet(con: duckdb.DuckDBPyConnection, path: Path) -> Raw:
    """One Parquet file.

    Raises:
        ReadError: The file is empty, cut, encrypted or no Parquet; or two columns have the same name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_magic(path)
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError) as error:
        raise ReadError("The Parquet footer cannot be read.", why=str(error)) from error
    check_names(names)
    scan = f"read_parquet({literal(str(path))}, hive_partitioning=false, filename=false)"
    row = "row_number() OVER () - 1"
    if not any(n.casefold() == "file_row_number" for n in names):
        scan = scan[:-1] + ", file_row_number=true)"
        row = "file_row_number"
    found = con.execute(f"SELECT * FROM {scan} LIMIT 0").description or []
    kinds = [d[1] for d in found][: len(names)]
    aliased = ", ".join(f"{name(n)} AS c{i}" for i, n in enumerate(names))
    aliased += ", " if aliased else ""
    return Raw(
        relation=f"SELECT {aliased}{row} AS __row, CAST(0 AS INTEGER) AS __file FROM {scan}",
        columns=tuple(
            RawColumn(n, f"c{i}", "typed", from_duck(k), k) for i, (n, k) in enumerate(zip(names, kinds, strict=True))
        ),
    )


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
    import fastavro
    import pyarrow as pa

    from autoloader.reader.avro import arrow_schema

    workdir.mkdir(exist_ok=True)
    target = workdir / f"{path.name}.parquet"
    try:
        with path.open("rb") as file:
            reader = fastavro.reader(file)
            schema = arrow_schema(reader.writer_schema)
            _write(target, schema, _batches(reader, schema))
    except (ValueError, EOFError, StopIteration, TypeError, KeyError, IndexError, pa.ArrowException) as error:
        raise _unreadable("Avro", error) from error
    return target


def _batches(records: Any, schema: Any) -> Any:
    import pyarrow as pa

    waiting: list[Any] = []
    for record in records:
        waiting.append(record)
        if len(waiting) == _BATCH:
            yield pa.RecordBatch.from_pylist(waiting, schema)
            waiting.clear()
    if waiting:
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
