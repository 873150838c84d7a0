"""Each case's plan as people see it: `plan.txt` (in full), `plan.md`, `plan.html`, compared whole.

They are made from the kept JSON alone: what it lacks cannot be shown. `pytest --update-golden` writes them anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from autoloader.inventory import DIFF
from autoloader.plan import Plan, from_json
from autoloader.render import plan_html, plan_markdown, plan_text

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/plan.json"))
FORMS: dict[str, Callable[[Plan, pa.Table], str]] = {
    "plan.txt": lambda plan, files: plan_text(plan, length="full", files=files),
    "plan.md": lambda plan, files: plan_markdown(plan, files=files),
    "plan.html": lambda plan, files: plan_html(plan, files=files),
}


def files_of(folder: Path) -> pa.Table:
    rows: list[dict[str, Any]] = json.loads((folder / "files.json").read_text("utf-8"))
    typed = [{name: _value(DIFF.field(name).type, value) for name, value in row.items()} for row in rows]
    return pa.Table.from_pylist(typed, schema=DIFF)


def _value(kind: pa.DataType, value: Any) -> Any:
    if value is None or not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return value
    moment = datetime.fromisoformat(value)
    return moment.date() if pa.types.is_date(kind) else moment


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_plan_is_shown_as_it_is_kept_beside_it(folder: Path, form: str, update_golden: bool) -> None:
    plan = from_json(json.loads((folder / "plan.json").read_text("utf-8")))
    text = FORMS[form](plan, files_of(folder)) + "\n"
    if update_golden:
        (folder / form).write_text(text, "utf-8")
    assert (folder / form).read_text("utf-8") == text
