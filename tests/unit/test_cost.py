from __future__ import annotations

from decimal import Decimal

import pytest

from autoloader.cost import GB, History, Work, batches, duration, estimate, money, rates
from autoloader.spec import ComputeProfile, Prices


def test_before_any_run_the_price_is_per_gigabyte_and_says_that_it_is_uncalibrated() -> None:
    found = estimate(Work(10, 40 * GB, "csv"), Prices())
    assert found.cost_usd is not None
    assert found.cost_usd.expected == Decimal(10)
    assert found.cost_usd.low < found.cost_usd.expected < found.cost_usd.high
    assert found.basis.startswith("uncalibrated: ")


def test_without_any_price_the_cost_is_unknown_and_the_time_is_not() -> None:
    found = estimate(Work(10, GB), Prices(usd_per_gb=None))
    assert found.cost_usd is None
    assert found.duration_minutes.expected > 0


def test_an_hourly_price_takes_the_place_of_the_default_but_not_of_a_declared_price_per_gigabyte() -> None:
    profile = ComputeProfile(usd_per_hour=Decimal(36), cores=2)
    work = Work(1, 60 * GB, "csv")  # 1,000 s at 60 MB/s, and the start
    alone = estimate(work, Prices(), profile).cost_usd
    both = estimate(work, Prices(usd_per_gb=Decimal("0.25")), profile).cost_usd
    assert alone is not None
    assert both is not None
    assert Decimal(10) < alone.expected < Decimal("10.3")
    assert both.expected - alone.expected == pytest.approx(Decimal(15), rel=Decimal("0.001"))


def test_requests_are_priced_where_they_have_a_price() -> None:
    prices = Prices(usd_per_gb=Decimal(0), usd_per_1000_get=Decimal("0.4"), usd_per_1000_list=Decimal(5))
    found = estimate(Work(2000, GB, "csv", listed=3500), prices)
    assert found.cost_usd is not None
    assert found.cost_usd.expected == Decimal("0.82")
    assert "GET" in found.basis
    assert "LIST" in found.basis


def test_data_files_that_are_written_anew_cost_as_bytes_do_and_take_time() -> None:
    alone, found = (estimate(Work(1, GB, "csv", rewritten_bytes=size), Prices()) for size in (0, 40 * GB))
    assert alone.cost_usd is not None
    assert found.cost_usd is not None
    assert found.cost_usd.expected - alone.cost_usd.expected == Decimal(10)
    assert found.duration_minutes.expected > alone.duration_minutes.expected + 5  # 40 GB at 120 MB/s
    assert "written anew" in found.basis
    only = estimate(Work(0, 0, rewritten_bytes=4 * GB), Prices())
    assert only.cost_usd is not None
    assert only.cost_usd.expected == Decimal(1)
    assert only.batches == 0


def test_a_price_far_below_a_cent_is_not_nothing() -> None:
    found = estimate(Work(1, 100), Prices())
    assert found.cost_usd is not None
    assert found.cost_usd.low > 0


def test_past_runs_calibrate_the_time_and_say_how_well_they_agreed() -> None:
    slow = [History(10, 10 * GB, seconds, "csv") for seconds in (480.0, 500.0, 520.0)]
    plain, found = (
        estimate(Work(10, 10 * GB, "csv"), Prices()),
        estimate(Work(10, 10 * GB, "csv"), Prices(), None, slow),
    )
    assert found.duration_minutes.expected > plain.duration_minutes.expected * 2
    assert float(found.duration_minutes.expected) == pytest.approx(500 / 60, rel=0.01)
    assert found.duration_minutes.high / found.duration_minutes.low < 2
    assert found.basis.startswith("3 runs, median error 6 %")


def test_the_error_of_a_run_is_told_from_the_others_never_from_itself() -> None:
    work = Work(10, 10 * GB, "csv")
    modelled = float(estimate(work, Prices()).duration_minutes.expected) * 60
    one = estimate(work, Prices(), None, [History(10, 10 * GB, modelled * 2, "csv")])
    assert one.basis.startswith("1 run, median error 50 %")
    two = [History(10, 10 * GB, modelled * factor, "csv") for factor in (1, 4)]
    assert estimate(work, Prices(), None, two).basis.startswith("2 runs, median error 188 %")


def test_runs_of_another_format_calibrate_nothing() -> None:
    runs = [History(10, GB, 500.0, "json")]
    assert estimate(Work(10, GB, "csv"), Prices(), None, runs).basis.startswith("uncalibrated")


def test_one_run_leaves_a_wide_range() -> None:
    found = estimate(Work(10, 10 * GB, "csv"), Prices(), None, [History(10, 10 * GB, 170.0, "csv")])
    assert found.duration_minutes.high / found.duration_minutes.low > 2


@pytest.mark.parametrize(("files", "size", "number"), [(0, 0, 0), (1, 0, 1), (10_001, 1, 2), (1, 9 * GB, 3)])
def test_batches_are_bounded_by_files_and_bytes(files: int, size: int, number: int) -> None:
    assert batches(files, size) == number


def test_rates_are_the_slope_of_the_estimate() -> None:
    slope = rates("csv", Prices())
    assert slope.usd_per_byte == pytest.approx(0.25 / GB)
    assert slope.seconds_per_byte == pytest.approx(1 / 60e6)
    assert rates("csv", Prices(usd_per_gb=None)).usd_per_byte is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [(None, "unknown"), ("0", "$0"), ("0.001", "<$0.01"), ("0.42", "$0.42"), ("31.4", "$31"), ("12345", "$12,345")],
)
def test_money_has_no_cents_above_a_dollar_and_unknown_is_said(amount: str | None, text: str) -> None:
    assert money(None if amount is None else Decimal(amount)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "unknown"), (42, "42s"), (70, "1m10s"), (7500, "2h05m"), (273600, "3d04h")]
)
def test_durations_have_two_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
