"""CSV and text files as raw columns: by header name, all as text, the dialect given, never sniffed here."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from autoloader.errors import ReadError
from autoloader.reader.contract import Dialect
from autoloader.reader.duck import literal
from autoloader.reader.plain import check_utf8
from autoloader.reader.raw import Raw, RawColumn, check_names
from autoloader.schema import Primitive

_TEXT: Final = Primitive("string")
_NO_DELIMITER: Final = "\x01"
_LONGEST_LINE: Final = 1 << 28
PRE_REJECTS: Final = pa.schema(
    [("__file", pa.int32()), ("row", pa.int64()), ("raw", pa.string()), ("error", pa.string())]
)


@dataclass(frozen=True, slots=True)
class Header:
    """Names of a CSV file's columns, and where its records begin.

    Attributes:
        names: In the order of the file.
        lines: Physical lines before the first record.
        gone: Lines that the file had before those and that a copy has not; for messages only.
    """

    names: tuple[str, ...]
    lines: int
    gone: int = field(default=0, compare=False)


def read_header(path: Path, dialect: Dialect) -> Header | None:
    """The header of a plain UTF-8 file; None: the file has no record at all.

    Without a header line the names are `column0`, `column1`, …, as many as the first record has fields; so is a
    column called whose name is empty.

    Raises:
        ReadError: The header is not UTF-8, has no end, or a name twice.
    """
    with path.open("r", encoding="utf-8-sig", newline="") as file:
        try:
            skipped = list(itertools.islice(file, dialect.skip_rows))
            lines = _counted(file, dialect.comment)
            reader = _csv_reader(lines, dialect)
            names = next((record for record in reader if record), None)
        except UnicodeDecodeError as error:
            check_utf8(path)
            raise _bad_header("it is not UTF-8") from error
        except csv.Error as error:
            raise _bad_header(str(error)) from error
    if names is None:
        return None
    if not dialect.header:
        return Header(tuple(f"column{i}" for i in range(len(names))), len(skipped))
    if any("\x00" in n for n in names):
        raise _bad_header("it holds a zero byte: this is no text file")
    names = [n.strip() or f"column{i}" for i, n in enumerate(names)]
    check_names(names)
    return Header(tuple(names), len(skipped) + lines.count)


def _bad_header(why: str) -> ReadError:
    return ReadError(
        "The header line cannot be read.",
        why=f"{why[:1].upper()}{why[1:]}.",
        fix="Check source.options (delimiter, quote, encoding, header) against the file.",
    )


def body(path: Path, header: Header, dialect: Dialect, workdir: Path) -> tuple[Path, Header]:
    """The file and header as DuckDB can be told of them.

    DuckDB counts the lines that it skips in a way of its own when there are comments, blank lines or line
    breaks in quotes, and takes comments out of the middle of lines. So of such files a copy of the records
    alone is made in `workdir`.
    """
    if header.lines <= 1 and not dialect.comment and not dialect.skip_rows:
        return path, header
    workdir.mkdir(exist_ok=True)
    target = workdir / f"{path.name}.body"
    with (
        path.open("r", encoding="utf-8-sig", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as sink,
    ):
        try:
            lines = itertools.islice(source, header.lines, None)
            sink.writelines(_outside_comments(lines, dialect) if dialect.comment else lines)
        except UnicodeDecodeError:
            check_utf8(path)
            raise
    return target, Header(header.names, 0, header.lines)


def _outside_comments(lines: Iterator[str], dialect: Dialect) -> Iterator[str]:
    quoted = False
    escapes = dialect.escape not in ("", dialect.quote)
    escaped = re.compile(re.escape(dialect.escape) + ".", re.DOTALL)
    for line in lines:
        if quoted or not line.startswith(dialect.comment):
            plain = escaped.sub("", line) if escapes else line
            quoted ^= bool(dialect.quote) and plain.count(dialect.quote) % 2 == 1
            yield line


class _counted:  # noqa: N801 - an iterator, used like a function
    """Lines of a file without comments, counting every physical line."""

    def __init__(self, lines: Iterator[str], comment: str) -> None:
        self._lines = iter(lines)
        self._comment = comment
        self.count = 0
        self.taken: list[str] = []

    def __iter__(self) -> _counted:
        return self

    def __next__(self) -> str:
        while True:
            line = next(self._lines)
            self.count += 1
            if not (self._comment and line.startswith(self._comment)):
                self.taken.append(line)
                return line


def _csv_reader(lines: Iterator[str], dialect: Dialect) -> Any:
    csv.field_size_limit(_LONGEST_LINE)
    quote = dialect.quote
    doubled = not dialect.escape or dialect.escape == quote
    return csv.reader(
        lines,
        delimiter=dialect.delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        doublequote=doubled,
        escapechar=None if doubled else dialect.escape,
        strict=True,
    )


def open_csv(
    paths: Sequence[Path],
    header: Header,
    dialect: Dialect,
    *,
    longest_line: int | None = None,
    with_ordinals: bool = False,
    tolerant: bool = False,
    mark: str = "",
) -> Raw:
    """Files of one header as one relation. Structural faults raise in DuckDB when it is read.

    Args:
        paths: Plain UTF-8 files.
        header: Theirs.
        dialect: Theirs.
        longest_line: What DuckDB must be able to hold; None: its default, 2 MB.
        tolerant: Leave out records that are no records, silently; for looking only.
        with_ordinals: The file is a copy of `without_ragged`, with the ordinals as its first column.
        mark: The one file is several, see `joining`; the marks are in the relation, with `__row` -1.
    """
    listed_columns = ["'__row': 'BIGINT'"] if with_ordinals else []
    listed_columns += [f"'c{i}': 'VARCHAR'" for i in range(len(header.names))]
    columns = ", ".join(listed_columns)
    nulls = ", ".join(literal(n) for n in dialect.null_values) or "'\x02'"
    options = [
        f"columns={{{columns}}}",
        "header=false",
        f"skip={0 if with_ordinals else header.lines}",
        "auto_detect=false",
        f"delim={literal(dialect.delimiter)}",
        f"quote={literal(dialect.quote)}",
        f"escape={literal(dialect.escape or dialect.quote)}",
        f"nullstr=[{nulls}]",
        "allow_quoted_nulls=false",
        "comment=''",
        "strict_mode=true",
    ]
    if with_ordinals:
        options.append(r"new_line='\n'")  # else the first break of any kind decides, also one inside of quotes
    if tolerant:
        options.append("ignore_errors=true")
    if longest_line is not None:
        options.append(f"max_line_size={longest_line}")
    listed = ", ".join(literal(str(p)) for p in paths)
    names = ", ".join(f"c{i}" for i in range(len(header.names)))
    scan = f"read_csv([{listed}], {', '.join(options)})"
    relation = f"SELECT {names}, __row, CAST(0 AS INTEGER) AS __file FROM {scan}"
    if mark:
        relation = _between_marks(f"SELECT {names} FROM {scan}", mark)
    elif not with_ordinals:
        relation = numbered(f"SELECT {names}, {{file}} FROM {scan}", len(paths))
    return Raw(
        relation=relation,
        columns=tuple(RawColumn(n, f"c{i}", "text", _TEXT) for i, n in enumerate(header.names)),
        mark=mark,
    )


def numbered(select: str, files: int) -> str:
    """`select` with `{file}` filled in, and the ordinal of each row: of its file where there is one file."""
    file = "CAST(0 AS INTEGER) AS __file" if files == 1 else "CAST(file_index AS INTEGER) AS __file"
    return f"SELECT *, row_number() OVER () - 1 AS __row FROM ({select.replace('{file}', file)})"


def _between_marks(select: str, mark: str) -> str:
    is_mark = f"coalesce(starts_with(c0, {literal(mark)}), false)"
    so_far = "OVER (ROWS UNBOUNDED PRECEDING)"
    return (
        "SELECT * EXCLUDE (n, is_mark), n - coalesce(max(CASE WHEN is_mark THEN n + 1 END)"
        f" {so_far}, 0) AS __row, CAST(count(*) FILTER (is_mark) {so_far} AS INTEGER) AS __file"
        f" FROM (SELECT *, row_number() OVER () - 1 AS n, {is_mark} AS is_mark FROM ({select}))"
    )


def open_lines(paths: Sequence[Path], *, longest_line: int | None = None) -> str:
    """A relation of `line` (never null), `__row` and `__file`: the lines that are not blank."""
    listed = ", ".join(literal(str(p)) for p in paths)
    extra = f", max_line_size={longest_line}" if longest_line is not None else ""
    scan = (
        f"read_csv([{listed}], columns={{'line': 'VARCHAR'}}, header=false, auto_detect=false,"
        f" delim='{_NO_DELIMITER}', quote='', escape='', comment='', strict_mode=true{extra})"
    )
    return numbered(f"SELECT line, {{file}} FROM {scan} WHERE line IS NOT NULL", len(paths))


def longest_line(path: Path) -> int:
    """An upper bound of the bytes of the longest record that DuckDB must be able to hold."""
    return min(max(path.stat().st_size + 1024, 1 << 22), _LONGEST_LINE)


def open_text(paths: Sequence[Path], *, longest_line: int | None = None) -> Raw:
    """One column `value`, one row per line; blank lines are empty strings."""
    listed = ", ".join(literal(str(p)) for p in paths)
    extra = f", max_line_size={longest_line}" if longest_line is not None else ""
    scan = (
        f"read_csv([{listed}], columns={{'c0': 'VARCHAR'}}, header=false, auto_detect=false,"
        f" delim='{_NO_DELIMITER}', quote='', escape='', comment='', strict_mode=true{extra})"
    )
    return Raw(
        relation=numbered(f"SELECT coalesce(c0, '') AS c0, {{file}} FROM {scan}", len(paths)),
        columns=(RawColumn("value", "c0", "text", _TEXT),),
    )


def is_plainly_quoted(path: Path, dialect: Dialect) -> bool:
    """Whether every quote of a file opens or closes a field, or is doubled, and all are closed.

    A file of which this is not true may still be good. But where DuckDB reads many files at once it drops,
    without a word, the end of a file in which a quote is never closed: such files must be read alone.
    """
    if not dialect.quote:
        return True
    content = path.read_bytes()
    quote = dialect.quote.encode()
    if quote not in content:
        return True
    if dialect.escape not in ("", dialect.quote):
        content = content.replace(dialect.escape.encode() + quote, b"")
    pieces = content.split(quote)
    if len(pieces) % 2 == 0:
        return False
    borders = frozenset(dialect.delimiter.encode() + b"\n\r")
    outside = pieces[::2]
    return all(not p or p[-1] in borders for p in outside[:-1]) and all(not p or p[0] in borders for p in outside[1:])


def without_ragged(path: Path, header: Header, dialect: Dialect, target: Path) -> pa.Table:
    """Write a copy of a file's good records, each with its ordinal in front; give the others as rejects.

    The slow way, record by record, for files in which DuckDB has met a structural fault.

    Returns:
        `PRE_REJECTS`, sorted by row.

    Raises:
        ReadError: A quote is never closed, or the file is not UTF-8.
    """
    width = len(header.names)
    rejects: list[tuple[int, int, str, str]] = []
    with (
        path.open("r", encoding="utf-8-sig", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as sink,
    ):
        for _ in range(header.lines):
            next(source, None)
        for row, (fields, raw, error) in enumerate(_records(source, header, dialect)):
            text = raw.rstrip("\r\n")
            if not error and len(fields) != width and not _ends_emptily(fields, text, width, dialect.delimiter):
                word = "field" if len(fields) == 1 else "fields"
                error = f"has {len(fields)} {word}, the header has {width}"
            if error:
                rejects.append((0, row, text, error))
            else:
                sink.write(f"{row}{dialect.delimiter}{text}\n")
    columns = [pa.array([r[i] for r in rejects], f.type) for i, f in enumerate(PRE_REJECTS)]
    return pa.Table.from_arrays(columns, schema=PRE_REJECTS)


def _ends_emptily(fields: Sequence[str], text: str, width: int, delimiter: str) -> bool:
    """Whether a record has nothing but delimiters after its last column: DuckDB takes that for no fields."""
    more = len(fields) - width
    return more > 0 and not any(fields[width:]) and text.endswith(delimiter * more)


def _records(source: io.TextIOBase, header: Header, dialect: Dialect) -> Iterator[tuple[list[str], str, str]]:
    lines = _counted(source, "")
    reader = _csv_reader(lines, dialect)
    while True:
        lines.taken.clear()
        first = header.gone + header.lines + lines.count + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise ReadError(
                    f"A quote that opens in line {first} is never closed.",
                    fix="Upload the whole file again, or check source.options.quote.",
                ) from error
            yield [], "".join(lines.taken), str(error)
            continue
        except UnicodeDecodeError as error:
            raise ReadError(f"A byte after line {first} is not UTF-8.", why=str(error)) from error
        if fields or len(header.names) == 1:
            yield fields or [""], "".join(lines.taken), ""
