"""CASES 65: YAML that attacks, and Jinja that reaches out. Each is refused with one message, quickly."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from autoloader.specfiles import SpecErrors, load

SPEC = """
name: billing
source: {{path: {path}}}
destination: {{table: finops.billing}}
"""


def refusal(tmp_path: Path, text: str) -> str:
    """What `load` says of one file."""
    folder = tmp_path / "ingestions"
    folder.mkdir()
    (folder / "billing.yml").write_text(text, "utf-8")
    begun = time.process_time()  # of this process: what else the machine does says nothing
    with pytest.raises(SpecErrors) as caught:
        load(folder, environ={"HOME": "/root"}, variables={"bucket": "b", "items": "x", "long": "x" * 9000})
    assert time.process_time() - begun < 5
    return str(caught.value)


def test_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    lines = ["vars: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"v{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "aliases of this document expand to too many values" in refusal(tmp_path, "\n".join(lines))


def test_an_alias_to_itself_is_refused(tmp_path: Path) -> None:
    assert "stands inside the node that it names" in refusal(tmp_path, "name: &a [*a]\n")


def test_an_alias_to_nothing_is_refused(tmp_path: Path) -> None:
    assert "names nothing" in refusal(tmp_path, "name: *nobody\n")


def test_merge_keys_cannot_be_a_bomb(tmp_path: Path) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    assert "too many values" in refusal(tmp_path, "\n".join(lines))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_without_end_is_refused(tmp_path: Path, opening: str) -> None:
    assert "deeper than" in refusal(tmp_path, opening * 20_000)


def test_duplicate_keys_are_refused_with_both_places(tmp_path: Path) -> None:
    said = refusal(tmp_path, SPEC.format(path="x") + "name: other\n")
    assert "billing.yml:5:1: The key `name` stands twice; first in line 2." in said


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system [id]", "!!python/name:os.system ''", "!env HOME", "!!binary eA==", "!!str x"],
)
def test_tags_are_refused(tmp_path: Path, tag: str) -> None:
    assert f"The tag `{tag.split()[0]}` is not allowed" in refusal(tmp_path, SPEC.format(path=tag))


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ vars.__class__ }}",
        "{{ vars.bucket.__class__ }}",
        "{{ vars['__class__'] }}",
        "{{ vars.bucket['__class__'] }}",
        "{{ vars.bucket.upper() }}",
        "{{ vars.items() }}",
        "{{ vars.bucket.format(1) }}",
        "{{ vars.bucket | attr('__class__') }}",
        "{{ env.__globals__ }}",
        "{{ env['__globals__'] }}",
        "{{ env.__self__._environ }}",
        "{{ range.__class__ }}",
        "{{ self }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ namespace() }}",
        "{{ joiner }}",
        "{{ (1).__class__ }}",
        "{{ [].append }}",
        "{{ [1] | map(attribute='__class__') | list }}",
        "{{ 'x' | format(1) }}",
        "{{ loop }}",
        "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{% extends '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% from 'os' import system %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set x = 1 %}{{ x }}",
        "{% for a in range(999999999) %}x{% endfor %}",
        "{% for a in range(900) %}{% for b in range(900) %}x{% endfor %}{% endfor %}",
        "{% for a in range(900) %}{{ vars.long }}{% endfor %}",
        "{{ range(10 ** 9) | list | join }}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ [0] * 10 ** 9 }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ vars.long | replace('x', vars.long) }}",
        "{{ vars.long | list | join(vars.long) }}",
        "{{ env('NOBODY_SETS_THIS') }}",
        "{{ env('HOME', 'x', 'y') }}",
        "{{ env() }}",
        "{{ nobody }}",
        "{{ vars.nobody }}",
        "{{ 1 / 0 }}",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ unclosed",
        "{% nonsense %}",
    ],
)
def test_a_template_that_reaches_out_is_refused(tmp_path: Path, template: str) -> None:
    quoted = "'" + template.replace("'", "''") + "'"
    said = refusal(tmp_path, SPEC.format(path=quoted))
    assert "billing.yml:3:16: The " in said
    assert "There is 1 problem" in said


def test_an_environment_that_is_not_asked_for_is_never_shown(tmp_path: Path) -> None:
    folder = tmp_path / "ingestions"
    folder.mkdir()
    (folder / "a.yml").write_text(SPEC.format(path="\"ftp://{{ env('SECRET') }}/\""), "utf-8")
    with pytest.raises(SpecErrors) as caught:
        load(folder, environ={"SECRET": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "env('SECRET')" in str(caught.value)


def test_credentials_in_a_path_are_refused_and_not_repeated(tmp_path: Path) -> None:
    said = refusal(tmp_path, SPEC.format(path="s3://AKIA:hunter2@bucket/x"))
    assert "credentials" in said
    assert "hunter2" not in said
