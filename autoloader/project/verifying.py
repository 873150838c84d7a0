"""`verify`: the ledger held against the table, one source file version at a time.

Loads may go on meanwhile. So the ledger's versions are read before the table and once more after it: what changed in
between, and what a living load has in hand, is not judged. Whatever else disagrees does so for good. A rebuild loads
into a branch, and the table that is served is judged as if it were not there; a table that somebody moves as a whole
while it is read (a rebuild that is served, one that is emptied or rolled back) is not judged at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from autoloader.apply import is_gone, settled_batches, this_process
from autoloader.inmemory import in_memory
from autoloader.project.answer import Answer
from autoloader.render import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from autoloader.lake import TableState
    from autoloader.ledger import Lease
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

_IN_HAND: Final = """
SELECT coalesce(a.src_file_id, b.src_file_id) AS src_file_id, coalesce(a.file_path, b.file_path) AS file_path
  FROM (SELECT * FROM after WHERE batch NOT IN (SELECT batch_id FROM beside)) a
  FULL JOIN (SELECT * FROM before WHERE batch NOT IN (SELECT batch_id FROM beside)) b ON b.src_file_id = a.src_file_id
  WHERE a.state IS DISTINCT FROM b.state OR a.rows IS DISTINCT FROM b.rows
  OR (a.state = 'PROCESSING' AND a.batch NOT IN (SELECT batch_id FROM dead))
"""
"""Versions that a load claimed, recorded or gave back while the table was read, or has in hand now."""

_VERSION: Final = ["src_file_id", "file_path", "batch", "rows", "state", "replaces", "disposition"]

MOST_VIOLATIONS: Final = 1_000
"""That are told, the lowest file ids first."""

_DISAGREEING: Final = f"""
SELECT * EXCLUDE n FROM (
  SELECT *, row_number() OVER (PARTITION BY in_hand ORDER BY src_file_id) AS n,
    count(*) OVER (PARTITION BY in_hand) AS many, count(ledger_rows) OVER (PARTITION BY in_hand) AS recorded FROM (
    SELECT c.*, coalesce(src_file_id IN (SELECT src_file_id FROM in_hand)
      OR file_path IN (SELECT file_path FROM in_hand), false) AS in_hand
    FROM ({_CHECKS}) c WHERE violation IS NOT NULL))
WHERE n <= {MOST_VIOLATIONS} ORDER BY in_hand, src_file_id
"""

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
        `data` has `ingestion, table, files, rows, files_in_hand, violations`. No violation means that they agree, but
        for `files_in_hand`: so many file versions disagree and are not judged, because somebody has them in hand, or
        moved the whole table while it was read.
    """
    spec = project.spec(name).spec
    ledger = project.ledger
    row, leases = ledger.ingestion(name), _held(project, name)
    before = ledger.versions(name)
    table = row.table if row is not None and row.table else spec.destination.table
    state = project.lake.table(table)
    table_files = _table_files(project, state) if state is not None else None
    ledger_files = _ledger_files(project, name)
    leases |= _held(project, name)
    gone = {lease.id for lease in leases.values() if is_gone(lease.holder, this_process())}
    living = [lease for lease in leases.values() if lease.id not in gone]
    after = ledger.versions(name)
    settled = settled_batches(ledger, row, state) if row is not None and state is not None else ()
    dead = [batch.batch_id for batch in ledger.unfinished(name, now=project.clock(), gone=gone)]
    found = _disagreeing(ledger_files, table_files, before, after, dead, _beside(project, name), settled)
    moved = _moved(state, project.lake.table(table), living)
    violations = [] if moved else [each for each in found if not each["in_hand"]][:MOST_VIOLATIONS]
    aside = {each["in_hand"]: each for each in found if moved or each["in_hand"]}.values()
    in_hand, recorded = sum(each["many"] for each in aside), sum(each["recorded"] for each in aside)
    for each in found:
        del each["in_hand"], each["many"], each["recorded"]
    data = {
        "ingestion": name,
        "table": table,
        "files": ledger_files.num_rows,
        "rows": state.rows if state is not None else None,
        "files_in_hand": in_hand,
        "violations": violations,
    }
    if moved:
        title = f"{name}: its table was changed as a whole while it was read, so nothing is judged."
    elif violations:
        at_least = "at least " if len(violations) == MOST_VIOLATIONS else ""
        title = f"{name}: {at_least}{plural(len(violations), 'violation')}"
    else:
        title = f"{name}: ledger and table agree on {plural(ledger_files.num_rows - recorded, 'file')}"
        title += f"; {_not_judged(in_hand)}." if in_hand else "."
    columns = ["violation", "ledger_rows", "table_rows", "src_file_id", "file_path"]
    closing = _at_work(living, 0 if moved or not violations else in_hand, bool(in_hand or moved))
    return Answer(data, violations, columns, title, closing=closing)


def _held(project: Project, name: str) -> dict[str, Lease]:
    """The leases on an ingestion whose time is not up, by id."""
    return {lease.id: lease for lease in project.ledger.living(name, now=project.clock())}


def _beside(project: Project, name: str) -> list[str]:
    """The batches of rebuilds that go on: until one is served, they touch nothing of the table."""
    ledger = project.ledger
    rebuilds = [run for run in ledger.runs(name, state="running") if "rebuild" in (run.extra or {})]
    return [batch.batch_id for run in rebuilds for batch in ledger.batches(run.run_id)]


def _moved(before: TableState | None, after: TableState | None, living: Sequence[Lease]) -> bool:
    """Whether somebody moved the table as a whole while it was read, or has, and may not have recorded it yet.

    That raises the table's fence to the token of the lease which it was done under; a load does not.
    """
    if before is None or after is None:
        return before is not after
    at_it = any(lease.kind == "alone" and lease.token <= after.fence for lease in living)
    return at_it or (before.uuid, before.fence) != (after.uuid, after.fence)


def _not_judged(in_hand: int) -> str:
    return f"{plural(in_hand, 'file')} that a run has in hand {'is' if in_hand == 1 else 'are'} not judged"


def _at_work(living: Sequence[Lease], in_hand: int, aside: bool) -> list[str]:
    """Who may have moved what was looked at, in a sentence; none where nobody was there and nothing moved.

    Args:
        living: The leases of those who were there.
        in_hand: How many files to tell of as not judged.
        aside: Whether anything was not judged.
    """
    if not living and not aside:
        return []
    who = ", ".join(sorted({lease.holder for lease in living})) or "somebody"
    return [
        f"A run is at work on it ({who}){f': {_not_judged(in_hand)}' if in_hand else ''}. Ask again when it has ended."
    ]


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


def _table_files(project: Project, table: TableState) -> pa.Table:
    """One row per version that has rows in the table: `src_file_id, file_path, rows, batches, paths`."""
    rows = project.lake.row_counts(table.name, snapshot_id=table.snapshot_id, with_paths=True)
    counts = rows.group_by("src_file_id")
    found = counts.aggregate(
        [("file_path", "min"), ("rows", "sum"), ("batch_id", "count_distinct"), ("file_path", "count_distinct")]
    )
    return found.rename_columns(["src_file_id", "file_path", "rows", "batches", "paths"])


def _disagreeing(
    ledger_files: pa.Table,
    table_files: pa.Table | None,
    before: pa.Table,
    after: pa.Table,
    dead: Sequence[str],
    beside: Sequence[str],
    settled: Sequence[str],
) -> list[dict[str, Any]]:
    """What disagrees, by file id, what somebody has in hand last; at most `MOST_VIOLATIONS` and as many in hand.

    Args:
        ledger_files: What `_ledger_files` gives.
        table_files: What `_table_files` gives; None: there is no table.
        before: The ledger's versions before the table was read.
        after: And after it.
        dead: Batches that are open and whose worker is dead.
        beside: Batches of a living rebuild, which are not in the table that is served.
        settled: Batches that left the table, and without which the ledger was made anew: they replaced nothing.

    Returns:
        With each `in_hand`, how many there are like it (`many`), and how many of those the ledger has (`recorded`).
    """
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
        con.register("table_files", empty if table_files is None else table_files)
        con.register("before", before.select(_VERSION))
        con.register("after", after.select(_VERSION))
        con.register("dead", pa.table({"batch_id": pa.array(dead, pa.string())}))
        con.register("beside", pa.table({"batch_id": pa.array(beside, pa.string())}))
        con.register("settled", pa.table({"batch_id": pa.array(settled, pa.string())}))
        con.execute("CREATE TEMP VIEW versions AS FROM after WHERE batch NOT IN (SELECT batch_id FROM settled)")
        con.execute(f"CREATE TEMP TABLE kept AS {_KEPT}")
        con.execute(f"CREATE TEMP TABLE in_hand AS {_IN_HAND}")
        found = con.sql(_DISAGREEING)
        return list(found.to_arrow_table().to_pylist())
