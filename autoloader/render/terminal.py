"""A plan as terminal text.

Reads values, decides nothing. Everything that came from storage or from a spec passes `escape_terminal`
first: a file's name may hold escape sequences, newlines and direction marks.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from autoloader.plan import Action, Change, Diagnostic, Impact, Plan, Severity
from autoloader.render.figures import bytes_text, count_text, money_text, plural, time_text
from autoloader.render.inert import escape_lines, escape_terminal, paint
from autoloader.render.steps import PLAIN, operation_lines

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
    if length == "full" and files is not None:
        lines += _other_files(plan, files)
    for drift in plan.drift:
        lines += _note(f"Drift: {escape_terminal(drift)}", width)
    if length != "summary":
        lines += [line for note in plan.notes for line in _note(f"Note: {escape_terminal(note)}", width)]
        lines += _guardrails(plan, color)
    if lines:
        lines.append("")
    if plan.errored:
        lines.append(paint("The plan has errors and cannot be applied.", "31", color))
    if not plan.changes:
        lines.append(unchanged_text(plan))
        return "\n".join(lines)
    return "\n".join([*lines, counts_line(plan), work_line(plan)])


def errors_text(plan: Plan, *, color: bool = False) -> str:
    """The errors of a plan, each with its place, for a person whose plan goes elsewhere."""
    return "\n".join(_diagnostics([each for each in plan.diagnostics if each.severity == Severity.ERROR], color))


def unchanged_text(plan: Plan) -> str:
    """What a plan without changes has looked at: nothing to load is said only where that was looked for."""
    match plan.mode:
        case "offline":
            return "No changes of specs. Storage was not looked at."
        case "refresh-only":
            looked_at = plural(plan.totals.files_skipped, "file")
            return f"{looked_at} looked at; what is to be loaded is not planned (--refresh-only)."
        case _ if plan.errored:
            return f"{plural(plan.totals.files_skipped, 'file')} looked at; what has errors is not planned."
        case _:
            return f"No changes. {plural(plan.totals.files_skipped, 'file')} looked at, nothing to load."


def _note(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, max(40, width), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )  # fmt: skip


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
    counted = _counted(plan)
    words = ("new", "changed", "retry", "reingest", "schema", "late")
    sums = {word: sum(change.impact.files_by_disposition.get(word, 0) for change in counted) for word in words}
    parts = [f"{count_text(number)} {word}" for word, number in sums.items() if number]
    summed = ", ".join(parts) + " = " if parts else ""
    loads = [change for change in counted if change.impact.works]
    priced = sum(1 for change in loads if change.impact.cost_usd is not None)
    if all_blocked(plan):
        return "Work: 0 files, 0 B.  Cost: nothing is priced, all that is to be loaded is blocked.  Priced 0 of 0."
    return (
        f"Work: {summed}{plural(totals.files_to_process, 'file')}, {bytes_text(totals.bytes_to_process)}."
        f"  Cost: {money_text(totals.cost_usd)}.  Time: {time_text(totals.duration_minutes)}."
        f"  Priced {priced} of {len(loads)}."
    )


def all_blocked(plan: Plan) -> bool:
    """Whether there is work and none of it may be done: its price is nobody's $0."""
    return any(change.impact.works for change in plan.changes) and not any(
        change.impact.works for change in _counted(plan)
    )


def _counted(plan: Plan) -> list[Change]:
    """The changes that are in the totals: those that are not blocked, and what only a guardrail of the whole stops."""
    rails = {verdict.id for verdict in plan.guardrails}
    return [change for change in plan.changes if change.blocked is None or change.blocked.by in rails]


def _diagnostics(diagnostics: Sequence[Diagnostic], color: bool) -> Iterator[str]:
    for found in diagnostics:
        word, code = {
            Severity.ERROR: ("Error", "31"),
            Severity.WARNING: ("Warning", "33"),
            Severity.INFO: ("Note", "36"),
        }[found.severity]
        place = f"{escape_terminal(found.file)}:{found.line}: " if found.file and found.line else ""
        yield paint(f"{word}: {place}{escape_terminal(found.summary)}", code, color)
        if found.detail:
            yield from (f"  {line}" for line in escape_lines(found.detail).split("\n"))


def _change(change: Change, length: str, color: bool, width: int) -> Iterator[str]:
    what = verbs_text(change)
    lane = f" [{change.lane}]" if change.lane and change.lane != "live" else ""
    sign = paint(f"{change.symbol:>3}", _COLORS[change.symbol], color)
    stop = f" (blocked by {change.blocked.by})" if change.blocked is not None and length == "summary" else ""
    yield f"{sign} {paint(escape_terminal(change.ingestion), '1', color)}{lane}: {what}{paint(stop, '31', color)}"
    if length == "summary":
        return
    full = length == "full"
    if change.blocked is None or change.blocked.message != change.detail:
        yield from _sentence(f"because {escape_terminal(change.detail)}", width)
    if change.blocked is not None:
        why = _sentence(f"blocked by {change.blocked.by}: {escape_terminal(change.blocked.message)}", width)
        yield from (paint(line, "31", color) for line in why)
    yield from (f"      {line}" for line in _impact(change.impact, full))
    for operation in change.operations:
        if full or operation.operation not in PLAIN:
            head, *examples = operation_lines(operation.operation, operation.details)
            yield from _wrapped(f"- {head}", width)
            yield from (line for each in examples for line in _wrapped(each, width, 10))


_COMMAND: Final = re.compile(r"(?<=:) (?=autoloader [a-z-]+ )")


def _sentence(text: str, width: int) -> Iterator[str]:
    """A sentence below its change; a command that it ends in stands on a line of its own, never broken."""
    words, *commands = _COMMAND.split(text)
    yield from _wrapped(words, width)
    yield from (f"{'':10}{command}" for command in commands)


def _wrapped(sentence: str, width: int, indent: int = 6) -> list[str]:
    """A sentence below its change, its further lines two columns deeper."""
    return textwrap.wrap(
        sentence, max(40, width), initial_indent=" " * indent, subsequent_indent=" " * (indent + 2),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def verbs_text(change: Change) -> str:
    """What a change does, in words: `create table demo.flights and load 59 files (0.8 MB)`."""
    return " and ".join(_verb(action, change) for action in change.actions)


def _verb(action: Action, change: Change) -> str:
    table = (change.after or change.before or {}).get("table")
    if action is Action.LOAD:
        impact = change.impact
        if impact.files_to_process == 0:
            return "load nothing"
        return f"load {plural(impact.files_to_process, 'file')} ({bytes_text(impact.bytes_to_process)})"
    if action is Action.CREATE and "spec" in (change.after or {}) and "schema" not in (change.after or {}):
        return "record the ingestion (its table is made once its columns are known)"
    if table and action in {Action.CREATE, Action.REBUILD, Action.DROP, Action.ADOPT}:
        return f"{_VERBS[action]} {escape_terminal(str(table))}"
    return _VERBS[action]


def _impact(impact: Impact, full: bool) -> Iterator[str]:
    found = impact.files_by_disposition
    if found and (full or len(found) > 1):
        yield "files: " + ", ".join(f"{count_text(n)} {word.replace('_', ' ')}" for word, n in found.items())
    if full and impact.oldest_file_date and impact.newest_file_date and impact.files_to_process:
        yield f"dates: {impact.oldest_file_date} to {impact.newest_file_date}"
    if impact.works:
        basis = impact.basis or "no basis"
        yield f"cost:  {money_text(impact.cost_usd)}, {time_text(impact.duration_minutes)} ({basis})"


def _files(change: Change, files: pa.Table) -> Iterator[str]:
    """The files of a change's lane; a change that loads nothing has none of its own."""
    import pyarrow.compute as pc

    if change.lane is not None:
        yield from _listed(
            files.filter(
                pc.and_(
                    pc.equal(files["ingestion"], change.ingestion),
                    pc.fill_null(pc.equal(files["lane"], change.lane), False),
                )
            )
        )


def _other_files(plan: Plan, files: pa.Table) -> Iterator[str]:
    """Files that no change loads, under the name of their ingestion."""
    import pyarrow.compute as pc

    for name in pc.unique(files["ingestion"]).to_pylist():
        mine = files.filter(pc.equal(files["ingestion"], name))
        for lane in {change.lane for change in plan.changes if change.ingestion == name}:
            mine = mine if lane is None else mine.filter(pc.fill_null(pc.not_equal(mine["lane"], lane), True))
        if mine.num_rows:
            yield f"    {escape_terminal(name)}: {plural(mine.num_rows, 'file')} not to be loaded"
            yield from _listed(mine)


def _listed(files: pa.Table) -> Iterator[str]:
    for batch in files.select(["disposition", "size_bytes", "key", "file_path", "reason"]).to_batches(10_000):
        for row in batch.to_pylist():
            name = escape_terminal(row["key"] or row["file_path"])
            size = bytes_text(row["size_bytes"]) if row["size_bytes"] is not None else "?"
            reason = escape_terminal(row["reason"]).removeprefix(f"{row['disposition']}: ")
            yield f"        {row['disposition']:<12} {size:>10}  {name}  ({reason})"


def _guardrails(plan: Plan, color: bool) -> Iterator[str]:
    for verdict in plan.guardrails:
        if not verdict.passed:
            word = "refuses" if verdict.level == "deny" else "warns"
            code = "31" if verdict.level == "deny" else "33"
            yield paint(
                f"Guardrail {verdict.id} {word}: {verdict.value_text}, limit {verdict.limit_text}.", code, color
            )
