"""A lease that is kept alive, and heartbeats that fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from autoloader.apply import keeping
from autoloader.errors import FencedError, LedgerError
from autoloader.ledger import Ledger, open_ledger

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Keeper:
    """Holds leases whose heartbeats fail."""

    ledger: Any
    holder: str = "ann@host:1"
    lease_s: float = 120.0

    def clock(self) -> datetime:
        return NOW


@dataclass
class Times:
    """An event that lets so many heartbeats pass at once."""

    left: int
    waited: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return len(self.waited) > self.left


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path}/state.db", create=True)


def failing(patch: pytest.MonkeyPatch, error: Exception) -> None:
    def heartbeat(*_: Any) -> None:
        raise error

    patch.setattr(Ledger, "heartbeat", heartbeat)


def beat(keeper: Keeper, lease: Any, times: Times) -> list[Exception]:
    broken: list[Exception] = []
    over: Any = times
    keeping._beat(keeper, lease, over, broken)
    return broken


def test_a_state_that_does_not_answer_is_asked_again(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, times = Keeper(ledger), Times(3)
    lease = ledger.acquire("orders", "load", keeper.holder, 120, NOW)
    failing(monkeypatch, LedgerError("locked"))
    assert beat(keeper, lease, times) == []
    assert times.waited == [40.0] * 4
    ledger.check_lease(lease)


def test_a_heartbeat_that_fails_a_lifetime_long_as_nobody_foresaw_gives_the_lease_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, times = Keeper(ledger), Times(3)
    lease = ledger.acquire("orders", "load", keeper.holder, 120, NOW)
    wrong = ZeroDivisionError("clock")
    failing(monkeypatch, wrong)
    assert beat(keeper, lease, Times(2)) == []  # it may pass
    ledger.check_lease(lease)
    assert beat(keeper, lease, times) == [wrong]
    assert len(times.waited) == 3
    with pytest.raises(FencedError):
        ledger.check_lease(lease)


def test_who_is_fenced_by_its_own_heartbeat_is_told_why(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    beaten = threading.Event()
    ours = keeping._beat

    def once(keeper: Any, lease: Any, _: Any, broken: list[Exception]) -> None:
        over: Any = Times(3)
        ours(keeper, lease, over, broken)
        beaten.set()

    monkeypatch.setattr(keeping, "_beat", once)
    failing(monkeypatch, ZeroDivisionError("clock"))

    def work() -> None:
        with keeping.holding(Keeper(ledger), "orders", "load") as lease:
            assert beaten.wait(30)
            ledger.check_lease(lease)

    with pytest.raises(FencedError) as told:
        work()
    assert "given back by its own holder" in told.value.what
    assert told.value.why == "Its heartbeat failed: ZeroDivisionError: clock"
