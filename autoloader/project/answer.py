"""An answer to a question: data for machines, a table for people, HTML for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from autoloader.render import escape_terminal, table_html, table_text


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say.

    Attributes:
        data: The JSON document, DESIGN section 5.
        rows: What people see of it, one mapping per line.
        columns: Which keys of `rows` are shown, in order.
        title: A sentence above the table; may be empty.
        closing: Sentences below it.
    """

    data: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]] = ()
    columns: Sequence[str] = ()
    title: str = ""
    closing: Sequence[str] = field(default=())

    def text(self, *, color: bool = False, width: int = 100) -> str:
        """The answer for a terminal."""
        parts = [escape_terminal(self.title)] if self.title else []
        if self.rows:
            parts.append(table_text(self.rows, self.columns, color=color, width=width))
        parts += [escape_terminal(line) for line in self.closing]
        return "\n".join(parts)

    def to_json(self) -> Mapping[str, Any]:
        """The JSON document."""
        return self.data

    def _repr_html_(self) -> str:
        return table_html([dict(row) for row in self.rows], list(self.columns))

    def __repr__(self) -> str:
        return self.text()


def moment(at: datetime | None) -> str | None:
    """An instant as ISO 8601 in UTC with seconds, None as None."""
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")
