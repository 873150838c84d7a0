"""Makes and upgrades the tables by Alembic. The only place that opens SQLAlchemy's own connections.

Imported when `init` is called and never by a plan: SQLAlchemy, SQLModel and Alembic cost half a second.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from autoloader.errors import AutoloaderError
from autoloader.ledger.address import Address
from autoloader.ledger.failures import ledger_error

_INIT_LOCK: Final = 0x6175746F6C6F6164  # advisory lock number, "autoload" in ASCII


def migrate(address: Address, busy_timeout_s: float, version: str) -> None:
    """Brings the tables to this release's form, in one transaction; gives a new state its lineage id.

    Two processes may do it at once: the second waits and then finds it done.

    Args:
        address: The database; a missing SQLite file and its folder are made.
        busy_timeout_s: How long to wait for another process.
        version: What to write into `project.version`.

    Raises:
        LedgerError: It cannot be made or written; nothing was changed.
        LockBusyError: Another process kept it locked for longer than the timeout.
    """
    engine = None
    try:
        if address.path is not None:
            address.path.parent.mkdir(parents=True, exist_ok=True)
        engine = _engine(address, busy_timeout_s)
        with engine.begin() as connection:
            if address.path is None:
                connection.execute(sa.text(f"SET LOCAL lock_timeout = {int(busy_timeout_s * 1000)}"))
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _INIT_LOCK})
            _upgrade(connection, version)
    except AutoloaderError:
        raise
    except (sa.exc.SQLAlchemyError, OSError, ImportError) as error:
        raise ledger_error(address, getattr(error, "orig", None) or error) from None
    finally:
        if engine is not None:
            engine.dispose()


def configuration(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration for the versions in this package, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: sa.Connection, version: str) -> None:
    command.upgrade(configuration(connection), "head")
    found = connection.execute(sa.text("SELECT version FROM project")).scalar_one_or_none()
    if found is None:
        connection.execute(
            sa.text(
                "INSERT INTO project (id, lineage, serial, version, next_src_file_id, next_token)"
                " VALUES (1, :lineage, 0, :version, 1, 1)"
            ),
            {"lineage": str(uuid.uuid4()), "version": version},
        )
    elif found != version:
        connection.execute(sa.text("UPDATE project SET version = :version"), {"version": version})


def _engine(address: Address, busy_timeout_s: float) -> sa.Engine:
    if address.path is None:
        url = sa.make_url(address.driver_uri()).set(drivername="postgresql+psycopg")
        return sa.create_engine(url, poolclass=sa.pool.NullPool)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(address.path)),
        poolclass=sa.pool.NullPool,
        connect_args={"isolation_level": None, "timeout": busy_timeout_s},
    )

    # Otherwise the driver opens no transaction before DDL and a failed migration leaves half of it.
    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @sa.event.listens_for(engine, "connect")
    def _prepare(driver_connection: Any, _record: object) -> None:
        # WAL lets a plan read while an apply writes. Some network disks refuse it: then it stays as it is.
        driver_connection.execute("PRAGMA journal_mode = wal").close()

    return engine
