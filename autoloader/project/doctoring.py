"""`doctor`: Java, Spark, state, catalog and storage; each looked at, each with its fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import AutoloaderError
from autoloader.project.answer import Answer
from autoloader.render import plural

if TYPE_CHECKING:
    from autoloader.project.project import Project

_WORDS: Final = {True: "ok", False: "FAILS", None: "-"}


def doctor(project: Project) -> Answer:
    """Look at everything that an apply needs; nothing is changed, no engine is started."""
    checks = list(_checks(project))
    healthy = all(check["ok"] for check in checks)
    rows = [{**check, "ok": _WORDS[check["ok"]], "found": _on_one_line(check["found"])} for check in checks]
    closing = [
        f"{check['check']}: {_on_one_line(check['fix'])}" for check in checks if check["fix"] and check["ok"] is False
    ]
    return Answer({"healthy": healthy, "checks": checks}, rows, ["ok", "check", "found"], closing=closing)


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _checks(project: Project) -> Iterator[dict[str, Any]]:
    specs = _check("specs", lambda: f"{plural(len(project.specs().ingestions), 'ingestion')} in {project.place.folder}")
    yield specs
    engine = project.specs().settings.spark.engine if specs["ok"] else "auto"
    yield _java(engine)
    yield _spark(engine)
    if not specs["ok"]:
        found = "not checked: where it is stands in the specs, which have errors"
        yield from (
            {"check": name, "ok": None, "found": found, "fix": None} for name in ("state", "catalog", "sources")
        )
        return
    yield _check("state", lambda: _state(project))
    yield _check("catalog", lambda: _catalog(project))
    for loaded in project.specs().ingestions:
        yield _check(f"source of {loaded.spec.name}", _source_check(project, loaded.spec.source.path))


def _check(name: str, look: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "found": look(), "fix": None}
    except AutoloaderError as error:
        found = " ".join(part for part in (error.what, error.why) if part)
        return {"check": name, "ok": False, "found": found, "fix": error.fix or None}


def _java(wanted: str) -> dict[str, Any]:
    from autoloader.engine import all_java, find_java

    java = find_java()
    if java is not None:
        return {"check": "java", "ok": True, "found": f"Java {java.version} in {java.home}", "fix": None}
    others = ", ".join(f"Java {each.version} in {each.home}" for each in all_java())
    needed = wanted in {"local", "cluster"}
    instead = "" if needed or wanted == "connect" else ": Sail will run the tasks"
    return {
        "check": "java",
        "ok": not needed,
        "found": f"no usable Java 17 or newer{f' (found: {others})' if others else ''}{instead}",
        "fix": "Install a JDK 17+ (or set JAVA_HOME to one), or set spark: {engine: sail}." if needed else None,
    }


def _spark(wanted: str) -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for package in ("pyspark", "pysail"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    extra = "sail" if wanted == "sail" else "spark"
    needed = {"sail": "pysail", "local": "pyspark", "cluster": "pyspark"}.get(wanted, "")
    ok = any(each.startswith(needed) for each in found)
    lacking = f"no {needed}, which engine {wanted} needs" if needed else "neither Spark nor Sail"
    told = ", ".join(found if ok else [*found, lacking])
    return {"check": "spark", "ok": ok, "found": told, "fix": None if ok else f"pip install 'autoloader[{extra}]'"}


def _state(project: Project) -> str:
    ledger = project.ledger
    if not ledger.exists:
        return f"{ledger.label}: not made yet; init or the first apply makes it"
    ledger.check_writable()
    count = plural(len(ledger.ingestions()), "ingestion")
    return f"{ledger.label}: lineage {ledger.lineage}, serial {ledger.serial}, {count}"


def _catalog(project: Project) -> str:
    uri = project.lake.properties.get("uri", "")
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists() and not _has_state(project):
        return "the embedded catalog: not made yet; the first apply makes it"
    return project.lake.check()


def _has_state(project: Project) -> bool:
    """Whether there is a state; what keeps it from telling is the state's own check to say."""
    try:
        return project.ledger.exists
    except AutoloaderError:
        return False


def _source_check(project: Project, path: str) -> Callable[[], str]:
    def look() -> str:
        from autoloader.sources import Source, canonical

        root = canonical(path, project.place.project_dir)
        seen = Source(root, project.specs().settings.storage).peek()
        return f"{root} answers" if seen else f"{root} answers; nothing is there"

    return look
