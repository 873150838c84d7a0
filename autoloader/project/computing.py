"""Spark for an apply: started when first needed or in the background, with the compute profile of the lane at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from autoloader.render import seconds_text
from autoloader.spec import ComputeProfile, Settings

if TYPE_CHECKING:
    from autoloader.engine import Engine, StartingEngine

_LOOK_EVERY_S: Final = 0.05


@dataclass(slots=True)
class Engines:
    """The engine of one apply. Lanes whose profiles differ in cores or Spark conf get one after the other.

    Attributes:
        settings: The project's.
        kind: What the command line says; None = as the settings say.
        talk: Told that Spark is waited for.
        profile: Name of the compute profile of the lane at hand.
    """

    settings: Settings
    kind: str | None
    talk: Callable[[str], None]
    profile: str = "default"
    _starting: StartingEngine | None = None
    _used: Engine | None = None
    _said: list[str] = field(default_factory=list)

    def begin(self, profile: str) -> StartingEngine:
        """Start in the background what that profile asks for, unless just this is under way or running."""
        self.switch(profile)
        if self._starting is None:
            from autoloader.engine import start_in_background

            power = self._power(profile)
            self._starting = start_in_background(self.settings.spark, self.kind, cores=power.cores, conf=power.conf)
        return self._starting

    def switch(self, profile: str) -> None:
        """From here on the tasks run as that profile says; an engine that was started otherwise ends."""
        before, after = self._power(self.profile), self._power(profile)
        self.profile = profile
        if (before.cores, before.conf) != (after.cores, after.conf):
            self.stop()

    def __call__(self) -> Engine:
        """The running engine.

        Raises:
            EngineError: It cannot be had.
        """
        if self._used is None:
            starting, began_at = self.begin(self.profile), time.monotonic()
            while not starting.ready:
                self.talk(f"Waiting for Spark to start, {seconds_text(time.monotonic() - began_at)}")
                time.sleep(_LOOK_EVERY_S)
            self._used = starting.wait()
            sentence = " ".join((f"Engine: {self._used.kind} {self._used.version}.", *self._used.notes))
            if sentence not in self._said:
                self._said.append(sentence)
        return self._used

    def sentence(self) -> str:
        """Which engine ran, for the last line; empty where none was asked for."""
        return " ".join(self._said)

    def stop(self) -> None:
        """End what was started here."""
        if self._starting is not None:
            self._starting.stop()
        self._starting = self._used = None

    def _power(self, profile: str) -> ComputeProfile:
        return self.settings.compute.get(profile) or ComputeProfile()
