"""From pinned bytes to a raw relation, one file or several CSV files of one header, and what a failure means."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from autoloader.errors import ReadError
from autoloader.reader.columnar import avro_as_parquet, open_parquet, orc_as_parquet, parquet_schema, reads_together
from autoloader.reader.contract import ReadContract, SourceFile
from autoloader.reader.csvfile import Header, body, longest_line, open_csv, open_text, read_header, without_ragged
from autoloader.reader.exactly import without_losses
from autoloader.reader.joining import join
from autoloader.reader.jsonfile import begins_with_object, open_json
from autoloader.reader.plain import (
    as_utf8,
    check_utf8,
    decompressed,
    format_of_bytes,
    is_plain_utf8,
    with_one_line_end,
)
from autoloader.reader.raw import Raw

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
_TEXT_FORMATS: Final = ("csv", "json", "text")


class How(Enum):
    """The ways to open one file, from the quickest to the most patient."""

    PLAIN = "plain"
    LONG = "long"  # records longer than DuckDB's usual 2 MB
    CLEAN = "clean"  # a copy without the records that are no records, with one kind of line end


@dataclass(frozen=True, slots=True)
class Prepared:
    """One file, decompressed and in UTF-8 where it is text.

    Attributes:
        file: Who it is.
        path: Its plain bytes.
        header: Of a CSV file; None there: it has no record.
        alike: Files of equal ones can be read together; None: it must be read alone.
    """

    file: SourceFile
    path: Path
    header: Header | None = None
    alike: Hashable = None


def prepare(file: SourceFile, contract: ReadContract, workdir: Path) -> Prepared:
    """Make one file readable.

    Raises:
        ReadError: It is damaged, of another format, or not in its encoding.
    """
    form = contract.format
    if form == "csv" and is_plain_utf8(file.path, contract.dialect.encoding):
        return _with_header(file, file.path, contract, workdir)
    path = decompressed(file.path, workdir)
    if form in _TEXT_FORMATS:
        other = format_of_bytes(path)
        if other is not None and path.stat().st_size > 4:
            raise ReadError(
                f"The file is {other}, not {form}.",
                fix="Narrow source.include, or set source.format.",
            )
        path = as_utf8(path, contract.dialect.encoding, workdir)
    elif path.stat().st_size == 0:
        error = ReadError(f"The file is empty: zero bytes are no {form} file.", fix="Upload it again with its content.")
        error.quarantine = True
        raise error
    match form:
        case "csv":
            return _with_header(file, path, contract, workdir)
        case "avro":
            path = avro_as_parquet(path, workdir)
        case "orc":
            path = orc_as_parquet(path, workdir)
        case "json":
            return Prepared(file, path, alike="lines" if begins_with_object(path) else None)
        case "text":
            return Prepared(file, path, alike="text")
    schema = parquet_schema(path)
    exact = without_losses(path, schema, workdir)
    if exact != path:
        path, schema = exact, parquet_schema(exact)
    return Prepared(file, path, alike=schema if reads_together(schema) else None)


def _with_header(file: SourceFile, path: Path, contract: ReadContract, workdir: Path) -> Prepared:
    header = read_header(path, contract.dialect)
    if header is None:
        return Prepared(file, path)
    path, header = body(path, header, contract.dialect, workdir)
    return Prepared(file, path, header, header)


def open_one(
    con: duckdb.DuckDBPyConnection, prepared: Prepared, contract: ReadContract, how: How, workdir: Path
) -> Raw:
    """The raw relation of one prepared file.

    Raises:
        ReadError: The bytes are not what the contract says.
        duckdb.Error: A structural fault that another way may get round.
    """
    path = prepared.path
    if how is How.CLEAN and contract.format in ("json", "text"):
        path = with_one_line_end(path, workdir)
    longest = longest_line(path) if how is not How.PLAIN else None
    match contract.format:
        case "csv":
            return _open_csv(con, prepared, contract, how, workdir)
        case "json":
            return open_json(con, path, contract.schema, longest_line=longest)
        case "text":
            return open_text([path], longest_line=longest)
        case _:
            return open_parquet(con, [path])


def _open_csv(
    con: duckdb.DuckDBPyConnection, prepared: Prepared, contract: ReadContract, how: How, workdir: Path
) -> Raw:
    del con
    header, path, dialect = prepared.header, prepared.path, contract.dialect
    if header is None:
        return Raw("SELECT 0 AS __row, 0 AS __file WHERE false", ())
    if how is not How.CLEAN:
        longest = longest_line(path) if how is How.LONG else None
        return open_csv([path], header, dialect, longest_line=longest)
    workdir.mkdir(exist_ok=True)
    copy = workdir / f"{path.name}.clean"
    rejects = without_ragged(path, header, dialect, copy)
    raw = open_csv([copy], header, dialect, longest_line=longest_line(copy), with_ordinals=True)
    return Raw(raw.relation, raw.columns, rejects=rejects)


def open_many(
    con: duckdb.DuckDBPyConnection, prepared: Sequence[Prepared], contract: ReadContract, workdir: Path
) -> Raw:
    """The raw relation of several files that are alike; `__file` is the index in `prepared`. Not of JSON."""
    header = prepared[0].header
    paths = [p.path for p in prepared]
    if contract.format == "text":
        return open_text(paths)
    if contract.format != "csv":
        return open_parquet(con, paths)
    if header is None:
        raise ValueError("files without records are not opened together")
    joined = join(paths, header.lines, len(header.names), contract.dialect, workdir)
    if joined is not None:
        return open_csv([joined.path], Header(header.names, 0), contract.dialect, mark=joined.mark)
    return open_csv(paths, header, contract.dialect)


def attempt(
    con: duckdb.DuckDBPyConnection,
    prepared: Prepared,
    contract: ReadContract,
    workdir: Path,
    use: Callable[[Raw], T],
) -> T:
    """Open one file and use it, patiently where the quick way meets a structural fault.

    Raises:
        ReadError: The file cannot be read in any way.
    """
    import duckdb

    ways = list(How) if contract.format in _TEXT_FORMATS else [How.PLAIN]
    how = How.PLAIN
    while True:
        try:
            return use(open_one(con, prepared, contract, how, workdir))
        except (duckdb.DataError, duckdb.InvalidInputException, duckdb.IOException) as error:
            if isinstance(error, duckdb.IOException) and contract.format in _TEXT_FORMATS:
                raise
            how = _next_way(error, how, ways, prepared.path)


def _next_way(error: Exception, how: How, ways: Sequence[How], path: Path) -> How:
    text = str(error).lower()
    if "unicode" in text or "utf-8" in text or "utf8" in text:
        check_utf8(path)
    if "maximum line size" in text and how is How.PLAIN and How.LONG in ways:
        return How.LONG
    if how is not How.CLEAN and How.CLEAN in ways and "csv" in text:
        return How.CLEAN
    raise ReadError(
        "The file cannot be read.",
        why=str(error).partition("\n\n")[0].replace(str(path), path.name)[:600],
        fix="Check it against source.format and source.options, or upload it again.",
    ) from error
