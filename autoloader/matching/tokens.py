"""A glob's text as tokens, braces expanded; every way in which a pattern can be malformed, with its fix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import Final

from autoloader.errors import SettingsError

MAX_ALTERNATIVES: Final = 1000

_BRACE_RANGE: Final = re.compile(r"\{(\d+|[A-Za-z])\.\.(\d+|[A-Za-z])\}")


@dataclass(frozen=True, slots=True)
class Literal:
    """One character that stands for itself; `/` separates segments."""

    char: str


@dataclass(frozen=True, slots=True)
class Star:
    """`*`: any run of characters but `/`."""


@dataclass(frozen=True, slots=True)
class Question:
    """`?`: one character but `/`."""


@dataclass(frozen=True, slots=True)
class Deep:
    """`**` as a whole segment: any number of segments, zero included."""


@dataclass(frozen=True, slots=True)
class CharClass:
    """`[a-c]` or `[!x]`: one character in (or not in) the ranges, never `/`. Ranges are inclusive."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def holds(self, char: str) -> bool:
        """Whether the one character is matched."""
        inside = any(low <= char <= high for low, high in self.ranges)
        return char != "/" and inside != self.negated


Token = Literal | Star | Question | Deep | CharClass
Alternative = tuple[Token, ...]


def malformed(pattern: str, why: str, fix: str) -> SettingsError:
    """The error for a pattern that cannot mean anything."""
    return SettingsError(f"The pattern {pattern!r} is malformed.", why=why, fix=fix)


def tokenize(pattern: str) -> tuple[Alternative, ...]:
    """The brace-free alternatives of a pattern, each as tokens, in written order, without duplicates.

    Raises:
        SettingsError: The pattern is malformed; `fix` says what to write instead.
    """
    _check_whole(pattern)
    parser = _Parser(pattern)
    found = parser.sequence(depth=0)
    return tuple(dict.fromkeys(_whole_segments(pattern, tokens) for tokens in found))


def _check_whole(pattern: str) -> None:
    if not pattern:
        raise malformed(pattern, "It is empty.", 'Write "**" for every file.')
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", pattern):
        raise malformed(
            pattern,
            "A pattern is matched against the part of the path below source.path.",
            "Leave the scheme and the bucket to source.path.",
        )
    if pattern.startswith("/"):
        raise malformed(pattern, "Keys below source.path do not begin with '/'.", "Drop the first '/'.")
    if pattern.startswith(("./", "../")):
        raise malformed(pattern, "Patterns begin below source.path.", f"Write {pattern.lstrip('./') or '**'!r}.")
    if pattern.endswith("/") and not pattern.endswith("\\/"):
        raise malformed(pattern, "A file's key never ends in '/'.", f'Write "{pattern}**".')
    if found := _BRACE_RANGE.search(pattern):
        raise malformed(pattern, f"{found[0]} is not a list.", "Write the values out: {1,2,3}.")


class _Parser:
    """Recursive descent over one pattern; whether a `Deep` stands alone is checked afterwards."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0

    def sequence(self, depth: int) -> list[tuple[Token, ...]]:
        """Tokens up to the end, or inside braces up to `,` or `}`, once per combination of braces."""
        parts: list[list[tuple[Token, ...]]] = []
        size = 1
        while self._at < len(self._text):
            char = self._text[self._at]
            if depth and char in ",}":
                break
            match char:
                case "{":
                    choice = self._braces(depth)
                case "}":
                    raise malformed(self._text, "A '}' closes nothing.", r"Write \} for the character itself.")
                case _:
                    choice = [(self._single(),)]
            size *= len(choice)
            if size > MAX_ALTERNATIVES:
                raise malformed(
                    self._text,
                    f"Its braces make more than {MAX_ALTERNATIVES} patterns.",
                    "Use * or [..] in place of some braces.",
                )
            parts.append(choice)
        return [tuple(token for part in chosen for token in part) for chosen in product(*parts)]

    def _braces(self, depth: int) -> list[tuple[Token, ...]]:
        start = self._at
        self._at += 1
        choices: list[tuple[Token, ...]] = []
        while True:
            choices.extend(self.sequence(depth + 1))
            if self._at >= len(self._text):
                raise malformed(self._text, "A '{' is never closed.", r"Add '}', or write \{ for the character.")
            self._at += 1
            if self._text[self._at - 1] == "}":
                break
        if self._text[start : self._at] == "{}":
            raise malformed(self._text, "'{}' holds nothing.", r"Write \{\} for the characters themselves.")
        return choices

    def _single(self) -> Token:
        char = self._text[self._at]
        match char:
            case "*":
                return self._stars()
            case "?":
                self._at += 1
                return Question()
            case "[":
                return self._char_class()
            case _:
                return Literal(self._literal())

    def _stars(self) -> Token:
        run = len(self._text[self._at :]) - len(self._text[self._at :].lstrip("*"))
        self._at += run
        match run:
            case 1:
                return Star()
            case 2:
                return Deep()
            case _:
                raise _glued(self._text)

    def _literal(self) -> str:
        char = self._text[self._at]
        self._at += 1
        if char != "\\":
            return char
        if self._at == len(self._text):
            raise malformed(self._text, "It ends in a backslash.", r"Write \\ for a backslash.")
        self._at += 1
        return self._text[self._at - 1]

    def _char_class(self) -> CharClass:
        text, start = self._text, self._at
        self._at += 1
        negated = text[self._at : self._at + 1] == "!"
        if negated:
            self._at += 1
        elif text[self._at : self._at + 1] == "^":
            raise malformed(text, "'[^' is not negation here.", r"Write [!x], or [\^x] for the character.")
        ranges: list[tuple[str, str]] = []
        while True:
            if self._at >= len(text):
                raise malformed(text, "A '[' is never closed.", r"Add ']', or write \[ for the character.")
            if text[self._at] == "]" and ranges:
                self._at += 1
                return CharClass(tuple(ranges), negated)
            ranges.append(self._range(text[start:]))

    def _range(self, shown: str) -> tuple[str, str]:
        low = high = self._literal()
        rest = self._text[self._at : self._at + 2]
        if len(rest) == 2 and rest[0] == "-" and rest[1] != "]":
            self._at += 1
            high = self._literal()
        if "/" in (low, high):
            raise malformed(self._text, f"{shown!r} holds '/', which never matches.", "Use {a/b,c} instead.")
        if low > high:
            raise malformed(self._text, f"The range {low}-{high} runs backwards.", f"Write {high}-{low}.")
        return low, high


def _glued(pattern: str) -> SettingsError:
    return malformed(
        pattern,
        "'**' stands for whole folders and must be alone between slashes.",
        "Write '**/*.csv' rather than '**.csv', and '*' within a name.",
    )


def _whole_segments(pattern: str, tokens: tuple[Token, ...]) -> Alternative:
    """The tokens, stars that braces brought together as one; a `**` that is not a segment is refused."""
    out: list[Token] = []
    for at, token in enumerate(tokens):
        if isinstance(token, Star) and out and isinstance(out[-1], Star):
            continue
        if isinstance(token, Deep):
            edges = (tokens[at - 1] if at else None, tokens[at + 1] if at + 1 < len(tokens) else None)
            if any(edge is not None and edge != Literal("/") for edge in edges):
                raise _glued(pattern)
        out.append(token)
    return tuple(out)
