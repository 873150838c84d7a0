"""`verify`: the ledger held against the table, one source file version at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from autoloader.inmemory import in_memory
from autoloader.project.answer import Answer
from autoloader.render import plural

if TYPE_CHECKING:
    import pyarrow as pa

    from autoloader.project.project import Project

_CHECKS: Final = """
SELECT coalesce(l.src_file_id, t.src_file_id) AS src_file_id, coalesce(l.file_path, t.file_path) AS file_path,
  l.rows AS ledger_rows, t.rows AS table_rows, l.batches AS batches,
  CASE
    WHEN t.src_file_id IS NULL AND t.rows IS NOT NULL THEN 'rows without a source file: another writer added them'
    WHEN l.src_file_id IS NULL AND t.rows = k.rows THEN NULL
    WHEN l.src_file_id IS NULL THEN 'rows of a file version that the ledger does not know'
    WHEN t.batches > 1 THEN 'its rows were committed by more than one batch'
    WHEN t.paths > 1 THEN 'rows of more than one file have its number'
    WHEN t.rows IS NULL AND l.rows > 0 THEN 'the ledger has rows of it, the table has none'
    WHEN t.rows IS DISTINCT FROM l.rows AND NOT (t.rows IS NULL AND l.rows = 0) THEN 'row counts differ'
    WHEN l.batches > 1 THEN 'committed in more than one batch'
  END AS violation
FROM ledger_files l FULL JOIN table_files t ON l.src_file_id = t.src_file_id
LEFT JOIN kept k ON k.src_file_id = t.src_file_id
"""

MOST_VIOLATIONS: Final = 1_000
"""That are told, the lowest file ids first."""

_KEPT: Final = """
SELECT v.src_file_id, v.rows FROM versions v WHERE v.state = 'SUCCESS'
  AND NOT EXISTS (SELECT 1 FROM versions l
    WHERE l.replaces = v.src_file_id AND l.state IN ('SUCCESS', 'DELETED', 'CLEARED'))
  AND EXISTS (SELECT 1 FROM versions l WHERE l.file_path = v.file_path AND l.src_file_id > v.src_file_id
    AND l.state = 'SUCCESS' AND l.replaces IS NULL AND l.disposition IN ('changed', 'retry'))
"""
"""Older versions of files whose rows stay beside those of the newer ones, with `on_change: append`."""


def verify(project: Project, name: str) -> Answer:
    """Every file version whose rows should be in the table, against the rows that are.

    Args:
        project: The project.
        name: The ingestion.

    Returns:
        `data` has `ingestion, table, files, rows, violations`; no violation means that they agree.
    """
    spec = project.spec(name).spec
    row = project.ledger.ingestion(name)
    table = row.table if row is not None and row.table else spec.destination.table
    state = project.lake.table(table)
    ledger_files = _ledger_files(project, name)
    table_files = _table_files(project, table) if state is not None else None
    violations = _violations(ledger_files, table_files, _kept(project, name))
    data = {
        "ingestion": name,
        "table": table,
        "files": ledger_files.num_rows,
        "rows": state.rows if state is not None else None,
        "violations": violations,
    }
    at_least = "at least " if len(violations) == MOST_VIOLATIONS else ""
    title = (
        f"{name}: {at_least}{plural(len(violations), 'violation')}"
        if violations
        else f"{name}: ledger and table agree on {plural(ledger_files.num_rows, 'file')}."
    )
    return Answer(data, violations, ["violation", "ledger_rows", "table_rows", "src_file_id", "file_path"], title)


def _ledger_files(project: Project, name: str) -> pa.Table:
    """One row per version whose rows are in the table: `src_file_id, file_path, rows, batches`."""
    files = project.ledger.files(name).select(["src_file_id", "file_path", "rows"])
    versions = project.ledger.versions(name).select(["src_file_id", "state"])
    with in_memory() as con:
        con.register("files", files)
        con.register("versions", versions)
        return con.sql(
            "SELECT f.src_file_id, any_value(f.file_path) AS file_path, any_value(f.rows) AS rows,"
            " count(v.src_file_id) FILTER (v.state = 'SUCCESS') AS batches"
            " FROM files f LEFT JOIN versions v ON v.src_file_id = f.src_file_id"
            " WHERE f.src_file_id IS NOT NULL GROUP BY f.src_file_id"
        ).to_arrow_table()


def _kept(project: Project, name: str) -> pa.Table:

    columns = ["src_file_id", "file_path", "rows", "state", "replaces", "disposition"]
    with in_memory() as con:
        con.register("versions", project.ledger.versions(name).select(columns))
        return con.sql(_KEPT).to_arrow_table()


def _table_files(project: Project, table: str) -> pa.Table:
    """One row per version that has rows in the table: `src_file_id, file_path, rows, batches, paths`."""
    counts = project.lake.row_counts(table, with_paths=True).group_by("src_file_id")
    found = counts.aggregate(
        [("file_path", "min"), ("rows", "sum"), ("batch_id", "count_distinct"), ("file_path", "count_distinct")]
    )
    return found.rename_columns(["src_file_id", "file_path", "rows", "batches", "paths"])


def _violations(ledger_files: pa.Table, table_files: pa.Table | None, kept: pa.Table) -> list[dict[str, Any]]:
    import pyarrow as pa

    empty = pa.table(
        {
            "src_file_id": pa.array([], pa.int64()),
            "file_path": pa.array([], pa.string()),
            "rows": pa.array([], pa.int64()),
            "batches": pa.array([], pa.int64()),
            "paths": pa.array([], pa.int64()),
        }
    )
    with in_memory() as con:
        con.register("ledger_files", ledger_files)
        con.register("kept", kept)
        con.register("table_files", empty if table_files is None else table_files)
        wrong = f"SELECT * FROM ({_CHECKS}) WHERE violation IS NOT NULL ORDER BY src_file_id"
        found = con.sql(f"{wrong} LIMIT {MOST_VIOLATIONS}")
        return list(found.to_arrow_table().to_pylist())
