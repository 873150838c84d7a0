"""The grammar of `sort_by`: a column, rising unless `desc` is said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from autoloader.spec.model import refusal

SORTING: Final = r"(`[^`]+`|[^`()\[\], ]+)(?: +(asc|desc))?"


@dataclass(frozen=True, slots=True)
class SortTerm:
    """One column that rows are sorted by.

    Attributes:
        column: Its name, without quotes.
        descending: Largest first, nulls last; else smallest first, nulls first: Iceberg's defaults.
    """

    column: str
    descending: bool = False

    def __str__(self) -> str:
        plain = re.fullmatch(r"[^`()\[\], ]+", self.column) is not None
        name = self.column if plain else f"`{self.column}`"
        return f"{name} desc" if self.descending else name


def sort_term(text: str) -> SortTerm:
    """Read `usage_date`, `usage_date desc`; a name with spaces stands in backticks.

    Raises:
        PydanticCustomError: The text is none of these (a `ValueError`).
    """
    match = re.fullmatch(SORTING, text.strip())
    if match is None:
        raise refusal("is not a column to sort by", fix="Write a column, or `column desc`.")
    return SortTerm(match[1].strip("`"), match[2] == "desc")


def _checked(value: str) -> str:
    return str(sort_term(value))


Sorting = Annotated[str, AfterValidator(_checked), WithJsonSchema({"type": "string", "pattern": f"^{SORTING}$"})]
