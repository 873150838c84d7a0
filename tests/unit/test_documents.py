"""What the documents promise is there: commands, make targets, linked pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("ingestions/**/*.md")])


def commands_in_readme() -> set[str]:
    table = (ROOT / "README.md").read_text("utf-8").split("## Commands")[1].split("\nExit codes")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    return {cell.split()[0] for row in rows for cell in re.findall(r"`([a-z-]+[^`]*)`", row.split("|")[1])}


def test_the_readme_names_exactly_the_commands_that_there_are() -> None:
    from autoloader.cli import group

    assert commands_in_readme() == set(group.commands)


def test_the_makefile_has_every_target_that_the_readme_names() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z0-9-]+)`", (ROOT / "README.md").read_text("utf-8"))) <= targets
    assert {"setup", "demo", "test", "check", "bench", "faults"} <= targets


def test_the_readme_shows_pictures_that_are_there_and_light() -> None:
    names = re.findall(r"docs/images/[\w.-]+", (ROOT / "README.md").read_text("utf-8"))
    assert {"docs/images/plan.svg", "docs/images/notebook-dark.png", "docs/images/comment-light.png"} <= set(names)
    assert sorted({f"docs/images/{path.name}" for path in (ROOT / "docs" / "images").iterdir()}) == sorted(set(names))
    assert max((ROOT / name).stat().st_size for name in names) < 300_000


def test_no_picture_of_a_terminal_fetches_anything() -> None:
    for path in (ROOT / "docs" / "images").glob("*.svg"):
        drawn = re.sub(r"<!--.*?-->", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert set(re.findall(r"https?://[^\s\"']+", drawn)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_to_a_page_of_ours_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
