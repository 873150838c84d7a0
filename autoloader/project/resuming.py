"""`apply --resume RUN`: recovery, then a plan of that run's ingestion; what goes on with the run is not asked again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from autoloader.errors import LeaseBusyError, SettingsError
from autoloader.inventory import Lane
from autoloader.plan import Action, Change

if TYPE_CHECKING:
    from autoloader.ledger import Ledger, RunRow
    from autoloader.project.planned import Wishes
    from autoloader.project.project import Project
    from autoloader.specfiles import ProjectSpecs

_LOADS: Final = frozenset(
    {"run_triggered", "rows_replaced", "data_files_rewritten", "files_marked", "request_recorded"}
)


def run_of(ledger: Ledger, run_id: str) -> RunRow:
    """One run.

    Raises:
        SettingsError: There is none of that id.
    """
    run = ledger.run(run_id)
    if run is None:
        raise SettingsError(f"There is no run {run_id!r}.", fix="See the runs:\n  autoloader runs")
    return run


def of_its_ingestion(wishes: Wishes, ledger: Ledger, specs: ProjectSpecs) -> Wishes:
    """Wishes that name a run, as wishes for a plan of its ingestion alone; others as they are.

    Raises:
        SettingsError: There is no such run, its ingestion has no spec any more, or a refresh is asked of another one.
    """
    if wishes.resume is None:
        return wishes
    run = run_of(ledger, wishes.resume)
    name = _name_now(run, ledger, specs)
    if others := sorted(wishes.refresh.keys() - {name}):
        raise SettingsError(
            f"--resume {run.run_id} goes on with {name}, and --refresh asks for {others[0]}.",
            why="Nothing was changed.",
            fix=f"Ask for it in an apply of its own:\n  autoloader apply --refresh {others[0]}=MODE",
        )
    return replace(wishes, select=(name,))


def _name_now(run: RunRow, ledger: Ledger, specs: ProjectSpecs) -> str:
    """The name of a run's ingestion in the specs, which may be about to rename it."""
    found = [loaded.spec for loaded in specs.ingestions]
    if run.ingestion in {spec.name for spec in found}:
        return run.ingestion
    for spec in found:
        if spec.previous_name == run.ingestion and ledger.ingestion(spec.name) is None:
            return spec.name
    raise SettingsError(
        f"Run {run.run_id} cannot be resumed: {run.ingestion} has no spec any more.",
        why="Nothing was changed.",
        fix="See what becomes of its table:\n  autoloader plan",
    )


def check_resumable(project: Project, wishes: Wishes) -> None:
    """Whether there is something to go on with in a run. Call it after recovery.

    Raises:
        SettingsError: It was a rebuild that only `--refresh` asked for, and nothing says so any more.
        LeaseBusyError: It is still at work.
    """
    if wishes.resume is None:
        return
    run = run_of(project.ledger, wishes.resume)
    living = {lease.holder for lease in project.ledger.living(run.ingestion, now=project.clock())}
    if run.state == "running" and run.holder in living:
        raise LeaseBusyError(
            f"Run {run.run_id} is still at work.",
            why=f"{run.holder} has it in hand.",
            fix="Wait for its end, or see who is alive:\n  autoloader locks list",
        )
    by_hand = "rebuild" in (run.extra or {}) and not any(kind == "refresh" for kind, _ in _requests_of(run))
    served = any(batch.state == "recorded" for batch in project.ledger.batches(run.run_id))
    if by_hand and not served and not wishes.refresh:
        [name] = of_its_ingestion(wishes, project.ledger, project.specs()).select
        raise SettingsError(
            f"Run {run.run_id} was a rebuild that --refresh asked for, and it has to be asked for again.",
            why=f"It was not finished, so nothing of it is in the table of {name}.",
            fix=f"Ask for it again:\n  autoloader apply --resume {run.run_id} --refresh {name}=full",
        )


def goes_on(changes: tuple[Change, ...], run: RunRow) -> bool:
    """Whether a plan only loads files, or builds anew what the run was building: that was approved with the run."""
    return all(_only_loads(change) or _is_rebuild_of(run, change) for change in changes if change.blocked is None)


def _only_loads(change: Change) -> bool:
    """No row leaves but that of a file that is loaded again."""
    return change.actions == (Action.LOAD,) and {each.operation for each in change.operations} <= _LOADS


def _is_rebuild_of(run: RunRow, change: Change) -> bool:
    """The same request of the spec, with no fewer files than the run was to load: the rows of others would leave."""
    asks = {(o.details["kind"], o.details["request"]) for o in change.operations if o.operation == "request_recorded"}
    return (
        change.actions == (Action.REBUILD, Action.LOAD)
        and change.lane == run.lane == Lane.REFRESH
        and any(kind == "refresh" for kind, _ in asks)
        and asks == _requests_of(run)
        and change.impact.files_to_process >= (run.planned_files or 0)
    )


def _requests_of(run: RunRow) -> set[tuple[str, str]]:
    """What of the spec a rebuild was to do, as its run has recorded it."""
    return {(kind, request) for kind, request in (run.extra or {}).get("rebuild", {}).get("requests", ())}
