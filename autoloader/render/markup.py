"""A plan as Markdown for a pull request and as one self-contained HTML page.

File names, specs and errors are hostile text here: in Markdown they stand inside `<code>` with every
character that Markdown or a code host acts on written as an entity; in HTML Jinja2 escapes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from autoloader.plan import Change, Plan
from autoloader.render.figures import bytes_text, count_text, money_text, plural, time_text
from autoloader.render.inert import escape_terminal
from autoloader.render.steps import PLAIN, operation_text
from autoloader.render.terminal import all_blocked, counts_line, unchanged_text, verbs_text, work_line

if TYPE_CHECKING:
    import jinja2
    import pyarrow as pa

MARKDOWN_LIMIT_BYTES: Final = 60_000
_PLAIN = re.compile(r"[^A-Za-z0-9 /=,]")
_FILES_SHOWN: Final = 200
_BREAK: Final = "<b></b>"


def escape_markdown(text: str) -> str:
    """Text as an inline `<code>` element in which nothing is markup, a mention or a link."""
    inert = _PLAIN.sub(lambda match: f"&#{ord(match.group())};", escape_terminal(text))
    return f"<code>{inert}</code>"


def _words(text: str) -> str:
    """A sentence of our own with foreign names in it: readable, and as inert as a name.

    Code hosts look for mentions, issue numbers and addresses in what comes out of Markdown, where an entity is a
    letter again: an empty element breaks those up.
    """
    safe = re.sub(r"[^A-Za-z0-9 /=,.;:()'’%–+-]", lambda match: f"&#{ord(match.group())};", escape_terminal(text))
    return re.sub(r"(&#(?:35|64);|:(?=//)|www(?=\.))", rf"\1{_BREAK}", safe)


@cache
def _templates() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("autoloader.render"),
        autoescape=jinja2.select_autoescape(["html.j2"], default_for_string=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        code=escape_markdown,
        words=_words,
        inert=escape_terminal,
        bytes=bytes_text,
        count=count_text,
        money=money_text,
        time=time_text,
        plural=plural,
        verbs=verbs_text,
        cell=_cell,
        operation=lambda step: operation_text(step.operation, step.details),
    )
    return environment


def plan_markdown(plan: Plan, *, files: pa.Table | None = None) -> str:
    """A plan as a comment for a pull request, at most `MARKDOWN_LIMIT_BYTES` long in UTF-8.

    Sections are dropped from the least telling one on until it fits; nothing is cut in the middle.

    Args:
        plan: The plan.
        files: Dispositions, `inventory.DIFF`; the first of each change are listed, folded.

    Returns:
        Markdown whose first line is a hidden marker with digest and time.
    """
    rows = _file_rows(plan, files, 50)
    most = max(len(plan.changes), len(plan.diagnostics))
    for sections in ({"details", "files", "notes"}, {"details", "notes"}, {"details"}, {"notes"}, set[str]()):
        for shown in (most, 200, 50, 10):
            text = _markdown(plan, sections, rows, shown)
            if len(text.encode()) <= MARKDOWN_LIMIT_BYTES:
                return text
    return _markdown(plan, set(), {}, 0)


def _markdown(plan: Plan, sections: set[str], rows: Mapping[int, Any], shown: int) -> str:
    template = _templates().get_template("plan.md.j2")
    return template.render(
        plan=plan,
        counts=counts_line(plan),
        work=work_line(plan),
        unchanged=unchanged_text(plan),
        unpriced=all_blocked(plan),
        sections=sections,
        changes=list(enumerate(plan.changes[:shown])),
        unshown=max(0, len(plan.changes) - shown),
        diagnostics=plan.diagnostics[:shown],
        untold=max(0, len(plan.diagnostics) - shown),
        files=rows if "files" in sections else {},
        dropped="files" not in sections,
        plain=PLAIN,
    )


def plan_html(plan: Plan, *, files: pa.Table | None = None) -> str:
    """A plan as one HTML page without scripts and without anything from elsewhere.

    Args:
        plan: The plan.
        files: Dispositions, `inventory.DIFF`; the first 200 of each change are listed.

    Returns:
        The page, for light and dark displays.
    """
    return (
        _templates()
        .get_template("plan.html.j2")
        .render(
            plan=plan,
            fragment=False,
            plain=PLAIN,
            counts=counts_line(plan),
            work=work_line(plan),
            unchanged=unchanged_text(plan),
            unpriced=all_blocked(plan),
            changes=list(enumerate(plan.changes)),
            files=_file_rows(plan, files, _FILES_SHOWN),
        )
    )


def plan_fragment(plan: Plan, *, files: pa.Table | None = None) -> str:
    """The same as `plan_html`, as an element for a notebook's output cell."""
    return (
        _templates()
        .get_template("plan.html.j2")
        .render(
            plan=plan,
            fragment=True,
            plain=PLAIN,
            counts=counts_line(plan),
            work=work_line(plan),
            unchanged=unchanged_text(plan),
            unpriced=all_blocked(plan),
            changes=list(enumerate(plan.changes)),
            files=_file_rows(plan, files, 50),
        )
    )


def _file_rows(plan: Plan, files: pa.Table | None, limit: int) -> dict[int, Any]:
    """Per index of a change: the first files that it loads, and how many more there are."""
    if files is None or files.num_rows == 0:
        return {}
    found = {}
    for index, change in enumerate(plan.changes):
        mine = _files_of(change, files)
        if mine.num_rows:
            rows = mine.slice(0, limit).select(["file_path", "key", "size_bytes", "disposition"]).to_pylist()
            found[index] = {"rows": rows, "more": max(0, mine.num_rows - limit)}
    return found


def _files_of(change: Change, files: pa.Table) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    from autoloader.inventory import WORK

    work = pc.is_in(files["disposition"], value_set=pa.array(sorted(WORK)))
    mine = pc.and_(work, pc.equal(files["ingestion"], change.ingestion))
    mine = pc.and_(mine, pc.equal(files["lane"], pa.scalar(change.lane, pa.string())))
    return files.filter(pc.fill_null(mine, False))


def table_html(
    rows: list[dict[str, Any]],
    columns: list[str],
    *,
    title: str = "",
    closing: Sequence[str] = (),
    folded: bool = False,
    literal: bool = False,
) -> str:
    """Rows as an HTML table for a notebook's output cell, with sentences above and below; everything is escaped.

    Args:
        rows: What is shown.
        columns: Keys of `rows`, in order; a column of numbers alone is set flush right.
        title: A sentence above; may be empty.
        closing: Sentences below.
        folded: Whether the table opens only on a click on its title.
        literal: Whether the headings are the columns' own names, as those of a table's data are.
    """
    figures = {column for column in columns if rows and all(_is_figure(row.get(column)) for row in rows)}
    return (
        _templates()
        .get_template("table.html.j2")
        .render(
            rows=rows, columns=columns, figures=figures, title=title, closing=closing, folded=folded, literal=literal
        )
    )


def progress_html(rows: Sequence[tuple[str, int, str]], said: str = "") -> str:
    """Bars for a notebook's output cell: per row a label, percent done and a sentence; below, what is waited for."""
    return _templates().get_template("progress.html.j2").render(rows=rows, said=said)


def _is_figure(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return count_text(value) if isinstance(value, int) else escape_terminal(str(value))
