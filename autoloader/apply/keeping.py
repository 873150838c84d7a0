"""A lease kept alive by heartbeats from a thread, as long as its work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from autoloader.errors import AutoloaderError, FencedError

if TYPE_CHECKING:
    from autoloader.ledger import Lease, LeaseKind, Ledger

LEASE_S: Final = 120.0
"""How long a lease lasts without a heartbeat."""

_BEATS: Final = 3
"""Heartbeats in that time."""


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
        FencedError: It was lost in the block; if by a heartbeat that failed for a reason of its own, with that.
    """
    lease = keeper.ledger.acquire(ingestion, kind, keeper.holder, keeper.lease_s, keeper.clock())
    over, broken = threading.Event(), list[Exception]()
    beating = threading.Thread(target=_beat, args=(keeper, lease, over, broken), name=f"lease-{ingestion}", daemon=True)
    beating.start()
    try:
        try:
            yield lease
        finally:
            over.set()
            beating.join()
            with suppress(AutoloaderError):
                keeper.ledger.unlock(lease)
    except FencedError as error:
        if not broken:
            raise
        raise FencedError(
            f"The lock {lease.id} on {ingestion} was given back by its own holder.",
            why=f"Its heartbeat failed: {type(broken[0]).__name__}: {broken[0]}",
            fix=error.fix,
        ) from broken[0]


def _beat(keeper: Keeper, lease: Lease, over: threading.Event, broken: list[Exception]) -> None:
    """Heartbeats three times per lifetime. A lost lease is told by its next use.

    What no one foresaw ends them when it has happened a lifetime long, and the lease with them: it must not look alive
    to its holder.
    """
    failed = 0
    while not over.wait(keeper.lease_s / _BEATS):
        try:
            keeper.ledger.heartbeat(lease, keeper.clock())
            failed = 0
        except AutoloaderError:
            continue
        except Exception as error:
            failed += 1
            if failed < _BEATS:
                continue
            broken.append(error)
            with suppress(Exception):
                keeper.ledger.unlock(lease)
            return
