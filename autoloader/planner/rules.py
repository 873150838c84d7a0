"""A spec, compiled to the rules that `diff` runs: globs, dates, window, slices, limits and their prices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from autoloader.cost import History, rates
from autoloader.diff import BackfillRules, LimitRules, Rules, Selector, SliceBounds
from autoloader.diff.rules import DEFAULT_MAX_ATTEMPTS
from autoloader.errors import SettingsError
from autoloader.matching import (
    Glob,
    Window,
    build_window,
    compile_glob,
    compile_path_date,
    default_include,
    is_hidden_sql,
    local_bounds,
    slices,
)
from autoloader.matching.window import next_local
from autoloader.planner.facts import Asked, Recorded, refresh_of
from autoloader.planner.progress import completed, once_finished
from autoloader.spec import Backfill, IngestionSpec, Settings, parse_period

_NAMED_SELECTOR: Final = re.compile(r"(state|batch|schema|dates):(.*)", re.DOTALL)


def rules_for(
    spec: IngestionSpec,
    *,
    root: str,
    now: datetime,
    recorded: Recorded | None = None,
    settings: Settings | None = None,
    history: Sequence[History] = (),
    asked: Asked | None = None,
    unseen: tuple[str, ...] = (),
    fill_fingerprints: frozenset[str] = frozenset(),
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
) -> Rules:
    """Compile what decides over the files of one ingestion.

    Args:
        spec: The ingestion.
        root: Canonical root of its source, ending in `/`.
        now: The instant of the plan, aware UTC.
        recorded: What the ledger has of it.
        settings: For prices and compute profiles; None = the defaults.
        history: Its finished runs, for the price of `max_usd` and `max_duration`.
        asked: Wishes of the command line.
        unseen: Paths that could not be looked at or hold no file.
        fill_fingerprints: Loaded files to load again because they have columns that the table lacked.
        max_attempts: Attempts after which a failing file is left alone.

    Raises:
        SettingsError: A pattern, a date template, a window or a selector is malformed.
    """
    source, wishes = spec.source, asked or Asked()
    include = tuple(compile_glob(p) for p in source.include or default_include(source.format))
    path_date = compile_path_date(source.path_date) if source.path_date else None
    wanted = refresh_of(spec, recorded, wishes)
    start = source.start
    return Rules(
        ingestion=spec.name,
        root=root,
        now_at=now,
        include=tuple(glob.regex for glob in include),
        exclude=tuple(compile_glob(p).regex for p in source.exclude),
        hidden_sql=is_hidden_sql("key", _declared(source.include, include)),
        instant_sql=path_date.local_sql("key") if path_date else None,
        found_sql=path_date.found_sql("key") if path_date else "false",
        min_age_s=source.min_age.total_seconds(),
        start_at=start if isinstance(start, datetime) else None,
        start_now=start == "now",
        recorded=recorded is not None,
        has_run=recorded is not None and recorded.last_run_at is not None,
        on_change=source.on_change,
        on_delete=source.on_delete,
        max_attempts=max_attempts,
        order=spec.backfill.order if spec.backfill else "oldest",
        backfill=_backfill(spec.backfill, recorded, now) if spec.backfill else None,
        limits=_limits(spec, settings or Settings(), history),
        refresh=wanted[0] if wanted else None,
        reingest=_selectors(spec, recorded, wishes),
        unseen=unseen,
        fill_fingerprints=fill_fingerprints,
    )


def _declared(patterns: tuple[str, ...], globs: tuple[Glob, ...]) -> tuple[Glob, ...]:
    """Only a pattern that somebody wrote can name a hidden file on purpose."""
    return globs if patterns else ()


def _backfill(backfill: Backfill, recorded: Recorded | None, now: datetime) -> BackfillRules:
    progress = dict(recorded.backfill or {}) if recorded else {}
    declared = build_window(backfill)
    until_at = declared.until_at or _began(progress, recorded, now)
    window = Window(declared.from_at, until_at)
    pieces = slices(window, backfill.step, backfill.order, backfill.timezone)
    last = progress.get("last_started_at")
    next_at = after_period(datetime.fromisoformat(last), backfill.every) if last and backfill.every else None
    bounds = _frame(window, backfill)
    return BackfillRules(
        by=backfill.by,
        from_at=bounds[0],
        until_at=bounds[1],
        slices=tuple(_piece(piece.label, Window(piece.from_at, piece.until_at), backfill) for piece in pieces),
        share=float(backfill.share),
        started=frozenset(progress.get("started", ())),
        finished=once_finished(progress),
        complete=completed(progress, (piece.label for piece in pieces)),
        paced=backfill.every is not None,
        may_start=next_at is None or now >= next_at,
        next_start_at=next_at,
        ends_at=until_at,
    )


def _began(progress: dict[str, Any], recorded: Recorded | None, now: datetime) -> datetime:
    """A window without an end covers what was there when the ingestion began; later files are live."""
    if (until := progress.get("until_at")) is not None:
        return datetime.fromisoformat(until)
    return recorded.created_at if recorded and recorded.created_at else now


def _frame(window: Window, backfill: Backfill) -> tuple[datetime | None, datetime | None]:
    """The ends as naive times: of the zone for dates in paths, of UTC for modification times."""
    return local_bounds(window, backfill.timezone if backfill.by == "path" else "UTC")


def _piece(label: str, window: Window, backfill: Backfill) -> SliceBounds:
    return SliceBounds(label, *_frame(window, backfill))


def after_period(at: datetime, period: str) -> datetime | None:
    """One period (`1 week`, `3 months`) after an instant, on the calendar of UTC; None beyond its end."""
    found = parse_period(period)
    if found.unit in ("minute", "week"):
        return at + timedelta(minutes=found.count) if found.unit == "minute" else at + timedelta(weeks=found.count)
    moved: datetime | None = at.astimezone(UTC).replace(tzinfo=None)
    for _ in range(found.count):
        moved = next_local(moved, found.unit) if moved is not None else None
    return None if moved is None else moved.replace(tzinfo=UTC)


def _limits(spec: IngestionSpec, settings: Settings, history: Sequence[History]) -> LimitRules:
    limits = spec.limits
    price = rates(spec.source.format, settings.prices, settings.compute.get(spec.compute.live), history)
    return LimitRules(
        max_files=limits.max_files,
        max_bytes=limits.max_bytes,
        max_usd=None if limits.max_usd is None else float(limits.max_usd),
        max_seconds=None if limits.max_duration is None else limits.max_duration.total_seconds(),
        usd_per_byte=price.usd_per_byte,
        usd_per_file=price.usd_per_file,
        seconds_per_byte=price.seconds_per_byte,
        seconds_per_file=price.seconds_per_file,
    )


def _selectors(spec: IngestionSpec, recorded: Recorded | None, asked: Asked) -> tuple[Selector, ...]:
    if recorded is None:
        return ()
    wanted = [
        selector(item.match, item.request)
        for item in spec.reingest
        if ("reingest", item.request) not in recorded.requests_done
    ]
    return (*wanted, *(selector(text, None) for text in asked.reingest.get(spec.name, ())))


def selector(text: str, request: str | None = None) -> Selector:
    """What a `match` selects: a glob, or a word and a value.

    The words: `state:FAILED`, `batch:ID`, `schema:3`, `dates:2024-01-01..2024-04-01` (the last date exclusive).

    Raises:
        SettingsError: The glob, a number or a date is malformed.
    """
    named = _NAMED_SELECTOR.fullmatch(text)
    if named is None:
        return Selector(text, request, regex=compile_glob(text).regex)
    kind, value = named[1], named[2].strip()
    try:
        match kind:
            case "state":
                return Selector(text, request, state=value.upper())
            case "batch":
                return Selector(text, request, batch=value)
            case "schema":
                return Selector(text, request, schema_version=int(value))
            case _:
                first, last = (datetime.strptime(part, "%Y-%m-%d").date() for part in value.split(".."))  # noqa: DTZ007
                return Selector(text, request, dates=(first.isoformat(), last.isoformat()))
    except ValueError as error:
        raise SettingsError(
            f"The selector {text!r} cannot be read.",
            fix="Write a glob, state:FAILED, batch:ID, schema:3 or dates:2024-01-01..2024-04-01.",
        ) from error
