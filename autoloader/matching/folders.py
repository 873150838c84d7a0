"""Which folders a walk may leave out: those whose path already says that their dates lie outside.

Judging folders that are there, rather than making up the prefixes of a window, prunes whatever the
padding (`month=1`, `month=01`) and keeps what no window foresees: `month=13`,
`__HIVE_DEFAULT_PARTITION__` and folders without a date are still listed and reported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from autoloader.matching.pathdate import PathDate, compile_path_date, complete
from autoloader.matching.window import Window, local_bounds, next_local


class Verdict(StrEnum):
    """What to do with a folder."""

    SKIP = "skip"  # nothing below can be in scope
    LOOK = "look"  # judge the folders below it one by one
    TAKE = "take"  # everything below may be in scope


@dataclass(frozen=True, slots=True)
class FolderFilter:
    """Judges folders by a path date and a window. Picklable and pure."""

    stages: tuple[PathDate, ...] = field(repr=False)  # finest first
    from_local: datetime | None
    until_local: datetime | None

    def __call__(self, folder: str) -> Verdict:
        """The verdict on a folder's key, which ends in `/` (the root is the empty string)."""
        for stage in self.stages:
            if (at := stage.local_at(folder)) is not None:
                return self._judge(stage, at)
        return Verdict.LOOK

    def _judge(self, stage: PathDate, at: datetime) -> Verdict:
        end = next_local(at, stage.granularity)
        if (self.until_local is not None and at >= self.until_local) or (
            self.from_local is not None and end is not None and end <= self.from_local
        ):
            return Verdict.SKIP
        inside = (self.from_local is None or self.from_local <= at) and (
            self.until_local is None or (end is not None and end <= self.until_local)
        )
        return Verdict.TAKE if inside or stage is self.stages[0] else Verdict.LOOK


def folder_filter(path_date: PathDate, window: Window, timezone: str) -> FolderFilter | None:
    """The filter of a template and a window; None where the window is open at both ends.

    A folder is judged by as much of the template as its path holds: of `year={Y}/month={m}`, the folder
    `year=2014/` by its year, `year=2014/month=02/` by both. A path is taken to hold one date: below
    `year=2014/` no other year is looked for.
    """
    if window.from_at is None and window.until_at is None:
        return None
    parts = path_date.template.split("/")
    heads = ["/".join(parts[: i + 1]) for i, part in enumerate(parts) if "{" in part]
    stages = [compile_path_date(head) for head in heads if complete(head)]
    return FolderFilter(tuple(reversed(stages)), *local_bounds(window, timezone))
