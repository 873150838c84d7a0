"""What holds for every listing, ledger and spec."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloader.inventory import WORK, Disposition, FileState
from autoloader.plan import from_json, to_json
from autoloader.planner import Looked, State, build_plan
from tests.planning import NOW, TABLE, file, judge, plan_of, recorded_of, remembered, spec_of

KEYS = [
    f"{folder}{name}"
    for folder in ("", "a/", "_h/")
    for name in ("2014-05-01.csv", "2016-07-02.csv", "2024-05-01.csv", "x.txt")
]
ETAGS = st.sampled_from(["e1", "e2", None])
AGES = st.sampled_from(
    [timedelta(0), timedelta(seconds=5), timedelta(days=1), timedelta(days=3000), -timedelta(days=1)]
)


@st.composite
def listed(draw: st.DrawFn) -> list[dict[str, Any]]:
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True))
    return [file(key, size=draw(st.sampled_from([0, 5, 10**9])), etag=draw(ETAGS), age=draw(AGES)) for key in keys]


@st.composite
def memories(draw: st.DrawFn) -> list[dict[str, Any]]:
    rows = []
    for row in draw(listed()):
        state = draw(st.sampled_from(list(FileState))).value
        more = {
            "claimed": state == "PROCESSING" and draw(st.booleans()),
            "reload": draw(st.integers(0, 5)) == 0,
            "retry_count": draw(st.integers(0, 4)),
            "next_attempt_at": draw(st.sampled_from([None, NOW - timedelta(hours=1), NOW + timedelta(hours=1)])),
        }
        rows.append(remembered(row, state, **more))
    return rows


@st.composite
def specs(draw: st.DrawFn) -> Any:
    source: dict[str, Any] = {
        "on_change": draw(st.sampled_from(["replace", "append", "ignore", "fail"])),
        "on_delete": draw(st.sampled_from(["keep", "delete_rows", "fail"])),
        "min_age": draw(st.sampled_from(["0s", "1m"])),
        "include": draw(st.sampled_from([[], ["*.csv"], ["a/**"]])),
        "start": draw(st.sampled_from(["all", "now"])),
    }
    if draw(st.booleans()):
        source["path_date"] = "{Y}-{m}-{d}"
    by = "path" if "path_date" in source else "modified"
    window = {"by": by, "from": "2015-01-01", "until": "2020-01-01", "step": "1 year"}
    backfill = draw(st.sampled_from([None, window, {**window, "every": "1 week"}, {**window, "order": "newest"}]))
    limits = draw(st.sampled_from([{}, {"max_files": 1}, {"max_files": 3}, {"max_bytes": 10}, {"max_usd": 0.5}]))
    return spec_of(source=source, backfill=backfill, limits=limits)


few = settings(max_examples=25, deadline=None)


@pytest.mark.slow
@few
@given(listed(), memories(), specs(), st.sampled_from([None, "full", "new-only", "clear-history"]))
def test_every_file_has_exactly_one_disposition_with_a_reason(files: Any, memory: Any, spec: Any, mode: Any) -> None:
    from autoloader.planner import Asked

    asked = Asked(refresh={"sales": mode} if mode else {})
    found = judge(files, memory, spec, asked=asked)
    paths = found["file_path"].to_pylist()
    assert len(paths) == len(set(paths))
    assert set(paths) == {row["file_path"] for row in [*files, *memory]}
    for row in found.to_pylist():
        assert row["disposition"] in set(Disposition)
        assert row["reason"]
        assert row["lane"] is not None or row["disposition"] not in WORK
    claimed = {row["file_path"] for row in memory if row["claimed"]}
    assert not any(r["disposition"] in WORK for r in found.to_pylist() if r["file_path"] in claimed)


@pytest.mark.slow
@few
@given(listed(), memories(), specs(), st.randoms(use_true_random=False))
def test_the_order_of_listing_and_ledger_does_not_matter(files: Any, memory: Any, spec: Any, random: Any) -> None:
    first = plan_of(files, memory, spec)
    table = judge(files, memory, spec)
    random.shuffle(files)
    random.shuffle(memory)
    assert plan_of(files, memory, spec) == first
    assert judge(files, memory, spec).equals(table)


@pytest.mark.slow
@few
@given(listed(), memories(), specs())
def test_a_plan_comes_back_from_its_json_the_same(files: Any, memory: Any, spec: Any) -> None:
    plan = plan_of(files, memory, spec)
    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan


@pytest.mark.slow
@few
@given(listed(), memories(), specs())
def test_figures_of_the_changes_sum_to_the_totals(files: Any, memory: Any, spec: Any) -> None:
    plan = plan_of(files, memory, spec)
    done = [c.impact for c in plan.changes if c.blocked is None]
    assert plan.totals.files_to_process == sum(i.files_to_process for i in done)
    assert plan.totals.bytes_to_process == sum(i.bytes_to_process for i in done)
    assert plan.totals.files_skipped + plan.totals.files_to_process == sum(plan.totals.files_by_disposition.values())
    costs = [i.cost_usd.expected for i in done if i.cost_usd is not None]
    assert plan.totals.cost_usd is not None
    assert abs(plan.totals.cost_usd.expected - sum(costs, Decimal(0))) <= Decimal("1e-9")
    for impact in (*done, plan.totals):
        for spread in (impact.cost_usd, impact.duration_minutes):
            assert spread is None or spread.low <= spread.expected <= spread.high


def after_apply(files: list[dict[str, Any]], memory: list[dict[str, Any]], spec: Any) -> list[dict[str, Any]]:
    """A model of a loader that never fails: what is remembered after the plan was applied."""
    there = {row["file_path"]: row for row in files}
    kept = {row["file_path"]: row for row in memory}
    first = not memory
    for row in judge(files, memory, spec).to_pylist():
        path = row["file_path"]
        if row["disposition"] in WORK:
            kept[path] = remembered(there[path], src_file_id=99)
        elif row["disposition"] == "missing" and row["replaces"] is not None:
            kept[path] = {**kept[path], "state": "MISSING", "src_file_id": None, "rows": None}
        elif row["disposition"] == "missing":
            kept[path] = {**kept[path], "state": "MISSING"}
        elif first and spec.source.start == "now" and row["disposition"] == "out_of_scope":
            kept[path] = remembered(there[path], "SKIPPED")
    return list(kept.values())


@pytest.mark.slow
@few
@given(listed(), memories(), specs())
def test_applied_again_and_again_nothing_is_left_to_load(files: Any, memory: Any, spec: Any) -> None:
    recorded = recorded_of(spec)
    remaining = None
    for _ in range(len(KEYS) + 2):
        memory = after_apply(files, memory, spec)
        found = judge(files, memory, spec, recorded=recorded)
        work = [r for r in found.to_pylist() if r["disposition"] in WORK]
        assert remaining is None or not work or len(memory) >= remaining
        remaining = len(memory)
        if not work:
            break
    assert work == []
    plan = build_plan(
        [spec], State("l", 1, (recorded,)), {"sales": Looked(found, len(files))},
        now=NOW, tool_version="1", tables={"shop.sales": TABLE},
    )  # fmt: skip
    assert [c for c in plan.changes if c.blocked is None] == []
