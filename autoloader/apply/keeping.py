"""A lease kept alive by heartbeats from a thread, as long as its work goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autoloader.apply.tools import LEASE_S, Tools
from autoloader.errors import AutoloaderError

if TYPE_CHECKING:
    from autoloader.ledger import Lease, LeaseKind


@contextmanager
def holding(tools: Tools, ingestion: str, kind: LeaseKind) -> Iterator[Lease]:
    """Hold a lease for the time of a block.

    Raises:
        LockBusyError: Somebody else holds one that stands against it.
    """
    lease = tools.ledger.acquire(ingestion, kind, tools.holder, LEASE_S, tools.clock())
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(tools, lease, over), name=f"lease-{ingestion}", daemon=True)
    beating.start()
    try:
        yield lease
    finally:
        over.set()
        beating.join()
        tools.ledger.unlock(lease)


def _beat(tools: Tools, lease: Lease, over: threading.Event) -> None:
    """Heartbeats three times per lifetime. A lost lease ends them; the next use of the lease then says so."""
    while not over.wait(LEASE_S / 3):
        try:
            tools.ledger.heartbeat(lease, tools.clock())
        except AutoloaderError:
            continue
