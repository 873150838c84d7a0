"""Looking at the world for a plan: the ledger's record, the catalog's tables, the files in storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autoloader import schema as schemas
from autoloader.apply import settled_ids, undone_batches
from autoloader.cost import History
from autoloader.diff import diff
from autoloader.errors import DeleteFilesError, SourceError
from autoloader.inmemory import in_memory
from autoloader.inventory import WORK, Disposition, Lane
from autoloader.matching import (
    Window,
    build_window,
    compile_glob,
    compile_path_date,
    default_include,
    folder_filter,
    literal_prefixes,
)
from autoloader.planner import Asked, Looked, Recorded, State, TableFacts, rules_for
from autoloader.render import plural
from autoloader.sources import Source, canonical
from autoloader.spec import IngestionSpec, Settings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from autoloader.lake import Lake, TableState
    from autoloader.ledger import IngestionRow, Ledger
    from autoloader.matching import FolderFilter

_AT_ONCE: Final = 4
_NEAR_MISSES_FROM: Final = 5_000


@dataclass(frozen=True, slots=True)
class Eyes:
    """What looking needs.

    Attributes:
        project_dir: Where relative source paths start.
        settings: The project's.
        ledger: The state; may not exist yet.
        lake: The catalog.
        now: The instant of the plan, aware UTC.
        talk: Told how far it is.
    """

    project_dir: Path
    settings: Settings
    ledger: Ledger
    lake: Lake
    now: datetime
    talk: Callable[[str], None]


def recorded_of(ledger: Ledger, row: IngestionRow) -> Recorded:
    """One recorded ingestion in the planner's form."""
    return Recorded(
        name=row.name,
        spec=row.spec,
        spec_digest=row.spec_digest,
        serial=row.serial,
        table=row.table,
        table_uuid=row.table_uuid,
        snapshot_id=(row.extra or {}).get("snapshot_id"),
        schema=None if row.schema is None else schemas.from_data(row.schema),
        status=row.status,
        protect=row.protect,
        backfill=row.backfill,
        requests_done=ledger.requests_done(row.name),
        last_run_at=row.last_run_at,
        created_at=row.created_at,
        loaded_files=sum(ledger.counts(row.name)["in_table"].to_pylist()),
    )


def state_of(ledger: Ledger) -> State:
    """What the ledger has, in the planner's form; empty before there is one."""
    if not ledger.exists:
        return State()
    return State(ledger.lineage, ledger.serial, tuple(recorded_of(ledger, row) for row in ledger.ingestions()))


def facts_of(lake: Lake, name: str, ledger: Ledger | None = None, ingestion: str | None = None) -> TableFacts | None:
    """One table in the planner's form; None where there is no such table.

    Args:
        lake: The catalog.
        name: The table.
        ledger: The state, to tell which files a rollback behind our back took out; None = not asked.
        ingestion: The ingestion that owns the table, None = none does.
    """
    table = lake.table(name)
    if table is None:
        return None
    lost: dict[str, tuple[str, ...]] = {}
    back: tuple[str, ...] = ()
    foreign, unknown = None, 0
    if ledger is not None and ingestion is not None:
        row = ledger.ingestion(ingestion)
        seen = ((row.extra if row is not None else None) or {}).get("snapshot_id")
        foreign, unknown = _foreign(seen, table), _unknown(ledger, seen, table)
        if row is not None:
            unknown += _forward(ledger, row, seen, table)
            if undone := undone_batches(ledger, row, table):
                lost, back = _lost(ledger, ingestion, undone), _back(ledger, ingestion, undone)
    return TableFacts(
        uuid=table.uuid,
        snapshot_id=table.snapshot_id,
        schema_id=table.schema_id,
        schema=table.schema,
        has_lineage=table.has_lineage,
        rows=table.rows,
        size_bytes=table.size_bytes,
        lost=lost,
        back=back,
        foreign=foreign,
        unknown=unknown,
    )


def _foreign(seen: int | None, table: TableState) -> int:
    """How many of the snapshots since the one that was recorded last say nothing of us.

    Those that do are of a run that is loading now, or of one that died before it could record.
    """
    return sum(not any(key.startswith("autoloader.") for key in info.summary) for info in table.since(seen))


def _unknown(ledger: Ledger, seen: int | None, table: TableState) -> int:
    """How many snapshots since the one that was recorded last are of runs that the state has never heard of.

    A run is recorded before it commits anything. So either the state is an older copy of itself, or another state
    loads into the table as well. Where the recorded snapshot is in the history no more (the table was rebuilt, or the
    snapshot expired), fencing tokens that this state has never given away tell it.
    """
    if not table.has_come_through(seen):
        tokens = [int(info.summary.get("autoloader.fencing-token", 0)) for info in table.history]
        unused = ledger.next_token  # read once, and after the table: no load of ours can be ahead of it
        behind = sum(token >= unused for token in tokens) or int(table.fence >= unused)
        if behind or seen is not None:
            return behind
    runs = [info.run_id for info in table.since(seen)]
    return sum(run is not None and ledger.run(run) is None for run in runs)


def _forward(ledger: Ledger, row: IngestionRow, seen: int | None, table: TableState) -> int:
    """How many batches are in the table again that the ledger was set back over: somebody took the table forward."""
    if seen not in table.astray and not table.has_come_through(seen):
        return 0  # where it has expired, nobody can tell
    contributing = {info.snapshot_id for info in table.contributing}
    since = contributing.intersection(info.snapshot_id for info in table.since(seen))
    if not since:
        return 0
    settled = settled_ids(row)
    batches = [batch for batch in ledger.batches(ingestion=row.name) if batch.snapshot_id in since]
    return sum(batch.state == "undone" or batch.batch_id in settled for batch in batches)


def _lost(ledger: Ledger, name: str, undone: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Files that count as loaded by batches that were undone, per batch."""
    import pyarrow.compute as pc

    held = ledger.files(name)["src_file_id"].combine_chunks().drop_null()
    found: dict[str, tuple[str, ...]] = {}
    for batch_id in undone:
        files = ledger.versions(name, batch_id=batch_id)
        rows = files.filter(pc.and_(pc.is_in(files["src_file_id"], held), pc.greater(files["rows"], 0)))
        if rows.num_rows:
            found[batch_id] = tuple(rows["file_path"].to_pylist())
    return found


def _back(ledger: Ledger, name: str, undone: Sequence[str]) -> tuple[str, ...]:
    """Files whose rows were taken out last by batches that were undone, and had been loaded by others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    versions = ledger.versions(name)
    settled = versions.filter(pc.is_in(versions["state"], pa.array(["SUCCESS", "DELETED", "CLEARED"])))
    of_lost = pc.is_in(settled["batch"], pa.array(undone, pa.string()))
    last = _newest(settled)
    by_lost = pc.is_in(last["batch"], pa.array(undone, pa.string()))
    taken = last.filter(pc.and_(by_lost, pc.equal(last["state"], "DELETED")))
    before = _newest(settled.filter(pc.invert(of_lost)))
    held = before.filter(pc.and_(pc.equal(before["state"], "SUCCESS"), pc.greater(before["rows"], 0)))
    return tuple(
        taken.filter(pc.is_in(taken["file_path"], held["file_path"].combine_chunks()))["file_path"].to_pylist()
    )


def _newest(versions: pa.Table) -> pa.Table:
    """The last version of each path."""
    import pyarrow.compute as pc

    ids = versions.group_by("file_path").aggregate([("src_file_id", "max")])["src_file_id_max"]
    return versions.filter(pc.is_in(versions["src_file_id"], ids.combine_chunks()))


def history_of(ledger: Ledger, name: str) -> tuple[History, ...]:
    """The finished runs of an ingestion, for calibration."""
    found = []
    for run in ledger.runs(name):
        if run.state == "complete" and run.files and run.actual_s:
            extra = run.extra or {}
            found.append(
                History(
                    files=run.files,
                    size_bytes=run.size_bytes,
                    seconds=run.actual_s,
                    format=extra.get("format"),
                    profile=extra.get("profile", "default"),
                    cost_usd=run.actual_usd,
                    estimated_usd=run.estimated_usd,
                )
            )
    return tuple(found)


def look_at_all(
    eyes: Eyes,
    specs: Sequence[IngestionSpec],
    state: State,
    history: Mapping[str, Sequence[History]],
    asked: Asked,
) -> tuple[dict[str, Looked], dict[str, SourceError]]:
    """Look at the storage of several ingestions side by side; one that cannot be looked at stops no other.

    Returns:
        What was seen, and why the others could not be looked at, by ingestion.
    """
    looked, failed = {}, {}
    with in_memory() as con, ThreadPoolExecutor(min(_AT_ONCE, max(1, len(specs)))) as pool:
        looks = [
            pool.submit(look_at, eyes, spec, state.recorded(spec), history.get(spec.name, ()), asked, beside=con)
            for spec in specs
        ]
        for spec, look in zip(specs, looks, strict=True):
            try:
                looked[spec.name] = look.result()
            except SourceError as error:
                failed[spec.name] = error
    return looked, failed


def look_at(
    eyes: Eyes,
    spec: IngestionSpec,
    recorded: Recorded | None,
    history: Sequence[History],
    asked: Asked,
    *,
    fill_fingerprints: frozenset[str] = frozenset(),
    beside: duckdb.DuckDBPyConnection | None = None,
) -> Looked:
    """List one source and hold it against the ledger.

    Args:
        eyes: How to look.
        spec: The ingestion.
        recorded: What is recorded of it.
        history: Its finished runs.
        asked: What the person wants of the plan.
        fill_fingerprints: Loaded files to load again, because they have columns that the table lacked.
        beside: For `diff`, where several are looked at.

    Raises:
        SourceError: The listing could not be completed.
    """
    root = canonical(spec.source.path, eyes.project_dir)
    globs = [compile_glob(pattern) for pattern in spec.source.include or default_include(spec.source.format)]
    prefixes = literal_prefixes(globs)
    source = Source(root, eyes.settings.storage)
    with ThreadPoolExecutor(1) as aside:  # the ledger is read while the storage answers
        reading = aside.submit(_known, eyes, spec, recorded)
        found = source.list(
            prefixes,
            skip=_skip(spec),
            on_progress=lambda files: eyes.talk(f"Listing {spec.name}: {plural(files, 'file')}"),
        )
        known = reading.result()
    unseen = tuple(problem.path for problem in found.problems if problem.unlisted)
    rules = rules_for(
        spec,
        root=root,
        now=eyes.now,
        recorded=recorded,
        settings=eyes.settings,
        history=history,
        asked=asked,
        unseen=unseen,
        fill_fingerprints=fill_fingerprints,
    )
    files = diff(found.table, known, rules, beside=beside)
    near: tuple[str, ...] = ()
    if found.table.num_rows == 0 and prefixes != ("",):
        near = tuple(source.list(("",)).table.slice(0, _NEAR_MISSES_FROM)["key"].to_pylist())
    return Looked(
        files=files,
        listed=found.table.num_rows,
        near=near,
        problems=tuple((problem.path, problem.message) for problem in found.problems),
    )


def with_rewrites(lake: Lake, recorded: Recorded | None, looked: Looked, *, aside: bool) -> Looked:
    """What was seen, with the bytes of the table's data files that rows are to leave and that hold others as well.

    Args:
        lake: Where the table is.
        recorded: The ingestion; where it is not, no rows of it can leave.
        looked: What was seen of its storage.
        aside: Whether the refresh lane writes beside the table, where no rows have to leave.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if recorded is None or recorded.table is None:
        return looked
    moves = pc.is_in(looked.files["disposition"], value_set=pa.array(sorted({*WORK, Disposition.MISSING})))
    leaving = looked.files.filter(pc.and_(moves, pc.is_valid(looked.files["replaces"])))
    rewritten = {}
    for lane in pc.unique(leaving["lane"]).drop_null().to_pylist():
        if lane != Lane.REFRESH or not aside:
            ids = leaving.filter(pc.equal(leaving["lane"], lane))["replaces"].to_pylist()
            try:
                rewritten[lane] = lake.rewritten_bytes(recorded.table, ids)
            except DeleteFilesError:
                return replace(looked, delete_files=True)
    return replace(looked, rewritten=rewritten) if rewritten else looked


def _known(eyes: Eyes, spec: IngestionSpec, recorded: Recorded | None) -> pa.Table:
    name = recorded.name if recorded is not None else spec.name
    return eyes.ledger.slice(name, now=eyes.now)


def _skip(spec: IngestionSpec) -> FolderFilter | None:
    """Folders that lie wholly before the window; what comes after it is loaded as it arrives."""
    backfill = spec.backfill
    if backfill is None or backfill.by != "path" or spec.source.path_date is None or backfill.from_ is None:
        return None
    window = build_window(backfill)
    return folder_filter(compile_path_date(spec.source.path_date), Window(window.from_at, None), backfill.timezone)
