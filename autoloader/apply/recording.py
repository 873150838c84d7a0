"""What the ledger is told of an ingestion before and after a plan is carried out on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autoloader import schema as schemas
from autoloader.apply.recipe import Recipe
from autoloader.apply.staleness import done_once, with_plan
from autoloader.apply.tools import Tools
from autoloader.apply.undone import undone_batches, with_undone
from autoloader.spec import data_fingerprint, dialect_keys, metadata_fingerprint, spec_digest

if TYPE_CHECKING:
    from autoloader.ledger import IngestionRow, Lease


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
        dialect=base.dialect if recipe.dialect is None else _pinned(recipe),
        **changes,
    )


def _pinned(recipe: Recipe) -> dict[str, Any]:
    return {**(recipe.dialect or {}), "format": recipe.format, "of": dialect_keys(recipe.spec.as_data())}


def begin(
    tools: Tools, plan_id: str, recipe: Recipe, before: IngestionRow | None, lease: Lease, *, shared: bool
) -> IngestionRow:
    """Note that this plan is being applied; two applies of one plan cannot both get past here.

    Args:
        tools: The surroundings.
        plan_id: The plan.
        recipe: The ingestion's recipe.
        before: What is recorded, as the plan was held against it.
        lease: Under which it is applied.
        shared: Whatever others note meanwhile beside it is no hindrance.

    Raises:
        PlanStaleError: Somebody else was quicker.
    """
    if shared and before is not None:

        def noted(row: IngestionRow) -> IngestionRow:
            return replace(row, extra=with_plan(row, plan_id, lease.id, done=False))

        return tools.ledger.amend_ingestion(before.name, noted, now=tools.clock(), actor=tools.holder) or before
    row = row_of(recipe, None) if before is None else before
    extra = with_plan(before, plan_id, lease.id, done=False)
    serial = before.serial if before is not None else 0
    return tools.ledger.put_ingestion(
        replace(row, extra=extra), now=tools.clock(), expected_serial=serial, actor=tools.holder
    )


@contextmanager
def once(tools: Tools, name: str, plan_id: str, step: str, lease: Lease) -> Iterator[bool]:
    """A step that is done at most once for a plan, however often the plan is taken up again.

    Files that were loaded after it would else be thrown away, or loaded twice.

    Yields:
        Whether it is still to be done; when it is left without an error, it is noted as done.
    """
    if step in done_once(tools.ledger.ingestion(name), plan_id):
        yield False
        return
    tools.ledger.check_lease(lease)
    yield True

    def noted(row: IngestionRow) -> IngestionRow:
        return replace(row, extra=with_plan(row, plan_id, lease.id, done=False, once=step))

    tools.ledger.amend_ingestion(name, noted, now=tools.clock(), actor=tools.holder)


def finish(tools: Tools, name: str, plan_id: str, lease: Lease) -> None:
    """Note that the plan was applied, and the table's snapshot, so that drift can be told."""
    recorded = tools.ledger.ingestion(name)
    table = tools.lake.table(recorded.table) if recorded is not None and recorded.table else None
    gone = undone_batches(tools.ledger, recorded, table) if recorded is not None and table is not None else ()

    def noted(row: IngestionRow) -> IngestionRow:
        extra = with_plan(row, plan_id, lease.id, done=True)
        if table is None:
            return replace(row, extra=extra)
        extra = with_undone({**extra, "snapshot_id": table.snapshot_id}, gone)
        return replace(row, extra=extra, table_uuid=table.uuid)

    tools.ledger.amend_ingestion(name, noted, now=tools.clock(), actor=tools.holder)
