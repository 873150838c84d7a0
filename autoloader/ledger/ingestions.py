"""Ingestions as recorded: upsert, rename, forget, requests done, schema versions, audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from autoloader.errors import LedgerError, PlanStaleError
from autoloader.ledger.base import AT, INT, TEXT, Part, advance_serial, check_aware, from_json, to_json, write_audit
from autoloader.ledger.connection import Session
from autoloader.ledger.rows import AuditRow, IngestionRow, SchemaVersionRow

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
_AUDIT: Final = (
    pa.schema([("id", INT), ("at", AT), ("ingestion", TEXT), ("action", TEXT)])
    .append(pa.field("actor", TEXT))
    .append(pa.field("detail", TEXT))
)
_SCHEMA_VERSION: Final = pa.schema(
    [
        ("ingestion", TEXT),
        ("version", INT),
        ("detected_at", AT),
        ("schema_json", TEXT),
        ("fingerprint", TEXT),
        ("affected_files", INT),
        ("resolution_type", TEXT),
        ("resolved_at", AT),
        ("resolved_by", TEXT),
    ]
)
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
            _lock_ingestion(session, row.name)
            known = next(iter(_read(session, row.name)), None)
            serial = known.serial if known else 0
            if expected_serial is not None and serial != expected_serial:
                raise PlanStaleError(
                    f"What is recorded of {row.name} has changed.",
                    why=f"The plan was made at serial {expected_serial}; now it is {serial}.",
                    fix="Plan again.",
                )
            if known is not None and _same(known, row):
                return known
            _upsert(session, row, check_aware(now))
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

    def rename(self, name: str, new_name: str, *, now: datetime, actor: str | None = None) -> None:
        """Moves an ingestion with all its history to another name. No file becomes new by it.

        Raises:
            LedgerError: `name` is not recorded, or `new_name` is.
        """
        self._require()
        with self._database.writing() as session:
            _lock_ingestion(session, name)
            if not list(_read(session, name)):
                raise LedgerError(f"There is no ingestion {name} to rename.", fix="autoloader state list")
            if list(_read(session, new_name)):
                raise LedgerError(
                    f"{name} cannot be renamed: {new_name} is recorded already.",
                    fix=f"autoloader state rm {new_name}",
                )
            session.execute("UPDATE ingestion SET name = :new WHERE name = :old", new=new_name, old=name)
            for table in _HISTORY:
                session.execute(f"UPDATE {table} SET ingestion = :new WHERE ingestion = :old", new=new_name, old=name)
            advance_serial(session, new_name)
            write_audit(session, "renamed", new_name, now, actor=actor, detail={"from": name})

    def forget(self, name: str, *, now: datetime, actor: str | None = None) -> int:
        """Removes an ingestion and its history; the table is not touched.

        Returns:
            How many files were forgotten.
        """
        self._require()
        with self._database.writing() as session:
            _lock_ingestion(session, name)
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

    def requests_done(self, ingestion: str) -> frozenset[tuple[str, str]]:
        """The (kind, request) pairs of specs that were done: kind is "refresh" or "reingest"."""
        if not self.exists:
            return frozenset()
        schema = pa.schema([("kind", TEXT), ("request", TEXT)])
        with self._database.reading() as session:
            found = session.rows(schema, "SELECT kind, request FROM request WHERE ingestion = :name", name=ingestion)
        return frozenset((row["kind"], row["request"]) for row in found)

    def record_request(
        self, ingestion: str, kind: str, request: str, *, now: datetime, run_id: str | None = None
    ) -> None:
        """Remembers that a request was done. Doing so twice changes nothing."""
        self._require()
        with self._database.writing() as session:
            session.execute(
                "INSERT INTO request (ingestion, kind, request, run_id, done_at)"
                " VALUES (:ingestion, :kind, :request, :run_id, :now) ON CONFLICT DO NOTHING",
                ingestion=ingestion,
                kind=kind,
                request=request,
                run_id=run_id,
                now=check_aware(now),
            )

    def add_schema_version(
        self,
        ingestion: str,
        schema: list[dict[str, Any]],
        *,
        now: datetime,
        fingerprint: str | None = None,
        affected_files: int | None = None,
        resolution_type: str | None = None,
        resolved_by: str | None = None,
    ) -> int:
        """Records a schema, unless it is the newest one already.

        Returns:
            Its version number: 1, 2, …
        """
        self._require()
        with self._database.writing() as session:
            _lock_ingestion(session, ingestion)
            known = _schema_versions(session, ingestion)
            if known and known[-1].schema == schema:
                return known[-1].version
            version = known[-1].version + 1 if known else 1
            session.execute(
                "INSERT INTO schema_version (ingestion, version, detected_at, schema_json, fingerprint,"
                " affected_files, resolution_type, resolved_at, resolved_by) VALUES (:ingestion, :version,"
                " :now, :schema, :fingerprint, :affected, :resolution, :resolved_at, :resolved_by)",
                ingestion=ingestion,
                version=version,
                now=check_aware(now),
                schema=to_json(schema),
                fingerprint=fingerprint,
                affected=affected_files,
                resolution=resolution_type,
                resolved_at=now if resolution_type else None,
                resolved_by=resolved_by,
            )
        return version

    def schema_versions(self, ingestion: str) -> tuple[SchemaVersionRow, ...]:
        """All schemas of one ingestion, oldest first."""
        if not self.exists:
            return ()
        with self._database.reading() as session:
            return tuple(_schema_versions(session, ingestion))

    def audit(self, ingestion: str | None = None, limit: int = 1000) -> tuple[AuditRow, ...]:
        """The last `limit` changes that were not loads, oldest first."""
        if not self.exists:
            return ()
        where = "" if ingestion is None else "WHERE ingestion = :ingestion"
        with self._database.reading() as session:
            found = session.rows(
                _AUDIT,
                f"SELECT id, at, ingestion, action, actor, detail FROM audit {where} ORDER BY id DESC LIMIT :limit",
                ingestion=ingestion,
                limit=limit,
            )
        found.sort(key=lambda row: int(row.pop("id")))
        return tuple(AuditRow(**{**row, "detail": from_json(row["detail"])}) for row in found)

    def write_audit(
        self,
        action: str,
        ingestion: str | None,
        *,
        now: datetime,
        actor: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds a line for a change that another room made, such as a rollback of a table."""
        self._require()
        with self._database.writing() as session:
            write_audit(session, action, ingestion, check_aware(now), actor=actor, detail=detail)


def _read(session: Session, name: str | None) -> list[IngestionRow]:
    where = "" if name is None else "WHERE name = :name"
    found = session.rows(INGESTION, f"SELECT {', '.join(INGESTION.names)} FROM ingestion {where}", name=name)
    rows = []
    for row in found:
        data = {_RENAMED.get(key, key): value for key, value in row.items()}
        rows.append(IngestionRow(**{**data, **{key: from_json(data[key]) for key in _JSON}}))
    return rows


def _lock_ingestion(session: Session, name: str) -> None:
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


def _schema_versions(session: Session, ingestion: str) -> list[SchemaVersionRow]:
    found = session.rows(
        _SCHEMA_VERSION,
        f"SELECT {', '.join(_SCHEMA_VERSION.names)} FROM schema_version WHERE ingestion = :name",
        name=ingestion,
    )
    for row in found:
        row["schema"] = from_json(row.pop("schema_json"))
    return sorted((SchemaVersionRow(**row) for row in found), key=lambda row: row.version)
