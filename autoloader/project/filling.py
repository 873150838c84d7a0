"""A new column and the rows that are there already: which loaded files have it, and what filling it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader import schema as schemas
from autoloader.cost import History, Work, estimate
from autoloader.errors import DeleteFilesError
from autoloader.inventory import FileState
from autoloader.planner import Rescued, refresh_of
from autoloader.planner.impacts import spread
from autoloader.render import bytes_text, money_text, plural
from autoloader.schema import ChangeKind, Place, SchemaChange, TableSchema, compare

SHOWN_COLUMNS: Final = 10
"""Of those that one note is about."""

if TYPE_CHECKING:
    from autoloader.apply import Recipe
    from autoloader.ledger import Ledger
    from autoloader.planner import Asked, Recorded, State, TableFacts
    from autoloader.project.looking import Eyes
    from autoloader.spec import IngestionSpec, Settings


def ways_to_fill(
    ledger: Ledger,
    spec: IngestionSpec,
    recorded: Recorded | None,
    wanted: TableSchema | None,
    files: pa.Table,
    settings: Settings,
    history: Sequence[History],
    rescued: Rescued | None = None,
) -> list[str]:
    """What becomes of the rows that are there when columns change, each way priced.

    For a column that a plan adds: leave it null, load the files that have it, or load all. For one that reads
    another name or becomes another type: what loading or rebuilding all comes to.

    Args:
        ledger: The state.
        spec: The ingestion.
        recorded: What is recorded of it; without it there are no rows to fill.
        wanted: The columns that the table is to have.
        files: `inventory.LEDGER_SLICE` of the ingestion.
        settings: Prices and compute profiles.
        history: Its finished runs.
        rescued: What the plan fills in from `_rescued`.

    Returns:
        One note per column of another name or type; then one for all added columns that the same files have, in the
        order of the columns.
    """
    if recorded is None or recorded.schema is None or wanted is None:
        return []
    added = _added(recorded.schema, wanted)
    loaded = files.filter(pc.equal(files["state"], FileState.SUCCESS.value))
    if loaded.num_rows == 0:
        return []
    versions = {row.version: _names(row.schema) for row in ledger.schema_versions(spec.name) if row.fingerprint}
    notes = _whole_table(spec, compare(recorded.schema, wanted), _price(spec, loaded, settings, history))
    alike: dict[tuple[tuple[int, ...], bool], list[str]] = {}
    for column in wanted.columns:
        if column.name in added:
            having = tuple(number for number, names in versions.items() if column.file_name.casefold() in names)
            filled = rescued is not None and column.name in rescued.columns
            alike.setdefault((having, filled), []).append(column.name)
    for (having, filled), columns in alike.items():
        notes.append(_note(spec, columns, having, loaded, settings, history, filled=filled))
    return notes


def _whole_table(spec: IngestionSpec, changes: Sequence[SchemaChange], price: str) -> list[str]:
    """Notes on changes that only all files can carry out."""
    notes = []
    for change in changes:
        if change.kind is ChangeKind.SOURCE:
            notes.append(
                f"column {change.column}: it reads {change.after} now. Rows that are there keep what they have (free)"
                f" until all files are loaded again: --refresh {spec.name}=clear-history ({price})."
            )
        elif change.kind is ChangeKind.RETYPE:
            notes.append(
                f"column {change.column}: from {change.before} to {change.after} takes a rebuild of all files:"
                f" --refresh {spec.name}=full ({price})."
            )
    return notes


def rescued_of(
    eyes: Eyes,
    state: State,
    recipes: Mapping[str, Recipe],
    tables: Mapping[str, TableFacts | None],
    asked: Asked,
) -> dict[str, Rescued]:
    """Per ingestion whose columns change, or that is asked to be filled: what its table has in `_rescued` for them.

    A table that is built anew, or whose files are loaded again for the columns, is not asked.
    """
    found = {}
    for name, recipe in recipes.items():
        how, recorded = asked.fill.get(name), state.recorded(recipe.spec)
        skipped = how in ("none", "files") or refresh_of(recipe.spec, recorded, asked) is not None
        if recorded is None or recorded.schema is None or recipe.schema is None or skipped:
            continue
        places = schemas.places(None if how == "rescued" else recorded.schema, recipe.schema)
        table = recipe.spec.destination.table
        if tables.get(table) is None:  # it has its old name until the plan is applied
            table = recorded.table or table
        if places and tables.get(table) is not None:
            eyes.talk(f"Looking for values in _rescued of {table}")
            try:
                rescued = _rescued(eyes, table, places)
            except DeleteFilesError:
                if how == "rescued":
                    raise
                continue  # no data file of it can be written anew
            if rescued is not None:
                found[name] = rescued
    return found


def _rescued(eyes: Eyes, table: str, places: Sequence[Place]) -> Rescued | None:
    names = {place.path[0] for place in places}
    held = eyes.lake.files_rescuing(table, {place.key for place in places}, names)
    if not held:
        return None
    rows = sum(sum(each.held.values()) for each in held)
    there = frozenset().union(*(each.keys for each in held))
    columns = {place.path[0] for place in places if place.key.casefold() in there}
    return Rescued(tuple(sorted(columns)), rows, len(held), sum(each.size_bytes for each in held))


def fingerprints_to_fill(ledger: Ledger, name: str, known: TableSchema, wanted: TableSchema) -> frozenset[str]:
    """Fingerprints of the loaded files that have a column which the wanted schema adds."""
    added = _added(known, wanted)
    names = {column.file_name.casefold() for column in wanted.columns if column.name in added}
    rows = ledger.schema_versions(name)
    return frozenset(row.fingerprint for row in rows if row.fingerprint and names & _names(row.schema))


def _added(known: TableSchema, wanted: TableSchema) -> set[str]:
    return {c.column for c in compare(known, wanted) if c.kind is ChangeKind.ADD and "." not in c.column}


def _names(columns: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(str(column["name"]).casefold() for column in columns)


def _note(
    spec: IngestionSpec,
    columns: Sequence[str],
    versions: Sequence[int],
    loaded: pa.Table,
    settings: Settings,
    history: Sequence[History],
    *,
    filled: bool,
) -> str:
    mine = loaded.filter(pc.is_in(loaded["schema_version"], value_set=pa.array(list(versions), pa.int32())))
    have = "has" if mine.num_rows == 1 else "have"
    named = ", ".join(columns[:SHOWN_COLUMNS])
    named += f" and {len(columns) - SHOWN_COLUMNS} more" if len(columns) > SHOWN_COLUMNS else ""
    word, it, is_ = ("column", "it", "it is") if len(columns) == 1 else ("columns", "them", "they are")
    head = f"{word} {named}: {mine.num_rows:,} of {plural(loaded.num_rows, 'loaded file')} {have} {it}"
    everything = f"all files: --refresh {spec.name}=clear-history ({_price(spec, loaded, settings, history)})"
    if mine.num_rows == 0:
        return f"{head}; {is_} null in the rows that are there."
    those = " ".join(f"--reingest {spec.name}=schema:{version}" for version in versions)
    leave = f"Leave {it} null in their rows (free)"
    if filled:
        kept = f"What rows have of {it} in _rescued is filled in"
        leave = f"{kept}; or leave {it} null: --fill {spec.name}=none (free)"
    return (
        f"{head}. {leave}, load those files again: {those} ({_price(spec, mine, settings, history)}), or {everything}."
    )


def _price(spec: IngestionSpec, files: pa.Table, settings: Settings, history: Sequence[History]) -> str:
    size = int(pc.sum(files["size_bytes"]).as_py() or 0)
    work = Work(files.num_rows, size, spec.source.format)
    priced = estimate(work, settings.prices, settings.compute.get(spec.compute.live), history)
    return f"{bytes_text(size)}, {money_text(spread(priced.cost_usd))}"
