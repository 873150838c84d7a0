"""The texts of `_rescued`, taken apart without losing a digit of what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterable

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


def parts(text: str) -> tuple[tuple[str, str], ...]:
    """The keys of a JSON object with the text of each value, as it stands there; empty for anything else."""
    found: list[tuple[str, str]] = []
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        return ()
    at = _skip(text, at + 1)
    try:
        while text[at] != "}":
            if text[at] != '"':
                return ()
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # behind the colon
            start = at
            _, at = _DECODER.raw_decode(text, at)
            found.append((key, text[start:at]))
            at = _skip(text, at)
            if text[at] == ",":
                at = _skip(text, at + 1)
    except (IndexError, ValueError):
        return ()
    return tuple(found)


def joined(values: Iterable[tuple[str, str]]) -> str | None:
    """The text of an object with those values; None without any."""
    inner = ",".join(f"{json.dumps(key, ensure_ascii=False)}:{value}" for key, value in values)
    return f"{{{inner}}}" if inner else None


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
