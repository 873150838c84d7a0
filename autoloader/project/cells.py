"""Progress of an apply in a notebook's output cell. Knows IPython only where a notebook has loaded it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from autoloader.cost import money
from autoloader.render import bytes_text, count_text, plural, progress_html, seconds_text

if TYPE_CHECKING:
    from autoloader.apply import Progress

_EVERY_S: Final = 0.2


def in_notebook() -> bool:
    """Whether this code runs in a Jupyter kernel; a terminal's IPython is none."""
    found = sys.modules.get("IPython")
    shell: Any = found.get_ipython() if found is not None else None
    return getattr(shell, "kernel", None) is not None


def progress_here() -> CellProgress | None:
    """Progress for the cell that is being run; None outside notebooks."""
    return CellProgress() if in_notebook() else None


@dataclass(slots=True)
class _Lane:
    label: str
    files: int
    size_bytes: int
    began_at: float
    share: float = 0.0
    text: str = ""


class CellProgress:
    """A bar for each lane in one output, rewritten in place through its `display_id`; its last state stays."""

    def __init__(self) -> None:
        from IPython import display

        shown: Any = display
        self._html: Callable[[str], Any] = shown.HTML
        self._lanes: list[_Lane] = []
        self._said = ""
        self._drawn_at = 0.0
        self._handle: Any = shown.display(self._html(""), display_id=True)

    def begin(self, ingestion: str, lane: str, files: int, size_bytes: int) -> None:
        """A lane starts."""
        label = f"{ingestion} ({lane})" if lane != "live" else ingestion
        self._lanes.append(_Lane(label, files, size_bytes, time.monotonic()))
        self._said = ""
        self.advance(0, 0, None)

    def advance(self, files: int, size_bytes: int, usd: float | None) -> None:
        """Show what is done of the lane that began last."""
        lane = self._lanes[-1]
        lane.share = min(1.0, size_bytes / lane.size_bytes if lane.size_bytes else files / max(1, lane.files))
        parts = [
            f"{count_text(files)} of {plural(lane.files, 'file')}",
            f"{bytes_text(int(size_bytes))} of {bytes_text(lane.size_bytes)}",
        ]
        if usd is not None:
            parts.append(money(Decimal(repr(usd))))
        if 0 < lane.share < 1:
            elapsed_s = time.monotonic() - lane.began_at
            parts.append(f"{seconds_text(elapsed_s * (1 - lane.share) / lane.share)} left")
        lane.text = ", ".join(parts)
        self._draw(now=lane.share >= 1 or files == 0)

    def say(self, text: str) -> None:
        """Show what is being waited for."""
        self._said = text
        self._draw(now=False)

    def end(self) -> None:
        """The lane is done; its bar stays."""
        self._said = ""
        self._draw(now=True)

    def _draw(self, *, now: bool) -> None:
        if now or time.monotonic() - self._drawn_at >= _EVERY_S:
            self._drawn_at = time.monotonic()
            rows = [(lane.label, round(100 * lane.share), lane.text) for lane in self._lanes]
            self._handle.update(self._html(progress_html(rows, self._said)))


def ways_to_tell(
    progress: Progress | None, talk: Callable[[str], None] | None
) -> tuple[Progress | None, Callable[[str], None]]:
    """Where an apply tells how far it is: what its caller gave, else the notebook's cell, else nowhere."""
    cell = progress_here() if progress is None and talk is None else None
    if cell is not None:
        return cell, cell.say
    return progress, talk or _quietly


def _quietly(text: str) -> None:
    """Talk for nobody."""
