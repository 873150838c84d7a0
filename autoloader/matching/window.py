"""Windows and slices: half-open spans of time in aware UTC, cut on the calendar of a time zone."""

from __future__ import annotations

import itertools
import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from autoloader.errors import SettingsError
from autoloader.spec import Backfill

MAX_SLICES: Final = 100_000

_STEP: Final = re.compile(r"\s*(\d+)\s*(hour|day|week|month|year)s?\s*")


@dataclass(frozen=True, slots=True)
class Window:
    """From `from_at` (inclusive) to `until_at` (exclusive), aware UTC; None is open."""

    from_at: datetime | None = None
    until_at: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Whether the instant lies in the window."""
        return (self.from_at is None or self.from_at <= at) and (self.until_at is None or at < self.until_at)


@dataclass(frozen=True, slots=True)
class Slice:
    """One piece of a window, half-open; `label` reads `2015-01-01/2016-01-01` and is unique in it."""

    label: str
    from_at: datetime | None
    until_at: datetime | None


def build_window(backfill: Backfill) -> Window:
    """The window that a backfill declares.

    A date is the first instant of that day in the backfill's zone. `through` is inclusive: of a date the
    whole day, of a time its whole last second (or microsecond, where it has a fraction).

    Raises:
        SettingsError: A time has no zone, both ends are given twice, or the window is empty.
    """
    zone = _zone(backfill.timezone)
    if backfill.until is not None and backfill.through is not None:
        raise SettingsError(
            "The backfill has both until and through.", fix="Keep until (exclusive) or through (inclusive)."
        )
    from_at = None if backfill.from_ is None else _instant("from", backfill.from_, zone)
    until_at = None if backfill.until is None else _instant("until", backfill.until, zone)
    if backfill.through is not None:
        until_at = _after("through", backfill.through, zone)
    if from_at is not None and until_at is not None and from_at >= until_at:
        raise SettingsError(
            "The backfill's window is empty.",
            why=f"It runs from {from_at.isoformat()} until {until_at.isoformat()}.",
            fix="Give an end that is later than the start.",
        )
    return Window(from_at, until_at)


def local_bounds(window: Window, timezone: str) -> tuple[datetime | None, datetime | None]:
    """The window's ends as naive wall-clock times of the zone, to compare with dates in paths."""
    zone = _zone(timezone)
    ends = (window.from_at, window.until_at)
    first, last = (None if at is None else at.astimezone(zone).replace(tzinfo=None) for at in ends)
    return first, last


def slices(window: Window, step: str | None, order: Literal["oldest", "newest"], timezone: str) -> tuple[Slice, ...]:
    """The window cut into consecutive slices, every instant of it in exactly one.

    Cuts fall on the zone's calendar, counted from the window's start: a day is a day also when the clocks
    change, and months are counted from the start's day of month.

    Args:
        window: What to cut; a window that is open at an end, or no step, gives one slice.
        step: `1 year`, `3 months`, `2 weeks`, `1 day`, `6 hours`.
        order: `newest` puts the last slice first.
        timezone: An IANA name.

    Raises:
        SettingsError: The step cannot be read or makes too many slices.
    """
    zone = _zone(timezone)
    if step is None or window.from_at is None or window.until_at is None:
        cuts: list[datetime | None] = [window.from_at, window.until_at]
    else:
        cuts = [*_cuts(window.from_at, window.until_at, step, zone), window.until_at]
    made = [Slice(_label(a, b, zone), a, b) for a, b in itertools.pairwise(cuts)]
    return tuple(made if order == "oldest" else reversed(made))


def next_local(at: datetime, unit: str) -> datetime | None:
    """The naive time one calendar `year`, `month`, `day` or `hour` later; None beyond the calendar's end."""
    try:
        match unit:
            case "hour":
                return at + timedelta(hours=1)
            case "day":
                return at + timedelta(days=1)
            case _:
                return _add_months(at, 12 if unit == "year" else 1)
    except (OverflowError, ValueError):
        return None


def _cuts(from_at: datetime, until_at: datetime, step: str, zone: ZoneInfo) -> list[datetime]:
    match = _STEP.fullmatch(step)
    if match is None or int(match[1]) == 0:
        raise SettingsError(
            f"The step {step!r} cannot be read.", fix='Write "1 year", "3 months", "1 week" or "1 day".'
        )
    count, unit = int(match[1]), match[2]
    cuts = [from_at]
    while True:
        if len(cuts) > MAX_SLICES:
            raise SettingsError(f"The step {step!r} makes more than {MAX_SLICES:,} slices.", fix="Take a longer step.")
        at = _advance(from_at, len(cuts) * count, unit, zone)
        if at is None or at >= until_at:
            return cuts
        cuts.append(at)


def _advance(from_at: datetime, count: int, unit: str, zone: ZoneInfo) -> datetime | None:
    """`count` units after the start; None beyond the calendar's end."""
    local = from_at.astimezone(zone)
    try:
        match unit:
            case "hour":
                return from_at + timedelta(hours=count)
            case "day" | "week":
                moved = local.replace(tzinfo=None) + timedelta(days=count * (7 if unit == "week" else 1))
            case _:
                moved = _add_months(local.replace(tzinfo=None), count * (12 if unit == "year" else 1))
        return moved.replace(tzinfo=zone).astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def _add_months(at: datetime, months: int) -> datetime:
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    return at.replace(year=year, month=month + 1, day=min(at.day, monthrange(year, month + 1)[1]))


def _label(from_at: datetime | None, until_at: datetime | None, zone: ZoneInfo) -> str:
    def end(at: datetime | None) -> str:
        if at is None:
            return ".."
        local = at.astimezone(zone)
        return local.date().isoformat() if local.time() == time.min else local.isoformat()

    return f"{end(from_at)}/{end(until_at)}"


def _instant(key: str, value: date | datetime, zone: ZoneInfo) -> datetime:
    if not isinstance(value, datetime):
        return datetime.combine(value, time.min, tzinfo=zone).astimezone(UTC)
    if value.tzinfo is None:
        raise SettingsError(
            f"The backfill's {key} {value.isoformat()} has no time zone.",
            why="The same wall-clock time is another instant in another zone.",
            fix=f"Write {value.isoformat()}Z, or with an offset; or a date, which backfill.timezone places.",
        )
    return value.astimezone(UTC)


def _after(key: str, value: date | datetime, zone: ZoneInfo) -> datetime:
    if not isinstance(value, datetime):
        return _instant(key, value + timedelta(days=1), zone)
    last = timedelta(microseconds=1) if value.microsecond else timedelta(seconds=1)
    return _instant(key, value, zone) + last


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            f"There is no time zone {name!r}.", fix="Use an IANA name such as America/New_York or UTC."
        ) from error
