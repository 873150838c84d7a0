"""What is known: status, runs, one run, files, costs. Reads the ledger; only `status` looks at storage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from autoloader.cost import money
from autoloader.errors import AutoloaderError, SettingsError
from autoloader.inventory import WORK, Disposition, Lane
from autoloader.matching import compile_glob, matches
from autoloader.project.answer import Answer, moment, rows_of, sentence
from autoloader.render import bytes_text, plural, seconds_text
from autoloader.schedule import next_due
from autoloader.sources import canonical

if TYPE_CHECKING:
    import pyarrow as pa

    from autoloader.ledger import IngestionRow, RunRow
    from autoloader.project.project import Project
    from autoloader.spec import IngestionSpec


def runs(project: Project, ingestion: str | None, limit: int | None) -> Answer:
    """The history of runs, oldest first."""
    if ingestion is not None:
        project.spec(ingestion)
    rows = [run_data(run) for run in project.ledger.runs(ingestion, limit=limit or 10_000)]
    shown = [
        {
            **row,
            "size": bytes_text(row["bytes"]),
            "cost": _dollars(row["cost_usd"]["actual"]),
            "time": _time(row["seconds"]["actual"]),
        }
        for row in rows
    ]
    # the run's id begins with the instant at which it started
    columns = ["run_id", "ingestion", "lane", "state", "files", "rows", "size", "cost", "time"]
    title = "" if rows else "There was no run yet."
    return Answer({"runs": rows}, shown, columns, title, spare=["time", "cost", "size"])


def run_data(run: RunRow) -> dict[str, Any]:
    """One run under the keys of DESIGN section 5."""
    return {
        "run_id": run.run_id,
        "ingestion": run.ingestion,
        "lane": run.lane,
        "state": run.state,
        "started_at": moment(run.started_at),
        "finished_at": moment(run.finished_at),
        "files": run.files,
        "rows": run.rows,
        "rejected_rows": run.rejected_rows,
        "bytes": run.size_bytes,
        "cost_usd": {"estimated": _number(run.estimated_usd), "actual": _number(run.actual_usd)},
        "snapshot_id": run.snapshot_id,
        "failed_files": run.failed_files,
        "plan_id": run.plan_id,
        "seconds": {"estimated": run.estimated_s, "actual": run.actual_s},
        "error": run.error,
    }


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _dollars(amount: float | None) -> str:
    return money(None if amount is None else Decimal(repr(amount)))


def show(project: Project, run_id: str) -> Answer:
    """One run: batches, and the files that were not loaded.

    Raises:
        SettingsError: There is no such run.
    """
    run = project.ledger.run(run_id)
    if run is None:
        raise SettingsError(f"There is no run {run_id!r}.", fix="See the runs:\n  autoloader runs")
    batches = project.ledger.batches(run_id)
    data = run_data(run)
    data["batches"] = [
        {
            "batch_id": batch.batch_id,
            "state": batch.state,
            "files": batch.files,
            "rows": batch.rows,
            "rejected_rows": batch.rejected_rows,
            "bytes": batch.size_bytes,
            "snapshot_id": batch.snapshot_id,
            "claimed_at": moment(batch.claimed_at),
            "recorded_at": moment(batch.recorded_at),
        }
        for batch in batches
    ]
    data["problems"] = [
        row for batch in batches for row in _problems(project.ledger.versions(run.ingestion, batch_id=batch.batch_id))
    ]
    title = (
        f"Run {run.run_id} of {run.ingestion} ({run.lane}): {run.state}, {plural(run.files, 'file')},"
        f" {plural(run.rows, 'row')}, {bytes_text(run.size_bytes)}"
    )
    closing = [f"Not loaded: {row['file_path']}: {sentence(row['error'] or row['state'])}" for row in data["problems"]]
    if run.rejected_rows:
        closing.append(f"{plural(run.rejected_rows, 'row')} rejected; they are in the quarantine table.")
    columns = ["batch_id", "state", "files", "rows", "rejected_rows", "snapshot_id"]
    # ids are names, not numbers: without separators
    shown = [{**each, "snapshot_id": each["snapshot_id"] and str(each["snapshot_id"])} for each in data["batches"]]
    return Answer(data, shown, columns, title, closing, spare=["rejected_rows", "state"])


def _problems(versions: pa.Table) -> list[dict[str, Any]]:
    import pyarrow.compute as pc

    bad = versions.filter(pc.invert(pc.is_in(versions["state"], value_set=_strings(("SUCCESS", "DELETED")))))
    return list(bad.select(["file_path", "state", "error"]).slice(0, 100).to_pylist())


def _strings(values: tuple[str, ...]) -> pa.Array:
    import pyarrow as pa

    return pa.array(list(values), pa.string())


def files(project: Project, name: str, state: str | None, match: str | None) -> Answer:
    """The remembered files of an ingestion.

    Args:
        project: The project.
        name: The ingestion.
        state: A `FileState`; None = all.
        match: Glob over the key below `source.path`; None = all.
    """
    table = project.ledger.files(name, (state.upper(),) if state else ())
    spec = _known_spec(project, name, table.num_rows)
    rows = rows_of(table)
    root = canonical(spec.source.path, project.place.project_dir) if spec is not None else ""
    if match is not None:
        glob = compile_glob(match)
        rows = [row for row in rows if matches([glob], row["file_path"].removeprefix(root))]
    data = [{key: _plain(value) for key, value in row.items()} for row in rows]
    shown = [
        {**row, "size": bytes_text(row["file_size"] or 0), "path": row["file_path"].removeprefix(root)} for row in data
    ]
    columns = ["state", "size", "rows", "rejected_rows", "path"]
    closing = [f"{row['file_path']}: {sentence(row['error'])}" for row in data if row["error"]][:20]
    title = f"{plural(len(data), 'file')}, below {root}" if root else plural(len(data), "file")
    title = title if data else "No such file is remembered."
    return Answer({"files": data}, shown, columns, title, closing, header=table.column_names)


def _known_spec(project: Project, name: str, found: int) -> IngestionSpec | None:
    try:
        return project.spec(name).spec
    except SettingsError:
        if found:
            return None
        raise


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def cost(project: Project, name: str) -> Answer:
    """Per finished run: what its plan expected and what it took, with the error in percent."""
    project.spec(name)
    rows: list[dict[str, Any]] = []
    for run in project.ledger.runs(name):
        if run.state == "running":
            continue
        rows.append(
            {
                "run_id": run.run_id,
                "lane": run.lane,
                "files": run.files,
                "bytes": run.size_bytes,
                "estimated_usd": _number(run.estimated_usd),
                "actual_usd": _number(run.actual_usd),
                "estimated_seconds": run.estimated_s,
                "actual_seconds": run.actual_s,
                "error_percent": _error(run.estimated_usd, run.actual_usd),
            }
        )
    shown = [
        {
            **row,
            "size": bytes_text(row["bytes"]),
            "estimated": f"{_dollars(row['estimated_usd'])}, {_time(row['estimated_seconds'])}",
            "actual": f"{_dollars(row['actual_usd'])}, {_time(row['actual_seconds'])}",
            "error": "-" if row["error_percent"] is None else f"{row['error_percent']:+,.0f} %",
        }
        for row in rows
    ]
    columns = ["run_id", "lane", "files", "size", "estimated", "actual", "error"]
    return Answer({"ingestion": name, "runs": rows}, shown, columns, "" if rows else "There was no run yet.")


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else seconds_text(seconds)


def _error(estimated: Decimal | None, actual: Decimal | None) -> float | None:
    if estimated is None or actual is None or actual == 0:
        return None
    return round(float((estimated - actual) / actual * 100), 1)


def status(project: Project) -> Answer:
    """Progress of each lane of each ingestion."""
    from autoloader.planner import Asked
    from autoloader.project.looking import history_of, look_at, state_of

    eyes = project.eyes()
    state = state_of(project.ledger)
    found = []
    for loaded in project.specs().ingestions:
        spec = loaded.spec
        recorded = state.recorded(spec)
        row = project.ledger.ingestion(spec.name)
        problem = None
        table = None
        try:
            table = look_at(eyes, spec, recorded, history_of(project.ledger, spec.name), Asked()).files
        except AutoloaderError as error:
            problem = error.what
        due_at = next_due(spec.schedule, recorded.last_run_at if recorded else None, eyes.now)
        lanes = {} if table is None else _lanes(project, spec, row, table)
        found.append(
            {
                "name": spec.name,
                "status": spec.status,
                "table": spec.destination.table,
                "next_due_at": moment(due_at) if spec.schedule is not None else None,
                "last_run_at": moment(recorded.last_run_at) if recorded else None,
                "lanes": lanes,
                "problem": problem,
            }
        )
    shown = [line for each in found for line in _status_lines(each)]
    columns = ["name", "status", "lane", "state", "files", "size", "share", "eta", "next_due_at"]
    title = "" if found else "There is no ingestion yet."
    return Answer({"ingestions": found}, shown, columns, title, spare=["size", "share"])


def _status_lines(each: Mapping[str, Any]) -> list[dict[str, Any]]:
    head = {"name": each["name"], "status": each["status"], "next_due_at": each["next_due_at"]}
    if each["problem"] is not None:
        return [{**head, "state": each["problem"]}]
    return [
        {
            **head,
            "lane": lane,
            "state": data["state"],
            "files": f"{data['files_done']:,}/{data['files_total']:,}",
            "size": f"{bytes_text(data['bytes_done'])}/{bytes_text(data['bytes_total'])}",
            "share": f"{100 * data['files_done'] // data['files_total'] if data['files_total'] else 100} %",
            "eta": data["eta_at"],
        }
        for lane, data in each["lanes"].items()
    ]


def _lanes(project: Project, spec: IngestionSpec, row: IngestionRow | None, files: pa.Table) -> dict[str, Any]:
    """Per lane: what is loaded and what there is to load, by count and bytes, with an ETA from past speed."""
    import pyarrow.compute as pc

    settled = (Disposition.DONE, Disposition.TOUCHED, Disposition.QUARANTINED)
    waiting = (*WORK, Disposition.DEFERRED)
    backfill = pc.or_(pc.fill_null(pc.equal(files["lane"], Lane.BACKFILL.value), False), pc.is_valid(files["slice"]))
    lanes: dict[str, Any] = {}
    for lane, mask in ((Lane.BACKFILL, backfill), (Lane.LIVE, pc.invert(backfill))):
        if lane is Lane.BACKFILL and spec.backfill is None:
            continue
        own = files.filter(mask)
        done = own.filter(pc.is_in(own["disposition"], value_set=_strings(tuple(settled))))
        open_ = own.filter(pc.is_in(own["disposition"], value_set=_strings(tuple(waiting))))
        data = {
            "state": "complete" if open_.num_rows == 0 else "running" if done.num_rows else "pending",
            "files_done": done.num_rows,
            "files_total": done.num_rows + open_.num_rows,
            "bytes_done": _bytes(done),
            "bytes_total": _bytes(done) + _bytes(open_),
            "eta_at": _eta(project, spec.name, lane, _bytes(open_)),
        }
        data["slices"] = _slices(own) if lane is Lane.BACKFILL else None
        if data["slices"] and spec.backfill is not None and spec.backfill.every is not None:
            data["eta_at"] = _paced(spec.backfill.every, data["slices"], row, project.clock(), data["eta_at"])
        if lane is Lane.BACKFILL and row is not None and row.backfill:
            data["completed_at"] = row.backfill.get("complete_at")
        lanes[lane.value] = data
    return lanes


def _bytes(files: pa.Table) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(files["size_bytes"]).as_py() or 0)


def _eta(project: Project, name: str, lane: Lane, open_bytes: int) -> str | None:
    """When the rest would be loaded at the speed of the lane's runs so far; None without any or nothing open."""
    past = [run for run in project.ledger.runs(name, lane=lane.value) if run.actual_s and run.size_bytes]
    if not past or not open_bytes:
        return None
    seconds = open_bytes * sum(run.actual_s or 0 for run in past) / sum(run.size_bytes for run in past)
    return moment(project.clock() + timedelta(seconds=seconds))


def _paced(
    every: str, slices: list[dict[str, Any]], row: IngestionRow | None, now: datetime, eta_at: str | None
) -> str | None:
    """When the last slice may begin, one per period; the time at the speed so far where none is left to begin."""
    from autoloader.planner.rules import after_period

    waiting = sum(1 for each in slices if each["state"] == "pending")
    last = ((row.backfill or {}) if row is not None else {}).get("last_started_at")
    at: datetime | None = datetime.fromisoformat(last) if last else now
    for _ in range(waiting if last else waiting - 1):
        at = None if at is None else after_period(at, every)
    return moment(None if at is None else max(at, now)) if waiting else eta_at


def _slices(files: pa.Table) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in (
        files.select(["slice", "disposition"])
        .group_by(["slice", "disposition"])
        .aggregate([([], "count_all")])
        .to_pylist()
    ):
        if row["slice"] is None:
            continue
        one = found.setdefault(row["slice"], {"slice": row["slice"], "files_done": 0, "files_total": 0})
        if row["disposition"] in {Disposition.DONE, Disposition.TOUCHED, Disposition.QUARANTINED}:
            one["files_done"] += row["count_all"]
        if row["disposition"] in {
            Disposition.DONE,
            Disposition.TOUCHED,
            Disposition.QUARANTINED,
            Disposition.DEFERRED,
            *WORK,
        }:
            one["files_total"] += row["count_all"]
    for one in found.values():
        one["state"] = (
            "complete" if one["files_done"] == one["files_total"] else "running" if one["files_done"] else "pending"
        )
    return [found[label] for label in sorted(found)]
