"""Jupyter: the `%autoloader` magic over `project`, whose plans, answers and reports show themselves.

Static HTML throughout, no widgets: a notebook that was run yesterday still shows what was there.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import SettingsError
from autoloader.project import Project

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

USAGE: Final = """%autoloader plan [FOLDER]
%autoloader apply [FOLDER]
%autoloader status [FOLDER]
%autoloader runs [FOLDER]
%autoloader preview NAME
%autoloader files NAME
%autoloader verify NAME
%autoloader why URI"""


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register `%autoloader`; called by `%load_ext autoloader`."""
    register: Any = shell.register_magic_function
    register(autoloader_magic, "line", "autoloader")


def autoloader_magic(line: str) -> Any:
    """One verb with its argument, see `USAGE`; the project's folder is `ingestions` where none is named.

    Returns:
        The plan, report or answer, which displays itself.

    Raises:
        SettingsError: The line is none of these.
    """
    verb, *words = shlex.split(line) or ["plan"]
    match verb, words:
        case (("plan" | "apply" | "status" | "runs"), ([] | [_])):
            return getattr(Project(*words), verb)()
        case (("preview" | "files" | "verify" | "why"), [word]):
            return getattr(Project(), verb)(word)
    raise SettingsError(f"%autoloader cannot do {line.strip()!r}.", fix=f"It can do:\n{USAGE}")
