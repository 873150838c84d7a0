"""Guardrails held against a whole plan. What is not known does not pass a money or time limit."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from autoloader.plan import Impact, Verdict
from autoloader.planner.impacts import Group
from autoloader.spec import Guardrails, Threshold


def verdicts(
    guardrails: Guardrails, totals: Impact, replaced_percent: Decimal | None, max_usd: Decimal | None
) -> tuple[Verdict, ...]:
    """One verdict per level that is set, in a fixed order; dollars and time are the expected figures.

    Args:
        guardrails: Of the settings.
        totals: Work of the plan, blocked changes left out.
        replaced_percent: Loaded files whose rows leave with this plan, in percent of all; None = none are loaded.
        max_usd: A limit of the command line.
    """
    usd = totals.cost_usd.expected if totals.cost_usd is not None else None
    seconds = totals.duration_minutes.expected * 60 if totals.duration_minutes is not None else None
    if not totals.works:
        usd, seconds = usd or Decimal(0), seconds or Decimal(0)
    held: list[tuple[str, Threshold | None, Decimal | None]] = [
        ("max_usd", guardrails.max_usd, usd),
        ("max_bytes", guardrails.max_bytes, Decimal(totals.bytes_to_process)),
        ("max_files", guardrails.max_files, Decimal(totals.files_to_process)),
        ("max_duration", guardrails.max_duration, seconds),
        ("max_replaced_percent", guardrails.max_replaced_percent, replaced_percent or Decimal(0)),
    ]
    found = [v for name, threshold, value in held if threshold is not None for v in _levels(name, threshold, value)]
    if max_usd is not None:
        found.append(_verdict("max_usd", "deny", max_usd, usd))
    return tuple(found)


def _levels(name: str, threshold: Threshold, value: Decimal | None) -> list[Verdict]:
    levels = (("warn", threshold.warn), ("deny", threshold.deny))
    return [_verdict(name, level, limit, value) for level, limit in levels if limit is not None]


def _verdict(name: str, level: str, limit: Decimal, value: Decimal | None) -> Verdict:
    return Verdict(name, level, limit, value, value is not None and value <= limit)


def replaced_percent(groups: Sequence[Group], loaded: int) -> Decimal | None:
    """Loaded files whose rows leave, in percent of all loaded ones; None where none are loaded."""
    if loaded == 0:
        return None
    leaving = sum(group.replaced_files for group in groups if group.is_work or group.disposition == "missing")
    return Decimal(leaving) * 100 / Decimal(loaded)
