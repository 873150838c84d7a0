"""What is told beside the changes: drift, notes, and diagnostics of one ingestion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.inventory import WORK, Disposition
from autoloader.matching import default_include, nearest
from autoloader.plan import Diagnostic, Severity
from autoloader.planner import impacts
from autoloader.planner.blocks import altered, known_and_gone, loaded_count
from autoloader.planner.facts import TableFacts
from autoloader.planner.loads import Case, files_text
from autoloader.spec import canonical_path

_SHOWN_PROBLEMS: Final = 5
_NEAR_KEYS: Final = 20_000
_FAILED: Final = "failed; tried again from "


def drift_of(case: Case) -> tuple[str, ...]:
    """What happened to the table behind our back."""
    recorded, table = case.recorded, case.moving or case.table
    if recorded is None or case.asked.mode == "offline":
        return ()
    name = recorded.table or case.spec.destination.table
    if table is None:
        loaded = loaded_count(case)
        return (f"{name} was dropped; {files_text(loaded)} recorded as loaded into it",) if loaded else ()
    if recorded.table_uuid is not None and table.uuid != recorded.table_uuid:
        return (f"{name} was dropped and made anew by someone else",)
    if table.unknown:  # what else is missing is told once these are remembered
        loads = "a load" if table.unknown == 1 else f"{table.unknown:,} loads"
        return (f"{name} got {loads} that this state does not remember", *_altered(case, name))
    if table.lost or table.back:
        return (*_rolled_back(case, name, table), *_back(case, name, table), *_altered(case, name))
    return (*_altered(case, name), *_written(case, name, recorded.snapshot_id, table))


def _written(case: Case, name: str, seen: int | None, table: TableFacts) -> tuple[str, ...]:
    if seen is None or table.snapshot_id == seen or table.foreign == 0:
        return ()
    return (
        f"{name} was written by someone else since our last commit (snapshot {seen} -> {table.snapshot_id});"
        f" see whether rows of files are not as they were loaded: autoloader verify {case.spec.name}",
    )


def _altered(case: Case, name: str) -> tuple[str, ...]:
    found = altered(case)
    return (f"the columns of {name} were altered by someone else: {', '.join(found)}",) if found else ()


def _rolled_back(case: Case, name: str, table: TableFacts) -> tuple[str, ...]:
    paths = [path for batch in table.lost.values() for path in batch]
    again = "".join(f" --reingest {case.spec.name}=batch:{batch}" for batch in list(table.lost)[:3])
    said = (
        f"{name} was rolled back by someone else: rows of {files_text(len(paths))} left it ({_few(paths)})."
        f" To load them again, run: autoloader plan{again}"
    )
    return (said,) if paths else ()


def _back(case: Case, name: str, table: TableFacts) -> tuple[str, ...]:
    said = (
        f"{name} was rolled back by someone else: rows of {files_text(len(table.back))} that had left it are"
        f" there again ({_few(table.back)}). To take them out again, run: autoloader rebuild-ledger {case.spec.name},"
        " then apply"
    )
    return (said,) if table.back else ()


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:_SHOWN_PROBLEMS]) + (" and others" if len(paths) > _SHOWN_PROBLEMS else "")


def notes_of(case: Case) -> tuple[str, ...]:
    """Sentences on what is not done, and why."""
    if case.files is None:
        return ()
    name = case.spec.name
    notes = []
    rebuilt = case.refresh is not None and case.refresh[0] == "full"  # then nothing of the old table is kept
    early = _never_loaded(case.files)
    if early:
        begin = "backfill.from" if case.spec.source.start == "all" else "source.start or backfill.from"
        notes.append(f"{name}: {files_text(early)} dated before {begin}, never loaded")
    kept = case.count(Disposition.OUT_OF_SCOPE) - early
    if kept and rebuilt:
        notes.append(f"{name}: {files_text(kept)} out of scope; the rebuilt table has no rows of them")
    elif kept:
        notes.append(f"{name}: {files_text(kept)} out of scope; what was loaded is kept")
    _, gone = known_and_gone(case)
    away = case.count(Disposition.MISSING)
    if away and rebuilt:
        notes.append(f"{name}: {files_text(away)} gone from storage; the rebuilt table has no rows of them")
    elif gone and case.spec.source.on_delete == "keep":
        notes.append(f"{name}: {files_text(gone)} gone from storage; rows are kept (on_delete: keep)")
    waiting = case.count(Disposition.DEFERRED)
    again = case.asked.reingest.get(name, ())
    if again and not waiting and not case.count(Disposition.REINGEST):
        notes.append(f"{name}: --reingest {', '.join(again)} selects no file that was loaded")
    if waiting:
        notes.append(f"{name}: {files_text(waiting)} must wait for a later run: {_why_waiting(case.files)}")
    given_up = case.count(Disposition.QUARANTINED)
    if given_up:
        notes.append(f"{name}: {files_text(given_up)} set aside; see them: autoloader files {name} --state QUARANTINED")
    notes += _moved_source(case)
    return tuple(notes)


def _never_loaded(files: pa.Table) -> int:
    """Files of before the begin of a window or of the source, which have no rows."""
    out = pc.equal(files["disposition"], Disposition.OUT_OF_SCOPE.value)
    return int(pc.sum(pc.and_(out, pc.ends_with(files["reason"], "never loaded"))).as_py() or 0)


def _why_waiting(files: pa.Table) -> str:
    """The commonest reasons, without the parts that differ from file to file; of those that failed, the next time."""
    rows = files.filter(pc.equal(files["disposition"], Disposition.DEFERRED.value))
    counted: dict[str, int] = {}
    failed = [row for row in pc.value_counts(rows["reason"]).to_pylist() if row["values"].startswith(_FAILED)]
    if failed:
        counted[min(row["values"] for row in failed)] = sum(row["counts"] for row in failed)
    others = rows.filter(pc.invert(pc.starts_with(rows["reason"], _FAILED)))
    for row in pc.value_counts(pc.replace_substring_regex(others["reason"], r";.*|: [0-9].*", "")).to_pylist():
        counted[row["values"]] = row["counts"]
    ordered = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{reason} ({number:,})" for reason, number in ordered[:3])


def _moved_source(case: Case) -> list[str]:
    if case.recorded is None:
        return []
    before = (case.recorded.spec.get("source") or {}).get("path")
    after = case.spec.source.path
    if before is None or canonical_path(before) == canonical_path(after):
        return []
    return [
        f"{case.spec.name}: the source moved from {before} to {after};"
        " files there that were never seen count as new, those loaded before are kept"
    ]


def diagnostics_of(case: Case) -> tuple[Diagnostic, ...]:
    """Patterns that match nothing, an empty new source, paths without a real date, what could not be seen."""
    looked = case.looked
    if looked is None:
        return ()
    found = [
        Diagnostic(Severity.WARNING, f"{case.spec.name}: {path} could not be looked at", message)
        for path, message in looked.problems[:_SHOWN_PROBLEMS]
    ]
    if len(looked.problems) > _SHOWN_PROBLEMS:
        more = len(looked.problems) - _SHOWN_PROBLEMS
        found.append(Diagnostic(Severity.WARNING, f"{case.spec.name}: {more:,} more paths could not be looked at"))
    return (*found, *_nothing_matches(case), *_undated(case))


def _nothing_matches(case: Case) -> tuple[Diagnostic, ...]:
    """Files are there and no pattern takes one: an error with near misses. No file at all: a warning."""
    looked, spec = case.looked, case.spec
    if looked is None or known_and_gone(case)[1]:
        return ()
    unmatched = _unmatched(looked.files)
    hidden, away = case.count(Disposition.HIDDEN), case.count(Disposition.MISSING)
    if looked.files.num_rows > unmatched.num_rows + hidden + away + _elsewhere(looked.files):
        return ()
    keys = list(dict.fromkeys((*unmatched["key"].slice(0, _NEAR_KEYS).to_pylist(), *looked.near)))
    if keys:
        patterns = spec.source.include or default_include(spec.source.format)
        summary = f"{spec.name}: no file below {spec.source.path} matches {', '.join(patterns)}"
        if spec.source.exclude and _are_excluded(unmatched):
            exclude = ", ".join(spec.source.exclude)
            summary = f"{spec.name}: exclude ({exclude}) leaves out every file below {spec.source.path}"
            return (Diagnostic(Severity.ERROR, summary, f"{files_text(unmatched.num_rows)} there."),)
        near = "\n".join(f"  {_on_one_line(key)}" for key in nearest(patterns, keys, 5))
        there = max(len(keys), unmatched.num_rows)
        return (Diagnostic(Severity.ERROR, summary, f"{files_text(there)} there. The nearest:\n{near}"),)
    if loaded_count(case):
        return ()
    there = f"{hidden:,} hidden files are there" if hidden else "It may be empty still"
    detail = f"{there}; nothing is loaded until files arrive."
    return (Diagnostic(Severity.WARNING, f"{spec.name}: there is no file below {spec.source.path}", detail),)


def _on_one_line(key: str) -> str:
    """A key that stays in its line of a detail, whatever letters it has."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in key
    )


def _unmatched(files: pa.Table) -> pa.Table:
    """Files that the patterns leave out, seen before or not."""
    excluded = pc.equal(files["disposition"], Disposition.EXCLUDED.value)
    kept = pc.equal(files["disposition"], Disposition.OUT_OF_SCOPE.value)
    return files.filter(pc.or_(excluded, pc.and_(kept, pc.match_substring(files["reason"], "pattern matches"))))


def _are_excluded(unmatched: pa.Table) -> bool:
    """Whether a pattern takes each of them, and `exclude` leaves it out again."""
    excluded = pc.sum(pc.match_substring(unmatched["reason"], "exclude pattern matches")).as_py() or 0
    return bool(0 < unmatched.num_rows == excluded)


def _elsewhere(files: pa.Table) -> int:
    """Remembered files that are not below the source any more."""
    return int(pc.sum(pc.is_null(files["key"])).as_py() or 0)


def _undated(case: Case) -> tuple[Diagnostic, ...]:
    """Work whose path has no date although `path_date` says where it would be: loaded, but told."""
    if case.files is None or case.spec.source.path_date is None:
        return ()
    work = impacts.rows_where(case.files, None, [d.value for d in WORK])
    bad = work.filter(pc.is_null(work["data_date"]))
    if bad.num_rows == 0:
        return ()
    keys = "\n".join(f"  {_on_one_line(key)}" for key in bad["key"].slice(0, 5).to_pylist())
    summary = f"{case.spec.name}: no date in {files_text(bad.num_rows)} where path_date says; loaded as live files"
    return (Diagnostic(Severity.WARNING, summary, keys),)
