"""One document: its tree rendered and turned into plain data, with the place of every value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from autoloader.specfiles.problems import Mark, Problem
from autoloader.specfiles.yamltree import MAX_DEPTH, Node

if TYPE_CHECKING:
    from autoloader.specfiles.templates import Templates

Path = tuple[str | int, ...]

_MORE_BY_ALIASES: Final = 20_000  # nodes that aliases may add to a document
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,30})")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,3})?")


@dataclass(slots=True)
class Document:
    """What one YAML document says.

    Attributes:
        mark: Where it begins.
        data: Plain data: dicts, lists, text, numbers, booleans, None.
        marks: Place of the value at each path.
        key_marks: Place of the key at each path.
        written: Text of each scalar as it stands in the file: messages show this, never a rendered value.
        broken: Paths whose value is already reported.
    """

    mark: Mark
    data: Any = None
    marks: dict[Path, Mark] = field(default_factory=dict)
    key_marks: dict[Path, Mark] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)

    def place(self, path: Path, *, of_key: bool = False) -> Mark:
        """The place of a path, or of the nearest node above it that is written down."""
        if of_key and path in self.key_marks:
            return self.key_marks[path]
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, self.mark)

    def is_broken(self, path: Path) -> bool:
        """Whether the value at a path, or one around it, is already reported."""
        return any(path[:length] in self.broken for length in range(len(path) + 1))


def resolve(root: Node, count: int, templates: Callable[[], Templates] | None, problems: list[Problem]) -> Document:
    """Turn a tree into data.

    Args:
        root: The document.
        count: Its nodes, for the bound on what aliases may add.
        templates: Gives the renderer on first need; None leaves templates as they are.
        problems: Is appended to.

    Returns:
        The document. Scalars follow YAML 1.2: `yes` and `2015-01-01` are text, `1` and `1.5` numbers.
    """
    document = Document(root.mark)
    resolver = _Resolver(document, count + _MORE_BY_ALIASES, templates, problems)
    try:
        document.data = resolver.value(root, ())
    except _TooManyError:
        what = "The aliases of this document expand to too many values."
        problems.append(Problem(root.mark, what, fix="Write the values out, or take the aliases out."))
        document.broken.add(())
    return document


class _TooManyError(Exception):
    pass


class _Resolver:
    def __init__(
        self,
        document: Document,
        budget: int,
        templates: Callable[[], Templates] | None,
        problems: list[Problem],
    ) -> None:
        self.document = document
        self.budget = budget
        self.templates = templates
        self.problems = problems

    def value(self, node: Node, path: Path) -> Any:
        self.budget -= 1
        if self.budget < 0 or len(path) > MAX_DEPTH:
            raise _TooManyError
        self.document.marks[path] = node.mark
        if node.kind == "list":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.items)]
        if node.kind == "mapping":
            return self._mapping(node, path)
        self.document.written[path] = node.text
        if "{{" in node.text or "{%" in node.text:
            return self._rendered(node, path)
        return _scalar(node.text) if node.plain else node.text

    def _mapping(self, node: Node, path: Path) -> dict[str, Any]:
        found = self._merged(node, path)
        own: set[str] = set()
        for key, value in node.pairs:
            if key.kind != "scalar":
                fix = 'A template stands in quotes: "{{ vars.name }}". Text with braces, too.'
                self._report(key.mark, "A key must be text.", fix, path)
            elif key.text in own:
                first = self.document.key_marks[(*path, key.text)]
                what = f"The key `{key.text}` stands twice; first in line {first.line}."
                self._report(key.mark, what, "Keep one of them.")
            elif not is_merge(key):
                own.add(key.text)
                self.document.key_marks[(*path, key.text)] = key.mark
                found[key.text] = self.value(value, (*path, key.text))
        return found

    def _merged(self, node: Node, path: Path) -> dict[str, Any]:
        """What `<<` brings in; the mapping's own keys come over it, an earlier source over a later."""
        found: dict[str, Any] = {}
        named = [value for key, value in node.pairs if is_merge(key)]
        for source in [item for value in named for item in (value.items if value.kind == "list" else [value])]:
            if source.kind != "mapping":
                what = "`<<` takes a mapping, or a list of mappings."
                self._report(source.mark, what, "Name one by its alias.", path)
                continue
            for name, value in self._mapping(source, path).items():
                found.setdefault(name, value)
        return found

    def _rendered(self, node: Node, path: Path) -> Any:
        if self.templates is None:
            return node.text
        from autoloader.specfiles.templates import AlreadyReportedError, TemplateProblem

        try:
            return self.templates().render(node.text)
        except AlreadyReportedError:
            self.document.broken.add(path)
        except TemplateProblem as problem:
            line = node.mark.line + (problem.line if node.block else problem.line - 1)
            column = node.mark.column if line == node.mark.line else 1
            self._report(Mark(node.mark.file, line, column), problem.what, problem.fix, path)
        return None

    def _report(self, mark: Mark, what: str, fix: str = "", path: Path | None = None) -> None:
        self.problems.append(Problem(mark, what, fix=fix))
        if path is not None:
            self.document.broken.add(path)


def is_merge(key: Node) -> bool:
    """Whether a mapping's key is `<<`, which brings in another mapping's keys."""
    return key.text == "<<" and key.plain


def _scalar(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text) and any(mark in text for mark in ".eE"):
        return float(text)
    return text
