"""`Ledger`, the sum of its parts, and how to open one."""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

from autoloader.ledger.address import parse_address
from autoloader.ledger.base import VERSION
from autoloader.ledger.claims import Claims
from autoloader.ledger.connection import Database
from autoloader.ledger.files import Files
from autoloader.ledger.ingestions import Ingestions
from autoloader.ledger.journal import Journal
from autoloader.ledger.leases import Leases, check_current
from autoloader.ledger.marks import Marks
from autoloader.ledger.records import Records
from autoloader.ledger.restoring import Restoring
from autoloader.ledger.rows import Lease
from autoloader.ledger.runs import Runs

_MAKING: Final = threading.Lock()
"""Making a state opens its file with a second SQLite library, which in one process drops the first one's locks."""


class Ledger(Ingestions, Journal, Files, Leases, Runs, Claims, Records, Marks, Restoring):
    """What is remembered of every file of every ingestion.

    Holds no connection and no lock between two calls; may be used from several threads. Every method
    that changes something is one transaction and takes the time from its caller.
    """

    @property
    def label(self) -> str:
        """How messages name the database: never with a password."""
        return self._database.address.label

    @property
    def lineage(self) -> str | None:
        """The id that `init` gave to this history, None before it."""
        return self._opened.lineage if self.exists and self._opened else None

    @property
    def serial(self) -> int:
        """Rises with every recorded change of an ingestion; 0 before the first. Read anew each time."""
        project = self._project() if self.exists else None
        return project.serial if project else 0

    @property
    def next_token(self) -> int:
        """The fencing token that the next lease gets; every one below it was given away. Read anew each time."""
        project = self._project() if self.exists else None
        return project.next_token if project else 1

    def under(self, lease: Lease) -> Ledger:
        """The same ledger for whoever holds a lease: each change is refused once it is lost, in its own transaction.

        Returns:
            A ledger whose methods that change something also raise `FencedError`.
        """
        return Ledger(self._database.guarded(partial(check_current, lease=lease)))

    def init(self) -> None:
        """Makes the tables or brings them to this release's form. Doing so twice, or at once, is fine.

        Raises:
            LedgerError: The database cannot be reached or written, or a newer release wrote it.
        """
        from autoloader.ledger.migrate import migrate

        with _MAKING:
            migrate(self._database.address, self._database.busy_timeout_s, VERSION)
            self._opened = self._project()

    def check_writable(self) -> None:
        """Write nothing, in a transaction, to see whether one could.

        Raises:
            LedgerError: The state cannot be written: a file or disk for reading alone, or no right to do so.
            LockBusyError: Somebody else kept it locked for longer than the timeout.
        """
        self._require()
        with self._database.writing() as session:
            session.execute("UPDATE project SET serial = serial WHERE id < 0")


def open_ledger(url: str, *, create: bool = False, busy_timeout_s: float = 15.0) -> Ledger:
    """Opens the state.

    Args:
        url: SQLAlchemy URL: `sqlite:///FILE` (a relative path starts at the working directory) or
            `postgresql://…`.
        create: Whether to make or upgrade it. Otherwise a missing SQLite file stays missing: the ledger then
            says `exists` False and answers everything with nothing.
        busy_timeout_s: How long to wait for another process's lock.

    Raises:
        LedgerError: It cannot be reached or read, is damaged, or was written by another release.
    """
    ledger = Ledger(Database(parse_address(url), busy_timeout_s))
    if create:
        ledger.init()
    else:
        _ = ledger.exists
    return ledger
