"""The verbs that answer questions: status, runs, show, files, why, cost, verify, doctor."""

from __future__ import annotations

import csv
import sys
from typing import Any

import click

from autoloader.cli.options import format_option, open_project, project_options

STATES = ("DISCOVERED", "PROCESSING", "SUCCESS", "FAILED", "SKIPPED", "QUARANTINED", "MISSING")


def _print(answer: Any, output: str) -> None:
    """An answer of `project` as JSON or as text."""
    from autoloader.cli.console import print_json, table_width, wants_color

    if output == "json":
        print_json(answer.data)
    else:
        click.echo(answer.text(color=wants_color(), width=table_width()))


@click.command()
@project_options
@format_option("text", "json")
def status(folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """Progress of each lane of each ingestion, with ETA."""
    _print(open_project(folder, env, variables).status(), output)


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
    _print(open_project(folder, env, variables).runs(ingestion=ingestion, limit=limit), output)


@click.command()
@click.argument("run_id", metavar="RUN")
@project_options
@format_option("text", "json")
def show(run_id: str, folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """One run: its batches, its files that failed, its cost."""
    _print(open_project(folder, env, variables).show(run_id), output)


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
    answer = open_project(folder, env, variables).files(name, state=state, match=match)
    if output == "csv":
        rows = answer.data["files"]
        writer = csv.DictWriter(sys.stdout, fieldnames=list(answer.header))
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print(answer, output)


@click.command()
@click.argument("uri")
@project_options
@format_option("text", "json")
def why(uri: str, folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """Which ingestion takes this file, by which rule, and what happened to it."""
    _print(open_project(folder, env, variables).why(uri), output)


@click.command()
@click.argument("name")
@project_options
@format_option("text", "json")
def cost(name: str, folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """Past estimates against what the runs really took."""
    _print(open_project(folder, env, variables).cost(name), output)


@click.command()
@click.argument("name")
@project_options
@format_option("text", "json")
def verify(name: str, folder: str, env: str | None, variables: tuple[str, ...], output: str) -> int:
    """Hold the ledger against the table, file by file; exit 1 if they disagree."""
    answer = open_project(folder, env, variables).verify(name)
    _print(answer, output)
    return 1 if answer.data["violations"] else 0


@click.command()
@project_options
@format_option("text", "json")
def doctor(folder: str, env: str | None, variables: tuple[str, ...], output: str) -> int:
    """Check Java, Spark, state, catalog and storage; each with its fix."""
    answer = open_project(folder, env, variables).doctor()
    _print(answer, output)
    return 0 if answer.data["healthy"] else 1


COMMANDS = (status, runs, show, files, why, cost, verify, doctor)
