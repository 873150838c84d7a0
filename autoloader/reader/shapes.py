"""Types of values that were seen: of texts by regular expression in DuckDB, of JSON value by value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from autoloader.reader.duck import literal
from autoloader.reader.raw import Raw
from autoloader.schema import (
    Column,
    Decimal,
    ListOf,
    MapOf,
    Primitive,
    Struct,
    Type,
    merge,
)

if TYPE_CHECKING:
    import duckdb

SAMPLE_ROWS: Final = 20_000
"""First rows of a text file that its types are inferred from."""

UNKNOWN: Final = Primitive("unknown")
"""Only nulls were seen. Never leaves this package: `known` makes it a string."""

DEEPEST: Final = 16
"""Lists and structs inside of each other that a type is inferred with; what is below is text. Casts take
twice as long with each list."""

_SAMPLED_AT_ONCE: Final = 500
"""Columns of a sample that are held at a time: each takes 256 KB, however few its rows."""

_STRING: Final = Primitive("string")
_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK: Final = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,6}0*)?)?"
_OFFSET: Final = r" ?(?:Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)"
_CLASSES: Final = (
    ("code", r"[+-]?0[0-9]+(?:[.][0-9]*)?"),
    ("whole", r"[+-]?[0-9]{1,38}"),
    ("fixed", r"[+-]?[0-9]*[.][0-9]+|[+-]?[0-9]+[.]"),
    ("double", r"[+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)[eE][+-]?[0-9]{1,3}"),
    ("special", r"(?i:nan|[+-]?inf|[+-]?infinity)"),
    ("boolean", r"(?i:true|false)"),
    ("date", _DATE),
    ("timestamp", _DATE + _CLOCK),
    ("timestamptz", _DATE + _CLOCK + _OFFSET),
)
_COMPILED: Final = tuple((word, re.compile(pattern)) for word, pattern in _CLASSES)
_LONG_MAX: Final = 2**63 - 1


def of_texts(con: duckdb.DuckDBPyConnection, raw: Raw, rows: int) -> list[Type]:
    """The type of each text column over its first rows."""
    types = []
    for place, column in enumerate(raw.columns):
        if place % _SAMPLED_AT_ONCE == 0:
            some = ", ".join(each.sql for each in raw.columns[place : place + _SAMPLED_AT_ONCE])
            con.execute(f"CREATE OR REPLACE TEMP TABLE sampled AS SELECT {some} FROM ({raw.relation}) LIMIT {rows}")
        value = f"trim({column.sql}, ' ')"
        whens = " ".join(f"WHEN regexp_full_match(v, {literal(rx)}) THEN '{word}'" for word, rx in _CLASSES)
        found = con.execute(
            "SELECT class, max(abs(TRY_CAST(v AS DECIMAL(38,0)))) FILTER (class = 'whole'),"
            " max(length(ltrim(split_part(v, '.', 1), '+-0'))), max(length(split_part(v, '.', 2))),"
            " bool_and(CASE WHEN class = 'fixed' THEN length(ltrim(replace(v, '.', ''), '+-0')) <= 15"
            " OR CAST(TRY_CAST(v AS DOUBLE) AS VARCHAR) = ltrim(v, '+') ELSE false END),"
            " bool_and(v IS NOT NULL AND CASE class WHEN 'date' THEN TRY_CAST(v AS DATE) IS NOT NULL"
            " WHEN 'timestamp' THEN TRY_CAST(v AS TIMESTAMP) IS NOT NULL"
            " WHEN 'timestamptz' THEN TRY_CAST(v AS TIMESTAMPTZ) IS NOT NULL ELSE true END)"
            f" FROM (SELECT v, CASE {whens} ELSE 'string' END AS class FROM"
            f" (SELECT {value} AS v FROM sampled WHERE {column.sql} IS NOT NULL)) GROUP BY class"
        ).fetchall()
        types.append(_of_classes({row[0]: row[1:] for row in found}))
    con.execute("DROP TABLE IF EXISTS sampled")
    return types


def _of_classes(found: dict[str, tuple[Any, ...]]) -> Type:
    """One type for the classes of text that a column has.

    Of each class: largest whole number, digits before the point, after it, all are doubles, all are valid.
    """
    words = set(found)
    if not words:
        return UNKNOWN
    if "code" in words or "string" in words or not all(f[4] for f in found.values()):
        return _STRING
    if words <= {"whole", "fixed", "double", "special"} and words != {"special"}:
        return _number(found)
    if words == {"date", "timestamp"}:
        return Primitive("timestamp")
    if len(words) == 1 and not words & {"special"}:
        return Primitive(words.pop())
    return _STRING


def _number(found: dict[str, tuple[Any, ...]]) -> Type:
    largest = found.get("whole", (None,))[0]
    whole_digits = max((f[1] or 0 for w, f in found.items() if w in ("whole", "fixed")), default=0)
    scale = max((f[2] or 0 for w, f in found.items() if w == "fixed"), default=0)
    if set(found) == {"whole"}:
        return Primitive("long") if largest is not None and largest <= _LONG_MAX else Decimal(38, 0)
    doubles = set(found) & {"double", "special"} or all(f[3] for w, f in found.items() if w == "fixed")
    if not doubles and whole_digits + scale > 15:
        return Decimal(38, scale) if whole_digits + scale <= 38 else _STRING
    return Primitive("double")


class _Number(str):
    """A JSON number as it stands in the file."""

    __slots__ = ()


def of_json(lines: Iterable[str]) -> list[Column]:
    """The columns of JSON records, in the order in which their keys appear; records that are no JSON are skipped."""
    columns: dict[str, Column] = {}
    for line in lines:
        try:
            record = json.loads(line, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            for key, value in record.items():
                _seen(columns, key, _of_value(value))
    return list(columns.values())


def _seen(columns: dict[str, Column], key: str, kind: Type) -> None:
    if not key:
        return  # a column or field must have a name: such a value is rescued
    folded = key.casefold()
    before = columns.get(folded)
    columns[folded] = Column(key, kind) if before is None else Column(before.name, join(before.type, kind))


def _of_value(value: Any, depth: int = 0) -> Type:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return Primitive("boolean")
    if isinstance(value, _Number):
        return _of_number(value)
    if isinstance(value, str):
        return _of_string(value)
    if depth == DEEPEST:
        return _STRING
    if isinstance(value, list):
        element: Type = UNKNOWN
        for item in value:
            element = join(element, _of_value(item, depth + 1))
        return ListOf(element)
    fields: dict[str, Column] = {}
    for key, inner in value.items():
        _seen(fields, key, _of_value(inner, depth + 1))
    return Struct(tuple(fields.values())) if fields else UNKNOWN


def _of_number(text: str) -> Type:
    if not set(text) & set(".eEnN"):
        return Primitive("long") if abs(int(text)) <= _LONG_MAX else _big(text)
    if set(text) & set("eEnN"):
        return Primitive("double")
    whole, _, decimals = text.lstrip("+-").partition(".")
    digits = len(whole.lstrip("0")) + len(decimals)
    if digits <= 15 or repr(float(text)) == text:
        return Primitive("double")
    return Decimal(38, len(decimals)) if digits <= 38 else _STRING


def _big(text: str) -> Type:
    return Decimal(38, 0) if len(text.lstrip("+-")) <= 38 else _STRING


def _of_string(text: str) -> Type:
    for word, pattern in _COMPILED[-3:]:
        if pattern.fullmatch(text):
            return Primitive(word)
    return _STRING


def join(left: Type, right: Type) -> Type:
    """`schema.merge`, where what is unknown gives way."""
    if left == right or right == UNKNOWN:
        return left
    if left == UNKNOWN:
        return right
    match left, right:
        case Struct(a), Struct(b):
            columns = {c.name.casefold(): c for c in a}
            for column in b:
                _seen(columns, column.name, column.type)
            return Struct(tuple(columns.values()))
        case ListOf(a), ListOf(b):
            return ListOf(join(a, b))
        case Decimal(38, s), Decimal(38, t):
            return Decimal(38, max(s, t))
        case (Decimal(38, _) as wide, Primitive("long" | "int")) | (Primitive("long" | "int"), Decimal(38, _) as wide):
            return wide
        case (Decimal(38, _) as wide, Primitive("double")) | (Primitive("double"), Decimal(38, _) as wide):
            return wide if wide.scale else Primitive("double")
        case _:
            return merge(left, right)


def known(kind: Type) -> Type:
    """The type with `string` where only nulls were seen."""
    match kind:
        case Struct(fields):
            return Struct(tuple(Column(f.name, known(f.type)) for f in fields))
        case ListOf(element):
            return ListOf(known(element))
        case Primitive("unknown"):
            return _STRING
        case _:
            return kind


def seen_only(kind: Type) -> Type | None:
    """The type without the fields of which only nulls were seen; None where nothing else is left."""
    match kind:
        case Struct(fields):
            kept = [(f, seen_only(f.type)) for f in fields]
            found = tuple(Column(f.name, inner) for f, inner in kept if inner is not None)
            return Struct(found) if found else None
        case ListOf(element):
            inner = seen_only(element)
            return None if inner is None else ListOf(inner)
        case MapOf(key, value):
            entry = seen_only(value)
            return None if entry is None else MapOf(key, entry)
        case Primitive("unknown"):
            return None
        case _:
            return kind
