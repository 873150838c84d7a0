"""What a reader is told: the contract of an ingestion, resolved, and the lineage of each file.

JSON-able both ways (`to_data`, `from_data`), because it travels to the executors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, Self

from autoloader import schema as schemas
from autoloader.spec.quantities import BadRowLimit, parse_bad_rows

_ONE_PERCENT: Final = BadRowLimit(fraction=Decimal("0.01"))
Format = Literal["csv", "json", "parquet", "avro", "orc", "text"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the text files of an ingestion are written, resolved once and pinned.

    Attributes:
        delimiter: Between fields, one to four characters.
        quote: Around fields; "" = none.
        escape: Before a quote inside quotes; equal to `quote` where quotes are doubled.
        header: The first line holds the names. False: the columns are `column0`, `column1`, ….
        encoding: A Python codec name; bytes that are not in it are an error.
        null_values: Unquoted texts that mean null.
        comment: Lines that start with it are skipped; "" = none.
        skip_rows: Lines before the header that are skipped.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    header: bool = True
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)
    comment: str = ""
    skip_rows: int = 0

    def to_data(self) -> dict[str, Any]:
        """The dialect as JSON-able data."""
        return {
            "delimiter": self.delimiter,
            "quote": self.quote,
            "escape": self.escape,
            "header": self.header,
            "encoding": self.encoding,
            "null_values": list(self.null_values),
            "comment": self.comment,
            "skip_rows": self.skip_rows,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The dialect that `to_data` wrote; unknown keys are ignored, absent ones have the default."""
        known = {k: v for k, v in data.items() if k in cls.__dataclass_fields__ and v is not None}
        if "null_values" in known:
            known["null_values"] = tuple(known["null_values"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class ReadContract:
    """Everything that decides which rows a file yields, besides its bytes.

    Attributes:
        schema: The table's data columns, in order, partition columns included.
        format: The files' format.
        dialect: Of csv and text files; its encoding, of json files too.
        new_columns: `add`, `rescue`, `ignore` or `fail`: a column that the schema has not.
        type_change: `widen`, `rescue` or `fail`: a column whose type does not fit.
        missing_columns: `null` or `fail`: a column of the schema that a file has not.
        on_bad_row: `quarantine`, `rescue` or `fail`: a row that cannot be read or cast.
        max_bad_rows: Per file, over it the file is quarantined whole. Exactly at it passes.
        partitions: Type (as text) of each `key=value` folder that is a column.
        lineage_columns: Whether `_src_file_id` … `_rescued` are appended.
        may_grow: Whether a file may ask for columns and types first (`SchemaGrowsError`), as `new_columns: add`
            and `type_change: widen` promise; else it is read as the schema is.
    """

    schema: schemas.TableSchema
    format: Format
    dialect: Dialect = field(default_factory=Dialect)
    new_columns: Literal["add", "rescue", "ignore", "fail"] = "add"
    type_change: Literal["widen", "rescue", "fail"] = "widen"
    missing_columns: Literal["null", "fail"] = "null"
    on_bad_row: Literal["quarantine", "rescue", "fail"] = "quarantine"
    max_bad_rows: BadRowLimit = _ONE_PERCENT
    partitions: Mapping[str, str] = field(default_factory=dict)
    lineage_columns: bool = True
    may_grow: bool = False

    def to_data(self) -> dict[str, Any]:
        """The contract as JSON-able data."""
        return {
            "schema": schemas.to_data(self.schema),
            "format": self.format,
            "dialect": self.dialect.to_data(),
            "new_columns": self.new_columns,
            "type_change": self.type_change,
            "missing_columns": self.missing_columns,
            "on_bad_row": self.on_bad_row,
            "max_bad_rows": str(self.max_bad_rows),
            "partitions": dict(self.partitions),
            "lineage_columns": self.lineage_columns,
            "may_grow": self.may_grow,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The contract that `to_data` wrote."""
        known = dict(data)
        known["schema"] = schemas.from_data(known["schema"])
        known["max_bad_rows"] = parse_bad_rows(known.get("max_bad_rows", "1%"))
        known["dialect"] = Dialect.from_data(known.get("dialect") or {})
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Lineage:
    """What every row of one file carries besides its data.

    Attributes:
        src_file_id: The ledger's id of this version of the file.
        src_path: Canonical URI.
        batch_id: The batch that loads it.
        ingested_at: Aware UTC.
    """

    src_file_id: int
    src_path: str
    batch_id: str
    ingested_at: datetime


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to read: where its pinned bytes are, and who it is.

    Attributes:
        path: A local path with a safe name (no glob characters).
        key: Path below the source root; its `key=value` folders give partition columns.
        lineage: Who it is.
    """

    path: Path
    key: str
    lineage: Lineage
