"""The project from Python: what a person may pass, and what is said where it cannot be meant."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from autoloader.errors import SettingsError
from autoloader.project import Project, Wishes

SPEC = "name: flights\nsource: {path: data/}\ndestination: {table: nyc.flights}\n"


@pytest.fixture
def project(project_dir: Path) -> Project:
    (project_dir / "ingestions" / "flights.yml").write_text(SPEC)
    (project_dir / "data").mkdir()
    (project_dir / "data" / "a.csv").write_text("a\n1\n")
    return Project("ingestions")


def test_one_text_is_one_wish_and_not_its_letters(project: Project) -> None:
    assert Wishes.of(select="flights").select == ("flights",)
    assert Wishes.of(select=None).select == ()
    assert Wishes.of(select=["a", "b"]).select == ("a", "b")
    assert Wishes.of(confirm="flights").confirm == ("flights",)
    assert Wishes.of(reingest={"flights": "2024/*"}).reingest == {"flights": ("2024/*",)}
    assert [change.ingestion for change in project.plan(select="flights").plan.changes] == ["flights"]


@pytest.mark.parametrize("amount", ["ten", "nan", "-1", -0.5, float("inf")])
def test_what_is_no_amount_of_dollars_is_refused(amount: Any) -> None:
    with pytest.raises(SettingsError, match="not an amount of dollars"):
        Wishes.of(max_usd=amount)


def test_dollars_may_be_given_as_any_number(project: Project) -> None:
    assert [Wishes.of(max_usd=amount).max_usd for amount in (10, "12.50", Decimal("0.5"))] == [
        Decimal(10),
        Decimal("12.50"),
        Decimal("0.5"),
    ]


WRONG: dict[str, tuple[Callable[[Project], Any], str]] = {
    "an unknown wish": (lambda p: p.plan(selekt="flights"), "no wish 'selekt'"),
    "a name where wishes are": (lambda p: p.plan("flights"), "no wishes"),  # type: ignore[arg-type]
    "a refresh without its mode": (lambda p: p.plan(refresh="flights=full"), "Write refresh="),
    "globs without their ingestion": (lambda p: p.plan(reingest="**"), "Write reingest="),
    "a state that is none": (lambda p: p.files("flights", state="bad"), "QUARANTINED"),
    "files of an ingestion that is none": (lambda p: p.plan().files("flihgts"), "Did you mean 'flights'"),
    "less than no rows": (lambda p: p.preview("flights", rows=-1), "rows=20"),
    "no files": (lambda p: p.preview("flights", files=0), "files=3"),
    "a file where a plan is": (lambda p: p.apply("friday.plan"), "from_saved_plan"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", WRONG)
def test_a_call_that_cannot_be_meant_is_answered_with_what_to_write(project: Project, what: str) -> None:
    call, said = WRONG[what]
    with pytest.raises(SettingsError, match=said):
        call(project)


def test_places_may_be_given_as_text(project: Project, project_dir: Path) -> None:
    planned = project.plan()
    planned.save("friday.plan")
    planned.save_json("friday.json")
    _, again = Project.from_saved_plan("friday.plan")
    assert again.plan.digest == planned.plan.digest
    assert (project_dir / "friday.json").exists()
    assert any("state" in line for line in Project.init("ingestions"))
