"""The commands: words in, text out, exit codes. Decides nothing; `project` does.

Data goes to stdout and talk to stderr. Heavy rooms are imported inside the verbs, so that `--help`
answers at once. `plan_apply.py` and the console script `autoloader` both call `main`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from typing import Any

import click

from autoloader import __version__
from autoloader.cli import applying, asking, planning, surgery
from autoloader.errors import AutoloaderError, is_interrupt, redacted

INTERRUPTED = 130


class _InOrder(click.Group):
    """Lists the commands in the order in which a newcomer needs them."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_InOrder,
    name="autoloader",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="autoloader")
def group() -> None:
    """Say in YAML which files belong in which Iceberg table; plan shows, apply makes it so.

    Exit codes: 0 fine, 1 error, 2 changes planned (with --detailed-exitcode), 3 a guardrail or
    protection refuses, 4 the plan is stale, 5 a lock is busy, 6 apply is incomplete but resumable,
    130 interrupted.
    """


for _room in (planning, applying, asking, surgery):
    for _command in _room.COMMANDS:
        group.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit the process with its exit code.

    Args:
        arguments: The words after the program's name; None takes `sys.argv`.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["plan"]:
        _spare_pandas()
    sys.exit(run(words))


def _spare_pandas() -> None:
    """PyArrow imports pandas, where it is installed, with the first array that it makes: 0.4 s of each plan.

    A plan shows no frame, so that import is made to fail, which PyArrow takes for "not installed".
    """
    sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    """Finds every module but one."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:  # noqa: ARG002 - the protocol's
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not imported for a plan", name=fullname)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; every error becomes one message on stderr.

    Returns:
        The exit code of DESIGN section 5.
    """
    try:
        code = group.main(args=arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 1
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        if is_interrupt(error):
            return _interrupted()
        if isinstance(error, AutoloaderError):
            from autoloader.cli.console import show_error

            show_error(error)
            return error.exit_code
        if os.environ.get("AUTOLOADER_DEBUG"):
            raise
        click.echo(
            f"Error: something went wrong that should not: {type(error).__name__}: {redacted(str(error))}\n"
            "This is a defect. For a report of it, run the same again with AUTOLOADER_DEBUG=1.",
            err=True,
        )
        return 1
    return code if isinstance(code, int) else 0


def _interrupted() -> int:
    click.echo("Interrupted.", err=True)
    return INTERRUPTED
