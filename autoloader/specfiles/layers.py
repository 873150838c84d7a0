"""The settings of a project: the base file, the overlay of an environment, and the variables of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autoloader.spec import Settings
from autoloader.specfiles.documents import Document, is_merge, resolve
from autoloader.specfiles.judge import judge
from autoloader.specfiles.problems import Mark, Problem
from autoloader.specfiles.yamltree import Node

if TYPE_CHECKING:
    from autoloader.specfiles.templates import Templates

Layer = tuple[Node, int]


class Variables:
    """The variables of a project, and the renderer that uses them, made on first need.

    Args:
        given: `--var` values; they come over every `vars` of a file.
        environ: What `env()` reads.
    """

    def __init__(self, given: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self.given = frozenset(given)
        self.values: dict[str, Any] = dict(given)
        self._environ = environ
        self._templates: Templates | None = None

    def __call__(self) -> Templates:
        """The renderer; it sees variables that are added later, too."""
        if self._templates is None:
            from autoloader.specfiles.templates import Templates

            self._templates = Templates(self.values, self._environ)
        return self._templates


def read_settings(layers: list[Layer], variables: Variables, problems: list[Problem]) -> Settings | None:
    """The settings that layers make together.

    Args:
        layers: Documents, mappings, the base first; mappings merge, everything else is replaced.
        variables: Gets the `vars` of all layers.
        problems: Is appended to.

    Returns:
        The settings; None where they have any problem.
    """
    sections = [_vars_section(root, problems) for root, _ in layers]
    broken = _add_variables(sections, [count for _, count in layers], variables, problems)
    merged = Document(layers[0][0].mark if layers else Mark("", 0, 0), {})
    for (root, count), section in zip(layers, sections, strict=True):
        rest = replace(root, pairs=[pair for pair in root.pairs if pair[1] is not section])
        _put_over(merged, resolve(rest, count, variables, problems))
    if "vars" not in merged.data:
        merged.data["vars"] = {name: value for name, value in variables.values.items() if name not in broken}
    merged.broken |= {("vars", name) for name in broken}
    return judge(Settings, merged, problems)


def _vars_section(root: Node, problems: list[Problem]) -> Node | None:
    """The mapping of variables; a `vars` that is no mapping is left for the model to refuse."""
    found = [(key, value) for key, value in root.pairs if key.text == "vars"]
    for key, _ in found[1:]:
        what = f"The key `vars` stands twice; first in line {found[0][0].mark.line}."
        problems.append(Problem(key.mark, what, fix="Keep one of them."))
    return found[0][1] if found and found[0][1].kind == "mapping" else None


def _add_variables(
    sections: list[Node | None], counts: list[int], variables: Variables, problems: list[Problem]
) -> frozenset[str]:
    """Render each variable with those above it; an overlay's comes in the place of the base's."""
    nodes: dict[str, tuple[Node, int]] = {}
    for section, count in zip(sections, counts, strict=True):
        seen: dict[str, Mark] = {}
        for key, value in _pairs(section):
            if key.text in seen and seen[key.text].file == key.mark.file:
                what = f"The key `{key.text}` stands twice; first in line {seen[key.text].line}."
                problems.append(Problem(key.mark, what, fix="Keep one of them."))
            seen.setdefault(key.text, key.mark)
            nodes[key.text] = (value, count)
    broken = set()
    for name, (node, count) in nodes.items():
        if name in variables.given:
            continue
        document = resolve(node, count, variables, problems)
        variables.values[name] = document.data
        if document.broken:
            from autoloader.specfiles.templates import Broken

            broken.add(name)
            variables.values[name] = Broken()
    return frozenset(broken)


def _pairs(section: Node | None) -> Iterator[tuple[Node, Node]]:
    for key, value in section.pairs if section is not None else ():
        if not is_merge(key):
            yield key, value
            continue
        own = {other.text for other, _ in section.pairs} if section is not None else set()
        for source in value.items if value.kind == "list" else [value]:
            yield from ((name, node) for name, node in source.pairs if name.text not in own)


def _put_over(base: Document, layer: Document) -> None:
    base.data = _merged(base.data, layer.data if isinstance(layer.data, dict) else {})
    base.marks |= layer.marks
    base.key_marks |= layer.key_marks
    base.written |= layer.written
    base.broken |= layer.broken


def _merged(base: dict[str, Any], layer: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in layer.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
