"""The spec of one ingestion, and what must hold between its parts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from autoloader.spec.columns import SchemaSpec, is_reserved
from autoloader.spec.model import Model, refusal
from autoloader.spec.partitions import partition_field
from autoloader.spec.quantities import Flag, Label, Text
from autoloader.spec.runs import Backfill, Compute, Limits, Refresh, Reingest, Schedule
from autoloader.spec.sorting import sort_term
from autoloader.spec.source import Destination, Name, Source


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
                raise refusal(what, fix="Give both the same type.", at=("columns", index, "type"), compares=True)
        return schema

    @field_validator("table_schema")
    @classmethod
    def _partition_columns_exist(cls, schema: SchemaSpec, info: ValidationInfo) -> SchemaSpec:
        destination, source = info.data.get("destination"), info.data.get("source")
        if destination is None or source is None:
            return schema
        types = _types(schema, source)
        for index, part in enumerate(destination.partition_by):
            field, at = partition_field(part), ("destination", "partition_by", index)
            kind = types.get(field.column.lower())
            if is_reserved(field.column) or (kind is None and schema.columns is not None):
                fix = "Partition by a column of `schema.columns` or of `source.partitions`."
                raise refusal(f"names `{field.column}`, which is not a column", fix=fix, up=1, at=at, compares=True)
            if kind is not None and not field.takes(kind):
                fix = "Choose another transform, or another type for the column."
                raise refusal(f"is `{part}`, but the column is {kind}", fix=fix, up=1, at=at, compares=True)
        return schema

    @field_validator("table_schema")
    @classmethod
    def _sort_columns_exist(cls, schema: SchemaSpec, info: ValidationInfo) -> SchemaSpec:
        destination, source = info.data.get("destination"), info.data.get("source")
        if destination is None or source is None:
            return schema
        types = _types(schema, source)
        for index, term in enumerate(destination.sort_by):
            column, at = sort_term(term).column, ("destination", "sort_by", index)
            kind = types.get(column.lower())
            if is_reserved(column) or (kind is None and schema.columns is not None):
                fix = "Sort by a column of `schema.columns` or of `source.partitions`."
                raise refusal(f"names `{column}`, which is not a column", fix=fix, up=1, at=at, compares=True)
            if kind is not None and kind.startswith(("list<", "map<", "struct<")):
                fix = "Sort by columns of simple types."
                raise refusal(f"sorts by `{column}`, which is {kind}", fix=fix, up=1, at=at, compares=True)
        return schema

    @field_validator("backfill")
    @classmethod
    def _a_window_by_path_needs_a_path_date(cls, backfill: Backfill | None, info: ValidationInfo) -> Any:
        source = info.data.get("source")
        if backfill is not None and backfill.by == "path" and source is not None and not source.path_date:
            fix = 'Add `path_date: "year={Y}/month={m}/day={d}"` under source, or write `by: modified`.'
            raise refusal("goes by path, but the source has no `path_date`", fix=fix, at=("by",), compares=True)
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


def _types(schema: SchemaSpec, source: Source) -> dict[str, str]:
    """The types that are declared, by lower-case name: of folders and of columns."""
    folders = {name.lower(): kind for name, kind in source.partitions.items()}
    return folders | {column.name.lower(): column.type for column in schema.columns or ()}
