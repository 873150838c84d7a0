"""Where an apply has to stop: bounds of one run, and of the whole apply."""

from __future__ import annotations

from decimal import Decimal

from autoloader.apply import Budget, Counts


def spent_after(loaded_bytes: int, **bounds: Decimal) -> tuple[str | None, str | None]:
    budget = Budget(usd_per_byte=Decimal(1), **bounds)
    return budget.limited(Counts(bytes=loaded_bytes), 1.0), budget.exceeded(Counts(bytes=loaded_bytes), 1.0)


def test_a_run_stops_at_its_own_dollars_and_at_those_that_the_whole_apply_has_left() -> None:
    assert spent_after(4, limit_usd=Decimal(5)) == (None, None)
    assert spent_after(5, limit_usd=Decimal(5)) == ("limits.max_usd is reached: $5.00 of $5", None)
    assert spent_after(5, limit_usd=Decimal(9), all_usd=Decimal(8)) == (None, None)
    assert spent_after(5, all_usd=Decimal(8), before_usd=Decimal(3)) == (None, "max_usd is reached: $8.00 of $8")


def test_a_lane_does_not_begin_when_the_lanes_before_it_have_spent_everything() -> None:
    assert Budget(all_usd=Decimal(8), before_usd=Decimal(7)).used_up() is None
    assert Budget(all_usd=Decimal(8), before_usd=Decimal(8)).used_up() is not None
    assert Budget(limit_usd=Decimal(8), before_usd=Decimal(9)).used_up() is None, "a run's own bound starts at nothing"


def test_what_costs_nothing_may_be_done_for_nothing() -> None:
    assert Budget(all_usd=Decimal(0), usd_per_byte=Decimal(0)).exceeded(Counts(bytes=7), 1.0) is None


def test_what_is_spent_is_the_sum_of_the_parts_that_a_plan_prices() -> None:
    counts = Counts(files=1000, bytes=2_000_000_000)
    per_gb = Decimal("0.5") / 1_000_000_000
    budget = Budget(usd_per_byte=per_gb, usd_per_second=Decimal("0.01"), usd_per_file=Decimal("0.0004"))
    assert budget.spent(counts, 60.0) == Decimal("2.0")  # 1.00 for bytes, 0.60 for compute, 0.40 for requests
    assert Budget(usd_per_file=Decimal("0.0004")).spent(counts, 60.0) is None, "requests alone are no price of a load"
