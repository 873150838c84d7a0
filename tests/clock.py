"""The project's clock, in the hands of a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest


class Clock:
    """What `Project.clock` says: the true time, and as much more as the test moved it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from autoloader.project import Project

        self.ahead = timedelta(0)
        patch.setattr(Project, "clock", lambda _: datetime.now(UTC) + self.ahead)

    def move(self, **by: float) -> None:
        """Let time pass: `days=8`, `minutes=2`."""
        self.ahead += timedelta(**by)
