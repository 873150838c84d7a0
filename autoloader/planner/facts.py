"""What a plan is made from, beside specs and settings: what is recorded, what the catalog and storage say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from autoloader.schema import TableSchema
from autoloader.spec import IngestionSpec

if TYPE_CHECKING:
    import pyarrow as pa

RefreshMode = Literal["full", "new-only", "clear-history"]
Mode = Literal["normal", "refresh-only", "offline"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One ingestion as the ledger has it.

    Attributes:
        name: Its name there; another one than the spec's while a rename is planned.
        spec: The spec as last applied, as `IngestionSpec.as_data` wrote it.
        spec_digest: Its digest.
        serial: Rises with every recorded change.
        table: The table's name.
        table_uuid: The table's UUID as last seen, None before there was one.
        snapshot_id: The table's snapshot after our own last commit, None = not known.
        schema: The pinned schema, None before it is resolved.
        status: draft, active or paused.
        protect: Nothing may drop or rebuild the table.
        backfill: Progress as `planner.progress` wrote it.
        requests_done: (kind, request) pairs that were done.
        last_run_at: Start of its last run, None = never ran.
        created_at: When it was recorded first.
        loaded_files: Files whose rows are in the table or may be: `counts` of the ledger; None = not known.
    """

    name: str
    spec: Mapping[str, Any]
    spec_digest: str = ""
    serial: int = 0
    table: str | None = None
    table_uuid: str | None = None
    snapshot_id: int | None = None
    schema: TableSchema | None = None
    status: str = "active"
    protect: bool = False
    backfill: Mapping[str, Any] | None = None
    requests_done: frozenset[tuple[str, str]] = frozenset()
    last_run_at: datetime | None = None
    created_at: datetime | None = None
    loaded_files: int | None = None

    @property
    def on_remove(self) -> str:
        """What happens when the spec disappears: forget or drop."""
        return str(self.spec.get("on_remove", "forget"))


@dataclass(frozen=True, slots=True)
class State:
    """The ledger as far as a plan needs it. No lineage: there is no state yet."""

    lineage: str | None = None
    serial: int = 0
    ingestions: tuple[Recorded, ...] = ()

    def recorded(self, spec: IngestionSpec) -> Recorded | None:
        """What is recorded of a spec, under its own name or the one that it had before."""
        by_name = {recorded.name: recorded for recorded in self.ingestions}
        return by_name.get(spec.name) or by_name.get(spec.previous_name or "")

    def removed(self, specs: Sequence[IngestionSpec]) -> list[Recorded]:
        """Recorded ingestions whose spec is gone, and that no other spec names as its previous name."""
        recorded = {row.name for row in self.ingestions}
        renamed = {spec.previous_name for spec in specs if spec.name not in recorded}
        names = {spec.name for spec in specs} | renamed
        return [row for row in self.ingestions if row.name not in names]


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table as the catalog has it.

    Attributes:
        uuid: Its UUID.
        snapshot_id: Current snapshot, None = none yet.
        schema_id: Id of the current schema.
        schema: Its data columns.
        has_lineage: It has our lineage columns.
        rows: Rows in it, None = not known.
        size_bytes: Bytes of its data files, None = not known.
        lost: Files whose rows left it because somebody rolled it back, by batch; not ours.
        back: Files that are gone, whose rows had left it and came back with that.
        foreign: Snapshots of others since our last recorded one, as far as they are kept; None = not counted.
        unknown: Of those, the ones of runs of ours that this state knows nothing of.
    """

    uuid: str
    snapshot_id: int | None
    schema_id: int
    schema: TableSchema
    has_lineage: bool
    rows: int | None = None
    size_bytes: int | None = None
    lost: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    back: tuple[str, ...] = ()
    foreign: int | None = None
    unknown: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether it certainly holds no row."""
        return self.snapshot_id is None or self.rows == 0


FillMode = Literal["none", "rescued", "files"]
"""How rows that are there get values of new columns: not at all, out of `_rescued`, or by loading their files again.

Left open, what `_rescued` has for the columns that a plan changes is filled in; `rescued` asks for every column.
"""


@dataclass(frozen=True, slots=True)
class Rescued:
    """Values that rows have only in `_rescued`, for which the wanted schema has a place.

    Attributes:
        columns: Names of the columns, sorted.
        rows: Rows that have such a value.
        data_files: Data files with such rows.
        size_bytes: Their size.
    """

    columns: tuple[str, ...]
    rows: int
    data_files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What storage showed for one ingestion.

    Attributes:
        files: Every file's disposition, `inventory.DIFF`.
        listed: Objects that the listing returned, before any pattern.
        near: Keys that lie outside the listed prefixes, where those held nothing: material for near misses.
        problems: (path, message) of what could not be looked at.
        rewritten: Lane -> bytes of the table's data files that hold rows that leave beside others, about: they are
            written anew when those rows leave.
        delete_files: Rows are to leave a table of which another engine has deleted rows through delete files.
    """

    files: pa.Table
    listed: int
    near: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    rewritten: Mapping[str, int] = field(default_factory=dict)
    delete_files: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What the person wants of this plan.

    Attributes:
        mode: `offline` knows nothing of storage and tables; `refresh-only` shows drift and plans nothing.
        select: Names chosen with `--select`, tags resolved; None = every ingestion.
        by_name: Those of `select` that were named themselves; a draft runs only then.
        not_due: Ingestions left out because their schedule is not due -> the sentence that says when it is.
        refresh: Ingestion -> mode, from the command line.
        reingest: Ingestion -> selectors, from the command line.
        fill: Ingestion -> how columns that a plan adds get their values, see `FillMode`.
        confirmed: Ingestions whose source may be empty or have lost most of its files.
        max_usd: A guardrail for this plan alone.
        expires_in: Life of a saved plan, None = no end.
    """

    mode: Mode = "normal"
    select: frozenset[str] | None = None
    by_name: frozenset[str] = frozenset()
    not_due: Mapping[str, str] = field(default_factory=dict)
    refresh: Mapping[str, RefreshMode] = field(default_factory=dict)
    reingest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fill: Mapping[str, FillMode] = field(default_factory=dict)
    confirmed: frozenset[str] = frozenset()
    max_usd: Decimal | None = None
    expires_in: timedelta | None = None

    def takes(self, name: str) -> bool:
        """Whether an ingestion is in this plan."""
        return self.select is None or name in self.select


def refresh_of(spec: IngestionSpec, recorded: Recorded | None, asked: Asked) -> tuple[RefreshMode, str | None] | None:
    """The rebuild that is wanted now: its mode, and the request id where the spec asks for it.

    Returns:
        None where nothing is recorded yet (there is nothing to rebuild) or the request was done before.
    """
    if recorded is None:
        return None
    if (mode := asked.refresh.get(spec.name)) is not None:
        return mode, None
    wanted = spec.refresh
    if wanted is None or ("refresh", wanted.request) in recorded.requests_done:
        return None
    return wanted.mode, wanted.request
