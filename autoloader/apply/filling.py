"""Columns filled in the rows that are there, from what the table itself has in `_rescued`: one snapshot."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute as pc

from autoloader import loader
from autoloader.apply.removal import rewrite_tasks
from autoloader.apply.tools import Tools
from autoloader.lake import Commit
from autoloader.schema import Place

if TYPE_CHECKING:
    from autoloader.ledger import IngestionRow, Lease

_BEGUN: Final = "fills"
"""Kept beside an ingestion: ids of fills that were begun and are not known to be committed, with their fencing tokens.

The id is that of a batch, in the path of the data files and in the commit; so a fill that is dead is settled as a
dead batch is: it may not be committed any more, then its files go.
"""


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
    _settle(tools, table, ingestion)
    names = {place.path[0] for place in places}
    held = tools.lake.files_rescuing(table, {place.key for place in places}, names)
    if not held:
        return {"rows": 0, "data_files": 0}
    fill_id = uuid.uuid4().hex
    _note(tools, ingestion, begun={fill_id: lease.token})
    job = loader.FillJob(fill_id, tools.lake.write_format(table), places, tools.storage)
    engine = tools.engine()
    filled = engine.map(rewrite_tasks(list(held), engine.parallelism), loader.fill_files(job), loader.RESULT)
    if filled.num_rows:
        tools.ledger.check_lease(lease)
        tools.lake.commit(
            table,
            Commit(
                batch_id=fill_id,
                plan_id=plan_id,
                run_id=None,
                fencing_token=lease.token,
                ingestion=ingestion,
                data_files=filled,
                removed_files=tuple(filled["replaces"].to_pylist()),
            ),
        )
    _note(tools, ingestion, ended=fill_id)
    return {"rows": pc.sum(filled["filled_rows"]).as_py() or 0, "data_files": filled.num_rows}


def _settle(tools: Tools, table: str, ingestion: str) -> None:
    """What fills that were cut off have left: whoever of them wakes up may not commit it any more."""
    there, row = tools.lake.table(table), tools.ledger.ingestion(ingestion)
    if there is None or row is None or row.table_uuid not in (None, there.uuid):
        return  # what was written for a table of another catalog may lie at the same place
    for fill_id, token in _begun(row).items():
        tools.lake.revoke(table, fill_id, fencing_token=token)
        tools.lake.sweep(table, fill_id)
        _note(tools, ingestion, ended=fill_id)


def _note(tools: Tools, ingestion: str, *, begun: dict[str, int] | None = None, ended: str | None = None) -> None:
    def noted(row: IngestionRow) -> IngestionRow:
        fills = {key: token for key, token in {**_begun(row), **(begun or {})}.items() if key != ended}
        others = {key: value for key, value in (row.extra or {}).items() if key != _BEGUN}
        return replace(row, extra={**others, _BEGUN: fills} if fills else others)

    tools.ledger.amend_ingestion(ingestion, noted, now=tools.clock(), actor=tools.holder)


def _begun(row: IngestionRow | None) -> dict[str, int]:
    return dict(((row.extra if row is not None else None) or {}).get(_BEGUN) or {})
