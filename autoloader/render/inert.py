"""Foreign text made harmless for a terminal, and the one place that writes ANSI colours."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_COMMAND: Final = re.compile(r"(?<=#)#(?=\[|vso\[)|(?<!\S):(?=:)")
"""What makes a word a command in the log of a build server, also where a line is wrapped before it."""


def escape_terminal(text: str) -> str:
    r"""Text without anything that a terminal would act on.

    Returns:
        The same text with control, format (direction) and surrogate characters written as `\n`, `\x1b`, `\u202e`, and
        what a build server takes for a command in its log (`::error::`, `##[error]`) broken up by an escape.
    """
    plain = text.isascii() and text.isprintable()
    return _without_commands(text if plain else "".join(_inert(letter) for letter in text))


def escape_lines(text: str) -> str:
    """Text of several lines of our own, each made harmless; only a line feed begins another one."""
    return "\n".join(escape_terminal(line) for line in text.split("\n"))


def _without_commands(text: str) -> str:
    if "::" not in text and "##" not in text:
        return text
    return _COMMAND.sub(lambda match: rf"\x{ord(match.group()):02x}", text)


def _inert(letter: str) -> str:
    if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return letter.encode("unicode_escape", "backslashreplace").decode("ascii")
    return letter


def paint(text: str, code: str, color: bool) -> str:
    """Text in an ANSI style, or as it is."""
    return f"\x1b[{code}m{text}\x1b[0m" if color and text else text
