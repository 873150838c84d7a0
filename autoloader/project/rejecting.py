"""The rows that were not loaded, out of the quarantine table: what stood there, and why it was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from autoloader.lake import quarantine_name
from autoloader.render import plural

if TYPE_CHECKING:
    from autoloader.project.project import Project

KEPT: Final = 100
"""Rows of an answer's data."""

SHOWN: Final = 10
"""Rows that people see."""

ASKED_FILES: Final = 100
"""Files whose rows are looked for."""


def rejected_data(project: Project, name: str, batch_ids: Sequence[str], paths: Sequence[str] = ()) -> dict[str, Any]:
    """The first rejected rows of some batches.

    Args:
        project: The project.
        name: The ingestion.
        batch_ids: Its batches; none = only the name of the table is told.
        paths: Of these files alone; empty = of all.

    Returns:
        `quarantine_table`, None where there is no such table, and `rejected`: `file_path`, `row` (from 0), `column`,
        `raw`, `error` of each, by file and row.
    """
    row = project.ledger.ingestion(name)
    table = row.table if row is not None else None
    if table is None:
        return {"quarantine_table": None, "rejected": []}
    found = project.lake.rejected_rows(table, sorted(set(batch_ids)), paths, limit=KEPT)
    if found is None:
        return {"quarantine_table": None, "rejected": []}
    columns = ["file_path", "row", "column", "raw", "error"]
    return {"quarantine_table": quarantine_name(table), "rejected": found.select(columns).to_pylist()}


def rejected_lines(data: Mapping[str, Any], number: int | None) -> list[str]:
    """What `rejected_data` found in sentences, the first rows of many.

    Args:
        data: What it found.
        number: How many rows were rejected, None = not known.
    """
    from autoloader import reader

    table, rows = data["quarantine_table"], data["rejected"]
    counted = "Rows were" if number is None else f"{plural(number, 'row')} {'was' if number == 1 else 'were'}"
    if table is None:
        return [f"{counted} rejected; none is kept (schema.on_bad_row)."] if number else []
    shown = [
        f"  {row['file_path']}: {reader.sentence(row['row'], row['column'], row['raw'], row['error'])}"
        for row in rows[:SHOWN]
    ]
    more = ["  and more there"] if len(rows) > SHOWN else []
    return [f"{counted} rejected; see the table {table}{':' if shown else '.'}", *shown, *more]
