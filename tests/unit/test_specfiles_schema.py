"""The JSON Schema and `load` agree: the same documents pass, the same mistakes are flagged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from autoloader.spec import NOT_AVAILABLE_YET, IngestionSpec
from autoloader.specfiles import SpecErrors, json_schema, load
from tests.specs import ACCEPTED, EVERYTHING, MINIMAL, REFUSED, with_key

VALIDATOR = jsonschema.Draft202012Validator(json_schema())

BEYOND_JSON_SCHEMA = {
    "name that the ingestion has now": "compares two values",
    "window is empty": "compares two values",
    "twice": "compares items of a list",
    "again": "compares items of a list",
    "not an encoding": "asks Python's list of encodings",
    "calendar": "needs a calendar",
    "never comes due": "needs a calendar",
    "not a column": "compares two sections",
}
"""Refusals of `load` that a JSON Schema has no words for, by their message, with the reason."""

MISTAKES: list[tuple[str, Any]] = [
    ("nam", "x"),
    ("source.pth", "x"),
    ("source.options", {"delim": ","}),
    ("schema.colums", []),
    ("schema.columns", [{"name": "a", "type": "int", "form": "x"}]),
    ("schema.columns", [{"name": "a"}]),
    ("schema.columns", {"a": "int"}),
    ("schema.columns", [{"name": "a", "type": "list"}]),
    ("schema.new_columns", "addd"),
    ("source", "s3://b/x"),
    ("source.path", 5),
    ("source.include", "*.csv"),
    ("source.format", "xlsx"),
    ("source.on_change", True),
    ("source.min_age", 5),
    ("source.partitions", ["year"]),
    ("destination.partition_by", "day(x)"),
    ("destination.sort_by", ["x up"]),
    ("tags", [""]),
    ("limits.max_files", "many"),
    ("limits.max_files", 1.5),
    ("limits.max_bytes", "5 elephants"),
    ("limits.max_usd", "-5"),
    ("limits.max_duration", "2 moons"),
    ("backfill", {"by": "hope"}),
    ("backfill", {"by": "modified", "from": "2024-13-01"}),
    ("backfill", {"by": "modified", "from": 2024}),
    ("backfill", {"by": "modified", "share": 50}),
    ("backfill", {"by": "modified", "order": "random"}),
    ("schedule", {"every": "sometimes"}),
    ("schedule", "daily"),
    ("compute", {"live": "a b"}),
    ("refresh", {"mode": "all", "request": "r"}),
    ("refresh", {"mode": "full"}),
    ("reingest", {"match": "x", "request": "r"}),
    ("reingest", [{"match": "x"}]),
    ("on_remove", "delete"),
    ("protect", 5),
]

BAD_SETTINGS: list[dict[str, Any]] = [
    {"stat": "x"},
    {"spark": {"engine": "flink"}},
    {"storage": {"s3": {"endpont": "x"}}},
    {"compute": {"small": {"cores": 0}}},
    {"compute": {"a b": {}}},
    {"prices": {"usd_per_gb": "free"}},
    {"guardrails": {"max_usd": "much"}},
    {"guardrails": {"max_bytes": {"warn": "1GB", "den": "2GB"}}},
    {"guardrails": {"max_duration": 5}},
    {"guardrails": {"max_replaced_percent": "101%"}},
    {"lineage_columns": "maybe"},
    {"vars": ["a"]},
]


def judged(tmp_path: Path, data: dict[str, Any], name: str = "a.yml") -> bool:
    """Whether `load` takes the document."""
    folder = tmp_path / "ingestions"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(yaml.safe_dump(data), "utf-8")
    try:
        load(folder, environ={}, variables={"x": "5"})
    except SpecErrors:
        return False
    return True


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    json.dumps(json_schema())


@pytest.mark.parametrize("data", [MINIMAL, EVERYTHING])
def test_the_schema_takes_the_specs_of_the_design(data: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(data)
    assert VALIDATOR.is_valid(IngestionSpec.model_validate(data).as_data())


def test_the_schema_takes_what_a_yaml_loader_makes_of_dates() -> None:
    text = "{by: path, from: 2015-01-01, until: 2025-01-01T00:00:00Z}"
    assert VALIDATOR.is_valid({**EVERYTHING, "backfill": yaml.safe_load(text)})


@pytest.mark.parametrize(("path", "value"), ACCEPTED)
def test_what_a_spec_accepts_the_schema_accepts(path: str, value: Any) -> None:
    assert VALIDATOR.is_valid(with_key(path, value))


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, value, message in REFUSED if message not in BEYOND_JSON_SCHEMA]
)
def test_what_a_spec_refuses_the_schema_refuses(path: str, value: Any) -> None:
    assert not VALIDATOR.is_valid(with_key(path, value))


@pytest.mark.parametrize(("path", "value"), MISTAKES)
def test_a_mistake_is_flagged_by_both(tmp_path: Path, path: str, value: Any) -> None:
    data = with_key(path, value)
    assert not VALIDATOR.is_valid(data)
    assert not judged(tmp_path, data)


@pytest.mark.parametrize("key", ["name", "source", "destination"])
def test_a_missing_key_is_flagged_by_both(tmp_path: Path, key: str) -> None:
    data = {name: value for name, value in MINIMAL.items() if name != key}
    assert not VALIDATOR.is_valid(data)
    assert not judged(tmp_path, data)


@pytest.mark.parametrize("data", BAD_SETTINGS, ids=str)
def test_a_mistake_in_the_settings_is_flagged_by_both(tmp_path: Path, data: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(data)
    (tmp_path / "ingestions").mkdir()
    assert not judged(tmp_path, data, "autoloader.yml")


def test_settings_that_are_fine_pass_both(tmp_path: Path) -> None:
    data = {
        "state": "postgresql+psycopg://host/db",
        "catalog": {"type": "rest", "uri": "http://x", "s3.path-style-access": True},
        "spark": {"engine": "cluster", "master": "spark://x:7077", "conf": {"spark.executor.memory": "2g"}},
        "storage": {"s3": {"endpoint": "http://localhost:9000", "anonymous": True}},
        "compute": {"small": {"usd_per_hour": 1.5, "cores": 2}},
        "prices": {"usd_per_gb": None, "usd_per_1000_get": 0.0004},
        "guardrails": {"max_usd": {"warn": 1, "deny": 2}, "max_bytes": "1TB", "max_duration": "2h", "max_files": 9},
        "vars": {"a": [1, {"b": None}]},
        "lineage_columns": False,
    }
    assert VALIDATOR.is_valid(data)
    assert judged(tmp_path, data, "autoloader.yml")


def test_templates_may_stand_wherever_a_scalar_does(tmp_path: Path) -> None:
    data = with_key("limits", {"max_files": "{{ vars.x }}", "max_bytes": "{{ vars.x }}GB", "max_usd": "{{ vars.x }}"})
    data = with_key("protect", "{{ 'true' }}", data)
    data = with_key("source.format", "{{ 'csv' }}", data)
    data = with_key("schedule", {"cron": "{{ vars.x }} * * * *"}, data)
    assert VALIDATOR.is_valid(data)
    assert judged(tmp_path, data)


def test_what_is_not_available_is_not_in_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NOT_AVAILABLE_YET, "source.on_delete=delete_rows", "")
    monkeypatch.setitem(NOT_AVAILABLE_YET, "refresh", "")
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid(with_key("source.on_delete", "fail"))
    assert not validator.is_valid(with_key("source.on_delete", "delete_rows"))
    assert not validator.is_valid(with_key("refresh", {"mode": "full", "request": "r"}))
