"""Options that several commands share, and the project that they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from autoloader.errors import SettingsError

if TYPE_CHECKING:
    from autoloader.project import Project

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("text", "json")
PLAN_FORMATS = ("text", "json", "markdown", "html")


def project_options(command: F) -> F:
    """Add `--folder`, `--env` and `--var`: which project is meant and how its specs are filled in."""
    for option in (
        click.option("--var", "variables", multiple=True, metavar="KEY=VALUE", help="Set vars.KEY (repeatable)."),
        click.option("--env", "env", metavar="NAME", help="Overlay of env/NAME.yml below the folder."),
        click.option(
            "--folder", "folder", default="ingestions", show_default=True, metavar="DIR", help="Folder of specs."
        ),
    ):
        command = option(command)
    return command


def selection_options(command: F) -> F:
    """Add `--select`, `--due` and `--confirm`: which ingestions take part, and what is meant to be so."""
    for option in (
        click.option(
            "--confirm",
            multiple=True,
            metavar="NAME",
            help="Its source may be empty, have lost most files or lie elsewhere.",
        ),
        click.option("--due", is_flag=True, help="Only ingestions whose schedule is due."),
        click.option("--select", multiple=True, metavar="NAME|tag:T", help="Only these ingestions (repeatable)."),
    ):
        command = option(command)
    return command


def format_option(*formats: str) -> Callable[[F], F]:
    """Add `--format` with the formats that a command can print; the first one is the default."""
    return click.option(
        "--format", "output", type=click.Choice(formats), default=formats[0], show_default=True, help="Output."
    )


def pairs(words: tuple[str, ...], option: str) -> dict[str, str]:
    """Read repeated `KEY=VALUE` words.

    Raises:
        SettingsError: A word has no `=` or no key.
    """
    found: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise SettingsError(f"{option} {word!r} is not KEY=VALUE.", fix=f"Write {option} name=value.")
        found[key] = value
    return found


def selections(words: tuple[str, ...], option: str) -> dict[str, tuple[str, ...]]:
    """Read repeated `NAME=SELECTOR` words, several per name.

    Raises:
        SettingsError: A word has no `=` or no name.
    """
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        [(name, selector)] = pairs((word,), option).items()
        found[name] = (*found.get(name, ()), selector)
    return found


def open_project(folder: str | Path, env: str | None, variables: tuple[str, ...]) -> Project:
    """The project that the shared options name; specs are read on first use."""
    from autoloader.project import Project

    return Project(folder, env=env, variables=pairs(variables, "--var"))
