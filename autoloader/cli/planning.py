"""The verbs that write nothing to tables: init, validate, schema, plan, preview."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from autoloader.cli.options import (
    PLAN_FORMATS,
    format_option,
    open_project,
    pairs,
    project_options,
    selection_options,
    selections,
)

CHANGES_PLANNED = 2
REFUSED = 3


@click.command()
@click.argument("folder", default="ingestions")
@click.option("--env", "env", metavar="NAME", help="Overlay of env/NAME.yml below the folder.")
@click.option("--var", "variables", multiple=True, metavar="KEY=VALUE", help="Set vars.KEY (repeatable).")
def init(folder: str, env: str | None, variables: tuple[str, ...]) -> None:
    """Make settings, a commented-out example and the state."""
    from autoloader.cli.console import say
    from autoloader.project import Project

    for line in Project.init(Path(folder), env=env, variables=pairs(variables, "--var")):
        say(line)


@click.command()
@click.argument("folder", default="ingestions")
@click.option("--env", "env", metavar="NAME", help="Overlay of env/NAME.yml below the folder.")
@click.option("--var", "variables", multiple=True, metavar="KEY=VALUE", help="Set vars.KEY (repeatable).")
@format_option("text", "json")
def validate(folder: str, env: str | None, variables: tuple[str, ...], output: str) -> int:
    """Check the specs alone; every mistake at once, with file, line and column."""
    from autoloader.cli.console import print_json
    from autoloader.render import escape_terminal

    project = open_project(folder, env, variables)
    names = [loaded.spec.name for loaded in project.specs().ingestions]
    if output == "json":
        print_json({"valid": True, "ingestions": names})
    else:
        click.echo(f"{len(names)} ingestion{'s' * (len(names) != 1)}, all valid.")
        for loaded in project.specs().ingestions:
            click.echo(f"  {escape_terminal(loaded.spec.name)}  {escape_terminal(str(loaded.file))}:{loaded.line}")
    return 0


@click.command()
def schema() -> None:
    """Print the JSON Schema of spec files, for editors."""
    from autoloader.cli.console import print_json
    from autoloader.specfiles import json_schema

    print_json(json_schema())


@click.command()
@click.argument("folder", default="ingestions")
@click.option("--env", "env", metavar="NAME", help="Overlay of env/NAME.yml below the folder.")
@click.option("--var", "variables", multiple=True, metavar="KEY=VALUE", help="Set vars.KEY (repeatable).")
@selection_options
@click.option("--out", metavar="FILE", help="Save the plan: a folder, or an archive when it ends in .zip.")
@click.option("--refresh", multiple=True, metavar="NAME=MODE", help="full, new-only or clear-history.")
@click.option("--reingest", multiple=True, metavar="NAME=GLOB", help="Load these files again.")
@click.option("--fill", multiple=True, metavar="NAME=HOW", help="New columns in old rows: none, rescued or files.")
@click.option("--refresh-only", is_flag=True, help="Show only what moved behind our back.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when changes are planned.")
@format_option(*PLAN_FORMATS)
@click.option("--json-into", metavar="FILE", help="Write the plan's JSON to FILE as well.")
@click.option("--full", "length", flag_value="full", help="Every file.")
@click.option("--summary", "length", flag_value="summary", help="One line per change.")
@click.option("--max-usd", type=click.FloatRange(min=0), metavar="N", help="Refuse a plan that may cost more.")
@click.option("--offline", is_flag=True, help="Do not look at storage or tables.")
@click.option("--write-schema", is_flag=True, help="Write the columns that were inferred into the spec files.")
def plan(  # one parameter per option of the contract
    folder: str,
    env: str | None,
    variables: tuple[str, ...],
    select: tuple[str, ...],
    due: bool,
    confirm: tuple[str, ...],
    out: str | None,
    refresh: tuple[str, ...],
    reingest: tuple[str, ...],
    fill: tuple[str, ...],
    refresh_only: bool,
    detailed_exitcode: bool,
    output: str,
    json_into: str | None,
    length: str | None,
    max_usd: float | None,
    offline: bool,
    write_schema: bool,
) -> int:
    """Show what apply would do, why, with what work and at what cost.

    Writes nothing, but for the spec files under --write-schema.
    """
    from autoloader.cli.console import say, talking, wants_color
    from autoloader.project import Wishes

    wishes = Wishes.of(
        select=select,
        due=due,
        confirm=confirm,
        refresh=pairs(refresh, "--refresh"),
        reingest=selections(reingest, "--reingest"),
        fill=pairs(fill, "--fill"),
        refresh_only=refresh_only,
        max_usd=max_usd,
        offline=offline,
    )
    project = open_project(folder, env, variables)
    with talking() as talk:
        planned = project.plan(wishes, talk=talk)
    if out is not None:
        planned.save(Path(out))
    if json_into is not None:
        planned.save_json(Path(json_into))
    if write_schema:
        for line in project.write_schemas(planned) or ["Every spec declares its columns already."]:
            say(line)
    _show(planned, output, length or "default")
    if planned.plan.errored and not (output == "text" and sys.stdout.isatty()):
        say(planned.errors(color=wants_color(sys.stderr)))  # also where the plan goes into a file
    return _exit_code(planned, detailed_exitcode)


def _show(planned: Any, output: str, length: str) -> None:
    from autoloader.cli.console import print_json, wants_color, width

    match output:
        case "json":
            print_json(planned.to_json())
        case "markdown":
            click.echo(planned.markdown())
        case "html":
            click.echo(planned.html())
        case _:
            click.echo(planned.text(length=length, color=wants_color(), width=width()))


def _exit_code(planned: Any, detailed: bool) -> int:
    if planned.plan.errored:
        return 1
    if planned.refused:
        return REFUSED
    return CHANGES_PLANNED if detailed and planned.plan.changes else 0


@click.command()
@click.argument("name")
@project_options
@click.option("--files", type=click.IntRange(1), default=3, show_default=True, help="Files to sample.")
@click.option("--rows", type=click.IntRange(0), default=20, show_default=True, help="Rows to show.")
@click.option("--file", "only", metavar="URI", help="Look at this file.")
@format_option("text", "json")
def preview(
    name: str,
    folder: str,
    env: str | None,
    variables: tuple[str, ...],
    files: int,
    rows: int,
    only: str | None,
    output: str,
) -> None:
    """Show the rows that apply would load, and those that it would reject. Writes nothing."""
    from autoloader.cli.console import print_json, table_width, talking, wants_color

    with talking():
        shown = open_project(folder, env, variables).preview(name, files=files, rows=rows, file=only)
    if output == "json":
        print_json(shown.to_json())
    else:
        click.echo(shown.text(color=wants_color(), width=table_width()))


COMMANDS = (init, validate, schema, plan, preview)
