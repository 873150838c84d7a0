"""A preview of a large file looks at its first rows and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoloader import preview as previewing
from autoloader.project.previewing import Shown
from autoloader.reader import reading
from tests.reading import NOW, contract


def sample(path: Path) -> previewing.Sample:
    found = path.stat()
    return previewing.Sample(f"file://{path}", path.name, found.st_size, found.st_mtime_ns)


@pytest.mark.parametrize("threads", [1, 2])
def test_only_the_first_rows_of_a_large_file_are_looked_at(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LARGE_BYTES", 1000)
    monkeypatch.setattr(previewing, "LARGE_BYTES", 1000)
    monkeypatch.setattr(previewing, "LARGE_ROWS", 50)
    large, small = tmp_path / "large.csv", tmp_path / "small.csv"
    large.write_text("a,b\n" + "".join(f"{i},text\n" for i in range(900)))
    small.write_text("a,b\n7,x\n")
    told = contract({"a": "int", "b": "string"})
    found = previewing.preview([sample(large), sample(small)], told, {}, now=NOW, max_rows=5, threads=threads)
    assert found.rows["a"].to_pylist() == [0, 1, 2, 3, 4]
    assert found.total_rows == 51
    assert [f["rows"] for f in found.files if f["file_path"].endswith("large.csv")] == [50]
    assert [f["notes"] for f in found.files if f["file_path"].endswith("large.csv")] == [["its first 50 rows"]]


@pytest.mark.parametrize(("counted", "distinct"), [(1000, "300"), (10, "~")])
def test_distinct_values_are_counted_and_where_they_are_estimated_the_profile_says_so(
    counted: int, distinct: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previewing, "COUNTED_ROWS", counted)
    file = tmp_path / "a.csv"
    file.write_text("a\n" + "".join(f"{i}\n" for i in range(300)))
    found = previewing.preview([sample(file)], contract({"a": "int"}), {}, now=NOW)
    shown = Shown("a", found, [], [], 1).text()
    assert next(line for line in shown.splitlines() if line.startswith("a ")).split()[3].startswith(distinct)
    assert found.profile[0]["distinct_is_exact"] is (distinct == "300")


def test_rejected_values_are_shown_with_their_file_and_what_is_not_shown_is_said(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("a\n1\nx\n" + ("y\n" * 30 if name == "b.csv" else ""))
    samples = [sample(tmp_path / name) for name in ("a.csv", "b.csv")]
    found = previewing.preview(samples, contract({"a": "int"}, max_bad_rows="100%"), {}, now=NOW)
    text = Shown("a", found, [], [], 2, root=f"file://{tmp_path}/").text()
    assert "32 values rejected; the first 20:\nfile   row  column  raw  error\na.csv    1  a       x    is not" in text
    assert "\nb.csv    1  a       x    is not" in text
