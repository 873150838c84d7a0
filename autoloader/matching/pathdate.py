"""Dates in paths: the template `year={Y}/month={m}/day={d}` as SQL over a column of keys.

A template is looked for anywhere in the key, not inside a longer number or word; the first place where
its text fits counts. A place that fits but holds no real date (`month=13`, `__HIVE_DEFAULT_PARTITION__`)
gives no date, and `found_sql` tells it from a key without any: such files are reported, never dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

from autoloader.errors import SettingsError
from autoloader.matching.globs import compiled, sql_text

Granularity = Literal["year", "month", "day", "hour"]

_ORDER: Final[tuple[str, ...]] = ("Y", "m", "d", "H")
_GRANULARITY: Final[dict[str, Granularity]] = {"Y": "year", "m": "month", "d": "day", "H": "hour"}
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class PathDate:
    """One template, compiled.

    Attributes:
        template: As written, without leading or trailing slashes.
        regex: Finds the first place that looks like a date (search, not full match); one group per
            placeholder. Understood alike by `re` and RE2.
        found_regex: The same with any text after a `key=`: also finds what is no date at all.
        fields: The placeholder of each group, in order: of `Y m d H`.
        granularity: The finest placeholder.
    """

    template: str
    regex: str
    found_regex: str
    fields: tuple[str, ...]
    granularity: Granularity

    def sql(self, key_expr: str) -> str:
        """A DuckDB expression: the DATE (first day of the year or month where days are not given) or NULL."""
        return f"CAST({self.local_sql(key_expr)} AS DATE)"

    def local_sql(self, key_expr: str) -> str:
        """A DuckDB expression: the TIMESTAMP without zone at which the path's period begins, or NULL."""
        groups = {name: [i for i, field in enumerate(self.fields, 1) if field == name] for name in _ORDER}

        def part(name: str, default: str) -> str:
            if not groups[name]:
                return f"'{default}'"
            return f"regexp_extract({key_expr}, {sql_text(self.regex)}, {groups[name][0]})"

        moment = (
            f"try_cast(nullif({part('Y', '')}, '0000') || '-' || {part('m', '1')} || '-' || {part('d', '1')}"
            f" || ' ' || lpad({part('H', '0')}, 2, '0') || ':00:00' AS TIMESTAMP)"
        )
        agree = [
            f"try_cast(regexp_extract({key_expr}, {sql_text(self.regex)}, {first}) AS INT)"
            f" IS NOT DISTINCT FROM"
            f" try_cast(regexp_extract({key_expr}, {sql_text(self.regex)}, {other}) AS INT)"
            for first, *others in filter(None, groups.values())
            for other in others
        ]
        return f"CASE WHEN {' AND '.join(agree)} THEN {moment} END" if agree else moment

    def found_sql(self, key_expr: str) -> str:
        """A boolean DuckDB expression: the template's text is there, whether or not it holds a date."""
        return f"regexp_matches({key_expr}, {sql_text(self.found_regex)})"

    def local_at(self, key: str) -> datetime | None:
        """The naive instant at which the key's period begins; None as `local_sql` says NULL."""
        match = compiled(self.regex).search(key)
        if match is None:
            return None
        values: dict[str, int] = {}
        for field, text in zip(self.fields, match.groups(), strict=True):
            if values.setdefault(field, int(text)) != int(text):
                return None
        try:
            return datetime(values["Y"], values.get("m", 1), values.get("d", 1), values.get("H", 0))  # noqa: DTZ001 - wall-clock time: the zone is the backfill's
        except ValueError:
            return None

    def date_of(self, key: str) -> date | None:
        """The key's date; None as `sql` says NULL."""
        at = self.local_at(key)
        return None if at is None else at.date()


def compile_path_date(template: str) -> PathDate:
    """Compile a template such as `year={Y}/month={m}` or `sales-{Y}{m}{d}`.

    `{Y}` is four digits; `{m}`, `{d}`, `{H}` are one or two, two where another placeholder touches them.

    Raises:
        SettingsError: A placeholder is unknown or lacks a coarser one, or the template has a wildcard.
    """
    text = template.strip("/")
    fields = tuple(_PLACEHOLDER.findall(text))
    _check(template, _PLACEHOLDER.sub("", text), fields)
    pieces = _PLACEHOLDER.split(text)  # literal, field, literal, field, ..., literal
    strict: list[str] = []
    loose: list[str] = []
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            strict.append(_literal(piece))
            loose.append(_literal(piece))
            continue
        before, after = pieces[i - 1], pieces[i + 1]
        touches = (not before and i > 1) or (not after and i + 2 < len(pieces))
        digits = "[0-9]{4}" if piece == "Y" else "[0-9]{2}" if touches else "[0-9]{1,2}"
        strict.append(f"({digits})")
        loose.append("[^/]*" if before.endswith("=") and after[:1] in ("", "/") else f"(?:{digits})")
    start, end = _boundary(text[:1], "^"), _boundary(text[-1:], "$")
    finest = max(fields, key=_ORDER.index)
    return PathDate(
        text,
        start + "".join(strict) + end,
        start + "".join(loose) + (end if loose[-1] != "[^/]*" else ""),
        fields,
        _GRANULARITY[finest],
    )


def complete(template: str) -> bool:
    """Whether every placeholder of the text has all coarser ones beside it, `{Y}` at least."""
    return _missing(tuple(_PLACEHOLDER.findall(template))) == []


def _missing(fields: tuple[str, ...]) -> list[str]:
    needed = _ORDER[: max((_ORDER.index(field) for field in fields), default=0) + 1]
    return [name for name in needed if name not in fields]


def _check(template: str, literal: str, fields: tuple[str, ...]) -> None:
    def wrong(why: str, fix: str) -> SettingsError:
        return SettingsError(f"The path_date {template!r} is malformed.", why=why, fix=fix)

    usual = "Write it like year={Y}/month={m}/day={d}."
    for field in fields:
        if field not in _ORDER:
            raise wrong(f"There is no placeholder {{{field}}}.", "Use {Y}, {m}, {d} and {H}.")
    if "{" in literal or "}" in literal:
        raise wrong("A brace is not closed or not opened.", usual)
    if any(char in literal for char in "*?["):
        raise wrong("It takes no wildcards: it is found anywhere in the path.", usual)
    if missing := _missing(fields):
        raise wrong(f"{{{missing[0]}}} is missing.", usual)


def _literal(text: str) -> str:
    return "".join(c if c.isalnum() or c in "/_" or ord(c) > 127 else f"\\x{ord(c):02x}" for c in text)


def _boundary(edge: str, end: str) -> str:
    """What must stand beside the template so that it is not part of a longer number or word."""
    if edge in "{}":
        return f"(?:{end}|[^0-9])"
    if edge.isalnum() or edge == "_":
        return f"(?:{end}|[^0-9A-Za-z_])"
    return ""
