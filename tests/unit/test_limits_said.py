"""Answers that show the first of many say that there are more."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from autoloader.project import knowing, verifying


def test_show_says_how_many_files_are_not_shown() -> None:
    versions = pa.table(
        {"file_path": [f"{n}.csv" for n in range(103)], "state": ["FAILED"] * 103, "error": ["no"] * 103}
    )
    zeros = dict.fromkeys(("files", "rows", "rejected_rows", "size_bytes", "failed_files"), 0)
    nones = dict.fromkeys(
        ("started_at", "finished_at", "estimated_usd", "actual_usd", "estimated_s", "actual_s", "snapshot_id",
         "plan_id", "error", "claimed_at", "recorded_at")
    )  # fmt: skip
    run = SimpleNamespace(**zeros, **nones, run_id="r", ingestion="a", lane="live", state="complete", batch_id="b")
    ledger = SimpleNamespace(run=lambda _: run, batches=lambda _: [run], versions=lambda *_, **__: versions)
    project: Any = SimpleNamespace(ledger=ledger)
    answer = knowing.show(project, "r")
    assert len(answer.data["problems"]) == 100
    assert answer.closing[-1].startswith("3 more files not loaded")


@pytest.mark.parametrize(("number", "said"), [(999, "a: 999 violations"), (1_000, "a: at least 1,000 violations")])
def test_verify_says_that_there_may_be_more(monkeypatch: pytest.MonkeyPatch, number: int, said: str) -> None:
    monkeypatch.setattr(
        verifying,
        "_disagreeing",
        lambda *_: [defaultdict(str, in_hand=False, many=0, recorded=0) for _ in range(number)],
    )
    monkeypatch.setattr(verifying, "_ledger_files", lambda *_: pa.table({"x": [1]}))
    nothing: Any = lambda *_, **__: []  # noqa: E731
    project: Any = SimpleNamespace(
        spec=lambda _: SimpleNamespace(spec=SimpleNamespace(destination=SimpleNamespace(table="t"))),
        ledger=SimpleNamespace(
            ingestion=lambda _: None, living=nothing, versions=nothing, unfinished=nothing, runs=nothing
        ),
        lake=SimpleNamespace(table=lambda _: None),
        clock=lambda: None,
    )
    assert verifying.verify(project, "a").title == said
