"""The changes that load files: one per lane, with its reason, operations and price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.cost import Estimate, History
from autoloader.diff import START_REASON
from autoloader.inventory import WORK, Disposition, Lane
from autoloader.plan import Action, Change, Operation, Reason
from autoloader.planner import impacts
from autoloader.planner.facts import Asked, Looked, Recorded, RefreshMode, Rescued, TableFacts
from autoloader.planner.impacts import Group
from autoloader.schema import TableSchema
from autoloader.spec import IngestionSpec, Settings

LANES: Final = (Lane.LIVE, Lane.REINGEST, Lane.REFRESH, Lane.BACKFILL)
"""In the order in which their changes stand in a plan and are applied."""

_REASONS: Final = (
    (Disposition.CHANGED, Reason.CHANGED_FILES),
    (Disposition.NEW, Reason.NEW_FILES),
    (Disposition.LATE, Reason.LATE_FILES),
    (Disposition.RETRY, Reason.RETRY),
    (Disposition.SCHEMA, Reason.SCHEMA_CHANGED),
    (Disposition.REINGEST, Reason.REINGEST_REQUESTED),
)
_NOUNS: Final = {
    Disposition.NEW: "{} never seen",
    Disposition.CHANGED: "{} replaced",
    Disposition.RETRY: "{} to try again",
    Disposition.REINGEST: "{} to load again",
    Disposition.SCHEMA: "{} to load again for new columns",
    Disposition.LATE: "{} late",
}


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known of one ingestion while it is planned.

    Attributes:
        table: The table that the spec names.
        rescued: Values that its rows have only in `_rescued`, None = none are to be filled in.
        moving: The ingestion's table under its old name, where it is to be renamed to the one that the spec names.
    """

    spec: IngestionSpec
    recorded: Recorded | None
    table: TableFacts | None
    looked: Looked | None
    schema: TableSchema | None
    refresh: tuple[RefreshMode, str | None] | None
    asked: Asked
    settings: Settings
    history: Sequence[History]
    groups: tuple[Group, ...] = field(default=())
    moving: TableFacts | None = None
    rescued: Rescued | None = None

    @property
    def files(self) -> pa.Table | None:
        """The diff, None where storage was not looked at."""
        return None if self.looked is None else self.looked.files

    def count(self, *dispositions: Disposition, lane: str | None = None) -> int:
        """Files with one of the dispositions, in one lane or in all."""
        return sum(g.files for g in self.groups if g.disposition in dispositions and lane in (None, g.lane))


def loads(case: Case) -> list[Change]:
    """One change per lane that has files to load or rows to remove, in the order of `LANES`."""
    found = [_load(case, lane) for lane in LANES if _has_work(case, lane)]
    return _with_the_rest(case, found)


def _has_work(case: Case, lane: Lane) -> bool:
    return any(g.lane == lane and (g.is_work or _leaves(g)) for g in case.groups)


def _rewritten(case: Case, lane: Lane) -> int:
    return case.looked.rewritten.get(lane, 0) if case.looked is not None else 0


def _leaves(group: Group) -> bool:
    """Files that are gone and whose rows are to leave the table."""
    return group.disposition == Disposition.MISSING and group.replaced_files > 0


def _load(case: Case, lane: Lane) -> Change:
    own = [group for group in case.groups if group.lane == lane]
    listed = case.looked.listed if case.looked else 0
    estimated = impacts.price(
        case.spec, lane, own, listed, case.settings, case.history, rewritten_bytes=_rewritten(case, lane)
    )
    rebuild = lane == Lane.REFRESH and case.refresh is not None
    return Change(
        ingestion=case.spec.name,
        actions=(Action.REBUILD, Action.LOAD) if rebuild else (Action.LOAD,),
        reason=_reason(own, lane),
        detail=_detail(case, lane, own, estimated),
        lane=lane.value,
        before={
            "table": case.spec.destination.table,
            "snapshot_id": case.table.snapshot_id if case.table else None,
        },
        after={"table": case.spec.destination.table},
        impact=impacts.impact_of(own, estimated),
        operations=tuple(_operations(case, lane, own, estimated)),
    )


def _reason(groups: Sequence[Group], lane: Lane) -> Reason:
    if lane == Lane.REFRESH:
        return Reason.REFRESH_REQUESTED
    if lane == Lane.BACKFILL:
        return Reason.BACKFILL
    present = {group.disposition for group in groups if group.is_work}
    for disposition, reason in _REASONS:
        if disposition in present:
            return reason
    return Reason.FILES_DELETED


def _detail(case: Case, lane: Lane, groups: Sequence[Group], estimated: Estimate | None) -> str:
    """One sentence that reads after "because"."""
    parts = [part for part in (_counted(case, lane, group) for group in groups if group.is_work) if part]
    gone = [group for group in groups if _leaves(group)]
    if gone:
        leaving = sum(g.replaced_rows or 0 for g in gone)
        parts.append(
            f"{files_text(sum(g.files for g in gone))} gone from storage"
            f" ({_rows(leaving)} leave{'s' * (leaving == 1)} the table)"
        )
    sentence = ", ".join(parts)
    oldest = min((g.oldest for g in groups if g.is_work and g.oldest), default=None)
    newest = max((g.newest for g in groups if g.is_work and g.newest), default=None)
    if oldest is not None:
        sentence += f", of {oldest}" if oldest == newest else f", of {oldest} to {newest}"
    if estimated is not None and estimated.batches:
        sentence += f", in {estimated.batches:,} batch{'es' * (estimated.batches != 1)}"
    if lane == Lane.REFRESH and (lost := lost_rows(case)):
        leaves = f"row{'s' * (lost != 1)} of files that are gone, replaced or out of scope leave{'s' * (lost == 1)}"
        sentence += f"; {lost:,} {leaves} for good"
    waiting = case.count(Disposition.DEFERRED, lane=lane)
    return sentence + (f"; {files_text(waiting)} must wait for a later run" if waiting else "")


def _counted(case: Case, lane: Lane, group: Group) -> str:
    text = _NOUNS[Disposition(group.disposition)].format(files_text(group.files))
    if group.replaced_files:
        number = group.replaced_rows
        rows = "their old rows leave" if number is None else f"{_rows(number)} leave{'s' * (number == 1)}"
        text += f" ({rows})"
    if group.disposition == Disposition.LATE and case.files is not None:
        dates, number = impacts.dates_touched(impacts.rows_where(case.files, lane, [group.disposition]))
        shown = ", ".join(dates) + (f" and {number - len(dates):,} more" if number > len(dates) else "")
        text += f" (dates {shown})" if shown else ""
    return text


def files_text(number: int) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} file{'s' * (number != 1)}"


def _rows(number: int) -> str:
    return f"{number:,} old row{'s' * (number != 1)}"


def _operations(case: Case, lane: Lane, groups: Sequence[Group], estimated: Estimate | None) -> list[Operation]:
    found: list[Operation] = []
    whole = lane == Lane.REFRESH and case.refresh is not None and case.refresh[0] == "full"
    replaced = [] if whole else [g for g in groups if g.is_work and g.replaced_files]
    if lane == Lane.REFRESH and case.refresh is not None:
        found += refresh_operations(case)
    elif lane in (Lane.REINGEST, Lane.REFRESH):
        found.append(Operation("files_marked", {"files": case.count(*WORK, Disposition.DEFERRED, lane=lane)}))
    if replaced:
        found.append(_replacement(case, lane, replaced))
    gone = [g for g in groups if _leaves(g)]
    if gone:
        found.append(Operation("rows_removed", _removed(gone)))
    if rewritten := _rewritten(case, lane):
        found.append(Operation("data_files_rewritten", {"bytes": rewritten}))
    if estimated is not None and estimated.batches:
        work = [g for g in groups if g.is_work]
        details: dict[str, Any] = {
            "lane": lane.value,
            "files": sum(g.files for g in work),
            "bytes": sum(g.size_bytes for g in work),
            "batches": estimated.batches,
        }
        found.append(Operation("run_triggered", details))
    if whole:
        found += swap_operations(case)
    if lane == Lane.REINGEST:
        found += [Operation("request_recorded", {"kind": "reingest", "request": r}) for r in _requests(case)]
    if lane == Lane.REFRESH:
        found += requests_of_refresh(case)
    return found


def requests_of_refresh(case: Case) -> list[Operation]:
    """What a rebuild does of what the spec asks for: itself, and each reingest where it loads all files again."""
    if case.refresh is None:
        return []
    mode, request = case.refresh
    found = [("refresh", request)] if request is not None else []
    found += [("reingest", each) for each in _requests(case)] if mode != "new-only" else []
    return [Operation("request_recorded", {"kind": kind, "request": name}) for kind, name in found]


def idle_requests(case: Case) -> list[Operation]:
    """Reingests that no file answers to: they are done, else they would load again what comes later.

    While files that were loaded wait, or are away, they may be the ones that are meant.
    """
    whole = case.refresh is not None and case.refresh[0] != "new-only"
    if case.files is None or whole or _has_work(case, Lane.REINGEST):
        return []
    away = pa.array([Disposition.DEFERRED.value, Disposition.MISSING.value])
    busy = pc.and_(pc.is_in(case.files["disposition"], value_set=away), pc.is_valid(case.files["known_state"]))
    if pc.any(busy).as_py():
        return []
    return [Operation("request_recorded", {"kind": "reingest", "request": r, "files": 0}) for r in _requests(case)]


def _replacement(case: Case, lane: Lane, groups: Sequence[Group]) -> Operation:
    details = _removed(groups)
    if case.files is not None:
        changed = impacts.rows_where(case.files, lane, [Disposition.CHANGED.value])
        details["examples"] = impacts.examples(changed)
    return Operation("rows_replaced", details)


def _removed(groups: Sequence[Group]) -> dict[str, Any]:
    rows = [g.replaced_rows for g in groups]
    known = [number for number in rows if number is not None]
    return {
        "files": sum(g.replaced_files for g in groups),
        "rows": sum(known) if len(known) == len(rows) else None,
    }


def _requests(case: Case) -> list[str]:
    if case.recorded is None:
        return []
    done = case.recorded.requests_done
    return [item.request for item in case.spec.reingest if ("reingest", item.request) not in done]


def refresh_operations(case: Case) -> list[Operation]:
    """The steps of a rebuild before its load. Nothing is dropped before the new table stands."""
    if case.refresh is None:
        return []
    table, known = case.spec.destination.table, _loaded(case)
    match case.refresh[0]:
        case "full":
            return [Operation("branch_created", {"table": table})]
        case "clear-history":
            return [Operation("processed_files_cleared", {"files": known})]
        case "new-only":
            rows = case.table.rows if case.table else None
            return [Operation("table_emptied", {"table": table, "files": known, "rows": rows})]


def lost_rows(case: Case) -> int:
    """Rows that a full rebuild does not bring back: those of no file that it loads; 0 = none, or not known."""
    if case.refresh is None or case.refresh[0] != "full" or case.table is None or case.table.rows is None:
        return 0
    again = [g.replaced_rows for g in case.groups if g.lane == Lane.REFRESH and g.is_work and g.replaced_files]
    known = [rows for rows in again if rows is not None]
    return max(0, case.table.rows - sum(known)) if len(known) == len(again) else 0


def swap_operations(case: Case) -> list[Operation]:
    """The steps of a full rebuild after its load."""
    table, rows = case.spec.destination.table, case.table.rows if case.table else None
    return [
        Operation("branch_compared", {"rows_before": rows}),
        Operation("branch_swapped", {"table": table}),
        Operation("processed_files_cleared", {"files": _loaded(case)}),
    ]


def _loaded(case: Case) -> int:
    if case.recorded is not None and case.recorded.loaded_files is not None:
        return case.recorded.loaded_files
    return case.count(
        Disposition.DONE,
        Disposition.TOUCHED,
        Disposition.REINGEST,
        Disposition.CHANGED,
        Disposition.OUT_OF_SCOPE,
    )


def _with_the_rest(case: Case, changes: list[Change]) -> list[Change]:
    """Files that are in no lane of a change are counted with the first one: every file counts once."""
    if not changes:
        return changes
    lanes = {change.lane for change in changes[1:]}
    first = changes[0]
    own = [group for group in case.groups if group.lane not in lanes]
    whole = impacts.impact_of(own, None)
    counted = replace(first.impact, files_skipped=whole.files_skipped, files_by_disposition=whole.files_by_disposition)
    return [replace(first, impact=counted), *changes[1:]]


def skipped_by_start(case: Case) -> int:
    """Files that `source.start: now` leaves out for ever; apply records them as SKIPPED."""
    if case.files is None or case.recorded is not None or case.spec.source.start != "now":
        return 0
    return int(pc.sum(pc.equal(case.files["reason"], START_REASON)).as_py() or 0)
