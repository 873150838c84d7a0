"""Spec documents that several suites share: the smallest, the fullest, values that pass and that do not."""

from __future__ import annotations

import json
from typing import Any

MINIMAL: dict[str, Any] = {
    "name": "billing",
    "source": {"path": "s3://bucket/billing/"},
    "destination": {"table": "finops.billing"},
}

EVERYTHING: dict[str, Any] = {
    "name": "aws_billing",
    "description": "Cost and usage reports",
    "owner": "finops@example.com",
    "tags": ["finance"],
    "status": "active",
    "previous_name": "billing",
    "source": {
        "path": "s3://bucket/billing/",
        "include": ["**/*.csv.gz"],
        "exclude": ["**/_tmp/**"],
        "format": "csv",
        "options": {"delimiter": ",", "header": True, "quote": '"', "encoding": "utf-8", "null_values": [""]},
        "path_date": "year={Y}/month={m}/day={d}",
        "partitions": {"year": "int", "month": "int", "day": "int"},
        "min_age": "0s",
        "start": "all",
        "on_change": "replace",
        "on_delete": "keep",
    },
    "destination": {"table": "finops.billing", "partition_by": ["month(usage_date)"], "properties": {}},
    "schema": {
        "columns": [{"name": "usage_date", "type": "date", "from": "lineItem/UsageStartDate", "description": "day"}],
        "new_columns": "add",
        "type_change": "widen",
        "missing_columns": "null",
        "on_bad_row": "quarantine",
        "max_bad_rows": "1%",
    },
    "backfill": {
        "by": "path",
        "from": "2015-01-01",
        "until": "2025-01-01",
        "timezone": "UTC",
        "step": "1 year",
        "every": "1 week",
        "order": "oldest",
        "share": "50%",
    },
    "limits": {"max_files": 10000, "max_bytes": "500GB", "max_usd": 50, "max_duration": "2h"},
    "schedule": {"cron": "0 2 * * *", "timezone": "UTC"},
    "compute": {"live": "default", "backfill": "small"},
    "refresh": {"mode": "full", "request": "2026-06 schema v3", "reason": "types fixed"},
    "reingest": [{"match": "2024/Q1/**", "request": "INC-812", "reason": "corrupted upload"}],
    "protect": True,
    "on_remove": "forget",
}


def with_key(path: str, value: Any, base: dict[str, Any] = MINIMAL) -> dict[str, Any]:
    """The base with one key set, sections made on the way."""
    data: dict[str, Any] = json.loads(json.dumps(base))
    here = data
    *parents, last = path.split(".")
    for parent in parents:
        here = here.setdefault(parent, {})
    here[last] = value
    return data


ACCEPTED: list[tuple[str, Any]] = [
    ("name", "a.b-c_9"),
    ("source.path", "data/flights"),
    ("source.path", "/data/fli ghts#1/"),
    ("source.path", "file:///data/x"),
    ("source.path", "gs://b/x"),
    ("source.path", "az://container/x"),
    ("source.start", "now"),
    ("source.start", "2024-01-01T00:00:00Z"),
    ("source.start", "2024-01-01 00:00+01:00"),
    ("source.options", {"delimiter": "\t", "quote": "", "null_values": ["NA", -999]}),
    ("source.partitions", {"region": "string", "price": "decimal(10,2)"}),
    ("destination.properties", {"write.target-file-size-bytes": 1000, "x": True}),
    ("schema.max_bad_rows", 10),
    ("schema.columns", [{"name": "a b", "type": "struct<x: int, `y z`: list<decimal(10,2)>>"}]),
    ("backfill", {"by": "modified", "from": "2024-01-01", "through": "2024-01-01"}),
    ("backfill", {"by": "modified", "from": "2024-01-01T05:00:00Z", "timezone": "America/New_York"}),
    ("schedule", {"every": "weekly", "at": "02:00", "timezone": "Europe/Berlin"}),
    ("schedule", {"cron": "*/15 8-18 * jan-mar mon-fri"}),
    ("schedule", {"cron": "@daily"}),
    ("limits", None),
    ("protect", "yes"),
    ("description", 2024),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("name", "", "safe name"),
    ("name", "a b", "safe name"),
    ("name", "../x", "safe name"),
    ("name", "-x", "safe name"),
    ("name", "naïve", "safe name"),
    ("name", "a" * 129, "safe name"),
    ("previous_name", "billing", "name that the ingestion has now"),
    ("source.path", " ", "is empty"),
    ("source.path", "s3://", "no bucket"),
    ("source.path", "ftp://host/x", "not supported"),
    ("source.path", "s3://b/x/*.csv", "must be a folder"),
    ("source.path", "s3://key:secret@bucket/x", "credentials"),
    ("source.include", [""], "empty pattern"),
    ("source.start", "2024-01-01T00:00:00", "no time zone"),
    ("source.start", "2024-01-01", "no time zone"),
    ("source.start", "later", "none of all, now"),
    ("source.start", "2024-02-30T00:00:00Z", "calendar"),
    ("source.path_date", "month={m}", "where the year is"),
    ("source.min_age", "soon", "duration"),
    ("source.options", {"encoding": "utf-7000"}, "not an encoding"),
    ("source.options", {"quote": "''"}, "at most 1"),
    ("source.options", {"delimiter": "||"}, "at most 1"),
    ("source.partitions", {"_src_path": "string"}, "lineage"),
    ("source.partitions", {"a": "list<int>"}, "has parts"),
    ("destination.table", "billing", "table name"),
    ("destination.table", "a.b.c", "table name"),
    ("destination.table", "a.b;drop", "table name"),
    ("destination.table", "a.b__quarantine", "quarantine"),
    ("destination.partition_by", ["month(a)", "month(A)"], "twice"),
    ("destination.partition_by", ["_src_row"], "not a column"),
    ("destination.sort_by", ["usage_date", "usage_date desc"], "twice"),
    ("destination.sort_by", ["usage_date down"], "not a column to sort by"),
    ("destination.sort_by", ["_src_row"], "not a column"),
    ("schema.columns", [], "at least 1"),
    ("schema.columns", [{"name": "a", "type": "int"}, {"name": "A", "type": "int"}], "again"),
    ("schema.columns", [{"name": "_src_anything", "type": "int"}], "lineage"),
    ("schema.columns", [{"name": "_RESCUED", "type": "int"}], "lineage"),
    ("schema.columns", [{"name": "a", "type": "integer64"}], "not a type"),
    ("schema.max_bad_rows", "-1%", "neither"),
    ("backfill", {"from": "2024-01-01"}, "no `path_date`"),
    ("backfill", {"by": "modified", "from": "2024-01-01", "until": "2024-01-01"}, "window is empty"),
    ("backfill", {"by": "modified", "from": "2024-01-02", "through": "2024-01-01"}, "window is empty"),
    ("backfill", {"by": "modified", "until": "2024-01-02", "through": "2024-01-01"}, "stands beside"),
    ("backfill", {"by": "modified", "from": "2024-01-01T00:00:00"}, "no time zone"),
    ("backfill", {"by": "modified", "from": "2023-02-29"}, "calendar"),
    ("backfill", {"by": "modified", "from": "2024-01-01", "step": "1 year"}, "no two ends"),
    ("backfill", {"by": "modified", "every": "1 week"}, "no `step`"),
    ("backfill", {"by": "modified", "timezone": "Mars/Olympus"}, "time zone"),
    ("backfill", {"by": "modified", "share": "0%"}, "is zero"),
    ("limits.max_files", 0, "is zero"),
    ("limits.max_bytes", "0GB", "is zero"),
    ("limits.max_usd", 0, "is zero"),
    ("limits.max_duration", "0s", "is zero"),
    ("schedule", {}, "neither `cron` nor `every`"),
    ("schedule", {"cron": "0 2 * * *", "every": "1 day"}, "stands beside `cron`"),
    ("schedule", {"cron": "61 * * * *"}, "cron line"),
    ("schedule", {"cron": "* * * *"}, "cron line"),
    ("schedule", {"cron": "0 2 * * * *"}, "cron line"),
    ("schedule", {"cron": "0 0 30 2 *"}, "never comes due"),
    ("schedule", {"every": "1 hour", "at": "02:00"}, "period of days"),
    ("schedule", {"cron": "0 2 * * *", "at": "02:00"}, "period of days"),
    ("schedule", {"every": "1 day", "at": "25:00"}, "time of day"),
    ("refresh", {"mode": "full"}, "Field required"),
    ("refresh", {"mode": "full", "request": " "}, "is empty"),
    ("reingest", [{"match": "a", "request": "r"}, {"match": "b", "request": "r"}], "twice"),
    ("status", "activ", "'draft', 'active' or 'paused'"),
    ("protect", "maybe", "neither true nor false"),
    ("tags", "finance", "valid tuple"),
]
