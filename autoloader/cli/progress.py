"""Progress of an apply on a terminal: files, bytes, money and time left in one live line per lane."""

from __future__ import annotations

import sys
import time
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import click

from autoloader.cli.console import Talk
from autoloader.cost import money
from autoloader.render import bytes_text, count_text, escape_terminal, plural, seconds_text

_LABEL = 16
_ROOMY = 100


class TerminalProgress:
    """A bar where stderr is a terminal, else a line every two seconds at most."""

    def __init__(self, talk: Talk) -> None:
        """Progress that makes `talk` pause while a bar is on the screen."""
        self._talk = talk
        self._bar: Any = None
        self._task: Any = None
        self._label = ""
        self._files = self._bytes = 0
        self._began_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self, ingestion: str, lane: str, files: int, size_bytes: int) -> None:
        """A lane starts."""
        self._label = escape_terminal(ingestion if lane == "live" else f"{ingestion} ({lane})")
        self._files, self._bytes = files, size_bytes
        self._began_at = time.monotonic()
        if sys.stderr.isatty():
            self._talk.pause()
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(
                f"{self._label:<{_LABEL}}", total=max(1, size_bytes), told=self._told(0, 0, ""), left=""
            )
        else:
            click.echo(f"{self._label}: loading {plural(files, 'file')}, {bytes_text(size_bytes)}", err=True)

    def advance(self, files: int, size_bytes: int, usd: float | None) -> None:
        """Show what is done so far."""
        spent = "" if usd is None else money(Decimal(repr(usd)))
        if self._bar is not None:
            left = self._left_s(files, size_bytes)
            told, ending = self._told(files, size_bytes, spent), f"{seconds_text(left)} left" if left else ""
            self._bar.update(self._task, completed=size_bytes, told=told, left=ending)
            return
        left = self._left_s(files, size_bytes)
        eta = f", {seconds_text(left)} left" if left else ""
        paid = f", {spent}" if spent else ""
        self._talk(
            f"{self._label}: {count_text(files)} of {plural(self._files, 'file')}, "
            f"{bytes_text(int(size_bytes))} of {bytes_text(self._bytes)}{paid}{eta}"
        )

    def _told(self, files: int, size_bytes: float, spent: str) -> str:
        return f"{files:>7,}/{self._files:,} files  {bytes_text(int(size_bytes)):>9}  {spent}"

    def _left_s(self, files: int, size_bytes: float) -> float | None:
        """Seconds that the rest would take at the speed so far; None before anything is done."""
        share = size_bytes / self._bytes if self._bytes else files / max(1, self._files)
        return (time.monotonic() - self._began_at) * (1 - share) / share if share else None

    def end(self) -> None:
        """Leave the finished bar where it is."""
        if self._bar is not None:
            self._bar.update(self._task, left="")
            self._bar.stop()
            self._bar = None
            self._talk.go_on()


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24 if console.width >= _ROOMY else 8),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        console=console,
    )
