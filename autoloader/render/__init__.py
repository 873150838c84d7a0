"""Values as text for people: terminal, Markdown, HTML. Pure; reads values, decides nothing."""

from autoloader.render.figures import bytes_text, count_text, money_text, plural, seconds_text, time_text
from autoloader.render.inert import escape_lines, escape_terminal
from autoloader.render.markup import escape_markdown, plan_fragment, plan_html, plan_markdown, progress_html, table_html
from autoloader.render.steps import operation_text, step_name
from autoloader.render.tables import table_text
from autoloader.render.terminal import errors_text, plan_text

__all__ = [
    "bytes_text",
    "count_text",
    "errors_text",
    "escape_lines",
    "escape_markdown",
    "escape_terminal",
    "money_text",
    "operation_text",
    "plan_fragment",
    "plan_html",
    "plan_markdown",
    "plan_text",
    "plural",
    "progress_html",
    "seconds_text",
    "step_name",
    "table_html",
    "table_text",
    "time_text",
]
