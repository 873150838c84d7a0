"""`why`: which ingestion takes a file, by which rule, what happened to it, and when it will be next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoloader.errors import AutoloaderError
from autoloader.project.answer import Answer, moment, rows_of, sentence
from autoloader.schedule import next_due
from autoloader.sources import canonical, canonical_file, head

if TYPE_CHECKING:
    from autoloader.planner import State
    from autoloader.project.looking import Eyes
    from autoloader.project.project import Project
    from autoloader.specfiles import LoadedSpec


def why(project: Project, uri: str) -> Answer:
    """Explain one file.

    Args:
        project: The project.
        uri: Its URI, or a path relative to the project.
    """
    from autoloader.project.looking import state_of

    path = canonical_file(uri, project.place.project_dir)
    eyes = project.eyes()
    state = state_of(project.ledger)
    remembered = {row["ingestion"]: row for row in rows_of(project.ledger.find_path(path))}
    found = []
    for loaded in project.specs().ingestions:
        root = canonical(loaded.spec.source.path, project.place.project_dir)
        if path.startswith(root) or loaded.spec.name in remembered:
            found.append(_explained(project, eyes, state, loaded, path, remembered.get(loaded.spec.name)))
    taken = each["disposition"] or "not taken"
    lines = [f"{each['ingestion']} -> {each['table']}: {taken}{lane}: {sentence(each['reason'])}"]
    lines += [f"  {problem}" for problem in each["problems"]]
    for version in each["history"]:
        rows = f", {version['rows']:,} rows" if version["rows"] is not None else ""
        error = f": {sentence(version['error'])}" if version["error"] else ""
        when = version["processed_at"] or "not finished"
        lines.append(f"  {when}  {version['state']}{rows}, batch {version['batch']}{error}")
    if each["next_attempt_at"]:
        lines.append(f"  next attempt not before {each['next_attempt_at']}")
    if each["next_due_at"]:
        lines.append(f"  next due {each['next_due_at']}")
    return lines
