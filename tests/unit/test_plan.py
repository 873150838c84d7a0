from __future__ import annotations

import json
from datetime import timedelta

import pytest

from autoloader.plan import FORMAT_VERSION, PlanFormatError, digest_of, from_json, to_json
from tests.planning import NOW, file, plan_of, remembered, spec_of

TOP = (
    "format_version tool_version plan_id digest created_at expires_at lineage serial mode applyable complete errored"
    " changes totals guardrails drift notes diagnostics"
).split()
IMPACT = (
    "files_to_process files_skipped files_by_disposition bytes_to_process estimated_data_size_gb estimated_cost_usd"
    " estimated_duration_minutes basis oldest_file_date newest_file_date"
).split()
CHANGE = "ingestion actions reason detail lane before after impact operations blocked".split()


def test_the_json_has_the_keys_of_the_contract() -> None:
    data = to_json(plan_of([file("a.csv")]))
    assert list(data)[: len(TOP)] == TOP
    assert list(data["changes"][0]) == CHANGE
    assert list(data["changes"][0]["impact"]) == IMPACT == list(data["totals"])
    assert data["format_version"] == FORMAT_VERSION
    assert data["created_at"] == "2024-06-01T12:00:00Z"


def test_what_is_unknown_is_null_and_never_zero() -> None:
    from autoloader.spec import Settings

    settings = Settings.model_validate({"prices": {"usd_per_gb": None}})
    data = to_json(plan_of([file("a.csv")], settings=settings))
    assert data["totals"]["estimated_cost_usd"] is None
    assert data["changes"][0]["impact"]["estimated_cost_usd"] is None


def test_the_digest_leaves_out_id_and_times_and_nothing_else() -> None:
    plan, later = plan_of([file("a.csv")]), plan_of([file("a.csv")], now=NOW + timedelta(hours=1))
    assert (plan.digest, plan.created_at) != (later.digest, later.created_at)
    assert plan.digest == later.digest == digest_of(plan)
    assert plan.plan_id != later.plan_id
    assert plan_of([file("b.csv")]).digest != plan.digest
    assert plan_of([file("a.csv", etag="e2")]).digest != plan.digest


def test_keys_of_a_later_minor_version_are_left_alone() -> None:
    plan = plan_of([file("a.csv")], [remembered(file("b.csv"))], spec_of())
    data = json.loads(json.dumps(to_json(plan)))
    data["brand_new"] = 1
    data["basis"][0]["brand_new"] = 1
    data["totals"]["brand_new"] = None
    assert from_json(data) == plan
    del data["basis"]
    assert from_json(data).basis == ()


@pytest.mark.parametrize(
    "data", [{}, {"format_version": "2.0"}, {"format_version": "1.0"}, {"format_version": "1.0", "changes": 3}]
)
def test_what_is_not_a_readable_plan_is_refused_with_the_way_out(data: dict[str, object]) -> None:
    with pytest.raises(PlanFormatError) as caught:
        from_json(data)
    assert "autoloader plan --out" in caught.value.fix
