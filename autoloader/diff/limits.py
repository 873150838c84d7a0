"""How the bounds of one run are shared between live files and all others.

While both wait, the others (backfill, reingest) get `share` of each bound and live files the rest; what one
side does not need goes to the other. Files are taken in load order up to the bound. The first file of
each side is always taken, so that a file larger than `max_bytes` still progresses; only `max_files` is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from autoloader.diff.rules import LimitRules
from autoloader.inventory import Lane


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound of a run as SQL: `weight` is what one file takes of it."""

    name: str
    limit: float
    weight: str
    reason: str

    def over(self, share: float) -> str:
        """The condition under which a file of rank `place` and running sum `sum_<name>` is over the bound."""
        others = self._share(share)
        live_quota = _quota(self.limit - others, self.limit, f"other_{self.name}")
        quota = (
            f"CASE WHEN lane = '{Lane.LIVE}' THEN {live_quota}"
            f" ELSE {_quota(others, self.limit, f'live_{self.name}')} END"
        )
        first = "" if self.name == "files" else " AND place > 1"
        return f"sum_{self.name} > {quota}{first}"

    def _share(self, share: float) -> float:
        """The part of all lanes but the live one; of two files or more, each side gets one at least."""
        part = self.limit * share
        return part if self.name != "files" else max(min(max(round(part), 1), self.limit - 1), 0)


def _quota(own: float, limit: float, rival: str) -> str:
    """The own part, or all that the rival side leaves, whichever is more."""
    return f"greatest({own!r}, {limit!r} - {rival})"


def limit_bounds(limits: LimitRules) -> tuple[Bound, ...]:
    """The bounds that are set and whose price is known, each with the reason of a file that is over it."""
    bounds: list[Bound] = []
    if limits.max_files is not None:
        bounds.append(
            Bound("files", limits.max_files, "1", f"over limits.max_files ({limits.max_files:,}) of this run")
        )
    if limits.max_bytes is not None:
        why = f"over limits.max_bytes ({limits.max_bytes:,} bytes) of this run"
        bounds.append(Bound("bytes", limits.max_bytes, "size_bytes", why))
    if limits.max_usd is not None and limits.usd_per_byte is not None:
        weight = f"(size_bytes * {limits.usd_per_byte!r} + {limits.usd_per_file or 0.0!r})"
        bounds.append(Bound("usd", limits.max_usd, weight, f"over limits.max_usd (${limits.max_usd:,.2f}) of this run"))
    if limits.max_seconds is not None and limits.seconds_per_byte is not None:
        weight = f"(size_bytes * {limits.seconds_per_byte!r} + {limits.seconds_per_file or 0.0!r})"
        why = f"over limits.max_duration ({limits.max_seconds:,.0f} s) of this run"
        bounds.append(Bound("seconds", limits.max_seconds, weight, why))
    return tuple(bounds)
