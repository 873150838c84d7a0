"""Builders for tests of diff and planner: files, remembered files, specs, plans. Plain values, no IO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from autoloader.diff import diff
from autoloader.inventory import LEDGER_SLICE, LISTING
from autoloader.plan import Plan
from autoloader.planner import Asked, Looked, Recorded, State, TableFacts, build_plan, rules_for
from autoloader.schema import TableSchema
from autoloader.spec import IngestionSpec, Settings, spec_digest

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
ROOT = "s3://b/in/"


def spec_of(**keys: Any) -> IngestionSpec:
    source = {"path": ROOT, **keys.pop("source", {})}
    base = {"name": "sales", "destination": {"table": "shop.sales"}, "source": source}
    return IngestionSpec.model_validate({**base, **keys})


def file(
    key: str, *, size: int = 100, etag: str | None = "e1", age: timedelta = timedelta(days=30), **more: Any
) -> dict[str, Any]:
    """One row of a listing."""
    row = {"key": key, "size_bytes": size, "etag": etag, "modified_at": NOW - age, "version_id": None}
    return {"file_path": ROOT + key, **row, **more}


def remembered(row: Mapping[str, Any], state: str = "SUCCESS", **more: Any) -> dict[str, Any]:
    """What the ledger keeps of a listed file after an attempt."""
    identity = {name: row[name] for name in ("file_path", "size_bytes", "modified_at", "etag", "version_id")}
    loaded = {"src_file_id": 7, "rows": 10} if state == "SUCCESS" else {}
    rest = {"claimed": False, "retry_count": 0, "reload": False}
    return {**identity, "state": state, **rest, **loaded, **more}


def listing(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=LISTING)


def known(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    full = [{field.name: row.get(field.name) for field in LEDGER_SLICE} for row in rows]
    return pa.Table.from_pylist(full, schema=LEDGER_SLICE)


def recorded_of(spec: IngestionSpec, **more: Any) -> Recorded:
    facts = {
        "serial": 3,
        "table": spec.destination.table,
        "table_uuid": "u1",
        "last_run_at": NOW - timedelta(days=1),
        "created_at": NOW - timedelta(days=20),
        "protect": spec.protect,
        "spec_digest": spec_digest(spec),
    }
    return Recorded(name=spec.name, spec=spec.as_data(), **{**facts, **more})


TABLE = TableFacts("u1", 11, 0, TableSchema(), has_lineage=True, rows=100)


def judge(
    files: Iterable[Mapping[str, Any]],
    memory: Iterable[Mapping[str, Any]] = (),
    spec: IngestionSpec | None = None,
    *,
    recorded: Recorded | None = None,
    asked: Asked | None = None,
    now: datetime = NOW,
    settings: Settings | None = None,
    **more: Any,
) -> pa.Table:
    """The diff of one ingestion; recorded as soon as something is remembered."""
    spec, memory = spec or spec_of(), list(memory)
    recorded = recorded or (recorded_of(spec) if memory else None)
    rules = rules_for(spec, root=ROOT, now=now, recorded=recorded, asked=asked, settings=settings, **more)
    return diff(listing(files), known(memory), rules)


def dispositions(table: pa.Table) -> dict[str, str]:
    """Key (or path) -> disposition."""
    return {row["key"] or row["file_path"]: row["disposition"] for row in table.to_pylist()}


def plan_of(
    files: Iterable[Mapping[str, Any]] = (),
    memory: Iterable[Mapping[str, Any]] = (),
    spec: IngestionSpec | None = None,
    *,
    recorded: Recorded | None = None,
    table: TableFacts | None = None,
    asked: Asked | None = None,
    settings: Settings | None = None,
    now: datetime = NOW,
    tables: Mapping[str, TableFacts | None] | None = None,
    rewritten: Mapping[str, int] | None = None,
    delete_files: bool = False,
    **more: Any,
) -> Plan:
    """The plan of one ingestion. Its table has the recorded columns as soon as something is remembered."""
    spec, files, memory = spec or spec_of(), list(files), list(memory)
    recorded = recorded or (recorded_of(spec) if memory else None)
    if table is None and memory:
        table = replace(TABLE, schema=(recorded.schema if recorded else None) or TableSchema())
    found = judge(files, memory, spec, recorded=recorded, asked=asked, now=now, settings=settings)
    return build_plan(
        [spec],
        State("lineage-1", 5, (recorded,)) if recorded else State(),
        {spec.name: Looked(found, len(files), rewritten=rewritten or {}, delete_files=delete_files)},
        now=now,
        tool_version="0.1.0",
        tables=tables or {spec.destination.table: table},
        asked=asked,
        settings=settings,
        **more,
    )
