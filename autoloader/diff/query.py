"""The one query: listing and ledger slice joined, judged by the decision table, paced, limited and ordered.

Only text is made here; `diff` runs it. Instants are naive UTC nanoseconds inside the query, because a
local file's identity depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from autoloader.diff.decide import Decision, decisions, text
from autoloader.diff.limits import limit_bounds
from autoloader.diff.rules import BackfillRules, Rules, Selector
from autoloader.inventory import WORK, Disposition, Lane, same_identity_sql

_WORK = ", ".join(f"'{d}'" for d in sorted(WORK))
MODIFIED = "make_timestamp(epoch_ns(modified_at) // 1000)"
"""A cast would round the last nanoseconds of a day into the next one."""
LATE_MARGIN = "INTERVAL 1 DAY"
"""Without a date in the path, a new file is late when it is this much older than the newest loaded one."""

_BLIND = """
SELECT DISTINCT file_path FROM (
  SELECT file_path, CASE WHEN n = 0 THEN file_path ELSE array_to_string(parts[:n], '/') || '/' END AS place FROM (
    SELECT file_path, parts, unnest(range(len(parts))) AS n FROM (
      SELECT file_path, string_split(file_path, '/') AS parts FROM placed WHERE NOT listed)))
WHERE place IN (SELECT path FROM unseen)"""
"""Files that are not listed and lie, or have a folder above them, where the listing could not look."""


def diff_sql(rules: Rules) -> str:
    """The whole query over relations `listing`, `known`, `slices` and `unseen`; its columns are those of `DIFF`."""
    stages = [
        ("joined", _joined(rules)),
        ("placed", _placed(rules)),
        ("newest", _newest(rules)),
        *([("blind", _BLIND)] if rules.unseen else []),
        ("judged", _judged(rules)),
        ("decided", _decided(decisions(rules))),
        ("paced", _paced(rules.backfill)),
        ("limited", _limited(rules)),
    ]
    # `placed` is read twice, and the regexes of its dates are half of the work
    with_ = ",\n".join(f"{name} AS {'MATERIALIZED ' * (name == 'placed')}({sql})" for name, sql in stages)
    return f"WITH {with_}\n{_final(rules)}"


def _joined(rules: Rules) -> str:
    start = f"starts_with(k.file_path, {text(rules.root)})"
    below = f"CASE WHEN {start} THEN substr(k.file_path, {len(rules.root) + 1}) END"
    return f"""
SELECT coalesce(l.file_path, k.file_path) AS file_path, coalesce(l.key, {below}) AS key,
  l.file_path IS NOT NULL AS listed, k.file_path IS NOT NULL AS known,
  CASE WHEN l.file_path IS NOT NULL THEN l.size_bytes ELSE k.size_bytes END AS size_bytes,
  CASE WHEN l.file_path IS NOT NULL THEN l.modified_at ELSE k.modified_at END AS modified_at,
  CASE WHEN l.file_path IS NOT NULL THEN l.etag ELSE k.etag END AS etag,
  CASE WHEN l.file_path IS NOT NULL THEN l.version_id ELSE k.version_id END AS version_id,
  k.file_path IS NOT NULL AND l.file_path IS NOT NULL AND {same_identity_sql("l", "k")} AS same,
  l.modified_at IS DISTINCT FROM k.modified_at AS moved_time,
  k.size_bytes AS k_size_bytes, k.modified_at AS k_modified_at, k.etag AS k_etag,
  k.version_id AS k_version_id, k.state AS k_state, coalesce(k.claimed, false) AS k_claimed,
  k.src_file_id AS k_src_file_id, k.rows AS k_rows,
  k.retry_count AS k_retry_count, k.next_attempt_at AS k_next_attempt_at, k.fingerprint AS k_fingerprint,
  k.schema_version AS k_schema_version, k.batch_id AS k_batch_id, coalesce(k.reload, false) AS k_reload,
  k.error AS k_error, k.attempt_replaces AS k_attempt_replaces
FROM listing l FULL OUTER JOIN known k ON l.file_path = k.file_path"""


def _any(regexes: Sequence[str]) -> str:
    return "regexp_full_match(key, " + text("|".join(f"(?:{r})" for r in regexes)) + ")"


def _placed(rules: Rules) -> str:
    """Scope of the key, and the file's place in time and in the window."""
    local = f"({rules.instant_sql})::TIMESTAMP" if rules.instant_sql is not None else "NULL::TIMESTAMP"
    by_path = rules.instant_sql is not None and (rules.backfill is None or rules.backfill.by == "path")
    instant = "path_at" if by_path else MODIFIED
    inner = f"""
SELECT *, coalesce(({rules.hidden_sql}) OR ends_with(key, '/'), false) AS hidden,
  {_any(rules.include) if rules.include else "true"} AS included,
  {_any(rules.exclude) if rules.exclude else "false"} AS excluded, {local} AS path_at
FROM joined"""
    window = rules.backfill
    before = f"instant < {_at(window.from_at)}" if window and window.from_at else "false"
    inside = _inside(window)
    slices = window is not None and bool(window.slices)
    piece = f"CASE WHEN {inside} AND instant < s.until_at THEN s.label END" if slices else "NULL::VARCHAR"
    ordinal = f"CASE WHEN {inside} THEN s.ordinal END" if slices else "NULL::INTEGER"
    join = "ASOF LEFT JOIN slices s ON p.instant >= s.from_at" if slices else ""
    return f"""
SELECT p.*, path_at::DATE AS data_date, coalesce({before}, false) AS before_window, {inside} AS in_window,
  {piece} AS slice, {ordinal} AS slice_ordinal, {by_path} AS by_path
FROM (SELECT *, {instant} AS instant FROM ({inner})) p {join}"""


def _inside(window: BackfillRules | None) -> str:
    if window is None:
        return "false"
    bounds = ["instant IS NOT NULL"]
    if window.from_at is not None:
        bounds.append(f"instant >= {_at(window.from_at)}")
    if window.until_at is not None:
        bounds.append(f"instant < {_at(window.until_at)}")
    return "(" + " AND ".join(bounds) + ")"


def _at(moment: datetime) -> str:
    """A naive instant as an SQL literal."""
    return f"TIMESTAMP '{moment.isoformat(sep=' ')}'"


def _utc(moment: datetime) -> str:
    return _at(moment.astimezone(UTC).replace(tzinfo=None))


def _newest(rules: Rules) -> str:
    """The newest data that is in the table, of files outside the window; null before the first load."""
    if not rules.has_run or rules.order == "newest":
        return "SELECT NULL::TIMESTAMP AS newest_instant"
    return "SELECT max(instant) AS newest_instant FROM placed WHERE k_src_file_id IS NOT NULL AND NOT in_window"


def _judged(rules: Rules) -> str:
    """The conditions that need the clock, the newest data or a selector."""
    margin = "" if rules.instant_sql is not None else f" - {LATE_MARGIN}"
    young = f"listed AND modified_at > {_utc(rules.now_at)} - to_microseconds({int(rules.min_age_s * 1e6)})"
    columns = [
        f"({young}) AS young" if rules.min_age_s > 0 else "false AS young",
        f"({MODIFIED} < {_utc(rules.start_at)}) AS before_start" if rules.start_at else "false AS before_start",
        f"(k_next_attempt_at::TIMESTAMP > {_utc(rules.now_at)}) AS not_due",
        f"(NOT known AND NOT in_window AND instant < newest_instant{margin}) AS late",
        f"({_late_slice(rules.backfill)}) AS late_slice",
        f"(path_at IS NULL AND ({rules.found_sql})) AS bad_date",
    ]
    if rules.unseen:
        columns.append("file_path IN (SELECT file_path FROM blind) AS unseen")
    columns += [f"({_selected(s)}) AS selected_{n}" for n, s in enumerate(rules.reingest)]
    if rules.fill_fingerprints:
        columns.append(
            "k_fingerprint IN (" + ", ".join(text(f) for f in sorted(rules.fill_fingerprints)) + ") AS filled"
        )
    return f"SELECT *, {', '.join(columns)} FROM placed, newest"


def _late_slice(window: BackfillRules | None) -> str:
    if window is None:
        return "false"
    if window.complete:
        return "in_window AND NOT known"
    if not window.finished:
        return "false"
    return f"in_window AND NOT known AND slice IN ({', '.join(text(s) for s in sorted(window.finished))})"


def _selected(selector: Selector) -> str:
    if selector.regex is not None:
        return _any([selector.regex])
    if selector.state is not None:
        return f"k_state = {text(selector.state)}"
    if selector.batch is not None:
        return f"k_batch_id = {text(selector.batch)}"
    if selector.schema_version is not None:
        return f"k_schema_version = {selector.schema_version}"
    if selector.dates is not None:
        first, last = selector.dates
        day = f"coalesce(data_date, {MODIFIED}::DATE)"
        return f"{day} >= DATE '{first}' AND {day} < DATE '{last}'"
    return "false"


def _decided(table: Sequence[Decision]) -> str:
    number = "CASE " + " ".join(f"WHEN {d.when} THEN {i}" for i, d in enumerate(table)) + " END"

    def column(values: Sequence[str], name: str) -> str:
        distinct = dict.fromkeys(values)
        if len(distinct) == 1:
            return f"{values[0]} AS {name}"
        arms = " ".join(f"WHEN {i} THEN {v}" for i, v in enumerate(values) if v != "NULL")
        return f"CASE rule {arms} END AS {name}"

    window = f"CASE WHEN in_window THEN '{Lane.BACKFILL}' ELSE '{Lane.LIVE}' END"
    lanes = ["NULL" if d.lane is None else window if d.lane == "window" else text(d.lane) for d in table]
    columns = [
        column([text(d.disposition) for d in table], "disposition"),
        column([d.reason for d in table], "reason"),
        column(lanes, "lane"),
        column([d.replaces for d in table], "replaces"),
    ]
    return f"SELECT *, {', '.join(columns)} FROM (SELECT *, {number} AS rule FROM judged)"


def _paced(window: BackfillRules | None) -> str:
    """Files of slices that may not begin yet wait."""
    if window is None or not window.paced or window.complete:
        return "SELECT * FROM decided"
    started = ", ".join(text(s) for s in sorted(window.started | window.finished)) or "''"
    due = f"""(SELECT min(slice_ordinal) FROM decided WHERE lane = '{Lane.BACKFILL}'
      AND disposition IN ({_WORK}) AND slice NOT IN ({started}))"""
    allowed = f"slice IN ({started})" + (f" OR slice_ordinal = {due}" if window.may_start else "")
    when = f" begins at {window.next_start_at:%Y-%m-%d %H:%M UTC} at the earliest" if window.next_start_at else " waits"
    why = f"'its slice{when} (backfill.every): ' || slice"
    waits = f"lane = '{Lane.BACKFILL}' AND disposition IN ({_WORK}) AND slice IS NOT NULL AND NOT ({allowed})"
    return _deferring("decided", waits, why)


def _deferring(relation: str, waits: str, why: str) -> str:
    return f"""
SELECT * EXCLUDE (waits) REPLACE (
  CASE WHEN waits THEN '{Disposition.DEFERRED}' ELSE disposition END AS disposition,
  CASE WHEN waits THEN {why} ELSE reason END AS reason)
FROM (SELECT *, coalesce({waits}, false) AS waits FROM {relation})"""


def _lane_rank() -> str:
    return f"CASE lane WHEN '{Lane.LIVE}' THEN 0 WHEN '{Lane.BACKFILL}' THEN 2 ELSE 1 END"


def _load_order(rules: Rules) -> str:
    """Live files, those asked for again, the backfill slice by slice; within each by time, then path."""
    direction = "DESC" if rules.order == "newest" else "ASC"
    return f"{_lane_rank()}, slice_ordinal NULLS LAST, instant {direction} NULLS LAST, file_path"


def _limited(rules: Rules) -> str:
    """Files over the limits wait; `limits` has the arithmetic."""
    if not rules.limits.bounded or rules.refresh == "full":
        return "SELECT * FROM paced"
    bounds = limit_bounds(rules.limits)
    share = rules.backfill.share if rules.backfill is not None else 0.5
    demand = ", ".join(
        f"coalesce(sum({b.weight}) FILTER (lane = '{Lane.LIVE}'), 0) AS live_{b.name}, "
        f"coalesce(sum({b.weight}) FILTER (lane <> '{Lane.LIVE}'), 0) AS other_{b.name}"
        for b in bounds
    )
    window = f"(PARTITION BY lane = '{Lane.LIVE}' ORDER BY {_load_order(rules)} ROWS UNBOUNDED PRECEDING)"
    sums = ", ".join(f"sum({b.weight}) OVER {window} AS sum_{b.name}" for b in bounds)
    over = "".join(f"WHEN {b.over(share)} THEN {text(b.reason)} " for b in bounds)
    return f"""
SELECT p.* REPLACE (
  CASE WHEN o.reason IS NULL THEN p.disposition ELSE '{Disposition.DEFERRED}' END AS disposition,
  coalesce(o.reason, p.reason) AS reason)
FROM paced p LEFT JOIN (
  SELECT file_path, CASE {over}END AS reason
  FROM (SELECT *, {sums}, row_number() OVER {window} AS place FROM paced WHERE disposition IN ({_WORK})) work,
    (SELECT {demand} FROM paced WHERE disposition IN ({_WORK})) demand
) o ON p.file_path = o.file_path"""


def _final(rules: Rules) -> str:
    works = f"disposition IN ({_WORK})"
    return f"""
SELECT {text(rules.ingestion)} AS ingestion, file_path, key, size_bytes, modified_at, etag, version_id,
  disposition, reason, lane, slice, data_date, replaces,
  CASE WHEN replaces IS NOT NULL THEN k_rows END AS replaces_rows,
  k_etag AS known_etag, k_size_bytes AS known_size_bytes, k_modified_at AS known_modified_at,
  k_retry_count AS retry_count, k_state AS known_state
FROM limited
ORDER BY CASE WHEN {works} THEN 0 ELSE 1 END,
  CASE WHEN {works} THEN ({_lane_rank()}) END, CASE WHEN {works} THEN slice_ordinal END NULLS LAST,
  CASE WHEN {works} THEN instant END {"DESC" if rules.order == "newest" else "ASC"} NULLS LAST, file_path"""
