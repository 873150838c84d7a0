"""When an ingestion is due, on ordinary days and on the days when clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloader.schedule import is_due, next_due
from autoloader.spec import Schedule

NEW_YORK = "America/New_York"
SCHEDULES = [
    Schedule(cron="30 2 * * *", timezone=NEW_YORK),
    Schedule(cron="*/20 * * * *", timezone=NEW_YORK),
    Schedule(cron="0 1 * * sun", timezone="Australia/Lord_Howe"),
    Schedule(every="1 day", at="02:30", timezone=NEW_YORK),
    Schedule(every="6 hours", timezone=NEW_YORK),
    Schedule(every="90 minutes", timezone="Asia/Kathmandu"),
    Schedule(every="3 months", timezone="Europe/Berlin"),
]


def following(schedule: Schedule, last: str, count: int) -> list[str]:
    """The next instants, as a clock in the schedule's zone shows them."""
    found, at = [], datetime.fromisoformat(last)
    for _ in range(count):
        due = next_due(schedule, at, at)
        assert due is not None
        at = due
        found.append(at.astimezone(ZoneInfo(schedule.timezone)).strftime("%m-%d %H:%M %z"))
    return found


@pytest.mark.parametrize(
    ("schedule", "last", "expected"),
    [
        (SCHEDULES[0], "2024-03-09T12:00-05:00", ["03-10 03:00 -0400", "03-11 02:30 -0400"]),
        (SCHEDULES[0], "2024-11-02T12:00-04:00", ["11-03 02:30 -0500", "11-04 02:30 -0500"]),
        (
            Schedule(cron="30 1 * * *", timezone=NEW_YORK),
            "2024-11-03T00:10-04:00",
            ["11-03 01:30 -0400", "11-04 01:30 -0500"],
        ),
        (
            Schedule(cron="0 * * * *", timezone=NEW_YORK),
            "2024-11-03T00:10-04:00",
            ["11-03 01:00 -0400", "11-03 01:00 -0500", "11-03 02:00 -0500"],
        ),
        (
            Schedule(cron="0 * * * *", timezone=NEW_YORK),
            "2024-03-10T00:10-05:00",
            ["03-10 01:00 -0500", "03-10 03:00 -0400", "03-10 04:00 -0400"],
        ),
        (Schedule(cron="0 0 29 2 *"), "2024-03-01T00:00+00:00", ["02-29 00:00 +0000"]),
        (SCHEDULES[3], "2024-03-09T12:00-05:00", ["03-10 03:00 -0400", "03-11 02:30 -0400"]),
        (SCHEDULES[4], "2024-03-10T00:30-05:00", ["03-10 06:00 -0400", "03-10 12:00 -0400"]),
        (SCHEDULES[4], "2024-11-03T00:30-04:00", ["11-03 06:00 -0500", "11-03 12:00 -0500"]),
        (Schedule(every="hourly"), "2024-01-01T00:59+00:00", ["01-01 01:00 +0000", "01-01 02:00 +0000"]),
        (Schedule(every="daily"), "2024-01-01T15:00+00:00", ["01-02 00:00 +0000", "01-03 00:00 +0000"]),
        (Schedule(every="weekly"), "2024-01-03T00:00+00:00", ["01-08 00:00 +0000", "01-15 00:00 +0000"]),
        (Schedule(every="1 year", at="04:00"), "2024-06-01T00:00+00:00", ["01-01 04:00 +0000"]),
    ],
)
def test_the_next_slot_follows_the_clock_on_the_wall(schedule: Schedule, last: str, expected: list[str]) -> None:
    assert following(schedule, last, len(expected)) == expected


def test_without_a_schedule_it_is_always_due() -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    assert is_due(None, now, now)


def test_what_never_ran_is_due_now() -> None:
    now = datetime(2024, 1, 1, 12, 34, tzinfo=UTC)
    assert next_due(Schedule(cron="0 2 * * *"), None, now) == now


def test_it_is_due_from_the_slot_on_and_not_before() -> None:
    schedule, last = Schedule(cron="0 2 * * *"), datetime(2024, 1, 1, 2, 5, tzinfo=UTC)
    slot = datetime(2024, 1, 2, 2, 0, tzinfo=UTC)
    assert not is_due(schedule, last, slot - timedelta(seconds=1))
    assert is_due(schedule, last, slot)


def test_missed_slots_are_made_up_once() -> None:
    schedule, now = Schedule(cron="0 2 * * *"), datetime(2024, 2, 1, tzinfo=UTC)
    assert is_due(schedule, datetime(2024, 1, 1, tzinfo=UTC), now)
    assert not is_due(schedule, now, now + timedelta(hours=1))


def test_a_runner_that_is_late_does_not_drift() -> None:
    schedule = Schedule(every="1 hour")
    assert following(schedule, "2024-01-01T00:07:30+00:00", 1) == ["01-01 01:00 +0000"]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SCHEDULES),
    st.datetimes(datetime(2023, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants them naive
)
def test_the_next_slot_is_later_and_no_slot_lies_between(schedule: Schedule, last: datetime) -> None:
    due = next_due(schedule, last, last)
    assert due is not None
    assert due > last
    middle = last + (due - last) / 2
    if middle < due:
        assert next_due(schedule, middle, middle) == due
