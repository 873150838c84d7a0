"""Our schemas and partition terms as PyIceberg's, and the steps from one table schema to the next.

Imports PyIceberg: loaded by `tables` only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Final

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortDirection, SortField, SortOrder
from pyiceberg.table.update.schema import UpdateSchema
from pyiceberg.transforms import IdentityTransform, Transform, parse_transform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    PrimitiveType,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from autoloader.errors import LakeError
from autoloader.lake.state import LINEAGE, SchemaUpdate
from autoloader.schema import Column, Decimal, ListOf, MapOf, Primitive, Struct, TableSchema, Type
from autoloader.spec import sort_term

_PRIMITIVES: Final[dict[str, IcebergType]] = {
    "boolean": BooleanType(),
    "int": IntegerType(),
    "long": LongType(),
    "float": FloatType(),
    "double": DoubleType(),
    "date": DateType(),
    "time": TimeType(),
    "timestamp": TimestampType(),
    "timestamptz": TimestamptzType(),
    "string": StringType(),
    "uuid": UUIDType(),
    "binary": BinaryType(),
}
_TERM: Final = re.compile(r"(?P<transform>[a-z]+(?:\[\s*\d+\s*\])?)\s*\(\s*(?P<source>.+?)\s*\)", re.DOTALL)


def iceberg_type(kind: Type, ids: Iterator[int]) -> IcebergType:
    """A type of ours as Iceberg's; its nested fields take their ids from `ids`."""
    match kind:
        case Primitive(name):
            return _PRIMITIVES[name]
        case Decimal(precision, scale):
            return DecimalType(precision, scale)
        case ListOf(element):
            own = next(ids)
            return ListType(own, iceberg_type(element, ids), element_required=False)
        case MapOf(key, value):
            key_id, value_id = next(ids), next(ids)
            return MapType(key_id, iceberg_type(key, ids), value_id, iceberg_type(value, ids), value_required=False)
        case Struct(fields):
            return StructType(*(_field(f, ids) for f in fields))


def _field(column: Column, ids: Iterator[int]) -> NestedField:
    own = next(ids)
    return NestedField(own, column.name, iceberg_type(column.type, ids), required=False, doc=column.description)


def iceberg_schema(schema: TableSchema, *, lineage: bool) -> Schema:
    """A schema of optional columns, lineage columns at its end.

    Raises:
        LakeError: A data column has the name of a lineage column.
    """
    ours = {c.name for c in LINEAGE.columns}
    if lineage and (taken := [c.name for c in schema.columns if c.name.lower() in ours]):
        raise LakeError(
            f"the column {taken[0]} cannot be in the table",
            why="that name is kept for the lineage column of the same name",
            fix=f"give it another name in the spec:\n  - {{name: src{taken[0]}, from: {taken[0]}, type: string}}",
        )
    ids = count(1)
    return Schema(*(_field(c, ids) for c in schema.columns + (LINEAGE.columns if lineage else ())))


def partition_spec(partition_by: tuple[str, ...], schema: Schema) -> PartitionSpec:
    """The partition spec of terms like `month(day)`, `bucket[16](id)`, `truncate[4](name)`, `country`.

    Raises:
        LakeError: A term is malformed, its column is not there, or its transform does not fit the type.
    """
    fields = []
    for place, term in enumerate(partition_by):
        transform, source = parse_term(term)
        try:
            found = schema.find_field(source, case_sensitive=False)
        except ValueError:
            raise LakeError(
                f"the table cannot be partitioned by {term}",
                why=f"there is no column {source}; there are: {', '.join(f.name for f in schema.fields)}",
                fix="correct destination.partition_by in the spec.",
            ) from None
        if not isinstance(found.field_type, PrimitiveType) or not transform.can_transform(found.field_type):
            raise LakeError(
                f"the table cannot be partitioned by {term}",
                why=f"{transform} does not apply to a column of type {found.field_type}",
                fix="correct destination.partition_by in the spec.",
            )
        name = _partition_name(transform, schema.find_column_name(found.field_id) or source)
        fields.append(PartitionField(found.field_id, 1000 + place, transform, name))
    return PartitionSpec(*fields)


def sort_order(sort_by: tuple[str, ...], schema: Schema) -> SortOrder:
    """The sort order of terms like `day`, `amount desc`.

    Raises:
        LakeError: A column is not there, or its values have no order.
    """
    fields = []
    for term in map(sort_term, sort_by):
        found = next((f for f in schema.fields if f.name.lower() == term.column.lower()), None)
        if found is None or not isinstance(found.field_type, PrimitiveType):
            there = ", ".join(f.name for f in schema.fields if isinstance(f.field_type, PrimitiveType))
            raise LakeError(
                f"the table cannot be sorted by {term.column}",
                why=f"it is no column of a simple type; those are: {there}",
                fix="correct destination.sort_by in the spec.",
            )
        direction = SortDirection.DESC if term.descending else SortDirection.ASC
        fields.append(SortField(found.field_id, IdentityTransform(), direction))
    return SortOrder(*fields) if fields else UNSORTED_SORT_ORDER


def parse_term(term: str) -> tuple[Transform[object, object], str]:
    """One term of `partition_by`: its transform and the path of its column.

    Raises:
        LakeError: It is malformed.
    """
    found = _TERM.fullmatch(term.strip())
    if found is None:
        return IdentityTransform(), _unquoted(term.strip())
    name = re.sub(r"\s", "", found["transform"])
    name = {"years": "year", "months": "month", "days": "day", "hours": "hour"}.get(name, name)
    if name not in ("identity", "year", "month", "day", "hour") and not re.fullmatch(
        r"(bucket|truncate)\[[1-9]\d*\]", name
    ):
        raise LakeError(
            f"the partition term {term} is not known",
            fix="write a column, or year(c), month(c), day(c), hour(c), bucket[16](c) or truncate[4](c).",
        )
    return parse_transform(name), _unquoted(found["source"])


def _unquoted(source: str) -> str:
    return ".".join(part.strip("`") for part in re.findall(r"`[^`]+`|[^.]+", source))


def _partition_name(transform: Transform[object, object], column: str) -> str:
    """As Iceberg's other engines name it: `day_month`, `id_bucket`, `name_trunc`, `country`."""
    suffix = str(transform).partition("[")[0].replace("truncate", "trunc")
    return column if suffix == "identity" else f"{column}_{suffix}"


def apply_update(update: UpdateSchema, current: Schema, change: SchemaUpdate) -> None:
    """Stage what brings `current` to the change's target; nothing where it is there already.

    New top-level columns come before the lineage columns.

    Raises:
        LakeError: A column would have to become a type that its values cannot be read as.
    """
    gone = {name.lower() for name in change.drops}
    for old, new in change.renames:
        if _find(current, old) is not None:
            update.rename_column(tuple(old.split(".")), new)
    renamed = {tuple(old.split(".")): new for old, new in change.renames}
    for name in change.drops:
        if _find(current, name) is not None:
            update.delete_column((name,))
    fields = tuple(f for f in current.fields if f.name.lower() not in gone)
    kept = LINEAGE.columns if change.lineage else ()  # first: their ids stay where more columns are found later
    _conform(update, (), fields, (*kept, *change.target.columns), renamed, count(10_000))
    first = LINEAGE.columns[0].name
    if kept or any(f.name == first for f in current.fields):
        have = {renamed.get((f.name,), f.name).lower() for f in current.fields}
        for column in change.target.columns:
            if column.name.lower() not in have:
                update.move_before((column.name,), (first,))


def _conform(
    update: UpdateSchema,
    path: tuple[str, ...],
    fields: tuple[NestedField, ...],
    columns: tuple[Column, ...],
    renamed: dict[tuple[str, ...], str],
    ids: Iterator[int],
) -> None:
    """Add, widen and document the fields of one struct. Paths are the current names."""
    by_name = {renamed.get((*path, f.name), f.name).lower(): f for f in fields}
    for column in columns:
        field = by_name.get(column.name.lower())
        if field is None:
            update.add_column((*path, column.name), iceberg_type(column.type, ids), doc=column.description)
            continue
        here = (*path, field.name)
        if column.description is not None and column.description != field.doc:
            update.update_column(here, doc=column.description)
        _conform_type(update, here, field.field_type, column.type, renamed, ids)


def _conform_type(
    update: UpdateSchema,
    path: tuple[str, ...],
    have: IcebergType,
    want: Type,
    renamed: dict[tuple[str, ...], str],
    ids: Iterator[int],
) -> None:
    match want, have:
        case Struct(fields), StructType():
            _conform(update, path, have.fields, fields, renamed, ids)
        case ListOf(element), ListType():
            _conform_type(update, (*path, "element"), have.element_type, element, renamed, ids)
        case MapOf(_, value), MapType():
            _conform_type(update, (*path, "value"), have.value_type, value, renamed, ids)
        case ((Primitive() | Decimal()), PrimitiveType()):
            wanted = iceberg_type(want, ids)
            if isinstance(wanted, PrimitiveType) and wanted != have and not _narrower(wanted, have):
                try:
                    update.update_column(path, field_type=wanted)
                except Exception as error:
                    raise _unfit(path, have, want) from error
        case _:
            raise _unfit(path, have, want)


def _narrower(wanted: PrimitiveType, have: PrimitiveType) -> bool:
    """Whether every value of `wanted` fits what the table has already: nothing to do then."""
    match wanted, have:
        case (IntegerType(), LongType()) | (FloatType(), DoubleType()):
            return True
        case DecimalType(), DecimalType():
            return wanted.scale == have.scale and wanted.precision <= have.precision
        case _:
            return str(have).startswith(("fixed", "timestamp"))


def _unfit(path: tuple[str, ...], have: IcebergType, want: Type) -> LakeError:
    return LakeError(
        f"the column {'.'.join(path)} cannot become {want}",
        why=f"it is {have}, and only int to long, float to double and wider decimals of one scale can be",
        fix="rebuild the table with a refresh of mode full, or keep the column's type.",
    )


def _find(schema: Schema, path: str) -> NestedField | None:
    try:
        return schema.find_field(path)
    except ValueError:
        return None
