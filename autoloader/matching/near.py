"""Near misses: which keys a pattern that matches nothing may have meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

from autoloader.matching.globs import compile_glob, compiled

MAX_COMPARED: Final = 2000


def nearest(patterns: Sequence[str], keys: Sequence[str], n: int = 5) -> list[str]:
    """The keys that come closest to the patterns, best first.

    Keys that a pattern matches in another case or below another folder come before keys that merely
    look alike. Of very many keys an evenly spread sample is compared, so the answer is quick and the
    same each time.

    Args:
        patterns: Well-formed globs.
        keys: Keys that are there, sorted or not.
        n: How many to return at most.
    """
    step = max(1, -(-len(keys) // MAX_COMPARED))
    sample = keys[::step]
    relaxed = [compiled("(?i:" + compile_glob(form).regex + ")") for p in patterns for form in _relaxed(p)]

    def score(key: str) -> tuple[int, float]:
        tier = sum(1 for regex in relaxed if regex.fullmatch(key))
        alike = max((SequenceMatcher(None, p, key, autojunk=False).ratio() for p in patterns), default=0.0)
        return tier, alike

    scored = [(*score(key), key) for key in sample]
    scored.sort(key=lambda row: (-row[0], -row[1], row[2]))
    return [key for _, _, key in scored[:n]]


def _relaxed(pattern: str) -> tuple[str, ...]:
    """The pattern as it is, at any depth, and its last part anywhere; braces that span folders stay whole."""
    name = pattern.rpartition("/")[2]
    whole = name == pattern or not any(c in pattern for c in "{}[]\\")
    forms = [pattern] if pattern.startswith("**") else [pattern, f"**/{pattern}"]
    if whole and name != "**":
        forms.append(f"**/{name}")
    return tuple(dict.fromkeys(forms))
