"""The dialect of a CSV file, from its first lines. A rule, not a guess with a score that nobody can follow.

Delimiter: of `,` tab `;` `|` the one that splits the first records into the same number of fields, more than
one; the most fields win, the order above breaks ties. Header: the first record, unless one of its fields is a
number, a date, a boolean or empty, or stands twice.
"""

from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path
from typing import Final

from autoloader.errors import ReadError
from autoloader.reader.contract import Dialect
from autoloader.reader.plain import check_utf8
from autoloader.spec.source import CsvOptions

_DELIMITERS: Final = (",", "\t", ";", "|")
_RECORDS: Final = 100
_LINES: Final = 400
_VALUE: Final = re.compile(
    r"[+-]?(?:\d+[.]?\d*|[.]\d+)(?:[eE][+-]?\d+)?|\d{4}-\d{1,2}-\d{1,2}(?:[T ].*)?|(?i:true|false|null|nan)|"
)


def sniff(path: Path, options: CsvOptions) -> Dialect:
    """The dialect of a plain UTF-8 file; what the options name is taken from them.

    Raises:
        ReadError: The file is not UTF-8.
    """
    lines = _first_lines(path, options)
    quote = options.quote if options.quote is not None else '"'
    escape = options.escape
    if escape is None:
        backslashed = quote and any("\\" + quote in line for line in lines)
        doubled = quote and any(quote * 2 in line.replace(quote * 3, "") for line in lines)
        escape = "\\" if backslashed and not doubled else quote
    delimiter = options.delimiter or _delimiter(lines, quote, escape)
    header = options.header
    if header is None:
        header = _has_header(_records(lines, delimiter, quote, escape))
    return Dialect(
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        header=header,
        encoding=options.encoding,
        null_values=tuple(options.null_values),
        comment=options.comment or "",
        skip_rows=options.skip_rows,
    )


def _first_lines(path: Path, options: CsvOptions) -> list[str]:
    try:
        with path.open("r", encoding="utf-8-sig", newline="") as file:
            found = list(itertools.islice(file, options.skip_rows, options.skip_rows + _LINES))
    except UnicodeDecodeError as error:
        check_utf8(path)
        raise ReadError("The file is not UTF-8.", why=str(error)) from error
    comment = options.comment
    return [line for line in found if not (comment and line.startswith(comment))]


def _delimiter(lines: list[str], quote: str, escape: str) -> str:
    best, most = ",", 1
    for candidate in _DELIMITERS:
        widths = [len(r) for r in _records(lines, candidate, quote, escape)]
        if widths and len(set(widths)) == 1 and widths[0] > most:
            best, most = candidate, widths[0]
    if most > 1:
        return best
    first = lines[0] if lines else ""
    return max(_DELIMITERS, key=lambda d: (first.count(d), -_DELIMITERS.index(d)))


def _records(lines: list[str], delimiter: str, quote: str, escape: str) -> list[list[str]]:
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        doublequote=escape in ("", quote),
        escapechar=None if escape in ("", quote) else escape,
    )
    found: list[list[str]] = []
    try:
        for record in reader:
            if record:
                found.append(record)
            if len(found) == _RECORDS:
                break
    except csv.Error:
        pass
    if len(lines) == _LINES and len(found) > 1:
        found.pop()  # may be cut
    return found


def _has_header(records: list[list[str]]) -> bool:
    if not records:
        return True
    names = [n.strip() for n in records[0]]
    if len({n.casefold() for n in names}) < len(names):
        duplicates = len(names) - len({n.casefold() for n in names})
        return duplicates < len(names) / 2 and not any(_VALUE.fullmatch(n) for n in names)
    if len(names) > 1 and sum(1 for n in names if not n) == 1 and not names[0]:
        names = names[1:]  # the nameless index column that pandas writes
    return not any(_VALUE.fullmatch(n) for n in names)
