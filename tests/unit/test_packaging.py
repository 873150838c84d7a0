"""The pins and the sample are what the documents say of them."""

from __future__ import annotations

import csv
import gzip
import re
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from packaging.specifiers import SpecifierSet

from tests import flights

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "ingestions" / "sample"


def test_the_pins_are_names_and_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []


def test_every_pin_runs_on_the_oldest_python_that_is_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    too_new = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        name = line.partition("==")[0]
        with suppress(PackageNotFoundError):  # which is for another platform
            needs = metadata(name).get("Requires-Python")
            if needs and oldest not in SpecifierSet(needs):
                too_new[line] = needs
    assert too_new == {}


def test_the_sample_fits_into_a_megabyte() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) <= 1_000_000


def test_the_sample_holds_the_rows_that_its_readme_says() -> None:
    readme = (SAMPLE / "README.md").read_text("utf-8")
    rows = {
        "flights": sum(len(gzip.decompress(path.read_bytes()).splitlines()) - 1 for path in SAMPLE.rglob("*.csv.gz")),
        "airlines": len((SAMPLE / "airlines" / "airlines.json").read_bytes().splitlines()),
        "airports": len(gzip.decompress((SAMPLE / "airports" / "airports.json.gz").read_bytes()).splitlines()),
        "planes": pq.read_metadata(SAMPLE / "planes" / "planes.parquet").num_rows,
        "weather": sum(pq.read_metadata(path).num_rows for path in SAMPLE.glob("weather/*.parquet")),
    }
    for folder, count in rows.items():
        (line,) = (line for line in readme.splitlines() if line.startswith(f"| `{folder}/"))
        assert f"| {count:,} |" in line


@pytest.mark.slow
def test_the_full_set_written_by_day_is_the_set(tmp_path: Path) -> None:
    paths = flights.write_days(tmp_path)
    assert len(paths) == flights.DAYS
    assert [p.relative_to(tmp_path).as_posix() for p in paths] == sorted(
        p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.gz")
    )
    rows = distance = 0
    for path in paths:
        for row in csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines()):
            rows += 1
            distance += int(row["distance"])
    assert rows == flights.ROWS
    assert distance == 350_217_607  # the set's own sum of `distance`
    for path in SAMPLE.rglob("*.csv.gz"):
        whole = tmp_path / path.relative_to(SAMPLE / "flights")
        assert gzip.decompress(whole.read_bytes()) == gzip.decompress(path.read_bytes())
