"""Jupyter: the `%autoloader` magic and progress in place. Plans and tables show themselves (`_repr_html_`).

Static HTML throughout, no widgets: a notebook that was run yesterday still shows what was there.
"""

from __future__ import annotations

import html
import shlex
from typing import TYPE_CHECKING, Any

from autoloader.project import Project
from autoloader.render import bytes_text, count_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register `%autoloader`; called by `%load_ext autoloader`."""
    register: Any = shell.register_magic_function
    register(autoloader_magic, "line", "autoloader")


def autoloader_magic(line: str) -> Any:
    """`%autoloader plan [FOLDER]`, `%autoloader preview NAME`, `%autoloader status [FOLDER]`.

    Returns:
        The plan, preview or status, which displays itself.
    """
    verb, *words = shlex.split(line) or ["plan"]
    match verb, words:
        case "plan", [] | [_]:
            return Project(*words).plan()
        case "preview", [name]:
            return Project().preview(name)
        case "status", [] | [_]:
            return Project(*words).status()
    raise ValueError("Use %autoloader plan [FOLDER], %autoloader preview NAME or %autoloader status [FOLDER].")


class CellProgress:
    """Progress of an apply in one output cell, through `display_id`."""

    def __init__(self) -> None:
        from IPython import display

        shown: Any = display
        self._html = shown.HTML
        self._handle = shown.display(shown.HTML(""), display_id=True)
        self._label = ""
        self._files = self._bytes = 0

    def begin(self, ingestion: str, lane: str, files: int, size_bytes: int) -> None:
        """A lane starts."""
        self._label = f"{ingestion} ({lane})" if lane != "live" else ingestion
        self._files, self._bytes = files, size_bytes
        self.advance(0, 0, None)

    def advance(self, files: int, size_bytes: int, usd: float | None) -> None:
        """Draw the bar anew."""
        share = 100 * size_bytes / self._bytes if self._bytes else 100 * files / max(1, self._files)
        spent = "" if usd is None else f", ${usd:.2f}"
        text = (
            f"{html.escape(self._label)}: {count_text(files)} of {count_text(self._files)} files, "
            f"{bytes_text(size_bytes)} of {bytes_text(self._bytes)}{spent}"
        )
        self._handle.update(self._html(f'<progress max="100" value="{min(100.0, share):.0f}"></progress> {text}'))

    def end(self) -> None:
        """Leave the last state where it is."""
