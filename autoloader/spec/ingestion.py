"""The spec of one ingestion: every key, its default, and what its value must be."""

from __future__ import annotations

import codecs
import posixpath
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from autoloader.spec.columns import SchemaSpec, TypeText, is_reserved
from autoloader.spec.model import Model, refusal
from autoloader.spec.partitions import Partition, partition_field
from autoloader.spec.quantities import (
    Count,
    Duration,
    Flag,
    Label,
    LongerDuration,
    MoreMoney,
    PositiveCount,
    Share,
    Size,
    Text,
)
from autoloader.spec.times import Bound, Cron, Every, Start, Step, TimeOfDay, Zone, parse_period

NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
TABLE: Final = r"[A-Za-z0-9_][A-Za-z0-9_-]*\.[A-Za-z0-9_][A-Za-z0-9_-]*"
_SCHEMES: Final = ("s3", "s3a", "s3n", "gs", "az", "file")
_NAMED_CHARACTERS: Final = {"\\t": "\t", "tab": "\t"}
_OPTIONS_OF: Final[dict[str | None, set[str]]] = {
    "json": {"encoding"},
    "text": {"encoding"},
    "parquet": set(),
    "avro": set(),
    "orc": set(),
}


def _name(value: str) -> str:
    if re.fullmatch(NAME, value) is None:
        fix = "Use letters, digits, `_`, `-` and `.`, beginning with a letter, a digit or `_`."
        raise refusal("is not a safe name", fix=fix)
    return value


def _table(value: str) -> str:
    if re.fullmatch(TABLE, value) is None:
        fix = "Write namespace.name, each of letters, digits, `_` and `-`, like finops.billing."
        raise refusal("is not a table name", fix=fix)
    if value.lower().endswith("__quarantine"):
        fix = "Tables of that ending hold rejected rows; choose another name."
        raise refusal("ends in `__quarantine`", fix=fix)
    return value


def _source_path(value: str) -> str:
    scheme, found, rest = value.partition("://")
    if not value.strip():
        raise refusal("is empty", fix="Write a folder, like s3://bucket/billing/ or data/billing/.")
    if "*" in value:
        fix = "Write the folder here and the pattern under source.include."
        raise refusal("holds a pattern, but must be a folder", fix=fix)
    if not found:
        return value
    if scheme not in _SCHEMES:
        fix = "Use s3://, gs://, az://, file:// or a path relative to the project."
        raise refusal(f"has the scheme `{scheme}`, which is not supported", fix=fix)
    place = rest.partition("/")[0]
    if scheme != "file" and not place:
        raise refusal("names no bucket", fix=f"Write {scheme}://bucket/folder/.")
    if "@" in place:
        fix = "Take the credentials out: they come from the provider's own chain (profiles, roles, …)."
        raise refusal("holds credentials or a user name", fix=fix)
    return value


def canonical_path(path: str) -> str:
    """One way of writing a source's root: `s3a://b/x` and `s3://b/x/` are the same source.

    Relative paths stay relative (to the project), in normal form. Nothing is percent-decoded.
    """
    scheme, found, rest = path.partition("://")
    if found and scheme != "file":
        scheme = "s3" if scheme in ("s3a", "s3n") else scheme
        return f"{scheme}://{rest.rstrip('/')}/"
    local = posixpath.normpath(rest if found else path)
    local = "/" + local.lstrip("/") if local.startswith("/") else local
    prefix = "file://" if local.startswith("/") else ""
    return f"{prefix}{local.rstrip('/')}/"


def _character(value: Any) -> Any:
    return _NAMED_CHARACTERS.get(value, value) if isinstance(value, str) else value


def _encoding(value: str) -> str:
    try:
        return codecs.lookup(value).name
    except (LookupError, ValueError):
        raise refusal("is not an encoding", fix="Write a name such as utf-8, latin-1 or utf-16.") from None


def _glob(value: str) -> str:
    if not value.strip():
        raise refusal("is an empty pattern", fix='Write a pattern like "**/*.csv.gz", or take the line out.')
    return value


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})]
TableName = Annotated[
    str,
    AfterValidator(_table),
    WithJsonSchema({"type": "string", "pattern": f"^{TABLE}$", "not": {"pattern": "__[Qq]uarantine$"}}),
]
SourcePath = Annotated[
    str,
    AfterValidator(_source_path),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(?:(?:s3|s3a|s3n|gs|az)://[^/@]+(?:/.*)?|file://.*|(?!.*://).*\S.*)$",
            "not": {"pattern": r"\*"},
        }
    ),
]
GlobText = Annotated[str, AfterValidator(_glob), WithJsonSchema({"type": "string", "pattern": r"\S"})]
Character = Annotated[str, BeforeValidator(_character), Field(max_length=1)]
Delimiter = Annotated[str, BeforeValidator(_character), Field(min_length=1, max_length=4)]


class CsvOptions(Model):
    """How a CSV (or JSON, text) file is written; None = resolved once by sniffing, then pinned."""

    delimiter: Delimiter | None = None
    header: Flag | None = None
    quote: Character | None = None
    escape: Character | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    null_values: tuple[Text, ...] = ("",)
    comment: Character | None = None
    skip_rows: Count = 0


class Source(Model):
    """Where the files are and which of them count."""

    path: SourcePath
    include: tuple[GlobText, ...] = ()
    exclude: tuple[GlobText, ...] = ()
    format: Literal["csv", "json", "parquet", "avro", "orc", "text"] | None = None
    options: CsvOptions = CsvOptions()
    path_date: str | None = Field(default=None, min_length=1)
    partitions: dict[str, TypeText] = Field(default_factory=dict)
    min_age: Duration = timedelta(0)
    start: Start = "all"
    on_change: Literal["replace", "append", "ignore", "fail"] = "replace"
    on_delete: Literal["keep", "delete_rows", "fail"] = "keep"

    @field_validator("options")
    @classmethod
    def _options_fit_the_format(cls, options: CsvOptions, info: ValidationInfo) -> CsvOptions:
        format_ = info.data.get("format")
        for key in sorted(options.model_fields_set - _OPTIONS_OF.get(format_, options.model_fields_set)):
            what = f"holds `{key}`, which means nothing for {format_} files"
            raise refusal(what, fix="Take it out, or change source.format.", at=(key,))
        return options

    @field_validator("path_date")
    @classmethod
    def _path_date_holds_a_year(cls, template: str | None) -> str | None:
        if template is not None and "{Y}" not in template:
            fix = 'Write the parts of the date as {Y}, {m}, {d} and {H}, like "year={Y}/month={m}/day={d}".'
            raise refusal("does not say where the year is", fix=fix)
        return template

    @field_validator("partitions")
    @classmethod
    def _partitions_are_simple_columns(cls, partitions: dict[str, str]) -> dict[str, str]:
        for name, type_name in partitions.items():
            if is_reserved(name):
                fix = "Folders of that name cannot be taken as columns."
                raise refusal(f"names `{name}`, which lineage keeps for itself", fix=fix, at=(name,))
            if type_name.startswith(("list<", "map<", "struct<")):
                fix = "Write a simple type such as int, string or date."
                raise refusal(f"gives `{name}` a type with parts", fix=fix, at=(name,))
        return partitions


class Destination(Model):
    """The Iceberg table."""

    table: TableName
    partition_by: tuple[Partition, ...] = ()
    properties: dict[str, Text] = Field(default_factory=dict)

    @field_validator("partition_by")
    @classmethod
    def _each_part_stands_once(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        fields = [partition_field(part) for part in parts]
        keys = [(field.transform, field.column.lower()) for field in fields]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise refusal(f"partitions by `{parts[index]}` twice", fix="Keep one of them.", at=(index,))
        return parts


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
            raise refusal("stands beside `until`", fix=fix)
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
                raise refusal(what, fix="Write a later day.", up=1, at=(key,))
        return zone

    @field_validator("step")
    @classmethod
    def _slices_need_both_ends(cls, step: str | None, info: ValidationInfo) -> str | None:
        known = {"from_", "until", "through"} <= info.data.keys()
        ended = info.data.get("until") or info.data.get("through")
        if step is not None and known and not (info.data["from_"] and ended):
            fix = "Add `from`, and `until` or `through`; or leave `step` out."
            raise refusal("cuts a window into slices, but the window has no two ends", fix=fix)
        return step

    @field_validator("every")
    @classmethod
    def _pacing_needs_slices(cls, every: str | None, info: ValidationInfo) -> str | None:
        if every is not None and "step" in info.data and info.data["step"] is None:
            fix = "Add `step`, like `step: 1 year`; or leave `every` out."
            raise refusal("paces the slices, but there is no `step` that makes any", fix=fix)
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
            raise refusal("stands beside `cron`", fix="Keep `cron`, or `every` (with `at`).")
        return every

    @field_validator("at")
    @classmethod
    def _a_time_needs_days(cls, at: str | None, info: ValidationInfo) -> str | None:
        if at is None or "every" not in info.data:
            return at
        every = info.data["every"]
        if every is None or parse_period(every).unit in ("minute", "hour"):
            fix = "Add `every: 1 day` (or weeks, months); or leave `at` out."
            raise refusal("needs a period of days or more beside it", fix=fix)
        return at

    @field_validator("timezone")
    @classmethod
    def _something_is_said(cls, zone: str, info: ValidationInfo) -> str:
        if {"cron", "every"} <= info.data.keys() and not (info.data["cron"] or info.data["every"]):
            fix = 'Add `cron: "0 2 * * *"` or `every: 1 day`; or leave `schedule` out.'
            raise refusal("stands in a schedule that says neither `cron` nor `every`", fix=fix)
        return zone


class Compute(Model):
    """Names of compute profiles per lane."""

    live: Name = "default"
    backfill: Name = "default"


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


class IngestionSpec(Model):
    """One ingestion: one source into one table."""

    name: Name
    description: Text | None = None
    owner: Text | None = None
    tags: tuple[Label, ...] = ()
    status: Literal["draft", "active", "paused"] = "active"
    previous_name: Name | None = None
    source: Source
    destination: Destination
    table_schema: SchemaSpec = Field(default=SchemaSpec(), alias="schema", validate_default=True)
    backfill: Backfill | None = None
    limits: Limits = Limits()
    schedule: Schedule | None = None
    compute: Compute = Compute()
    refresh: Refresh | None = None
    reingest: tuple[Reingest, ...] = ()
    protect: Flag = False
    on_remove: Literal["forget", "drop"] = "forget"

    @field_validator("previous_name")
    @classmethod
    def _previous_name_is_another(cls, previous: str | None, info: ValidationInfo) -> str | None:
        if previous is not None and previous == info.data.get("name"):
            raise refusal("is the name that the ingestion has now", fix="Write the old name, or take it out.")
        return previous

    @field_validator("table_schema")
    @classmethod
    def _columns_agree_with_folders(cls, schema: SchemaSpec, info: ValidationInfo) -> SchemaSpec:
        source = info.data.get("source")
        folders = {name.lower(): kind for name, kind in source.partitions.items()} if source else {}
        for index, column in enumerate(schema.columns or ()):
            if folders.get(column.name.lower(), column.type) != column.type:
                what = f"declares `{column.name}` as {column.type}, source.partitions as another type"
                raise refusal(what, fix="Give both the same type.", at=("columns", index, "type"))
        return schema

    @field_validator("table_schema")
    @classmethod
    def _partition_columns_exist(cls, schema: SchemaSpec, info: ValidationInfo) -> SchemaSpec:
        destination, source = info.data.get("destination"), info.data.get("source")
        if destination is None or source is None:
            return schema
        types = {name.lower(): kind for name, kind in source.partitions.items()}
        types |= {column.name.lower(): column.type for column in schema.columns or ()}
        for index, part in enumerate(destination.partition_by):
            field, at = partition_field(part), ("destination", "partition_by", index)
            kind = types.get(field.column.lower())
            if is_reserved(field.column) or (kind is None and schema.columns is not None):
                fix = "Partition by a column of `schema.columns` or of `source.partitions`."
                raise refusal(f"names `{field.column}`, which is not a column", fix=fix, up=1, at=at)
            if kind is not None and not field.takes(kind):
                fix = "Choose another transform, or another type for the column."
                raise refusal(f"is `{part}`, but the column is {kind}", fix=fix, up=1, at=at)
        return schema

    @field_validator("backfill")
    @classmethod
    def _a_window_by_path_needs_a_path_date(cls, backfill: Backfill | None, info: ValidationInfo) -> Any:
        source = info.data.get("source")
        if backfill is not None and backfill.by == "path" and source is not None and not source.path_date:
            fix = 'Add `path_date: "year={Y}/month={m}/day={d}"` under source, or write `by: modified`.'
            raise refusal("goes by path, but the source has no `path_date`", fix=fix, at=("by",))
        return backfill

    @field_validator("reingest")
    @classmethod
    def _requests_are_different(cls, requests: tuple[Reingest, ...]) -> tuple[Reingest, ...]:
        names = [request.request for request in requests]
        for index, name in enumerate(names):
            if name in names[:index]:
                fix = "Each request is done once: give this one a name of its own."
                raise refusal(f"asks for `{name}` twice", fix=fix, at=(index, "request"))
        return requests

    def as_data(self) -> dict[str, Any]:
        """The spec as JSON-able data under its YAML keys, defaults left out, keys in model order.

        `IngestionSpec.model_validate` takes it back to an equal spec.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
