"""Path dates, windows and slices, by example."""
# ruff: noqa: DTZ001 - wall-clock times without a zone are what some of these rules are about

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import duckdb
import pytest

from autoloader.errors import SettingsError
from autoloader.matching import (
    Slice,
    Verdict,
    Window,
    build_window,
    compile_path_date,
    folder_filter,
    local_bounds,
    slices,
)
from autoloader.spec import Backfill


@pytest.mark.parametrize(
    ("template", "key", "found"),
    [
        ("year={Y}/month={m}/day={d}", "billing/year=2024/month=01/day=05/x.csv", date(2024, 1, 5)),
        ("year={Y}/month={m}", "year=2024/month=1/x.csv", date(2024, 1, 1)),
        ("{Y}-{m}-{d}", "sales/sales-2024-01-05.csv", date(2024, 1, 5)),
        ("{Y}{m}{d}", "log20240229.gz", date(2024, 2, 29)),
        ("{Y}/{Y}-{m}", "2024/2024-03.csv", date(2024, 3, 1)),
        ("{Y}/{Y}-{m}", "2023/2024-03.csv", None),
        ("{Y}", "a/2024/x", date(2024, 1, 1)),
        ("{Y}", "a/120245/x", None),
        ("year={Y}", "fiscal_year=2024/x", None),
        ("year={Y}/month={m}", "year=2024/month=13/x", None),
        ("{Y}-{m}-{d}", "2023-02-29.csv", None),
        ("year={Y}", "year=__HIVE_DEFAULT_PARTITION__/x", None),
    ],
)
def test_a_template_finds_the_date_of_a_key(template: str, key: str, found: date | None) -> None:
    path_date = compile_path_date(template)
    assert path_date.date_of(key) == found
    assert duckdb.execute(f"SELECT {path_date.sql('$1')}", [key]).fetchall() == [(found,)]


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("year=2024/month=13/x", True),
        ("year=2024/month=__HIVE_DEFAULT_PARTITION__/x", True),
        ("year=/month=1/x", True),
        ("year=2024/x", False),
        ("other/x", False),
    ],
)
def test_a_malformed_date_is_told_from_none_at_all(key: str, found: bool) -> None:
    path_date = compile_path_date("year={Y}/month={m}")
    assert duckdb.execute(f"SELECT {path_date.found_sql('?')}", [key]).fetchall() == [(found,)]
    assert path_date.date_of(key) is None


@pytest.mark.parametrize("template", ["{y}", "year=", "{m}/{d}", "{Y}/{d}", "{Y}/*", "{Y", "{Y}-{H}"])
def test_a_malformed_template_is_refused_with_the_fix(template: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compile_path_date(template)
    assert caught.value.fix


def test_granularity_is_the_finest_placeholder() -> None:
    assert [compile_path_date(t).granularity for t in ("{Y}", "{Y}/{m}", "{Y}{m}{d}", "{Y}/{m}/{d}/{H}")] == [
        "year",
        "month",
        "day",
        "hour",
    ]


def test_folders_outside_the_window_are_skipped_whatever_their_padding_and_oddities_are_kept() -> None:
    judge = folder_filter(
        compile_path_date("year={Y}/month={m}/day={d}"),
        Window(datetime(2015, 3, 1, tzinfo=UTC), datetime(2016, 1, 1, tzinfo=UTC)),
        "UTC",
    )
    assert judge is not None
    verdicts = {
        "": Verdict.LOOK,
        "eu/": Verdict.LOOK,
        "year=2014/": Verdict.SKIP,
        "year=2015/": Verdict.LOOK,
        "year=2016/": Verdict.SKIP,
        "year=2015/month=2/": Verdict.SKIP,
        "year=2015/month=02/": Verdict.SKIP,
        "year=2015/month=3/": Verdict.TAKE,
        "year=2015/month=13/": Verdict.LOOK,
        "year=__HIVE_DEFAULT_PARTITION__/": Verdict.LOOK,
        "eu/year=2014/month=05/": Verdict.SKIP,
    }
    assert {folder: judge(folder) for folder in verdicts} == verdicts
    assert folder_filter(compile_path_date("{Y}"), Window(), "UTC") is None


def window(**keys: object) -> Window:
    return build_window(Backfill.model_validate(keys))


def test_a_window_is_half_open_and_through_is_inclusive() -> None:
    year = window(**{"from": date(2015, 1, 1)}, until=date(2016, 1, 1))
    assert year == Window(datetime(2015, 1, 1, tzinfo=UTC), datetime(2016, 1, 1, tzinfo=UTC))
    assert window(**{"from": date(2015, 1, 1)}, through=date(2015, 12, 31)) == year
    last = window(through=datetime(2015, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert last.holds(datetime(2015, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC))
    assert last.until_at == datetime(2016, 1, 1, tzinfo=UTC)
    offset = timezone(timedelta(hours=2))
    assert window(until=datetime(2015, 1, 1, tzinfo=offset)).until_at == datetime(2014, 12, 31, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    "keys",
    [
        {"from_": datetime(2015, 1, 1)},
        {"until": datetime(2015, 1, 1)},
        {"through": datetime(2015, 1, 1)},
        {"until": date(2015, 1, 1), "through": date(2015, 1, 1)},
        {"from_": date(2015, 1, 1), "until": date(2015, 1, 1)},
        {"from_": date(2015, 1, 1), "timezone": "Mars/Phobos"},
    ],
)
def test_naive_times_double_ends_empty_windows_and_unknown_zones_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(SettingsError) as caught:
        build_window(Backfill.model_construct(**keys))
    assert caught.value.fix


def test_days_keep_to_the_calendar_over_both_clock_changes() -> None:
    zone = "America/New_York"
    spring = window(**{"from": date(2024, 3, 9)}, until=date(2024, 3, 12), timezone=zone)
    assert [
        (s.label, s.until_at - s.from_at) for s in slices(spring, "1 day", "oldest", zone) if s.from_at and s.until_at
    ] == [
        ("2024-03-09/2024-03-10", timedelta(hours=24)),
        ("2024-03-10/2024-03-11", timedelta(hours=23)),
        ("2024-03-11/2024-03-12", timedelta(hours=24)),
    ]
    autumn = window(**{"from": date(2024, 11, 3)}, until=date(2024, 11, 4), timezone=zone)
    hours = slices(autumn, "1 hour", "newest", zone)
    assert len(hours) == 25
    assert len({s.label for s in hours}) == 25
    assert hours[0].until_at == datetime(2024, 11, 4, 5, tzinfo=UTC)
    assert local_bounds(autumn, zone) == (datetime(2024, 11, 3), datetime(2024, 11, 4))


def test_years_from_a_leap_day_and_months_from_the_thirty_first_do_not_drift() -> None:
    leap = window(**{"from": date(2020, 2, 29)}, until=date(2025, 1, 1))
    assert [s.label for s in slices(leap, "1 year", "oldest", "UTC")] == [
        "2020-02-29/2021-02-28",
        "2021-02-28/2022-02-28",
        "2022-02-28/2023-02-28",
        "2023-02-28/2024-02-29",
        "2024-02-29/2025-01-01",
    ]
    ends = window(**{"from": date(2023, 1, 31)}, until=date(2023, 5, 1))
    assert [s.label for s in slices(ends, "1 month", "newest", "UTC")] == [
        "2023-04-30/2023-05-01",
        "2023-03-31/2023-04-30",
        "2023-02-28/2023-03-31",
        "2023-01-31/2023-02-28",
    ]


def test_a_window_without_an_end_or_a_step_is_one_slice() -> None:
    open_ended = Window(datetime(2015, 1, 1, tzinfo=UTC), None)
    assert slices(open_ended, "1 year", "oldest", "UTC") == (Slice("2015-01-01/..", open_ended.from_at, None),)
    whole = window(**{"from": date(2015, 1, 1)}, until=date(2017, 1, 1))
    assert [s.label for s in slices(whole, None, "oldest", "UTC")] == ["2015-01-01/2017-01-01"]


@pytest.mark.parametrize("step", ["1 fortnight", "0 days", "year", "-1 day", "1 hour"])
def test_a_step_that_cannot_be_read_or_makes_too_many_slices_is_refused(step: str) -> None:
    century = window(**{"from": date(1900, 1, 1)}, until=date(2000, 1, 1))
    with pytest.raises(SettingsError) as caught:
        slices(century, step, "oldest", "UTC")
    assert caught.value.fix
