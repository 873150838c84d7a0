"""Claiming files for a batch, keeping what the loader found, and giving files back.

One claim is one set-based transaction. Files that moved since the plan are left out and named; a file in
state PROCESSING is never taken, whosever it is: an unfinished batch goes through recovery first.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from functools import partial

import pyarrow as pa

from autoloader.errors import FencedError, LedgerError
from autoloader.ledger import claiming
from autoloader.ledger.base import INT, Part, check_aware, empty, take_numbers
from autoloader.ledger.claiming import OUT, PLACES, restore_prior, staged_files
from autoloader.ledger.leases import check_current, insert_lease, lock_leases, make_way
from autoloader.ledger.rows import BatchRow, Claimed, Lease
from autoloader.ledger.runs import read_batches
from autoloader.ledger.session import Session


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
            FencedError: The lease is lost, or is one on another ingestion.
        """
        self._require()
        check_aware(now)
        batch_id = batch_id or uuid.uuid4().hex
        with self._database.writing() as session:
            check_current(session, lease, ingestion)
            session.stage("todo", staged_files(files), key="file_path")
            claiming.hold_known(session, ingestion)
            claiming.insert_unseen(session, ingestion, batch_id, now)
            places = session.read(PLACES, "SELECT n FROM held").sort_by("n")["n"]
            first = 0
            if len(places):
                first = take_numbers(self._database, session, len(places))
                claiming.keep_versions(session, ingestion, batch_id, first)
                claiming.take_known(session, ingestion, batch_id)
                claiming.insert_batch(session, batch_id, run_id, ingestion, lane, lease, now)
            out = claiming.left_out(session, ingestion) if len(places) < files.num_rows else empty(OUT)
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

    def unfinished(
        self, ingestion: str | None = None, *, now: datetime, gone: Collection[str] = ()
    ) -> tuple[BatchRow, ...]:
        """Batches that were claimed or written and whose lease is dead, blobs included, oldest first.

        Args:
            ingestion: Of that one alone; None: of all.
            now: The time.
            gone: Ids of leases whose holders are known to be gone, though their time is not up.
        """
        if not self.exists:
            return ()
        where = "" if ingestion is None else " AND batch.ingestion = :ingestion"
        leases = {f"gone_{number}": lease for number, lease in enumerate(gone)}
        but = f" AND l.id NOT IN ({', '.join(':' + each for each in leases)})" if leases else ""
        with self._database.reading() as session:
            found = read_batches(
                session,
                "state IN ('claimed', 'written') AND NOT EXISTS (SELECT 1 FROM lease l"
                f" WHERE l.id = batch.lease AND l.token = batch.token AND l.expires_at > :now{but}){where}",
                blobs=True,
                now=self._database.lease_time(check_aware(now)),
                ingestion=ingestion,
                **leases,
            )
        return tuple(found)

    def released(self, *, since: datetime) -> tuple[BatchRow, ...]:
        """Batches that were given back since then, oldest first."""
        if not self.exists:
            return ()
        with self._database.reading() as session:
            return tuple(
                read_batches(session, "state = 'released' AND recorded_at >= :since", since=check_aware(since))
            )

    def take_over(self, batch_id: str, holder: str, ttl_s: float, now: datetime) -> Lease:
        """Takes an unfinished batch from a dead holder, who is fenced off from then on.

        Returns:
            A fresh "load" lease to record or release the batch with; `unlock` it afterwards.

        Raises:
            LockBusyError: Its holder is alive, or somebody else has the ingestion alone.
            LedgerError: The batch is finished, or there is none.
        """
        self._require()
        now = self._database.lease_time(check_aware(now))
        with self._database.reading() as session:
            ingestion = find_batch(session, batch_id, ("claimed", "written")).ingestion
        # the set of leases before any one of them, as `acquire` does: else the two could wait for each other
        with self._database.writing(partial(lock_leases, ingestion=ingestion)) as session:
            lock = "" if session.is_sqlite else " FOR UPDATE"
            batch = find_batch(session, batch_id, ("claimed", "written"), lock)
            make_way(session, batch.lease, batch.ingestion, now, holder)
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
