"""Types as text and schemas as JSON-able data, both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from autoloader.errors import SettingsError
from autoloader.schema.types import (
    PRIMITIVES,
    Column,
    Decimal,
    ListOf,
    MapOf,
    Primitive,
    Struct,
    TableSchema,
    Type,
)

_TOKEN: Final = re.compile(r"\s*(?:(`(?:[^`]|``)*`)|([^\s<>(),:`]+)|([<>(),:]))")
_OTHER_WORDS: Final = {
    "bool": "boolean",
    "integer": "int",
    "bigint": "long",
    "smallint": "int",
    "tinyint": "int",
    "real": "float",
    "varchar": "string",
    "text": "string",
    "str": "string",
    "bytes": "binary",
    "datetime": "timestamp",
    "numeric": "decimal(38,0)",
    "array": "list",
    "row": "struct",
}
_DEEPEST: Final = 64


def parse_type(text: str) -> Type:
    """The type that a text such as `map<string, list<decimal(10,2)>>` or `struct<a: int>` names.

    Case of the type words does not matter; names keep theirs. `str(type)` is read back as the same type.

    Raises:
        SettingsError: The text is no type of the vocabulary; says what is meant, where that can be guessed.
    """
    parser = _Parser(text)
    found = parser.type(0)
    if parser.peek() is not None:
        raise parser.error(f"unexpected {parser.peek()!r} after {found}")
    return found


class _Parser:
    """One pass over the tokens of one type text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        self.at = 0
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.error(f"unexpected character at {position + 1}")
            self.tokens.append(match.group().strip())
            position = match.end()

    def error(self, why: str) -> SettingsError:
        return SettingsError(
            f"{self.text!r} is not a type.",
            why=why[:1].upper() + why[1:] + ".",
            fix=f"Types are {', '.join(sorted(PRIMITIVES))}, decimal(precision,scale), list<type>,"
            " map<type, type> and struct<name: type, …>.",
        )

    def peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, wanted: str | None = None) -> str:
        token = self.peek()
        if token is None or (wanted is not None and token != wanted):
            raise self.error(f"expected {wanted or 'a type'}, found {token or 'the end'}")
        self.at += 1
        return token

    def type(self, depth: int) -> Type:
        if depth > _DEEPEST:
            raise self.error("it is nested too deeply")
        word = self.take().lower()
        if word == "decimal":
            return self.decimal()
        if word == "list":
            self.take("<")
            element = self.type(depth + 1)
            self.take(">")
            return ListOf(element)
        if word == "map":
            self.take("<")
            key = self.type(depth + 1)
            self.take(",")
            value = self.type(depth + 1)
            self.take(">")
            return MapOf(key, value)
        if word == "struct":
            return self.struct(depth)
        if word in PRIMITIVES:
            return Primitive(word)
        meant = _OTHER_WORDS.get(word) or next(iter(get_close_matches(word, PRIMITIVES, 1)), None)
        raise self.error(f"{word!r} is unknown" + (f"; did you mean {meant!r}?" if meant else ""))

    def decimal(self) -> Decimal:
        self.take("(")
        precision, _, scale = self.take(), self.take(","), self.take()
        self.take(")")
        if not (precision.isdecimal() and scale.isdecimal() and 1 <= int(precision) <= 38):
            raise self.error("a decimal has a precision from 1 to 38 and a scale, both whole numbers")
        if int(scale) > int(precision):
            raise self.error(f"scale {scale} is more than precision {precision}")
        return Decimal(int(precision), int(scale))

    def struct(self, depth: int) -> Struct:
        self.take("<")
        fields: list[Column] = []
        while True:
            raw = self.take()
            name = raw[1:-1].replace("``", "`") if raw.startswith("`") else raw
            self.take(":")
            fields.append(Column(name, self.type(depth + 1)))
            if self.peek() != ",":
                break
            self.take(",")
        self.take(">")
        folded = [f.name.casefold() for f in fields]
        if len(set(folded)) != len(folded):
            raise self.error("two fields of a struct have the same name (case does not count)")
        return Struct(tuple(fields))


def to_data(schema: TableSchema) -> list[dict[str, Any]]:
    """One mapping per column: name, type as text, and `from` and `description` where there are any."""
    return [
        {"name": c.name, "type": str(c.type)}
        | ({"from": c.source} if c.source is not None else {})
        | ({"description": c.description} if c.description is not None else {})
        for c in schema.columns
    ]


def from_data(data: Iterable[Mapping[str, Any]]) -> TableSchema:
    """The schema that `to_data` wrote.

    Raises:
        SettingsError: A type is unknown, or two columns have the same name without regard to case.
    """
    columns = tuple(Column(c["name"], parse_type(c["type"]), c.get("from"), c.get("description")) for c in data)
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.setdefault(column.name.casefold(), column.name)
        if other is not column.name:
            raise SettingsError(
                f"Two columns are called {column.name!r}.",
                why=f"{other!r} and {column.name!r} are the same name: case does not count.",
                fix="Rename one of them; its name in the files goes into `from`.",
            )
    return TableSchema(columns)
