"""Sizes, durations, percentages, money and counts: what people write, and the value that it means.

The patterns are written so that Python and JSON Schema (ECMA) read them alike; `specfiles` puts them
into the JSON Schema. Every parser also takes a value that is already parsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from autoloader.spec.model import refusal

SIZE: Final = r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([KkMmGgTtPp][Ii]?[Bb]|[Bb])?"
_DURATION_PART: Final = (
    r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?"
    r"(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w)"
)
DURATION: Final = rf"0|(?:{_DURATION_PART})(?:,? ?{_DURATION_PART})*"
PERCENT: Final = r"(?:100(?:\.0{1,9})?|[0-9]{1,2}(?:\.[0-9]{1,9})?) ?%"
MONEY: Final = r"(?:\$ ?)?([0-9]{1,15}(?:\.[0-9]{1,12})?)(?: ?USD)?"
COUNT: Final = r"[0-9]{1,18}"
FRACTION: Final = r"0?\.[0-9]{1,18}|[01]\.0{1,18}|0|1"

_LONGEST: Final = 100  # characters; nothing that people write for a quantity is longer
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TRUE: Final = frozenset({"true", "yes", "on"})
_FALSE: Final = frozenset({"false", "no", "off"})


def written(value: Any) -> str | None:
    """A scalar as text without outer blanks; None for what cannot be a quantity (a bool, a list, …)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    if isinstance(value, float) and abs(value) < 1e18:
        value = Decimal(int(value)) if value == int(value) else Decimal(repr(value))  # never as 1e-06
    text = format(value, "f") if isinstance(value, Decimal) else str(value).strip()
    return text if len(text) <= _LONGEST else None


def parse_size(value: Any) -> int:
    """Bytes of `500GB` (decimal), `10 MiB` (binary), `1024` or 1024; rounded down."""
    match = re.fullmatch(SIZE, written(value) or "")
    if match is None:
        raise refusal("is not a size", fix="Write a number of bytes, or a size like 500GB or 10 MiB.")
    unit = (match[2] or "").lower().removesuffix("b")
    base = 1024 if unit.endswith("i") else 1000
    return int(Decimal(match[1]) * base ** _POWERS[unit.removesuffix("i")])


def parse_duration(value: Any) -> timedelta:
    """The time of `90s`, `2h`, `1 day` or `1h30m`. A bare number has no unit and is refused, but for 0."""
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise refusal("is negative", fix="Write a duration of 0s or more.")
        return value
    text = written(value) or ""
    if re.fullmatch(r"0\.0*", text):
        text = "0"
    if re.fullmatch(DURATION, text) is None:
        fix = "Write a number and a unit: 30s, 15m, 2h, 1 day, 1h30m."
        raise refusal("is not a duration", fix=fix)
    seconds = sum(
        (Decimal(number) * _UNIT_SECONDS[unit[0]] for number, unit in re.findall(_DURATION_PART, text)),
        Decimal(0),
    )
    if seconds > 86400 * 365_000:
        raise refusal("is longer than a thousand years", fix="Write a shorter duration.")
    return timedelta(microseconds=int(seconds * 1_000_000))


def format_duration(value: timedelta) -> str:
    """The shortest form that `parse_duration` takes back: `1d2h30m`, `0s`."""
    seconds, parts = value // timedelta(seconds=1), []
    for unit in ("d", "h", "m"):
        count, seconds = divmod(seconds, _UNIT_SECONDS[unit])
        parts += [f"{count}{unit}"] if count else []
    micro = value.microseconds
    if seconds or micro or not parts:
        parts.append(f"{seconds}.{micro:06d}s" if micro else f"{seconds}s")
    return "".join(parts)


def parse_fraction(value: Any) -> Decimal:
    """The fraction between 0 and 1 of `50%` or 0.5."""
    text = written(value) or ""
    if re.fullmatch(PERCENT, text):
        return Decimal(text.rstrip("% ")) / 100
    if re.fullmatch(FRACTION, text):
        return Decimal(text)
    raise refusal("is not a percentage", fix="Write a percentage like 50%, or a fraction between 0 and 1.")


def parse_share(value: Any) -> Decimal:
    """A fraction above 0."""
    share = parse_fraction(value)
    if share == 0:
        raise refusal("is zero, which would never let a backfill go on", fix="Write a share like 50%.")
    return share


def parse_percent(value: Any) -> Decimal:
    """A figure from 0 to 100, of `10%` or 10."""
    text = (written(value) or "").removesuffix("%").rstrip()
    if re.fullmatch(PERCENT, f"{text}%") is None:
        raise refusal("is not a percentage", fix="Write a percentage from 0 to 100, like 10%.")
    return Decimal(text)


def parse_money(value: Any) -> Decimal:
    """Dollars of `50`, 12.5, `$50` or `50 USD`; never negative."""
    match = re.fullmatch(MONEY, written(value) or "")
    if match is None:
        raise refusal("is not an amount of dollars", fix="Write a number like 50 or 12.50.")
    return Decimal(match[1])


def parse_count(value: Any) -> int:
    """A whole number, 0 or more."""
    text = written(value) or ""
    if re.fullmatch(COUNT, text) is None:
        raise refusal("is not a whole number", fix="Write a whole number like 1000, without a unit.")
    return int(text)


def parse_bool(value: Any) -> bool:
    """True or false, also as the words yes/no and on/off."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise refusal("is neither true nor false", fix="Write true or false.")


def parse_text(value: Any) -> str:
    """Text; a bare number or true/false counts as what stands there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise refusal("is not text", fix="Write text, in quotes where it holds special characters.")


def parse_label(value: Any) -> str:
    """Text that is not blank."""
    text = parse_text(value).strip()
    if not text:
        raise refusal("is empty", fix="Write some text, or leave the key out.")
    return text


def _above_zero(value: Any) -> Any:
    if value <= 0:
        raise refusal("is zero, which would load nothing", fix="Write more than zero, or leave it out.")
    return value


@dataclass(frozen=True, slots=True)
class BadRowLimit:
    """How many bad rows a file may hold: a fraction of its rows, or a count. Exactly one is set."""

    fraction: Decimal | None = None
    count: int | None = None

    def allows(self, bad_rows: int, total_rows: int) -> bool:
        """Whether a file with so many bad rows is still loaded. Exactly at the limit it is."""
        if self.count is not None:
            return bad_rows <= self.count
        return Decimal(bad_rows) <= (self.fraction or Decimal(0)) * total_rows

    def __str__(self) -> str:
        """`1%` or `100`, as a spec says it."""
        if self.count is not None:
            return str(self.count)
        return f"{format(((self.fraction or Decimal(0)) * 100).normalize(), 'f')}%"


def parse_bad_rows(value: Any) -> BadRowLimit:
    """`1%` and 0.01 are a fraction of a file's rows; a whole number is a count of rows."""
    if isinstance(value, BadRowLimit):
        return value
    text = written(value) or ""
    if re.fullmatch(COUNT, text) and not isinstance(value, float | Decimal):
        return BadRowLimit(count=int(text))
    try:
        return BadRowLimit(fraction=parse_fraction(value))
    except Exception:
        fix = "Write a percentage like 1%, or a whole number of rows."
        raise refusal("is neither a percentage nor a number of rows", fix=fix) from None


def _exactly(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _text_or_number(pattern: str, **number: Any) -> WithJsonSchema:
    text = {"type": "string", "pattern": _exactly(pattern)}
    return WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, **number}, text]})


def _positive(pattern: str, **number: Any) -> WithJsonSchema:
    text = {"type": "string", "pattern": _exactly(pattern), "not": {"pattern": "^[^1-9]*$"}}
    return WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0, **number}, text]})


def _of_text(pattern: str, **other: Any) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": _exactly(pattern)}, other]})


_DURATION_TEXT: Final = PlainSerializer(format_duration, when_used="json")

Size = Annotated[int, _positive(SIZE), BeforeValidator(lambda v: _above_zero(parse_size(v)))]
Duration = Annotated[timedelta, _of_text(DURATION, const=0), BeforeValidator(parse_duration), _DURATION_TEXT]
LongerDuration = Annotated[
    timedelta,
    WithJsonSchema({"type": "string", "pattern": _exactly(DURATION), "not": {"pattern": "^[^1-9]*$"}}),
    BeforeValidator(lambda v: _above_zero_time(parse_duration(v))),
    _DURATION_TEXT,
]
Money = Annotated[Decimal, _text_or_number(MONEY), BeforeValidator(parse_money)]
MoreMoney = Annotated[Decimal, _positive(MONEY), BeforeValidator(lambda v: _above_zero(parse_money(v)))]
Count = Annotated[int, _of_text(COUNT, type="integer", minimum=0), BeforeValidator(parse_count)]
PositiveCount = Annotated[
    int,
    _positive(COUNT, type="integer"),
    BeforeValidator(lambda v: _above_zero(parse_count(v))),
]
Share = Annotated[Decimal, _positive(f"{PERCENT}|{FRACTION}", maximum=1), BeforeValidator(parse_share)]
BadRows = Annotated[
    BadRowLimit,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": _exactly(f"{PERCENT}|{FRACTION}|{COUNT}")},
            ]
        }
    ),
    PlainValidator(parse_bad_rows),
    PlainSerializer(lambda v: v.count if v.count is not None else str(v), when_used="json"),
]
Flag = Annotated[
    bool,
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no", "on", "off"]}]}),
    BeforeValidator(parse_bool),
]
Text = Annotated[str, WithJsonSchema({"type": ["string", "number", "boolean"]}), BeforeValidator(parse_text)]
Label = Annotated[
    str,
    WithJsonSchema({"type": ["string", "number", "boolean"], "pattern": r"\S"}),
    BeforeValidator(parse_label),
]


def _above_zero_time(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise refusal("is zero, which would load nothing", fix="Write a duration like 2h, or leave it out.")
    return value
