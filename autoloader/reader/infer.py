"""What files look like, from a sample: format, dialect, columns and types. Done once, then pinned.

Types are the narrowest that hold every value of the sample without losing a digit; what looks like a number but
is a code (a leading zero) stays a string.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from autoloader.errors import ReadError
from autoloader.reader.columnar import avro_as_parquet, open_parquet, orc_as_parquet, parquet_schema
from autoloader.reader.contract import Dialect, Format
from autoloader.reader.csvfile import Header, body, open_csv, read_header, without_ragged
from autoloader.reader.duck import connect, from_duck
from autoloader.reader.exactly import wide_columns
from autoloader.reader.jsonfile import sample_lines
from autoloader.reader.plain import as_utf8, decompressed, first_bytes, format_of_bytes, with_one_line_end
from autoloader.reader.shapes import SAMPLE_ROWS, UNKNOWN, join, known, of_json, of_texts, seen_only
from autoloader.reader.sniff import sniff
from autoloader.schema import Column, Primitive, TableSchema, Type, parse_type
from autoloader.spec.columns import is_reserved
from autoloader.spec.source import CsvOptions

if TYPE_CHECKING:
    import duckdb

_TEXT: Final = Primitive("string")


@dataclass(frozen=True, slots=True)
class Inferred:
    """What a sample of files looks like.

    Attributes:
        schema: Its columns, in the order in which they were first met; folder columns last.
        seen: Those of them that have a value somewhere, without the fields that have none.
        dialect: How its text files are written; the defaults where it has none.
        format: Its format.
        files: How many of the files could be read.
        notes: Sentences for people: how much was looked at, what could not be.
    """

    schema: TableSchema
    seen: TableSchema
    dialect: Dialect
    format: Format
    files: int
    notes: tuple[str, ...] = ()


def infer(
    samples: Sequence[tuple[Path, str]],
    format: str | None,  # noqa: A002 - the word of the spec
    options: CsvOptions | None = None,
    *,
    partitions: Mapping[str, str] | None = None,
    sample_rows: int = SAMPLE_ROWS,
) -> Inferred:
    """Look into sample files.

    Args:
        samples: (local path with a safe name, key) of each; at least one.
        format: The format; None: by the first file's bytes.
        options: What the spec says of the dialect; what it leaves open is resolved here.
        partitions: Type, as text, of each `key=value` folder that is a column.
        sample_rows: First rows of each text file that are looked at.

    Raises:
        ReadError: No file of the sample can be read; the first one's reason.
    """
    options = options or CsvOptions()
    with tempfile.TemporaryDirectory(prefix="infer-") as folder:
        workdir = Path(folder)
        con = connect(threads=1, memory_limit="1GB", temp_directory=workdir)
        try:
            look = _Look(con, workdir, options, sample_rows)
            return look.all(samples, format, partitions or {})
        finally:
            con.close()


class _Look:
    """One inference: a connection, a folder for copies, and the dialect once it is known."""

    def __init__(self, con: duckdb.DuckDBPyConnection, workdir: Path, options: CsvOptions, sample_rows: int) -> None:
        self.con = con
        self.workdir = workdir
        self.options = options
        self.sample_rows = sample_rows
        self.dialect: Dialect | None = None

    def all(self, samples: Sequence[tuple[Path, str]], form: str | None, partitions: Mapping[str, str]) -> Inferred:
        shapes: dict[str, Column] = {}
        notes: list[str] = []
        errors: list[ReadError] = []
        for number, (path, key) in enumerate(samples):
            try:
                plain = self.plain(path, number)
                form = form or format_by_bytes(plain)
                found = self.one(plain, form, number)
            except ReadError as error:
                errors.append(error)
                notes.append(f"{key} was left out of the sample: {error.what}")
                continue
            _join_into(shapes, found)
        if errors and len(errors) == len(samples):
            raise errors[0]
        filled = [replace(c, type=kind) for c in shapes.values() if (kind := seen_only(c.type)) is not None]
        seen = [_usable(c, []) for c in filled]
        columns = [_usable(c, notes) for c in shapes.values()]
        return Inferred(
            TableSchema(tuple(_with_partitions(columns, partitions))),
            TableSchema(tuple(_with_partitions(seen, partitions))),
            self.dialect or dialect_of(self.options),
            _format(form or "csv"),
            len(samples) - len(errors),
            tuple(notes),
        )

    def plain(self, path: Path, number: int) -> Path:
        folder = self.workdir / str(number)
        folder.mkdir()
        plain = decompressed(path, folder)
        if format_of_bytes(plain) is None:
            plain = as_utf8(plain, self.options.encoding, folder)
        return plain

    def one(self, path: Path, form: str, number: int) -> list[Column]:
        import duckdb

        folder = self.workdir / str(number)
        if path.stat().st_size == 0:
            if form in ("csv", "json", "text"):
                return []
            raise ReadError(f"The file is empty: zero bytes are no {form} file.")
        try:
            match form:
                case "csv":
                    return self.csv(path)
                case "json":
                    return of_json(self.json_lines(path, folder))
                case "text":
                    return [Column("value", Primitive("string"))]
                case "avro":
                    path = avro_as_parquet(path, folder)
                case "orc":
                    path = orc_as_parquet(path, folder)
            return self.typed(path)
        except duckdb.Error as error:
            raise ReadError("The file cannot be read.", why=str(error).partition("\n\n")[0][:600]) from error

    def csv(self, path: Path) -> list[Column]:
        if self.dialect is None:
            self.dialect = sniff(path, self.options)
        header = read_header(path, self.dialect)
        if header is None:
            return []
        path, header = body(path, header, self.dialect, self.workdir / f"body-{path.parent.name}-{path.name}")
        types = self.csv_types(path, header)
        return [Column(n, t) for n, t in zip(header.names, types, strict=True)]

    def csv_types(self, path: Path, header: Header) -> list[Type]:
        import duckdb

        dialect = self.dialect or Dialect()
        try:
            return of_texts(self.con, open_csv([path], header, dialect, tolerant=True), self.sample_rows)
        except duckdb.InvalidInputException:  # no leave to ignore errors helps against mixed line ends
            copy = self.workdir / f"{path.name}.clean"
            without_ragged(path, header, dialect, copy)
            raw = open_csv([copy], header, dialect, with_ordinals=True, tolerant=True)
            return of_texts(self.con, raw, self.sample_rows)

    def json_lines(self, path: Path, folder: Path) -> list[str]:
        import duckdb

        try:
            return sample_lines(self.con, path, self.sample_rows)
        except duckdb.InvalidInputException:
            return sample_lines(self.con, with_one_line_end(path, folder), self.sample_rows)

    def typed(self, path: Path) -> list[Column]:
        wide = wide_columns(path, parquet_schema(path))
        columns = open_parquet(self.con, [path]).columns
        return [Column(c.name, _TEXT if c.name in wide else from_duck(c.duck, UNKNOWN)) for c in columns]


def format_by_bytes(path: Path) -> Format:
    """The format of a plain file that nobody has named: by magic bytes, else JSON or CSV by its first sign."""
    known_format = format_of_bytes(path)
    if known_format is not None:
        return _format(known_format)
    head = first_bytes(path, 4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    return "json" if head[:1] in (b"{", b"[") else "csv"


def _format(text: str) -> Format:
    found: Format = next(f for f in get_args(Format) if f == text)
    return found


def dialect_of(options: CsvOptions) -> Dialect:
    """The dialect that options name, defaults for what they leave open."""
    quote = options.quote if options.quote is not None else '"'
    return Dialect(
        delimiter=options.delimiter or ",",
        quote=quote,
        escape=options.escape if options.escape is not None else quote,
        header=options.header if options.header is not None else True,
        encoding=options.encoding,
        null_values=tuple(options.null_values),
        comment=options.comment or "",
        skip_rows=options.skip_rows,
    )


def _join_into(shapes: dict[str, Column], found: Iterable[Column]) -> None:
    for column in found:
        folded = column.name.casefold()
        seen = shapes.get(folded)
        shapes[folded] = column if seen is None else replace(seen, type=join(seen.type, column.type))


def _usable(column: Column, notes: list[str]) -> Column:
    kind = known(column.type)
    if not is_reserved(column.name):
        return Column(column.name, kind)
    name = "file" + column.name if column.name.startswith("_") else "file_" + column.name
    notes.append(f"Column {column.name} of the files is called {name}: lineage keeps the name for itself.")
    return Column(name, kind, source=column.name)


def _with_partitions(columns: Sequence[Column], partitions: Mapping[str, str]) -> list[Column]:
    types = {n.casefold(): parse_type(t) for n, t in partitions.items()}
    kept = [replace(c, type=types.get(c.name.casefold(), c.type)) for c in columns]
    there = {c.name.casefold() for c in columns}
    return kept + [Column(n, types[n.casefold()]) for n in partitions if n.casefold() not in there]
