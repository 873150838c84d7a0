"""Ingestions as recorded: upsert, rename, forget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

import pyarrow as pa
from pydantic import ValidationError

from autoloader.errors import LedgerError, PlanStaleError
from autoloader.ledger.base import AT, INT, TEXT, Part, advance_serial, check_aware, from_json, to_json, write_audit
from autoloader.ledger.rows import IngestionRow
from autoloader.ledger.session import Session
from autoloader.spec import IngestionSpec, data_fingerprint, metadata_fingerprint, spec_digest

INGESTION: Final = pa.schema(
    [
        ("name", TEXT),
        ("spec", TEXT),
        ("data_fingerprint", TEXT),
        ("metadata_fingerprint", TEXT),
        ("spec_digest", TEXT),
        ("status", TEXT),
        ("protect", pa.bool_()),
        ("serial", INT),
        ("table_name", TEXT),
        ("table_uuid", TEXT),
        ("schema_json", TEXT),
        ("dialect", TEXT),
        ("backfill", TEXT),
        ("extra", TEXT),
        ("last_run_at", AT),
        ("created_at", AT),
        ("updated_at", AT),
    ]
)
_JSON: Final = ("spec", "schema", "dialect", "backfill", "extra")
_RENAMED: Final = {"table_name": "table", "schema_json": "schema"}
_HISTORY: Final = ("processed_file", "batch_file", "batch", "run", "request", "schema_version", "lease")


class Ingestions(Part):
    """Reading and changing what is recorded of ingestions."""

    def ingestions(self) -> tuple[IngestionRow, ...]:
        """All that are recorded, by name."""
        return self._ingestions(None)

    def ingestion(self, name: str) -> IngestionRow | None:
        """One, or None where it is not recorded."""
        found = self._ingestions(name)
        return found[0] if found else None

    def _ingestions(self, name: str | None) -> tuple[IngestionRow, ...]:
        if not self.exists:
            return ()
        with self._database.reading() as session:
            return tuple(sorted(_read(session, name), key=lambda row: row.name))

    def put_ingestion(
        self,
        row: IngestionRow,
        *,
        now: datetime,
        expected_serial: int | None = None,
        actor: str | None = None,
    ) -> IngestionRow:
        """Records an ingestion, new or changed. `serial`, `last_run_at` and the times of `row` are ignored.

        Args:
            row: What to record.
            now: The time of the change.
            expected_serial: Serial on which the change was based (0: not recorded yet); None: any.
            actor: Who did it, for the audit.

        Returns:
            The row as it is recorded now. Nothing moves, serials included, when it already was so.

        Raises:
            PlanStaleError: Its serial is another one than expected.
        """
        self._require()
        with self._database.writing() as session:
            lock_ingestion(session, row.name)
            known = next(iter(_read(session, row.name)), None)
            serial = known.serial if known else 0
            if expected_serial is not None and serial != expected_serial:
                raise PlanStaleError(
                    f"What is recorded of {row.name} has changed.",
                    why=f"The plan was made at serial {expected_serial}; now it is {serial}.",
                    fix="Plan again.",
                )
            return _put(session, known, row, check_aware(now), actor)

    def amend_ingestion(
        self,
        name: str,
        change: Callable[[IngestionRow], IngestionRow],
        *,
        now: datetime,
        actor: str | None = None,
    ) -> IngestionRow | None:
        """Changes what is recorded, whatever it is by now: nobody else's change gets lost between reading and writing.

        Args:
            name: Its name.
            change: What is recorded in, what is to be recorded out; the name stays.
            now: The time of the change.
            actor: Who did it, for the audit.

        Returns:
            The row as it is recorded now; None where nothing is recorded of it.
        """
        self._require()
        with self._database.writing() as session:
            lock_ingestion(session, name)
            known = next(iter(_read(session, name)), None)
            return None if known is None else _put(session, known, change(known), check_aware(now), actor)

    def rename(self, name: str, new_name: str, *, now: datetime, actor: str | None = None) -> None:
        """Moves an ingestion with all its history to another name. No file becomes new by it.

        Raises:
            LedgerError: `name` is not recorded, or `new_name` is.
        """
        self._require()
        with self._database.writing() as session:
            lock_ingestion(session, name)
            if not list(_read(session, name)):
                raise LedgerError(f"There is no ingestion {name} to rename.", fix="autoloader state list")
            if list(_read(session, new_name)):
                raise LedgerError(
                    f"{name} cannot be renamed: {new_name} is recorded already.",
                    fix="Choose another name, or look at what is recorded under that one:\n"
                    f"  autoloader state show {new_name}\n"
                    "Only if nobody needs it any more: this forgets every file that it has loaded, for good:\n"
                    f"  autoloader state rm {new_name}",
                )
            session.execute("UPDATE ingestion SET name = :new WHERE name = :old", new=new_name, old=name)
            for table in _HISTORY:
                session.execute(f"UPDATE {table} SET ingestion = :new WHERE ingestion = :old", new=new_name, old=name)
            for row in _read(session, new_name):
                _upsert(session, _called(row, new_name), now)
            advance_serial(session, new_name)
            write_audit(session, "renamed", new_name, now, actor=actor, detail={"from": name})

    def forget(self, name: str, *, now: datetime, actor: str | None = None) -> int:
        """Removes an ingestion and its history; the table is not touched.

        Returns:
            How many files were forgotten.
        """
        self._require()
        with self._database.writing() as session:
            lock_ingestion(session, name)
            files = 0
            for table in _HISTORY:
                if table == "lease":
                    continue
                gone = session.execute(f"DELETE FROM {table} WHERE ingestion = :name", name=name)
                files = gone if table == "processed_file" else files
            session.execute("DELETE FROM ingestion WHERE name = :name", name=name)
            advance_serial(session, None)
            write_audit(session, "forgotten", name, now, actor=actor, detail={"files": files})
        return files


def _called(row: IngestionRow, name: str) -> IngestionRow:
    """A row whose spec has another name; digests stay where another release wrote a spec that is none any more."""
    data = {**row.spec, "name": name}
    try:
        spec = IngestionSpec.model_validate(data)
    except ValidationError:
        return replace(row, spec=data)
    return replace(
        row,
        spec=data,
        data_fingerprint=data_fingerprint(spec),
        metadata_fingerprint=metadata_fingerprint(spec),
        spec_digest=spec_digest(spec),
    )


def _put(
    session: Session, known: IngestionRow | None, row: IngestionRow, now: datetime, actor: str | None
) -> IngestionRow:
    """Write a row over what is known, with its serial and an audit line; nothing where it is known so already."""
    if known is not None and _same(known, row):
        return known
    _upsert(session, row, now)
    advance_serial(session, row.name)
    write_audit(
        session,
        "ingestion changed" if known else "ingestion recorded",
        row.name,
        now,
        actor=actor,
        detail={"fields": _changed(known, row), "spec_digest": row.spec_digest},
    )
    return next(iter(_read(session, row.name)))


def _read(session: Session, name: str | None) -> list[IngestionRow]:
    where = "" if name is None else "WHERE name = :name"
    found = session.rows(INGESTION, f"SELECT {', '.join(INGESTION.names)} FROM ingestion {where}", name=name)
    rows = []
    for row in found:
        data = {_RENAMED.get(key, key): value for key, value in row.items()}
        rows.append(IngestionRow(**{**data, **{key: from_json(data[key]) for key in _JSON}}))
    return rows


def lock_ingestion(session: Session, name: str) -> None:
    """On Postgres one change of an ingestion's record at a time; SQLite has one writer anyway."""
    if not session.is_sqlite:
        session.query(
            "SELECT 1 AS n FROM (SELECT pg_advisory_xact_lock(hashtext('ingestion'), hashtext(:name))) l", name=name
        )


def _upsert(session: Session, row: IngestionRow, now: datetime) -> None:
    columns = [name for name in INGESTION.names if name not in ("serial", "last_run_at")]
    values = ", ".join(f":{name}" for name in columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in ("name", "created_at"))
    session.execute(
        f"INSERT INTO ingestion ({', '.join(columns)}, serial) VALUES ({values}, 0)"
        f" ON CONFLICT (name) DO UPDATE SET {changes}",
        name=row.name,
        spec=to_json(row.spec),
        data_fingerprint=row.data_fingerprint,
        metadata_fingerprint=row.metadata_fingerprint,
        spec_digest=row.spec_digest,
        status=row.status,
        protect=row.protect,
        table_name=row.table,
        table_uuid=row.table_uuid,
        schema_json=to_json(row.schema),
        dialect=to_json(row.dialect),
        backfill=to_json(row.backfill),
        extra=to_json(row.extra),
        created_at=now,
        updated_at=now,
    )


def _comparable(row: IngestionRow) -> IngestionRow:
    data = {name: from_json(to_json(getattr(row, name))) for name in _JSON}
    return replace(row, serial=0, last_run_at=None, created_at=None, updated_at=None, **data)


def _same(known: IngestionRow, row: IngestionRow) -> bool:
    return _comparable(known) == _comparable(row)


def _changed(known: IngestionRow | None, row: IngestionRow) -> list[str]:
    if known is None:
        return []
    before, after = _comparable(known), _comparable(row)
    return [name for name in IngestionRow.__slots__ if getattr(before, name) != getattr(after, name)]
