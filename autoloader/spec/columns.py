"""Declared columns, the schema contract, and the names that lineage keeps for itself."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator

from autoloader import schema
from autoloader.errors import AutoloaderError
from autoloader.spec.model import Model, any_case, refusal
from autoloader.spec.quantities import BadRowLimit, BadRows, Text, parse_bad_rows

LINEAGE_COLUMNS: Final = ("_src_file_id", "_src_path", "_src_row", "_batch_id", "_ingested_at", "_rescued")
RESERVED: Final = "|".join([any_case("_src_") + ".*", *(any_case(name) for name in LINEAGE_COLUMNS[3:])])


def is_reserved(name: str) -> bool:
    """Whether a column name is kept for lineage: `_src_…`, `_batch_id`, `_ingested_at`, `_rescued`."""
    return name.lower().startswith("_src_") or name.lower() in LINEAGE_COLUMNS


def _column_name(name: str) -> str:
    if not name.strip():
        raise refusal("is empty", fix="Give the column a name.")
    if is_reserved(name):
        fix = "Choose another name; use `from` to take a column of that name out of the files."
        raise refusal("is a name that lineage columns keep for themselves", fix=fix)
    return name


def type_text(value: Any) -> str:
    """A type as `schema` writes it, of what a spec says.

    Raises:
        PydanticCustomError: It is not a type (a `ValueError`).
    """
    fix = "Write one of " + ", ".join(sorted(schema.PRIMITIVES)) + ", decimal(p,s), list<…>, map<…>, struct<…>."
    if not isinstance(value, str):
        raise refusal("is not a type", fix=fix)
    try:
        return str(schema.parse_type(value))
    except AutoloaderError as error:
        raise refusal("is not a type", fix=" ".join(p for p in (error.why, error.fix) if p) or fix) from None
    except ValueError:
        raise refusal("is not a type", fix=fix) from None


def unique(names: list[str], what: str) -> None:
    """Refuse a name that stands twice, without regard to case."""
    seen: dict[str, str] = {}
    for index, name in enumerate(names):
        if name.lower() in seen:
            fix = "Names are compared without regard to case: keep one of them."
            what = f"names the {what} `{seen[name.lower()]}` again"
            raise refusal(what, fix=fix, at=(index, "name"))
        seen[name.lower()] = name


def _simple_type_text(value: Any) -> str:
    text = type_text(value)
    if text.startswith(("list<", "map<", "struct<")):
        raise refusal("has parts, which a folder's name cannot have", fix="Write int, string, date, …")
    return text


TypeText = Annotated[str, BeforeValidator(type_text), WithJsonSchema({"$ref": "#/$defs/ColumnType"})]
SimpleTypeText = Annotated[str, BeforeValidator(_simple_type_text), WithJsonSchema({"$ref": "#/$defs/SimpleType"})]
ColumnName = Annotated[
    str,
    AfterValidator(_column_name),
    WithJsonSchema({"type": "string", "pattern": r"\S", "not": {"pattern": f"^(?:{RESERVED})$"}}),
]


class ColumnSpec(Model):
    """One declared column; `from_` is its name in the files."""

    name: ColumnName
    type: TypeText
    from_: str | None = Field(default=None, alias="from", min_length=1)
    description: Text | None = None


class SchemaSpec(Model):
    """Declared columns (None = inferred at plan, then pinned) and the contract."""

    columns: tuple[ColumnSpec, ...] | None = Field(default=None, min_length=1)
    new_columns: Literal["add", "rescue", "ignore", "fail"] = "add"
    type_change: Literal["widen", "rescue", "fail"] = "widen"
    missing_columns: Literal["null", "fail"] = "null"
    on_bad_row: Literal["quarantine", "rescue", "fail"] = "quarantine"
    max_bad_rows: BadRows = parse_bad_rows("1%")

    @field_validator("columns")
    @classmethod
    def _names_are_unique(cls, columns: tuple[ColumnSpec, ...] | None) -> tuple[ColumnSpec, ...] | None:
        unique([column.name for column in columns or ()], "column")
        return columns


__all__ = ["LINEAGE_COLUMNS", "BadRowLimit", "ColumnSpec", "SchemaSpec", "is_reserved", "type_text"]
