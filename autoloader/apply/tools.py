"""What an apply works with. Made by `project`; the only way to the clock, the ledger, the lake and Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from autoloader.apply.batching import BatchSize
from autoloader.apply.keeping import LEASE_S
from autoloader.apply.report import Events, Stop
from autoloader.spec import StorageSettings

if TYPE_CHECKING:
    from autoloader.engine import Engine
    from autoloader.lake import Lake
    from autoloader.ledger import Ledger


class Progress(Protocol):
    """Where a long load tells how far it is. Amounts are totals so far, not steps."""

    def begin(self, ingestion: str, lane: str, files: int, size_bytes: int) -> None:
        """A lane of an ingestion starts; what it will come to."""

    def advance(self, files: int, size_bytes: int, usd: float | None) -> None:
        """What is committed so far, or is being loaded, as far as known."""

    def end(self) -> None:
        """The lane is done."""


class Silent:
    """Progress for nobody."""

    def begin(self, ingestion: str, lane: str, files: int, size_bytes: int) -> None:
        """Nothing."""

    def advance(self, files: int, size_bytes: int, usd: float | None) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def _one_fits_all(profile: str) -> None:
    """Every lane gets the same engine."""


@dataclass(frozen=True, slots=True)
class Tools:
    """One apply's surroundings.

    Attributes:
        ledger: The state.
        lake: The tables.
        engine: Gives the running Spark; waits for it when it is still starting.
        switch_profile: Told the compute profile that the next lane asks for; `engine` gives such a Spark from then on.
        storage: Per scheme, how to reach it.
        clock: Now, aware UTC.
        holder: Who holds the leases, as `holders.this_process` writes it.
        events: Where each step is told.
        progress: Where people see how far it is.
        stop: Asked to stop at the next safe point?
        batch_size: Bounds of one batch.
        lease_s: How long a lease lasts without a heartbeat.
    """

    ledger: Ledger
    lake: Lake
    engine: Callable[[], Engine]
    storage: Mapping[str, StorageSettings]
    clock: Callable[[], datetime]
    holder: str
    events: Events
    switch_profile: Callable[[str], None] = _one_fits_all
    progress: Progress = field(default_factory=Silent)
    stop: Stop = field(default_factory=Stop)
    batch_size: BatchSize = field(default_factory=BatchSize)
    lease_s: float = LEASE_S

    def at(self, step: str) -> None:
        """A step of a batch's life is done; nothing happens here but what a test puts in its place.

        In order: `claimed`, `loaded` (data files are written, the ledger does not know), `written`, `committed`,
        `recorded`; `swapped` (a rebuilt table is served, the ledger does not know); `revoked` (recovery has asked
        the table what became of a dead batch).
        """
