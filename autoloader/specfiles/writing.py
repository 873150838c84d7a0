"""Columns written into a spec's document, by hand as it were: everything else in the file stays as it is.

Only places are taken from YAML's parser; the text between them, comments, templates and line ends included, is
not touched. What cannot be written without touching more (an alias, a merged mapping) is refused.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from autoloader.errors import SettingsError
from autoloader.specfiles.documents import resolve
from autoloader.specfiles.problems import Problem
from autoloader.specfiles.yamltree import read_documents

Columns = Sequence[Mapping[str, Any]]
Declared = Sequence[tuple[str, str]]

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_BOM: Final = "\ufeff"


def write_columns(file: Path, line: int, columns: Columns, declared: Declared = ()) -> bool:
    """Declare columns in the document of a file that begins at a line.

    Args:
        file: The file of specs.
        line: Where the document's mapping begins, from 1.
        columns: As `schema.to_data` writes them; those that are declared already keep their lines, but for a type
            that is another now.
        declared: Name and type of each column that the document declares now, in its order, templates filled in.

    Returns:
        Whether the file was changed.

    Raises:
        SettingsError: It cannot be done by adding lines; says what to write by hand.
    """
    text = file.read_bytes().decode("utf-8")
    mark = _BOM if text.startswith(_BOM) else ""
    changed = mark + with_columns(text.removeprefix(_BOM), line, columns, declared)
    if changed == text:
        return False
    beside = file.with_name(f".{file.name}.new")
    beside.write_bytes(changed.encode("utf-8"))
    beside.chmod(file.stat().st_mode)
    os.replace(beside, file)  # noqa: PTH105 - atomic, and Path.replace is the same
    return True


def with_columns(text: str, line: int, columns: Columns, declared: Declared = ()) -> str:
    """The text of a file of specs with columns declared in one of its documents; see `write_columns`."""
    types = {name.casefold(): kind for name, kind in declared}
    new = [c for c in columns if str(c["name"]).casefold() not in types]
    changes = {n: c for n, (name, kind) in enumerate(declared) for c in columns if _is_other(c, name, kind)}
    if not new and not changes:
        return text
    loader: Any = yaml.SafeLoader
    roots: list[yaml.Node] = list(yaml.compose_all(text, Loader=loader))
    root = next((root for root in roots if root.start_mark.line + 1 == line), None)
    if not isinstance(root, yaml.MappingNode):
        raise _refusal(columns)
    try:
        changed = _Editor(text, new, changes, len(declared)).edited(root)
    except _CannotBeWrittenError:
        raise _refusal(columns) from None
    wanted = [changes[n]["type"] if n in changes else kind for n, (_, kind) in enumerate(declared)]
    if not _declares(changed, line, [*wanted, *(c["type"] for c in new)]):
        raise _refusal(columns)
    return changed


def _is_other(column: Mapping[str, Any], name: str, kind: str) -> bool:
    return str(column["name"]).casefold() == name.casefold() and column["type"] != kind


class _CannotBeWrittenError(Exception):
    """More than a few lines would have to be touched."""


class _Editor:
    """One edit of one document. Places are those of PyYAML: character indexes, lines and columns from 0.

    Attributes:
        text: The whole file.
        new: Columns to be added.
        changes: Columns that get another type, by their position among the declared ones.
        count: How many are declared.
    """

    def __init__(self, text: str, new: Columns, changes: Mapping[int, Mapping[str, Any]], count: int) -> None:
        self.text = text
        self.new = new
        self.changes = changes
        self.count = count
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def edited(self, root: yaml.MappingNode) -> str:
        """The text with the columns in the document of `root`."""
        found = _entry(root, "schema")
        if found is None:
            return self._added_schema(root)
        key, schema = found
        if not isinstance(schema, yaml.MappingNode) or not _stands_at(schema, key):
            raise _CannotBeWrittenError
        declared = _entry(schema, "columns")
        if declared is None:
            return self._added_columns(schema)
        key, listed = declared
        if not isinstance(listed, yaml.SequenceNode) or not _stands_at(listed, key) or len(listed.value) != self.count:
            raise _CannotBeWrittenError
        return self._completed(listed)

    def _added_schema(self, root: yaml.MappingNode) -> str:
        before = _entry(root, "destination") or root.value[-1]
        end = _end(before[1])
        if root.flow_style:
            return self._inserted(end, f", schema: {{columns: [{self._flow()}]}}")
        indent = " " * root.start_mark.column
        lines = [f"{indent}schema:", f"{indent}  columns:", *(f"{indent}    - {_column(c)}" for c in self.new)]
        return self._after_line(end, lines)

    def _added_columns(self, schema: yaml.MappingNode) -> str:
        if schema.flow_style:
            rest = ", " if schema.value else ""
            return self._inserted(schema.start_mark.index + 1, f"columns: [{self._flow()}]{rest}")
        first = schema.value[0][0].start_mark
        indent = " " * first.column
        lines = ["columns:", *(f"{indent}  - {_column(c)}" for c in self.new), indent]
        return self._inserted(first.index, self.newline.join(lines))

    def _completed(self, listed: yaml.SequenceNode) -> str:
        """New columns after the last one, and the types that are others now; from the end, so that places hold."""
        text = self._appended(listed) if self.new else self.text
        for position, column in sorted(self.changes.items(), reverse=True):
            item = listed.value[position]
            found = _entry(item, "type")
            if found is None or "{{" in found[1].value or not listed.start_mark.index <= item.start_mark.index:
                raise _CannotBeWrittenError
            at = found[1]
            text = text[: at.start_mark.index] + _scalar(column["type"]) + text[at.end_mark.index :]
        return text

    def _appended(self, listed: yaml.SequenceNode) -> str:
        last = listed.value[-1]
        if last.start_mark.index < listed.start_mark.index:
            raise _CannotBeWrittenError  # an alias of a column that stands elsewhere
        if listed.flow_style:
            return self._inserted(_end(last), f", {self._flow()}")
        indent = " " * listed.start_mark.column
        return self._after_line(_end(last), [f"{indent}- {_column(c)}" for c in self.new])

    def _flow(self) -> str:
        return ", ".join(_column(c) for c in self.new)

    def _inserted(self, index: int, more: str) -> str:
        return self.text[:index] + more + self.text[index:]

    def _after_line(self, index: int, lines: Sequence[str]) -> str:
        """Lines after the one that holds an index; a comment at its end stays there."""
        end = self.text.find("\n", index)
        block = self.newline.join(lines)
        if end < 0:
            return self.text + self.newline + block + self.newline
        return self.text[: end + 1] + block + self.newline + self.text[end + 1 :]


def _entry(node: yaml.Node, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((k, v) for k, v in node.value if k.value == key), None)


def _stands_at(node: yaml.Node, key: yaml.Node) -> bool:
    """Whether a value is written out behind its key; an alias stands for a node elsewhere."""
    return bool(node.start_mark.index >= key.end_mark.index)


def _end(node: yaml.Node) -> int:
    """The index after a node's last character; a block collection's own end lies behind comments and blank lines."""
    if not isinstance(node, yaml.CollectionNode) or node.flow_style:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _column(column: Mapping[str, Any]) -> str:
    parts = [f"{key}: {_scalar(str(column[key]))}" for key in ("name", "type", "from", "description") if key in column]
    return "{" + ", ".join(parts) + "}"


def _scalar(text: str) -> str:
    """A text as a YAML scalar that stays this text: no number, no boolean, no template."""
    if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS:
        return text
    if "{{" in text or "{%" in text or "{#" in text:
        text = "{{ " + json.dumps(text, ensure_ascii=False) + " }}"
    return json.dumps(text, ensure_ascii=False)


def _declares(text: str, line: int, types: Sequence[str]) -> bool:
    """Whether the document declares columns of these types, read as any other spec is; templates may be any type."""
    problems: list[Problem] = []
    for node, count in read_documents(text, "", problems):
        if node.mark.line == line:
            data = resolve(node, count, None, problems).data
            schema = data.get("schema") if isinstance(data, dict) else None
            declared = schema.get("columns") if isinstance(schema, dict) else None
            found = [str(c.get("type")) for c in declared if isinstance(c, dict)] if isinstance(declared, list) else []
            alike = all(f == kind or "{{" in f for f, kind in zip(found, types, strict=False))
            return not problems and len(found) == len(types) and alike
    return False


def _refusal(columns: Columns) -> SettingsError:
    lines = "\n".join(f"    - {_column(c)}" for c in columns)
    return SettingsError(
        "The columns cannot be written into the spec.",
        why="Its schema comes from an alias or a merged mapping, or the document is no plain mapping.",
        fix=f"Write them yourself:\n  columns:\n{lines}",
    )
