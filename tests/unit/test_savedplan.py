from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from autoloader import savedplan
from autoloader.errors import SettingsError
from autoloader.plan import PlanFormatError, digest_of_json
from autoloader.spec import Prices
from tests.planning import file, judge, plan_of, spec_of

FILES = [file("a.csv"), file("we\nird'.csv")]


@pytest.mark.parametrize("name", ["saved", "saved.zip", "deep/er/saved.zip"])
def test_a_saved_plan_comes_back_whole(tmp_path: Path, name: str) -> None:
    plan, files, spec = plan_of(FILES), judge(FILES), spec_of()
    savedplan.save(tmp_path / name, plan, files, {"sales": spec.as_data()}, Prices())
    found = savedplan.load(tmp_path / name)
    assert found.plan == plan
    assert found.files.equals(files)
    assert found.specs == {"sales": spec.as_data()}
    assert found.prices["usd_per_gb"] == "0.25"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["saved", "saved.zip"])
def test_saving_twice_gives_the_same_bytes_and_replaces(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    parts = [target / "plan.json", target / "files.parquet"] if name == "saved" else [target]
    contents = []
    for _ in range(2):
        savedplan.save(target, plan_of(FILES), judge(reversed(FILES)), {})
        contents.append([part.read_bytes() for part in parts])
    assert contents[0] == contents[1]


def test_a_folder_that_holds_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(SettingsError, match="cannot be saved"):
        savedplan.save(tmp_path, plan_of(FILES), judge(FILES), {})
    assert (tmp_path / "precious").read_text() == "x"


def test_an_edited_plan_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "saved"
    savedplan.save(target, plan_of(FILES), judge(FILES), {})
    data = json.loads((target / "plan.json").read_text())
    data["changes"][0]["blocked"] = {"by": "me", "message": "no"}
    (target / "plan.json").write_text(json.dumps(data))
    with pytest.raises(PlanFormatError, match="changed after it was saved"):
        savedplan.load(target)


@pytest.mark.parametrize("damage", ["nothing", "empty", "no_zip", "cut_json", "cut_parquet"])
def test_what_cannot_be_read_is_one_clear_error(tmp_path: Path, damage: str) -> None:
    target = tmp_path / "saved"
    match damage:
        case "empty":
            target.mkdir()
        case "no_zip":
            target.write_text("hello")
        case "cut_json" | "cut_parquet":
            savedplan.save(target, plan_of(FILES), judge(FILES), {})
            part = target / ("plan.json" if damage == "cut_json" else "files.parquet")
            part.write_bytes(part.read_bytes()[:40])
    with pytest.raises((SettingsError, PlanFormatError)) as caught:
        savedplan.load(target)
    assert str(target) in caught.value.what


def test_files_of_an_older_version_lack_columns_and_read_as_null(tmp_path: Path) -> None:
    target = tmp_path / "saved"
    savedplan.save(target, plan_of(FILES), judge(FILES), {})
    old = pq.read_table(target / "files.parquet").drop_columns(["known_state", "slice"])
    pq.write_table(old, target / "files.parquet")
    data = json.loads((target / "plan.json").read_text())
    del data["parts"]  # it had none, either
    (target / "plan.json").write_text(json.dumps(data))
    found = savedplan.load(target).files
    assert found["known_state"].null_count == found.num_rows == 2


def test_a_plan_of_another_minor_version_is_judged_by_the_digest_of_what_it_says(tmp_path: Path) -> None:
    target = tmp_path / "saved"
    savedplan.save(target, plan_of(FILES), judge(FILES), {})
    data = json.loads((target / "plan.json").read_text())
    parts = data.pop("parts")
    data |= {"format_version": "1.7", "mood": "hopeful"}
    data["digest"] = digest_of_json(data)
    (target / "plan.json").write_text(json.dumps(data | {"parts": parts}))
    assert savedplan.load(target).plan.changes == plan_of(FILES).changes


@pytest.mark.parametrize("name", ["files.parquet", "specs.json", "prices.json"])
@pytest.mark.parametrize("harm", ["another", "gone"])
def test_a_plan_whose_parts_are_not_those_that_were_saved_is_refused(tmp_path: Path, name: str, harm: str) -> None:
    target, other = tmp_path / "saved", tmp_path / "other"
    savedplan.save(target, plan_of(FILES), judge(FILES), {"sales": spec_of().as_data()}, Prices())
    savedplan.save(other, plan_of(FILES[:1]), judge(FILES[:1]), {}, None)
    if harm == "gone":
        (target / name).unlink()
    else:
        (target / name).write_bytes((other / name).read_bytes())
    with pytest.raises((SettingsError, PlanFormatError)) as caught:
        savedplan.load(target)
    assert name in str(caught.value)
