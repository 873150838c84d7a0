"""Whatever is done to the files, giving back and rolling back arrive at exactly what was there."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloader.ledger import Ledger, open_ledger
from tests.behaviour.ledger_kit import at, diff, flights, load, paths, remembered

STATES = ["SUCCESS", "FAILED", "QUARANTINED", "MISSING", "DELETED", "RELEASE"]
STEPS = st.lists(st.tuples(st.sets(st.integers(0, 7), min_size=1), st.sampled_from(STATES)), min_size=1, max_size=8)


def step(ledger: Ledger, second: int, names: list[str], state: str) -> str | None:
    """Loads a new version of each file, replacing what is in the table; returns the run, if it was one."""
    known = remembered(ledger)
    replaces = [known[name]["src_file_id"] if name in known else None for name in names]
    files = diff(names, "changed", version=second, replaces=replaces)  # type: ignore[arg-type]
    if state != "RELEASE":
        return load(ledger, files, state, now=at(second))[0]
    before = ledger.files("flights")
    lease = ledger.acquire("flights", "load", "me", 60, at(second))
    claimed = ledger.claim("run", "flights", "live", files, lease, now=at(second))
    assert claimed.files.num_rows == len(names)
    ledger.release(claimed.batch_id, lease=lease, now=at(second))
    ledger.unlock(lease)
    assert ledger.files("flights").equals(before)
    return None


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(steps=STEPS, target=st.integers(0, 7))
def test_a_rollback_from_anywhere_is_exact(steps: list[tuple[set[int], str]], target: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(f"sqlite:///{Path(folder)}/state.db", create=True)
        flights(ledger)
        ends: list[tuple[str, pa.Table]] = []
        for second, (numbers, state) in enumerate(steps, start=1):
            names = [path for number, path in enumerate(paths(8)) if number in numbers]
            run_id = step(ledger, second, names, state)
            if run_id is not None:
                ends.append((run_id, ledger.files("flights")))
        if ends:
            run_id, expected = ends[target % len(ends)]
            ledger.restore_to_run("flights", run_id, now=at(100))
            assert ledger.files("flights").drop_columns("id").equals(expected.drop_columns("id"))
        versions = ledger.versions("flights")["src_file_id"].to_pylist()
        assert len(set(versions)) == len(versions)
