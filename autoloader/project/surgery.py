"""Mending the state by hand: list, show, forget, rename, adopt, rebuild, roll back, locks. All audited."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autoloader.apply import (
    Recipe,
    free_dead_leases,
    holding,
    lost_batches,
    rise_above_fence,
    row_of,
    settle_rest,
    with_settled,
)
from autoloader.errors import LakeError, RefusedError, SettingsError
from autoloader.project.answer import Answer, moment
from autoloader.project.lineage import emptied_text, first_load_ns, left_out_text, skip_history, with_identity
from autoloader.project.resolving import declared_schema
from autoloader.render import plural
from autoloader.spec import NAME_RULE, is_safe_name

if TYPE_CHECKING:
    from autoloader.lake import TableState
    from autoloader.ledger import BatchRow, IngestionRow, Lease
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
        "dialect": None if row.dialect is None else {key: row.dialect[key] for key in row.dialect if key != "of"},
        "backfill": row.backfill,
        "last_run_at": moment(row.last_run_at),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "files_by_state": {e["state"]: e["files"] for e in project.ledger.counts(name).to_pylist()},
        "schema_versions": _versions(project, name),
        "audit": [
            {"at": moment(each.at), "action": each.action, "actor": each.actor, "detail": each.detail}
            for each in project.ledger.audit(name)
        ],
    }
    aside = {"audit", "spec", "schema_versions"}
    shown = [{"key": key, "value": _words(value)} for key, value in data.items() if key not in aside]
    has_types = (row.dialect or {}).get("format") not in ("csv", "text")  # whose files have names alone
    closing = [_version_text(each, has_types) for each in data["schema_versions"][-20:]]
    closing += [f"{each['at']}  {each['action']}  {each['actor'] or ''}" for each in data["audit"][-20:]]
    return Answer(data, shown, ["key", "value"], closing=closing)


def _versions(project: Project, name: str) -> list[dict[str, Any]]:
    """Every schema that files of an ingestion have, or that its table had; with how many files have it now."""
    counted = project.ledger.files(name)["schema_version"].value_counts().to_pylist()
    having = {each["values"]: each["counts"] for each in counted}
    return [
        {
            "version": each.version,
            "of": "table" if each.fingerprint is None else "files",
            "detected_at": moment(each.detected_at),
            "columns": {str(column["name"]): str(column["type"]) for column in each.schema},
            "fingerprint": each.fingerprint,
            "affected_files": each.affected_files if each.fingerprint is None else having.get(each.version, 0),
            "resolution_type": each.resolution_type,
            "resolved_at": moment(each.resolved_at),
            "resolved_by": each.resolved_by,
        }
        for each in project.ledger.schema_versions(name)
    ]


def _words(value: Any) -> Any:
    """What is recorded, for people: columns as `a long, b date`, settings as `delimiter ";", header true`."""
    match value:
        case [{"name": _, "type": _}, *_]:
            return ", ".join(f"{column['name']} {column['type']}" for column in value)
        case dict():
            return ", ".join(f"{key} {json.dumps(each, ensure_ascii=False)}" for key, each in value.items())
        case _:
            return value


def _version_text(version: dict[str, Any], has_types: bool) -> str:
    columns = ", ".join(f"{name} {kind}" for name, kind in version["columns"].items())
    whose = f"the table ({version['resolution_type']})"
    if version["of"] == "files":
        columns = columns if has_types else ", ".join(version["columns"])
        whose = plural(version["affected_files"], "file")
    return f"{version['detected_at']}  schema {version['version']} of {whose}: {columns}"


def _recorded(project: Project, name: str) -> IngestionRow:
    row = project.ledger.ingestion(name)
    if row is None:
        known = ", ".join(each.name for each in project.ledger.ingestions()) or "none"
        raise SettingsError(f"Nothing is recorded of {name!r}.", fix=f"Recorded are: {known}.")
    return row


def state_rm(project: Project, name: str) -> str:
    """Forget an ingestion; its table stays."""
    row = _recorded(project, name)
    with holding_alone(project, name, given_up=True) as lease:
        files = project.ledger.under(lease).forget(name, now=project.clock(), actor=getpass.getuser())
    return f"{name} is forgotten, with {plural(files, 'file')}; the table {row.table} stays."


def state_mv(project: Project, old: str, new: str) -> str:
    """Give a recorded ingestion another name, one that a spec may have."""
    _recorded(project, old)
    if not is_safe_name(new):
        raise SettingsError(f"{old} cannot be renamed: {new!r} is not a safe name.", fix=NAME_RULE)
    if new == old:
        raise SettingsError(f"{old} cannot be renamed: that is its name.", fix="Give it another one.")
    with holding_alone(project, old) as lease:
        project.ledger.under(lease).rename(old, new, now=project.clock(), actor=getpass.getuser())
    return f"{old} is now {new}; give the spec the same name."


def locks(project: Project) -> Answer:
    """Every lease, those whose time is up included."""
    living = {lease.id for lease in project.ledger.living(now=project.clock())}
    rows = [
        {
            "id": lease.id,
            "ingestion": lease.ingestion,
            "kind": lease.kind,
            "holder": lease.holder,
            "token": lease.token,
            "acquired_at": moment(lease.acquired_at),
            "expires_at": moment(lease.expires_at),
            "live": lease.id in living,
        }
        for lease in project.ledger.leases()
    ]
    columns = ["id", "ingestion", "kind", "holder", "acquired_at", "expires_at", "live"]
    return Answer({"locks": rows}, rows, columns, "" if rows else "Nothing is locked.")


def break_lock(project: Project, lease_id: str, reason: str) -> str:
    """End a lease; its holder is fenced off."""
    lease = project.ledger.break_lease(lease_id, reason, now=project.clock(), actor=getpass.getuser())
    return f"Lock {lease_id} of {lease.holder} on {lease.ingestion} is broken."


def adopt(project: Project, name: str) -> str:
    """Record an existing table as the ingestion's own; files whose rows it holds are known from then on.

    Raises:
        LakeError: There is no such table.
    """
    spec = project.spec(name).spec
    table = _table(project, spec.destination.table)
    if table.has_lineage:
        return rebuild_ledger(project, name)
    _made(project)
    with holding_alone(project, name, given_up=True) as lease:
        skipped = skip_history(project, spec, lease, before_ns=None)
        _record(project, name, table, lease, settled=())
    if spec.source.start == "now":
        return f"{name} now owns {table.name}. {plural(skipped, 'file')} in storage left out (source.start: now)."
    return f"{name} now owns {table.name}. Its rows carry no lineage: files that gave them count as new."


def rebuild_ledger(project: Project, name: str) -> str:
    """Remember again which file versions a table holds, from its own lineage columns.

    What the state remembers of the same versions stays. Else a file that was surely modified before its batch was
    begun counts as loaded; another one is loaded again, in place of its rows (`on_change: ignore`: left as it was
    loaded).

    Raises:
        LakeError: There is no such table, or it has no lineage columns.
    """
    spec = project.spec(name).spec
    table = _table(project, spec.destination.table)
    if not table.has_lineage:
        raise LakeError(
            f"The ledger of {name} cannot be rebuilt from {table.name}.",
            why="Its rows carry no lineage columns.",
            fix=f"Take it as it is, or rebuild it:\n  autoloader state adopt {name}",
        )
    _made(project)
    with holding_alone(project, name, given_up=True) as lease:
        table = _table(project, spec.destination.table)
        before = project.ledger.ingestion(name)
        held = project.lake.row_counts(table.name, with_paths=True)
        missing = lost_batches(project.ledger, before, table) if before is not None else ()
        rejected = project.lake.rejected_counts(table.name)
        foreign = sum(row["rows"] for row in held.to_pylist() if row["src_file_id"] is None)
        emptied = emptied_text(table) if before is None else ""
        skipped = skip_history(project, spec, lease, before_ns=first_load_ns(table, held), but=held["file_path"])
        if before is None:
            _record(project, name, table, lease, settled=None)
        tokens = [table.fence, *(int(each.summary.get("autoloader.fencing-token", 0)) for each in table.history)]
        done = project.ledger.under(lease).rebuild(
            name,
            with_identity(project, spec, held, rejected),
            now=project.clock(),
            highest_token=max(tokens, default=0),
            highest_id=max(rejected["src_file_id"].to_pylist(), default=0),
            current=[info.snapshot_id for info in table.contributing],
            actor=getpass.getuser(),
        )
        _record(project, name, table, lease, settled=missing)
    others = f" {plural(foreign, 'row')} of it came from no file of ours." if foreign else ""
    lost = f" {plural(done.lost, 'file')} had rows that are not there any more." if done.lost else ""
    left_out = f" {left_out_text(skipped)}" if skipped else ""
    return f"{name}: {plural(done.files, 'file')} remembered from {table.name}.{others}{lost}{left_out}{emptied}"


def _table(project: Project, name: str) -> TableState:
    table = project.lake.table(name)
    if table is None:
        raise LakeError(f"There is no table {name}.", fix="See what is planned:\n  autoloader plan")
    return table


def _made(project: Project) -> None:
    """There is a state from here on."""
    if not project.ledger.exists:
        project.ledger.init()


def _record(project: Project, name: str, table: TableState, lease: Lease, *, settled: Sequence[str] | None) -> None:
    """Record the spec with its table; what a spec that was not known asks for once is taken as done long ago.

    Args:
        project: The project.
        name: The ingestion.
        table: Its table.
        lease: Holds the ingestion alone.
        settled: Batches that the table lacks and the ledger does not miss. None = what the table holds is still to be
            remembered: without its snapshot, which is not noted yet, nothing is loaded into it.
    """
    spec = project.spec(name).spec
    schema = declared_schema(spec.table_schema) or table.schema
    recipe = Recipe(spec, spec.source.format, schema)
    ledger = project.ledger.under(lease)
    before = ledger.ingestion(name)
    extra = (before.extra if before is not None else None) or {}
    if settled is not None:
        extra = with_settled({**extra, "snapshot_id": table.snapshot_id}, settled)
    row = row_of(recipe, before, table_uuid=table.uuid, extra=extra)
    ledger.put_ingestion(row, now=project.clock(), actor=getpass.getuser())
    if before is None:
        asked = [("reingest", each.request) for each in spec.reingest]
        asked += [("refresh", spec.refresh.request)] if spec.refresh is not None else []
        for kind, request in asked:
            ledger.record_request(name, kind, request, now=project.clock())


@contextmanager
def holding_alone(project: Project, name: str, *, given_up: bool = False) -> Iterator[Lease]:
    """Hold an ingestion alone for the time of a block, with nothing of it half done.

    Args:
        project: The project.
        name: The ingestion.
        given_up: What is in a table that is not there does not count any more.

    Raises:
        LeaseBusyError: Somebody is at it.
        LakeError: A batch may have been committed to a table that is not there.
    """
    from autoloader.project.applied import tools_without_engine

    tools = tools_without_engine(project)
    free_dead_leases(tools)
    with holding(tools, name, "alone") as lease:
        specs = [loaded.spec for loaded in project.specs().ingestions]
        names = tuple(spec.destination.table for spec in specs if spec.name == name)
        settle_rest(tools, name, names, given_up=given_up)
        yield lease


def rollback_effect(project: Project, name: str, run_id: str) -> str:
    """What going back to the end of a run undoes, as a sentence."""
    snapshot_id = _snapshot_at(project, name, run_id)
    row = _recorded(project, name)
    table = _table(project, row.table or project.spec(name).spec.destination.table)
    _check_unprotected(row, table.name)
    if not any(batch.state in ("claimed", "written") for batch in project.ledger.batches(ingestion=name)):
        table.check_reachable(snapshot_id)  # else what died is recorded first
    batches = _undone(project, name, table, run_id, snapshot_id)
    fills = [info for info in table.since(snapshot_id) if info.batch_id is not None and info.run_id is None]
    unfilled = (
        " Values that were filled into columns since then go back to where they came from (_rescued). To fill them"
        f" again, run: autoloader apply --fill {name}=rescued"
        if fills
        else ""
    )
    if not batches:
        return f"Nothing was loaded into {name} after run {run_id}.{unfilled}"
    return (
        f"{plural(len(batches), 'batch', 'batches')} of {name} after run {run_id} will be undone"
        f"; the table goes back to {'no rows' if snapshot_id is None else f'snapshot {snapshot_id}'}."
        " Files that they loaded are loaded again by the next apply, unless the spec excludes them (source.exclude) or"
        f" is paused (status: paused).{unfilled}"
    )


def _undone(project: Project, name: str, table: TableState, run_id: str, snapshot_id: int | None) -> list[str]:
    """The batches whose rows leave a table that goes back to a snapshot.

    Runs side by side end in another order than they commit in: the table's history says which rows leave it. Rows of
    later batches that have left it already are of a rollback that was cut off before the ledger knew. Batches that
    committed nothing go by the order in which they were recorded.
    """
    later = frozenset(project.ledger.batches_after(name, run_id))
    newer = {info.snapshot_id for info in table.since(snapshot_id)}

    def leaves(batch: BatchRow) -> bool:
        if batch.snapshot_id is None or batch.snapshot_id in table.astray:
            return batch.batch_id in later
        return batch.snapshot_id in newer or snapshot_id is None

    return [batch.batch_id for batch in _recorded_batches(project, name) if leaves(batch)]


def _recorded_batches(project: Project, name: str) -> list[BatchRow]:
    return [batch for batch in project.ledger.batches(ingestion=name) if batch.state == "recorded"]


def _snapshot_at(project: Project, name: str, run_id: str) -> int | None:
    """The table's snapshot at the end of a run: its own last one, or the last one that was recorded before it.

    In the order of recording, not by time: clocks differ, and are set back.
    """
    run = project.ledger.run(run_id)
    if run is None or run.ingestion != name:
        raise SettingsError(f"There is no run {run_id!r} of {name}.", fix="See the runs:\n  autoloader runs")
    if run.snapshot_id is not None:
        return run.snapshot_id
    later = frozenset(project.ledger.batches_after(name, run_id))
    before = [batch for batch in _recorded_batches(project, name) if batch.batch_id not in later]
    found = sorted((batch for batch in before if batch.snapshot_id is not None), key=lambda batch: batch.sequence or 0)
    return found[-1].snapshot_id if found else None


def _check_unprotected(row: IngestionRow, table: str) -> None:
    if row.protect:
        raise RefusedError(
            f"{row.name} is protected: nothing may roll {table} back.", fix="Set protect: false and apply."
        )


def rollback(project: Project, name: str, run_id: str) -> str:
    """Put the table, then the ledger, back to the end of a run. Done twice, it changes nothing more.

    Raises:
        LockBusyError: The ingestion is being loaded.
        LakeError: The snapshot has expired.
        RefusedError: The ingestion is protected.
    """
    from autoloader.project.applied import tools_without_engine

    row = _recorded(project, name)
    table = row.table or project.spec(name).spec.destination.table
    _check_unprotected(row, table)
    rise_above_fence(tools_without_engine(project), name)
    with holding_alone(project, name) as lease:
        snapshot_id = _snapshot_at(project, name, run_id)  # what died is recorded by now
        ledger, seen = project.ledger.under(lease), _table(project, table)
        seen.check_reachable(snapshot_id)
        undone = _undone(project, name, seen, run_id, snapshot_id)
        ledger.check_lease(lease)
        project.lake.rollback(table, snapshot_id, fencing_token=lease.token, seen=seen)
        actor = getpass.getuser()
        files = ledger.restore_to_run(name, run_id, undone=undone, now=project.clock(), actor=actor)
        state = project.lake.table(table)

        def moved(row: IngestionRow) -> IngestionRow:
            return replace(row, extra={**(row.extra or {}), "snapshot_id": state.snapshot_id if state else None})

        ledger.amend_ingestion(name, moved, now=project.clock(), actor=actor)
    return f"{table} and {plural(files, 'remembered file')} are back at the end of run {run_id}."
