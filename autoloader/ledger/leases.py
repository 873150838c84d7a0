"""Leases: who may work on an ingestion, for how long, and how one who lost the right is fenced off.

A lease is lost when its row is gone, not when its time is up: somebody who wants the ingestion removes
leases whose time is up, and from then on their fencing tokens are refused. Times are those of the state's
server, where there is one: the clocks of the workers may differ.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pyarrow as pa

from autoloader.errors import FencedError, LeaseBusyError, LedgerError
from autoloader.ledger.base import AT, INT, TEXT, Part, check_aware, write_audit
from autoloader.ledger.rows import Lease, LeaseKind
from autoloader.ledger.session import Session

_LEASE: Final = pa.schema(
    [
        ("id", TEXT),
        ("ingestion", TEXT),
        ("kind", TEXT),
        ("holder", TEXT),
        ("token", INT),
        ("ttl_s", pa.float64()),
        ("acquired_at", AT),
        ("heartbeat_at", AT),
        ("expires_at", AT),
    ]
)


class Leases(Part):
    """Acquiring, keeping and ending leases."""

    def acquire(self, ingestion: str, kind: LeaseKind, holder: str, ttl_s: float, now: datetime) -> Lease:
        """Takes a lease. Different ingestions never wait for each other.

        Args:
            ingestion: Its name; it need not be recorded yet.
            kind: "load" tolerates other loads; "alone" tolerates nothing.
            holder: Who, for people: `user@host:pid`.
            ttl_s: How long it lasts without a heartbeat.
            now: The time.

        Raises:
            LeaseBusyError: A live lease stands against it.
        """
        self._require()
        now = self._database.lease_time(check_aware(now))
        with self._database.writing() as session:
            lock_leases(session, ingestion)
            standing = _leases(session, ingestion)
            against = [lease for lease in standing if kind == "alone" or lease.kind == "alone"]
            for lease in against:
                if lease.is_live(now):
                    raise _busy(lease)
            for lease in against:
                _remove(session, lease, now, "lease expired and taken over", holder)
            return insert_lease(session, ingestion, kind, holder, ttl_s, now)

    def share(self, lease: Lease) -> Lease:
        """Lets loads of others beside an "alone" lease that needs the ingestion alone no more.

        Returns:
            The same lease, under the same token, as a "load".

        Raises:
            FencedError: It was taken over or broken.
        """
        self._require()
        with self._database.writing() as session:
            changed = session.execute(
                "UPDATE lease SET kind = 'load' WHERE id = :id AND token = :token", id=lease.id, token=lease.token
            )
            if changed == 0:
                raise _fenced(lease)
        return replace(lease, kind="load")

    def heartbeat(self, lease: Lease, now: datetime) -> Lease:
        """Prolongs a lease by its time to live, even one whose time is up if nobody has taken it.

        Raises:
            FencedError: It was taken over or broken.
        """
        self._require()
        now = self._database.lease_time(check_aware(now))
        expires_at = now + timedelta(seconds=lease.ttl_s)
        with self._database.writing() as session:
            changed = session.execute(
                "UPDATE lease SET heartbeat_at = :now, expires_at = :expires_at WHERE id = :id AND token = :token",
                now=now,
                expires_at=expires_at,
                id=lease.id,
                token=lease.token,
            )
            if changed == 0:
                raise _fenced(lease)
        return replace(lease, heartbeat_at=now, expires_at=expires_at)

    def check_lease(self, lease: Lease) -> None:
        """Returns if the lease is still the holder's; to be asked right before a commit.

        Raises:
            FencedError: It was taken over or broken.
        """
        self._require()
        with self._database.reading() as session:
            check_current(session, lease)

    def unlock(self, lease: Lease) -> None:
        """Ends a lease. Ending one that is gone already is fine."""
        self._require()
        with self._database.writing() as session:
            session.execute("DELETE FROM lease WHERE id = :id AND token = :token", id=lease.id, token=lease.token)

    def raise_tokens(self, above: int) -> None:
        """Lets the tokens of leases to come lie above one that this state has not given away, or does not remember."""
        self._require()
        project = self._project()
        if project is None or project.next_token > above:
            return
        with self._database.writing() as session:
            session.execute("UPDATE project SET next_token = :above + 1 WHERE next_token <= :above", above=above)

    def leases(self, ingestion: str | None = None) -> tuple[Lease, ...]:
        """All leases, those whose time is up included, by ingestion and token."""
        if not self.exists:
            return ()
        with self._database.reading() as session:
            return tuple(_leases(session, ingestion))

    def living(self, ingestion: str | None = None, *, now: datetime) -> tuple[Lease, ...]:
        """The leases whose time is not up, by ingestion and token."""
        at = self._database.lease_time(check_aware(now)) if self.exists else now
        return tuple(lease for lease in self.leases(ingestion) if lease.is_live(at))

    def break_lease(self, lease_id: str, reason: str, *, now: datetime, actor: str | None = None) -> Lease:
        """Takes a lease away from its holder, who is fenced from then on.

        Returns:
            The lease as it was.

        Raises:
            LedgerError: There is no such lease.
        """
        self._require()
        check_aware(now)
        with self._database.writing() as session:
            found = [lease for lease in _leases(session, None) if lease.id == lease_id]
            if not found:
                raise LedgerError(f"There is no lock {lease_id}.", fix="autoloader locks list")
            _remove(session, found[0], now, "lease broken", actor, reason)
        return found[0]


def insert_lease(session: Session, ingestion: str, kind: str, holder: str, ttl_s: float, now: datetime) -> Lease:
    """Adds a lease with the next fencing token. The caller has checked that nothing stands against it."""
    token = session.query("UPDATE project SET next_token = next_token + 1 RETURNING next_token - 1 AS token")
    lease = Lease(
        id=uuid.uuid4().hex[:12],
        ingestion=ingestion,
        kind=kind,
        holder=holder,
        token=int(token.column(0)[0].as_py()),
        ttl_s=float(ttl_s),
        acquired_at=now,
        heartbeat_at=now,
        expires_at=now + timedelta(seconds=ttl_s),
    )
    names = _LEASE.names
    session.execute(
        f"INSERT INTO lease ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})",
        **{name: getattr(lease, name) for name in names},
    )
    return lease


def check_current(session: Session, lease: Lease, ingestion: str | None = None) -> None:
    """Checks that a lease is still its holder's, and is for `ingestion` where one is named.

    In a transaction on Postgres it cannot be taken away from then on until the end; heartbeats go on.

    Raises:
        FencedError: The lease was taken over or broken.
    """
    lock = "" if session.is_sqlite else "FOR KEY SHARE"
    found = session.query(
        f"SELECT ingestion FROM lease WHERE id = :id AND token = :token {lock}", id=lease.id, token=lease.token
    )
    if found.num_rows == 0 or ingestion not in (None, found.column("ingestion")[0].as_py()):
        raise _fenced(lease)


def make_way(session: Session, lease_id: str | None, ingestion: str, now: datetime, holder: str) -> None:
    """Removes one lease if its time is up.

    Raises:
        LeaseBusyError: It is live, or somebody else has the ingestion alone.
    """
    lock_leases(session, ingestion)
    for lease in _leases(session, ingestion):
        if lease.is_live(now) and (lease.id == lease_id or (lease.kind == "alone" and lease.holder != holder)):
            raise _busy(lease)
        if lease.id == lease_id:
            _remove(session, lease, now, "lease expired and taken over", holder)


def _leases(session: Session, ingestion: str | None) -> list[Lease]:
    where = "" if ingestion is None else "WHERE ingestion = :ingestion"
    found = session.rows(_LEASE, f"SELECT {', '.join(_LEASE.names)} FROM lease {where}", ingestion=ingestion)
    return sorted((Lease(**row) for row in found), key=lambda lease: (lease.ingestion, lease.token))


def lock_leases(session: Session, ingestion: str) -> None:
    """On Postgres one change of an ingestion's set of leases at a time; SQLite has one writer anyway."""
    if not session.is_sqlite:
        session.query(
            "SELECT 1 AS n FROM (SELECT pg_advisory_xact_lock(hashtext('lease'), hashtext(:name))) held",
            name=ingestion,
        )


def _remove(
    session: Session, lease: Lease, now: datetime, action: str, actor: str | None, reason: str | None = None
) -> None:
    session.execute("DELETE FROM lease WHERE id = :id", id=lease.id)
    detail = {"lease": lease.id, "kind": lease.kind, "holder": lease.holder, "token": lease.token}
    if reason is not None:
        detail["reason"] = reason
    write_audit(session, action, lease.ingestion, now, actor=actor, detail=detail)


def _busy(lease: Lease) -> LeaseBusyError:
    return LeaseBusyError(
        f"{lease.ingestion} is locked by {lease.holder}.",
        why=f"Lock {lease.id} ({lease.kind}) was taken at {lease.acquired_at:%Y-%m-%d %H:%M:%S} UTC and lasts"
        f" until {lease.expires_at:%Y-%m-%d %H:%M:%S} UTC unless it is prolonged.",
        fix=f'Wait for it to end. If its holder is gone:\nautoloader locks break {lease.id} --reason "..."',
    )


def _fenced(lease: Lease) -> FencedError:
    return FencedError(
        f"The lock {lease.id} on {lease.ingestion} is no longer held by {lease.holder}.",
        why="Its time ran out and somebody else took over, or it was broken.",
        fix="Run again: what was committed is found, what was not is given back.",
    )
