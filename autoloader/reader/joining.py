"""Many small CSV files of one header as one file: DuckDB takes longer to open a small file than to parse it.

After each file comes a mark, a record of ours. A quote that is left open in one file would swallow the mark,
so that the files are good only if every mark is found again, in its order; else they are read one by one.
"""

from __future__ import annotations

import codecs
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from autoloader.reader.contract import Dialect

MIN_FILES: Final = 8
MAX_AVERAGE_BYTES: Final = 256 * 1024  # above it, copying costs more than opening


@dataclass(frozen=True, slots=True)
class Joined:
    """The one file.

    Attributes:
        path: It, without any header.
        mark: What the first field of the record after each file begins with; its index follows.
    """

    path: Path
    mark: str


def join(paths: Sequence[Path], skip_lines: int, width: int, dialect: Dialect, workdir: Path) -> Joined | None:
    """Write the files' records one after the other.

    Args:
        paths: Plain UTF-8 files.
        skip_lines: Physical lines before the first record of each.
        width: The number of their columns.
        dialect: Theirs.
        workdir: An existing folder.

    Returns:
        None where it is not worth it or not safe: few or large files, or line ends of several kinds.
    """
    mark = f"{uuid.uuid4().hex}="
    if len(paths) < MIN_FILES or set(mark) & set(dialect.delimiter + dialect.quote + dialect.escape + dialect.comment):
        return None
    if sum(path.stat().st_size for path in paths) > len(paths) * MAX_AVERAGE_BYTES:
        return None
    rest = dialect.delimiter * (width - 1)
    target = workdir / f"joined-{mark[:8]}.csv"
    line_end = None
    with target.open("wb") as sink:
        for index, path in enumerate(paths):
            records = _without_lines(path.read_bytes().removeprefix(codecs.BOM_UTF8), skip_lines)
            ends_with = _line_end(records)
            if ends_with is None or (records and ends_with != (line_end or ends_with)):
                return None
            line_end = ends_with if records else line_end
            sink.write(records)
            end = line_end or b"\n"
            if records and not records.endswith(end):
                sink.write(end)
            sink.write(f"{mark}{index}{rest}".encode() + end)
    return Joined(target, mark)


def _without_lines(data: bytes, count: int) -> bytes:
    start = 0
    for _ in range(count):
        start = data.find(b"\n", start) + 1
        if not start:
            return b""
    return data[start:]


def _line_end(records: bytes) -> bytes | None:
    """What ends every line; None: several things do, or carriage returns alone."""
    returns = records.count(b"\r")
    if not returns:
        return b"\n"
    if returns == records.count(b"\r\n") == records.count(b"\n"):
        return b"\r\n"
    return None
