"""Columns written into spec files: what people wrote stays as they wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoloader.errors import SettingsError
from autoloader.specfiles import load, write_columns

COLUMNS = [{"name": "id", "type": "long"}, {"name": "the price", "type": "decimal(5,2)", "from": "Price/€"}]
ADDED = [
    "schema:",
    "  columns:",
    "    - {name: id, type: long}",
    '    - {name: "the price", type: "decimal(5,2)", from: "Price/€"}',
]
HEAD = ["name: a  # mine", "source: {path: in/}", "destination:", "  table: t.a  # and this"]


def written(folder: Path, text: str, columns: list[dict[str, str]] = COLUMNS, name: str = "a") -> str:
    """The file after its document was completed, as it would be with its project at hand; it must still load."""
    specs = folder / "specs"
    specs.mkdir(exist_ok=True)
    file = specs / "a.yml"
    file.write_bytes(text.encode())
    [loaded] = [one for one in load(specs, environ={}).ingestions if one.spec.name == name]
    declared = [(c.name, c.type) for c in loaded.spec.table_schema.columns or ()]
    changed = write_columns(Path(loaded.file), loaded.line, columns, declared)
    assert changed == (file.read_bytes() != text.encode())
    [again] = [one for one in load(specs, environ={}).ingestions if one.spec.name == name]
    now = {c.name.casefold(): (c.type, c.from_) for c in again.spec.table_schema.columns or ()}
    for column in columns:
        assert now[column["name"].casefold()][0] == column["type"]
    assert len(now) == len({*(n.casefold() for n, _ in declared), *(c["name"].casefold() for c in columns)})
    return file.read_bytes().decode()


THIRD = "name: c\nsource: {path: in/c/}\ndestination: {table: t.c}\n"


def lines(*parts: str) -> str:
    return "\n".join(parts) + "\n"


def test_a_spec_without_a_schema_gets_one_behind_its_destination(tmp_path: Path) -> None:
    tail = ["", "# the end", "tags: [x]", ""]
    assert written(tmp_path, lines(*HEAD, *tail)) == lines(*HEAD, *ADDED, *tail)


def test_a_schema_with_other_keys_keeps_them(tmp_path: Path) -> None:
    text = lines(*HEAD, "schema:", "  # strict", "  new_columns: fail  # yes")
    new = ["  columns:", *ADDED[2:]]
    assert written(tmp_path, text) == lines(*HEAD, "schema:", "  # strict", *new, "  new_columns: fail  # yes")


def test_declared_columns_stay_and_only_others_are_added(tmp_path: Path) -> None:
    there = [*HEAD, "schema:", "  columns:", "  - name: ID", "    type: long  # the key", "  # last words"]
    assert written(tmp_path, lines(*there, "tags: [x]")) == lines(
        *there[:-1], '  - {name: "the price", type: "decimal(5,2)", from: "Price/€"}', there[-1], "tags: [x]"
    )


def test_a_type_that_has_become_wider_is_written_in_its_place(tmp_path: Path) -> None:
    text = lines(*HEAD, "schema:", "  columns: [{type: int, name: id}, {name: the price, type: 'decimal(5,2)'}]")
    assert written(tmp_path, text) == text.replace("type: int", "type: long")


def test_a_spec_that_declares_everything_is_not_touched(tmp_path: Path) -> None:
    text = lines(*HEAD, *ADDED)
    assert written(tmp_path, text) == text


@pytest.mark.parametrize(
    "text",
    [
        "{name: a, source: {path: in/}, destination: {table: t.a}}",
        "{name: a, source: {path: in/}, destination: {table: t.a}, schema: {new_columns: add}}\n",
        "{name: a, source: {path: in/}, destination: {table: t.a}, schema: {columns: [{name: id, type: long}]}}",
        "\ufeffname: a\nsource: {path: in/}\ndestination: {table: t.a}",
    ],
)
def test_flow_style_no_final_newline_and_a_byte_order_mark_are_kept(text: str, tmp_path: Path) -> None:
    changed = written(tmp_path, text)
    assert changed.startswith("\ufeff") == text.startswith("\ufeff")
    assert ("\n" in changed.strip()) == ("\n" in text.strip())


def test_windows_line_ends_are_kept(tmp_path: Path) -> None:
    changed = written(tmp_path, "\r\n".join([*HEAD, ""]))
    assert changed == "\r\n".join([*HEAD, *ADDED, ""])


def test_of_several_documents_only_the_meant_one_is_changed(tmp_path: Path) -> None:
    other = lines("name: b", "source: {path: in/b/}", "destination: {table: t.b}")
    text = other + "---\n" + lines(*HEAD) + "---\n" + THIRD
    assert written(tmp_path, text) == other + "---\n" + lines(*HEAD, *ADDED) + "---\n" + THIRD


def test_templates_stay_templates_and_what_looks_like_one_is_kept_literal(tmp_path: Path) -> None:
    head = [
        *HEAD,
        "description: \"{{ 'x' | upper }}\"",
        "schema:",
        "  columns:",
        "  - {name: \"{{ 'id' }}\", type: long}",
    ]
    odd = [*COLUMNS, {"name": "yes", "type": "boolean"}, {"name": "1st", "type": "string", "from": "{{ a }}"}]
    changed = written(tmp_path, lines(*head), odd)
    assert changed.startswith(lines(*head))
    specs = load(tmp_path / "specs", environ={}).ingestions[0].spec.table_schema.columns or ()
    assert [(c.name, c.from_) for c in specs][2:] == [("yes", None), ("1st", "{{ a }}")]


def test_a_schema_that_comes_from_an_alias_is_refused_with_the_lines_to_write(tmp_path: Path) -> None:
    one = "name: a\nsource: {path: in/}\ndestination: {table: t.a}\n"
    (tmp_path / "a.yml").write_text(
        one + "description: &s x\nowner: *s\n<<: {schema: {columns: [{name: k, type: int}]}}\n"
    )
    with pytest.raises(SettingsError) as caught:
        write_columns(tmp_path / "a.yml", 1, COLUMNS, [("k", "int"), ("l", "int")])
    assert "- {name: id, type: long}" in str(caught.value)
    assert "schema:\n" not in (tmp_path / "a.yml").read_text()
