"""Claiming files for a batch, keeping what the loader found, and giving files back.

One claim is one set-based transaction. Files that moved since the plan are left out and named; a file in
state PROCESSING is never taken, whosever it is: an unfinished batch goes through recovery first.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.errors import FencedError, LedgerError
from autoloader.ledger.base import INT, TEXT, Part, check_aware, take_numbers
from autoloader.ledger.connection import Session
from autoloader.ledger.leases import check_current, insert_lease, remove_expired
from autoloader.ledger.rows import BatchRow, Claimed, Lease
from autoloader.ledger.runs import read_batches

KEPT: Final = tuple(
    "state src_file_id file_size modified_at modified_at_ns etag version_id retry_count error rows rejected_rows"
    " fingerprint schema_version batch data_date processed_at seconds next_attempt_at reload".split()
)
"""The columns of `processed_file` that a claim puts aside as `prior_…`, for `release` to restore."""

_TODO: Final = {
    "file_path": "file_path",
    "size_bytes": "file_size",
    "modified_at": "modified_at_ns",
    "etag": "etag",
    "version_id": "version_id",
    "data_date": "data_date",
    "disposition": "disposition",
    "replaces": "replaces",
    "retry_count": "known_retry_count",
}
_TYPES: Final = {
    "modified_at": INT, "size_bytes": INT, "replaces": INT, "retry_count": INT, "data_date": pa.date32(),
}  # fmt: skip

_PLACES: Final = pa.schema([("n", INT)])
_NONE_OUT: Final = pa.schema([("n", INT), ("reason", TEXT)]).empty_table()

_SAME_NOW: Final = (
    "CASE WHEN f.version_id IS NOT NULL AND t.version_id IS NOT NULL THEN f.version_id = t.version_id"
    " WHEN f.etag IS NOT NULL AND t.etag IS NOT NULL THEN f.etag = t.etag AND f.file_size = t.file_size"
    " ELSE f.file_size = t.file_size AND f.modified_at_ns = t.modified_at_ns END"
)
"""The file rule of `inventory.same_identity_sql`, on the ledger's columns; null counts as false."""

_MOVED: Final = (
    "CASE WHEN f.state = 'PROCESSING' THEN 'another batch holds it'"
    " WHEN t.replaces IS NOT NULL AND f.src_file_id IS DISTINCT FROM t.replaces"
    " THEN 'its rows in the table are of another version than planned'"
    f" WHEN t.replaces IS NULL AND t.disposition <> 'reingest' AND f.state = 'SUCCESS' AND coalesce({_SAME_NOW}, false)"
    " THEN 'it was loaded since the plan'"
    " WHEN t.replaces IS NULL AND t.disposition IN ('new', 'late', 'retry') AND f.src_file_id IS NOT NULL"
    " THEN 'another version of it was loaded since the plan'"
    " WHEN t.disposition = 'retry' AND f.state IN ('FAILED', 'QUARANTINED') AND f.retry_count > t.known_retry_count"
    f" AND coalesce({_SAME_NOW}, false) THEN 'it was tried since the plan' END"
)
"""Why a remembered file may not be claimed as planned; null: it may.

What was seen of it since does not matter, only what would double or lose rows: that somebody is at it, that
this version is loaded, or that the rows to leave are not the ones that the plan meant. A rebuild loads
every file again beside the old table: it replaces nothing and is not held against what is loaded.
"""


class Claims(Part):
    """The first half of a batch's life, and its end when it is given up."""

    def claim(
        self,
        run_id: str,
        ingestion: str,
        lane: str,
        files: pa.Table,
        lease: Lease,
        *,
        now: datetime,
        batch_id: str | None = None,
    ) -> Claimed:
        """Takes files for one batch: state PROCESSING, identity pinned, a fresh src_file_id each.

        Args:
            run_id: The run.
            ingestion: Its ingestion.
            lane: Its lane.
            files: Rows of `inventory.DIFF`, no path twice, in load order.
            lease: A lease on the ingestion; the batch is bound to its fencing token.
            now: The time.
            batch_id: The id to use; None makes one.

        Raises:
            FencedError: The lease is lost.
        """
        self._require()
        check_aware(now)
        batch_id = batch_id or uuid.uuid4().hex
        with self._database.writing() as session:
            check_current(session, lease)
            session.stage("todo", staged_files(files), key="file_path")
            _hold(session, ingestion)
            _insert_unseen(session, ingestion, batch_id, now)
            places = session.read(_PLACES, "SELECT n FROM held").sort_by("n")["n"]
            first = 0
            if len(places):
                first = take_numbers(self._database, session, len(places))
                _keep_versions(session, ingestion, batch_id, first)
                _take(session, ingestion, batch_id)
                _insert_batch(session, batch_id, run_id, ingestion, lane, lease, now)
            out = _left_out(session, ingestion) if len(places) < files.num_rows else _NONE_OUT
        numbers = pa.array(range(first, first + len(places)), INT)
        claimed = files.take(places).append_column("src_file_id", numbers)
        left_out = pa.table({"file_path": files["file_path"].take(out["n"]), "reason": out["reason"]})
        return Claimed(batch_id, claimed, left_out)

    def written(self, batch_id: str, results: bytes, *, lease: Lease, now: datetime) -> None:
        """Keeps the loader's results before the commit, so that a crash after it loses none of them.

        Raises:
            FencedError: The lease is lost, or the batch was taken over.
            LedgerError: There is no such batch in state claimed or written.
        """
        self._require()
        with self._database.writing() as session:
            check_batch(session, batch_id, lease, ("claimed", "written"))
            session.execute(
                "UPDATE batch SET state = 'written', results = :results, written_at = :now WHERE batch_id = :batch",
                results=results,
                now=check_aware(now),
                batch=batch_id,
            )

    def release(self, batch_id: str, *, lease: Lease, now: datetime) -> int:
        """Gives up a batch that was not committed: every file is again what it was before the claim.

        Returns:
            How many files were given back; 0 where the batch was released already.

        Raises:
            FencedError: The lease is lost, or the batch was taken over.
            LedgerError: The batch was recorded, or there is none.
        """
        self._require()
        with self._database.writing() as session:
            batch = check_batch(session, batch_id, lease, ("claimed", "written", "released"))
            if batch.state == "released":
                return 0
            given_back = restore_prior(session, "b.batch = :batch AND b.state = 'PROCESSING'", batch=batch_id)
            session.execute("UPDATE batch_file SET state = 'RELEASED' WHERE batch = :batch", batch=batch_id)
            session.execute(
                "UPDATE batch SET state = 'released', results = NULL, recorded_at = :now WHERE batch_id = :batch",
                now=check_aware(now),
                batch=batch_id,
            )
        return given_back

    def unfinished(self, ingestion: str | None = None, *, now: datetime) -> tuple[BatchRow, ...]:
        """Batches that were claimed or written and whose lease is dead, blobs included, oldest first."""
        if not self.exists:
            return ()
        where = "" if ingestion is None else " AND batch.ingestion = :ingestion"
        with self._database.reading() as session:
            found = read_batches(
                session,
                "state IN ('claimed', 'written') AND NOT EXISTS (SELECT 1 FROM lease l"
                f" WHERE l.id = batch.lease AND l.token = batch.token AND l.expires_at > :now){where}",
                blobs=True,
                now=check_aware(now),
                ingestion=ingestion,
            )
        return tuple(found)

    def take_over(self, batch_id: str, holder: str, ttl_s: float, now: datetime) -> Lease:
        """Takes an unfinished batch from a dead holder, who is fenced off from then on.

        Returns:
            A fresh "load" lease to record or release the batch with; `unlock` it afterwards.

        Raises:
            LockBusyError: Its holder is alive.
            LedgerError: The batch is finished, or there is none.
        """
        self._require()
        check_aware(now)
        with self._database.writing() as session:
            lock = "" if session.is_sqlite else " FOR UPDATE"
            batch = find_batch(session, batch_id, ("claimed", "written"), lock)
            remove_expired(session, batch.lease, batch.ingestion, now, holder)
            lease = insert_lease(session, batch.ingestion, "load", holder, ttl_s, now)
            session.execute(
                "UPDATE batch SET lease = :lease, token = :token WHERE batch_id = :batch",
                lease=lease.id,
                token=lease.token,
                batch=batch_id,
            )
        return lease


def find_batch(session: Session, batch_id: str, states: tuple[str, ...], lock: str = "") -> BatchRow:
    """One batch, blob left out.

    Raises:
        LedgerError: There is none, or its state is not one of `states`.
    """
    found = read_batches(session, f"batch_id = :batch{lock}", batch=batch_id)
    if not found:
        raise LedgerError(f"There is no batch {batch_id}.", fix="autoloader runs")
    if found[0].state not in states:
        raise LedgerError(f"Batch {batch_id} is {found[0].state} already.", fix="autoloader runs")
    return found[0]


def check_batch(session: Session, batch_id: str, lease: Lease, states: tuple[str, ...]) -> BatchRow:
    """The batch, locked, if `lease` may still change it.

    Raises:
        FencedError: The lease is lost, or the batch belongs to another one.
        LedgerError: There is none, or its state is not one of `states`.
    """
    check_current(session, lease)
    batch = find_batch(session, batch_id, states, "" if session.is_sqlite else " FOR UPDATE")
    if batch.token != lease.token:
        raise FencedError(
            f"Batch {batch_id} was taken over.",
            why=f"Its fencing token is {batch.token}, this holder's is {lease.token}.",
            fix="Run again.",
        )
    return batch


def restore_prior(session: Session, where: str, **values: str | int) -> int:
    """Makes files again what they were before the claims that `where` selects among `batch_file b`.

    The condition must select at most one claim of a path. Files that were unseen before leave the ledger's
    table of files; their claims stay in `batch_file`.
    """
    changes = ", ".join(f"{name} = b.prior_{name}" for name in KEPT)
    restored = session.execute(
        f"UPDATE processed_file SET {changes} FROM batch_file b WHERE b.ingestion = processed_file.ingestion"
        f" AND b.file_path = processed_file.file_path AND b.prior_state IS NOT NULL AND {where}",
        **values,
    )
    removed = session.execute(
        "DELETE FROM processed_file WHERE (ingestion, file_path) IN"
        f" (SELECT b.ingestion, b.file_path FROM batch_file b WHERE b.prior_state IS NULL AND {where})",
        **values,
    )
    return restored + removed


def staged_files(files: pa.Table) -> pa.Table:
    """Rows of `inventory.DIFF` as a table to stage: the ledger's column names, and `n`, their place."""
    columns: dict[str, pa.Array | pa.ChunkedArray] = {"n": pa.array(range(files.num_rows), INT)}
    for name, staged in _TODO.items():
        kind = _TYPES.get(name, TEXT)
        if name in files.column_names:
            columns[staged] = files.column(name).cast(kind)
        else:
            columns[staged] = pa.nulls(files.num_rows, kind)
    at = pc.floor_temporal(columns["modified_at_ns"].cast(pa.timestamp("ns", tz="UTC")), unit="microsecond")
    columns["modified_at"] = at.cast(pa.timestamp("us", tz="UTC"))
    return pa.table(columns)


def _hold(session: Session, ingestion: str) -> None:
    """Locks the remembered files that may be claimed; rows that somebody else has locked are passed over."""
    lock = "" if session.is_sqlite else "FOR UPDATE OF f SKIP LOCKED"
    session.execute("CREATE TEMPORARY TABLE held (n bigint PRIMARY KEY, unseen boolean NOT NULL)")
    found = (
        "SELECT t.n AS n FROM todo t JOIN processed_file f"
        f" ON f.ingestion = :ingestion AND f.file_path = t.file_path WHERE ({_MOVED}) IS NULL {lock}"
    )
    session.execute(f"INSERT INTO held SELECT n, false FROM ({found}) AS found", ingestion=ingestion)


def _insert_unseen(session: Session, ingestion: str, batch_id: str, now: datetime) -> None:
    """Makes a row for every path without one; a path that somebody else inserts meanwhile is theirs."""
    unseen = session.execute(
        "INSERT INTO held SELECT t.n, true FROM todo t WHERE NOT EXISTS"
        " (SELECT 1 FROM processed_file f WHERE f.ingestion = :ingestion AND f.file_path = t.file_path)",
        ingestion=ingestion,
    )
    # Sorted, so that two workers that insert the same paths wait for each other in one order.
    made = session.execute(
        "INSERT INTO processed_file (ingestion, file_path, file_size, modified_at, modified_at_ns, etag,"
        " version_id, state, retry_count, batch, data_date, discovered_at, reload)"
        " SELECT :ingestion, t.file_path, t.file_size, t.modified_at, t.modified_at_ns, t.etag, t.version_id,"
        " 'PROCESSING', 0, :batch, t.data_date, :now, false FROM held h JOIN todo t ON t.n = h.n"
        " WHERE h.unseen ORDER BY t.file_path ON CONFLICT (ingestion, file_path) DO NOTHING",
        ingestion=ingestion,
        batch=batch_id,
        now=now,
    )
    if made != unseen:
        session.execute(
            "DELETE FROM held WHERE unseen AND n NOT IN (SELECT t.n FROM todo t JOIN processed_file f"
            " ON f.ingestion = :ingestion AND f.file_path = t.file_path WHERE f.batch = :batch)",
            ingestion=ingestion,
            batch=batch_id,
        )


def _keep_versions(session: Session, ingestion: str, batch_id: str, first: int) -> None:
    """One row per claimed version, numbered in load order, with what its file was before."""
    prior = ", ".join(f"prior_{name}" for name in KEPT)
    new = "src_file_id, batch, ingestion, file_path, file_size, modified_at_ns, etag, version_id, data_date,"
    new += " disposition, replaces, state"
    claimed = (
        "r.number, :batch, :ingestion, t.file_path, t.file_size, t.modified_at_ns, t.etag, t.version_id,"
        " t.data_date, t.disposition, t.replaces, 'PROCESSING'"
    )
    ranked = "(SELECT n, unseen, :first - 1 + row_number() OVER (ORDER BY n) AS number FROM held) r"
    session.execute(
        f"INSERT INTO batch_file ({new}) SELECT {claimed} FROM {ranked} JOIN todo t ON t.n = r.n WHERE r.unseen",
        first=first,
        batch=batch_id,
        ingestion=ingestion,
    )
    session.execute(
        f"INSERT INTO batch_file ({new}, {prior}) SELECT {claimed}, {', '.join('f.' + name for name in KEPT)}"
        f" FROM {ranked} JOIN todo t ON t.n = r.n"
        " JOIN processed_file f ON f.ingestion = :ingestion AND f.file_path = t.file_path WHERE NOT r.unseen",
        first=first,
        batch=batch_id,
        ingestion=ingestion,
    )


def _take(session: Session, ingestion: str, batch_id: str) -> None:
    # A retry counts on; any other work on a file is a fresh start.
    session.execute(
        "UPDATE processed_file SET state = 'PROCESSING', batch = :batch, file_size = t.file_size,"
        " modified_at = t.modified_at, modified_at_ns = t.modified_at_ns, etag = t.etag,"
        " version_id = t.version_id, data_date = t.data_date, error = NULL, next_attempt_at = NULL,"
        " retry_count = CASE WHEN t.disposition = 'retry' THEN processed_file.retry_count ELSE 0 END"
        " FROM held h JOIN todo t ON t.n = h.n"
        " WHERE NOT h.unseen AND processed_file.ingestion = :ingestion AND processed_file.file_path = t.file_path",
        batch=batch_id,
        ingestion=ingestion,
    )


def _insert_batch(
    session: Session, batch_id: str, run_id: str, ingestion: str, lane: str, lease: Lease, now: datetime
) -> None:
    session.execute(
        "INSERT INTO batch (batch_id, run_id, ingestion, lane, state, lease, token, files, size_bytes,"
        " claimed_at) SELECT :batch, :run_id, :ingestion, :lane, 'claimed', :lease, :token, count(*),"
        " CAST(coalesce(sum(file_size), 0) AS bigint), :now FROM batch_file WHERE batch = :batch",
        batch=batch_id,
        run_id=run_id,
        ingestion=ingestion,
        lane=lane,
        lease=lease.id,
        token=lease.token,
        now=now,
    )


def _left_out(session: Session, ingestion: str) -> pa.Table:
    return session.read(
        _NONE_OUT.schema,
        f"SELECT t.n, coalesce({_MOVED}, 'another worker is claiming it') AS reason FROM todo t"
        " LEFT JOIN processed_file f ON f.ingestion = :ingestion AND f.file_path = t.file_path"
        " WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.n = t.n)",
        ingestion=ingestion,
    ).sort_by("n")
