"""The cast table: for each target type, what a text is accepted for, what it becomes, what is said of the rest.

`docs/types.md` is this table for people, and its examples are run against it. Nothing here is silent: an
expression gives a value, null for null, or it is bad.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from autoloader.reader.duck import duck_type, literal
from autoloader.schema import Decimal, ListOf, MapOf, Primitive, Struct, Type

_DATE: Final = (
    r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])(?:-[0-9]{1,2}-[0-9]{1,2}|/[0-9]{1,2}/[0-9]{1,2})"
)
_CLOCK: Final = r"(?:[01]?[0-9]|2[0-3]):[0-5]?[0-9](?::[0-5]?[0-9](?:[.][0-9]{1,6}0*)?)?"
_UTC: Final = r" ?(?:[Zz]|UTC|[+-]00(?::?00)?)"
_OFFSET: Final = r" ?(?:[Zz]|UTC|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)"
_MIDNIGHT: Final = r"(?:[T ]00?:00?(?::00?(?:[.]0+)?)?)?"
_NUMBER: Final = r"[+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][+-]?[0-9]+)?"
_EXPONENT: Final = r" *[+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)[eE][+-]?[0-9]{1,4} *"
_HEX4: Final = "[0-9a-fA-F]{4}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One value as SQL expressions over one row.

    Attributes:
        value: The typed value; null where `bad`.
        bad: True where there is something that the type does not take. Never null. "false": cannot be.
        error: What is said of a bad value, one sentence without the value.
        good: The typed value where it is known to be good: cheaper, may raise. "": `value`.
        doubt: True at least where it is bad: cheaper. Never null. "": `bad`.
    """

    value: str
    bad: str
    error: str
    good: str = ""
    doubt: str = ""

    @property
    def strict_value(self) -> str:
        """The value for a SELECT that has raised where there was a doubt."""
        return self.good or self.value

    @property
    def strict_bad(self) -> str:
        """The condition under which such a SELECT raises."""
        return self.doubt or self.bad


@dataclass(frozen=True, slots=True)
class TextRule:
    """How texts become one type without parts.

    Attributes:
        accept: Regular expression of the accepted texts; None: any text.
        convert: SQL with `{v}` for the text; may raise or give null for a text that `accept` lets through.
        attempt: The same, null instead of raising.
        check: A further condition on an accepted `{v}`, or "".
        wanted: What a good text is, after "is not".
    """

    accept: str | None
    convert: str
    attempt: str
    check: str
    wanted: str


def _cast(accept: str, kind: Type, wanted: str, check: str = "") -> TextRule:
    target = duck_type(kind)
    return TextRule(accept, f"CAST({{v}} AS {target})", f"TRY_CAST({{v}} AS {target})", check, wanted)


def text_rule(kind: Primitive | Decimal) -> TextRule:
    """The rule for texts (CSV fields, JSON scalars, strings of typed files) that are to become `kind`."""
    if isinstance(kind, Decimal):
        digits = f"[.][0-9]{{0,{kind.scale}}}0*" if kind.scale else "[.]0*"
        start = f"[.][0-9]{{1,{kind.scale}}}0*" if kind.scale else "[.]0+"
        accept = f" *[+-]?(?:[0-9]+(?:{digits})?|{start}) *"
        return _cast(accept, kind, f"a number of at most {kind.precision} digits, {kind.scale} of them decimals")
    match kind.name:
        case "boolean":
            return _cast(r"(?i:true|false|t|f|yes|no|y|n|1|0)", kind, "a boolean (true or false)")
        case "int" | "long":
            bits = "32" if kind.name == "int" else "64"
            return _cast(r" *[+-]?[0-9]+(?:[.]0*)? *", kind, f"a whole number that fits {bits} bits")
        case "float" | "double":
            accept = rf" *(?:{_NUMBER}|(?i:nan|[+-]?inf|[+-]?infinity)) *"
            finite = f"(NOT isinf(CAST({{v}} AS {duck_type(kind)})) OR regexp_matches({{v}}, '[iI]'))"
            return _cast(accept, kind, f"a number in the range of {kind.name}", finite)
        case "date":
            return _cast(f" *{_DATE}{_MIDNIGHT} *", kind, "a date (YYYY-MM-DD)")
        case "time":
            return _cast(f" *{_CLOCK} *", kind, "a time of day (HH:MM:SS.ffffff)")
        case "timestamp":
            accept = f" *{_DATE}(?:[T ]{_CLOCK}(?:{_UTC})?)? *"
            return _cast(accept, kind, "a timestamp without offset (YYYY-MM-DD HH:MM:SS.ffffff)")
        case "timestamptz":
            accept = f" *{_DATE}(?:[T ]{_CLOCK}(?:{_OFFSET})?)? *"
            return _cast(accept, kind, "a timestamp (YYYY-MM-DD HH:MM:SS.ffffff+HH:MM)")
        case "uuid":
            accept = f"[0-9a-fA-F]{{8}}(?:(?:-{_HEX4}){{3}}-[0-9a-fA-F]{{12}}|[0-9a-fA-F]{{24}})"
            return _cast(accept, kind, "a UUID")
        case "binary":
            return TextRule(None, "encode({v})", "encode({v})", "", "text")
        case _:
            return TextRule(None, "{v}", "{v}", "", "text")


def text_cell(value: str, kind: Primitive | Decimal) -> Cell:
    """A text expression cast to a type without parts, value by value (the tolerant way)."""
    rule = text_rule(kind)
    if rule.accept is None:
        return Cell(rule.attempt.format(v=value), "false", "")
    accepted = f"regexp_full_match({value}, {literal(rule.accept)})"
    if rule.check:
        accepted = f"CASE WHEN {accepted} THEN {rule.check.format(v=value)} ELSE false END"
    doubt = f"NOT coalesce({accepted}, true)"
    exact = _exact_exponent(value, kind)
    if exact:
        accepted = f"({accepted} OR {exact})"
    typed = f"CASE WHEN {accepted} THEN {rule.attempt.format(v=value)} END"
    bad = f"({value} IS NOT NULL AND ({typed}) IS NULL)"
    return Cell(typed, bad, f"is not {rule.wanted}", rule.convert.format(v=value), doubt)


def _exact_exponent(value: str, kind: Primitive | Decimal) -> str:
    """Whether a text with an exponent (1.5e3) is exactly a number of `kind`; "" where that is no question."""
    if isinstance(kind, Primitive) and kind.name not in ("int", "long"):
        return ""
    scale = kind.scale if isinstance(kind, Decimal) else 0
    decimals = f"length(regexp_extract({value}, '[.]([0-9]*?)0*[eE]', 1))"
    power = f"CAST(regexp_extract({value}, '[eE]([+-]?[0-9]+)', 1) AS INTEGER)"
    return (
        f"CASE WHEN regexp_full_match({value}, {literal(_EXPONENT)})"
        f" THEN {decimals} - {power} <= {scale} ELSE false END"
    )


def null_of(kind: Type) -> str:
    """A typed null."""
    return f"CAST(NULL AS {duck_type(kind)})"


def is_plain(kind: Type) -> bool:
    """Whether a type has no parts."""
    match kind:
        case Primitive() | Decimal():
            return True
        case ListOf() | MapOf() | Struct():
            return False
        case _:
            assert_never(kind)
