"""Where an apply has to stop: bounds of one run, and of the whole apply."""

from __future__ import annotations

from decimal import Decimal

from autoloader.apply import Budget, Counts


def spent_after(loaded_bytes: int, **bounds: Decimal) -> str | None:
    return Budget(usd_per_byte=Decimal(1), **bounds).exceeded(Counts(bytes=loaded_bytes), 1.0)


def test_a_run_stops_at_its_own_dollars_and_at_those_that_the_whole_apply_has_left() -> None:
    assert spent_after(4, max_usd=Decimal(5)) is None
    assert spent_after(5, max_usd=Decimal(5)) == "max_usd is reached: $5.00 of $5"
    assert spent_after(5, max_usd=Decimal(9), all_usd=Decimal(8)) is None
    assert spent_after(5, all_usd=Decimal(8), before_usd=Decimal(3)) == "max_usd is reached: $8.00 of $8"


def test_a_lane_does_not_begin_when_the_lanes_before_it_have_spent_everything() -> None:
    assert Budget(all_usd=Decimal(8), before_usd=Decimal(7)).used_up() is None
    assert Budget(all_usd=Decimal(8), before_usd=Decimal(8)).used_up() is not None
    assert Budget(max_usd=Decimal(8), before_usd=Decimal(9)).used_up() is None, "a run's own bound starts at nothing"


def test_what_costs_nothing_may_be_done_for_nothing() -> None:
    assert Budget(all_usd=Decimal(0), usd_per_byte=Decimal(0)).exceeded(Counts(bytes=7), 1.0) is None
