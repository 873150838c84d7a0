"""Columns filled in the rows that are there, from what the table itself has in `_rescued`: one snapshot."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute as pc

from autoloader import loader
from autoloader.apply.removal import rewrite_tasks
from autoloader.apply.tools import Tools
from autoloader.lake import Commit
from autoloader.schema import Place

if TYPE_CHECKING:
    from autoloader.ledger import Lease

FOLDER: Final = "filled"
"""Takes the place of a batch's id in the path of the data files: one folder, so that the next fill finds left-overs."""


def fill_from_rescued(
    tools: Tools, table: str, ingestion: str, plan_id: str, places: tuple[Place, ...], lease: Lease
) -> dict[str, Any]:
    """Give rows the values that they have in `_rescued` and that fit a place of the table's schema.

    Whatever stops it before its commit leaves the table as it was; the next plan finds the same values again.

    Args:
        tools: The surroundings.
        table: The table; it has the columns already.
        ingestion: Whose table it is.
        plan_id: The plan that is applied.
        places: Which keys go where.
        lease: Holds the ingestion alone.

    Returns:
        Rows that got a value, and the data files that were written anew.
    """
    tools.lake.sweep(table, FOLDER)
    names = {place.path[0] for place in places}
    held = tools.lake.files_rescuing(table, {place.key for place in places}, names)
    if not held:
        return {"rows": 0, "data_files": 0}
    job = loader.FillJob(FOLDER, tools.lake.write_format(table), places, tools.storage)
    engine = tools.engine()
    filled = engine.map(rewrite_tasks(list(held), engine.parallelism), loader.fill_files(job), loader.RESULT)
    if filled.num_rows:
        tools.ledger.check_lease(lease)
        tools.lake.commit(
            table,
            Commit(
                batch_id=uuid.uuid4().hex,
                plan_id=plan_id,
                run_id=None,
                fencing_token=lease.token,
                ingestion=ingestion,
                data_files=filled,
                removed_files=tuple(filled["replaces"].to_pylist()),
            ),
        )
    return {"rows": pc.sum(filled["filled_rows"]).as_py() or 0, "data_files": filled.num_rows}
