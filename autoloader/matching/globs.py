"""Globs: compiled to one regular expression that Python's `re` and DuckDB's RE2 read the same way.

`*` and `?` do not cross `/`; `**` is any number of folders, zero included; `[a-c]`, `[!x]`, `{a,b}`
(nested); a backslash takes the next character literally. Case matters. Keys may hold newlines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, assert_never

from autoloader.matching.tokens import (
    Alternative,
    CharClass,
    Deep,
    Literal,
    Question,
    Star,
    Token,
    tokenize,
)

_HIDDEN_FIRST: Final = "_."
_NOTHING: Final = r"[^\s\S]"


@dataclass(frozen=True, slots=True)
class Glob:
    """One pattern, compiled.

    Attributes:
        pattern: As written.
        regex: Matches a whole key (`re.fullmatch`, `regexp_full_match`); no anchors, no look-around.
        alternatives: The pattern with its braces expanded, as tokens.
    """

    pattern: str
    regex: str
    alternatives: tuple[Alternative, ...] = field(repr=False)


@lru_cache(maxsize=4096)
def compile_glob(pattern: str) -> Glob:
    """Compile one pattern.

    Raises:
        SettingsError: The pattern is malformed; `fix` says what to write instead.
    """
    alternatives = tokenize(pattern)
    return Glob(pattern, union(regex_of(tokens) for tokens in alternatives), alternatives)


def matches(globs: Sequence[Glob], key: str) -> bool:
    """Whether any of the globs matches the whole key; False for no globs."""
    return any(compiled(glob.regex).fullmatch(key) is not None for glob in globs)


def matches_sql(globs: Sequence[Glob], key_expr: str) -> str:
    """A boolean DuckDB expression, the same as `matches`; `false` for no globs."""
    if not globs:
        return "false"
    return f"regexp_full_match({key_expr}, {sql_text(union(glob.regex for glob in globs))})"


def literal_prefixes(globs: Sequence[Glob]) -> tuple[str, ...]:
    """The prefixes below which every matching key lies: as long as they can be, none a prefix of another.

    They end where the first wildcard begins, so they may end inside a name (`2024-*` gives `2024-`).
    A date window does not narrow them: a malformed date beside the window would go unseen. Windows
    prune by the folders that are there; see `folder_filter`.

    Returns:
        Sorted; `("",)` is everything; `()` for no globs.
    """
    heads = {_head(tokens) for glob in globs for tokens in glob.alternatives}
    minimal: list[str] = []
    for head in sorted(heads):
        if not minimal or not head.startswith(minimal[-1]):
            minimal.append(head)
    return tuple(minimal)


def sql_text(text: str) -> str:
    """The text as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


@lru_cache(maxsize=4096)
def compiled(regex: str) -> re.Pattern[str]:
    """The expression compiled by Python, kept."""
    return re.compile(regex)


def union(regexes: Iterable[str]) -> str:
    """One expression for several, without duplicates."""
    distinct = tuple(dict.fromkeys(regexes))
    return distinct[0] if len(distinct) == 1 else "(?:" + "|".join(distinct) + ")"


def _head(tokens: Alternative) -> str:
    out: list[str] = []
    for token in tokens:
        if not isinstance(token, Literal):
            break
        out.append(token.char)
    return "".join(out)


def regex_of(tokens: Alternative, *, hide: bool = False) -> str:
    """The regular expression of one brace-free alternative.

    Args:
        tokens: The alternative.
        hide: No wildcard takes a `_` or `.` that begins a part of the key (as in shells), so that a
            hidden key is matched only if the pattern spells out what hides it.
    """
    out: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        starts = at == 0 or tokens[at - 1] == Literal("/")
        if isinstance(token, Deep):
            last = at + 1 == len(tokens)
            out.append(_deep(last=last, hide=hide))
            at += 1 if last else 2  # the '/' after it is part of its expression
            continue
        out.append(_token(token, first=starts and hide, rest_starts=_may_be_empty_before(tokens, at) and hide))
        at += 1
    return "".join(out)


def _may_be_empty_before(tokens: Alternative, at: int) -> bool:
    """Whether everything between the segment's start and this token can match nothing."""
    before = at - 1
    while before >= 0 and isinstance(tokens[before], Star):
        before -= 1
    return before < 0 or tokens[before] == Literal("/") or isinstance(tokens[before], Deep)


def _deep(*, last: bool, hide: bool) -> str:
    folders = "(?:[^/_.][^/]*/|/)*" if hide else "(?:[^/]*/)*"
    if not last:
        return folders
    return f"{folders}[^/_.][^/]*" if hide else "(?s:.*)"


def _token(token: Token, *, first: bool, rest_starts: bool) -> str:
    match token:
        case Literal(char):
            return _escape(char)
        case Star():
            return "(?:[^/_.][^/]*)?" if first else "[^/]*"
        case Question():
            return "[^/_.]" if rest_starts else "[^/]"
        case CharClass():
            return _class_regex(token, hide=rest_starts)
        case Deep():
            raise AssertionError("handled with its slash")
        case _:
            assert_never(token)


def _class_regex(token: CharClass, *, hide: bool) -> str:
    without = "/" + (_HIDDEN_FIRST if hide else "")
    if token.negated:
        listed = "".join(_span(low, high) for low, high in token.ranges)
        return f"[^{''.join(_escape(c) for c in without)}{listed}]"
    spans = [piece for low, high in token.ranges for piece in _cut(low, high, without)]
    if not spans:
        return _NOTHING
    return "[" + "".join(_span(low, high) for low, high in spans) + "]"


def _cut(low: str, high: str, without: str) -> list[tuple[str, str]]:
    """The range without the given characters."""
    pieces = [(ord(low), ord(high))]
    for code in map(ord, without):
        cut: list[tuple[int, int]] = []
        for start, end in pieces:
            halves = ((start, code - 1), (code + 1, end)) if start <= code <= end else ((start, end),)
            cut.extend(half for half in halves if half[0] <= half[1])
        pieces = cut
    return [(chr(start), chr(end)) for start, end in pieces]


def _span(low: str, high: str) -> str:
    return _escape(low) if low == high else f"{_escape(low)}-{_escape(high)}"


def _escape(char: str) -> str:
    """One character for both `re` and RE2, inside and outside a class."""
    if char.isalnum() or char in "/_" or ord(char) > 127:
        return char
    return f"\\x{ord(char):02x}"
