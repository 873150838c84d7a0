"""What happened to ingestions besides loads: requests done, schemas they had, the audit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from autoloader.ledger.base import AT, INT, TEXT, Part, check_aware, from_json, to_json, write_audit
from autoloader.ledger.ingestions import lock_ingestion
from autoloader.ledger.rows import AuditRow, SchemaVersionRow
from autoloader.ledger.session import Session

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


class Journal(Part):
    """Requests, schema versions and the audit."""

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
            lock_ingestion(session, ingestion)
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


def _schema_versions(session: Session, ingestion: str) -> list[SchemaVersionRow]:
    found = session.rows(
        _SCHEMA_VERSION,
        f"SELECT {', '.join(_SCHEMA_VERSION.names)} FROM schema_version WHERE ingestion = :name",
        name=ingestion,
    )
    for row in found:
        row["schema"] = from_json(row.pop("schema_json"))
    return sorted((SchemaVersionRow(**row) for row in found), key=lambda row: row.version)
