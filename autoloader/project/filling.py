"""A new column and the rows that are there already: which loaded files have it, and what filling it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.cost import History, Work, estimate
from autoloader.inventory import FileState
from autoloader.planner.impacts import spread
from autoloader.render import bytes_text, money_text, plural
from autoloader.schema import ChangeKind, TableSchema, compare

if TYPE_CHECKING:
    from autoloader.ledger import Ledger
    from autoloader.planner import Recorded
    from autoloader.spec import IngestionSpec, Settings


def ways_to_fill(
    ledger: Ledger,
    spec: IngestionSpec,
    recorded: Recorded | None,
    wanted: TableSchema | None,
    files: pa.Table,
    settings: Settings,
    history: Sequence[History],
) -> list[str]:
    """For each column that a plan adds: leave it null, load the files that have it, or load all; each priced.

    Args:
        ledger: The state.
        spec: The ingestion.
        recorded: What is recorded of it; without it there are no rows to fill.
        wanted: The columns that the table is to have.
        files: `inventory.LEDGER_SLICE` of the ingestion.
        settings: Prices and compute profiles.
        history: Its finished runs.

    Returns:
        One note per added column, in the order of the columns.
    """
    if recorded is None or recorded.schema is None or wanted is None:
        return []
    added = {c.column for c in compare(recorded.schema, wanted) if c.kind is ChangeKind.ADD and "." not in c.column}
    loaded = files.filter(pc.equal(files["state"], FileState.SUCCESS.value))
    if not added or loaded.num_rows == 0:
        return []
    versions = {row.version: _names(row.schema) for row in ledger.schema_versions(spec.name) if row.fingerprint}
    notes = []
    for column in wanted.columns:
        if column.name in added:
            having = [number for number, names in versions.items() if column.file_name.casefold() in names]
            notes.append(_note(spec, column.name, having, loaded, settings, history))
    return notes


def _names(columns: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(str(column["name"]).casefold() for column in columns)


def _note(
    spec: IngestionSpec,
    column: str,
    versions: Sequence[int],
    loaded: pa.Table,
    settings: Settings,
    history: Sequence[History],
) -> str:
    mine = loaded.filter(pc.is_in(loaded["schema_version"], value_set=pa.array(list(versions), pa.int32())))
    have = "has" if mine.num_rows == 1 else "have"
    head = f"column {column}: {mine.num_rows:,} of {plural(loaded.num_rows, 'loaded file')} {have} it"
    everything = f"all files: --refresh {spec.name}=clear-history ({_price(spec, loaded, settings, history)})"
    if mine.num_rows == 0:
        return f"{head}; it is null in the rows that are there."
    those = " ".join(f"--reingest {spec.name}=schema:{version}" for version in versions)
    return (
        f"{head}. Leave it null in their rows (free), load those files again: {those}"
        f" ({_price(spec, mine, settings, history)}), or {everything}."
    )


def _price(spec: IngestionSpec, files: pa.Table, settings: Settings, history: Sequence[History]) -> str:
    size = int(pc.sum(files["size_bytes"]).as_py() or 0)
    work = Work(files.num_rows, size, spec.source.format)
    priced = estimate(work, settings.prices, settings.compute.get(spec.compute.live), history)
    return f"{bytes_text(size)}, {money_text(spread(priced.cost_usd))}"
