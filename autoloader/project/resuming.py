"""`apply --resume RUN`: what that run left is finished, and nothing else is taken for approved."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.errors import LeaseBusyError, SettingsError
from autoloader.inventory import INSTANT, WORK, Disposition, Lane
from autoloader.plan import Action, Change
from autoloader.planner import Looked

if TYPE_CHECKING:
    from datetime import datetime

    from autoloader.ledger import Ledger, RunRow
    from autoloader.project.project import Project

_LOADS: Final = frozenset(
    {"run_triggered", "rows_replaced", "data_files_rewritten", "files_marked", "request_recorded"}
)
_OTHERS: Final = "it is not among what the run that is resumed has left"


def run_of(ledger: Ledger, run_id: str) -> RunRow:
    """One run.

    Raises:
        SettingsError: There is none of that id.
    """
    run = ledger.run(run_id)
    if run is None:
        raise SettingsError(f"There is no run {run_id!r}.", fix="See the runs:\n  autoloader runs")
    return run


def check_resumable(project: Project, run: RunRow) -> None:
    """Whether what a run left can be finished now. Call it after recovery.

    Raises:
        SettingsError: Its ingestion has no spec any more.
        LeaseBusyError: It is still at work.
    """
    if run.ingestion not in {loaded.spec.name for loaded in project.specs().ingestions}:
        raise SettingsError(
            f"Run {run.run_id} cannot be resumed: {run.ingestion} has no spec any more.",
            why="Nothing was changed.",
            fix="See what becomes of its table:\n  autoloader plan",
        )
    living = {lease.holder for lease in project.ledger.living(run.ingestion, now=project.clock())}
    if run.state == "running" and run.holder in living:
        raise LeaseBusyError(
            f"Run {run.run_id} is still at work.",
            why=f"{run.holder} has it in hand.",
            fix="Wait for its end, or see who is alive:\n  autoloader locks list",
        )


def only_left(looked: Looked, run: RunRow) -> Looked:
    """What storage showed, with the work of other lanes, and what came after the run began, put off."""
    files = looked.files
    work = pc.is_in(files["disposition"], value_set=pa.array(sorted(WORK)))
    old = pc.fill_null(pc.less_equal(files["modified_at"], pa.scalar(_after(run.started_at), INSTANT)), True)
    mine = pc.and_(pc.is_in(files["lane"], value_set=pa.array(sorted(_lanes(run)))), old)
    off = pc.and_(work, pc.invert(mine))
    for name, value in (("disposition", Disposition.DEFERRED.value), ("reason", _OTHERS)):
        at = files.schema.get_field_index(name)
        files = files.set_column(at, files.schema.field(at), pc.if_else(off, value, files[name]))
    return replace(looked, files=files)


def _lanes(run: RunRow) -> frozenset[str]:
    """Where the rest of a run is: what a cleared history has marked to be loaded again is in the other lane."""
    again = frozenset({Lane.REFRESH.value, Lane.REINGEST.value})
    return again if run.lane in again else frozenset({run.lane or Lane.LIVE.value})


def _after(started_at: datetime) -> datetime:
    """The end of the second in which a run began: some storages tell whole seconds."""
    return started_at + timedelta(seconds=1)


def goes_on(changes: tuple[Change, ...], run: RunRow) -> bool:
    """Whether a plan only loads what a run left, which was approved with that run: no row leaves but by a load."""
    return all(
        change.actions == (Action.LOAD,)
        and change.lane in _lanes(run)
        and {operation.operation for operation in change.operations} <= _LOADS
        for change in changes
        if change.blocked is None
    )
