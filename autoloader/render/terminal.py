"""A plan, a table and a report as terminal text.

Reads values, decides nothing. Everything that came from storage or from a spec passes `escape_terminal`
first: a file's name may hold escape sequences, newlines and direction marks.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoloader.plan import Action, Change, Diagnostic, Impact, Plan, Severity
from autoloader.render.figures import bytes_text, count_text, money_text, plural, time_text

if TYPE_CHECKING:
    import pyarrow as pa

_COLORS = {"+": "32", "~": "33", "-/+": "31", "-": "31", ".": "33", "<=": "36", "=": "36", "!": "31"}
_VERBS = {
    Action.CREATE: "create table",
    Action.UPDATE: "change in place",
    Action.LOAD: "load",
    Action.REBUILD: "rebuild table",
    Action.DROP: "destroy table",
    Action.FORGET: "forget (the table stays)",
    Action.ADOPT: "adopt table",
    Action.SCHEMA: "change schema",
}


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


def plan_text(
    plan: Plan, *, length: str = "default", files: pa.Table | None = None, color: bool = False, width: int = 100
) -> str:
    """A plan for a terminal.

    Args:
        plan: The plan.
        length: "summary" (a line per change), "default", or "full" (every file of `files`).
        files: Dispositions, `inventory.DIFF`; read in the full length only.
        color: Whether to add ANSI colours.
        width: Columns to wrap long sentences at.

    Returns:
        Lines joined by newlines, none at the end. The last two are the counts, and the work with its price.
    """
    lines = [*_diagnostics(plan.diagnostics, color)]
    for change in plan.changes:
        lines += _change(change, length, color, width)
        if length == "full" and files is not None:
            lines += _files(change, files)
    for drift in plan.drift:
        lines.append(f"Drift: {escape_terminal(drift)}")
    if length != "summary":
        lines += [f"Note: {escape_terminal(note)}" for note in plan.notes]
        lines += _guardrails(plan, color)
    if lines:
        lines.append("")
    if plan.errored:
        lines.append(_paint("The plan has errors and cannot be applied.", "31", color))
    if not plan.changes:
        lines.append(f"No changes. {count_text(plan.totals.files_skipped)} files looked at, nothing to load.")
        return "\n".join(lines)
    return "\n".join([*lines, counts_line(plan), work_line(plan)])


def counts_line(plan: Plan) -> str:
    """Changes by kind: `Plan: 1 to create, 1 to change, …`; blocked ones are counted apart."""
    kinds = (
        ("create", {Action.CREATE}),
        ("change", {Action.UPDATE, Action.SCHEMA}),
        ("rebuild", {Action.REBUILD}),
        ("load", {Action.LOAD}),
        ("adopt", {Action.ADOPT}),
        ("forget", {Action.FORGET}),
        ("destroy", {Action.DROP}),
    )
    open_changes = [change for change in plan.changes if change.blocked is None]
    always = {"create", "change", "rebuild", "load", "destroy"}
    parts = []
    for word, actions in kinds:
        number = sum(1 for change in open_changes if actions & set(change.actions))
        if number or word in always:
            parts.append(f"{number} to {word}")
    blocked = len(plan.changes) - len(open_changes)
    return f"Plan: {', '.join(parts)}." + (f"  {blocked} blocked." if blocked else "")


def work_line(plan: Plan) -> str:
    """The work with its price: `Work: 3 changed = 3 files, 812.4 GB.  Cost: …  Time: …  Priced 4 of 4`."""
    totals = plan.totals
    work = {"new", "changed", "retry", "reingest", "schema", "late"}
    parts = [f"{count_text(n)} {word}" for word, n in totals.files_by_disposition.items() if word in work and n]
    summed = ", ".join(parts) + " = " if parts else ""
    loads = [change for change in plan.changes if change.impact.files_to_process]
    priced = sum(1 for change in loads if change.impact.cost_usd is not None)
    return (
        f"Work: {summed}{plural(totals.files_to_process, 'file')}, {bytes_text(totals.bytes_to_process)}."
        f"  Cost: {money_text(totals.cost_usd)}.  Time: {time_text(totals.duration_minutes)}."
        f"  Priced {priced} of {len(loads)}."
    )


def _diagnostics(diagnostics: Sequence[Diagnostic], color: bool) -> Iterator[str]:
    for found in diagnostics:
        word, paint = {
            Severity.ERROR: ("Error", "31"),
            Severity.WARNING: ("Warning", "33"),
            Severity.INFO: ("Note", "36"),
        }[found.severity]
        place = f"{escape_terminal(found.file)}:{found.line}: " if found.file and found.line else ""
        yield _paint(f"{word}: {place}{escape_terminal(found.summary)}", paint, color)
        yield from (f"  {escape_terminal(line)}" for line in found.detail.splitlines())


def _change(change: Change, length: str, color: bool, width: int) -> Iterator[str]:
    what = verbs_text(change)
    lane = f" [{change.lane}]" if change.lane and change.lane != "live" else ""
    sign = _paint(f"{change.symbol:>3}", _COLORS[change.symbol], color)
    yield f"{sign} {_paint(escape_terminal(change.ingestion), '1', color)}{lane}: {what}"
    if length == "summary":
        return
    yield from _wrapped(f"because {escape_terminal(change.detail)}", width)
    if change.blocked is not None:
        yield _paint(f"      blocked by {change.blocked.by}: {escape_terminal(change.blocked.message)}", "31", color)
    yield from (f"      {line}" for line in _impact(change.impact))
    for operation in change.operations:
        yield from _wrapped(f"- {operation_text(operation.operation, operation.details)}", width)


def _wrapped(sentence: str, width: int) -> list[str]:
    """A sentence below its change, its further lines two columns deeper."""
    return textwrap.wrap(
        sentence, max(40, width), initial_indent=" " * 6, subsequent_indent=" " * 8, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def verbs_text(change: Change) -> str:
    """What a change does, in words: `create table demo.flights and load 59 files (0.8 MB)`."""
    return " and ".join(_verb(action, change) for action in change.actions)


def _verb(action: Action, change: Change) -> str:
    table = (change.after or change.before or {}).get("table")
    if action is Action.LOAD:
        impact = change.impact
        return f"load {plural(impact.files_to_process, 'file')} ({bytes_text(impact.bytes_to_process)})"
    if table and action in {Action.CREATE, Action.REBUILD, Action.DROP, Action.ADOPT}:
        return f"{_VERBS[action]} {escape_terminal(str(table))}"
    return _VERBS[action]


def _impact(impact: Impact) -> Iterator[str]:
    if impact.files_by_disposition:
        yield "files: " + ", ".join(
            f"{count_text(n)} {word.replace('_', ' ')}" for word, n in impact.files_by_disposition.items()
        )
    if impact.oldest_file_date and impact.newest_file_date and impact.files_to_process:
        yield f"dates: {impact.oldest_file_date} to {impact.newest_file_date}"
    if impact.files_to_process:
        basis = impact.basis or "no basis"
        yield f"cost:  {money_text(impact.cost_usd)}, {time_text(impact.duration_minutes)} ({basis})"


def operation_text(name: str, details: Mapping[str, Any]) -> str:
    """One step of a change in words: `run triggered: files 59, bytes 812,400`."""
    words = ", ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in details.items())
    return f"{name.replace('_', ' ')}: {words}" if words else name.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count_text(value)
    if isinstance(value, list | tuple):
        shown = ", ".join(_value(item) for item in value[:8])
        return shown + (f", and {len(value) - 8} more" if len(value) > 8 else "")
    if isinstance(value, dict):
        return ", ".join(f"{_value(key)} {_value(item)}" for key, item in value.items())
    return escape_terminal(str(value))


def _files(change: Change, files: pa.Table) -> Iterator[str]:
    import pyarrow.compute as pc

    mine = files.filter(pc.equal(files["ingestion"], change.ingestion))
    if change.lane is not None:
        lane = mine["lane"]
        mine = mine.filter(pc.or_kleene(pc.is_null(lane), pc.equal(lane, change.lane)))
    for batch in mine.select(["disposition", "size_bytes", "key", "file_path", "reason"]).to_batches(10_000):
        for row in batch.to_pylist():
            name = escape_terminal(row["key"] or row["file_path"])
            size = bytes_text(row["size_bytes"]) if row["size_bytes"] is not None else "?"
            yield f"        {row['disposition']:<12} {size:>10}  {name}  ({escape_terminal(row['reason'])})"


def _guardrails(plan: Plan, color: bool) -> Iterator[str]:
    for verdict in plan.guardrails:
        if not verdict.passed:
            value = verdict.value if verdict.value is not None else "unknown"
            word = "refuses" if verdict.level == "deny" else "warns"
            paint = "31" if verdict.level == "deny" else "33"
            yield _paint(f"Guardrail {verdict.id} {word}: {value}, limit {verdict.limit}.", paint, color)


def _paint(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text


def table_text(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, color: bool = False, width: int = 100
) -> str:
    """Rows as an aligned table under its headings; the last column is cut at `width`, never the others.

    Returns:
        Lines joined by newlines; only the headings where there is no row. None is shown as `-`.
    """
    headings = [column.replace("_", " ") for column in columns]
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    sizes = [max([len(head), *(len(line[i]) for line in cells)]) for i, head in enumerate(headings)]
    numeric = [bool(rows) and all(isinstance(row.get(c), int | float | type(None)) for row in rows) for c in columns]
    lines = [_paint(_aligned(headings, sizes, numeric, width), "1", color)]
    lines += [_aligned(line, sizes, numeric, width) for line in cells]
    return "\n".join(lines)


def _aligned(cells: Sequence[str], sizes: Sequence[int], numeric: Sequence[bool], width: int) -> str:
    padded = [cell.rjust(n) if right else cell.ljust(n) for cell, n, right in zip(cells, sizes, numeric, strict=True)]
    line = "  ".join(padded).rstrip()
    return (
        line if len(line) <= width or len(cells) < 2 else line[: max(width, sum(sizes[:-1]) + 2 * len(sizes)) - 1] + "…"
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count_text(value)
    return escape_terminal(str(value))
