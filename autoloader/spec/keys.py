"""The table of a spec's keys: what each is for, and what a change of it does.

This table is the one source of the classes that `changes` gives to an edited spec, of the split into
data and metadata fingerprints, of the descriptions in the JSON Schema, and of the section "Which key
does what" of `docs/planning-rules.md` (a test compares them row by row).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Effect(StrEnum):
    """What a change of a key does."""

    METADATA = "metadata"
    """Recorded, and put on the table where it has a place there. No file is loaded or judged anew."""
    SCOPE = "scope"
    """Which files count changes. Files that come in are new; those that go out are kept in the table."""
    BEHAVIOUR = "behaviour"
    """What is done from the next run on. Nothing that is loaded is loaded again."""
    SCHEMA = "schema"
    """The table's columns change; `schema.compare` says whether values are needed."""
    TABLE = "table"
    """The table itself: which it is, how it is laid out, its properties."""
    RENAME = "rename"
    """The ingestion's address; with `previous_name` its history follows, without it is another one."""


@dataclass(frozen=True, slots=True)
class Key:
    """One row: a key's path (`*` for a name of the user's), its class, and a sentence on it."""

    path: str
    effect: Effect
    says: str


_M, _S, _B = Effect.METADATA, Effect.SCOPE, Effect.BEHAVIOUR
_C, _T, _R = Effect.SCHEMA, Effect.TABLE, Effect.RENAME

KEYS: Final = (
    Key("name", _R, "The ingestion's address: letters, digits, `_`, `-`, `.`."),
    Key("description", _M, "What the ingestion is for."),
    Key("owner", _M, "Who answers for it."),
    Key("tags", _M, "Words to select it by; their order means nothing."),
    Key("status", _B, "draft: planned, run only when selected by name; active; paused: not run."),
    Key("previous_name", _M, "The name before a renaming: history follows, nothing is loaded again."),
    Key("source.path", _S, "The folder: s3:// gs:// az:// file:// or relative to the project."),
    Key("source.include", _S, "Globs of the files that count; default: the format's usual endings."),
    Key("source.exclude", _S, "Globs of the files that do not count."),
    Key("source.format", _B, "The files' format; default: from their ending."),
    Key("source.options", _B, "How CSV, JSON or text files are written."),
    Key("source.path_date", _S, "Where the date stands in a path: {Y} {m} {d} {H}."),
    Key("source.partitions", _C, "key=value folders to take as columns, with their types."),
    Key("source.min_age", _B, "Files younger than this are left for the next run."),
    Key("source.start", _S, "Which existing files count: all, now, or those from an instant on."),
    Key("source.on_change", _B, "What to do with a file that was replaced after it was loaded."),
    Key("source.on_delete", _B, "What to do with the rows of a file that is gone."),
    Key("destination.table", _T, "The Iceberg table, as namespace.name."),
    Key("destination.partition_by", _T, "How the table is partitioned."),
    Key("destination.sort_by", _T, "By which columns the rows of each data file are sorted."),
    Key("destination.properties", _T, "Iceberg table properties."),
    Key("schema.columns", _C, "The declared columns; left out: inferred at plan, then pinned."),
    Key("schema.columns.*.name", _C, "The column's name in the table."),
    Key("schema.columns.*.type", _C, "The column's type."),
    Key("schema.columns.*.from", _C, "The column's name in the files, where it is another."),
    Key("schema.columns.*.description", _M, "The column's doc in the table."),
    Key("schema.new_columns", _B, "What to do with columns that the table does not have."),
    Key("schema.type_change", _B, "What to do with values that need another type."),
    Key("schema.missing_columns", _B, "What to do when a file lacks a column."),
    Key("schema.on_bad_row", _B, "What to do with a row that cannot be read as declared."),
    Key("schema.max_bad_rows", _B, "Bad rows that a file may hold; over it the file is quarantined whole."),
    Key("backfill", _S, "A window of old files, loaded in slices."),
    Key("backfill.by", _S, "Whether a file's date is in its path or its modification time."),
    Key("backfill.from", _S, "First day or instant of the window."),
    Key("backfill.until", _S, "End of the window, exclusive."),
    Key("backfill.through", _S, "Last day of the window, inclusive."),
    Key("backfill.timezone", _S, "The zone in which days begin."),
    Key("backfill.step", _B, "Length of a slice."),
    Key("backfill.every", _B, "At most one slice per period; left out: as fast as limits allow."),
    Key("backfill.order", _B, "Which slice comes first."),
    Key("backfill.share", _B, "Part of a run's budget while live files wait."),
    Key("limits.max_files", _B, "Files of one run."),
    Key("limits.max_bytes", _B, "Bytes of one run, like 500GB."),
    Key("limits.max_usd", _B, "Dollars of one run."),
    Key("limits.max_duration", _B, "Time of one run, like 2h."),
    Key("schedule", _B, "When the ingestion is due; left out: whenever it is asked."),
    Key("schedule.cron", _B, "Minute, hour, day, month, weekday."),
    Key("schedule.every", _B, "A period: hourly, daily, weekly, 6 hours, 1 day."),
    Key("schedule.at", _B, "Time of day, for periods of days or more."),
    Key("schedule.timezone", _B, "The zone of `cron` and `at`."),
    Key("compute.live", _B, "Compute profile of the live lane."),
    Key("compute.backfill", _B, "Compute profile of the backfill lane."),
    Key("refresh", _B, "A rebuild that is asked for, done once per request."),
    Key("refresh.mode", _B, "full, new-only or clear-history."),
    Key("refresh.request", _B, "The request's own name; a new name asks again."),
    Key("refresh.reason", _M, "Why, for the record."),
    Key("reingest", _B, "Files to load again, done once per request."),
    Key("reingest.*.match", _B, "Glob of the files."),
    Key("reingest.*.request", _B, "The request's own name; a new name asks again."),
    Key("reingest.*.reason", _M, "Why, for the record."),
    Key("protect", _B, "Nothing may drop or rebuild the table."),
    Key("on_remove", _B, "What happens when the spec disappears: forget, or drop the table."),
)
"""Every key of an ingestion document, in the order of the document."""

NOT_AVAILABLE_YET: dict[str, str] = {}
"""Keys that are modelled but not built: `"source.on_delete"` or `"source.on_delete=delete_rows"` to a
sentence for the reader ("" for none). They are refused by `validate` and left out of the JSON Schema.
Take a line out when the behaviour is there."""


def pattern_of(path: tuple[str | int, ...]) -> str:
    """A path in a document as this table writes it: `("reingest", 0, "match")` is `reingest.*.match`."""
    return ".".join("*" if isinstance(part, int) else part for part in path)
