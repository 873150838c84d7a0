"""An answer to a question: data for machines, a table for people, HTML for notebooks."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from autoloader.render import escape_terminal, table_html, table_text

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say.

    Attributes:
        data: The JSON document, DESIGN section 5.
        rows: What people see of it, one mapping per line.
        columns: Which keys of `rows` are shown, in order.
        title: A sentence above the table; may be empty.
        closing: Sentences below it.
        spare: Columns that a narrow terminal does without, in this order.
    """

    data: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]] = ()
    columns: Sequence[str] = ()
    title: str = ""
    closing: Sequence[str] = field(default=())
    header: Sequence[str] = ()
    spare: Sequence[str] = field(default=())

    def text(self, *, color: bool = False, width: int | None = 100) -> str:
        """The answer for a terminal `width` columns wide; None = one line per row, however long."""
        parts = [escape_terminal(self.title)] if self.title else []
        if self.rows:
            parts.append(table_text(self.rows, self.columns, color=color, width=width, spare=self.spare))
        parts += [folded for line in self.closing for folded in _folded(escape_terminal(line), width)]
        return "\n".join(parts)

    def to_json(self) -> Mapping[str, Any]:
        """The JSON document."""
        return self.data

    def _repr_html_(self) -> str:
        return table_html([dict(row) for row in self.rows], list(self.columns), title=self.title, closing=self.closing)

    def __repr__(self) -> str:
        return self.text()


def _folded(line: str, width: int | None) -> list[str]:
    """A sentence in lines that fit, broken between words only; what follows the first is set in."""
    if width is None or len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(
        line, max(40, width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as Python values; instants end at microseconds, as Python's do (nanoseconds would need pandas)."""
    import pyarrow as pa

    for number, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            values = table.column(number).cast(pa.timestamp("us", tz=column.type.tz), safe=False)
            table = table.set_column(number, column.name, values)
    return list(table.to_pylist())


def sentence(text: str) -> str:
    """An error of several lines as one, to stand in a line with others."""
    return " ".join(text.splitlines())


def moment(at: datetime | None) -> str | None:
    """An instant as ISO 8601 in UTC with seconds, None as None."""
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")
