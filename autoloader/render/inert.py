"""Foreign text made harmless for a terminal, and the one place that writes ANSI colours."""

from __future__ import annotations

import unicodedata


def escape_terminal(text: str) -> str:
    r"""Text without anything that a terminal would act on.

    Returns:
        The same text with control, format (direction) and surrogate characters written as `\n`, `\x1b`, `\u202e`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_inert(letter) for letter in text)


def _inert(letter: str) -> str:
    if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return letter.encode("unicode_escape", "backslashreplace").decode("ascii")
    return letter


def paint(text: str, code: str, color: bool) -> str:
    """Text in an ANSI style, or as it is."""
    return f"\x1b[{code}m{text}\x1b[0m" if color and text else text
