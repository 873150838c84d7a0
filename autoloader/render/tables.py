"""Rows as an aligned table for a terminal: nothing is cut; wide cells are folded, or the columns go on below."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

from autoloader.render.figures import count_text
from autoloader.render.inert import escape_terminal, paint

_FIGURE: Final = re.compile(r"[-+]?\d[\d,]*( %)?|-|unknown|<?\$?\d[\d,.]*( ?[KMGTP]?B| ?%)?|<?\d+[smhd](\d\d[smh])?")
_NARROWEST: Final = 16
"""Columns get no narrower than this by folding; a name of that length is still read at a glance."""
_GAP: Final = 2


def table_text(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    color: bool = False,
    width: int | None = 100,
    spare: Sequence[str] = (),
    literal: bool = False,
) -> str:
    """Rows as an aligned table under its headings.

    Args:
        rows: What is shown; None is shown as `-`.
        columns: Keys of `rows`, in order; a column whose name ends in `id` is never folded.
        color: Whether the headings are bold.
        width: Columns of the terminal, where the columns of a table that is wider go on below; None = any number,
            one line per row.
        literal: Whether the headings are the columns' own names, as those of a table's data are.
        spare: Columns that are left out, in this order, where the table would be wider than that.

    Returns:
        Lines joined by newlines; only the headings where there is no row.
    """
    heads = {column: escape_terminal(column) if literal else column.replace("_", " ") for column in columns}
    cells = {column: [_cell(row.get(column)) for row in rows] for column in columns}
    sizes = {column: max(map(cell_width, (heads[column], *cells[column]))) for column in columns}
    shown = list(columns)
    for column in spare:
        if width is not None and _total(sizes, shown) > width and len(shown) > 1 and column in shown:
            shown.remove(column)
    if width is not None:
        _shrink(sizes, shown, width)
    blocks = [shown] if width is None else _blocks(sizes, shown, width)
    return "\n\n".join(_block(heads, cells, block, sizes, color) for block in blocks)


def _block(
    heads: Mapping[str, str],
    cells: Mapping[str, Sequence[str]],
    shown: Sequence[str],
    sizes: Mapping[str, int],
    color: bool,
) -> str:
    right = {column for column in shown if _are_figures(cells[column])}
    lines = [paint(line, "1", color) for line in _line([heads[c] for c in shown], shown, sizes, right)]
    for row in zip(*(cells[column] for column in shown), strict=True):
        lines += _line(row, shown, sizes, right)
    return "\n".join(lines)


def _are_figures(cells: Sequence[str]) -> bool:
    return any(cell != "-" for cell in cells) and all(_FIGURE.fullmatch(cell) for cell in cells)


def _blocks(sizes: dict[str, int], shown: Sequence[str], width: int) -> list[list[str]]:
    """The columns in groups that fit, one below the other; a column that is too wide alone is a group of its own."""
    blocks: list[list[str]] = [[]]
    for column in shown:
        if blocks[-1] and _total(sizes, [*blocks[-1], column]) > width:
            blocks.append([])
        blocks[-1].append(column)
    for block in blocks:
        _shrink(sizes, block, width)
    return blocks


def _total(sizes: Mapping[str, int], shown: Sequence[str]) -> int:
    return sum(sizes[column] for column in shown) + _GAP * (len(shown) - 1)


def _shrink(sizes: dict[str, int], shown: Sequence[str], width: int) -> None:
    """Take from the widest columns that may be folded until the table fits or none can give more."""
    while (over := _total(sizes, shown) - width) > 0:
        able = [c for c in shown if sizes[c] > _NARROWEST and not c.endswith("id")]
        if sum(sizes[c] - _NARROWEST for c in able) < over:
            return
        widest = max(able, key=lambda column: sizes[column])
        sizes[widest] = max(_NARROWEST, sizes[widest] - over)


def _line(cells: Sequence[str], shown: Sequence[str], sizes: Mapping[str, int], right: set[str]) -> list[str]:
    """One row, as many lines as its most folded cell needs."""
    folded = [fold(cell, sizes[column]) for cell, column in zip(cells, shown, strict=True)]
    lines = []
    for index in range(max(map(len, folded))):
        parts = [
            _padded(parts[index] if index < len(parts) else "", sizes[column], column in right)
            for parts, column in zip(folded, shown, strict=True)
        ]
        lines.append((" " * _GAP).join(parts).rstrip())
    return lines


def _padded(text: str, size: int, right: bool) -> str:
    space = " " * max(0, size - cell_width(text))
    return space + text if right else text + space


def fold(text: str, size: int) -> list[str]:
    """Text in pieces no wider than `size`, broken after spaces, commas, slashes and the like where there are any."""
    if cell_width(text) <= size:
        return [text]
    lines, line = [], ""
    for chunk in re.findall(r"\d[\d.,]* [KMGTP]?B\b,? *|[^ ,/_-]*[ ,/_-]+|[^ ,/_-]+", text):
        if line and cell_width(line + chunk.rstrip()) > size:
            lines.append(line.rstrip())
            line = ""
        rest = chunk
        while cell_width(rest.rstrip()) > size:
            room = _room(rest, size)
            lines.append(rest[:room])
            rest = rest[room:]
        line += rest
    return [*lines, line.rstrip()] if line.strip() else lines


def _room(text: str, size: int) -> int:
    """How many leading letters fit, at least one."""
    used = 0
    for index, letter in enumerate(text):
        used += cell_width(letter)
        if used > size:
            return max(1, index)
    return len(text)


def cell_width(text: str) -> int:
    """How many columns of a terminal a text takes: East Asian letters and emoji two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count_text(value)
    return escape_terminal(str(value))
