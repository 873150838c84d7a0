"""Conditions under which the texts of a row are what the cast table takes, for SELECTs that cast them as well.

DuckDB's casts take more than the table does ("1.5" for a whole number, "epoch" for a date), and its CSV reader
still more. So a strict SELECT looks at the texts, too, which is a third of what reading costs. Two ways:
one regular expression over all texts of a row, always right; and, cheaper, that a text is the very one that
DuckDB writes for the value it made of it. A column for which that is usual is looked at in the second way,
and a row that is not as usual in the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from autoloader.reader.duck import duck_type, first_row, literal
from autoloader.schema import Decimal, Primitive

if TYPE_CHECKING:
    import duckdb

_TOGETHER: Final = 24
_SAMPLE_ROWS: Final = 2_000
_USUAL: Final = 0.95
_BOUNDS: Final = {
    "date": "DATE '0001-01-01' AND DATE '9999-12-31'",
    "timestamp": "TIMESTAMP '0001-01-01 00:00:00' AND TIMESTAMP '9999-12-31 23:59:59.999999'",
}


@dataclass(frozen=True, slots=True)
class Text:
    """One text that is cast in the same SELECT.

    Attributes:
        index: Position of its column in the table.
        sql: Its expression over the raw relation; may be null, which is always good.
        kind: What it is cast to.
        accept: Regular expression of the texts that the cast table takes.
    """

    index: int
    sql: str
    kind: Primitive | Decimal
    accept: str


@dataclass(frozen=True, slots=True)
class Usual:
    """How the texts of one column are written as a rule.

    Attributes:
        kind: The type whose values are written like that, null where no text is good by this alone.
        has_nulls: Whether some were null.
    """

    kind: Primitive | Decimal
    has_nulls: bool = False

    def condition(self, value: str, text: str) -> str:
        """True only if `value`, cast from `text`, is written as `text`; null for null unless `has_nulls`."""
        written = f"CAST({value} AS {duck_type(self.kind)})" if isinstance(self.kind, Decimal) else value
        same = f"CAST({written} AS VARCHAR) = {text}"
        bounds = _BOUNDS.get(self.kind.name) if isinstance(self.kind, Primitive) else None
        if bounds is not None:
            same = f"{same} AND {value} BETWEEN {bounds}"
        return f"coalesce({same}, true)" if self.has_nulls else same


def forms(kind: Primitive | Decimal) -> tuple[Primitive | Decimal, ...]:
    """Types such that a text is good for `kind` if it is what DuckDB writes for its value as one of them."""
    if isinstance(kind, Decimal):
        whole = Decimal(kind.precision, 0)
        return (kind,) if kind.scale == 0 else (kind, whole)
    return (kind,) if kind.name in ("int", "long", *_BOUNDS) else ()


def usual_forms(con: duckdb.DuckDBPyConnection, relation: str, texts: Sequence[Text]) -> Mapping[int, Usual]:
    """By position of the column: how the first rows of a relation write their values; absent: in many ways."""
    asked = [(text, form) for text in texts for form in forms(text.kind)]
    if not asked:
        return {}
    shares = []
    for text, form in asked:
        value = f"TRY_CAST({text.sql} AS {duck_type(text.kind)})"
        good = f"CASE WHEN {Usual(form).condition(value, text.sql)} THEN 1 ELSE 0 END"
        shares.append(f"avg({good}) FILTER ({text.sql} IS NOT NULL), count(*) > count({text.sql})")
    found = first_row(con, f"SELECT {', '.join(shares)} FROM (SELECT * FROM ({relation}) LIMIT {_SAMPLE_ROWS})")
    usual: dict[int, Usual] = {}
    for number, (text, form) in enumerate(asked):
        share, has_nulls = (found or (None, None) * len(asked))[2 * number : 2 * number + 2]
        if share is not None and share >= _USUAL:
            usual.setdefault(text.index, Usual(form, bool(has_nulls)))
    return usual


def matches(texts: Sequence[Text]) -> list[str]:
    """One regular expression over many texts of a row: as exact as one for each, and much cheaper."""
    guards = []
    ordered = sorted(texts, key=lambda t: t.accept)
    for start in range(0, len(ordered), _TOGETHER):
        chunk = ordered[start : start + _TOGETHER]
        pattern = ""
        for accept in dict.fromkeys(t.accept for t in chunk):
            count = sum(1 for t in chunk if t.accept == accept)
            pattern += f"(?:(?:{accept})?,){{{count}}}"
        fields = ", ".join(f"{t.sql}, ','" for t in chunk)
        # the same as regexp_full_match, which takes half as long again
        whole = rf"\A(?:{pattern})\z"
        guards.append(f"regexp_matches(concat({fields}), {literal(whole)})")
    return guards
