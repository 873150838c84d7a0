"""The project's clock, in the hands of a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest


class Clock:
    """What `Project.clock` says: the true time, and as much more as the test moved it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from autoloader.project import Project

        self.ahead = timedelta(0)
        self.stopped_at: datetime | None = None
        patch.setattr(Project, "clock", lambda _: (self.stopped_at or datetime.now(UTC)) + self.ahead)

    def stop(self) -> None:
        """From here on time passes only by `move`, however slow the machine is."""
        self.stopped_at = datetime.now(UTC)

    def move(self, **by: float) -> None:
        """Let time pass: `days=8`, `minutes=2`."""
        self.ahead += timedelta(**by)
