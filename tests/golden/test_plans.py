"""Each folder here is one case: `input.json` (specs, listing, ledger, tables, now) and what comes of it.

`plan.json` and `files.json` are compared whole; `pytest --update-golden` writes them anew.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from autoloader.diff import diff
from autoloader.inventory import LEDGER_SLICE, LISTING
from autoloader.plan import from_json, to_json
from autoloader.planner import Asked, Looked, Recorded, State, TableFacts, build_plan, rules_for
from autoloader.schema import from_data
from autoloader.spec import IngestionSpec, Settings, spec_digest
from tests.planning import known, listing

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/input.json"))
INSTANTS = {f.name for schema in (LISTING, LEDGER_SLICE) for f in schema if f.name.endswith("_at")}


def rows(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: datetime.fromisoformat(v) if k in INSTANTS and v else v for k, v in row.items()} for row in data]


def recorded_of(data: dict[str, Any]) -> Recorded:
    times = {k: datetime.fromisoformat(data[k]) for k in ("last_run_at", "created_at") if data.get(k)}
    spec = IngestionSpec.model_validate(data["spec"])
    schema = from_data(data["schema"]) if data.get("schema") else None
    return Recorded(
        **{
            **data,
            **times,
            "name": spec.name,
            "table": spec.destination.table,
            "schema": schema,
            "spec_digest": spec_digest(spec),
        }
    )


def built(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The plan's JSON and the files with their dispositions."""
    data = json.loads((folder / "input.json").read_text("utf-8"))
    now, settings, asked = (
        datetime.fromisoformat(data["now"]),
        Settings.model_validate(data.get("settings", {})),
        Asked(),
    )
    specs = [IngestionSpec.model_validate(one["spec"]) for one in data["ingestions"]]
    state = State(data.get("lineage"), data.get("serial", 0), tuple(recorded_of(r) for r in data.get("recorded", ())))
    looked, files = {}, []
    for spec, one in zip(specs, data["ingestions"], strict=True):
        rules = rules_for(spec, root=one["root"], now=now, recorded=state.recorded(spec), settings=settings)
        listed = [{**row, "file_path": one["root"] + row["key"]} for row in rows(one["listing"])]
        remembered = [
            {"claimed": False, "reload": False, "retry_count": 0, **row} for row in rows(one.get("ledger", []))
        ]
        table = diff(listing(listed), known(remembered), rules)
        looked[spec.name] = Looked(table, len(listed))
        files += [
            {k: str(v) if isinstance(v, datetime) else v for k, v in r.items() if v is not None}
            for r in table.to_pylist()
        ]
    tables = {
        name: None if facts is None else TableFacts(**{**facts, "schema": from_data(facts["schema"])})
        for name, facts in data.get("tables", {}).items()
    }
    schemas = {name: from_data(columns) for name, columns in data.get("schemas", {}).items()}
    plan = build_plan(
        specs,
        state,
        looked,
        now=now,
        tool_version="0.0.0",
        tables=tables,
        settings=settings,
        schemas=schemas,
        asked=asked,
    )
    assert from_json(to_json(plan)) == plan
    return to_json(plan), json.loads(json.dumps(files, default=str))


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_case_gives_the_plan_that_is_kept_beside_it(folder: Path, update_golden: bool) -> None:
    plan, files = built(folder)
    for name, found in (("plan.json", plan), ("files.json", files)):
        text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
        if update_golden:
            (folder / name).write_text(text, "utf-8")
        assert (folder / name).read_text("utf-8") == text


def test_there_are_cases() -> None:
    assert len(CASES) >= 5
