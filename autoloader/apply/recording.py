"""What the ledger is told of an ingestion before and after a plan is carried out on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autoloader import schema as schemas
from autoloader.apply.recipe import Recipe
from autoloader.apply.tools import Tools
from autoloader.spec import data_fingerprint, metadata_fingerprint, spec_digest

if TYPE_CHECKING:
    from autoloader.ledger import IngestionRow


def row_of(recipe: Recipe, before: IngestionRow | None, **changes: Any) -> IngestionRow:
    """The row of an ingestion as its recipe says, over what was recorded.

    Args:
        recipe: The spec and what planning resolved.
        before: What is recorded, None for a new one.
        changes: Columns to set besides: `table_uuid`, `backfill`, `extra`.
    """
    from autoloader.ledger import IngestionRow

    spec = recipe.spec
    base = before if before is not None else IngestionRow(name=spec.name, spec={})
    return replace(
        base,
        name=spec.name,
        spec=spec.as_data(),
        data_fingerprint=data_fingerprint(spec),
        metadata_fingerprint=metadata_fingerprint(spec),
        spec_digest=spec_digest(spec),
        status=spec.status,
        protect=spec.protect,
        table=spec.destination.table,
        schema=base.schema if recipe.schema is None else schemas.to_data(recipe.schema),
        dialect=base.dialect if recipe.dialect is None else {**recipe.dialect, "format": recipe.format},
        **changes,
    )


def begin(tools: Tools, plan_id: str, recipe: Recipe, before: IngestionRow | None, serial: int | None) -> IngestionRow:
    """Mark an ingestion as having this plan applied to it; two applies of one plan cannot both get past here.

    Args:
        tools: The surroundings.
        plan_id: The plan.
        recipe: The ingestion's recipe.
        before: What is recorded.
        serial: The serial that the plan was based on; None: the plan is resumed.

    Raises:
        PlanStaleError: Somebody else was quicker.
    """
    extra = {**((before.extra if before else None) or {}), "applying": {"plan_id": plan_id, "done": False}}
    row = row_of(recipe, None, extra=extra) if before is None else replace(before, extra=extra)
    return tools.ledger.put_ingestion(row, now=tools.clock(), expected_serial=serial, actor=tools.holder)


def finish(tools: Tools, name: str, plan_id: str, **changes: Any) -> None:
    """Mark the plan as applied and remember the table's snapshot, so that drift can be told."""
    row = tools.ledger.ingestion(name)
    if row is None:
        return
    extra = {**(row.extra or {}), "applying": {"plan_id": plan_id, "done": True}}
    table = tools.lake.table(row.table) if row.table else None
    if table is not None:
        extra["snapshot_id"] = table.snapshot_id
        changes.setdefault("table_uuid", table.uuid)
    tools.ledger.put_ingestion(replace(row, extra=extra, **changes), now=tools.clock(), actor=tools.holder)
