"""The workflows call commands and options that there are, and handle the exit codes that these give."""

from __future__ import annotations

import re
import shlex
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
