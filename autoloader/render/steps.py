"""The steps of a change in words. Details come from storage and specs: every one is made inert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from autoloader.render.figures import bytes_text, count_text, plural
from autoloader.render.inert import escape_terminal

PLAIN: Final = frozenset({"ingestion_recorded", "table_created", "run_triggered", "table_adopted"})
"""Steps that say no more than the headline of their change; shown at full length only."""

_WORDS: Final = {
    "batch_recorded": "finish a batch of an earlier run",
    "batch_released": "release a batch of an earlier run",
    "branch_compared": "compare it with the table that is served",
    "branch_created": "build the new table aside, on a branch",
    "branch_swapped": "swap the new table in",
    "files_marked": "mark files to be loaded again",
    "files_skipped": "settle files without loading them",
    "ingestion_forgotten": "forget what is remembered",
    "ingestion_recorded": "record the ingestion",
    "ingestion_renamed": "rename the ingestion",
    "partitioning_changed": "change partitioning",
    "processed_files_cleared": "clear what is remembered of loaded files",
    "properties_removed": "take properties off the table",
    "request_recorded": "remember that the request is done",
    "rows_removed": "take out rows of files that are gone",
    "data_files_rewritten": "write anew",
    "rows_replaced": "take out the old rows of replaced files, in the same snapshot",
    "rescued_filled": "fill in values from _rescued",
    "run_triggered": "load",
    "schema_changed": "change schema",
    "sorting_changed": "change sorting",
    "spec_recorded": "record the spec",
    "table_adopted": "adopt table",
    "table_created": "create table",
    "table_grown": "grow table with what files had",
    "table_dropped": "destroy table",
    "table_emptied": "empty table",
    "table_renamed": "rename table",
}


def step_name(name: str) -> str:
    """An operation's name in words: `table_created` as `create table`."""
    return _WORDS.get(name, escape_terminal(name.replace("_", " ")))


def operation_text(name: str, details: Mapping[str, Any]) -> str:
    """One step of a change in words, on one line: `create table demo.flights, 19 columns`."""
    head, *examples = operation_lines(name, details)
    return head + (f" ({'; '.join(examples)})" if examples else "")


def operation_lines(name: str, details: Mapping[str, Any]) -> list[str]:
    """One step of a change in words, and a line for each of its examples."""
    known = {key: value for key, value in details.items() if value is not None}
    examples = [_example(each) for each in known.pop("examples", ())]
    match name:
        case "schema_changed":
            changes = known.get("changes", ())
            return [step_name(name), *(f"{_value(each['change'])} ({_value(each['class'])})" for each in changes)]
        case "rescued_filled":
            size = bytes_text(known.get("bytes", 0))
            where = f"{plural(known.get('rows', 0), 'row')} of {plural(known.get('data_files', 0), 'data file')}"
            columns = _value(known.get("columns"))
            return [f"{step_name(name)}: {columns}, {where} ({size}) written anew ({_value(known.get('class'))})"]
        case "data_files_rewritten":
            size = bytes_text(known.get("bytes", 0))
            return [f"{step_name(name)} about {size} of data files that hold other rows as well"]
        case "table_renamed" | "ingestion_renamed":
            return [f"{step_name(name)} {_value(known.get('from'))} to {_value(known.get('to'))}"]
        case "partitioning_changed" | "sorting_changed":
            old, new = (_value(known.get(key)) or "nothing" for key in ("from", "to"))
            kept = plural(known.get("files_kept", 0), "loaded file")
            head = f"{step_name(name)} from {old} to {new}"
            return [head, f"metadata only: {kept} as before, new ones in the new layout"]
    words = [_detail(key, value) for key, value in known.items() if key not in {"name", "lane"}]
    joint = " " if name in {"table_created", "table_dropped", "table_emptied", "run_triggered"} else ": "
    return [step_name(name) + (joint + ", ".join(words) if words else ""), *examples]


def _detail(key: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        match key:
            case "bytes":
                return bytes_text(value)
            case "batches":
                return plural(value, "batch", "batches")
            case "files" | "rows" | "columns":
                return plural(value, key[:-1])
    if key in {"table", "keys", "request"}:
        return _value(value)
    return f"{escape_terminal(key.replace('_', ' '))} {_value(value)}"


def _example(each: Mapping[str, Any]) -> str:
    """A replaced file with both identities: `a.csv: etag e1 → e2, 1.0 KB → 1.2 KB, 50 rows out`."""
    parts = []
    if each.get("old_etag") != each.get("new_etag"):
        parts.append(f"etag {_value(each.get('old_etag'))} → {_value(each.get('new_etag'))}")
    old, new = each.get("old_size_bytes"), each.get("new_size_bytes")
    if isinstance(old, int) and isinstance(new, int):
        parts.append(f"{bytes_text(old)} → {bytes_text(new)}" if old != new else f"{bytes_text(old)} as before")
    if each.get("rows_out") is not None:
        parts.append(f"{plural(each['rows_out'], 'row')} out")
    return f"{_value(each.get('key'))}: {', '.join(parts)}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count_text(value)
    if isinstance(value, list | tuple):
        shown = ", ".join(_value(item) for item in value[:8])
        return shown + (f", and {len(value) - 8} more" if len(value) > 8 else "")
    if isinstance(value, dict):
        return ", ".join(f"{_value(key)} {_value(item)}" for key, item in value.items())
    return escape_terminal(str(value))
