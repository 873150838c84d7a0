"""The verbs that answer questions: status, runs, show, files, why, cost, verify, doctor."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from autoloader.cli.options import format_option, open_project, project_options

if TYPE_CHECKING:
    from autoloader.cli.console import Talk
    from autoloader.project import Answer

STATES = ("DISCOVERED", "PROCESSING", "SUCCESS", "FAILED", "SKIPPED", "QUARANTINED", "MISSING")


def tell(output: str, ask: Callable[[Talk], Answer]) -> Answer:
    """Ask the project, talking while it takes time, and print the answer as JSON or as text."""
    from autoloader.cli.console import talking

    with talking() as talk:
        answer = ask(talk)
    _print(answer, output)
    return answer


def _print(answer: Answer, output: str) -> None:
    from autoloader.cli.console import print_json, table_width, wants_color

    if output == "json":
        print_json(answer.data)
    else:
        click.echo(answer.text(color=wants_color(), width=table_width()))


@click.command()
@click.option("--offline", is_flag=True, help="From the state alone: do not look at storage.")
@project_options
@format_option("text", "json")
def status(offline: bool, folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """Progress of each lane of each ingestion, with ETA: what is loaded, against what is in storage now."""
    tell(output, lambda talk: open_project(folder, env, variables).status(offline=offline, talk=talk))


@click.command()
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the last N runs.")
@click.option("--ingestion", metavar="NAME", help="Only the runs of this ingestion.")
@project_options
@format_option("text", "json")
def runs(
    limit: int | None,
    ingestion: str | None,
    folder: str,
    env: str | None,
    variables: tuple[str, ...],
    output: str,
) -> None:
    """The history of runs, oldest first."""
    tell(output, lambda _: open_project(folder, env, variables).runs(ingestion=ingestion, limit=limit))


@click.command()
@click.argument("run_id", metavar="RUN")
@project_options
@format_option("text", "json")
def show(run_id: str, folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """One run: its batches, its files that failed, its cost."""
    tell(output, lambda _: open_project(folder, env, variables).show(run_id))


@click.command()
@click.argument("name")
@click.option("--state", type=click.Choice(STATES, case_sensitive=False), help="Only files in this state.")
@click.option("--match", metavar="GLOB", help="Only files whose path below the source matches.")
@project_options
@format_option("text", "json", "csv")
def files(
    name: str,
    state: str | None,
    match: str | None,
    folder: str,
    env: str | None,
    variables: tuple[str, ...],
    output: str,
) -> None:
    """What is remembered of every file of an ingestion."""

    def ask(_: Talk) -> Answer:
        return open_project(folder, env, variables).files(name, state=state, match=match)

    if output == "csv":
        from autoloader.cli.console import talking

        with talking() as talk:
            answer = ask(talk)
        rows = answer.data["files"]
        writer = csv.DictWriter(sys.stdout, fieldnames=list(answer.header))
        writer.writeheader()
        writer.writerows(rows)
    else:
        tell(output, ask)


@click.command()
@click.argument("uri")
@project_options
@format_option("text", "json")
def why(uri: str, folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """Which ingestion takes this file, by which rule, and what happened to it."""
    tell(output, lambda talk: open_project(folder, env, variables).why(uri, talk=talk))


@click.command()
@click.argument("name")
@project_options
@format_option("text", "json")
def cost(name: str, folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """Past estimates against what the runs really took."""
    tell(output, lambda _: open_project(folder, env, variables).cost(name))


@click.command()
@click.argument("name")
@project_options
@format_option("text", "json")
def verify(name: str, folder: str, env: str | None, variables: tuple[str, ...], output: str) -> int:
    """Hold the ledger against the table, file by file; exit 1 if they disagree."""
    answer = tell(output, lambda _: open_project(folder, env, variables).verify(name))
    return 1 if answer.data["violations"] else 0


@click.command()
@project_options
@format_option("text", "json")
def doctor(folder: str, env: str | None, variables: tuple[str, ...], output: str) -> int:
    """Check Java, Spark, state, catalog and storage; each with its fix."""
    answer = tell(output, lambda _: open_project(folder, env, variables).doctor())
    return 0 if answer.data["healthy"] else 1


COMMANDS = (status, runs, show, files, why, cost, verify, doctor)
