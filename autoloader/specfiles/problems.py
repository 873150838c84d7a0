"""What is wrong with specs, where, and what to do: collected, never raised one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autoloader.errors import AutoloaderError
from autoloader.plan import Diagnostic, Severity


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at one place. `mark.line` 0 means the file as a whole."""

    mark: Mark
    what: str
    why: str = ""
    fix: str = ""

    def as_diagnostic(self, severity: Severity = Severity.ERROR) -> Diagnostic:
        """The problem as plans carry it: what is the summary, why and fix the detail."""
        return Diagnostic(
            severity,
            self.what,
            "\n".join(part for part in (self.why, self.fix) if part),
            file=self.mark.file,
            line=self.mark.line or None,
            column=self.mark.column or None,
        )


class SpecErrors(AutoloaderError):  # noqa: N818 - the plural is the point: all of them at once
    """The specs cannot be used. Carries every problem of every file, sorted by place.

    Attributes:
        diagnostics: At least one, all of severity error.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        ordered = sorted(set(problems), key=lambda problem: (problem.mark, problem.what))
        self.diagnostics = tuple(problem.as_diagnostic() for problem in ordered)
        count = len(self.diagnostics)
        super().__init__(
            "There is 1 problem in the specs." if count == 1 else f"There are {count} problems in the specs.",
            why="\n".join(format_diagnostic(diagnostic) for diagnostic in self.diagnostics),
            fix="Mend the specs; this checks them again:\n    autoloader validate",
        )


def format_diagnostic(diagnostic: Diagnostic) -> str:
    """`file:line:column: summary`, the detail below it, indented."""
    place = ":".join(str(p) for p in (diagnostic.file, diagnostic.line, diagnostic.column) if p is not None)
    details = [f"    {line}" for line in diagnostic.detail.splitlines()]
    return "\n".join([f"{place}: {diagnostic.summary}", *details])
