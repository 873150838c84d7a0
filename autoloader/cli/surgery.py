"""The verbs that mend the state by hand; each leaves an entry in the audit trail."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from autoloader.cli.asking import tell
from autoloader.cli.options import format_option, open_project, project_options
from autoloader.errors import SettingsError


def _confirm(question: str, approved: bool) -> bool:
    if approved:
        return True
    if not sys.stdin.isatty():
        raise SettingsError("There is no terminal to ask on.", fix="Add --auto-approve (-y).")
    return bool(click.confirm(question, default=False, err=True))


def _say(do: Callable[[], str]) -> None:
    """Do what may take long, and print what it says."""
    from autoloader.cli.console import talking

    with talking():
        done = do()
    click.echo(done)


@click.group()
def state() -> None:
    """Look at and mend the recorded state."""


@state.command("list")
@project_options
@format_option("text", "json")
def state_list(folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """The recorded ingestions."""
    tell(output, lambda _: open_project(folder, env, variables).state_list())


@state.command("show")
@click.argument("name")
@project_options
@format_option("text", "json")
def state_show(name: str, folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """All that is recorded of one ingestion."""
    tell(output, lambda _: open_project(folder, env, variables).state_show(name))


@state.command("rm")
@click.argument("name")
@click.option("--auto-approve", "-y", "approved", is_flag=True, help="Do not ask.")
@project_options
def state_rm(name: str, approved: bool, folder: str, env: str | None, variables: tuple[str, ...]) -> None:
    """Forget an ingestion and its file history; the table stays."""
    if _confirm(f"Forget {name!r} and what is remembered of its files?", approved):
        click.echo(open_project(folder, env, variables).state_rm(name))


@state.command("mv")
@click.argument("old")
@click.argument("new")
@click.option("--auto-approve", "-y", "_approved", is_flag=True, help="For scripts; it asks nothing anyhow.")
@project_options
def state_mv(old: str, new: str, _approved: bool, folder: str, env: str | None, variables: tuple[str, ...]) -> None:
    """Give an ingestion another name; its history follows."""
    click.echo(open_project(folder, env, variables).state_mv(old, new))


@state.command("adopt")
@click.argument("name")
@click.option("--auto-approve", "-y", "approved", is_flag=True, help="Do not ask.")
@project_options
def state_adopt(name: str, approved: bool, folder: str, env: str | None, variables: tuple[str, ...]) -> None:
    """Take an existing table as the ingestion's table; files that it holds are known from then on."""
    if _confirm(f"Take the existing table as that of {name!r}?", approved):
        _say(lambda: open_project(folder, env, variables).state_adopt(name))


@click.group()
def locks() -> None:
    """Look at and break leases."""


@locks.command("list")
@project_options
@format_option("text", "json")
def locks_list(folder: str, env: str | None, variables: tuple[str, ...], output: str) -> None:
    """Who holds what, since when and until when."""
    tell(output, lambda _: open_project(folder, env, variables).locks())


@locks.command("break")
@click.argument("lease_id", metavar="ID")
@click.option("--reason", required=True, help="Kept in the audit trail.")
@project_options
def locks_break(lease_id: str, reason: str, folder: str, env: str | None, variables: tuple[str, ...]) -> None:
    """End a lease; its holder is fenced off from then on."""
    click.echo(open_project(folder, env, variables).break_lock(lease_id, reason))


@click.command("rebuild-ledger")
@click.argument("name")
@click.option("--auto-approve", "-y", "approved", is_flag=True, help="Do not ask.")
@project_options
def rebuild_ledger(name: str, approved: bool, folder: str, env: str | None, variables: tuple[str, ...]) -> None:
    """Remember files again from the table's lineage columns."""
    if _confirm(f"Rebuild what is remembered of {name!r} from its table?", approved):
        _say(lambda: open_project(folder, env, variables).rebuild_ledger(name))


COMMANDS = (state, locks, rebuild_ledger)
