"""Where files come from and where rows go: the `source` and `destination` of a spec."""

from __future__ import annotations

import codecs
import posixpath
import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from autoloader.spec.columns import ColumnName, SimpleTypeText
from autoloader.spec.model import Model, refusal
from autoloader.spec.partitions import Partition, partition_field
from autoloader.spec.quantities import Count, Duration, Flag, Text
from autoloader.spec.sorting import Sorting, sort_term
from autoloader.spec.times import Start

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


NAME_RULE: Final = "Use letters, digits, `_`, `-` and `.`, beginning with a letter, a digit or `_`."


def is_safe_name(value: str) -> bool:
    """Whether an ingestion may be called so; `NAME_RULE` says what may be."""
    return re.fullmatch(NAME, value) is not None


def _name(value: str) -> str:
    if not is_safe_name(value):
        raise refusal("is not a safe name", fix=NAME_RULE)
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
PathDateText = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"\{Y\}"})]
Character = Annotated[str, BeforeValidator(_character), Field(max_length=1)]
Delimiter = Annotated[str, BeforeValidator(_character), Field(min_length=1, max_length=1)]


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
    path_date: PathDateText | None = None
    partitions: dict[ColumnName, SimpleTypeText] = Field(default_factory=dict)
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
            fix = "Take it out, or change source.format."
            raise refusal(what, fix=fix, at=(key,), compares=True)
        return options

    @field_validator("path_date")
    @classmethod
    def _path_date_holds_a_year(cls, template: str | None) -> str | None:
        if template is not None and "{Y}" not in template:
            fix = 'Write the parts of the date as {Y}, {m}, {d} and {H}, like "year={Y}/month={m}/day={d}".'
            raise refusal("does not say where the year is", fix=fix)
        return template


class Destination(Model):
    """The Iceberg table."""

    table: TableName
    partition_by: tuple[Partition, ...] = ()
    sort_by: tuple[Sorting, ...] = ()
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

    @field_validator("sort_by")
    @classmethod
    def _each_column_stands_once(cls, terms: tuple[str, ...]) -> tuple[str, ...]:
        columns = [sort_term(term).column.lower() for term in terms]
        for index, column in enumerate(columns):
            if column in columns[:index]:
                raise refusal(f"sorts by `{terms[index]}` twice", fix="Keep one of them.", at=(index,))
        return terms
