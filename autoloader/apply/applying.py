"""Carrying out a plan, change by change: does what the plan says, may do less, never more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, assert_never

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.apply import changes, rebuilding, recording
from autoloader.apply.filling import fill_from_rescued
from autoloader.apply.housekeeping import note_files
from autoloader.apply.keeping import holding
from autoloader.apply.loading import MOST_PROBLEMS, Loaded, load_lane, run_lane
from autoloader.apply.recipe import Recipe
from autoloader.apply.recovery import check_settled, rise_above_fence, settle_rest
from autoloader.apply.removal import delete_rows, still_gone
from autoloader.apply.report import Counts, Step, Steps
from autoloader.apply.staleness import check_fresh, check_removal, check_sound, done_once
from autoloader.apply.target import Budget, Target
from autoloader.apply.tools import Tools
from autoloader.apply.undone import versions_back
from autoloader.errors import AutoloaderError, IncompleteError, PlanAppliedError, StateLostError, is_interrupt
from autoloader.inventory import WORK, Disposition
from autoloader.plan import Action, Basis, Change, Plan
from autoloader.planner import WAITING

if TYPE_CHECKING:
    from autoloader.ledger import IngestionRow, Lease, RunRow

INCOMPLETE: Final = 6
REFUSED: Final = 3
_GRAVITY: Final = (0, 5, 6, 4, 3, 1)
"""Exit codes, the gravest last: 5 and 6 mend themselves with the next run, the others wait for somebody."""


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that one apply needs beside its tools.

    Attributes:
        plan: The plan.
        files: Every file's disposition, `inventory.DIFF`.
        recipes: Recipe per ingestion of the plan.
        budgets: Gives the budget of one change, told the dollars that were spent before it.
        lineage_columns: Whether new tables get lineage columns.
        to_the_letter: Whether the plan is stale as soon as anything moved, as a saved plan is; else loads go on
            beside those of others.
    """

    plan: Plan
    files: pa.Table
    recipes: Mapping[str, Recipe]
    budgets: Callable[[Change, Decimal], Budget]
    lineage_columns: bool = True
    to_the_letter: bool = True

    def basis(self, name: str) -> Basis:
        """What the plan was based on for one ingestion."""
        known = {basis.ingestion: basis for basis in self.plan.basis}
        return known.get(name) or Basis(name, 0, "")


@dataclass(slots=True)
class Done:
    """What came of an apply. Grows while it works.

    Attributes:
        steps: Every operation that was tried, in order.
        counts: Sum over all loads.
        runs: Ids of the runs, in order.
        problems: Path and error of files that were not loaded, at most `MOST_PROBLEMS` a run.
        errors: One per ingestion that could not be carried out.
        code: Exit code of what was done, errors left aside.
    """

    steps: list[Step] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    runs: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    errors: list[tuple[str, AutoloaderError]] = field(default_factory=list)
    code: int = 0

    @property
    def exit_code(self) -> int:
        """The gravest of all: what somebody has to look at is not hidden by what a later run puts right."""
        return gravest(self.code, *(error.exit_code for _, error in self.errors))

    @property
    def spent_usd(self) -> Decimal:
        """Dollars that the loads so far came to; those without a price are left out."""
        return sum((Decimal(step.details.get("cost_usd") or 0) for step in self.steps), Decimal(0))

    def add(self, other: Done) -> None:
        """Add what another pass came to."""
        self.steps.extend(other.steps)
        self.counts.add(other.counts)
        self.runs.extend(other.runs)
        self.problems.extend(other.problems)
        self.errors.extend(other.errors)
        self.code = gravest(self.code, other.code)


def gravest(*codes: int) -> int:
    """The exit code that stands for several ones."""
    return max(codes, key=_GRAVITY.index)


def apply_plan(tools: Tools, work: Work) -> Done:
    """Carry out a plan.

    One ingestion's failure does not keep the others from being done.

    Args:
        tools: The surroundings.
        work: The plan with its files and recipes.

    Returns:
        What came of it. An ingestion for which the plan is stale, or which is locked, is among its errors: nothing of
        it was changed. So is one that it was applied to before, but only where nothing was left to do for any.
    """
    done = Done()
    for name, mine in _by_ingestion(work.plan.changes):
        if tools.stop.asked:
            done.code = gravest(done.code, INCOMPLETE)
            break
        try:
            _apply_to(tools, work, name, mine, done)
        except AutoloaderError as error:
            done.errors.append((name, _resumable(error)))
            tools.events.send("failed", ingestion=name, error=str(error))
    if any(step.status == "done" for step in done.steps):  # it was cut off: what was done by then is as it should be
        done.errors = [each for each in done.errors if not isinstance(each[1], PlanAppliedError)]
    return done


def _resumable(error: AutoloaderError) -> AutoloaderError:
    """A state that was lost in the middle leaves nothing that the next apply does not find: it has only to be run."""
    return IncompleteError(error.what, why=error.why, fix=error.fix) if isinstance(error, StateLostError) else error


def _by_ingestion(all_changes: tuple[Change, ...]) -> Iterator[tuple[str, list[Change]]]:
    names = dict.fromkeys(change.ingestion for change in all_changes)
    for name in names:
        yield name, [change for change in all_changes if change.ingestion == name]


def _apply_to(tools: Tools, work: Work, name: str, mine: list[Change], done: Done) -> None:
    steps = Steps(name, done.steps, tools.events)
    ready = _unblocked(mine, done, steps)
    if not ready:
        return
    shared = all(_shares(change) for change in ready)
    if name in work.recipes:
        rise_above_fence(tools, name, _table_name(work, name))
    with _old_name_held(tools, work, name, ready), holding(tools, name, "load" if shared else "alone") as lease:
        tools = replace(tools, ledger=tools.ledger.under(lease))
        if shared:
            check_settled(tools, name, _table_name(work, name))
        else:
            settle_rest(tools, name, _table_name(work, name), given_up=name not in work.recipes or _rebuilds(ready))
        row = _begin(tools, work, name, ready, lease, shared=shared)
        if row is None:
            _leave(tools, name, ready, lease, steps)
            return
        _prepare(tools, work, row, ready, lease, steps)
        if not shared and not any(Action.REBUILD in change.actions for change in ready):
            tools.ledger.share(lease)  # what is left are loads: others may help
        complete = True
        for change in ready:
            if change.lane is None:
                _record_requests(tools, change, None, steps)
            else:
                complete = _load(tools, work, change, lease, done, steps) and complete
        if ready == mine:  # what holds a load back, such as a file that may not go, would be forgotten
            mine_files = work.files.filter(pc.equal(work.files["ingestion"], name))
            note_files(tools.ledger, name, mine_files, tools.clock())
        if complete:
            recording.finish(tools, name, work.plan.plan_id, lease)


def _table_name(work: Work, name: str) -> tuple[str, ...]:
    """The name that an ingestion's spec gives its table; none where the spec is gone."""
    recipe = work.recipes.get(name)
    return (recipe.spec.destination.table,) if recipe is not None else ()


def _unblocked(mine: list[Change], done: Done, steps: Steps) -> list[Change]:
    """The changes that may be done; each of the others becomes a skipped step."""
    ready = []
    for change in mine:
        if change.blocked is None:
            ready.append(change)
            continue
        steps.keep("blocked", "skipped", 0.0, {"by": change.blocked.by, "why": change.blocked.message})
        if change.blocked.by not in WAITING:
            done.code = gravest(done.code, REFUSED)
    return ready


def _shares(change: Change) -> bool:
    """Whether loads of others may go on beside a change: it loads files, and marks none to be loaded again."""
    return change.actions == (Action.LOAD,) and not _marks(change)


def _rebuilds(ready: list[Change]) -> bool:
    """Whether the whole table is built anew, so that nothing of what it holds counts any more."""
    return any("branch_created" in _operations(change) for change in ready)


def _marks(change: Change) -> frozenset[str]:
    """The operations that mark files to be loaded again; a rebuild beside the table needs no mark."""
    operations = _operations(change)
    if "branch_created" in operations:
        return frozenset()
    return operations & {"files_marked", "processed_files_cleared"}


@contextmanager
def _old_name_held(tools: Tools, work: Work, name: str, ready: list[Change]) -> Iterator[None]:
    """Nobody may be at an ingestion under its old name while it is renamed."""
    recipe = work.recipes.get(name)
    old = recipe.spec.previous_name if recipe is not None else None
    updates = any(Action.UPDATE in change.actions for change in ready)
    if old is None or not updates or tools.ledger.ingestion(name) is not None or tools.ledger.ingestion(old) is None:
        yield
        return
    with holding(tools, old, "alone"):
        settle_rest(tools, old, _table_name(work, name), given_up=_rebuilds(ready))
        yield


def _begin(
    tools: Tools, work: Work, name: str, ready: list[Change], lease: Lease, *, shared: bool
) -> IngestionRow | None:
    """Check that the plan is fresh, and note that it is being applied; None where all is only to be forgotten."""
    recipe = work.recipes.get(name)
    plan_id, basis = work.plan.plan_id, work.basis(name)
    recorded = tools.ledger.ingestion(name)
    if recipe is None:
        drops = next((str((each.before or {})["table"]) for each in ready if Action.DROP in each.actions), None)
        check_removal(basis, recorded, tools.lake.table(drops) if drops is not None else None)
        return None
    table = tools.lake.table(recipe.spec.destination.table)
    if recorded is None and recipe.spec.previous_name is not None:
        before = tools.ledger.ingestion(recipe.spec.previous_name)
        if before is not None and any(Action.UPDATE in change.actions for change in ready):
            check_fresh(plan_id, basis, before, table, {})
            tools.ledger.rename(before.name, name, now=tools.clock(), actor=tools.holder)
            return recording.begin(tools, plan_id, recipe, tools.ledger.ingestion(name), lease, shared=False)
    if shared and not work.to_the_letter:
        check_sound(basis, recorded, table)
        return recording.begin(tools, plan_id, recipe, recorded, lease, shared=True)
    living = {each.id: each for each in tools.ledger.living(name, now=tools.clock()) if each.id != lease.id}
    check_fresh(plan_id, basis, recorded, table, living, replaces=_replaces(tools, plan_id, recorded, ready))
    return recording.begin(tools, plan_id, recipe, recorded, lease, shared=False)


def _replaces(tools: Tools, plan_id: str, recorded: IngestionRow | None, ready: list[Change]) -> bool:
    """Whether what is left of a plan takes every row out of a table that is there."""
    if recorded is None:
        return False
    operations = frozenset[str]().union(*map(_operations, ready))
    if "table_emptied" in operations and "table_emptied" not in done_once(recorded, plan_id):
        return True
    return "branch_created" in operations and not rebuilding.is_served(tools, plan_id, recorded.name)


def _prepare(
    tools: Tools, work: Work, row: IngestionRow, ready: list[Change], lease: Lease, steps: Steps
) -> IngestionRow:
    """Everything that comes before files are loaded, with the ingestion held alone."""
    recipe = work.recipes[row.name]
    rebuilt = _rebuilds(ready)
    for change in ready:
        for action in change.actions:
            match action:
                case Action.CREATE:
                    with steps.step("ingestion_recorded" if recipe.schema is None else "table_created") as details:
                        row = changes.create(tools, recipe, row, lineage_columns=work.lineage_columns)
                case Action.UPDATE:
                    with steps.step("spec_recorded") as details:
                        row = changes.update(tools, recipe, row)
                case Action.SCHEMA if rebuilt:
                    continue  # it comes with the rebuilt table, in one step
                case Action.SCHEMA:
                    with steps.step("schema_changed") as details:
                        changes.change_schema(tools, recipe, row)
                    row = _fill(tools, work, recipe, row, change, lease, steps)
                    row = changes.record_schema(tools, recipe, row, "auto_merge")
                case Action.ADOPT:
                    with steps.step("table_adopted") as details:
                        row = changes.adopt(tools, recipe, row)
                case Action.LOAD | Action.REBUILD | Action.FORGET | Action.DROP:
                    continue
                case _:
                    assert_never(action)
            details["table"] = row.table
        for operation in sorted(_marks(change)):
            step = f"{operation} {change.lane}"
            with recording.once(tools, row.name, work.plan.plan_id, step, lease) as open_:
                if open_:
                    with steps.step(operation) as details:
                        details["files"] = _mark(tools, work.files, change)
    return row


def _fill(
    tools: Tools, work: Work, recipe: Recipe, row: IngestionRow, change: Change, lease: Lease, steps: Steps
) -> IngestionRow:
    """Fill the changed columns out of `_rescued`, where the plan says so, before the change counts as done.

    Returns:
        The ingestion as it is recorded then.
    """
    for operation in change.operations:
        if operation.operation == "rescued_filled":
            places = changes.places_to_fill(recipe, row, every_column=bool(operation.details.get("every_column")))
            table = recipe.spec.destination.table
            tools.switch_profile(recipe.spec.compute.of("live"))
            with steps.step("rescued_filled", table=table) as details:
                details.update(fill_from_rescued(tools, table, row.name, work.plan.plan_id, places, lease))
    return tools.ledger.ingestion(row.name) or row


def _leave(tools: Tools, name: str, ready: list[Change], lease: Lease, steps: Steps) -> None:
    """Forget an ingestion whose spec is gone, with its table where the plan says so."""
    row = tools.ledger.ingestion(name)
    table = row.table if row else None
    for change in ready:
        drops = Action.DROP in change.actions
        with steps.step("table_dropped" if drops else "ingestion_forgotten", table=table) as details:
            tools.ledger.check_lease(lease)
            details["files"] = changes.drop(tools, name, table) if drops else changes.forget(tools, name)


def _load(tools: Tools, work: Work, change: Change, lease: Lease, done: Done, steps: Steps) -> bool:
    """Load one lane's files in a run of its own.

    Returns:
        Whether everything that was planned for it was done.
    """
    name, lane = change.ingestion, change.lane or "live"
    if "branch_created" in _operations(change) and rebuilding.is_served(tools, work.plan.plan_id, name):
        return True
    files = _lane_files(_files_left(work, name), name, lane)
    estimate = change.impact
    tools.switch_profile(work.recipes[name].spec.compute.of(lane))
    if files.num_rows:
        tools.engine()  # waited for here: Spark's start is no run's time
    run_id = tools.ledger.start_run(
        name,
        lane,
        now=tools.clock(),
        plan_id=work.plan.plan_id,
        holder=tools.holder,
        planned_files=estimate.files_to_process,
        planned_size_bytes=estimate.bytes_to_process,
        estimated_usd=estimate.cost_usd.expected if estimate.cost_usd else None,
        estimated_s=float(estimate.duration_minutes.expected) * 60 if estimate.duration_minutes else None,
        extra=_run_facts(tools, work.recipes[name], change, lane),
    )
    done.runs.append(run_id)
    tools.events.send("run_started", run_id=run_id, ingestion=name, lane=lane, files=files.num_rows)
    budget, started = work.budgets(change, done.spent_usd), time.monotonic()
    try:
        loaded = _load_files(tools, work, change, run_id, files, lease, budget, steps)
    except BaseException as error:
        resumable = isinstance(error, AutoloaderError) or is_interrupt(error)
        with suppress(AutoloaderError):  # the state may be what is gone; recovery closes the run then
            run = tools.ledger.finish_run(
                run_id,
                "incomplete" if resumable else "failed",
                now=tools.clock(),
                actual_s=time.monotonic() - started,
                error=str(error) or type(error).__name__,
            )
            done.counts.add(_recorded(run))
        raise
    elapsed_s = time.monotonic() - started
    tools.ledger.finish_run(
        run_id,
        "complete" if loaded.stopped is None else "incomplete",
        now=tools.clock(),
        actual_usd=budget.spent(loaded.counts, elapsed_s),
        actual_s=elapsed_s,
        error=loaded.stopped,
    )
    done.counts.add(loaded.counts)
    done.problems.extend(loaded.problems)
    _record_requests(tools, change, run_id, steps)
    if loaded.stopped is not None:
        done.code = gravest(done.code, INCOMPLETE)
    return loaded.stopped is None and loaded.left is None


def _recorded(run: RunRow) -> Counts:
    """What a run that broke off had loaded by then."""
    return Counts(
        files=run.files - run.failed_files,
        rows=run.rows,
        rejected_rows=run.rejected_rows,
        bytes=run.size_bytes,
        failed=run.failed_files,
    )


def _run_facts(tools: Tools, recipe: Recipe, change: Change, lane: str) -> dict[str, Any]:
    """What calibration needs to know of a run (format, compute profile), and recovery of its table and of a rebuild."""
    facts: dict[str, Any] = {"format": recipe.format, "profile": recipe.spec.compute.of(lane)}
    table = tools.lake.table(recipe.spec.destination.table)
    if table is not None:
        facts["table_uuid"] = table.uuid
    if "branch_created" in _operations(change):
        facts["rebuild"] = rebuilding.pins(recipe, _requests(change))
    return facts


def _load_files(
    tools: Tools,
    work: Work,
    change: Change,
    run_id: str,
    files: pa.Table,
    lease: Lease,
    budget: Budget,
    steps: Steps,
) -> Loaded:
    recipe = work.recipes[change.ingestion]
    operations = _operations(change)
    row = tools.ledger.ingestion(change.ingestion)
    branch = rebuilding.branch_of(run_id) if "branch_created" in operations else None
    if branch is not None and row is not None and tools.lake.table(recipe.spec.destination.table) is None:
        row = changes.create(tools, recipe, row, lineage_columns=work.lineage_columns)  # it was dropped meanwhile
    target = _target(tools, work, change, run_id, row, branch, reads=files.num_rows > 0)
    if branch is not None:
        pinned = rebuilding.pins(recipe, _requests(change))
        return rebuilding.rebuild_aside(tools, target, files, lease, budget, pinned, steps)
    if "table_emptied" in operations:
        with recording.once(tools, target.ingestion, target.plan_id, "table_emptied", lease) as open_:
            if open_:
                with steps.step("table_emptied", run=run_id, table=target.table) as details:
                    details["files"] = rebuilding.empty_table(tools, target, lease)
    gone, removed_bytes = _gone_files(_files_left(work, change.ingestion), change.ingestion), 0
    back: list[tuple[str, str]] = []
    if "rows_removed" in operations and gone.num_rows:
        with steps.step("rows_removed", run=run_id) as details:
            gone, back = still_gone(tools, gone)
            swapped = delete_rows(tools, target, gone, lease)
            details["files"], details["rows"], removed_bytes = gone.num_rows, swapped.rows, swapped.rewritten_bytes
    if "run_triggered" in operations:
        loaded = run_lane(tools, target, files, lease, budget, steps)
    else:
        loaded = load_lane(tools, target, files, lease, budget)
    loaded.counts.rewritten_bytes += removed_bytes
    loaded.counts.moved += len(back)
    return replace(loaded, problems=(*back, *loaded.problems)[:MOST_PROBLEMS])


def _target(
    tools: Tools, work: Work, change: Change, run_id: str, row: IngestionRow | None, branch: str | None, *, reads: bool
) -> Target:
    recipe = work.recipes[change.ingestion]
    table = tools.lake.table(recipe.spec.destination.table)
    lineage, foreseen = work.lineage_columns, None
    if table is not None:  # it keeps what it was made with; one that is made anew may get them
        lineage = table.has_lineage or (lineage and branch is not None)
    if branch is not None and row is not None:
        foreseen = changes.foreseen(table, recipe, row, lineage_columns=lineage)
    return Target(
        ingestion=change.ingestion,
        lane=change.lane or "live",
        table=recipe.spec.destination.table,
        reads=recipe.contract(lineage_columns=lineage) if reads else None,
        plan_id=work.plan.plan_id,
        run_id=run_id,
        branch=branch,
        foreseen=foreseen,
        quarantine=recipe.spec.table_schema.on_bad_row == "quarantine",
        back=versions_back(tools, row),
        appends=recipe.spec.source.on_change == "append",
    )


def _files_left(work: Work, name: str) -> pa.Table:
    """The planned files; none replaces rows where the plan empties the table first: they have left by then."""
    mine = (change for change in work.plan.changes if change.ingestion == name and change.blocked is None)
    if not any("table_emptied" in _operations(change) for change in mine):
        return work.files
    at = work.files.schema.get_field_index("replaces")
    nothing = pa.nulls(work.files.num_rows, pa.int64())
    return work.files.set_column(at, work.files.schema.field(at), nothing)


def _lane_files(files: pa.Table, name: str, lane: str) -> pa.Table:
    work = pc.is_in(files["disposition"], value_set=pa.array(sorted(WORK)))
    mine = pc.and_(pc.equal(files["ingestion"], name), pc.equal(files["lane"], lane))
    return files.filter(pc.fill_null(pc.and_(work, mine), False))


def _operations(change: Change) -> frozenset[str]:
    return frozenset(operation.operation for operation in change.operations)


def _mark(tools: Tools, files: pa.Table, change: Change) -> int:
    """Mark all that is asked for again, so that what a limit leaves for later is not forgotten; how many files."""
    mine = pc.and_(pc.equal(files["ingestion"], change.ingestion), pc.equal(files["lane"], change.lane))
    paths = files.filter(pc.fill_null(mine, False))["file_path"]
    return tools.ledger.mark_reload(change.ingestion, paths=paths, now=tools.clock(), actor=tools.holder)


def _gone_files(files: pa.Table, name: str) -> pa.Table:
    gone = pc.and_(pc.equal(files["disposition"], Disposition.MISSING.value), pc.is_valid(files["replaces"]))
    return files.filter(pc.fill_null(pc.and_(gone, pc.equal(files["ingestion"], name)), False))


def _record_requests(tools: Tools, change: Change, run_id: str | None, steps: Steps) -> None:
    for kind, request in _requests(change):
        with steps.step("request_recorded", kind=kind, request=request):
            tools.ledger.record_request(change.ingestion, kind, request, now=tools.clock(), run_id=run_id)


def _requests(change: Change) -> list[tuple[str, str]]:
    """Kind and name of the requests that a change fulfils."""
    found = [each.details for each in change.operations if each.operation == "request_recorded"]
    return [(str(details["kind"]), str(details["request"])) for details in found]
