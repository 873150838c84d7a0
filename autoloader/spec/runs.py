"""When, how much and by what a run loads: backfill, limits, schedule, compute; and requests to load again."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator

from autoloader.spec.model import Model, refusal
from autoloader.spec.quantities import Label, LongerDuration, MoreMoney, PositiveCount, Share, Size, Text
from autoloader.spec.source import GlobText, Name
from autoloader.spec.times import Bound, Cron, Every, Step, TimeOfDay, Zone, parse_period


class Backfill(Model):
    """A window of old files, loaded in slices."""

    by: Literal["path", "modified"] = "path"
    from_: Bound | None = Field(default=None, alias="from")
    until: Bound | None = None
    through: Bound | None = None
    timezone: Zone = Field(default="UTC", validate_default=True)
    step: Step | None = None
    every: Every | None = None
    order: Literal["oldest", "newest"] = "oldest"
    share: Share = Decimal("0.5")

    @field_validator("through")
    @classmethod
    def _one_end_is_enough(cls, through: date | datetime | None, info: ValidationInfo) -> Any:
        if through is not None and info.data.get("until") is not None:
            fix = "Keep `until` (exclusive) or `through` (inclusive)."
            raise refusal("stands beside `until`", fix=fix, compares=True)
        return through

    @field_validator("timezone")
    @classmethod
    def _the_window_is_not_empty(cls, zone: str, info: ValidationInfo) -> str:
        begin = info.data.get("from_")
        for key in ("until", "through"):
            end = info.data.get(key)
            if begin is None or end is None:
                continue
            first, last = _instant(begin, zone), _instant(end, zone)
            if last < first or (last == first and key == "until"):
                what = "is not after `from`, so the window is empty"
                raise refusal(what, fix="Write a later day.", up=1, at=(key,), compares=True)
        return zone

    @field_validator("step")
    @classmethod
    def _slices_need_both_ends(cls, step: str | None, info: ValidationInfo) -> str | None:
        known = {"from_", "until", "through"} <= info.data.keys()
        ended = info.data.get("until") or info.data.get("through")
        if step is not None and known and not (info.data["from_"] and ended):
            fix = "Add `from`, and `until` or `through`; or leave `step` out."
            raise refusal("cuts a window into slices, but the window has no two ends", fix=fix, compares=True)
        return step

    @field_validator("every")
    @classmethod
    def _pacing_needs_slices(cls, every: str | None, info: ValidationInfo) -> str | None:
        if every is not None and "step" in info.data and info.data["step"] is None:
            fix = "Add `step`, like `step: 1 year`; or leave `every` out."
            raise refusal("paces the slices, but there is no `step` that makes any", fix=fix, compares=True)
        return every


def _instant(bound: date | datetime, zone: str) -> datetime:
    if isinstance(bound, datetime):
        return bound
    return datetime.combine(bound, time(), ZoneInfo(zone))


class Limits(Model):
    """Bounds of one run; None = none. What is over is deferred."""

    max_files: PositiveCount | None = None
    max_bytes: Size | None = None
    max_usd: MoreMoney | None = None
    max_duration: LongerDuration | None = None


class Schedule(Model):
    """When the ingestion is due: cron, or every (with at)."""

    cron: Cron | None = None
    every: Every | None = None
    at: TimeOfDay | None = Field(default=None, validate_default=True)
    timezone: Zone = Field(default="UTC", validate_default=True)

    @field_validator("every")
    @classmethod
    def _not_beside_cron(cls, every: str | None, info: ValidationInfo) -> str | None:
        if every is not None and info.data.get("cron") is not None:
            raise refusal("stands beside `cron`", fix="Keep `cron`, or `every` (with `at`).", compares=True)
        return every

    @field_validator("at")
    @classmethod
    def _a_time_needs_days(cls, at: str | None, info: ValidationInfo) -> str | None:
        if at is None or "every" not in info.data:
            return at
        every = info.data["every"]
        if every is None or parse_period(every).unit in ("minute", "hour"):
            fix = "Add `every: 1 day` (or weeks, months); or leave `at` out."
            raise refusal("needs a period of days or more beside it", fix=fix, compares=True)
        return at

    @field_validator("timezone")
    @classmethod
    def _something_is_said(cls, zone: str, info: ValidationInfo) -> str:
        if {"cron", "every"} <= info.data.keys() and not (info.data["cron"] or info.data["every"]):
            fix = 'Add `cron: "0 2 * * *"` or `every: 1 day`; or leave `schedule` out.'
            raise refusal("says neither `cron` nor `every`", fix=fix, up=1, compares=True)
        return zone


class Compute(Model):
    """Names of compute profiles per lane."""

    live: Name = "default"
    backfill: Name = "default"

    def of(self, lane: str) -> str:
        """The profile of a lane; what is loaded again runs as live files do."""
        return self.backfill if lane == "backfill" else self.live


class Refresh(Model):
    """A rebuild, done once per request."""

    mode: Literal["full", "new-only", "clear-history"]
    request: Label
    reason: Text | None = None


class Reingest(Model):
    """Files to load again, done once per request."""

    match: GlobText
    request: Label
    reason: Text | None = None
