"""Apply from the outside: tools are made, Spark is started, what died is recovered, a report comes back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from autoloader.apply import (
    LEASE_S,
    BatchSize,
    Budget,
    Done,
    Events,
    Progress,
    Recipe,
    Recovered,
    Silent,
    Step,
    Stop,
    Tools,
    Work,
    apply_plan,
    note_files,
    recover,
    this_process,
)
from autoloader.cost import flat_rate, money
from autoloader.errors import AutoloaderError, LeaseBusyError, PlanStaleError, RefusedError, SettingsError
from autoloader.inventory import Disposition
from autoloader.plan import Action, Change
from autoloader.project.backfilling import keep_progress
from autoloader.project.computing import Engines
from autoloader.project.planned import Planned, Wishes
from autoloader.project.reporting import Report
from autoloader.project.resuming import check_resumable, of_its_ingestion
from autoloader.spec import Limits, Settings

if TYPE_CHECKING:
    from autoloader.project.project import Project

_GB = Decimal(1_000_000_000)
PATIENCE_S = 2.0
"""How long an apply waits for the next attempt of a failed file."""

_WAITS_S = (0.2, 0.7, 1.5)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an apply is to be run; see `Project.apply`.

    Attributes:
        again: Makes the plan anew where others were quicker; None = that ends the apply.
        max_usd: Dollars that the whole apply may spend; None = as the settings say.
    """

    engine: str | None
    events: str | None
    progress: Progress | None
    stop: Stop | None
    talk: Callable[[str], None]
    started: Engines | None
    again: Callable[[tuple[str, ...]], Planned] | None = None
    max_usd: Decimal | None = None


def plan_and_warm(
    project: Project, wishes: Wishes, talk: Callable[[str], None], engine: str | None, engines: Engines | None = None
) -> tuple[Planned, Engines]:
    """Recover, then plan; Spark starts in the background once it is sure that the plan will need it."""
    from autoloader.project.planning import make_plan

    engines = engines or Engines(project.specs().settings, engine, talk)
    of_its_ingestion(wishes, project.ledger, project.specs())  # what cannot be resumed is refused before recovery
    recovered: tuple[Step, ...] = ()
    if project.ledger.exists:
        found = recover(tools_without_engine(project), _tables(project)).steps
        recovered = tuple(step for step in found if step.status == "done")  # the others are tried once more
        _wait_for_retries(project, talk)
    check_resumable(project, wishes)
    planned = replace(make_plan(project.eyes(talk), project.specs(), wishes), recovered=recovered)
    _warm(engines, planned)
    return planned, engines


def tools_without_engine(project: Project) -> Tools:
    """What recovery and surgery work with: they load nothing."""
    settings = project.specs().settings
    wanted = Wanted(None, None, None, None, _quietly, None)
    return _tools(project, Engines(settings, None, _quietly), wanted, Events(None, project.clock))


def _quietly(text: str) -> None:
    """Talk for nobody."""


def _wait_for_retries(project: Project, talk: Callable[[str], None]) -> None:
    """A failed file that is due in a moment is waited for: who applies again right away means it, too."""
    now = project.clock()
    due_at = project.ledger.next_attempt_at(now=now)
    wait_s = (due_at - now).total_seconds() if due_at is not None else 0.0
    if 0 < wait_s <= PATIENCE_S:
        talk("Waiting a moment for the next attempt of files that failed")
        time.sleep(wait_s)


def plan_anew(
    project: Project,
    wishes: Wishes,
    talk: Callable[[str], None],
    engine: str | None,
    engines: Engines | None,
    names: tuple[str, ...],
) -> Planned:
    """Plan some ingestions again, since others were quicker."""
    wished = replace(
        wishes,
        select=names,
        refresh={name: mode for name, mode in wishes.refresh.items() if name in names},
        reingest={name: globs for name, globs in wishes.reingest.items() if name in names},
        fill={name: how for name, how in wishes.fill.items() if name in names},
    )
    return plan_and_warm(project, wished, talk, engine, engines)[0]


def _warm(engines: Engines, planned: Planned) -> None:
    """Start Spark for the first lane that may be loaded, unless nothing of the plan may be."""
    if planned.plan.errored:
        return
    for change in planned.plan.changes:
        if change.impact.works and change.blocked is None:
            engines.begin(_recipe(planned, change).spec.compute.of(change.lane or "live"))
            return


def _recipe(planned: Planned, change: Change) -> Recipe:
    return Recipe.from_data(planned.specs[change.ingestion])


def carry_out(project: Project, planned: Planned, wanted: Wanted) -> Report:
    """Apply a plan; see `Project.apply`."""
    started_at = time.monotonic()
    if planned.saved and wanted.max_usd is not None:
        _refuse_cost(planned, wanted.max_usd)
    engines = wanted.started or Engines(project.specs().settings, wanted.engine, wanted.talk)
    with ExitStack() as ends:
        ends.callback(engines.stop)
        events = Events(wanted.events, project.clock)
        ends.callback(events.close)
        done, planned = _carry_out(project, planned, wanted, engines, events)
    waiting = planned.plan.totals.files_by_disposition.get(Disposition.DEFERRED, 0)
    if not planned.plan.changes:
        return Report(done, time.monotonic() - started_at, waiting_files=waiting)
    newer = _newer_files(project, planned) if planned.saved else None
    return Report(done, time.monotonic() - started_at, engines.sentence(), newer, waiting)


def _refuse_cost(planned: Planned, max_usd: Decimal) -> None:
    """A saved plan was held against the limits of its day; one that is named with the apply is new.

    Raises:
        RefusedError: The plan may cost more, or nobody knows what it costs.
    """
    loads = [
        change.impact.cost_usd for change in planned.plan.changes if change.blocked is None and change.impact.works
    ]
    expected = [cost.expected for cost in loads if cost is not None]
    if len(expected) == len(loads) and sum(expected) <= max_usd:
        return
    it = f"It may cost {money(sum(expected, Decimal(0)))}" if len(expected) == len(loads) else "Its cost is not known"
    raise RefusedError(
        "The saved plan is refused by --max-usd.",
        why=f"{it}; the limit is ${max_usd}. Nothing was changed.",
        fix="Raise --max-usd, or plan less:\n  autoloader plan --max-usd N --out FILE",
    )


def _carry_out(
    project: Project, planned: Planned, wanted: Wanted, engines: Engines, events: Events
) -> tuple[Done, Planned]:
    """Apply a plan; where others were quicker and the person lets us, plan that part anew and go on.

    Returns:
        What came of it, and the last plan.
    """
    done = Done(steps=list(planned.recovered))
    for wait_s in (*_WAITS_S, None):
        came = _one_pass(project, planned, wanted, engines, events, done.spent_usd)
        late = [(name, error) for name, error in came.errors if isinstance(error, PlanStaleError | LeaseBusyError)]
        again = wanted.again if wait_s is not None else None
        if late and again is not None and wait_s is not None:
            came.errors = [each for each in came.errors if each not in late]
            done.add(came)
            wanted.talk("Somebody else is at it; planning anew")
            time.sleep(wait_s)
            names = tuple(dict.fromkeys(name for name, _ in late))
            try:
                planned = _sound(again(names))
            except AutoloaderError as error:
                done.errors.extend((name, error) for name in names)
                return done, planned
            done.steps.extend(planned.recovered)
            continue
        done.add(came)
        if late and not done.steps and all(error is late[0][1] for _, error in done.errors):
            raise late[0][1]
        return done, planned
    raise AssertionError("unreachable")


def _sound(planned: Planned) -> Planned:
    """A plan that was made anew, if it may be applied.

    Raises:
        SettingsError: It has errors.
    """
    if planned.plan.errored:
        raise SettingsError("The plan that was made anew has errors.", why=planned.errors())
    return planned


def _one_pass(
    project: Project, planned: Planned, wanted: Wanted, engines: Engines, events: Events, before: Decimal
) -> Done:
    """Apply one plan. That it is stale is an error of each of its ingestions."""
    try:
        _may_be_applied(project, planned)
    except PlanStaleError as error:
        return Done(errors=[(basis.ingestion, error) for basis in planned.plan.basis])
    if not project.ledger.exists and any(change.blocked is None for change in planned.plan.changes):
        project.ledger.init()
    events.send("apply_started", plan_id=planned.plan.plan_id)
    settings = project.specs().settings
    tools = _tools(project, engines, wanted, events)
    recovered = recover(tools, _tables(project)) if project.ledger.exists else Recovered()
    if not planned.plan.changes:
        _note(project, planned)
        return _with_recovered(project, Done(), recovered, planned, events)
    _warm(engines, planned)
    work = Work(
        plan=planned.plan,
        files=planned.table,
        recipes={name: Recipe.from_data(data) for name, data in planned.specs.items()},
        budgets=lambda change, spent: _budget(settings, planned, change, wanted.max_usd, before + spent),
        lineage_columns=settings.lineage_columns,
        to_the_letter=planned.saved,
    )
    done = apply_plan(tools, work)
    keep_progress(project, planned)
    return _with_recovered(project, done, recovered, planned, events)


def _with_recovered(project: Project, done: Done, recovered: Recovered, planned: Planned, events: Events) -> Done:
    """What came of a pass, with what was settled before it. What is still open is an error where it was planned for."""
    done.steps[:0] = recovered.steps
    blocks = {change.ingestion: change.blocked.by for change in planned.plan.changes if change.blocked is not None}
    told = {name for name, by in blocks.items() if by == "table-missing"}  # refused for the same reason
    mine = {basis.ingestion for basis in planned.plan.basis} - {name for name, _ in done.errors} - told
    if recovered.errors:
        mine &= {batch.ingestion for batch in project.ledger.unfinished(now=project.clock())}
    done.errors.extend(each for each in recovered.errors if each[0] in mine)
    events.send("apply_finished", plan_id=planned.plan.plan_id, exit_code=done.exit_code, **done.counts.as_data())
    return done


def _note(project: Project, planned: Planned) -> None:
    """Nothing to change: what was seen of files and backfills is still worth remembering."""
    import pyarrow.compute as pc

    if not project.ledger.exists:
        return
    for basis in planned.plan.basis:
        if project.ledger.ingestion(basis.ingestion) is not None:
            files = planned.table.filter(pc.equal(planned.table["ingestion"], basis.ingestion))
            note_files(project.ledger, basis.ingestion, files, project.clock())
    keep_progress(project, planned)


def _may_be_applied(project: Project, planned: Planned) -> None:
    plan = planned.plan
    if plan.errored:
        raise SettingsError("A plan with errors cannot be applied.", fix="Mend what it names, then plan again.")
    lineage = project.ledger.lineage if project.ledger.exists else None
    if plan.lineage != lineage:
        why = (
            "It was made before there was a state; now there is one."
            if plan.lineage is None
            else "It belongs to another state, or the state is gone."
        )
        raise PlanStaleError("The plan is stale.", why=why, fix="Plan again:\n  autoloader plan")
    if plan.expires_at is not None and project.clock() > plan.expires_at:
        raise PlanStaleError("The plan has expired.", fix="Plan again:\n  autoloader plan")
    if planned.saved:
        _specs_unmoved(project, planned)


def _specs_unmoved(project: Project, planned: Planned) -> None:
    from autoloader.spec import spec_digest

    specs = [loaded.spec for loaded in project.specs().ingestions]
    digests = {spec.name: spec_digest(spec) for spec in specs}
    ready = [change for change in planned.plan.changes if change.blocked is None]
    touched = {change.ingestion for change in ready}
    dropped = {str((each.before or {}).get("table")): each.ingestion for each in ready if Action.DROP in each.actions}
    for spec in specs:  # a removed ingestion is wanted again also under another name, or for its table alone
        if spec.previous_name is not None and project.ledger.ingestion(spec.name) is None:
            digests.setdefault(spec.previous_name, spec_digest(spec))
        if spec.destination.table in dropped:
            digests.setdefault(dropped[spec.destination.table], spec_digest(spec))
    for basis in planned.plan.basis:
        if basis.ingestion in touched and digests.get(basis.ingestion, "") != basis.spec_digest:
            raise PlanStaleError(
                f"The plan for {basis.ingestion} is stale.",
                why="Its spec was edited since.",
                fix="Plan again:\n  autoloader plan",
            )


def _tools(project: Project, engines: Engines, wanted: Wanted, events: Events) -> Tools:
    return Tools(
        ledger=project.ledger,
        lake=project.lake,
        engine=engines,
        switch_profile=engines.switch,
        storage=project.specs().settings.storage,
        clock=project.clock,
        holder=this_process(),
        events=events,
        progress=wanted.progress or Silent(),
        stop=wanted.stop or Stop(),
        batch_size=_batch_size(os.environ),
        lease_s=_number(os.environ, "AUTOLOADER_LEASE_S", int(LEASE_S)),
    )


def _batch_size(environ: Mapping[str, str]) -> BatchSize:
    """`AUTOLOADER_BATCH_FILES` and `AUTOLOADER_BATCH_BYTES` make batches smaller or larger."""
    default = BatchSize()
    return BatchSize(
        max_files=_number(environ, "AUTOLOADER_BATCH_FILES", default.max_files),
        max_bytes=_number(environ, "AUTOLOADER_BATCH_BYTES", default.max_bytes),
    )


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    """A variable that holds a whole number above 0.

    Raises:
        SettingsError: It holds something else.
    """
    text = environ.get(name, str(default))
    if not text.isdecimal() or int(text) == 0:
        raise SettingsError(f"{name} is {text!r}.", why="It must be a whole number above 0.", fix=f"unset {name}")
    return int(text)


def _tables(project: Project) -> dict[str, tuple[str, ...]]:
    """The names that the table of each recorded ingestion may have: as recorded, and as its spec has it."""
    specs = [loaded.spec for loaded in project.specs().ingestions]
    wanted = {spec.previous_name or spec.name: spec.destination.table for spec in specs}
    wanted |= {spec.name: spec.destination.table for spec in specs}
    return {
        row.name: tuple(dict.fromkeys(filter(None, (row.table, wanted.get(row.name)))))
        for row in project.ledger.ingestions()
    }


def _budget(
    settings: Settings, planned: Planned, change: Change, max_usd: Decimal | None, before_usd: Decimal
) -> Budget:
    """Where loading stops: the spec's own limits and the guardrails, whichever comes first.

    A table that is built anew cannot leave a rest for later: the plan shows it whole, and only guardrails bound it.

    Args:
        settings: The project's.
        planned: The plan that is applied.
        change: Its change that is to be loaded.
        max_usd: Dollars that the whole apply may spend, asked for with it.
        before_usd: Dollars that it has spent before this change.
    """
    spec = _recipe(planned, change).spec
    rebuilds = any(each.operation == "branch_created" for each in change.operations)
    limits, rails = Limits() if rebuilds else spec.limits, settings.guardrails
    profile = settings.compute.get(spec.compute.of(change.lane or "live"))
    of_all = [amount for amount in (max_usd, rails.max_usd.deny if rails.max_usd else None) if amount is not None]
    rail = rails.max_duration.deny if rails.max_duration is not None else None
    per_hour = profile.usd_per_hour if profile is not None else None
    per_gb, per_1000_get = flat_rate(settings.prices, per_hour), settings.prices.usd_per_1000_get
    return Budget(
        limit_usd=limits.max_usd,
        limit_seconds=limits.max_duration.total_seconds() if limits.max_duration is not None else None,
        all_usd=min(of_all, default=None),
        before_usd=before_usd,
        max_seconds=None if rail is None else float(rail),
        usd_per_byte=None if per_gb is None else per_gb / _GB,
        usd_per_second=None if per_hour is None else per_hour / 3600,
        usd_per_file=None if per_1000_get is None else per_1000_get / 1000,
    )


def _newer_files(project: Project, planned: Planned) -> int | None:
    """Files to load that a saved plan has not seen as they are now; None where storage does not answer."""
    names = tuple(basis.ingestion for basis in planned.plan.basis if basis.spec_digest)  # else its spec is gone
    if not names:
        return 0
    try:
        now = project.plan(Wishes(select=names))
    except AutoloaderError:
        return None
    return now.files_beside(planned)
