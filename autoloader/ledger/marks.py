"""Changes of remembered files that load nothing: missing, touched, skipped, to be loaded again, cleared.

All are set-based and leave files in state PROCESSING alone: those belong to a batch.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.ledger.base import TEXT, Part, advance_serial, check_aware, take_numbers, write_audit
from autoloader.ledger.claiming import KEPT, staged_files
from autoloader.ledger.session import Session

Paths: TypeAlias = Sequence[str] | pa.Array | pa.ChunkedArray

_FREE: Final = "processed_file.ingestion = :ingestion AND processed_file.state <> 'PROCESSING'"
_NAMED: Final = "EXISTS (SELECT 1 FROM named n WHERE n.file_path = processed_file.file_path)"

_SAME_BYTES: Final = (
    "coalesce(processed_file.version_id = t.version_id, processed_file.etag = t.etag"
    " AND processed_file.file_size = t.file_size, false)"
)


class Marks(Part):
    """Marking files. Each method returns how many files it changed."""

    def mark_missing(self, ingestion: str, paths: Paths, *, now: datetime) -> int:
        """They are not in storage any more; their rows stay in the table."""
        return self._mark(
            ingestion, paths, "state = 'MISSING', next_attempt_at = NULL", "state <> 'MISSING'", "missing", now
        )

    def mark_returned(self, ingestion: str, paths: Paths, *, now: datetime) -> int:
        """Missing files are back with the bytes that were loaded, or settled without rows: state SUCCESS again."""
        return self._mark(
            ingestion,
            paths,
            "state = 'SUCCESS'",
            "state = 'MISSING' AND (processed_file.src_file_id IS NOT NULL OR processed_file.rows = 0)",
            "returned",
            now,
        )

    def mark_reload(
        self,
        ingestion: str,
        *,
        now: datetime,
        paths: Paths | None = None,
        states: Sequence[str] = (),
        actor: str | None = None,
    ) -> int:
        """They are to be loaded again, replacing their rows; attempts are counted afresh.

        Args:
            ingestion: Its name.
            now: The time.
            paths: Which files; None: all.
            states: Only files in these states; none given: in any.
            actor: Who, for the audit.
        """
        only = [f"'{state}'" for state in states if state.isalpha()]
        where = f"processed_file.state IN ({', '.join(only)})" if only else "1 = 1"
        change = "reload = true, retry_count = 0, next_attempt_at = NULL"
        return self._mark(ingestion, paths, change, where, "marked for reload", now, actor)

    def mark_touched(self, ingestion: str, files: pa.Table, *, now: datetime) -> int:
        """The same bytes lie there under another time: the new identity is kept, so that it is said once.

        A file of which other bytes were loaded meanwhile is left alone.

        Args:
            ingestion: Its name.
            files: Rows of `inventory.DIFF`.
            now: The time.
        """
        self._require()
        check_aware(now)
        with self._database.writing() as session:
            session.stage("todo", staged_files(files), key="file_path")
            return session.execute(
                "UPDATE processed_file SET modified_at = t.modified_at, modified_at_ns = t.modified_at_ns,"
                " file_size = t.file_size, etag = coalesce(t.etag, processed_file.etag),"
                " version_id = coalesce(t.version_id, processed_file.version_id) FROM todo t"
                f" WHERE {_FREE} AND t.file_path = processed_file.file_path AND {_SAME_BYTES}",
                ingestion=ingestion,
            )

    def mark_skipped(self, ingestion: str, files: pa.Table, *, now: datetime, reason: str) -> int:
        """Files that are there and shall never be loaded as they are now.

        Of remembered files only those that were skipped for this reason before they went missing change.

        Args:
            ingestion: Its name.
            files: Rows of `inventory.DIFF`.
            now: The time.
            reason: Why, one sentence; kept as the file's `error`.
        """
        self._require()
        with self._database.writing() as session:
            session.stage("todo", staged_files(files), key="file_path")
            return session.execute(
                "INSERT INTO processed_file (ingestion, file_path, file_size, modified_at, modified_at_ns,"
                " etag, version_id, state, retry_count, error, data_date, discovered_at, processed_at, reload)"
                " SELECT :ingestion, t.file_path, t.file_size, t.modified_at, t.modified_at_ns, t.etag,"
                " t.version_id, 'SKIPPED', 0, :reason, t.data_date, :now, :now, false FROM todo t"
                " WHERE 1 = 1 ORDER BY t.file_path ON CONFLICT (ingestion, file_path) DO UPDATE SET state = 'SKIPPED'"
                " WHERE processed_file.state = 'MISSING' AND processed_file.src_file_id IS NULL"
                " AND processed_file.error = excluded.error",
                ingestion=ingestion,
                reason=reason,
                now=check_aware(now),
            )

    def clear_rows(
        self,
        ingestion: str,
        run_id: str,
        *,
        now: datetime,
        below: int | None = None,
        settled: bool = True,
        snapshot_id: int | None = None,
    ) -> int:
        """The table no longer holds the rows of these files: a refresh left them out.

        Written as a recorded batch of the run, so that a rollback brings it back.

        Args:
            ingestion: Its name.
            run_id: The run that did it.
            now: The time.
            below: Only versions with a smaller src_file_id; None: all.
            settled: They count as loaded all the same, with no rows; else they are as if never seen, for when they are
                asked for.
            snapshot_id: The table's snapshot that has their rows no more; None: other batches of the run tell.
        """
        self._require()
        rows = "0" if settled else "NULL"  # 0 is how a file that is settled is known from one whose rows were taken out
        forgotten = "" if settled else ", state = CASE WHEN state = 'SUCCESS' THEN 'DISCOVERED' ELSE state END"
        batch_id = uuid.uuid4().hex
        limit = "" if below is None else " AND processed_file.src_file_id < :below"
        with self._database.writing() as session:
            where = f"{_FREE} AND processed_file.src_file_id IS NOT NULL{limit}"
            count = session.query(
                f"SELECT count(*) AS n FROM processed_file WHERE {where}", ingestion=ingestion, below=below
            )
            cleared = int(count.column(0)[0].as_py())
            if cleared == 0:
                return 0
            first = take_numbers(self._database, session, cleared + 1)
            _keep_cleared(session, ingestion, batch_id, first, where, below, now)
            session.execute(
                f"UPDATE processed_file SET src_file_id = NULL, rows = {rows}{forgotten} WHERE {where}",
                ingestion=ingestion,
                below=below,
            )
            session.execute(
                "INSERT INTO batch (batch_id, run_id, ingestion, lane, state, token, sequence, files,"
                " size_bytes, snapshot_id, claimed_at, recorded_at) VALUES (:batch, :run_id, :ingestion, 'refresh',"
                " 'recorded', 0, :sequence, 0, 0, :snapshot_id, :now, :now)",
                batch=batch_id,
                run_id=run_id,
                ingestion=ingestion,
                sequence=first + cleared,
                snapshot_id=snapshot_id,
                now=check_aware(now),
            )
            write_audit(session, "rows cleared", ingestion, now, detail={"files": cleared, "run": run_id})
        return cleared

    def _mark(
        self,
        ingestion: str,
        paths: Paths | None,
        change: str,
        where: str,
        action: str,
        now: datetime,
        actor: str | None = None,
    ) -> int:
        self._require()
        check_aware(now)
        with self._database.writing() as session:
            named = "1 = 1"
            if paths is not None:
                named = _NAMED
                session.stage("named", pa.table({"file_path": _strings(paths)}), key="file_path")
            changed = session.execute(
                f"UPDATE processed_file SET {change} WHERE {_FREE} AND ({where}) AND {named}",
                ingestion=ingestion,
            )
            if changed:
                advance_serial(session, None)
                write_audit(session, action, ingestion, now, actor=actor, detail={"files": changed})
        return changed


def _strings(paths: Paths) -> pa.Array:
    return pc.unique(paths if hasattr(paths, "type") else pa.array(list(paths), TEXT))


def _keep_cleared(
    session: Session, ingestion: str, batch_id: str, first: int, where: str, below: int | None, now: datetime
) -> None:
    prior = ", ".join(f"prior_{name}" for name in KEPT)
    session.execute(
        "INSERT INTO batch_file (src_file_id, batch, ingestion, file_path, file_size, modified_at_ns, etag,"
        f" version_id, data_date, replaces, state, processed_at, {prior})"
        " SELECT :first - 1 + row_number() OVER (ORDER BY id), :batch, ingestion, file_path, file_size,"
        f" modified_at_ns, etag, version_id, data_date, src_file_id, 'CLEARED', :now, {', '.join(KEPT)}"
        f" FROM processed_file WHERE {where}",
        first=first,
        batch=batch_id,
        ingestion=ingestion,
        below=below,
        now=now,
    )
