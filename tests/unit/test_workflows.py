"""The workflows call commands and options that there are, and handle the exit codes that these give."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from autoloader.cli import group

WORKFLOWS = sorted((Path(__file__).resolve().parents[2] / ".github" / "workflows").glob("*.yml"))


def calls(path: Path) -> list[list[str]]:
    """The words of every `autoloader …` in a workflow's steps, redirections and what follows left out."""
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
    scripts = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    lines = [line for script in scripts for line in script.splitlines()]
    found = [re.search(r"(?:^|\s)autoloader (.*)", line) for line in lines if "pip install" not in line]
    return [shlex.split(re.split(r"\s(?:>>?|\|\||&&|;)", match[1])[0]) for match in found if match]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_commands_that_there_are(path: Path) -> None:
    for verb, *words in calls(path):
        command = group.commands[verb]
        known = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
        assert {word for word in words if word.startswith("-")} <= known, (verb, words)


def test_pull_requests_are_planned_merges_applied_and_schedules_kept() -> None:
    verbs = {path.stem: [words[0] for words in calls(path)] for path in WORKFLOWS}
    assert verbs["plan"] == ["validate", "plan"]
    assert verbs["apply"] == ["plan", "apply"]
    assert verbs["scheduled"][0] == "apply"
    assert "--due" in calls(next(path for path in WORKFLOWS if path.stem == "scheduled"))[0]


def test_a_plan_that_is_refused_after_a_merge_says_so(tmp_path: Path) -> None:
    [workflow] = [path for path in WORKFLOWS if path.stem == "apply"]
    steps = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]["apply"]["steps"]
    [script] = [each["run"] for each in steps if "autoloader plan" in each.get("run", "")]
    (tmp_path / "autoloader").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "autoloader").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    done = subprocess.run(["bash", "-e", "-c", script], env=environ, capture_output=True, check=False, text=True)
    assert done.returncode == 3
    assert done.stdout.startswith("::error::")


def test_the_status_in_a_summary_keeps_its_columns() -> None:
    [workflow] = [path for path in WORKFLOWS if path.stem == "scheduled"]
    steps = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]["due"]["steps"]
    [script] = [each["run"] for each in steps if "autoloader status" in each.get("run", "")]
    assert script.count("echo '```'") == 2


SPEC = "name: {name}\nsource: {{path: {path}/}}\ndestination: {{table: raw.{name}}}\n---\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("paths", "step", "code", "shown"),
    [(("in",), 0, 2, "1 file"), (("in", "away"), 0, 1, "1 file"), (("in", "}"), 1, 1, "")],
    ids=["changes", "a source that is not there", "a wrong spec"],
)
def test_what_there_is_to_show_comes_into_the_comment(
    tmp_path: Path, paths: tuple[str, ...], step: int, code: int, shown: str
) -> None:
    [workflow] = [path for path in WORKFLOWS if path.stem == "plan"]
    steps = yaml.safe_load(workflow.read_text("utf-8"))["jobs"]["plan"]["steps"]
    [script] = [each["run"] for each in steps if each.get("id") == "plan"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("a\n1\n")
    (tmp_path / "ingestions").mkdir()
    specs = "".join(SPEC.format(name=f"things_{number}", path=path) for number, path in enumerate(paths))
    (tmp_path / "ingestions" / "specs.yml").write_text(specs)
    told = {"GITHUB_OUTPUT": tmp_path / "output", "GITHUB_STEP_SUMMARY": tmp_path / "summary"}
    environ = {**os.environ, **{key: str(path) for key, path in told.items()}}
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environ, capture_output=True, check=False)
    assert done.returncode == step, done.stderr
    assert told["GITHUB_OUTPUT"].read_text() == f"code={code}\n"
    comment = (tmp_path / "comment.md").read_text()
    assert shown in comment
    assert bool(comment) == bool(shown)
