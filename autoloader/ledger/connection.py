"""The way to the state database: one URL, short sessions, Arrow in and out, every failure one `LedgerError`.

Runtime traffic goes through ADBC alone. It moves columns without a Python object per row, needs no ORM
import (planning stays quick), and keeps one SQLite library per open file: two copies in one process would
drop each other's file locks. SQLAlchemy is met in `tables` and `migrate` only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from autoloader.ledger.address import Address
from autoloader.ledger.failures import is_away, ledger_error
from autoloader.ledger.session import INSTANT_US, Session

if TYPE_CHECKING:
    from adbc_driver_manager import AdbcConnection, AdbcDatabase

_LOOK_AGAIN_S: Final = 0.25
_NO_SKEW: Final = timedelta(seconds=1)


class Database:
    """Opens sessions on one state database. Holds no connection between two sessions.

    Attributes:
        address: Where the database is.
        busy_timeout_s: How long a session waits for another one's lock before it gives up.
    """

    def __init__(self, address: Address, busy_timeout_s: float = 15.0) -> None:
        self.address = address
        self.busy_timeout_s = busy_timeout_s
        self._handle: AdbcDatabase | None = None
        self._reached = False
        self._skew: timedelta | None = None
        self._check: Callable[[Session], None] | None = None

    def guarded(self, check: Callable[[Session], None]) -> Database:
        """The same database, whose transactions all begin with a check: where it raises, nothing is changed."""
        found = copy(self)
        found._check = check
        return found

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.address.path is not None

    def is_present(self) -> bool:
        """Whether there is a database to read: for SQLite a file, for a server always True."""
        path = self.address.path
        try:
            return path is None or (path.exists() and path.stat().st_size > 0)
        except OSError as error:
            raise ledger_error(self.address, error) from error

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that reads.

        Raises:
            LedgerError: The database cannot be reached or read.
        """
        with self._session() as session:
            yield session

    @contextmanager
    def writing(self, first: Callable[[Session], None] | None = None) -> Iterator[Session]:
        """A session that is one transaction: committed at the end, rolled back on any error.

        Args:
            first: What is to be locked before the check of a guarded database locks anything.

        Raises:
            LedgerError: The database cannot be reached or written; nothing was changed.
            LockBusyError: Somebody else kept it locked for longer than the timeout.
        """
        with self._session() as session:
            session.begin(self.busy_timeout_s)
            try:
                if first is not None:
                    first(session)
                if self._check is not None:
                    self._check(session)
                yield session
            except BaseException:
                session.rollback()
                raise
            session.commit()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        handle, connection = self._connect()
        try:
            session = Session(self.address, connection)
            if self.is_sqlite:
                session.query(f"PRAGMA busy_timeout = {int(self.busy_timeout_s * 1000)}")
            yield session
        finally:
            connection.close()
            if self.is_sqlite:
                handle.close()

    def _connect(self) -> tuple[AdbcDatabase, AdbcConnection]:
        """A connection. A server that answered before and does not now is given some time to come back."""
        import adbc_driver_manager as manager

        give_up_at = time.monotonic() + (self.busy_timeout_s if self._reached else 0.0)
        while True:
            try:
                handle = self._handle or self._open()
                connection = manager.AdbcConnection(handle)
            except (manager.Error, ImportError) as error:
                away = not self.is_sqlite and is_away(str(error), getattr(error, "sqlstate", None) or "")
                if not away or time.monotonic() > give_up_at:
                    raise ledger_error(self.address, error) from None
                time.sleep(_LOOK_AGAIN_S)
            else:
                self._reached = True
                return handle, connection

    def lease_time(self, now: datetime) -> datetime:
        """A time of this process on the clock that all workers share: that of the server, where there is one.

        Measured once a process; less than a second is no difference.
        """
        if self.is_sqlite:
            return now
        if self._skew is None:
            with self.reading() as session:
                before = datetime.now(UTC)
                [row] = session.rows(pa.schema([("at", INSTANT_US)]), "SELECT clock_timestamp() AS at")
                skew = row["at"] - (before + (datetime.now(UTC) - before) / 2)
            self._skew = skew if abs(skew) >= _NO_SKEW else timedelta(0)
        return now + self._skew

    def _open(self) -> AdbcDatabase:
        import adbc_driver_manager as manager

        if self.is_sqlite:
            import adbc_driver_sqlite

            return manager.AdbcDatabase(driver=adbc_driver_sqlite._driver_path(), uri=self.address.driver_uri())
        import adbc_driver_postgresql

        # Kept: it has read the server's types, which costs more than a connection.
        self._handle = manager.AdbcDatabase(driver=adbc_driver_postgresql._driver_path(), uri=self.address.driver_uri())
        return self._handle
