"""When an ingestion is due. Pure: the clock is an argument.

Rules (the wall clock is that of the schedule's zone):

- No schedule: due whenever it is asked. Never started: due now. Runs that were missed are made up once.
- Cron: due at the first match after the last start. A time that a clock change skips comes at the first
  instant after the gap; a time that comes twice counts once. Where the hour field is `*` or `*/n`, the
  line means "so often", and both passes of a repeated hour count.
- Every n days or more: due at `at` (00:00 where left out) on days counted from Monday 1970-01-05, on the
  first day of months counted from January 1970. Minutes and hours count from midnight, as real time.
  Fixed slots, not "n after the last start": a runner that is late once does not drift for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from autoloader.spec import Period, Schedule, parse_period

_MONDAY: Final = date(1970, 1, 5)
_NEAR: Final = timedelta(hours=3)  # no zone has moved its clock by more in living memory but across a day
_SECONDS: Final = {"minute": 60, "hour": 3600}


def next_due(schedule: Schedule | None, last_started_at: datetime | None, now: datetime) -> datetime | None:
    """The instant at which the ingestion is, or was, due next.

    Args:
        schedule: Its schedule; None = always due.
        last_started_at: Start of its last run, aware; None = never run.
        now: The present, aware.

    Returns:
        An aware UTC instant; one that is not after `now` means due. None: never again.
    """
    if schedule is None or last_started_at is None:
        return now.astimezone(UTC)
    zone, last = ZoneInfo(schedule.timezone), last_started_at.astimezone(UTC)
    if schedule.cron is not None:
        return _next_cron(schedule.cron, zone, last)
    if schedule.every is None:
        return now.astimezone(UTC)
    period = parse_period(schedule.every)
    if period.unit in _SECONDS:
        return _next_interval(period.count * _SECONDS[period.unit], zone, last)
    return _next_day(period, time.fromisoformat(schedule.at or "00:00"), zone, last)


def is_due(schedule: Schedule | None, last_started_at: datetime | None, now: datetime) -> bool:
    """Whether the ingestion is to run now."""
    due_at = next_due(schedule, last_started_at, now)
    return due_at is not None and due_at <= now


def _next_cron(line: str, zone: ZoneInfo, last: datetime) -> datetime | None:
    hours = "*" if line in ("@hourly",) else (line.split()[1] if not line.startswith("@") else "0")
    repeats = hours.startswith("*")
    found: datetime | None = None
    limit: datetime | None = None
    for wall in _matches(line, _wall(last, zone) - _NEAR):
        if limit is not None and wall > limit:
            break
        for instant in _instants(wall, zone, repeats=repeats):
            if instant > last and (found is None or instant < found):
                found = instant
                limit = wall + _NEAR if _moves(wall, zone) else wall
    return found


def _matches(line: str, after: datetime) -> Iterator[datetime]:
    """Wall-clock times that a cron line names, rising, from `after` on, until there are no more."""
    from croniter import CroniterBadDateError, croniter

    lines = croniter(line, after)
    while True:
        try:
            yield lines.get_next(datetime)
        except CroniterBadDateError:
            return


def _next_interval(seconds: int, zone: ZoneInfo, last: datetime) -> datetime:
    step = timedelta(seconds=seconds)
    wall = _wall(last, zone)
    origin = datetime.combine(wall.date() if timedelta(days=1) % step == timedelta(0) else _MONDAY, time())
    following = origin + ((wall - origin) // step + 1) * step
    offset = wall - last.replace(tzinfo=None)
    straight = (following - offset).replace(tzinfo=UTC)
    moved = (following - (_wall(straight, zone) - straight.replace(tzinfo=None))).replace(tzinfo=UTC)
    later = [instant for instant in (straight, moved) if instant > last]
    on_slot = [instant for instant in later if (_wall(instant, zone) - origin) % step == timedelta(0)]
    return min(on_slot or later)


def _next_day(period: Period, at: time, zone: ZoneInfo, last: datetime) -> datetime:
    slot = _slot_before(period, _wall(last, zone).date())
    while True:
        instant = _instants(datetime.combine(slot, at), zone, repeats=False)[0]
        if instant > last:
            return instant
        slot = _slot_after(period, slot)


def _slot_before(period: Period, day: date) -> date:
    """The last day at or before `day` on which a period begins."""
    if period.unit in ("day", "week"):
        length = period.count * (7 if period.unit == "week" else 1)
        return day - timedelta(days=(day - _MONDAY).days % length)
    months = (day.year - 1970) * 12 + day.month - 1
    return _month(months - months % _months(period))


def _slot_after(period: Period, slot: date) -> date:
    if period.unit in ("day", "week"):
        return slot + timedelta(days=period.count * (7 if period.unit == "week" else 1))
    return _month((slot.year - 1970) * 12 + slot.month - 1 + _months(period))


def _months(period: Period) -> int:
    return period.count * (12 if period.unit == "year" else 1)


def _month(count: int) -> date:
    return date(1970 + count // 12, count % 12 + 1, 1)


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def _moves(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether the zone's clock is changed near a wall-clock time."""
    before, after = ((wall + by).replace(tzinfo=zone).utcoffset() for by in (-_NEAR, _NEAR))
    return before != after


def _instants(wall: datetime, zone: ZoneInfo, *, repeats: bool) -> tuple[datetime, ...]:
    """The instants, rising, at which a clock on the wall shows a time; after a gap, the gap's end."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return (first,)
    if first < second:
        return (first, second) if repeats else (first,)
    # In a gap fold=0 reads with the offset before it and lands behind the gap, fold=1 lands before it.
    low, high = second, first
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset():
            low = middle
        else:
            high = middle
    return (high.replace(microsecond=0),)
