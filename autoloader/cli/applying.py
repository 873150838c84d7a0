"""The verbs that change tables: apply and rollback. Both ask first, unless told not to."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from autoloader.cli.options import open_project, pairs, project_options, selection_options, selections
from autoloader.errors import SettingsError

ENGINES = ("auto", "local", "cluster", "connect", "sail")


@click.command()
@click.argument("target", default="ingestions")
@click.option("--folder", metavar="DIR", help="Folder of specs of a saved plan.  [default: as it was planned]")
@click.option("--env", "env", metavar="NAME", help="Overlay of env/NAME.yml below the folder.")
@click.option("--var", "variables", multiple=True, metavar="KEY=VALUE", help="Set vars.KEY (repeatable).")
@selection_options
@click.option("--refresh", multiple=True, metavar="NAME=MODE", help="full, new-only or clear-history.")
@click.option("--reingest", multiple=True, metavar="NAME=GLOB", help="Load these files again.")
@click.option("--fill", multiple=True, metavar="NAME=HOW", help="New columns in old rows: none, rescued or files.")
@click.option("--auto-approve", "-y", "approved", is_flag=True, help="Do not ask.")
@click.option("--max-usd", type=click.FloatRange(min=0), metavar="N", help="Refuse to spend more.")
@click.option("--resume", metavar="RUN", help="Go on with the ingestion of this run, files that came since included.")
@click.option("--engine", type=click.Choice(ENGINES), help="Which Spark runs the tasks.")
@click.option("--events", metavar="FILE", help="Append one JSON object per event (NDJSON).")
@click.option("--format", "output", type=click.Choice(("text", "json")), default="text", show_default=True)
def apply(  # one parameter per option of the contract
    target: str,
    folder: str | None,
    env: str | None,
    variables: tuple[str, ...],
    select: tuple[str, ...],
    due: bool,
    confirm: tuple[str, ...],
    refresh: tuple[str, ...],
    reingest: tuple[str, ...],
    fill: tuple[str, ...],
    approved: bool,
    max_usd: float | None,
    resume: str | None,
    engine: str | None,
    events: str | None,
    output: str,
) -> int:
    """Do what a plan says: a saved plan TARGET, or plan the folder TARGET and ask."""
    from autoloader.cli.console import say, talking, wants_color, width
    from autoloader.cli.progress import TerminalProgress
    from autoloader.project import Wishes

    saved = _is_saved_plan(Path(target))
    if not saved and not Path(target).exists():
        raise SettingsError(
            f"There is no plan and no folder of specs {target!r}.",
            fix="Save a plan first:\n  autoloader plan --out FILE",
        )
    if not saved and folder is not None:
        raise SettingsError(
            f"--folder belongs to a saved plan, and {target!r} is none.",
            fix=f"Name the folder alone:\n  autoloader apply {folder}",
        )
    if not saved and not approved and resume is None:
        _require_terminal()
    wishes = Wishes.of(
        select=select,
        due=due,
        confirm=confirm,
        refresh=pairs(refresh, "--refresh"),
        reingest=selections(reingest, "--reingest"),
        fill=pairs(fill, "--fill"),
        max_usd=max_usd,
        resume=resume,
    )
    engines: Any = None
    if saved:
        _refuse_wishes(target, wishes)
        project, planned = _from_saved(Path(target), folder, env, variables)
    else:
        project = open_project(target, env, variables)
        if resume is not None and not wishes.refresh and project.is_complete(resume):
            say(f"Run {resume} ended as complete; what failed or waits is for the next apply.")
            return _tell(project.nothing_done(), output)
        with talking() as talk:
            planned, engines = project.plan_for_apply(wishes, talk=talk, engine=engine)
        say(planned.text(length="default", color=wants_color(sys.stderr), width=width()))
        if not _is_agreed(project, planned, engines, wishes, approved=approved):
            say(planned.untouched)
            return 1 if planned.plan.errored else 0
    with _stopping() as stop, talking() as talk, TerminalProgress(talk) as progress:
        report = project.apply(
            planned,
            engine=engine,
            events=events,
            progress=progress,
            stop=stop,
            talk=talk,
            started=engines,
            again=wishes if not saved and approved else None,
            max_usd=wishes.max_usd,
        )
    return _tell(report, output)


def _tell(report: Any, output: str) -> int:
    from autoloader.cli.console import print_json, table_width, wants_color

    if output == "json":
        print_json(report.to_json())
    else:
        click.echo(report.text(color=wants_color(), width=table_width()))
    return int(report.exit_code)


def _is_saved_plan(target: Path) -> bool:
    return target.is_file() or (target / "plan.json").is_file()


def _from_saved(target: Path, folder: str | None, env: str | None, variables: tuple[str, ...]) -> tuple[Any, Any]:
    from autoloader.project import Project

    return Project.from_saved_plan(target, folder=folder, env=env, variables=pairs(variables, "--var"))


def _require_terminal(planned: Any = None, wishes: Any = None) -> None:
    """Somebody has to be there who can be asked.

    Args:
        planned: What would be asked; None = nothing was planned yet.
        wishes: What was wished of it, with the run to go on with.

    Raises:
        SettingsError: Nobody is.
    """
    if sys.stdin.isatty():
        return
    if planned is None:
        raise SettingsError(
            "There is no terminal to ask on.",
            fix="Apply a saved plan, or approve beforehand:\n  autoloader apply --auto-approve",
        )
    again = "".join(f" --refresh {name}={mode}" for name, mode in wishes.refresh.items())
    raise SettingsError(
        "There is no terminal to ask on.",
        why=f"The plan has changes that were not approved with the run. {planned.untouched}",
        fix="Look at the plan, and approve it if it is meant:\n"
        f"  autoloader apply --auto-approve --resume {wishes.resume}{again}",
    )


def _refuse_wishes(target: str, wishes: Any) -> None:
    """A saved plan is carried out as it is; what would have changed it is not passed over in silence."""
    words = ("select", "due", "confirm", "refresh", "reingest", "fill", "resume")
    said = [f"--{word}" for word in words if getattr(wishes, word)]
    if said:
        raise SettingsError(
            f"{target} is a saved plan, and {' and '.join(said)} cannot change it any more.",
            fix=f"Say it when you plan:\n  autoloader plan {' … '.join(said)} … --out FILE"
            if "--resume" not in said
            else "Resume without a plan:\n  autoloader apply --resume RUN",
        )


def _is_agreed(project: Any, planned: Any, engines: Any, wishes: Any, *, approved: bool) -> bool:
    """Whether a plan may be carried out; where it may not, the engine that is starting for it is stopped.

    What goes on with a run was approved with it. Whatever else a plan has needs somebody's word, also with `--resume`.
    """
    agreed = False
    try:
        if not planned.plan.errored:
            agreed = approved or project.is_approved(planned, wishes)
            if not agreed:
                _require_terminal(planned, wishes)
                agreed = _agrees(planned)
    finally:
        if not agreed:
            engines.stop()
    return agreed


def _agrees(planned: Any) -> bool:
    """Ask; destructive lines want their ingestion's name typed, others a yes."""
    for name, what in planned.destructive():
        answer = click.prompt(f"{what} Type {name!r} to go on", default="", show_default=False, err=True)
        if answer != name:
            return False
    if planned.destructive():
        return True
    return bool(click.confirm("Apply these changes?", default=False, err=True))


@contextmanager
def _stopping() -> Iterator[Any]:
    """First Ctrl-C (or SIGTERM): finish the batch in hand; second: abort."""
    from autoloader.apply import Stop
    from autoloader.cli.console import say

    stop = Stop()

    def heard(*_: Any) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.ask()
        say("Stopping after the batch in hand; press Ctrl-C again to abort.")

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command()
@click.argument("name")
@click.option("--to-run", "run_id", required=True, metavar="ID", help="The run to go back to the end of.")
@click.option("--auto-approve", "-y", "approved", is_flag=True, help="Do not ask.")
@project_options
def rollback(name: str, run_id: str, approved: bool, folder: str, env: str | None, variables: tuple[str, ...]) -> int:
    """Put table and ledger back to the end of a run."""
    from autoloader.cli.console import say, talking

    project = open_project(folder, env, variables)
    with talking():
        what = project.rollback_effect(name, run_id)
    say(what)
    if not approved:
        if not sys.stdin.isatty():
            raise SettingsError("There is no terminal to ask on.", fix="Add --auto-approve (-y).")
        if not click.confirm("Roll back?", default=False, err=True):
            say("Nothing was changed.")
            return 0
    with talking():
        done = project.rollback(name, run_id)
    click.echo(done)
    return 0


COMMANDS = (apply, rollback)
