"""A folder of specs on disk: what is read, what is reported, and where."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoloader.plan import Diagnostic
from autoloader.spec import NOT_AVAILABLE_YET
from autoloader.specfiles import ProjectSpecs, SpecErrors, load
from tests.specs import EVERYTHING

SPEC = """\
name: {name}
source: {{path: data/{name}}}
destination: {{table: lake.{name}}}
"""

PIECES = ["", "\t", "\n", "{", "}", "[", "]", ":", "-", "'", '"', "&a ", "*a", "!", "%", "#", "|", "? "]
PIECES += ["{{", "<<: ", "---\n", "\x85", "\0"]


class Folder:
    """A folder of specs to write into and to load."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str | bytes) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def load(
        self, *, env: str | None = None, environ: Mapping[str, str] | None = None, **variables: str
    ) -> ProjectSpecs:
        return load(self.path, env=env, environ=environ or {}, variables=variables)

    def problems(self, **options: str) -> list[str]:
        """`file:line:column summary` of each problem, the file below the folder."""
        with pytest.raises(SpecErrors) as caught:
            self.load(**options)  # type: ignore[arg-type]
        return [
            ":".join(str(part) for part in (Path(d.file or "").relative_to(self.path), d.line, d.column) if part)
            + f" {d.summary}"
            for d in caught.value.diagnostics
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "project" / "ingestions"
    path.mkdir(parents=True)
    return Folder(path)


def names(project: ProjectSpecs) -> list[str]:
    return [loaded.spec.name for loaded in project.ingestions]


def test_every_yaml_file_below_the_folder_holds_ingestions(folder: Folder) -> None:
    folder.write("b.yml", SPEC.format(name="b") + "---\n" + SPEC.format(name="A") + "---\n# nothing\n")
    folder.write("deep/er/c.yaml", SPEC.format(name="c"))
    folder.write(".hidden/d.yml", "nonsense: [")
    folder.write(".e.yml", "nonsense: [")
    folder.write("notes.txt", "nonsense: [")
    folder.write("env/prod.yml", "vars: {x: 1}")
    folder.write("commented.yml", "# name: x\n")
    project = folder.load()
    assert names(project) == ["A", "b", "c"]
    assert [(Path(one.file).name, one.line) for one in project.ingestions] == [
        ("b.yml", 5),
        ("b.yml", 1),
        ("c.yaml", 1),
    ]
    assert project.project_dir == folder.path.parent


def test_settings_alone_are_a_project_without_ingestions(folder: Folder) -> None:
    folder.write("autoloader.yml", "state: sqlite:///x.db\n")
    project = folder.load()
    assert project.ingestions == ()
    assert project.settings.state == "sqlite:///x.db"
    assert [d.severity for d in project.diagnostics] == ["warning"]


def test_an_overlay_and_the_command_line_come_over_the_settings(folder: Folder) -> None:
    folder.write(
        "autoloader.yml",
        "vars: {bucket: dev, root: 's3://{{ vars.bucket }}/in', size: 3}\n"
        "storage: {s3: {endpoint: 'http://{{ vars.bucket }}:9000', region: a}}\n"
        "guardrails: {max_usd: 5}\n",
    )
    folder.write("env/prod.yml", "vars: {bucket: prod}\nstorage: {s3: {region: b}}\nguardrails: {max_usd: 50}\n")
    folder.write(
        "a.yml",
        "name: a\nsource: {path: '{{ vars.root }}/x'}\ndestination: {table: l.a}\n"
        "limits: {max_files: '{{ vars.size }}'}\n",
    )
    base, prod, given = folder.load(), folder.load(env="prod"), folder.load(env="prod", bucket="mine", size="9")
    assert [p.ingestions[0].spec.source.path for p in (base, prod, given)] == [
        "s3://dev/in/x",
        "s3://prod/in/x",
        "s3://mine/in/x",
    ]
    assert [p.ingestions[0].spec.limits.max_files for p in (base, given)] == [3, 9]
    assert prod.settings.storage["s3"].endpoint == "http://prod:9000"
    assert prod.settings.storage["s3"].region == "b"
    assert prod.settings.guardrails.max_usd is not None
    assert prod.settings.guardrails.max_usd.deny == 50
    assert given.settings.vars == {"bucket": "mine", "root": "s3://mine/in", "size": "9"}


def test_the_environment_is_read_where_a_template_asks(folder: Folder) -> None:
    text = "name: a\nsource: {path: \"s3://{{ env('B') }}/{{ env('C', 'c') | upper }}\"}\ndestination: {table: l.a}\n"
    folder.write("a.yml", text)
    assert folder.load(environ={"B": "b"}).ingestions[0].spec.source.path == "s3://b/C"
    assert folder.problems() == ["a.yml:2:16 The environment variable `B` is not set."]


def test_a_variable_that_the_command_line_gives_is_not_rendered(folder: Folder) -> None:
    folder.write("autoloader.yml", "vars: {b: \"{{ env('MISSING') }}\"}\n")
    folder.write("a.yml", "name: a\nsource: {path: 's3://{{ vars.b }}/'}\ndestination: {table: l.a}\n")
    assert folder.load(b="x").ingestions[0].spec.source.path == "s3://x/"
    assert folder.problems() == ["autoloader.yml:1:11 The environment variable `MISSING` is not set."]


def test_numbers_stay_numbers_and_words_stay_words(folder: Folder) -> None:
    folder.write(
        "autoloader.yml", "vars: {n: 1_000, f: 0.5, d: 2024-01-01, t: true, y: yes, z: 007, o: null, e: 1e3}\n"
    )
    assert folder.load().settings.vars == {
        "n": 1000,
        "f": 0.5,
        "d": "2024-01-01",
        "t": True,
        "y": "yes",
        "z": "007",
        "o": None,
        "e": 1000.0,
    }


def test_templates_have_conditions_and_bounded_loops(folder: Folder) -> None:
    folder.write("autoloader.yml", "vars: {years: [2023, 2024], prod: 'yes'}\n")
    folder.write(
        "a.yml",
        """\
name: a
description: |
  {% for y in vars.years %}{{ y }}{% if not loop.last %}, {% endif %}{% endfor %}
source: {path: "x{% if vars.prod == 'yes' %}/prod{% endif %}"}
destination: {table: l.a}
""",
    )
    spec = folder.load().ingestions[0].spec
    assert (spec.description, spec.source.path) == ("2023, 2024\n", "x/prod")


def test_anchors_and_merges_work_within_a_document(folder: Folder) -> None:
    folder.write(
        "a.yml",
        """\
name: a
source: {path: x, include: &globs ["a*", "b*"], exclude: *globs}
destination: {table: l.a}
backfill: {by: modified, <<: {timezone: Europe/Berlin, order: newest}, order: oldest}
""",
    )
    spec = folder.load().ingestions[0].spec
    assert spec.source.exclude == ("a*", "b*")
    assert spec.backfill is not None
    assert (spec.backfill.timezone, spec.backfill.order) == ("Europe/Berlin", "oldest")


def test_every_problem_of_every_file_is_reported_with_its_place(folder: Folder) -> None:
    folder.write("autoloader.yml", "spark: {engin: local}\n")
    folder.write(
        "a.yml",
        """\
name: a b
sttatus: active
include: ["*.csv"]
source:
  path: "s3://{{ vars.nope }}/"
  format: csvv
  start: 2024-01-01T00:00:00
destination:
  table: nowhere
limits: {max_bytes: much, max_files: -1}
---
name: c
source: {path: x}
""",
    )
    folder.write("b.yml", "name: [\n")
    assert folder.problems() == [
        "a.yml:1:7 `name` is not a safe name.",
        "a.yml:2:1 Unknown key `sttatus`.",
        "a.yml:3:1 Unknown key `include`.",
        "a.yml:5:9 The template uses `nope`, which is not set.",
        "a.yml:6:11 `source.format` is `csvv`, but must be one of csv, json, parquet, avro, orc, text.",
        "a.yml:7:10 `source.start` has no time zone, so it names no instant.",
        "a.yml:9:10 `destination.table` is not a table name.",
        "a.yml:10:21 `limits.max_bytes` is not a size.",
        "a.yml:10:38 `limits.max_files` is not a whole number.",
        "a.yml:12:1 `destination` is missing.",
        "autoloader.yml:1:9 Unknown key `engin` in `spark`.",
        "b.yml:2:1 The file is not valid YAML.",
    ]


def test_a_message_says_what_why_and_what_to_do(folder: Folder) -> None:
    folder.write("a.yml", SPEC.format(name="a") + "status: activ\ninclude: [x]\nlimits: {max_byte: 1}\n")
    with pytest.raises(SpecErrors) as caught:
        folder.load()
    file = (folder.path / "a.yml").as_posix()
    assert caught.value.what == "There are 3 problems in the specs."
    assert caught.value.why.splitlines() == [
        f"{file}:4:9: `status` is `activ`, but must be one of draft, active, paused.",
        "    Did you mean `active`?",
        f"{file}:5:1: Unknown key `include`.",
        "    `include` belongs under `source`.",
        f"{file}:6:10: Unknown key `max_byte` in `limits`.",
        "    Did you mean `max_bytes`?",
    ]
    assert "autoloader validate" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source:\n\tpath: x\n", "a.yml:2:1 The line is indented with a tab."),
        ("name: @x\n", "a.yml:1:7 A value begins with `@`."),
        ("name: a: b\n", "a.yml:1:8 The file is not valid YAML."),
        ("name: 'x\n", "a.yml:2:1 The file is not valid YAML."),
        ("name: \x01\n", "a.yml:1:7 The file holds a control character."),
        (b"name: a\nowner: J\xfcrgen\n", "a.yml:2:9 The file is not UTF-8 text."),
        ("name: a\n".encode("utf-16"), "a.yml:1:1 The file is not UTF-8 text."),
        ("- name: a\n", "a.yml:1:1 The document is not a mapping of keys."),
        ("just words\n", "a.yml:1:1 The document is not a mapping of keys."),
        ("{{ vars.x }}: 1\n", "a.yml:1:1 A key must be text."),
    ],
)
def test_text_that_is_no_spec_gives_one_message(folder: Folder, text: str | bytes, said: str) -> None:
    folder.write("a.yml", text)
    assert folder.problems() == [said]


def test_a_byte_order_mark_is_no_problem(folder: Folder) -> None:
    folder.write("a.yml", b"\xef\xbb\xbf" + SPEC.format(name="a").encode())
    assert names(folder.load()) == ["a"]


def test_what_is_no_folder_of_specs_gives_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    said = {"missing": "does not exist", "file": "is a file, not a folder", "empty": "holds no spec"}
    for name, words in said.items():
        with pytest.raises(SpecErrors, match="1 problem") as caught:
            load(tmp_path / name, environ={})
        assert words in caught.value.why


def test_what_cannot_be_read_is_reported_and_the_rest_is_judged(folder: Folder) -> None:
    os.mkfifo(folder.path / "a.yml")
    (folder.path / "b.yml").symlink_to("nowhere.yml")
    folder.write("c.yml", "name: c\n")
    (folder.path / "loop").symlink_to(folder.path)
    assert folder.problems() == [
        "a.yml This is not a regular file.",
        "b.yml This is not a regular file.",
        "c.yml:1:1 `destination` is missing.",
        "c.yml:1:1 `source` is missing.",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_reported(folder: Folder) -> None:
    folder.write("a.yml", SPEC.format(name="a"))
    (folder.path / "a.yml").chmod(0)
    assert folder.problems() == ["a.yml The file cannot be read: Permission denied."]


def test_names_and_tables_stand_once_without_regard_to_case(folder: Folder) -> None:
    folder.write("a.yml", SPEC.format(name="a"))
    folder.write("b.yml", "name: A\nsource: {path: x}\ndestination: {table: Lake.a}\nprevious_name: c\n")
    folder.write("c.yml", SPEC.format(name="c"))
    assert folder.problems() == [
        "b.yml:1:7 The name `A` is taken by another ingestion.",
        "b.yml:3:22 Two ingestions write the table `Lake.a`.",
        "b.yml:4:16 `previous_name` is `c`, which is still the name of another ingestion.",
    ]


def test_compute_profiles_must_be_in_the_settings(folder: Folder) -> None:
    folder.write("autoloader.yml", "compute: {small: {cores: 2}}\n")
    folder.write("a.yml", SPEC.format(name="a") + "compute: {live: small, backfill: smal}\n")
    assert folder.problems() == [
        "a.yml:4:34 `compute.backfill` names the profile `smal`, which the settings do not hold."
    ]


def test_patterns_are_compiled_and_reported_at_their_place(folder: Folder) -> None:
    folder.write("a.yml", "name: a\nsource:\n  path: x\n  include: ['*.csv', '[a']\ndestination: {table: l.a}\n")
    assert folder.problems() == ["a.yml:4:22 `source.include[1]` cannot be used: The pattern '[a' is malformed."]


def test_a_key_that_is_not_built_is_refused(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NOT_AVAILABLE_YET, "source.on_delete=delete_rows", "")
    monkeypatch.setitem(NOT_AVAILABLE_YET, "reingest.*.reason", "")
    text = "name: a\nsource: {path: x, on_delete: delete_rows}\ndestination: {table: l.a}\n"
    folder.write("a.yml", text + "reingest: [{match: a, request: r, reason: x}]\n")
    assert folder.problems() == [
        "a.yml:2:30 `source.on_delete: delete_rows` is not available yet.",
        "a.yml:4:43 `reingest[0].reason` is not available yet.",
    ]


@pytest.mark.parametrize("env", ["prd", "../x", "a/b", ""])
def test_an_overlay_that_does_not_exist_is_reported(folder: Folder, env: str) -> None:
    folder.write("a.yml", SPEC.format(name="a"))
    folder.write("env/prod.yml", "vars: {}\n")
    [said] = folder.problems(env=env)
    assert f"There is no overlay for --env {env!r}." in said


def test_settings_are_one_document_in_one_file(folder: Folder) -> None:
    folder.write("autoloader.yml", "vars: {a: 1, a: 2}\nvars: {}\n---\nname: x\n")
    folder.write("autoloader.yaml", "")
    assert folder.problems() == [
        "autoloader.yaml There are two files of settings, autoloader.yml and autoloader.yaml.",
        "autoloader.yml:1:14 The key `a` stands twice; first in line 1.",
        "autoloader.yml:2:1 The key `vars` stands twice; first in line 1.",
        "autoloader.yml:4:1 The settings hold a second document.",
    ]


def test_an_empty_section_is_left_out_and_an_empty_required_key_is_not(folder: Folder) -> None:
    folder.write(
        "a.yml", "name: a\nsource:\n  path:\ndestination: {table: l.a}\nlimits:\n  # max_files: 1\nnonsense:\n"
    )
    assert folder.problems() == [
        "a.yml:3:3 `source.path` has no value.",
        "a.yml:7:1 Unknown key `nonsense`.",
    ]


def test_file_content_cannot_send_control_characters_to_a_terminal(folder: Folder) -> None:
    folder.write("a.yml", SPEC.format(name="a") + 'status: "\\e[31mx"\n"\\e[2J": 1\n')
    with pytest.raises(SpecErrors) as caught:
        folder.load()
    assert "\x1b" not in str(caught.value)


def test_loading_a_few_specs_pulls_no_engine(folder: Folder) -> None:
    for name in "abc":
        folder.write(f"{name}.yml", SPEC.format(name=name))
    heavy = "duckdb pyarrow jinja2 croniter pyiceberg boto3 pyspark"
    code = (
        "import sys, pathlib; from autoloader.specfiles import load;"
        f"load(pathlib.Path({str(folder.path)!r}), environ={{}});"
        f"print([m for m in {heavy!r}.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2000), st.sampled_from(PIECES)), min_size=1, max_size=5))
def test_damaged_text_is_read_or_refused_and_nothing_else(folder: Folder, damage: list[tuple[int, str]]) -> None:
    text = list(yaml.safe_dump(EVERYTHING))
    for place, piece in damage:
        text[place % len(text)] = piece
    folder.write("a.yml", "".join(text))
    found: tuple[Diagnostic, ...] = ()
    try:
        folder.load()
    except SpecErrors as error:
        found = error.diagnostics
    assert all(diagnostic.file for diagnostic in found)


def test_columns_as_a_mapping_are_told_how_to_be_a_list(folder: Folder) -> None:
    folder.write("a.yml", SPEC.format(name="a") + "schema:\n  columns: {id: long}\n")
    with pytest.raises(SpecErrors) as caught:
        folder.load()
    (found,) = caught.value.diagnostics
    assert (found.summary, found.detail) == (
        "`schema.columns` must be a list.",
        "Write it as a list: [{name: id, type: long}, {name: day, type: date}].",
    )
