"""The hidden rule: names beginning with `_` or `.` at any depth, and `*._COPYING_`, `*.crc`.

Hidden files are counted and shown but not loaded, unless an include spells out what hides them:
`_delta/*.json` names a hidden folder, `**/*.json` does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from autoloader.matching.globs import Glob, compiled, regex_of, sql_text, union
from autoloader.matching.tokens import Alternative, Literal

HIDDEN_ENDINGS: Final = ("._COPYING_", ".crc")

_HIDDEN_START_SQL: Final = r"(?:^|/)[_.]"


def is_hidden(key: str, include: Sequence[Glob] = ()) -> bool:
    """Whether a key is hidden and none of the includes names it all the same."""
    by_ending = key.endswith(HIDDEN_ENDINGS)
    if not by_ending and not any(part[:1] in ("_", ".") for part in key.split("/")):
        return False
    return not any(compiled(regex).fullmatch(key) for regex in _naming(include, by_ending=by_ending))


def is_hidden_sql(key_expr: str, include: Sequence[Glob] = ()) -> str:
    """A boolean DuckDB expression, the same as `is_hidden`."""
    by_ending = "(" + " OR ".join(f"suffix({key_expr}, {sql_text(end)})" for end in HIDDEN_ENDINGS) + ")"
    hidden = f"({by_ending} OR regexp_matches({key_expr}, {sql_text(_HIDDEN_START_SQL)}))"
    plain = _full_match_sql(key_expr, tuple(_naming(include, by_ending=False)))
    ending = _full_match_sql(key_expr, tuple(_naming(include, by_ending=True)))
    if plain == "false":
        return hidden
    return f"({hidden} AND NOT CASE WHEN {by_ending} THEN {ending} ELSE {plain} END)"


def _full_match_sql(key_expr: str, regexes: tuple[str, ...]) -> str:
    return f"regexp_full_match({key_expr}, {sql_text(union(regexes))})" if regexes else "false"


def _naming(include: Sequence[Glob], *, by_ending: bool) -> Iterator[str]:
    """Expressions of the alternatives that spell out what hides a key."""
    for glob in include:
        for tokens in glob.alternatives:
            if not by_ending or _literal_tail(tokens).endswith(HIDDEN_ENDINGS):
                yield regex_of(tokens, hide=True)


def _literal_tail(tokens: Alternative) -> str:
    out: list[str] = []
    for token in reversed(tokens):
        if not isinstance(token, Literal):
            break
        out.append(token.char)
    return "".join(reversed(out))
