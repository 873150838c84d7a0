"""What decides over the files of one ingestion, compiled to regexes, bounds and numbers.

Values only: `build` makes them from a spec, `decide` and `query` turn them into SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

DEFAULT_MAX_ATTEMPTS: Final = 3
"""Attempts after which a failing file is left alone (DESIGN section 7)."""


@dataclass(frozen=True, slots=True)
class SliceBounds:
    """One slice of a backfill window, half-open, naive in the frame of `BackfillRules.by`.

    Attributes:
        label: Its name in plan, ledger and status, e.g. `2015-01-01/2016-01-01`.
        from_at: First instant that belongs to it, None = open.
        until_at: First instant that does not, None = open.
    """

    label: str
    from_at: datetime | None
    until_at: datetime | None


@dataclass(frozen=True, slots=True)
class BackfillRules:
    """The window of old files, in load order, and how far it has come.

    Attributes:
        by: `path`: bounds are local times of the spec's zone, compared with the date in the path;
            `modified`: bounds are UTC, compared with the modification time.
        from_at: Naive lower bound, None = open.
        until_at: Naive upper bound (exclusive), None = open.
        slices: Consecutive slices that make up the window, in the order in which they are loaded; at least one.
        share: Part of a run's budget that this lane gets while live files wait, 0 to 1.
        started: Labels of slices that a run has begun.
        finished: Labels of slices that were once complete; a new file in one of them is late.
        complete: The whole window was once complete.
        may_start: Whether a slice that no run has begun may begin now (`every`).
        next_start_at: When the next slice may begin, for the reason of those that wait.
        ends_at: The upper bound as an instant, aware UTC; None = open.
    """

    by: Literal["path", "modified"]
    from_at: datetime | None
    until_at: datetime | None
    slices: tuple[SliceBounds, ...] = ()
    share: float = 0.5
    started: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    complete: bool = False
    paced: bool = False
    may_start: bool = True
    next_start_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LimitRules:
    """Bounds of one run and the linear price of one file; None = no bound, or price unknown.

    A file costs `usd_per_file + size_bytes * usd_per_byte` dollars and
    `seconds_per_file + size_bytes * seconds_per_byte` seconds of wall clock.
    """

    max_files: int | None = None
    max_bytes: int | None = None
    max_usd: float | None = None
    max_seconds: float | None = None
    usd_per_byte: float | None = None
    usd_per_file: float | None = None
    seconds_per_byte: float | None = None
    seconds_per_file: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether any bound is set."""
        return any(b is not None for b in (self.max_files, self.max_bytes, self.max_usd, self.max_seconds))


@dataclass(frozen=True, slots=True)
class Selector:
    """Files to load again. Exactly one of the last five is set.

    Attributes:
        text: What the person wrote.
        request: Its request id, None from the command line.
        regex: Full-match regex over the key.
        state: A ledger state.
        batch: A batch id.
        schema_version: A schema version.
        dates: First and last data date, ISO, last exclusive.
    """

    text: str
    request: str | None = None
    regex: str | None = None
    state: str | None = None
    batch: str | None = None
    schema_version: int | None = None
    dates: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that `diff` needs to know of one ingestion.

    Attributes:
        ingestion: Its name.
        root: Canonical source root, ending in `/`.
        now_at: The instant that ages and due times are measured against, aware UTC.
        include: Full-match regexes; empty = every key.
        exclude: Full-match regexes that win over `include`.
        hidden_sql: Boolean DuckDB expression over a column `key`.
        instant_sql: DuckDB expression over `key` that gives the naive local TIMESTAMP at which the period of
            the path begins, or NULL; None = paths carry no date.
        found_sql: Boolean DuckDB expression over `key`: the path has the text of a date, a real one or not.
        min_age_s: Files younger than this wait.
        start_at: Files modified earlier and never loaded are out of scope.
        start_now: What was there when the ingestion began is never loaded.
        recorded: The ledger knows the ingestion.
        has_run: A load of it has finished before.
        order: Which end of time is loaded first.
        refresh: Mode of a rebuild that is asked for now.
        reingest: Files to load again.
        unseen: Paths that could not be looked at or hold no file; remembered files there or below are not missing.
        fill_fingerprints: Loaded files with one of these fingerprints are loaded again for new columns.
    """

    ingestion: str
    root: str
    now_at: datetime
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    hidden_sql: str = "false"
    instant_sql: str | None = None
    found_sql: str = "false"
    min_age_s: float = 0.0
    start_at: datetime | None = None
    start_now: bool = False
    recorded: bool = False
    has_run: bool = False
    on_change: Literal["replace", "append", "ignore", "fail"] = "replace"
    on_delete: Literal["keep", "delete_rows", "fail"] = "keep"
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    order: Literal["oldest", "newest"] = "oldest"
    backfill: BackfillRules | None = None
    limits: LimitRules = LimitRules()
    refresh: Literal["full", "new-only", "clear-history"] | None = None
    reingest: tuple[Selector, ...] = ()
    unseen: tuple[str, ...] = ()
    fill_fingerprints: frozenset[str] = frozenset()
