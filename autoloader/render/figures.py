"""Numbers as people read them: counts, sizes, money, times. Unknown is said, never shown as 0."""

from __future__ import annotations

from decimal import Decimal

from autoloader.plan import Spread

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def count_text(number: int) -> str:
    """14208 as `14,208`."""
    return f"{number:,}"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """1 as `1 file`, 3 as `3 files`; `nouns` where the plural is not the noun and an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {nouns or noun + 's'}"


def bytes_text(size_bytes: int) -> str:
    """Bytes in decimal units with one decimal from KB on: 812_400_000_000 as `812.4 GB`."""
    size = float(size_bytes)
    for unit in _UNITS[:-1]:
        if abs(size) < 999.95:
            return f"{size_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"


def money_text(cost_usd: Spread | None) -> str:
    """A price range in dollars: `$31–44`; with cents below $1, `<$0.01` for less than a cent, else `unknown`."""
    if cost_usd is None:
        return "unknown"
    low, high = _dollars(cost_usd.low), _dollars(cost_usd.high)
    return low if low == high else f"{low}–{high.removeprefix('$')}" if "<" not in high else high


def _dollars(amount: Decimal) -> str:
    if amount == 0:
        return "$0"
    if amount < Decimal("0.01"):
        return "<$0.01"
    return f"${amount:.2f}" if amount < Decimal("0.995") else f"${amount:,.0f}"


def time_text(minutes: Spread | None) -> str:
    """A range of wall-clock time: `2h05m–2h50m`, `40s–1m10s`; `unknown` where it is."""
    if minutes is None:
        return "unknown"
    low, high = seconds_text(float(minutes.low) * 60), seconds_text(float(minutes.high) * 60)
    return low if low == high else f"{low}–{high}"


def seconds_text(seconds: float) -> str:
    """Seconds as `42s`, `1m10s`, `2h05m` or `3d04h`; less than half a second as `<1s`."""
    whole = max(0, round(seconds))
    if whole == 0 < seconds:
        return "<1s"
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"
