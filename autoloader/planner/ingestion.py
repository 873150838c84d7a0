"""The changes of one ingestion: what its spec, its record, its table and its files together ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from autoloader.inventory import Disposition
from autoloader.plan import Action, Block, Change, Diagnostic, Operation, Reason
from autoloader.planner.blocks import WAITING, leaving, loaded_count, name_taken, protection, standing_block
from autoloader.planner.findings import diagnostics_of, drift_of, notes_of
from autoloader.planner.impacts import impact_of
from autoloader.planner.loads import (
    Case,
    files_text,
    idle_requests,
    loads,
    lost_rows,
    refresh_operations,
    requests_of_refresh,
    skipped_by_start,
    swap_operations,
)
from autoloader.planner.schemas import schema_change
from autoloader.schema import to_data
from autoloader.spec import Effect, KeyChange, change_effects


@dataclass(frozen=True, slots=True)
class Part:
    """One ingestion's part of a plan."""

    changes: tuple[Change, ...]
    drift: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def plan_ingestion(case: Case) -> Part:
    """Everything that one spec asks for, in the order in which it is to be done."""
    block = standing_block(case)
    files = [_blocked(change, block or leaving(case, change)) for change in (*_rebuild_alone(case), *loads(case))]
    files = [_protected(case, change) for change in files]
    changes = _created(case, files, block) if case.recorded is None else _kept(case, files, block)
    unseen = block is not None and block.by not in WAITING and not any(c.blocked == block for c in changes)
    if unseen and block is not None:
        changes = [*changes, _only_blocked(case, block)]
    if case.asked.mode == "refresh-only":
        changes = []
    return Part(tuple(changes), drift_of(case), notes_of(case), diagnostics_of(case))


def _blocked(change: Change, block: Block | None) -> Change:
    return change if block is None or change.blocked is not None else replace(change, blocked=block)


def _protected(case: Case, change: Change) -> Change:
    rebuilds = Action.REBUILD in change.actions or Action.DROP in change.actions
    return replace(change, blocked=protection(case) or change.blocked) if rebuilds else change


def _only_blocked(case: Case, block: Block) -> Change:
    """A stop is shown even where no file is to be loaded, so that it cannot be overlooked."""
    return Change(
        ingestion=case.spec.name,
        actions=(Action.LOAD,),
        reason=Reason.TABLE_MISSING if block.by.startswith("table") else Reason.FILES_DELETED,
        detail=block.message,
        before={"table": case.spec.destination.table},
        after={"table": case.spec.destination.table},
        impact=impact_of(case.groups, None),
        blocked=block,
    )


def _created(case: Case, files: Sequence[Change], block: Block | None) -> list[Change]:
    """A new ingestion: recorded, its table made, its files loaded; or an empty table of its own taken up."""
    table = case.spec.destination.table
    adopts = case.table is not None
    action = Action.ADOPT if adopts else Action.CREATE
    after: dict[str, Any] = {"table": table, "spec": case.spec.as_data()}
    if case.schema is not None:
        after["schema"] = to_data(case.schema)
    steps = [Operation("ingestion_recorded", {"name": case.spec.name})]
    if not adopts and case.schema is not None:
        steps.append(Operation("table_created", {"table": table, "columns": len(case.schema.columns)}))
    if skipped := skipped_by_start(case):
        steps.append(Operation("files_skipped", {"files": skipped, "because": "source.start: now"}))
    steps += _requests_that_ask_nothing(case)
    reason = Reason.TABLE_EXISTS if adopts else Reason.NEW_INGESTION
    head = f"the table {table} is there" if adopts else "the ingestion is new"
    if not files:
        alone = Change(
            case.spec.name,
            (action,),
            reason,
            head + _nothing_yet(case),
            after=after,
            impact=impact_of(case.groups, None),
        )
        return [_blocked(replace(alone, operations=tuple(steps)), block)]
    first = files[0]
    merged = replace(
        first,
        actions=(action, *first.actions),
        reason=reason,
        detail=f"{head}: {first.detail}",
        before=None if not adopts else first.before,
        after=after,
        operations=(*steps, *first.operations),
    )
    return [merged, *files[1:]]


def _nothing_yet(case: Case) -> str:
    if case.looked is None:
        return "; storage was not looked at"
    waiting = case.count(Disposition.DEFERRED)
    return f"; {files_text(waiting)} must wait" if waiting else "; there is nothing to load yet"


def _requests_that_ask_nothing(case: Case) -> list[Operation]:
    """Requests of a spec that is applied for the first time: there is nothing to do again."""
    found = [Operation("request_recorded", {"kind": "reingest", "request": r.request}) for r in case.spec.reingest]
    if case.spec.refresh is not None:
        found.append(Operation("request_recorded", {"kind": "refresh", "request": case.spec.refresh.request}))
    return found


def _kept(case: Case, files: Sequence[Change], block: Block | None) -> list[Change]:
    """A recorded ingestion: renamed, updated, its schema changed, then its files."""
    updated, schema = _updated(case), schema_change(case)
    if block is None and (idle := idle_requests(case)):
        updated = _with_idle(case, updated, idle)
    if schema is not None:
        schema = _blocked(schema, block)
        if schema.blocked is not None:  # else files would be read by columns that the table does not have
            waits = Block(schema.blocked.by, "waits for the change of the schema")
            files = [_blocked(change, waits) for change in files]
            updated = updated and _blocked(updated, waits)
    found = [change for change in (updated, schema) if change is not None]
    if case.table is None and files and case.asked.mode != "offline" and loaded_count(case) == 0:
        files = [_with_table(case, files[0]), *files[1:]]
    return [*found, *files]


def _with_table(case: Case, change: Change) -> Change:
    """Recorded before there was anything to make a table from: the table is made with the first load."""
    table = case.spec.destination.table
    details: dict[str, Any] = {"table": table}
    after: dict[str, Any] = dict(change.after or {})
    if case.schema is not None:
        details["columns"] = len(case.schema.columns)
        after["schema"] = to_data(case.schema)
    return replace(
        change,
        actions=(Action.CREATE, *change.actions),
        reason=Reason.TABLE_MISSING,
        detail=f"the table {table} does not exist yet: {change.detail}",
        before=None,
        after=after,
        operations=(Operation("table_created", details), *change.operations),
    )


def _updated(case: Case) -> Change | None:
    """The record takes the new spec's values and name; a moved table is renamed in the catalog."""
    if case.recorded is None:
        return None
    old, spec = case.recorded, case.spec
    renamed = old.name != spec.name
    edits = [e for e in change_effects(old.spec, spec.as_data()) if e.effect != Effect.RENAME or not renamed]
    if not edits and not renamed:
        return None
    block, moved = _moved_table(case, edits)
    rename = [Operation("ingestion_renamed", {"from": old.name, "to": spec.name})] if renamed else []
    return Change(
        ingestion=spec.name,
        actions=(Action.UPDATE,),
        reason=_why_updated(edits, renamed),
        detail=_edited(edits) if not renamed else f"it was called {old.name}; its history follows",
        before={
            "name": old.name,
            "table": old.table,
            "spec": dict(old.spec),
            "keys": {e.key: e.before for e in edits},
        },
        after={
            "name": spec.name,
            "table": spec.destination.table,
            "spec": spec.as_data(),
            "keys": {e.key: e.after for e in edits},
        },
        operations=(
            *rename,
            *moved,
            *_laid_out(case, edits),
            *_properties_gone(edits),
            Operation("spec_recorded", {"keys": [e.key for e in edits]}),
        ),
        blocked=block,
    )


def _with_idle(case: Case, updated: Change | None, requests: Sequence[Operation]) -> Change:
    """The update that also settles requests; one of its own where nothing else is to be updated."""
    if updated is not None:
        return replace(updated, operations=(*updated.operations, *requests))
    return Change(
        ingestion=case.spec.name,
        actions=(Action.UPDATE,),
        reason=Reason.REINGEST_REQUESTED,
        detail="no file that was loaded answers to what reingest asks for",
        before={"table": case.spec.destination.table},
        after={"table": case.spec.destination.table},
        operations=tuple(requests),
    )


def _why_updated(edits: Sequence[KeyChange], renamed: bool) -> Reason:
    if renamed:
        return Reason.RENAMED
    metadata = all(edit.effect == Effect.METADATA for edit in edits)
    return Reason.METADATA_CHANGED if metadata else Reason.SPEC_CHANGED


def _edited(edits: Sequence[KeyChange]) -> str:
    metadata = all(edit.effect == Effect.METADATA for edit in edits)
    shown = ", ".join(edit.key for edit in edits[:6]) + (f" and {len(edits) - 6} more" if len(edits) > 6 else "")
    return f"{shown} changed" + ("; no file is loaded for it" if metadata else "")


def _moved_table(case: Case, edits: Sequence[KeyChange]) -> tuple[Block | None, list[Operation]]:
    """`destination.table` edited: a rename where the new name is free, else a stop."""
    new, old = case.spec.destination.table, case.recorded.table if case.recorded else None
    if "destination.table" not in {edit.key for edit in edits} or old is None or old == new:
        return None, []
    if case.table is not None:  # where it is the same table, only its new name was not recorded any more
        return name_taken(case), []
    return None, [Operation("table_renamed", {"from": old, "to": new})]


_LAYOUTS: Final = {"destination.partition_by": "partitioning_changed", "destination.sort_by": "sorting_changed"}


def _laid_out(case: Case, edits: Sequence[KeyChange]) -> list[Operation]:
    """`partition_by`, `sort_by` edited: metadata alone. Files that are there keep the layout they were written in."""
    keep = loaded_count(case)
    return [
        Operation(
            name,
            {"from": list(edit.before or ()), "to": list(edit.after or ()), "files_kept": keep, "class": "metadata"},
        )
        for edit in edits
        if (name := _LAYOUTS.get(edit.key)) is not None
    ]


def _properties_gone(edits: Sequence[KeyChange]) -> list[Operation]:
    """Table properties that the spec had and has no more: they leave the table."""
    for edit in edits:
        before, after = (value or {} for value in (edit.before, edit.after))
        if edit.key == "destination.properties" and (gone := [key for key in before if key not in after]):
            return [Operation("properties_removed", {"keys": gone})]
    return []


def _rebuild_alone(case: Case) -> list[Change]:
    """A rebuild that loads nothing by itself: `new-only`, or one of an ingestion without files."""
    if case.refresh is None or any(group.lane == "refresh" and group.is_work for group in case.groups):
        return []
    mode, request = case.refresh
    operations = [*refresh_operations(case), *(swap_operations(case) if mode == "full" else ())]
    operations += requests_of_refresh(case)
    number = loaded_count(case)
    rows = "the rows" if case.table is None or case.table.rows is None else f"{case.table.rows:,} rows"
    leaving = f"{rows} of {files_text(number)} leave the table and are not loaded again"
    empty = "there are no files to load" + (f": {rows} leave the table for good" if lost_rows(case) else "")
    detail = f"refresh {mode} is asked for" + (f" ({request})" if request else "")
    return [
        Change(
            ingestion=case.spec.name,
            actions=(Action.REBUILD,),
            reason=Reason.REFRESH_REQUESTED,
            detail=f"{detail}: {leaving}" if mode == "new-only" else f"{detail}; {empty}",
            lane="refresh",
            before={
                "table": case.spec.destination.table,
                "snapshot_id": case.table.snapshot_id if case.table else None,
            },
            after={"table": case.spec.destination.table},
            operations=tuple(operations),
        )
    ]
