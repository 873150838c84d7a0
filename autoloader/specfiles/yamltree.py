"""YAML text to a tree of nodes that know their place. No Python object is ever built by a tag.

Reads PyYAML's events and builds the tree itself: depth and alias expansion are bounded, duplicate keys
and tags are reported, and the parser's own errors become one sentence with a fix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

from autoloader.specfiles.problems import Mark, Problem

MAX_DEPTH: Final = 40
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Node:
    """One scalar, list or mapping.

    Attributes:
        kind: Which of the three.
        mark: Where it begins.
        text: A scalar's text, else "".
        plain: Whether a scalar stands without quotes (so that `1` is a number).
        block: Whether its text begins on the next line (`|`, `>`).
        items: A list's nodes.
        pairs: A mapping's key and value nodes in order; keys may still stand twice.
    """

    kind: Literal["scalar", "list", "mapping"]
    mark: Mark
    text: str = ""
    plain: bool = False
    block: bool = False
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)


def read_documents(text: str, file: str, problems: list[Problem]) -> Iterator[tuple[Node, int]]:
    """The non-empty documents of one file, each with its number of nodes.

    Args:
        text: The file's text.
        file: Its name for messages.
        problems: Is appended to. After an error of syntax the rest of the file is left out.
    """
    try:
        events = yaml.parse(text, Loader=_LOADER)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                builder = _Builder(file, problems)
                yield from builder.document(events)
    except yaml.YAMLError as error:
        problems.append(_syntax_problem(error, text, file))


class _Builder:
    """Builds one document from events; aliases become references to the node that they name."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        self.anchors: dict[str, Node] = {}
        self.open: list[tuple[Node, list[Node]]] = []  # each with the nodes that it has so far
        self.count = 0

    def document(self, events: Iterator[Any]) -> Iterator[tuple[Node, int]]:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                break
            node = self._node(event)
            if node is not None and self.open and node is not self.open[-1][0]:
                self.open[-1][1].append(node)
            root = root or node
        if root is not None and not (root.kind == "scalar" and root.plain and root.text in ("", "~", "null")):
            yield root, self.count

    def _node(self, event: Any) -> Node | None:
        mark = Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.CollectionEndEvent):
            self._close()
            return None
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event.anchor, mark)
        self.count += 1
        if event.tag is not None:
            fix = "Take the tag out; text that looks like a number stands in quotes."
            self.problems.append(Problem(mark, f"The tag `{_tag(event.tag)}` is not allowed.", fix=fix))
        if isinstance(event, yaml.ScalarEvent):
            node = Node("scalar", mark, event.value, not event.style, event.style in ("|", ">"))
        else:
            node = Node("list" if isinstance(event, yaml.SequenceStartEvent) else "mapping", mark)
            if self.open:
                self.open[-1][1].append(node)
            self.open.append((node, []))
            if len(self.open) > MAX_DEPTH:
                raise _TooDeep(mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _close(self) -> None:
        node, parts = self.open.pop()
        if node.kind == "list":
            node.items = parts
        else:
            node.pairs = list(zip(parts[::2], parts[1::2], strict=True))

    def _aliased(self, anchor: str | None, mark: Mark) -> Node:
        node = self.anchors.get(anchor or "")
        if node is None or any(node is open_node for open_node, _ in self.open):
            what = f"The alias `*{anchor}` names nothing that stands before it."
            if node is not None:
                what = f"The alias `*{anchor}` stands inside the node that it names."
            self.problems.append(Problem(mark, what, fix="Write the value itself."))
            return Node("scalar", mark, "", plain=True)
        return node


class _TooDeep(yaml.YAMLError):
    def __init__(self, mark: Mark) -> None:
        super().__init__("too deep")
        self.mark = mark


def _tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, _TooDeep):
        what = f"The document is nested deeper than {MAX_DEPTH} levels."
        return Problem(error.mark, what, fix="No spec is that deep: look for a bracket that is not closed.")
    position = getattr(error, "position", None)
    if isinstance(position, int):
        before = text[:position] if position <= len(text) else text
        mark = Mark(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        fix = 'Delete it; in quotes it can be written as an escape like "\\x07".'
        return Problem(mark, "The file holds a control character.", fix=fix)
    place = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    mark = Mark(file, place.line + 1, place.column + 1) if place is not None else Mark(file, 1, 1)
    reason = " ".join(str(p) for p in (getattr(error, "context", ""), getattr(error, "problem", "")) if p)
    why = f"The YAML parser says: {reason or error}."
    lines = text.splitlines()
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    rest = line[mark.column - 1 :]
    if "\t" in line[: len(line) - len(line.lstrip())] or rest.startswith("\t"):
        return Problem(mark, "The line is indented with a tab.", why, "Indent with spaces.")
    if rest[:1] in ("@", "`", "%", "*", "&", "!"):
        return Problem(mark, f"A value begins with `{rest[0]}`.", why, "Put the value in quotes.")
    if "mapping values are not allowed" in reason:
        fix = "Check the indentation; a value that holds `: ` stands in quotes."
        return Problem(mark, "The file is not valid YAML.", why, fix)
    return Problem(mark, "The file is not valid YAML.", why, "Check brackets, quotes and indentation.")
