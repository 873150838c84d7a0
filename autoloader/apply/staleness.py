"""Is the world still the one that the plan was made from? Asked per ingestion, under its lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoloader.errors import PlanStaleError
from autoloader.plan import Basis

if TYPE_CHECKING:
    from autoloader.lake import TableState
    from autoloader.ledger import IngestionRow

_PLAN_AGAIN = "Plan again:\n  autoloader plan"


def check_fresh(plan_id: str, basis: Basis, recorded: IngestionRow | None, table: TableState | None) -> None:
    """Return if ledger and table are as planned, or as this very plan left them when it was cut off.

    Raises:
        PlanStaleError: The ingestion's serial, the table or its snapshot moved.
    """
    applying = started_by(recorded)
    resumed = applying.get("plan_id") == plan_id and not applying.get("done")
    serial = recorded.serial if recorded is not None else 0
    if serial != basis.serial and not resumed:
        if applying.get("plan_id") == plan_id:
            raise PlanStaleError(
                f"This plan was applied to {basis.ingestion} already.", fix=f"Nothing is left to do. {_PLAN_AGAIN}"
            )
        raise PlanStaleError(
            f"The plan for {basis.ingestion} is stale.",
            why=f"It was made at serial {basis.serial} of the ingestion; now it is {serial}.",
            fix=_PLAN_AGAIN,
        )
    uuid = table.uuid if table is not None else None
    snapshot_id = table.snapshot_id if table is not None else None
    if resumed or (uuid == basis.table_uuid and snapshot_id == basis.snapshot_id):
        return
    raise PlanStaleError(
        f"The plan for {basis.ingestion} is stale.",
        why=f"Its table was at snapshot {basis.snapshot_id}; now it is at {snapshot_id}.",
        fix=_PLAN_AGAIN,
    )


def started_by(recorded: IngestionRow | None) -> dict[str, Any]:
    """Which plan was applied to an ingestion last, and whether it was done: `{plan_id, done}`."""
    extra = recorded.extra if recorded is not None and recorded.extra else {}
    return dict(extra.get("applying") or {})
