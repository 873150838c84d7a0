"""Setting the ledger back: to the end of a run, or to what a table's own lineage columns say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.errors import LedgerError
from autoloader.ledger.base import INT, TEXT, Part, advance_serial, check_aware, write_audit
from autoloader.ledger.claiming import restore_prior
from autoloader.ledger.runs import read_runs
from autoloader.ledger.session import Session

_FOUND: Final = {
    "file_path": ("file_path", TEXT),
    "src_file_id": ("src_file_id", INT),
    "rows": ("rows", INT),
    "rejected_rows": ("rejected_rows", INT),
    "size_bytes": ("file_size", INT),
    "modified_at": ("modified_at_ns", INT),
    "etag": ("etag", TEXT),
    "version_id": ("version_id", TEXT),
    "batch_id": ("batch", TEXT),
    "data_date": ("data_date", pa.date32()),
    "fingerprint": ("fingerprint", TEXT),
    "schema_version": ("schema_version", INT),
    "reload": ("reload", pa.bool_()),
}
_OVERTAKEN: Final = (
    "EXISTS (SELECT 1 FROM processed_file f JOIN batch_file b ON b.src_file_id = f.src_file_id"
    " WHERE f.ingestion = :ingestion AND f.file_path = found.file_path AND f.src_file_id > found.src_file_id"
    " AND f.rows = 0 AND b.file_path = f.file_path AND b.replaces IS NULL AND b.disposition IN ('changed', 'retry'))"
)
"""Whether a version without rows came after the one in the table and left its rows there (`on_change: append`)."""

_STANDS: Final = (
    "f.file_size IS NOT NULL AND (f.src_file_id = t.src_file_id AND NOT EXISTS (SELECT 1 FROM batch_file v"
    " WHERE v.src_file_id = t.src_file_id AND v.batch NOT IN ('', coalesce(t.batch, v.batch)))"
    " OR f.state IN ('FAILED', 'QUARANTINED') AND EXISTS (SELECT 1 FROM batch_file a WHERE a.batch = f.batch"
    " AND a.ingestion = f.ingestion AND a.file_path = f.file_path AND a.src_file_id > t.src_file_id))"
)
"""Whether what is remembered of a file is true beside the version in the table.

It is about that version, loaded by the same batch; or about an attempt on a newer one that failed.
"""

_SETTLED: Final = "b.state NOT IN ('RELEASED', 'MISSING', 'PROCESSING', 'UNDONE')"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What `rebuild` did: files of which the table holds a version, and files that had rows which are not there."""

    files: int
    lost: int


class Restoring(Part):
    """Rollback and rebuild. The caller holds the ingestion alone."""

    def batches_after(self, ingestion: str, run_id: str) -> tuple[str, ...]:
        """Ids of the batches that were recorded after the end of a run, in the order of their recording.

        Raises:
            LedgerError: There is no such run of this ingestion.
        """
        self._require()
        with self._database.reading() as session:
            return _batches_after(session, ingestion, run_id)

    def restore_to_run(
        self,
        ingestion: str,
        run_id: str,
        *,
        now: datetime,
        undone: Sequence[str] | None = None,
        actor: str | None = None,
    ) -> int:
        """Makes every file again what it was at the end of a run. Files first seen later become unseen.

        Args:
            ingestion: Its name.
            run_id: The run.
            now: The time.
            undone: Ids of the batches that left the table; None: all that were recorded after the run.
            actor: Who, for the audit.

        Returns:
            How many files changed.

        Raises:
            LedgerError: There is no such run, or a batch of the ingestion is unfinished.
        """
        self._require()
        with self._database.writing() as session:
            batches = _batches_after(session, ingestion, run_id) if undone is None else tuple(undone)
            _refuse_unfinished(session, ingestion)
            ids = pa.table({"batch_id": pa.array(batches, TEXT)})
            session.stage("undone", ids, key="batch_id")
            # The first claim after the run knows what the file was at its end.
            session.execute(
                "CREATE TEMPORARY TABLE first_claim AS SELECT min(b.src_file_id) AS src_file_id"
                " FROM batch_file b JOIN undone u ON u.batch_id = b.batch"
                f" WHERE {_SETTLED} GROUP BY b.file_path"
            )
            session.execute("CREATE UNIQUE INDEX first_claim_key ON first_claim (src_file_id)")
            changed = restore_prior(session, "b.src_file_id IN (SELECT src_file_id FROM first_claim)")
            session.execute(
                "UPDATE batch_file SET state = 'UNDONE' WHERE batch IN (SELECT batch_id FROM undone)"
                " AND state NOT IN ('RELEASED', 'MISSING')"
            )
            session.execute("UPDATE batch SET state = 'undone' WHERE batch_id IN (SELECT batch_id FROM undone)")
            advance_serial(session, ingestion)
            detail = {"run": run_id, "batches": len(batches), "files": changed}
            write_audit(session, "rolled back", ingestion, check_aware(now), actor=actor, detail=detail)
        return changed

    def rebuild(
        self,
        ingestion: str,
        found: pa.Table,
        *,
        now: datetime,
        highest_token: int = 0,
        highest_id: int = 0,
        current: Sequence[int] = (),
        actor: str | None = None,
    ) -> Rebuilt:
        """Takes a table's own lineage for the truth: these files, in these versions, are loaded.

        What is remembered of a file stays as it is where it is about the version in the table, a failed attempt on a
        newer one and a mark to load it again included. Else nothing of an old identity is kept.

        Args:
            ingestion: Its name; it should be recorded.
            found: `file_path`, `src_file_id`, `rows`, and where known `rejected_rows`, `size_bytes`, `modified_at`,
                `etag`, `version_id`, `batch_id`, `data_date`, `fingerprint`, `schema_version`, `disposition`, and
                `reload`: to be loaded again where nothing better is remembered. The rows of one version agree in all
                but `rows` and `batch_id`. Of several versions of a path the newest counts; all are remembered as
                loaded.
            now: The time.
            highest_token: The highest fencing token in the table's history; later ones will be higher.
            highest_id: The highest src_file_id that is known from elsewhere; later ones will be higher.
            current: Ids of the snapshots that the table has come through: batches of theirs that were undone, as by a
                rollback over which somebody took the table forward again, count as recorded.
            actor: Who, for the audit.

        Returns:
            Counts. A file that was SUCCESS with rows that the table does not hold is DISCOVERED now; one that failed,
            was set aside or is missing stays so, without rows.
            src_file_ids given from now on are higher than every one in `found`.
        """
        self._require()
        newest = _newest(found)
        with self._database.writing() as session:
            _refuse_unfinished(session, ingestion)
            session.stage("found", newest, key="file_path")
            lost = session.execute(
                "UPDATE processed_file SET src_file_id = NULL, rows = NULL,"
                " state = CASE WHEN state = 'SUCCESS' THEN 'DISCOVERED' ELSE state END"
                " WHERE ingestion = :ingestion AND src_file_id IS NOT NULL AND coalesce(rows, 1) > 0"
                " AND NOT EXISTS (SELECT 1 FROM found t WHERE t.file_path = processed_file.file_path)",
                ingestion=ingestion,
            )
            _insert_found(session, ingestion, check_aware(now))
            session.stage("version", _versions(found), key="src_file_id")
            _insert_versions(session, ingestion, now)
            _revive_batches(session, ingestion, current)
            highest = max(highest_id, pc.max(newest["src_file_id"]).as_py() or 0)
            session.execute(
                "UPDATE project SET"
                " next_src_file_id = CASE WHEN next_src_file_id > :id THEN next_src_file_id ELSE :id + 1 END,"
                " next_token = CASE WHEN next_token > :token THEN next_token ELSE :token + 1 END",
                id=highest,
                token=highest_token,
            )
            advance_serial(session, ingestion)
            detail = {"files": newest.num_rows, "lost": lost}
            write_audit(session, "rebuilt from the table", ingestion, now, actor=actor, detail=detail)
        return Rebuilt(newest.num_rows, lost)


def _revive_batches(session: Session, ingestion: str, snapshot_ids: Sequence[int]) -> None:
    """Batches of these snapshots that were undone are recorded again, as far as what they did is still known."""
    session.stage("current_snapshot", pa.table({"snapshot_id": pa.array(snapshot_ids, INT)}), key="snapshot_id")
    again = "ingestion = :ingestion AND state = 'undone' AND snapshot_id IN (SELECT snapshot_id FROM current_snapshot)"
    session.execute(
        "UPDATE batch_file SET state = CASE WHEN error IS NOT NULL THEN 'FAILED'"
        " WHEN disposition = 'missing' THEN 'DELETED' WHEN disposition IS NULL AND replaces IS NOT NULL THEN 'CLEARED'"
        " WHEN rows IS NULL THEN 'SKIPPED' ELSE 'SUCCESS' END"
        f" WHERE state = 'UNDONE' AND batch IN (SELECT batch_id FROM batch WHERE {again})",
        ingestion=ingestion,
    )
    session.execute(f"UPDATE batch SET state = 'recorded' WHERE {again}", ingestion=ingestion)


def _batches_after(session: Session, ingestion: str, run_id: str) -> tuple[str, ...]:
    run = next(iter(read_runs(session, "run_id = :run_id", run_id=run_id)), None)
    if run is None or run.ingestion != ingestion:
        raise LedgerError(f"There is no run {run_id} of {ingestion}.", fix=f"autoloader runs {ingestion}")
    found = session.rows(
        pa.schema([("batch_id", TEXT), ("sequence", INT)]),
        "SELECT batch_id, sequence FROM batch WHERE ingestion = :ingestion AND state = 'recorded'"
        " AND sequence > coalesce((SELECT max(sequence) FROM batch WHERE run_id = :run_id),"
        " (SELECT max(sequence) FROM batch WHERE ingestion = :ingestion AND recorded_at <= :ended_at), 0)",
        ingestion=ingestion,
        run_id=run_id,
        ended_at=run.finished_at or run.started_at,
    )
    return tuple(row["batch_id"] for row in sorted(found, key=lambda row: int(row["sequence"])))


def _refuse_unfinished(session: Session, ingestion: str) -> None:
    found = session.query(
        "SELECT batch_id FROM batch WHERE ingestion = :ingestion AND state IN ('claimed', 'written')",
        ingestion=ingestion,
    )
    if found.num_rows:
        raise LedgerError(
            f"{ingestion} has {found.num_rows} unfinished batches.",
            why="Its files cannot be set back while some are being loaded.",
            fix=f"autoloader apply --select {ingestion}",
        )


def _newest(found: pa.Table) -> pa.Table:
    columns = {
        staged: found.column(name).cast(kind) if name in found.column_names else pa.nulls(found.num_rows, kind)
        for name, (staged, kind) in _FOUND.items()
    }
    table = pa.table({**columns, "reload": pc.fill_null(columns["reload"], False)})
    newest = table.group_by("file_path").aggregate([("src_file_id", "max")])["src_file_id_max"]
    table = table.filter(pc.is_in(table["src_file_id"], newest.combine_chunks()))
    key = [name for name in table.column_names if name not in {"rows", "batch"}]
    table = table.group_by(key).aggregate([("rows", "sum"), ("batch", "max")])  # two batches may have doubled a version
    table = table.rename_columns([*key, "rows", "batch"])
    at = pc.floor_temporal(table["modified_at_ns"].cast(pa.timestamp("ns", tz="UTC")), unit="microsecond")
    return table.append_column("modified_at", at.cast(pa.timestamp("us", tz="UTC")))


def _versions(found: pa.Table) -> pa.Table:
    """Every version that has rows, one row each; a table may hold several of one path (`on_change: append`)."""
    disposition = found["disposition"] if "disposition" in found.column_names else pa.nulls(found.num_rows, TEXT)
    batch = found["batch_id"] if "batch_id" in found.column_names else pa.nulls(found.num_rows, TEXT)
    rejected = found["rejected_rows"] if "rejected_rows" in found.column_names else pa.nulls(found.num_rows, INT)
    table = pa.table(
        {
            "src_file_id": found["src_file_id"].cast(INT),
            "file_path": found["file_path"].cast(TEXT),
            "rows": found["rows"].cast(INT),
            "rejected_rows": rejected.cast(INT),
            "batch": batch.cast(TEXT),
            "disposition": disposition.cast(TEXT),
        }
    )
    key = ["src_file_id", "file_path"]
    highest = ("rejected_rows", "batch", "disposition")
    summed = table.group_by(key).aggregate([("rows", "sum"), *((name, "max") for name in highest)])
    return summed.rename_columns([*key, "rows", *highest])


def _insert_versions(session: Session, ingestion: str, now: datetime) -> None:
    session.execute(
        "INSERT INTO batch_file (src_file_id, batch, ingestion, file_path, disposition, state, rows, rejected_rows,"
        " processed_at) SELECT v.src_file_id, coalesce(v.batch, ''), :ingestion, v.file_path, v.disposition, 'SUCCESS',"
        " v.rows, v.rejected_rows, :now"
        " FROM version v WHERE 1 = 1 ORDER BY v.src_file_id"
        " ON CONFLICT (src_file_id) DO UPDATE SET state = 'SUCCESS', rows = excluded.rows,"
        " rejected_rows = coalesce(excluded.rejected_rows, batch_file.rejected_rows)"
        " WHERE batch_file.ingestion = excluded.ingestion AND batch_file.file_path = excluded.file_path",
        ingestion=ingestion,
        now=now,
    )


def _insert_found(session: Session, ingestion: str, now: datetime) -> None:
    """Brings the files to the versions that were found; of those that stand the rows are counted anew."""
    session.execute(f"DELETE FROM found WHERE {_OVERTAKEN}", ingestion=ingestion)
    session.execute(
        "CREATE TEMPORARY TABLE standing AS SELECT t.* FROM found t JOIN processed_file f"
        f" ON f.ingestion = :ingestion AND f.file_path = t.file_path WHERE {_STANDS}",
        ingestion=ingestion,
    )
    session.execute("CREATE UNIQUE INDEX standing_key ON standing (file_path)")
    session.execute(
        "UPDATE processed_file SET src_file_id = s.src_file_id, rows = s.rows,"
        " rejected_rows = coalesce(s.rejected_rows, processed_file.rejected_rows) FROM standing s"
        " WHERE processed_file.ingestion = :ingestion AND processed_file.file_path = s.file_path",
        ingestion=ingestion,
    )
    names = [staged for name, (staged, _) in _FOUND.items() if name not in ("file_path", "reload")] + ["modified_at"]
    session.execute(
        f"INSERT INTO processed_file (ingestion, file_path, {', '.join(names)}, state, retry_count,"
        f" discovered_at, processed_at, reload) SELECT :ingestion, t.file_path,"
        f" {', '.join('t.' + name for name in names)}, 'SUCCESS', 0, :now, :now, t.reload FROM found t"
        " WHERE NOT EXISTS (SELECT 1 FROM standing s WHERE s.file_path = t.file_path)"
        " ORDER BY t.file_path ON CONFLICT (ingestion, file_path) DO UPDATE SET"
        f" {', '.join(f'{name} = excluded.{name}' for name in names)}, state = 'SUCCESS', retry_count = 0,"
        " error = NULL, next_attempt_at = NULL, reload = (processed_file.reload OR excluded.reload)",
        ingestion=ingestion,
        now=now,
    )
