"""A preview of a large file looks at its first rows and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoloader import preview as previewing
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
