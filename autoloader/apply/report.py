"""What an apply did, as values: steps, counts, the exit code; and the events that it sends while it works."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from autoloader.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Step:
    """One operation that was tried.

    Attributes:
        ingestion: Its ingestion.
        operation: The plan's word for it: `table_created`, `run_triggered`, …
        status: "done", "skipped", "failed" or "stopped".
        seconds: Wall clock that it took.
        details: Counts and ids.
    """

    ingestion: str
    operation: str
    status: str
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Counts:
    """What loading came to so far; grows while a run works."""

    files: int = 0
    rows: int = 0
    rejected_rows: int = 0
    rescued_rows: int = 0
    bytes: int = 0
    failed: int = 0
    quarantined: int = 0
    moved: int = 0
    left_out: int = 0
    away: int = 0
    batches: int = 0
    rewritten_bytes: int = 0
    seconds: float = 0.0

    def add(self, other: Counts) -> None:
        """Add another count to this one."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_data(self) -> dict[str, Any]:
        """Name to number."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Steps:
    """The operations on one ingestion: timed, kept in the order in which they end, and told as events.

    Attributes:
        ingestion: Its name.
        kept: Where each step is put.
        events: Where each step is told.
    """

    ingestion: str
    kept: list[Step]
    events: Events

    @contextmanager
    def step(self, operation: str, **details: Any) -> Iterator[dict[str, Any]]:
        """Do one operation in the block.

        Yields:
            Its details, to be added to. A reason under `stopped` makes it a stopped step; an error, a failed one.
        """
        began_at, status = time.monotonic(), "failed"
        try:
            yield details
            status = "stopped" if details.get("stopped") else "done"
        except KeyboardInterrupt:
            status = "stopped"
            raise
        except Exception as error:
            details["error"] = str(error)
            raise
        finally:
            self.keep(operation, status, time.monotonic() - began_at, details)

    def keep(self, operation: str, status: str, seconds: float, details: dict[str, Any]) -> None:
        """Keep an operation that was done, or is not to be done at all."""
        self.kept.append(Step(self.ingestion, operation, status, seconds, details))
        self.events.send("step", ingestion=self.ingestion, operation=operation, status=status, **details)


@dataclass(slots=True)
class Stop:
    """Set from a signal: finish the batch in hand, then stop."""

    asked: bool = False

    def ask(self) -> None:
        """Ask for the stop."""
        self.asked = True


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)


class Events:
    """One JSON object per event, appended to a file as it happens (NDJSON)."""

    def __init__(self, path: str | None, clock: Callable[[], datetime]) -> None:
        """Open the file.

        Raises:
            SettingsError: It cannot be written.
        """
        try:
            self._stream: TextIO | None = Path(path).open("a", encoding="utf-8") if path else None  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise SettingsError(f"The events cannot be written to {path}.", why=str(error)) from error
        self._clock = clock

    def send(self, event: str, **details: Any) -> None:
        """Write one event with its time; does nothing without a file."""
        if self._stream is None:
            return
        line = {"at": self._clock().isoformat(), "event": event, **details}
        self._stream.write(json.dumps(line, default=_plain, ensure_ascii=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
