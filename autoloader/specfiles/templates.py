"""Jinja2 in values: sandboxed, strict, bounded. Reaches `vars`, `env('NAME')` and a few filters.

Templates come from whoever may open a pull request: no attribute of a Python object, no file, no macro,
no loop that runs for ever, no text that fills the memory.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import SandboxedEnvironment

MAX_TEMPLATE: Final = 10_000  # characters
MAX_RESULT: Final = 100_000  # characters, and of every step on the way
MAX_LOOP: Final = 1_000
_FILTERS: Final = frozenset(
    "abs default d first float int join last length list lower replace round sort string title trim "
    "unique upper".split()
)
_FORBIDDEN: Final[dict[type[nodes.Node], str]] = {
    nodes.Include: "include files",
    nodes.Import: "import templates",
    nodes.FromImport: "import templates",
    nodes.Extends: "extend templates",
    nodes.Macro: "define macros",
    nodes.CallBlock: "call macros",
    nodes.FilterBlock: "filter blocks",
    nodes.Assign: "assign variables",
    nodes.AssignBlock: "assign variables",
    nodes.Block: "define blocks",
    nodes.With: "open scopes",
}
_LOOP: Final = frozenset({"index", "index0", "first", "last", "length"})


class TemplateProblem(Exception):  # noqa: N818 - turned into a Problem at once, never seen outside
    """Why a template could not be rendered: what is wrong, the fix, and the line within the value."""

    def __init__(self, what: str, fix: str = "", line: int = 1) -> None:
        super().__init__(what)
        self.what, self.fix, self.line = what, fix, line


class AlreadyReportedError(Exception):
    """A template uses a variable whose own value is in error: there is nothing new to say."""


class Broken:
    """The value of a variable that could not be rendered."""

    def __str__(self) -> str:
        raise AlreadyReportedError


class Templates:
    """Renders values with one set of variables.

    Args:
        variables: What `vars` holds.
        environ: What `env()` reads.
    """

    def __init__(self, variables: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self.variables = variables
        self._environ = environ
        self._environment = _Sandbox(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
        self._environment.globals = {"env": self._env, "range": _bounded_range}
        filters = self._environment.filters
        self._environment.filters = {name: _bounded(filters[name], name) for name in _FILTERS}

    def render(self, text: str) -> str:
        """The text of a template.

        Raises:
            TemplateProblem: With a sentence, a fix and the line.
            AlreadyReportedError: See there.
        """
        if len(text) > MAX_TEMPLATE:
            raise TemplateProblem("The template is too long.", f"Keep it below {MAX_TEMPLATE} characters.")
        try:
            template = self._environment.parse(text)
            _inspect(template)
            pieces, size = [], 0
            for piece in self._environment.from_string(template).generate(vars=self.variables):
                size += len(piece)
                _check_size(size)
                pieces.append(piece)
            return "".join(pieces)
        except TemplateSyntaxError as error:
            fix = "Templates look like {{ vars.name }} or {{ env('NAME') }}; for braces as they are, "
            fix += "write {% raw %}{{{% endraw %}."
            raise TemplateProblem(f"The template cannot be read: {error.message}.", fix, error.lineno) from None
        except UndefinedError as error:
            raise self._undefined(error) from None
        except SecurityError as error:
            raise TemplateProblem(f"The template is refused: {error.message}.", _MEANS) from None
        except (TemplateError, ArithmeticError, LookupError, SyntaxError, TypeError, ValueError) as error:
            raise TemplateProblem(f"The template cannot be rendered: {error}.", _MEANS) from None
        except (MemoryError, RecursionError):
            raise TemplateProblem("The template is too big to render.", _MEANS) from None

    def _undefined(self, error: UndefinedError) -> TemplateProblem:
        message = str(error.message)
        found = re.search(r"has no attribute '(.*)'|^'(.*)' is undefined", message)
        name = (found[1] or found[2]) if found is not None else None
        meant = difflib.get_close_matches(name or "", list(self.variables), n=1)
        known = ", ".join(sorted(self.variables)) or "none"
        fix = f"Did you mean `vars.{meant[0]}`? " if meant else ""
        fix += f"Variables stand under `vars` in autoloader.yml, or come with --var name=value. Known: {known}."
        what = f"The template uses `{name}`, which is not set." if name else f"The template fails: {message}."
        return TemplateProblem(what, fix)

    def _env(self, name: str, default: str | None = None) -> str:
        value = self._environ.get(name, default)
        if value is None:
            fix = f"Set it (export {name}=…), or give a default: env('{name}', '…')."
            raise TemplateProblem(f"The environment variable `{name}` is not set.", fix)
        return value


_MEANS: Final = "Use {{ vars.name }}, {{ env('NAME') }} and filters such as lower, upper, replace, default."


class _Sandbox(SandboxedEnvironment):
    """Looks into mappings and lists, and into nothing else."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        if isinstance(obj, Broken):
            raise AlreadyReportedError
        if isinstance(obj, StrictUndefined):
            raise UndefinedError(obj._undefined_message)
        raise SecurityError(f"`.{attribute}` reaches into something that is not a mapping")

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, dict) or not isinstance(argument, int | slice):
            return self.getattr(obj, argument)
        if isinstance(obj, list | tuple | str):
            return obj[argument]
        return self.getattr(obj, str(argument))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not all(isinstance(side, int | float) and abs(side) < 1e9 for side in (left, right)):
            raise SecurityError(f"`{operator}` works on numbers below 10^9 only")
        if operator == "**" and abs(right) > 16:
            raise SecurityError("the exponent is too big")
        return super().call_binop(context, operator, left, right)


def _inspect(template: nodes.Template) -> None:
    for node in template.find_all(nodes.Node):
        if type(node) in _FORBIDDEN:
            raise SecurityError(f"templates may not {_FORBIDDEN[type(node)]}")
        if isinstance(node, nodes.For) and (node.recursive or next(_loops_within(node), None) is not None):
            raise SecurityError("a loop may not hold another")
        if isinstance(node, nodes.Name) and node.name == "self":
            raise SecurityError("templates may not look at themselves")
        if isinstance(node, nodes.Call) and not isinstance(node.node, nodes.Name):
            raise SecurityError("templates may call nothing but env() and range()")


def _loops_within(node: nodes.For) -> Any:
    return (
        inner
        for child in node.iter_child_nodes()
        for inner in (child, *child.find_all(nodes.For))
        if isinstance(inner, nodes.For)
    )


def _bounded_range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > MAX_LOOP:
        raise SecurityError(f"a range may have {MAX_LOOP} numbers at most")
    return numbers


def _bounded(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A filter whose result is bounded; those that want Jinja's own context keep their marks."""

    def bounded(*arguments: Any, **named: Any) -> Any:
        if name in ("replace", "join"):  # the two that make much of little
            texts = [str(argument) for argument in (*arguments[1:], *named.values())]
            _check_size(len(texts[0]) * max(len(text) for text in texts[1:]) if len(texts) > 1 else 0)
        result = function(*arguments, **named)
        result = list(result) if hasattr(result, "__next__") else result
        _check_size(len(result) if isinstance(result, str | list) else 0)
        return result

    for mark in ("jinja_pass_arg", "jinja_async_variant"):
        if hasattr(function, mark):
            setattr(bounded, mark, getattr(function, mark))
    return bounded


def _check_size(size: int) -> None:
    if size > MAX_RESULT:
        raise SecurityError(f"the result is longer than {MAX_RESULT} characters")
