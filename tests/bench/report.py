"""What was measured, as a line of text and as docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import assert_never

from tests.bench.measure import Comparison, Figure, Measured, machine

_HEAD = """# Benchmarks

Written by `make bench`; do not edit. Each figure of ours is compared with a baseline that was taken in the
same run, in turns; the ratio is the median of the {repetitions} repetitions' own ratios, the seconds are medians.

Machine: {machine}. {date}.

| what | ours | baseline | ratio | promise | kept |
|---|---|---|---|---|---|
"""


def as_text(measured: Measured) -> str:
    """One line for the terminal."""
    cells = _cells(measured)
    return " | ".join(cell for cell in cells if cell)


def as_markdown(results: Mapping[str, Sequence[Measured]], repetitions: int) -> str:
    """The whole page."""
    today = datetime.now(UTC).date().isoformat()
    lines = [_HEAD.format(repetitions=repetitions, machine=machine(), date=today).rstrip("\n")]
    lines += ["| " + " | ".join(_cells(m)) + " |" for measured in results.values() for m in measured]
    notes = [f"- {m.name}: {note}." for measured in results.values() for m in measured for note in m.notes]
    return "\n".join(lines + (["", *notes] if notes else [])) + "\n"


def _cells(measured: Measured) -> list[str]:
    match measured:
        case Comparison():
            ours, base = (_amount(statistics.median(v), measured.unit) for v in (measured.ours, measured.baseline))
            ratio = f"{measured.ratio:.2f}×" + (" faster" if measured.kind == "times faster" else "")
            return [
                measured.name,
                ours,
                f"{base} ({measured.against})",
                ratio,
                _promise(measured.bound, measured.kind),
                _kept(measured.kept),
            ]
        case Figure():
            bound = "" if measured.bound is None else f"at most {_amount(measured.bound, measured.unit)}"
            return [measured.name, _amount(measured.median, measured.unit), "", "", bound, _kept(measured.kept)]
        case _:
            assert_never(measured)


def _amount(value: float, unit: str) -> str:
    return f"{value:.2f} {unit}" if value < 100 else f"{value:,.0f} {unit}"


def _promise(bound: float | None, kind: str) -> str:
    if bound is None:
        return ""
    return f"at most {bound:g}×" if kind == "at most" else f"at least {bound:g}× faster"


def _kept(kept: bool | None) -> str:
    return {True: "yes", False: "**no**", None: ""}[kept]
