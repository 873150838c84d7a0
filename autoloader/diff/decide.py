"""The decision table: which disposition a file gets and why. First row whose condition holds wins.

Conditions and reasons are DuckDB expressions over the columns that `query` prepares. The table is data, so
that `docs/planning-rules.md` can be held against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from autoloader.diff.rules import Rules
from autoloader.inventory import Disposition, FileState, Lane

START_REASON: Final = "there before the ingestion began (source.start: now), never loaded"
"""Reason of files that apply records as SKIPPED when it creates an ingestion with `start: now`."""

BACK_REASON: Final = "came back unchanged; its rows are in the table"
SETTLED_BACK_REASON: Final = "came back unchanged; it was settled without rows (refresh: new-only)"
"""Reasons of missing files that apply records as SUCCESS again."""

_BY_WINDOW: Final = "window"
_REPLACED: Final = "k_src_file_id"
_INSTANT: Final = (
    "CASE WHEN by_path THEN strftime(instant, '%Y-%m-%d') ELSE strftime(instant, '%Y-%m-%d %H:%M:%S UTC') END"
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One row of the table.

    Attributes:
        name: A stable word for tests and documents.
        when: Boolean expression; may be null, which does not hold.
        disposition: What the file gets.
        reason: Expression that gives one short sentence.
        lane: A lane; "window" = backfill inside the window, else live; None = no lane.
        replaces: Expression of the version whose rows leave the table, or "NULL".
    """

    name: str
    when: str
    disposition: Disposition
    reason: str
    lane: str | None = None
    replaces: str = "NULL"


def text(value: str) -> str:
    """A string as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def decisions(rules: Rules) -> tuple[Decision, ...]:
    """The table for one ingestion, in order; the last row holds always."""
    return (*_scope(rules), *_gone(rules), *_again(rules), *_settled(rules), *_waiting(rules), *_load(rules))


def _scope(rules: Rules) -> tuple[Decision, ...]:
    out, never = Disposition.OUT_OF_SCOPE, "k_src_file_id IS NULL"
    table = [
        Decision("moved_source", "key IS NULL", out, text("not below source.path any more; its rows are kept")),
        Decision("hidden_known", "hidden AND known", out, text("its name is hidden now; its rows are kept")),
        Decision(
            "hidden",
            "hidden",
            Disposition.HIDDEN,
            text("hidden: a part of its name begins with _ or . or is temporary"),
        ),
        Decision(
            "not_included_known",
            "NOT included AND known",
            out,
            text("no include pattern matches it any more; its rows are kept"),
        ),
        Decision("not_included", "NOT included", Disposition.EXCLUDED, text("no include pattern matches it")),
        Decision(
            "excluded_known",
            "excluded AND known",
            out,
            text("an exclude pattern matches it now; its rows are kept"),
        ),
        Decision("excluded", "excluded", Disposition.EXCLUDED, text("an exclude pattern matches it")),
        Decision("claimed", "k_claimed", Disposition.DEFERRED, text("a live run is loading it"), _BY_WINDOW),
        Decision(
            "before_window_known",
            "before_window AND known",
            out,
            text("before backfill.from; its rows are kept"),
        ),
        Decision(
            "before_window",
            "before_window",
            out,
            f"'of ' || {_INSTANT} || ', before backfill.from: never loaded'",
        ),
        Decision(
            "before_start",
            f"before_start AND {never}",
            out,
            f"'of ' || {_INSTANT} || ', before source.start: never loaded'",
        ),
    ]
    if rules.start_now and not rules.recorded:
        table.append(Decision("start_now", "listed AND NOT known", out, text(START_REASON)))
    if rules.start_now:
        back = f"k_state = '{FileState.MISSING}' AND k_src_file_id IS NULL AND k_error = {text(START_REASON)}"
        skipped = f"same AND (k_state = '{FileState.SKIPPED}' OR {back})"
        table.append(Decision("skipped", skipped, out, text(START_REASON)))
    return tuple(table)


def _gone(rules: Rules) -> tuple[Decision, ...]:
    missing, gone = Disposition.MISSING, "NOT listed"
    first = f"{gone} AND k_state <> '{FileState.MISSING}'"
    rows_out = (
        "'gone from storage; its ' || coalesce(k_rows::VARCHAR || ' rows', 'rows')"
        " || ' leave the table (on_delete: delete_rows)'"
    )
    loaded: tuple[Decision, ...]
    match rules.on_delete:
        case "delete_rows":
            loaded = (
                Decision(
                    "gone_delete",
                    f"{gone} AND k_src_file_id IS NOT NULL",
                    missing,
                    rows_out,
                    Lane.LIVE,
                    _REPLACED,
                ),
            )
        case "fail":
            refused = text("gone from storage, which on_delete: fail does not allow")
            loaded = (Decision("gone_fail", f"{first} AND k_src_file_id IS NOT NULL", missing, refused, Lane.LIVE),)
        case _:
            loaded = ()
    why = text("not taken for deleted: what lies at its path, or above it, could not be looked at or is no file")
    blind = (Decision("unseen", f"{gone} AND unseen", Disposition.DEFERRED, why),) if rules.unseen else ()
    return (
        *blind,
        *loaded,
        Decision(
            "gone",
            f"{gone} AND k_src_file_id IS NOT NULL",
            missing,
            text("gone from storage; its rows are kept"),
        ),
        Decision("gone_unloaded", gone, missing, text("gone from storage; the table has no rows of it")),
    )


def _again(rules: Rules) -> tuple[Decision, ...]:
    again = Disposition.REINGEST
    table: list[Decision] = []
    if rules.refresh == "full":
        young = _young(rules, Lane.REFRESH)
        table += [
            *young,
            Decision("rebuild", "known", again, text("the table is rebuilt (refresh: full)"), Lane.REFRESH, _REPLACED),
            Decision(
                "rebuild_new",
                "true",
                Disposition.NEW,
                text("never seen; loaded with the rebuild"),
                Lane.REFRESH,
            ),
        ]
    if rules.refresh == "clear-history":
        why = text("its history is cleared (refresh: clear-history); its rows are replaced")
        table.append(Decision("cleared", "known", again, why, Lane.REFRESH, _REPLACED))
    marked = text("marked to be loaded again")
    table.append(Decision("marked", "k_reload", again, marked, Lane.REINGEST, _REPLACED))
    for number, selector in enumerate(rules.reingest):
        asked = f"reingest {selector.text}" + (f" ({selector.request})" if selector.request else "")
        table.append(
            Decision(
                f"reingest_{number}",
                f"known AND selected_{number}",
                again,
                text(asked),
                Lane.REINGEST,
                _REPLACED,
            )
        )
    if rules.fill_fingerprints:
        why = text("it has columns that the table lacked when it was loaded")
        table.append(Decision("fill", "same AND filled", Disposition.SCHEMA, why, Lane.REINGEST, _REPLACED))
    return tuple(table)


def _settled(rules: Rules) -> tuple[Decision, ...]:
    done, given_up = Disposition.DONE, Disposition.QUARANTINED
    back = f"same AND k_state = '{FileState.MISSING}'"
    settled = "k_src_file_id IS NULL AND k_rows = 0 AND k_error IS NULL"
    success = f"same AND k_state = '{FileState.SUCCESS}'"
    exhausted = f"same AND k_state = '{FileState.FAILED}' AND k_retry_count >= {rules.max_attempts}"
    error = "coalesce(': ' || k_error, '')"
    table = [
        Decision("came_back", f"{back} AND k_src_file_id IS NOT NULL AND k_error IS NULL", done, text(BACK_REASON)),
        Decision("came_back_settled", f"{back} AND {settled}", done, text(SETTLED_BACK_REASON)),
        Decision("touched", f"{success} AND moved_time", Disposition.TOUCHED, text("same bytes under a newer time")),
        Decision("done", success, done, text("loaded, unchanged")),
        Decision(
            "quarantined",
            f"same AND k_state = '{FileState.QUARANTINED}'",
            given_up,
            f"'set aside' || {error}",
        ),
        Decision("exhausted", exhausted, given_up, f"'given up after ' || k_retry_count || ' attempts' || {error}"),
    ]
    if rules.on_change == "ignore":
        why = text("changed in storage, left as it was loaded (on_change: ignore)")
        table.append(Decision("change_ignored", "known AND NOT same AND k_src_file_id IS NOT NULL", done, why))
    return tuple(table)


def _young(rules: Rules, lane: str) -> tuple[Decision, ...]:
    if rules.min_age_s <= 0:
        return ()
    why = text(f"younger than source.min_age ({_seconds(rules.min_age_s)})")
    return (Decision("young", "young", Disposition.DEFERRED, why, lane),)


def _seconds(value: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= size and value % size == 0:
            return f"{int(value // size)} {unit}"
    return f"{value:g} s"


def _waiting(rules: Rules) -> tuple[Decision, ...]:
    failed = f"same AND k_state = '{FileState.FAILED}'"
    not_due = "'failed; tried again from ' || strftime(k_next_attempt_at::TIMESTAMP, '%Y-%m-%d %H:%M:%S UTC')"
    return (
        *_young(rules, _BY_WINDOW),
        Decision("not_due", f"{failed} AND not_due", Disposition.DEFERRED, not_due, _BY_WINDOW),
    )


def _load(rules: Rules) -> tuple[Decision, ...]:
    new, retry = Disposition.NEW, Disposition.RETRY
    attempt = f"'attempt ' || (k_retry_count + 1) || ' of {rules.max_attempts}' || coalesce(': ' || k_error, '')"
    unseen = f"k_state IN ('{FileState.DISCOVERED}', '{FileState.SKIPPED}')"
    # appended versions stay; a repeated reingest still replaces what it was to replace
    replaced = "k_attempt_replaces" if rules.on_change == "append" else _REPLACED
    return (
        Decision("retry", f"same AND k_state = '{FileState.FAILED}'", retry, attempt, _BY_WINDOW, replaced),
        Decision(
            "dead_claim",
            f"same AND k_state = '{FileState.PROCESSING}'",
            retry,
            text("the run that had claimed it died"),
            _BY_WINDOW,
            replaced,
        ),
        Decision(
            "returned_failed",
            f"same AND k_state = '{FileState.MISSING}' AND k_src_file_id IS NOT NULL",
            retry,
            "'came back; it had failed' || coalesce(': ' || k_error, '')",
            _BY_WINDOW,
            replaced,
        ),
        Decision(
            "returned",
            f"k_state = '{FileState.MISSING}' AND k_src_file_id IS NULL",
            new,
            text("came back; its rows are not in the table"),
            _BY_WINDOW,
        ),
        Decision("discovered", unseen, new, text("seen before; the table has no rows of it"), _BY_WINDOW),
        _changed(rules),
        Decision(
            "changed_failed",
            "known",
            Disposition.CHANGED,
            f"CASE WHEN k_state IN ('{FileState.FAILED}', '{FileState.QUARANTINED}')"
            " THEN 'replaced since the failed attempt' ELSE 'replaced since it was seen last' END",
            _BY_WINDOW,
        ),
        Decision(
            "late_slice",
            "late_slice",
            Disposition.LATE,
            "'late: its backfill slice ' || coalesce(slice, '') || ' was complete'",
            _BY_WINDOW,
        ),
        Decision(
            "late",
            "late",
            Disposition.LATE,
            f"'late: of ' || {_INSTANT} || ', before data already loaded'",
            _BY_WINDOW,
        ),
        Decision("new_undated", "bad_date", new, text("never seen; the date in its path is none"), _BY_WINDOW),
        Decision("new", "true", new, text("never seen"), _BY_WINDOW),
    )


def _changed(rules: Rules) -> Decision:
    what = (
        "CASE WHEN etag IS NOT NULL AND k_etag IS NOT NULL AND etag <> k_etag"
        " THEN 'etag ' || k_etag || ' -> ' || etag"
        " WHEN size_bytes <> k_size_bytes THEN 'size ' || k_size_bytes || ' -> ' || size_bytes"
        " WHEN version_id IS NOT NULL AND k_version_id IS NOT NULL"
        " THEN 'version ' || k_version_id || ' -> ' || version_id"
        " ELSE 'modification time' END"
    )
    tail = {
        "replace": "; its old rows leave with the load",
        "append": "; its old rows stay (on_change: append)",
        "fail": "; on_change: fail does not allow it",
        "ignore": "",
    }[rules.on_change]
    replaces = "NULL" if rules.on_change == "append" else _REPLACED
    reason = f"'changed: ' || {what} || {text(tail)}"
    return Decision("changed", "known AND k_src_file_id IS NOT NULL", Disposition.CHANGED, reason, Lane.LIVE, replaces)
