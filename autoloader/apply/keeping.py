"""A lease kept alive by heartbeats from a thread, as long as its work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from autoloader.errors import AutoloaderError

if TYPE_CHECKING:
    from autoloader.ledger import Lease, LeaseKind, Ledger

LEASE_S: Final = 120.0
"""How long a lease lasts without a heartbeat."""


class Keeper(Protocol):
    """Who may hold leases."""

    @property
    def ledger(self) -> Ledger:
        """The state."""

    @property
    def clock(self) -> Callable[[], datetime]:
        """Now, aware UTC."""

    @property
    def holder(self) -> str:
        """Who it is, as `holders.this_process` writes it."""

    @property
    def lease_s(self) -> float:
        """How long a lease lasts without a heartbeat."""


@contextmanager
def holding(keeper: Keeper, ingestion: str, kind: LeaseKind) -> Iterator[Lease]:
    """Hold a lease for the time of a block.

    A lease that cannot be given back, since the state does not answer, ends by itself.

    Raises:
        LeaseBusyError: Somebody else holds one that stands against it.
    """
    lease = keeper.ledger.acquire(ingestion, kind, keeper.holder, keeper.lease_s, keeper.clock())
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(keeper, lease, over), name=f"lease-{ingestion}", daemon=True)
    beating.start()
    try:
        yield lease
    finally:
        over.set()
        beating.join()
        with suppress(AutoloaderError):
            keeper.ledger.unlock(lease)


def _beat(keeper: Keeper, lease: Lease, over: threading.Event) -> None:
    """Heartbeats three times per lifetime. A lost lease ends them; the next use of the lease then says so."""
    while not over.wait(keeper.lease_s / 3):
        try:
            keeper.ledger.heartbeat(lease, keeper.clock())
        except AutoloaderError:
            continue
