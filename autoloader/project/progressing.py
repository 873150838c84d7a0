"""`status`: how far each lane is, held against storage as it is now, or told from the state alone.

What is loaded stands in the state; how much there is to load is what storage shows, for progress is a set
difference. So the totals cost a listing, and without one they are not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import AutoloaderError
from autoloader.inventory import WORK, Disposition, FileState, Lane
from autoloader.project.answer import Answer, moment
from autoloader.render import bytes_text
from autoloader.schedule import next_due

if TYPE_CHECKING:
    import pyarrow as pa

    from autoloader.ledger import IngestionRow
    from autoloader.planner import State
    from autoloader.project.looking import Eyes
    from autoloader.project.project import Project
    from autoloader.spec import IngestionSpec

_AT_ONCE: Final = 4
_SETTLED: Final = (Disposition.DONE, Disposition.TOUCHED, Disposition.QUARANTINED)
_OPEN: Final = (*WORK, Disposition.DEFERRED)


def status(project: Project, *, offline: bool, talk: Callable[[str], None]) -> Answer:
    """Progress of each lane of each ingestion; sources are listed side by side.

    Args:
        project: The project.
        offline: From the state alone: totals, ETA and a lane's state are None where only a listing knows them.
        talk: Told how far the listing is.
    """
    from autoloader.project.looking import state_of

    eyes, state = project.eyes(talk), state_of(project.ledger)
    specs = [loaded.spec for loaded in project.specs().ingestions]
    lanes: list[tuple[dict[str, Any], str | None]]
    if offline:
        lanes = [(_remembered_lanes(project, spec), None) for spec in specs]
    else:
        lanes = _looked_lanes(project, eyes, state, specs)
    found = [_ingestion(eyes, state, spec, *each) for spec, each in zip(specs, lanes, strict=True)]
    shown = [line for each in found for line in _status_lines(each)]
    columns = ["name", "status", "lane", "state", "files", "size", "share", "eta", "next_due_at"]
    title = "" if found else "There is no ingestion yet."
    return Answer({"ingestions": found}, shown, columns, title, spare=["size", "share"])


def _ingestion(
    eyes: Eyes, state: State, spec: IngestionSpec, lanes: dict[str, Any], problem: str | None
) -> dict[str, Any]:
    recorded = state.recorded(spec)
    last_run_at = recorded.last_run_at if recorded is not None else None
    due_at = next_due(spec.schedule, last_run_at, eyes.now)
    return {
        "name": spec.name,
        "status": spec.status,
        "table": spec.destination.table,
        "next_due_at": moment(due_at) if spec.schedule is not None else None,
        "last_run_at": moment(last_run_at),
        "lanes": lanes,
        "problem": problem,
    }


def _looked_lanes(
    project: Project, eyes: Eyes, state: State, specs: Sequence[IngestionSpec]
) -> list[tuple[dict[str, Any], str | None]]:
    """Lanes per ingestion against a fresh listing, or what keeps it from being listed."""
    from autoloader.planner import Asked
    from autoloader.project.looking import history_of, look_at

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        looks = [
            pool.submit(look_at, eyes, spec, state.recorded(spec), history_of(project.ledger, spec.name), Asked())
            for spec in specs
        ]
    found: list[tuple[dict[str, Any], str | None]] = []
    for spec, look in zip(specs, looks, strict=True):
        try:
            found.append((_lanes(project, spec, project.ledger.ingestion(spec.name), look.result().files), None))
        except AutoloaderError as error:
            found.append(({}, error.what))
    return found


def _remembered_lanes(project: Project, spec: IngestionSpec) -> dict[str, Any]:
    """Lanes as the state has them: a backfill as it stood after its last run, and every other file that is loaded."""
    row = project.ledger.ingestion(spec.name)
    progress = (row.backfill if row is not None else None) or {}
    lanes: dict[str, Any] = {}
    if spec.backfill is not None:
        lanes[Lane.BACKFILL.value] = {
            "state": progress.get("state"),
            **{key: progress.get(key) for key in ("files_done", "files_total", "bytes_done", "bytes_total")},
            "files_quarantined": None,
            "eta_at": None,
            "slices": progress.get("slices"),
            "completed_at": progress.get("complete_at"),
        }
    settled = [
        each
        for each in project.ledger.counts(spec.name).to_pylist()
        if each["state"] in {FileState.SUCCESS, FileState.QUARANTINED}
    ]
    aside = sum(each["files"] for each in settled if each["state"] == FileState.QUARANTINED)
    lanes[Lane.LIVE.value] = {
        "state": None,
        "files_done": sum(each["files"] for each in settled) - (progress.get("files_done") or 0),
        "files_total": None,
        "bytes_done": sum(each["size_bytes"] for each in settled) - (progress.get("bytes_done") or 0),
        "bytes_total": None,
        "files_quarantined": None if spec.backfill is not None else aside,
        "eta_at": None,
        "slices": None,
    }
    return lanes


def _status_lines(each: Mapping[str, Any]) -> list[dict[str, Any]]:
    head = {"name": each["name"], "status": each["status"], "next_due_at": each["next_due_at"]}
    if each["problem"] is not None:
        return [{**head, "state": each["problem"]}]
    return [
        {
            **head,
            "lane": lane,
            "state": data["state"],
            "files": _progress(data),
            "size": f"{_size(data['bytes_done'])}/{_size(data['bytes_total'])}",
            "share": _share(data["files_done"], data["files_total"]),
            "eta": data["eta_at"],
        }
        for lane, data in each["lanes"].items()
    ]


def _progress(lane: Mapping[str, Any]) -> str:
    aside = lane["files_quarantined"]
    told = f" ({aside:,} quarantined)" if aside else ""
    return f"{_count(lane['files_done'])}/{_count(lane['files_total'])}{told}"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _size(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else bytes_text(size_bytes)


def _share(done: int | None, total: int | None) -> str | None:
    if done is None or total is None:
        return None
    return f"{100 * done // total if total else 100} %"


def _lanes(project: Project, spec: IngestionSpec, row: IngestionRow | None, files: pa.Table) -> dict[str, Any]:
    """Per lane: what is loaded and what there is to load, by count and bytes, with an ETA from past speed."""
    import pyarrow.compute as pc

    backfill = pc.or_(pc.fill_null(pc.equal(files["lane"], Lane.BACKFILL.value), False), pc.is_valid(files["slice"]))
    lanes: dict[str, Any] = {}
    for lane, mask in ((Lane.BACKFILL, backfill), (Lane.LIVE, pc.invert(backfill))):
        if lane is Lane.BACKFILL and spec.backfill is None:
            continue
        own = files.filter(mask)
        done = own.filter(pc.is_in(own["disposition"], value_set=_strings(_SETTLED)))
        open_ = own.filter(pc.is_in(own["disposition"], value_set=_strings(_OPEN)))
        data = {
            "state": "complete" if open_.num_rows == 0 else "running" if done.num_rows else "pending",
            "files_done": done.num_rows,
            "files_total": done.num_rows + open_.num_rows,
            "bytes_done": _bytes(done),
            "bytes_total": _bytes(done) + _bytes(open_),
            "files_quarantined": _quarantined(done),
            "eta_at": _eta(project, spec.name, lane, _bytes(open_)),
        }
        data["slices"] = _slices(own) if lane is Lane.BACKFILL else None
        if data["slices"] and spec.backfill is not None and spec.backfill.every is not None:
            data["eta_at"] = _paced(spec.backfill.every, data["slices"], row, project.clock(), data["eta_at"])
        if lane is Lane.BACKFILL and row is not None and row.backfill:
            data["completed_at"] = row.backfill.get("complete_at")
        lanes[lane.value] = data
    return lanes


def _quarantined(files: pa.Table) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(pc.equal(files["disposition"], Disposition.QUARANTINED.value)).as_py() or 0)


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
        if row["disposition"] in _SETTLED:
            one["files_done"] += row["count_all"]
        if row["disposition"] in _SETTLED or row["disposition"] in _OPEN:
            one["files_total"] += row["count_all"]
    for one in found.values():
        one["state"] = (
            "complete" if one["files_done"] == one["files_total"] else "running" if one["files_done"] else "pending"
        )
    return [found[label] for label in sorted(found)]


def _strings(values: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    return pa.array(list(values), pa.string())
