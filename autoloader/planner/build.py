"""`build_plan`: specs, state, tables and files in; one plan out. No disk, no socket, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from autoloader.cost import History
from autoloader.inventory import Disposition
from autoloader.plan import (
    Action,
    Basis,
    Block,
    Change,
    Diagnostic,
    Impact,
    Operation,
    Plan,
    Reason,
    Severity,
    Verdict,
    digest_of,
)
from autoloader.planner import impacts
from autoloader.planner.blocks import loaded_count
from autoloader.planner.facts import Asked, Looked, Recorded, Rescued, State, TableFacts, refresh_of
from autoloader.planner.guardrails import replaced_percent, verdicts
from autoloader.planner.ingestion import Part, plan_ingestion
from autoloader.planner.loads import Case
from autoloader.schema import TableSchema
from autoloader.spec import IngestionSpec, Settings, spec_digest


def build_plan(
    specs: Sequence[IngestionSpec],
    state: State,
    looked: Mapping[str, Looked],
    *,
    now: datetime,
    tool_version: str,
    tables: Mapping[str, TableFacts | None],
    settings: Settings | None = None,
    schemas: Mapping[str, TableSchema] | None = None,
    history: Mapping[str, Sequence[History]] | None = None,
    rescued: Mapping[str, Rescued] | None = None,
    asked: Asked | None = None,
    diagnostics: Sequence[Diagnostic] = (),
    notes: Sequence[str] = (),
) -> Plan:
    """Make the plan.

    Args:
        specs: Every spec of the project, also those that are not selected.
        state: What the ledger has.
        looked: Ingestion name -> what storage showed; an ingestion that is left out was not looked at.
        now: The instant of the plan, aware UTC. It enters the id and the times, not the digest.
        tool_version: Version of the package.
        tables: Table name -> what the catalog has, None = there is no such table.
        settings: Prices, compute profiles, guardrails; None = the defaults.
        schemas: Ingestion name -> the schema that its table is to have, declared or inferred.
        history: Ingestion name -> its finished runs.
        rescued: Ingestion name -> values of its table's rows that are to be taken out of `_rescued`.
        asked: Wishes of the command line.
        diagnostics: Found on the way by other rooms.
        notes: Said on the way by other rooms; told where there is a change. Nothing may be added to a plan
            afterwards: its digest would not belong to it any more.

    Returns:
        The plan. The same inputs, in any order of files, give the same plan; another `now` moves its id and
        times alone.
    """
    wishes, rules = asked or Asked(), settings or Settings()
    wanted = [spec for spec in specs if wishes.takes(spec.name) and spec.name not in wishes.not_due]
    cases = [_case(spec, state, looked, tables, rules, schemas or {}, history or {}, wishes) for spec in wanted]
    cases = [replace(case, rescued=(rescued or {}).get(case.spec.name)) for case in cases]
    parts = [plan_ingestion(case) for case in cases]
    changes = [change for part in parts for change in part.changes]
    gone = _gone(specs, state, wishes)
    changes = _ordered([*changes, *_removed(gone, specs, state, tables)])
    found = [*diagnostics, *_shared_tables(specs), *(d for part in parts for d in part.diagnostics)]
    said = (*(note for part in parts for note in part.notes), *wishes.not_due.values(), *(notes if changes else ()))
    based = [*map(_basis, cases), *(_basis_of_removal(recorded, tables) for recorded in gone)]
    return _plan(changes, cases, based, parts, found, said, state, now, tool_version, wishes)


def _case(
    spec: IngestionSpec,
    state: State,
    looked: Mapping[str, Looked],
    tables: Mapping[str, TableFacts | None],
    settings: Settings,
    schemas: Mapping[str, TableSchema],
    history: Mapping[str, Sequence[History]],
    asked: Asked,
) -> Case:
    recorded = state.recorded(spec)
    seen = looked.get(spec.name)
    return Case(
        spec=spec,
        recorded=recorded,
        table=tables.get(spec.destination.table),
        looked=seen,
        schema=schemas.get(spec.name),
        refresh=refresh_of(spec, recorded, asked),
        asked=asked,
        settings=settings,
        history=history.get(spec.name, ()),
        groups=impacts.groups_of(seen.files) if seen is not None else (),
        moving=_moving(spec, recorded, tables),
    )


def _moving(
    spec: IngestionSpec, recorded: Recorded | None, tables: Mapping[str, TableFacts | None]
) -> TableFacts | None:
    """The ingestion's table under the name that it is recorded with, where the spec gives it another one."""
    if recorded is None or recorded.table is None or recorded.table == spec.destination.table:
        return None
    return tables.get(recorded.table)


def _gone(specs: Sequence[IngestionSpec], state: State, asked: Asked) -> list[Recorded]:
    """Recorded ingestions whose spec is gone, by name."""
    if asked.mode == "refresh-only":
        return []
    return sorted((each for each in state.removed(specs) if asked.takes(each.name)), key=lambda each: each.name)


def _removed(
    gone: Sequence[Recorded], specs: Sequence[IngestionSpec], state: State, tables: Mapping[str, TableFacts | None]
) -> list[Change]:
    """What becomes of recorded ingestions whose spec is gone."""
    return [_removal(each, tables.get(each.table or ""), _also_of(each, specs, state)) for each in gone]


def _also_of(recorded: Recorded, specs: Sequence[IngestionSpec], state: State) -> str | None:
    """Another ingestion that has the same table: its rows are not to be dropped with this one; None = none has."""
    mine = {recorded.table, recorded.table_uuid} - {None}
    rows = [row.name for row in state.ingestions if row.name != recorded.name and mine & {row.table, row.table_uuid}]
    return next(iter([*rows, *(spec.name for spec in specs if spec.destination.table == recorded.table)]), None)


def _removal(recorded: Recorded, table: TableFacts | None, other: str | None) -> Change:
    drops = recorded.on_remove == "drop" and recorded.table is not None and other is None
    rows = table.rows if table is not None else None
    forget = Operation("ingestion_forgotten", {"files": recorded.loaded_files})
    drop = Operation("table_dropped", {"table": recorded.table, "rows": rows})
    protected = Block("protect", f"{recorded.name} is protected: nothing may drop {recorded.table}")
    what = "dropped" if drops else "kept, its history is forgotten"
    why = f"on_remove: {recorded.on_remove}" if other is None else f"it is the table of {other} as well"
    return Change(
        ingestion=recorded.name,
        actions=(Action.DROP,) if drops else (Action.FORGET,),
        reason=Reason.SPEC_REMOVED,
        detail=f"its spec is gone; the table {recorded.table} is {what} ({why})",
        before={"table": recorded.table, "spec": dict(recorded.spec), "rows": rows},
        operations=(drop, forget) if drops else (forget,),
        blocked=protected if drops and recorded.protect else None,
    )


def _ordered(changes: Sequence[Change]) -> list[Change]:
    """Renames first, since later changes use the new names; removals last."""

    def place(change: Change) -> int:
        if change.reason == Reason.RENAMED:
            return 0
        return 2 if change.reason == Reason.SPEC_REMOVED else 1

    return sorted(changes, key=place)


def _shared_tables(specs: Sequence[IngestionSpec]) -> list[Diagnostic]:
    """Two ingestions of one table would rebuild, replace and roll back each other's rows."""
    owners: dict[str, list[str]] = {}
    for spec in specs:
        owners.setdefault(spec.destination.table, []).append(spec.name)
    return [
        Diagnostic(
            Severity.ERROR,
            f"{' and '.join(names)} write the same table {table}",
            "Give each a table of its own.",
        )
        for table, names in owners.items()
        if len(names) > 1
    ]


def _plan(
    changes: list[Change],
    cases: Sequence[Case],
    based: Sequence[Basis],
    parts: Sequence[Part],
    diagnostics: Sequence[Diagnostic],
    notes: tuple[str, ...],
    state: State,
    now: datetime,
    tool_version: str,
    asked: Asked,
) -> Plan:
    groups = [group for case in cases for group in case.groups]
    totals = impacts.total_impact([change.impact for change in changes if change.blocked is None], groups)
    rails = _verdicts(cases, groups, totals, asked)
    denied = [verdict for verdict in rails if not verdict.passed and verdict.level == "deny"]
    if denied:
        changes = [_denied(change, denied[0]) for change in changes]
    errored = any(diagnostic.severity == Severity.ERROR for diagnostic in diagnostics)
    looked = asked.mode != "offline"
    waits = any(group.disposition == Disposition.DEFERRED for group in groups)
    plan = Plan(
        tool_version=tool_version,
        plan_id="",
        digest="",
        created_at=now,
        expires_at=None if asked.expires_in is None else now + asked.expires_in,
        lineage=state.lineage,
        serial=state.serial,
        mode=asked.mode,
        applyable=not errored and any(change.blocked is None for change in changes),
        complete=not errored and not waits and looked and all(change.blocked is None for change in changes),
        errored=errored,
        changes=tuple(changes),
        totals=totals,
        basis=tuple(based),
        guardrails=rails,
        drift=tuple(drift for part in parts for drift in part.drift),
        notes=notes,
        diagnostics=tuple(diagnostics),
    )
    digest = digest_of(plan)
    return replace(plan, digest=digest, plan_id=f"{now:%Y%m%dT%H%M%SZ}-{digest[:12]}")


def _verdicts(
    cases: Sequence[Case], groups: Sequence[impacts.Group], totals: Impact, asked: Asked
) -> tuple[Verdict, ...]:
    settings = cases[0].settings if cases else Settings()
    loaded = sum(loaded_count(case) for case in cases)
    return verdicts(settings.guardrails, totals, replaced_percent(groups, loaded), asked.max_usd)


def _denied(change: Change, verdict: Verdict) -> Change:
    """A guardrail that refuses stops every change that loads, rebuilds or rewrites."""
    works = Action.LOAD in change.actions or Action.REBUILD in change.actions or change.impact.bytes_to_process > 0
    if change.blocked is not None or not works:
        return change
    why = f"guardrail {verdict.id}: {verdict.value_text} is over {verdict.limit_text}"
    return replace(change, blocked=Block(verdict.id, why))


def _basis(case: Case) -> Basis:
    return Basis(
        ingestion=case.spec.name,
        serial=case.recorded.serial if case.recorded else 0,
        spec_digest=spec_digest(case.spec),
        snapshot_id=case.table.snapshot_id if case.table else None,
        schema_id=case.table.schema_id if case.table else None,
        table_uuid=case.table.uuid if case.table else None,
        files_digest=impacts.work_digest(case.files) if case.files is not None else None,
    )


def _basis_of_removal(recorded: Recorded, tables: Mapping[str, TableFacts | None]) -> Basis:
    """Its digest is that of no spec: a plan that removes an ingestion is stale once there is one again."""
    table = tables.get(recorded.table or "")
    return Basis(
        ingestion=recorded.name,
        serial=recorded.serial,
        spec_digest="",
        snapshot_id=table.snapshot_id if table is not None else None,
        schema_id=table.schema_id if table is not None else None,
        table_uuid=table.uuid if table is not None else None,
    )
