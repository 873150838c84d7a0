"""`docs/planning-rules.md` against the decision table."""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any

from autoloader.diff import Rules, Selector, decisions
from tests.planning import NOW, ROOT

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "planning-rules.md"
BASE = Rules("x", ROOT, NOW)
OPTIONS: dict[str, tuple[Any, ...]] = {
    "start_now": (False, True),
    "recorded": (False, True),
    "min_age_s": (0.0, 60.0),
    "on_change": ("replace", "append", "ignore", "fail"),
    "on_delete": ("keep", "delete_rows", "fail"),
    "refresh": (None, "full", "new-only", "clear-history"),
    "reingest": ((), (Selector("a", regex="a"),)),
    "unseen": ((), (ROOT,)),
    "fill_fingerprints": (frozenset(), frozenset({"f"})),
}


def written() -> list[tuple[str, str, str]]:
    """Rule, disposition and lane of each row of the document."""
    part = DOCUMENT.read_text("utf-8").split("<!-- decisions: begin -->")[1].split("<!-- decisions: end -->")[0]
    found = []
    for line in part.splitlines():
        if (match := re.match(r"\| `(\w+)`[^|]*\|.*\| `(\w+)`[^|]*\| *(\w*) *\|$", line)) is not None:
            found.append((match[1], match[2], match[3]))
    return found


def test_every_table_of_decisions_is_a_part_of_the_documented_one_in_its_order() -> None:
    document, seen = written(), set()
    assert len(document) > 40
    for values in itertools.product(*OPTIONS.values()):
        rules = dataclasses.replace(BASE, **dict(zip(OPTIONS, values, strict=True)))
        rows = iter(document)
        for decision in decisions(rules):
            row = (decision.name, decision.disposition.value, str(decision.lane or ""))
            if decision.name == "young" and decision.lane == "refresh":
                row = ("young", "deferred", "")
            assert row in rows, f"{row} is not in the document at its place ({values})"
            seen.add(row)
    assert seen == set(document)
