"""Mending the state by hand: list, show, forget, rename, adopt, rebuild, roll back, locks. All audited."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

from autoloader.errors import SettingsError
from autoloader.project.answer import Answer, moment
from autoloader.render import plural

if TYPE_CHECKING:
    from autoloader.ledger import IngestionRow
    from autoloader.project.project import Project


def state_list(project: Project) -> Answer:
    """The recorded ingestions."""
    rows = []
    for row in project.ledger.ingestions():
        counts = {each["state"]: each["files"] for each in project.ledger.counts(row.name).to_pylist()}
        rows.append(
            {
                "name": row.name,
                "table": row.table,
                "status": row.status,
                "serial": row.serial,
                "files": sum(counts.values()),
                "files_by_state": counts,
                "last_run_at": moment(row.last_run_at),
            }
        )
    data = {"lineage": project.ledger.lineage, "serial": project.ledger.serial, "ingestions": rows}
    columns = ["name", "table", "status", "serial", "files", "last_run_at"]
    return Answer(data, rows, columns, "" if rows else "Nothing is recorded yet.")


def state_show(project: Project, name: str) -> Answer:
    """All that is recorded of one ingestion, audit trail included."""
    row = _recorded(project, name)
    data: dict[str, Any] = {
        "name": row.name,
        "table": row.table,
        "table_uuid": row.table_uuid,
        "status": row.status,
        "protect": row.protect,
        "serial": row.serial,
        "spec": dict(row.spec),
        "schema": row.schema,
        "dialect": row.dialect,
        "backfill": row.backfill,
        "last_run_at": moment(row.last_run_at),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "files_by_state": {e["state"]: e["files"] for e in project.ledger.counts(name).to_pylist()},
        "schema_versions": [
            {"version": each.version, "detected_at": moment(each.detected_at), "resolution_type": each.resolution_type}
            for each in project.ledger.schema_versions(name)
        ],
        "audit": [
            {"at": moment(each.at), "action": each.action, "actor": each.actor, "detail": each.detail}
            for each in project.ledger.audit(name)
        ],
    }
    shown = [{"key": key, "value": value} for key, value in data.items() if key not in {"audit", "spec"}]
    closing = [f"{each['at']}  {each['action']}  {each['actor'] or ''}" for each in data["audit"][-20:]]
    return Answer(data, shown, ["key", "value"], closing=closing)


def _recorded(project: Project, name: str) -> IngestionRow:
    row = project.ledger.ingestion(name)
    if row is None:
        known = ", ".join(each.name for each in project.ledger.ingestions()) or "none"
        raise SettingsError(f"Nothing is recorded of {name!r}.", fix=f"Recorded are: {known}.")
    return row


def state_rm(project: Project, name: str) -> str:
    """Forget an ingestion; its table stays."""
    row = _recorded(project, name)
    files = project.ledger.forget(name, now=project.clock(), actor=getpass.getuser())
    return f"{name} is forgotten, with {plural(files, 'file')}; the table {row.table} stays."


def state_mv(project: Project, old: str, new: str) -> str:
    """Give a recorded ingestion another name."""
    _recorded(project, old)
    project.ledger.rename(old, new, now=project.clock(), actor=getpass.getuser())
    return f"{old} is now {new}; give the spec the same name."


def locks(project: Project) -> Answer:
    """Every lease, those whose time is up included."""
    now = project.clock()
    rows = [
        {
            "id": lease.id,
            "ingestion": lease.ingestion,
            "kind": lease.kind,
            "holder": lease.holder,
            "token": lease.token,
            "acquired_at": moment(lease.acquired_at),
            "expires_at": moment(lease.expires_at),
            "live": lease.is_live(now),
        }
        for lease in project.ledger.leases()
    ]
    columns = ["id", "ingestion", "kind", "holder", "acquired_at", "expires_at", "live"]
    return Answer({"locks": rows}, rows, columns, "" if rows else "Nothing is locked.")


def break_lock(project: Project, lease_id: str, reason: str) -> str:
    """End a lease; its holder is fenced off."""
    lease = project.ledger.break_lease(lease_id, reason, now=project.clock(), actor=getpass.getuser())
    return f"Lock {lease_id} of {lease.holder} on {lease.ingestion} is broken."
