"""The end of a batch: what came of each file, written down once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.errors import LedgerError
from autoloader.ledger.base import INT, TEXT, Part, check_aware, take_numbers
from autoloader.ledger.claiming import restore_prior
from autoloader.ledger.claims import check_batch
from autoloader.ledger.rows import Lease
from autoloader.ledger.runs import sum_run
from autoloader.ledger.session import Session, Value

_RESULT: Final = pa.schema(
    [
        ("src_file_id", INT),
        ("state", TEXT),
        ("error", TEXT),
        ("rows", INT),
        ("rejected_rows", INT),
        ("fingerprint", TEXT),
        ("schema_version", INT),
        ("seconds", pa.float64()),
    ]
)
_STATES: Final = frozenset({"SUCCESS", "FAILED", "QUARANTINED", "SKIPPED", "MISSING", "DELETED", "AWAY"})
_LONGEST_WAIT: Final = timedelta(days=1)
FIRST_WAIT_S: Final = 1.0
"""Between the first failure of a file and its next attempt. Short: schedules space the attempts of most projects,
and who mends something and applies again wants it tried now. It only keeps runs that chase each other apart."""


class Records(Part):
    """Recording batches."""

    def record(
        self,
        batch_id: str,
        results: pa.Table,
        snapshot_id: int | None,
        *,
        lease: Lease,
        now: datetime,
        max_attempts: int = 3,
        backoff_s: float = FIRST_WAIT_S,
    ) -> None:
        """Writes down what came of each file of a batch. A second time it does nothing.

        Per state of a result row:
        SUCCESS: the new version's rows are in the table, or it has none.
        FAILED: the table still holds the old version; next attempt after `backoff_s`, doubled each time, at
        most a day; at `max_attempts` QUARANTINED.
        QUARANTINED, SKIPPED: settled; the table still holds the old version.
        MISSING: it moved or vanished while it was read; it is again what it was before the claim.
        DELETED: its rows left the table since the file is gone; state MISSING.
        AWAY: its storage could not be reached; given back like MISSING, and no attempt is counted.
        A file without a result row is given back like MISSING.

        Args:
            batch_id: The batch.
            results: The loader's rows of kind "file"; other kinds are left aside.
            snapshot_id: The commit's snapshot, None where nothing had to be committed.
            lease: The lease under which the batch is held.
            now: The time.
            max_attempts: Attempts before QUARANTINED.
            backoff_s: The first wait, in seconds.

        Raises:
            FencedError: The lease is lost, or the batch was taken over; nothing was written.
            LedgerError: The batch was released, or there is none, or a result has an unknown state.
        """
        self._require()
        check_aware(now)
        rows = _result_rows(results)
        with self._database.writing() as session:
            batch = check_batch(session, batch_id, lease, ("claimed", "written", "recorded"))
            if batch.state == "recorded":
                return
            session.stage("result", rows, key="src_file_id")
            restore_prior(
                session,
                "b.batch = :batch AND b.state = 'PROCESSING' AND NOT EXISTS (SELECT 1 FROM result r"
                " WHERE r.src_file_id = b.src_file_id AND r.state <> 'MISSING')",
                batch=batch_id,
            )
            _settle_versions(session, batch_id, now)
            _settle_files(session, batch_id, now, max_attempts, backoff_s)
            _settle_batch(session, batch_id, snapshot_id, take_numbers(self._database, session, 1), now)
            sum_run(session, batch.run_id)


def _result_rows(results: pa.Table) -> pa.Table:
    if "kind" in results.column_names:
        results = results.filter(pc.equal(results["kind"], "file"))
    unknown = set(pc.unique(results["state"]).to_pylist()) - _STATES
    if unknown:
        raise LedgerError(f"A result has a state that the ledger does not know: {sorted(map(str, unknown))}.")
    state = pc.if_else(pc.equal(results["state"], "AWAY"), "MISSING", results["state"])
    results = results.set_column(results.column_names.index("state"), "state", state)
    columns = [
        results.column(field.name).cast(field.type)
        if field.name in results.column_names
        else pa.nulls(results.num_rows, field.type)
        for field in _RESULT
    ]
    return pa.Table.from_arrays(columns, schema=_RESULT)


def _settle_versions(session: Session, batch_id: str, now: datetime) -> None:
    session.execute(
        "UPDATE batch_file SET state = r.state, error = r.error, rows = r.rows,"
        " rejected_rows = r.rejected_rows, fingerprint = r.fingerprint, schema_version = r.schema_version,"
        " seconds = r.seconds, processed_at = :now FROM result r"
        " WHERE batch_file.src_file_id = r.src_file_id AND batch_file.batch = :batch",
        now=now,
        batch=batch_id,
    )
    session.execute(
        "UPDATE batch_file SET state = 'RELEASED' WHERE batch = :batch AND state = 'PROCESSING'",
        batch=batch_id,
    )


def _settle_files(session: Session, batch_id: str, now: datetime, max_attempts: int, backoff_s: float) -> None:
    waits: dict[str, Value] = {}
    for attempt in range(1, min(max_attempts, 20)):
        wait = min(timedelta(seconds=backoff_s * 2 ** (attempt - 1)), _LONGEST_WAIT)
        waits[f"wait_{attempt}"] = now + wait
    cases = " ".join(
        f"WHEN processed_file.retry_count + 1 = {attempt} THEN :wait_{attempt}" for attempt in range(1, len(waits) + 1)
    )
    later = f"CASE {cases} END" if cases else "NULL"
    if not session.is_sqlite:
        later = f"CAST({later} AS timestamptz)"
    loaded = "b.state = 'SUCCESS'"
    failed = "b.state = 'FAILED'"
    last = f"processed_file.retry_count + 1 >= {int(max_attempts)}"
    kept = ", ".join(
        f"{name} = CASE WHEN {loaded} THEN b.{name} WHEN b.state = 'DELETED' THEN NULL ELSE processed_file.{name} END"
        for name in ("src_file_id", "rows", "rejected_rows")
    )
    session.execute(
        f"UPDATE processed_file SET state = CASE WHEN {failed} AND {last} THEN 'QUARANTINED'"
        " WHEN b.state = 'DELETED' THEN 'MISSING' ELSE b.state END,"
        f" retry_count = CASE WHEN {loaded} THEN 0 WHEN {failed} OR b.state = 'QUARANTINED'"
        " THEN processed_file.retry_count + 1 ELSE processed_file.retry_count END,"
        f" next_attempt_at = CASE WHEN {failed} AND NOT {last} THEN {later} END, {kept},"
        " error = b.error, fingerprint = coalesce(b.fingerprint, processed_file.fingerprint),"
        " schema_version = coalesce(b.schema_version, processed_file.schema_version),"
        " seconds = b.seconds, processed_at = :now, reload = false FROM batch_file b"
        " WHERE b.batch = :batch AND b.state IN ('SUCCESS', 'FAILED', 'QUARANTINED', 'SKIPPED', 'DELETED')"
        " AND processed_file.ingestion = b.ingestion AND processed_file.file_path = b.file_path",
        now=now,
        batch=batch_id,
        **waits,
    )


def _settle_batch(session: Session, batch_id: str, snapshot_id: int | None, sequence: int, now: datetime) -> None:
    settled = "FROM batch_file f WHERE f.batch = :batch AND f.state NOT IN ('MISSING', 'RELEASED')"
    session.execute(
        "UPDATE batch SET state = 'recorded', snapshot_id = :snapshot_id, sequence = :sequence,"
        " recorded_at = :now, results = NULL,"
        f" files = (SELECT count(*) {settled}),"
        f" rows = (SELECT CAST(coalesce(sum(f.rows), 0) AS bigint) {settled}),"
        f" rejected_rows = (SELECT CAST(coalesce(sum(f.rejected_rows), 0) AS bigint) {settled}),"
        f" size_bytes = (SELECT CAST(coalesce(sum(f.file_size), 0) AS bigint) {settled})"
        " WHERE batch_id = :batch",
        snapshot_id=snapshot_id,
        sequence=sequence,
        now=now,
        batch=batch_id,
    )
