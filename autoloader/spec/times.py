"""Instants, days, time zones, periods and cron lines as a spec writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from autoloader.spec.model import refusal

_DAY: Final = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?"
_OFFSET: Final = r"(?:Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])"
INSTANT: Final = rf"{_DAY}[Tt ]{_CLOCK} ?{_OFFSET}"
TIME_OF_DAY: Final = r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]"
_PERIOD_UNITS: Final = r"days?|d|weeks?|w|months?|years?|y"
LONG_PERIOD: Final = rf"[1-9][0-9]{{0,3}} ?(?:{_PERIOD_UNITS}|hours?|h)|hourly|daily|weekly|monthly|yearly"
PERIOD: Final = rf"{LONG_PERIOD}|[1-9][0-9]{{0,3}} ?(?:minutes?|mins?)"

Unit = Literal["minute", "hour", "day", "week", "month", "year"]
_WORDS: Final[dict[str, Unit]] = {
    "hourly": "hour",
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "yearly": "year",
}
_NAMES: Final[dict[str, Unit]] = {
    "min": "minute",
    "minute": "minute",
    "h": "hour",
    "hour": "hour",
    "d": "day",
    "day": "day",
    "w": "week",
    "week": "week",
    "month": "month",
    "y": "year",
    "year": "year",
}


@dataclass(frozen=True, slots=True)
class Period:
    """A length on the calendar: `3 months` is not a number of seconds."""

    count: int
    unit: Unit

    def __str__(self) -> str:
        """`1 year`, `3 months`."""
        return f"{self.count} {self.unit}{'' if self.count == 1 else 's'}"


def parse_period(value: Any, *, minutes: bool = True) -> Period:
    """The period of `1 year`, `3 months`, `1 week`, `6h`, `daily`.

    Args:
        value: What the spec says.
        minutes: Whether minutes may be counted.
    """
    if isinstance(value, Period):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > 20 or re.fullmatch(PERIOD if minutes else LONG_PERIOD, text) is None:
        smallest = "15 minutes" if minutes else "1 hour"
        fix = f"Write a count and a unit: {smallest}, 1 day, 1 week, 3 months, 1 year."
        raise refusal("is not a period", fix=fix)
    if text in _WORDS:
        return Period(1, _WORDS[text])
    count, name = re.findall(r"[0-9]+|[a-z]+", text)
    return Period(int(count), _NAMES[name.removesuffix("s")])


def parse_timezone(value: Any) -> str:
    """The name of a zone of the IANA database, such as `UTC` or `America/New_York`."""
    fix = "Write an IANA name such as UTC, Europe/Berlin or America/New_York."
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_+/-]{1,64}", value):
        raise refusal("is not a time zone", fix=fix)
    try:
        ZoneInfo(value)
    except (LookupError, ValueError, OSError):
        raise refusal("is not a time zone that this machine knows", fix=fix) from None
    return value


def parse_instant(value: Any) -> datetime:
    """An instant with its offset, as aware UTC. One without is refused, never guessed."""
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise _naive(value.isoformat())
        return value.astimezone(UTC)
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(INSTANT, text):
        return _moment(text)
    if re.fullmatch(rf"{_DAY}(?:[Tt ]{_CLOCK})?", text) or isinstance(value, date):
        raise _naive(text or str(value))
    raise refusal("is not an instant", fix="Write it like 2024-01-01T00:00:00Z.")


def _naive(text: str) -> Exception:
    stamp = text.replace(" ", "T")
    stamp = stamp if "T" in stamp.upper() else f"{stamp}T00:00:00"
    fix = f"Write {stamp}Z for UTC, or an offset such as {stamp}-05:00."
    return refusal("has no time zone, so it names no instant", fix=fix)


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.replace(" ", "T", 1).replace(" ", "").upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise refusal("is not on the calendar", fix="Write it like 2024-01-01T00:00:00Z.") from None


def parse_bound(value: Any) -> date | datetime:
    """A bound of a window: a day (in the window's zone) or an instant with its offset."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(_DAY, text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise refusal("is not on the calendar", fix="Write a day like 2024-12-31.") from None
    if isinstance(value, datetime) or re.fullmatch(rf"{_DAY}[Tt ]{_CLOCK}.*", text):
        return parse_instant(value)
    raise refusal("is not a day", fix="Write a day like 2024-12-31, or an instant like 2024-12-31T06:00:00Z.")


def parse_start(value: Any) -> Literal["all", "now"] | datetime:
    """Which existing files count: `all`, `now`, or those modified at or after an instant."""
    if value == "all" or value == "now":
        return "all" if value == "all" else "now"
    if isinstance(value, datetime | date) or (isinstance(value, str) and re.match(r"[0-9]", value.strip())):
        return parse_instant(value)
    raise refusal("is none of all, now or an instant", fix="Write all, now, or 2024-01-01T00:00:00Z.")


def parse_time_of_day(value: Any) -> str:
    """`02:00`: hours and minutes of a 24-hour clock."""
    if not isinstance(value, str) or re.fullmatch(TIME_OF_DAY, value.strip()) is None:
        raise refusal("is not a time of day", fix='Write hours and minutes in quotes, like "02:00".')
    return value.strip().rjust(5, "0")


def _cron_field(number: str, names: str = "") -> str:
    item = rf"(?:{number}{'|' + names if names else ''})"
    part = rf"(?:\*|{item}(?:-{item})?)(?:/[1-9][0-9]?)?"
    return rf"{part}(?:,{part})*"


_MONTHS: Final = "[Jj][Aa][Nn]|[Ff][Ee][Bb]|[Mm][Aa][Rr]|[Aa][Pp][Rr]|[Mm][Aa][Yy]|[Jj][Uu][Nn]" + (
    "|[Jj][Uu][Ll]|[Aa][Uu][Gg]|[Ss][Ee][Pp]|[Oo][Cc][Tt]|[Nn][Oo][Vv]|[Dd][Ee][Cc]"
)
_WEEKDAYS: Final = "[Ss][Uu][Nn]|[Mm][Oo][Nn]|[Tt][Uu][Ee]|[Ww][Ee][Dd]|[Tt][Hh][Uu]|[Ff][Rr][Ii]|[Ss][Aa][Tt]"
CRON: Final = " +".join(
    (
        _cron_field("[0-5]?[0-9]"),
        _cron_field("1[0-9]|2[0-3]|0?[0-9]"),
        _cron_field("[12][0-9]|3[01]|0?[1-9]|L"),
        _cron_field("1[0-2]|0?[1-9]", _MONTHS),
        _cron_field("0?[0-7](?:#[1-5])?", _WEEKDAYS),
    )
)
CRON_WORD: Final = "@(?:hourly|daily|midnight|weekly|monthly|yearly|annually)"


def parse_cron(value: Any) -> str:
    """A cron line of five fields, or a word like `@daily`, that comes due at least once."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    fix = 'Write five fields: minute hour day month weekday, like "0 2 * * *".'
    if len(text) > 200 or re.fullmatch(f"{CRON}|{CRON_WORD}", text) is None:
        raise refusal("is not a cron line", fix=fix)
    from croniter import croniter

    try:
        croniter(text, datetime(2024, 1, 1, tzinfo=UTC)).get_next(datetime)
    except (ValueError, KeyError, TypeError):
        raise refusal("is a cron line that never comes due", fix=fix) from None
    return text


def _utc_text(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


# No "type": an editor sees a string, while a YAML 1.1 loader may hand a date to the JSON Schema.
_NOT_ELSE: Final = {"type": ["number", "boolean", "array", "object", "null"]}
_PERIOD_SCHEMA: Final = {"type": "string", "pattern": f"^(?:{PERIOD})$"}
_LONG_PERIOD_SCHEMA: Final = {"type": "string", "pattern": f"^(?:{LONG_PERIOD})$"}

Bound = Annotated[
    date | datetime,
    PlainValidator(parse_bound),
    PlainSerializer(_utc_text, when_used="json"),
    WithJsonSchema({"pattern": f"^(?:{_DAY}|{INSTANT})$", "not": _NOT_ELSE}),
]
Start = Annotated[
    Literal["all", "now"] | datetime,
    PlainValidator(parse_start),
    PlainSerializer(_utc_text, when_used="json"),
    WithJsonSchema({"pattern": f"^(?:all|now|{INSTANT})$", "not": _NOT_ELSE}),
]
Zone = Annotated[str, BeforeValidator(parse_timezone), WithJsonSchema({"$ref": "#/$defs/TimeZone"})]
Every = Annotated[str, BeforeValidator(lambda v: str(parse_period(v))), WithJsonSchema(_PERIOD_SCHEMA)]
Step = Annotated[
    str,
    BeforeValidator(lambda v: str(parse_period(v, minutes=False))),
    WithJsonSchema(_LONG_PERIOD_SCHEMA),
]
TimeOfDay = Annotated[
    str,
    BeforeValidator(parse_time_of_day),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{TIME_OF_DAY})$"}),
]
Cron = Annotated[
    str,
    BeforeValidator(parse_cron),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{CRON}|{CRON_WORD})$"}),
]
