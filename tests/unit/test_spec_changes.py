"""Fingerprints, and what an edit of each key does: the table in the docs, row by row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from autoloader.spec import (
    KEYS,
    Effect,
    IngestionSpec,
    canonical_path,
    change_effects,
    data_fingerprint,
    metadata_fingerprint,
    spec_digest,
)
from tests.specs import EVERYTHING, MINIMAL, with_key

DOCS = Path(__file__).resolve().parents[2] / "docs" / "planning-rules.md"
COLUMN = {"name": "usage_date", "type": "date", "from": "lineItem/UsageStartDate", "description": "day"}

EDITS: dict[str, Any] = {
    "name": "other",
    "description": "x",
    "owner": "x",
    "tags": ["x"],
    "status": "paused",
    "previous_name": "older",
    "source.path": "s3://other/",
    "source.include": ["*.csv"],
    "source.exclude": ["x"],
    "source.format": "json",
    "source.options": {"delimiter": ";"},
    "source.path_date": "{Y}/{m}",
    "source.partitions": {"year": "int"},
    "source.min_age": "5m",
    "source.start": "now",
    "source.on_change": "append",
    "source.on_delete": "fail",
    "destination.table": "a.b",
    "destination.partition_by": [],
    "destination.sort_by": ["usage_date desc"],
    "destination.properties": {"a": "b"},
    "schema.columns": None,
    "schema.columns.*.name": [{**COLUMN, "name": "usage_day"}],
    "schema.columns.*.type": [{**COLUMN, "type": "timestamp"}],
    "schema.columns.*.from": [{**COLUMN, "from": "x"}],
    "schema.columns.*.description": [{**COLUMN, "description": "x"}],
    "schema.new_columns": "fail",
    "schema.type_change": "fail",
    "schema.missing_columns": "fail",
    "schema.on_bad_row": "fail",
    "schema.max_bad_rows": 7,
    "backfill": None,
    "backfill.by": "modified",
    "backfill.from": "2016-01-01",
    "backfill.until": "2024-01-01",
    "backfill.through": "2024-01-01",
    "backfill.timezone": "Europe/Berlin",
    "backfill.step": "1 month",
    "backfill.every": None,
    "backfill.order": "newest",
    "backfill.share": "20%",
    "limits.max_files": None,
    "limits.max_bytes": 1,
    "limits.max_usd": 1,
    "limits.max_duration": "1h",
    "schedule": None,
    "schedule.cron": "0 3 * * *",
    "schedule.every": "1 day",
    "schedule.at": "03:00",
    "schedule.timezone": "Europe/Berlin",
    "compute.live": "small",
    "compute.backfill": "default",
    "refresh": None,
    "refresh.mode": "new-only",
    "refresh.request": "x",
    "refresh.reason": "x",
    "reingest": [],
    "reingest.*.match": [{"match": "x", "request": "INC-812", "reason": "corrupted upload"}],
    "reingest.*.request": [{"match": "2024/Q1/**", "request": "x", "reason": "corrupted upload"}],
    "reingest.*.reason": [{"match": "2024/Q1/**", "request": "INC-812", "reason": "x"}],
    "protect": False,
    "on_remove": "drop",
}


def base_for(key: str) -> dict[str, Any]:
    """A spec in which the key alone can be edited."""
    if key.startswith("schedule.") and key != "schedule.cron":
        return with_key("schedule", {"every": "2 days", "at": "02:00"}, EVERYTHING)
    if key == "backfill.through":
        base = with_key("backfill.through", "2025-01-01", EVERYTHING)
        return with_key("backfill.until", None, base)
    if key in ("schema.columns", "schema.columns.*.name", "source.format"):
        base = with_key("destination.partition_by", [], EVERYTHING)
        return with_key("source.options", {}, base)
    return with_key("source.options", {}, EVERYTHING) if key == "source.options" else EVERYTHING


def test_every_key_has_an_edit_here() -> None:
    assert list(EDITS) == [key.path for key in KEYS]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_an_edit_of_a_key_does_what_the_table_says(key: Any) -> None:
    old = base_for(key.path)
    new = with_key(key.path.partition(".*")[0], EDITS[key.path], old)
    before, after = IngestionSpec.model_validate(old), IngestionSpec.model_validate(new)
    changes = change_effects(before.as_data(), after.as_data())
    assert {change.effect for change in changes} == {key.effect}
    assert all(change.key.startswith(key.path.partition(".*")[0]) for change in changes)
    is_metadata = key.effect is Effect.METADATA
    assert (data_fingerprint(before) == data_fingerprint(after)) is is_metadata
    assert (metadata_fingerprint(before) != metadata_fingerprint(after)) is (is_metadata or key.path in WITH_WORDS)
    assert spec_digest(before) != spec_digest(after)


WITH_WORDS = {"schema.columns", "schema.columns.*.name", "refresh", "reingest", "reingest.*.request"}
"""Keys whose edit takes away or renames something that has a description or a reason."""


def test_the_docs_hold_the_table_of_keys() -> None:
    text = DOCS.read_text("utf-8")
    section = text.partition("<!-- keys: begin -->")[2].partition("<!-- keys: end -->")[0]
    rows = re.findall(r"^\| `(.+?)` \| (\w+) \| (.*?) \|$", section, re.MULTILINE)
    assert rows == [(key.path, str(key.effect), key.says.replace("|", "\\|")) for key in KEYS]


def test_ways_of_writing_the_same_are_the_same() -> None:
    other = {
        **EVERYTHING,
        "tags": ["finance", "finance"],
        "source": {**EVERYTHING["source"], "path": "s3a://bucket/billing", "start": "all"},
        "limits": {"max_files": "10000", "max_bytes": 500_000_000_000, "max_usd": "$50", "max_duration": "120m"},
        "backfill": {**EVERYTHING["backfill"], "share": 0.5, "step": "1y"},
    }
    one, two = IngestionSpec.model_validate(EVERYTHING), IngestionSpec.model_validate(other)
    assert change_effects(EVERYTHING, other) == ()
    assert data_fingerprint(one) == data_fingerprint(two)
    assert metadata_fingerprint(one) == metadata_fingerprint(two)
    assert spec_digest(one) == spec_digest(two)


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("s3a://b/x", "s3://b/x/"),
        ("s3n://b/x//", "s3://b/x/"),
        ("s3://b", "s3://b/"),
        ("s3://b/a b%20#?/", "s3://b/a b%20#?/"),
        ("./data//x/", "data/x/"),
        ("data/../x", "x/"),
        ("/data/x", "file:///data/x/"),
        ("file:///data/x/", "file:///data/x/"),
        ("gs://b/x", "gs://b/x/"),
    ],
)
def test_a_root_has_one_canonical_form(path: str, canonical: str) -> None:
    assert canonical_path(path) == canonical
    assert canonical_path(canonical) == canonical


def test_columns_are_compared_by_name() -> None:
    old = with_key("schema.columns", [{"name": "a", "type": "int"}, {"name": "b", "type": "int"}])
    columns = [
        {"name": "b", "type": "long", "description": "B"},
        {"name": "a", "type": "int"},
        {"name": "c", "type": "int"},
    ]
    changes = change_effects(old, with_key("schema.columns", columns))
    assert [(change.key, str(change.effect)) for change in changes] == [
        ("schema.columns", "schema"),
        ("schema.columns.c", "schema"),
        ("schema.columns.b.type", "schema"),
        ("schema.columns.b.description", "metadata"),
    ]


def test_a_section_that_comes_is_one_change() -> None:
    new = with_key("backfill", {"by": "modified", "from": "2024-01-01"})
    [change] = change_effects(MINIMAL, new)
    assert (change.key, change.effect, change.before) == ("backfill", Effect.SCOPE, None)
    assert change.after == {"by": "modified", "from": "2024-01-01"}


def test_a_spec_that_another_release_recorded_is_still_compared() -> None:
    old = with_key("source.since", "2020", MINIMAL)
    [change] = change_effects(old, MINIMAL)
    assert (change.key, change.effect, change.before) == ("source.since", Effect.BEHAVIOUR, "2020")
