"""What the ledger knows: runs, one run, files, costs."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from autoloader.cost import money
from autoloader.errors import SettingsError
from autoloader.inventory import FileState
from autoloader.matching import compile_glob, matches
from autoloader.project.answer import Answer, moment, rows_of, sentence
from autoloader.project.rejecting import ASKED_FILES, rejected_data, rejected_lines
from autoloader.render import bytes_text, plural, seconds_text
from autoloader.sources import canonical

if TYPE_CHECKING:
    import pyarrow as pa

    from autoloader.ledger import RunRow
    from autoloader.project.project import Project
    from autoloader.spec import IngestionSpec


MOST_PROBLEMS: Final = 100
"""Files that were not loaded, that `show` tells by name, per batch."""


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
    bad = [_bad(project.ledger.versions(run.ingestion, batch_id=batch.batch_id)) for batch in batches]
    data["problems"] = [row for each in bad for row in each.slice(0, MOST_PROBLEMS).to_pylist()]
    title = (
        f"Run {run.run_id} of {run.ingestion} ({run.lane}): {run.state}, {plural(run.files, 'file')},"
        f" {plural(run.rows, 'row')}, {bytes_text(run.size_bytes)}"
    )
    closing = [f"Not loaded: {row['file_path']}: {sentence(row['error'] or row['state'])}" for row in data["problems"]]
    unshown = sum(each.num_rows for each in bad) - len(data["problems"])
    if unshown:
        closing.append(f"{plural(unshown, 'more file')} not loaded, not shown here: autoloader files {run.ingestion}")
    if run.rejected_rows:
        data |= rejected_data(project, run.ingestion, [batch.batch_id for batch in batches])
        closing += rejected_lines(data, run.rejected_rows)
    columns = ["batch_id", "state", "files", "rows", "rejected_rows", "snapshot_id"]
    # ids are names, not numbers: without separators
    shown = [{**each, "snapshot_id": each["snapshot_id"] and str(each["snapshot_id"])} for each in data["batches"]]
    return Answer(data, shown, columns, title, closing, spare=["rejected_rows", "state"])


def _bad(versions: pa.Table) -> pa.Table:
    """Versions of files that were not loaded: `file_path, state, error`."""
    import pyarrow.compute as pc

    bad = versions.filter(pc.invert(pc.is_in(versions["state"], value_set=_strings(("SUCCESS", "DELETED")))))
    return bad.select(["file_path", "state", "error"])


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

    Raises:
        SettingsError: There is no such ingestion or state, or the glob is malformed.
    """
    if state is not None and state.upper() not in {each.value for each in FileState}:
        raise SettingsError(f"There is no state {state!r}.", fix=f"There are: {', '.join(FileState)}.")
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
    found: dict[str, Any] = {"files": data}
    rejecting = [row for row in data if row["rejected_rows"] or row["state"] == FileState.QUARANTINED]
    if rejecting:
        chosen = rejecting[:ASKED_FILES] if state or match else []
        found |= rejected_data(project, name, [r["batch"] for r in chosen], [r["file_path"] for r in chosen])
        if chosen and found["rejected"]:
            closing += rejected_lines(found, None)
        elif not chosen and found["quarantine_table"]:
            closing.append(
                f"Rejected rows are in {found['quarantine_table']}; some of them: autoloader files {name} --match GLOB"
            )
    return Answer(found, shown, columns, title, closing, header=table.column_names)


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
    """Per finished run: what its plan expected and what it took, with the errors of money and of time in percent."""
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
                "time_error_percent": _error(run.estimated_s, run.actual_s),
            }
        )
    shown = [
        {
            **row,
            "size": bytes_text(row["bytes"]),
            "estimated": f"{_dollars(row['estimated_usd'])}, {_time(row['estimated_seconds'])}",
            "actual": f"{_dollars(row['actual_usd'])}, {_time(row['actual_seconds'])}",
            "cost error": _signed(row["error_percent"]),
            "time error": _signed(row["time_error_percent"]),
        }
        for row in rows
    ]
    columns = ["run_id", "lane", "files", "size", "estimated", "actual", "cost error", "time error"]
    return Answer({"ingestion": name, "runs": rows}, shown, columns, "" if rows else "There was no run yet.")


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else seconds_text(seconds)


def _signed(percent: float | None) -> str:
    return "-" if percent is None else f"{round(percent) or 0:+,} %".replace("+0 %", "0 %")


def _error(estimated: Decimal | float | None, actual: Decimal | float | None) -> float | None:
    if estimated is None or actual is None or actual == 0:
        return None
    return round((float(estimated) - float(actual)) / float(actual) * 100, 1)
