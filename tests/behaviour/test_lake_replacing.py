"""What the replacement of one source file among very many costs the table."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

from tests.replacing import TABLE, Filled, replace_one


@pytest.mark.slow
def test_replacing_one_file_of_ten_thousand_rewrites_at_most_one_percent_of_the_data_files(tmp_path: Path) -> None:
    filled = Filled()
    assert (filled.sources, filled.data_files) == (10_000, 200)
    lake = filled.fill(tmp_path)
    try:
        table = lake._catalog.load_table(TABLE)
        before = set(table.inspect.files()["file_path"].to_pylist())
        assert len(before) == 200
        replace_one(lake, old=4_321, new=10_001)
        table.refresh()
        after = set(table.inspect.files()["file_path"].to_pylist())
        gone = before - after
        assert 1 <= len(gone) <= 2, f"{len(gone)} of 200 data files left the table"
        assert len(after - before) == len(gone) + 1  # what stayed of each, and the new version's own
        counts = lake.row_counts(TABLE)
        by_id = dict(zip(counts["src_file_id"].to_pylist(), counts["rows"].to_pylist(), strict=True))
        assert by_id == {n: 10 for n in range(1, 10_001) if n != 4_321} | {10_001: 1}
        assert pc.sum(counts["rows"]).as_py() == filled.rows - 10 + 1
        assert len(table.metadata.snapshots) == 2, "the replacement is one snapshot"
    finally:
        lake.close()
