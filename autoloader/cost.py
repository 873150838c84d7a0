"""What a load would cost and how long it would take: low, expected, high, and how that is known.

Pure arithmetic on counts and bytes. A price that is not known is None and is never counted as nothing; what
stands in the basis says which parts are priced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Final

from autoloader.spec import ComputeProfile, Prices

GB: Final = 1_000_000_000
BATCH_MAX_FILES: Final = 10_000
BATCH_MAX_BYTES: Final = 4_000_000_000
"""What one batch may hold; the same bounds as `apply` uses, so that "12 batches" comes true."""

BYTES_PER_SECOND: Final = {
    "csv": 60e6,
    "json": 45e6,
    "parquet": 120e6,
    "avro": 20e6,
    "orc": 60e6,
    "text": 80e6,
}
"""Stored bytes per second on `DEFAULT_CORES`. CSV: 78-85 MB/s measured for 748 MB of TPC-H lineitem on two
cores (DuckDB in the task, the task writes), less a quarter for fetching; the others are guesses beside it."""
SECONDS_PER_FILE: Final = 0.002
"""5,000 CSV files of 200 rows: 2.1 s measured on local disk; storage over a network takes several times that."""
SECONDS_PER_BATCH: Final = 0.5
SECONDS_TO_START: Final = 5.0
"""Spark's start: once for a plan, in the total of its time and in no change's."""
DEFAULT_CORES: Final = 2
DEFAULT_FORMAT: Final = "csv"
_UNCALIBRATED: Final = (Decimal("0.5"), Decimal(2))
_KEYS_PER_LIST: Final = 1000


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: counts and bytes.

    Attributes:
        files: Files to load.
        size_bytes: Their stored bytes.
        format: The source format, None = unknown.
        listed: Objects that one listing of the source returns.
        rewritten_bytes: Data-file bytes that are written anew because old rows leave them.
    """

    files: int
    size_bytes: int
    format: str | None = None
    listed: int = 0
    rewritten_bytes: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """One finished run, as the ledger remembers it.

    Attributes:
        files: Files that it loaded.
        size_bytes: Their stored bytes.
        seconds: Wall clock.
        format: Source format, None = unknown.
        profile: Name of the compute profile.
        cost_usd: What it cost, None = unknown.
        estimated_usd: What its plan expected, None = unknown.
    """

    files: int
    size_bytes: int
    seconds: float
    format: str | None = None
    profile: str = "default"
    cost_usd: Decimal | None = None
    estimated_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """low <= expected <= high."""

    low: Decimal
    expected: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Estimate:
    """Dollars and minutes (without Spark's start) with the sentence that says where they come from; None = unknown."""

    cost_usd: Range | None
    duration_minutes: Range
    basis: str
    batches: int


@dataclass(frozen=True, slots=True)
class Rates:
    """The linear price of one file, for limits. Dollars are None where no price is known."""

    usd_per_byte: float | None
    usd_per_file: float | None
    seconds_per_byte: float
    seconds_per_file: float


@dataclass(frozen=True, slots=True)
class _Calibration:
    """Actual over modelled seconds in past runs of the same format."""

    low: float
    expected: float
    high: float
    runs: int
    median_error: float

    @property
    def known(self) -> bool:
        return self.runs > 0


def batches(files: int, size_bytes: int) -> int:
    """How many batches the work makes, at least one where there is a file."""
    if files == 0:
        return 0
    return max(1, math.ceil(files / BATCH_MAX_FILES), math.ceil(size_bytes / BATCH_MAX_BYTES))


def estimate(
    work: Work,
    prices: Prices,
    profile: ComputeProfile | None = None,
    history: Sequence[History] = (),
) -> Estimate:
    """Price one load.

    Args:
        work: Counts and bytes.
        prices: The price book.
        profile: The compute profile of the lane, None = no such profile.
        history: Finished runs of the same ingestion, in any order.

    Returns:
        Figures rounded to six significant digits.
    """
    calibration = _calibrate(work.format, history, profile)
    seconds = _model_seconds(work.files, work.size_bytes, work.format, _cores(profile))
    seconds += work.rewritten_bytes / _speed("parquet", _cores(profile))
    spread = (calibration.low, calibration.expected, calibration.high)
    low, expected, high = (Decimal(repr(seconds * factor)) for factor in spread)
    cost, priced = _cost(work, prices, profile, (low, expected, high), calibration)
    return Estimate(
        cost_usd=cost,
        duration_minutes=_range(low / 60, expected / 60, high / 60),
        basis=_basis(calibration, priced),
        batches=batches(work.files, work.size_bytes),
    )


def starting() -> Range:
    """Minutes that Spark takes to start, once for all changes of a plan."""
    expected = Decimal(repr(SECONDS_TO_START / 60))
    return _range(expected * _UNCALIBRATED[0], expected, expected * _UNCALIBRATED[1])


def rates(
    format: str | None,  # noqa: A002 - the word of the spec
    prices: Prices,
    profile: ComputeProfile | None = None,
    history: Sequence[History] = (),
) -> Rates:
    """The expected price of one more file and one more byte; fixed parts (start, commits) left out."""
    factor = _calibrate(format, history, profile).expected
    speed = _speed(format, _cores(profile))
    per_byte, per_file = factor / speed, factor * SECONDS_PER_FILE
    hourly = profile.usd_per_hour if profile is not None else None
    flat = flat_rate(prices, hourly)
    if hourly is None and flat is None:
        return Rates(None, None, per_byte, per_file)
    second = float(hourly) / 3600 if hourly is not None else 0.0
    get = float(prices.usd_per_1000_get) / 1000 if prices.usd_per_1000_get is not None else 0.0
    usd_per_byte = (float(flat) / GB if flat is not None else 0.0) + per_byte * second
    return Rates(usd_per_byte, get + per_file * second, per_byte, per_file)


def _cores(profile: ComputeProfile | None) -> int:
    return profile.cores if profile is not None and profile.cores else DEFAULT_CORES


def _speed(format_: str | None, cores: int) -> float:
    return BYTES_PER_SECOND[format_ or DEFAULT_FORMAT] * cores / DEFAULT_CORES


def _model_seconds(files: int, size_bytes: int, format_: str | None, cores: int) -> float:
    per_file = SECONDS_PER_FILE * DEFAULT_CORES / cores
    work = size_bytes / _speed(format_, cores) + files * per_file + batches(files, size_bytes) * SECONDS_PER_BATCH
    return work if files else 0.0


def _missed(factors: Sequence[float], place: int) -> float:
    """Share of its actual time by which a run is missed when told from the others; without any, from the model."""
    others = [*factors[:place], *factors[place + 1 :]]
    return abs((median(others) if others else 1.0) - factors[place]) / factors[place]


def _calibrate(format_: str | None, history: Sequence[History], profile: ComputeProfile | None) -> _Calibration:
    """Quantiles of actual over modelled seconds: a rate per byte and per file at once."""
    cores = _cores(profile)
    factors = sorted(
        run.seconds / _model_seconds(run.files, run.size_bytes, run.format, cores)
        for run in history
        if run.files > 0 and run.seconds > 0 and (run.format == format_ or None in (run.format, format_))
    )
    if not factors:
        return _Calibration(float(_UNCALIBRATED[0]), 1.0, float(_UNCALIBRATED[1]), 0, 0.0)
    middle = median(factors)
    error = median(_missed(factors, place) for place in range(len(factors)))
    few = 1 / len(factors)  # one run says little about the spread
    low = min(_quantile(factors, 0.1), middle * (1 - 0.4 * few))
    high = max(_quantile(factors, 0.9), middle * (1 + 0.8 * few))
    return _Calibration(low, middle, high, len(factors), error)


def _quantile(ordered: Sequence[float], part: float) -> float:
    place = (len(ordered) - 1) * part
    below, above = math.floor(place), math.ceil(place)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def flat_rate(prices: Prices, hourly: Decimal | None) -> Decimal | None:
    """Dollars per GB; None = not priced so. The default stands for compute, so a known hourly price takes its place."""
    explicit = "usd_per_gb" in prices.model_fields_set
    return prices.usd_per_gb if explicit or hourly is None else None


def _cost(
    work: Work,
    prices: Prices,
    profile: ComputeProfile | None,
    seconds: tuple[Decimal, Decimal, Decimal],
    calibration: _Calibration,
) -> tuple[Range | None, str]:
    """The range of dollars, and which components are in it."""
    hourly = profile.usd_per_hour if profile is not None else None
    flat = flat_rate(prices, hourly)
    if work.files == work.rewritten_bytes == 0:
        return _range(Decimal(0), Decimal(0), Decimal(0)), "nothing to load"
    if flat is None and hourly is None:
        return None, "no price per GB or per hour is known"
    fixed, parts = _requests(work, prices)
    low = expected = high = fixed
    if flat is not None:
        moved = Decimal(work.size_bytes + work.rewritten_bytes) / GB * flat
        known = calibration.known
        low += moved * (Decimal("0.8") if known else _UNCALIBRATED[0])
        expected += moved
        high += moved * (Decimal("1.25") if known else _UNCALIBRATED[1])
        parts.append(f"${_cents(flat)}/GB" + " with data files written anew" * bool(work.rewritten_bytes))
    if hourly is not None:
        low, expected, high = (
            total + time / 3600 * hourly for total, time in zip((low, expected, high), seconds, strict=True)
        )
        parts.append(f"${_cents(hourly)}/hour")
    return _range(low, expected, high), " + ".join(parts)


def _cents(amount_usd: Decimal) -> str:
    """A price as it was written, with two decimals at least where it has any: `0.50`, `0.004`, `3`."""
    text = f"{amount_usd.normalize():,f}"
    return text + "0" if len(text.partition(".")[2]) == 1 else text


def _requests(work: Work, prices: Prices) -> tuple[Decimal, list[str]]:
    """Dollars of GET and LIST requests, where they are priced."""
    total, parts = Decimal(0), []
    if prices.usd_per_1000_get is not None:
        total += Decimal(work.files) / 1000 * prices.usd_per_1000_get
        parts.append("GET")
    if prices.usd_per_1000_list is not None:
        pages = max(1, math.ceil(work.listed / _KEYS_PER_LIST))
        total += Decimal(pages) / 1000 * prices.usd_per_1000_list
        parts.append("LIST")
    return total, parts


def _basis(calibration: _Calibration, priced: str) -> str:
    if not calibration.known:
        return f"uncalibrated: {priced}, time from measured defaults"
    runs = f"{calibration.runs} run{'s' * (calibration.runs != 1)}"
    return f"{runs}, median error {calibration.median_error * 100:.0f} %: {priced}"


def _range(low: Decimal, expected: Decimal, high: Decimal) -> Range:
    ordered = sorted((_rounded(low), _rounded(expected), _rounded(high)))
    return Range(*ordered)


def _rounded(value: Decimal) -> Decimal:
    """Six significant digits, so that a price far below a cent does not become 0."""
    return Decimal(f"{value:.6g}") if value else Decimal(0)


def money(amount_usd: Decimal | None) -> str:
    """Dollars as people read them: `$31`, `$0.42`, `<$0.01`; no cents above $1; `unknown` for None."""
    if amount_usd is None:
        return "unknown"
    if amount_usd == 0:
        return "$0"
    if abs(amount_usd) < Decimal("0.01"):
        return "<$0.01"
    return f"${amount_usd:.2f}" if abs(amount_usd) < Decimal("0.995") else f"${amount_usd:,.0f}"


def duration(seconds: float | None) -> str:
    """Seconds as `42s`, `1m10s`, `2h05m`, `3d04h`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    whole = max(0, round(seconds))
    for size, unit, part, small in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part:02d}{small}"
    return f"{whole}s"
