"""How the commands talk: errors and notes on stderr, data on stdout, progress in place."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from autoloader.errors import AutoloaderError

_SILENT_S: Final = 2.0
_LOOK_EVERY_S: Final = 0.25


def show_error(error: AutoloaderError) -> None:
    """Print what, why and fix on stderr, in that order, file names escaped."""
    from autoloader.render import escape_lines

    head = click.style("Error: ", fg="red", bold=True) if wants_color(sys.stderr) else "Error: "
    click.echo(head + escape_lines(error.what), err=True)
    for part in (error.why, error.fix):
        if part:
            click.echo(escape_lines(part), err=True)


def say(text: str) -> None:
    """One line of talk on stderr."""
    click.echo(text, err=True)


def print_json(data: Any) -> None:
    """Data on stdout as JSON; times, decimals and paths become strings, NaN and infinities null."""
    try:
        text = json.dumps(data, indent=2, default=str, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(data), indent=2, default=str, ensure_ascii=False, allow_nan=False)
    click.echo(text)


def _finite(data: Any) -> Any:
    """Data as JSON can say it: a number that is none, or infinite, is null."""
    match data:
        case dict():
            return {key: _finite(value) for key, value in data.items()}
        case list() | tuple():
            return [_finite(value) for value in data]
        case float():
            return data if math.isfinite(data) else None
        case _:
            return data


def wants_color(stream: Any = None) -> bool:
    """Whether a stream is a terminal that may be coloured (`NO_COLOR` is respected)."""
    stream = stream if stream is not None else sys.stdout
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")


def width() -> int:
    """Columns of the terminal, 100 where there is none; `COLUMNS` says otherwise."""
    return shutil.get_terminal_size((100, 24)).columns


def table_width() -> int | None:
    """Columns that a table on stdout has; None = any number, for what is piped on or kept in a file."""
    return width() if sys.stdout.isatty() or os.environ.get("COLUMNS") else None


class Talk:
    """Progress of one long step: a line rewritten in place on a terminal, else a line now and then.

    A thread of its own sees to it that nothing is silent for more than two seconds.
    """

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._every_s = 0.1 if self._terminal else _SILENT_S
        self._began_at = self._last_at = time.monotonic()
        self._text = "Working"
        self._open = False
        self._quiet = False
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._beat = threading.Thread(target=self._keep_talking, name="talk", daemon=True)
        self._beat.start()

    def __call__(self, text: str) -> None:
        """Show a state of affairs; most calls between two shown ones are dropped."""
        with self._lock:
            self._text = text
            if not self._quiet and time.monotonic() - self._last_at >= self._every_s:
                self._show(text)

    def pause(self) -> None:
        """Say nothing: somebody else, such as a progress bar, talks now."""
        with self._lock:
            self._quiet = True
            self._clear()

    def go_on(self) -> None:
        """Nobody else talks any more."""
        with self._lock:
            self._quiet, self._text, self._began_at = False, "Working", time.monotonic()
            self._last_at = self._began_at

    def close(self) -> None:
        """Fall silent, and remove the line that was rewritten in place."""
        self._done.set()
        self._beat.join()
        with self._lock:
            self._clear()

    def _keep_talking(self) -> None:
        while not self._done.wait(_LOOK_EVERY_S):
            now = time.monotonic()
            with self._lock:
                if not self._quiet and now - self._last_at >= _SILENT_S:
                    self._show(f"{self._text}, {now - self._began_at:.0f} s so far")

    def _show(self, text: str) -> None:
        from autoloader.render import escape_terminal

        self._last_at = time.monotonic()
        text = escape_terminal(text)
        if self._terminal:
            sys.stderr.write("\r\x1b[2K" + text[: width() - 1])
            sys.stderr.flush()
            self._open = True
        else:
            click.echo(text, err=True)

    def _clear(self) -> None:
        if self._open:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._open = False


@contextmanager
def talking() -> Iterator[Talk]:
    """A `Talk` that leaves nothing behind on the screen."""
    talk = Talk()
    try:
        yield talk
    finally:
        talk.close()
