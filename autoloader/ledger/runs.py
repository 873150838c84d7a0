"""Runs and batches: what was applied, what it was thought to cost and what it did."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal

import pyarrow as pa

from autoloader.ledger.base import AT, INT, TEXT, Part, check_aware, from_json, to_json
from autoloader.ledger.rows import BatchRow, RunRow
from autoloader.ledger.session import Session

FLOAT: Final = pa.float64()
RUN: Final = pa.schema(
    [
        ("run_id", TEXT),
        ("ingestion", TEXT),
        ("lane", TEXT),
        ("plan_id", TEXT),
        ("holder", TEXT),
        ("state", TEXT),
        ("started_at", AT),
        ("finished_at", AT),
        ("files", INT),
        ("failed_files", INT),
        ("rows", INT),
        ("rejected_rows", INT),
        ("size_bytes", INT),
        ("planned_files", INT),
        ("planned_size_bytes", INT),
        ("estimated_usd", FLOAT),
        ("actual_usd", FLOAT),
        ("estimated_s", FLOAT),
        ("actual_s", FLOAT),
        ("snapshot_id", INT),
        ("error", TEXT),
        ("extra", TEXT),
    ]
)
BATCH: Final = pa.schema(
    [
        ("batch_id", TEXT),
        ("run_id", TEXT),
        ("ingestion", TEXT),
        ("lane", TEXT),
        ("state", TEXT),
        ("lease", TEXT),
        ("token", INT),
        ("sequence", INT),
        ("files", INT),
        ("rows", INT),
        ("rejected_rows", INT),
        ("size_bytes", INT),
        ("snapshot_id", INT),
        ("claimed_at", AT),
        ("written_at", AT),
        ("recorded_at", AT),
        ("results", pa.binary()),
    ]
)


class Runs(Part):
    """Starting, finishing and listing runs and their batches."""

    def start_run(
        self,
        ingestion: str,
        lane: str,
        *,
        now: datetime,
        plan_id: str | None = None,
        holder: str | None = None,
        planned_files: int | None = None,
        planned_size_bytes: int | None = None,
        estimated_usd: Decimal | None = None,
        estimated_s: float | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """Opens a run in state running.

        Returns:
            Its id, which sorts by its start to the second.
        """
        self._require()
        run_id = f"{check_aware(now).astimezone(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        with self._database.writing() as session:
            session.execute(
                "INSERT INTO run (run_id, ingestion, lane, plan_id, holder, state, started_at, files,"
                " failed_files, rows, rejected_rows, size_bytes, planned_files, planned_size_bytes,"
                " estimated_usd, estimated_s, extra) VALUES (:run_id, :ingestion, :lane, :plan_id, :holder,"
                " 'running', :now, 0, 0, 0, 0, 0, :planned_files, :planned_size_bytes, :estimated_usd,"
                " :estimated_s, :extra)",
                run_id=run_id,
                ingestion=ingestion,
                lane=lane,
                plan_id=plan_id,
                holder=holder,
                now=now,
                planned_files=planned_files,
                planned_size_bytes=planned_size_bytes,
                estimated_usd=estimated_usd,
                estimated_s=estimated_s,
                extra=to_json(extra),
            )
            session.execute(
                "UPDATE ingestion SET last_run_at = :now WHERE name = :ingestion", now=now, ingestion=ingestion
            )
        return run_id

    def finish_run(
        self,
        run_id: str,
        state: Literal["running", "complete", "incomplete", "failed"],
        *,
        now: datetime,
        actual_usd: Decimal | None = None,
        actual_s: float | None = None,
        error: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> RunRow:
        """Closes a run; files, rows, bytes and the last snapshot are summed from its recorded batches.

        A run that was left incomplete may be set back to running and closed again (`--resume`).

        Args:
            run_id: Its id.
            state: How it ended.
            now: The time.
            actual_usd: Money spent, None: unknown.
            actual_s: Seconds of compute, None: unknown.
            error: Why it failed or stopped, in a sentence.
            extra: Replaces what `start_run` was given, None leaves it.
        """
        self._require()
        with self._database.writing() as session:
            session.execute(
                "UPDATE run SET state = :state, finished_at = :finished_at,"
                " actual_usd = coalesce(:actual_usd, actual_usd), actual_s = coalesce(:actual_s, actual_s),"
                " error = :error, extra = coalesce(:extra, extra) WHERE run_id = :run_id",
                state=state,
                finished_at=None if state == "running" else check_aware(now),
                actual_usd=actual_usd,
                actual_s=actual_s,
                error=error,
                extra=to_json(extra),
                run_id=run_id,
            )
            return read_runs(session, "run_id = :run_id", run_id=run_id)[0]

    def runs(
        self,
        ingestion: str | None = None,
        *,
        lane: str | None = None,
        state: str | None = None,
        limit: int = 10_000,
    ) -> tuple[RunRow, ...]:
        """The last `limit` runs, oldest first."""
        if not self.exists:
            return ()
        where = " AND ".join(
            ["1 = 1", *(f"{name} = :{name}" for name, value in
                        (("ingestion", ingestion), ("lane", lane), ("state", state)) if value is not None)]
        )  # fmt: skip
        with self._database.reading() as session:
            found = read_runs(
                session,
                f"{where} ORDER BY started_at DESC, run_id DESC LIMIT :limit",
                ingestion=ingestion,
                lane=lane,
                state=state,
                limit=limit,
            )
        return tuple(found)

    def run(self, run_id: str) -> RunRow | None:
        """One run, or None."""
        if not self.exists:
            return None
        with self._database.reading() as session:
            return next(iter(read_runs(session, "run_id = :run_id", run_id=run_id)), None)

    def batches(self, run_id: str | None = None, ingestion: str | None = None) -> tuple[BatchRow, ...]:
        """Batches of a run or of an ingestion, in the order in which they were claimed; no blobs."""
        if not self.exists:
            return ()
        where = " AND ".join(
            ["1 = 1", *(f"{name} = :{name}" for name, value in
                        (("run_id", run_id), ("ingestion", ingestion)) if value is not None)]
        )  # fmt: skip
        with self._database.reading() as session:
            return tuple(read_batches(session, where, run_id=run_id, ingestion=ingestion))


def read_runs(session: Session, where: str, **values: str | int | None) -> list[RunRow]:
    """Runs under a condition, oldest first."""
    found = session.rows(RUN, f"SELECT {', '.join(RUN.names)} FROM run WHERE {where}", **values)
    for row in found:
        row["extra"] = from_json(row["extra"])
        for name in ("estimated_usd", "actual_usd"):
            row[name] = None if row[name] is None else Decimal(repr(row[name]))
    return sorted((RunRow(**row) for row in found), key=lambda row: (row.started_at, row.run_id))


def read_batches(
    session: Session, where: str, *, blobs: bool = False, **values: str | int | datetime | None
) -> list[BatchRow]:
    """Batches under a condition, in the order of their claims."""
    names = [name if blobs or name != "results" else "NULL AS results" for name in BATCH.names]
    found = session.rows(BATCH, f"SELECT {', '.join(names)} FROM batch WHERE {where}", **values)
    return sorted((BatchRow(**row) for row in found), key=lambda row: (row.claimed_at, row.batch_id))


def sum_run(session: Session, run_id: str) -> None:
    """Brings a run's counts up to its recorded batches."""
    session.execute(
        "UPDATE run SET files = coalesce(s.files, 0), rows = coalesce(s.rows, 0),"
        " rejected_rows = coalesce(s.rejected_rows, 0), size_bytes = coalesce(s.size_bytes, 0),"
        " failed_files = coalesce(s.failed_files, 0), snapshot_id = s.snapshot_id"
        " FROM (SELECT CAST(sum(files) AS bigint) AS files, CAST(sum(rows) AS bigint) AS rows,"
        " CAST(sum(rejected_rows) AS bigint) AS rejected_rows, CAST(sum(size_bytes) AS bigint) AS size_bytes,"
        " (SELECT count(*) FROM batch_file f JOIN batch b ON b.batch_id = f.batch WHERE b.run_id = :run_id"
        "  AND b.state = 'recorded' AND f.state IN ('FAILED', 'QUARANTINED')) AS failed_files,"
        " (SELECT l.snapshot_id FROM batch l WHERE l.run_id = :run_id AND l.snapshot_id IS NOT NULL"
        "  AND l.state = 'recorded' ORDER BY l.sequence DESC LIMIT 1) AS snapshot_id"
        " FROM batch WHERE run_id = :run_id AND state = 'recorded') AS s WHERE run.run_id = :run_id",
        run_id=run_id,
    )
