"""The grammar of `partition_by`: a column, or a transform of one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from autoloader.spec.model import refusal

_COLUMN: Final = r"`[^`]+`|[^`()\[\], ][^`()\[\],]*"
PARTITION: Final = (
    rf"(?:(identity|year|month|day|hour)\(({_COLUMN})\)|(bucket|truncate)\[([1-9][0-9]{{0,8}})\]"
    rf"\(({_COLUMN})\)|({_COLUMN}))"
)
_DATES: Final = ("date", "timestamp", "timestamptz")
_ALLOWED_TYPES: Final = {
    "year": _DATES,
    "month": _DATES,
    "day": _DATES,
    "hour": ("timestamp", "timestamptz"),
    "bucket": ("int", "long", "decimal", "string", "uuid", "binary", "time", *_DATES),
    "truncate": ("int", "long", "decimal", "string", "binary"),
}


@dataclass(frozen=True, slots=True)
class PartitionField:
    """One part of a table's partitioning.

    Attributes:
        transform: `identity year month day hour bucket truncate`.
        column: The column's name, without quotes.
        width: The n of `bucket[n]` and `truncate[n]`, else None.
    """

    transform: str
    column: str
    width: int | None = None

    def takes(self, type_name: str) -> bool:
        """Whether the transform can be made of a column of this type (as `schema` writes types)."""
        if type_name.startswith(("list<", "map<", "struct<")):
            return False
        allowed = _ALLOWED_TYPES.get(self.transform)
        return allowed is None or type_name.partition("(")[0] in allowed


def partition_field(text: str) -> PartitionField:
    """Read `region`, `month(usage_date)`, `bucket[16](id)`, `truncate[4](code)`; names may be in backticks.

    Raises:
        PydanticCustomError: The text is none of these (a `ValueError`).
    """
    match = re.fullmatch(PARTITION, text.strip())
    if match is None:
        fix = "Write a column, month(column), bucket[16](column) or truncate[4](column)."
        raise refusal("is not a partition", fix=fix)
    simple, of, wide, width, wide_of, column = match.groups()
    if wide is not None:
        return PartitionField(wide, wide_of.strip("`").strip(), int(width))
    return PartitionField(simple or "identity", (of or column).strip("`").strip())


def _checked(value: str) -> str:
    partition_field(value)
    return value.strip()


Partition = Annotated[str, AfterValidator(_checked), WithJsonSchema({"type": "string", "pattern": f"^{PARTITION}$"})]
