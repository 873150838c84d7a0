"""What every part of the ledger shares: the database, the schema check, the audit line, the counters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from autoloader.errors import LedgerError
from autoloader.ledger.connection import Database
from autoloader.ledger.rows import ProjectRow
from autoloader.ledger.session import INSTANT_US, Session

VERSION: Final = "0001"
"""The newest migration of this release."""

AT: Final = INSTANT_US
TEXT: Final = pa.string()
INT: Final = pa.int64()

PROJECT: Final = pa.schema([("lineage", TEXT), ("serial", INT), ("version", TEXT), ("next_token", INT)])


class Part:
    """Base of the ledger's parts. Each adds the methods of one concern; `Ledger` is their sum."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._opened: ProjectRow | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a state to read. A missing one answers everything with nothing."""
        if self._opened is None:
            self._opened = self._project()
        return self._opened is not None

    def _project(self) -> ProjectRow | None:
        if not self._database.is_present():
            return None
        catalog = (
            "SELECT count(*) AS n FROM sqlite_master WHERE type = 'table' AND name = 'project'"
            if self._database.is_sqlite
            else "SELECT count(*) AS n FROM pg_catalog.pg_class WHERE oid = to_regclass('project')"
        )
        with self._database.reading() as session:
            if session.query(catalog).column(0)[0].as_py() == 0:
                return None
            found = session.rows(PROJECT, "SELECT lineage, serial, version, next_token FROM project")
        if not found:
            return None
        row = ProjectRow(**found[0])
        if row.version > VERSION:
            raise LedgerError(
                f"The state {self._database.address.label} was written by a newer release.",
                why=f"Its form is {row.version}; this release knows forms up to {VERSION}.",
                fix="Upgrade autoloader and run again.",
            )
        if row.version < VERSION:
            raise LedgerError(
                f"The state {self._database.address.label} was written by an older release.",
                why=f"Its form is {row.version}; this release needs {VERSION}.",
                fix="Run `autoloader init` to bring it up to date.",
            )
        return row

    def _require(self) -> None:
        """Before a change: there must be a state.

        Raises:
            LedgerError: There is none yet.
        """
        if not self.exists:
            raise LedgerError(f"There is no state at {self._database.address.label} yet.", fix="Run `autoloader init`.")


def advance_serial(session: Session, ingestion: str | None) -> None:
    """Raises the project's serial, and the ingestion's where one is named."""
    if ingestion is not None:
        session.execute("UPDATE ingestion SET serial = serial + 1 WHERE name = :name", name=ingestion)
    session.execute("UPDATE project SET serial = serial + 1")


def write_audit(
    session: Session,
    action: str,
    ingestion: str | None,
    now: datetime,
    *,
    actor: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds one line to the audit."""
    session.execute(
        "INSERT INTO audit (at, ingestion, action, actor, detail) VALUES (:now, :ingestion, :action, :actor, :detail)",
        now=now,
        ingestion=ingestion,
        action=action,
        actor=actor,
        detail=to_json(detail or {}),
    )


def take_numbers(database: Database, session: Session, count: int) -> int:
    """Takes a block of `count` rising numbers (src_file_ids and batch sequences share one counter).

    On Postgres in a transaction of its own, so that no ingestion waits for another one's claim; numbers of
    a claim that is rolled back are never used again.

    Returns:
        The first number of the block.
    """
    sql = "UPDATE project SET next_src_file_id = next_src_file_id + :count RETURNING next_src_file_id - :count AS first"
    if database.is_sqlite:
        return int(session.query(sql, count=count).column(0)[0].as_py())
    with database.writing() as other:
        return int(other.query(sql, count=count).column(0)[0].as_py())


def empty(schema: pa.Schema) -> pa.Table:
    """No rows. Unlike `schema.empty_table()` it does not import pandas, which a plan has no time for."""
    return pa.Table.from_batches([], schema)


def to_json(value: Any) -> str | None:
    """Compact JSON with sorted keys; None stays None."""
    if value is None:
        return None
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def from_json(text: str | None) -> Any:
    """The way back."""
    return None if text is None else json.loads(text)


def check_aware(now: datetime) -> datetime:
    """Refuses a naive time.

    Raises:
        LedgerError: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise LedgerError("A time without a zone was given to the ledger.", fix="Use datetime.now(UTC).")
    return now
