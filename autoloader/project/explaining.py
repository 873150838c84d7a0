"""`why`: which ingestion takes a file, by which rule, what happened to it, and when it will be next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autoloader.errors import AutoloaderError
from autoloader.matching import compile_glob, default_include, is_hidden, matches
from autoloader.project.answer import Answer, moment, rows_of, sentence
from autoloader.render import plural
from autoloader.schedule import next_due
from autoloader.sources import canonical, canonical_file, head

if TYPE_CHECKING:
    from autoloader.planner import State
    from autoloader.project.looking import Eyes
    from autoloader.project.project import Project
    from autoloader.spec import IngestionSpec
    from autoloader.specfiles import LoadedSpec


def why(project: Project, uri: str, talk: Callable[[str], None]) -> Answer:
    """Explain one file.

    Args:
        project: The project.
        uri: Its URI, or a path relative to the project.
        talk: Told how far the listing is.
    """
    from autoloader.project.looking import state_of

    path = canonical_file(uri, project.place.project_dir)
    eyes = project.eyes(talk)
    state = state_of(project.ledger)
    remembered = {row["ingestion"]: row for row in rows_of(project.ledger.find_path(path))}
    exists = _exists(project, path)
    found = []
    for loaded in project.specs().ingestions:
        root = canonical(loaded.spec.source.path, project.place.project_dir)
        if path.startswith(root) or loaded.spec.name in remembered:
            rule = _rule(loaded.spec, path.removeprefix(root)) if path.startswith(root) else None
            one = _explained(project, eyes, state, loaded, path, remembered.get(loaded.spec.name))
            found.append({**one, "rule": rule, "reason": one["reason"] or _not_listed(rule, exists)})
    lines = [line for each in found for line in _lines(each)]
    if not found:
        roots = ", ".join(loaded.spec.source.path for loaded in project.specs().ingestions)
        lines = [f"No ingestion looks there. Sources: {roots or 'none'}."]
    data = {"file_path": path, "exists": exists, "ingestions": found}
    return Answer(data, closing=lines, title=path)


def _exists(project: Project, path: str) -> bool | None:
    try:
        return head(path, project.specs().settings.storage) is not None
    except AutoloaderError:
        return None


def _rule(spec: IngestionSpec, key: str) -> str:
    """What of the spec decides whether a key is taken, in the order in which a plan looks."""
    if is_hidden(key, [compile_glob(pattern) for pattern in spec.source.include or ()]):
        return "hidden"
    patterns = spec.source.include or default_include(spec.source.format)
    taken = next((pattern for pattern in patterns if matches([compile_glob(pattern)], key)), None)
    if taken is None:
        return "no include"
    left_out = next((pattern for pattern in spec.source.exclude if matches([compile_glob(pattern)], key)), None)
    if left_out is not None:
        return f"exclude {left_out}"
    return f"include {taken}" if spec.source.include else "include, by its ending"


def _not_listed(rule: str | None, exists: bool | None) -> str:
    if rule is not None and not rule.startswith("include"):
        return "no pattern takes it"
    match exists:
        case None:
            return "it was not seen, and storage does not say whether it is there"
        case False:
            return "it is not in storage"
        case True:
            return "it was not there when storage was listed"


def _explained(
    project: Project, eyes: Eyes, state: State, loaded: LoadedSpec, path: str, row: dict[str, Any] | None
) -> dict[str, Any]:
    import pyarrow.compute as pc

    from autoloader.planner import Asked
    from autoloader.project.looking import history_of, look_at

    spec = loaded.spec
    recorded = state.recorded(spec)
    looked = look_at(eyes, spec, recorded, history_of(project.ledger, spec.name), Asked())
    mine = rows_of(looked.files.filter(pc.equal(looked.files["file_path"], path)))
    versions = rows_of(project.ledger.versions(spec.name, file_path=path))
    due_at = next_due(spec.schedule, recorded.last_run_at if recorded else None, eyes.now)
    return {
        "ingestion": spec.name,
        "table": spec.destination.table,
        "status": spec.status,
        "disposition": mine[0]["disposition"] if mine else None,
        "reason": mine[0]["reason"] if mine else None,
        "lane": mine[0]["lane"] if mine else None,
        "slice": mine[0]["slice"] if mine else None,
        "state": row["state"] if row else None,
        "error": row["error"] if row else None,
        "rows": row["rows"] if row else None,
        "next_attempt_at": moment(row["next_attempt_at"]) if row else None,
        "next_due_at": moment(due_at) if spec.schedule is not None else None,
        "history": [
            {
                "src_file_id": version["src_file_id"],
                "batch": version["batch"],
                "state": version["state"],
                "rows": version["rows"],
                "error": version["error"],
                "processed_at": moment(version["processed_at"]),
            }
            for version in versions
        ],
        "problems": [message for where, message in looked.problems if where == path],
    }


def _lines(each: dict[str, Any]) -> list[str]:
    lane = f", lane {each['lane']}" if each["lane"] else ""
    taken = each["disposition"] or "not taken"
    lines = [f"{each['ingestion']} -> {each['table']}: {taken}{lane}: {sentence(each['reason'])}"]
    lines += [f"  rule: {each['rule']}"] if each["rule"] else []
    lines += [f"  {problem}" for problem in each["problems"]]
    for version in each["history"]:
        rows = f", {plural(version['rows'], 'row')}" if version["rows"] is not None else ""
        error = f": {sentence(version['error'])}" if version["error"] else ""
        when = version["processed_at"] or "not finished"
        lines.append(f"  {when}  {version['state']}{rows}, batch {version['batch']}{error}")
    if each["next_attempt_at"]:
        lines.append(f"  next attempt not before {each['next_attempt_at']}")
    if each["next_due_at"]:
        lines.append(f"  next due {each['next_due_at']}")
    return lines
