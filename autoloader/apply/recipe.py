"""How one ingestion is carried out as planned: its spec, and what planning resolved for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from autoloader import schema as schemas
from autoloader.schema import TableSchema
from autoloader.spec import IngestionSpec

if TYPE_CHECKING:
    from autoloader.reader import ReadContract


@dataclass(frozen=True, slots=True)
class Recipe:
    """A spec with its loose ends tied.

    Attributes:
        spec: The spec.
        format: The files' format, from the spec or from their ending.
        schema: Declared, pinned or inferred data columns; None while there is no file to infer them from.
        dialect: Resolved dialect as data; None where there is none to resolve.
        notes: How schema and dialect were found, for people.
    """

    spec: IngestionSpec
    format: str | None = None
    schema: TableSchema | None = None
    dialect: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def contract(self, *, lineage_columns: bool = True) -> ReadContract:
        """What the reader is told. Only for a recipe with a format and a schema."""
        from autoloader.reader import Dialect, ReadContract

        if self.format is None or self.schema is None:
            raise ValueError(f"nothing is resolved for {self.spec.name}")
        rules = self.spec.table_schema
        return ReadContract(
            schema=self.schema,
            format=self.format,  # type: ignore[arg-type]  # one of the six, judged by the spec
            dialect=Dialect.from_data(self.dialect or {}),
            new_columns=rules.new_columns,
            type_change=rules.type_change,
            missing_columns=rules.missing_columns,
            on_bad_row=rules.on_bad_row,
            max_bad_rows=rules.max_bad_rows,
            partitions=self.spec.source.partitions,
            lineage_columns=lineage_columns,
        )

    def to_data(self) -> dict[str, Any]:
        """The recipe as JSON-able data, for a saved plan."""
        return {
            "spec": self.spec.as_data(),
            "format": self.format,
            "schema": None if self.schema is None else schemas.to_data(self.schema),
            "dialect": None if self.dialect is None else dict(self.dialect),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The recipe that `to_data` wrote."""
        schema = data.get("schema")
        return cls(
            spec=IngestionSpec.model_validate(data["spec"]),
            format=data.get("format"),
            schema=None if schema is None else schemas.from_data(schema),
            dialect=data.get("dialect"),
        )
