"""What an apply did, as data and in words for a terminal and a notebook; nothing is decided or done here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from autoloader.apply import MOST_PROBLEMS, Done
from autoloader.render import (
    bytes_text,
    count_text,
    escape_terminal,
    plural,
    seconds_text,
    step_name,
    table_html,
    table_text,
)

_SHOWN_ALIKE = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What an apply did.

    Attributes:
        done: Steps, counts, problems, errors.
        elapsed_s: Wall clock of the whole.
        engine: Sentence on the engine that ran the tasks; empty where none was needed.
        newer_files: Files that are in storage and not in the saved plan; None where that was not looked at.
        waiting_files: Files that the plan leaves for a later run.
    """

    done: Done
    elapsed_s: float
    engine: str = ""
    newer_files: int | None = None
    waiting_files: int = 0

    @property
    def exit_code(self) -> int:
        """The exit code of DESIGN section 5."""
        return self.done.exit_code

    def to_json(self) -> dict[str, Any]:
        """The report as data."""
        return {
            "exit_code": self.exit_code,
            "elapsed_seconds": round(self.elapsed_s, 3),
            "engine": self.engine or None,
            "runs": self.done.runs,
            "totals": self.done.counts.as_data(),
            "newer_files": self.newer_files,
            "waiting_files": self.waiting_files,
            "operations": [
                {
                    "ingestion": step.ingestion,
                    "operation": step.operation,
                    "status": step.status,
                    "seconds": round(step.seconds, 3),
                    "details": {key: _plain(value) for key, value in step.details.items()},
                }
                for step in self.done.steps
            ],
            "problems": [{"file_path": path, "error": error} for path, error in self.done.problems],
            "errors": [{"ingestion": name, "error": str(error)} for name, error in self.done.errors],
        }

    def text(self, *, color: bool = False, width: int | None = 100) -> str:
        """The report for a terminal `width` columns wide; None = one line per step, however long."""
        parts = []
        if self.done.steps:
            rows, columns = self._steps()
            parts.append(table_text(rows, columns, color=color, width=width, spare=["time"]))
        return "\n".join([*parts, *map(escape_terminal, self._sentences()), self._last_line()])

    def _steps(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The steps as rows, and the columns that say something."""
        rows = [
            {
                "ingestion": step.ingestion,
                "step": step_name(step.operation) + _lane_text(step.details.get("lane")),
                "status": step.status,
                "time": seconds_text(step.seconds),
                "details": _details(step.details),
                "run_id": step.details.get("run"),
            }
            for step in self.done.steps
        ]
        columns = ["ingestion", "step", "status", "time", "details", "run_id"]
        if all(step.status == "done" for step in self.done.steps):
            columns.remove("status")
        return rows, columns

    def _sentences(self) -> list[str]:
        """What was not done, and why; not yet escaped."""
        found = _not_loaded(self.done.problems)
        for name, error in self.done.errors:
            head, *rest = str(error).split("\n")
            found += [f"Error in {name}: {head}", *(f"  {line}" for line in rest)]
        if self.waiting_files:
            found.append(f"Left for a later run: {plural(self.waiting_files, 'file')}.")
        if self.newer_files:
            found.append(f"{plural(self.newer_files, 'newer file')}, not in this plan.")
        return found

    def _repr_html_(self) -> str:
        rows, columns = self._steps()
        return table_html(rows, columns, title=self._last_line(), closing=self._sentences())

    def __repr__(self) -> str:
        return self.text()

    def _last_line(self) -> str:
        counts = self.done.counts
        if not self.done.steps:
            nothing = "Nothing to do now." if self.waiting_files else "Nothing to do."
            return "Nothing was done." if self.done.errors else nothing
        bad = counts.failed + counts.quarantined + counts.moved
        left = f", {plural(bad, 'file')} not loaded" if bad else ""
        rejected = f", {plural(counts.rejected_rows, 'row')} rejected" if counts.rejected_rows else ""
        refused = "Refused in part" if any(step.operation != "blocked" for step in self.done.steps) else "Refused"
        verdict = {0: "Done", 3: refused, 6: "Stopped; apply again to resume"}.get(self.exit_code, "Failed")
        engine = f"  {self.engine}" if self.engine else ""
        return (
            f"{verdict}: {plural(counts.files, 'file')}, {plural(counts.rows, 'row')}, {bytes_text(counts.bytes)}"
            f" in {seconds_text(self.elapsed_s)}{rejected}{left}.{engine}"
        )


def _not_loaded(problems: Sequence[tuple[str, str]]) -> list[str]:
    """A sentence per file; where many have one reason, for the first of them."""
    by_why: dict[str, list[str]] = {}
    for path, why in problems:
        by_why.setdefault(_after_path(path, why), []).append(path)
    found = []
    for why, paths in by_why.items():
        shown = paths if len(paths) <= _SHOWN_ALIKE else paths[:1]
        found += [f"Not loaded: {path}: {why}" for path in shown]
        if len(paths) > len(shown):
            at_least = "at least " if len(problems) >= MOST_PROBLEMS else ""
            found[-1] += f" (and {at_least}{len(paths) - 1} more for this reason)"
    return found


def _after_path(path: str, why: str) -> str:
    """An error in one line, for a line that begins with the path already."""
    return " ".join(why.removeprefix(path).split())


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return next(iter(value.splitlines()), "")  # of an error the sentences below the table tell the rest
    if isinstance(value, list):
        return "; ".join(str(each["change"]) for each in value)
    return count_text(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _lane_text(lane: str | None) -> str:
    return f" ({lane})" if lane not in {None, "live"} else ""


def _details(details: Mapping[str, Any]) -> str:
    """What a step came to, in words; its run has a column of its own."""
    if "rows" in details and "batches" in details:
        parts = [plural(details["files"], "file"), plural(details["rows"], "row"), bytes_text(details["bytes"])]
        if details["batches"] > 1:
            parts.append(plural(details["batches"], "batch", "batches"))
        if details.get("stopped"):
            parts.append(f"stopped: {details['stopped']}")
        if details.get("left"):
            parts.append(f"the rest is left for a later run: {details['left']}")
        return ", ".join(parts)
    shown = {key: value for key, value in details.items() if value is not None and key not in {"run", "recovered"}}
    return ", ".join(_detail(key, value) for key, value in shown.items())


def _detail(key: str, value: Any) -> str:
    if key in {"files", "rows"}:
        return plural(value, key[:-1])
    return f"{'' if key in {'table', 'changes'} else key.replace('_', ' ') + ' '}{_shown(value)}"
