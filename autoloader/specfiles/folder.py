"""The folder of specs: which files it holds, their text, and the project that they make together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from autoloader.plan import Diagnostic, Severity
from autoloader.spec import IngestionSpec, Settings
from autoloader.specfiles.agreement import check_agreement, check_patterns
from autoloader.specfiles.documents import Document, resolve
from autoloader.specfiles.judge import judge, nearest
from autoloader.specfiles.layers import Variables, read_settings
from autoloader.specfiles.problems import Mark, Problem, SpecErrors
from autoloader.specfiles.yamltree import Node, read_documents

SETTINGS: Final = ("autoloader.yml", "autoloader.yaml")
ENVIRONMENTS: Final = "env"
_ENDINGS: Final = (".yml", ".yaml")
_MAX_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """One ingestion and where its document begins."""

    spec: IngestionSpec
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class ProjectSpecs:
    """Everything that a folder of specs says.

    Attributes:
        settings: The settings, overlay and variables included.
        ingestions: Sorted by name, without regard to case.
        diagnostics: Warnings; errors are raised.
        folder: The folder of specs, absolute.
        project_dir: The folder around it: `.autoloader/` and relative paths start there.
    """

    settings: Settings
    ingestions: tuple[LoadedSpec, ...]
    diagnostics: tuple[Diagnostic, ...]
    folder: Path
    project_dir: Path


@dataclass(slots=True)
class _Reading:
    """What is at hand while a folder is read."""

    folder: Path
    problems: list[Problem] = field(default_factory=list)

    def documents(self, file: Path) -> list[tuple[Node, int]]:
        name = file.as_posix()
        text = _text(file, name, self.problems)
        return list(read_documents(text, name, self.problems)) if text is not None else []

    def single(self, file: Path) -> tuple[Node, int] | None:
        """The one document of a file of settings; None where there is none."""
        found = self.documents(file)
        for node, _ in found[1:]:
            fix = "Settings are one document; ingestions stand in files of their own."
            self.problems.append(Problem(node.mark, "The settings hold a second document.", fix=fix))
        return found[0] if found else None


def load(
    folder: Path,
    *,
    variables: Mapping[str, str] | None = None,
    env: str | None = None,
    environ: Mapping[str, str],
) -> ProjectSpecs:
    """Read and judge every spec of a folder.

    Args:
        folder: The folder of specs.
        variables: `--var` values; they come over every `vars` of a file.
        env: Name of an overlay, `env/<name>.yml` in the folder.
        environ: The environment that `env()` reads.

    Raises:
        SpecErrors: Anything is wrong; every problem of every file, each with its place.
    """
    reading = _Reading(folder)
    files = _spec_files(reading)
    templates = Variables(variables or {}, environ)
    settings = read_settings(_settings_layers(reading, env), templates, reading.problems)
    found: list[tuple[Document, IngestionSpec | None]] = []
    for file in files:
        for node, count in reading.documents(file):
            document = resolve(node, count, templates, reading.problems)
            check_patterns(document, reading.problems)
            found.append((document, judge(IngestionSpec, document, reading.problems)))
    check_agreement([document for document, _ in found], settings, reading.problems)
    if reading.problems or settings is None:
        raise SpecErrors(reading.problems)
    loaded = [LoadedSpec(s, d.mark.file, d.mark.line) for d, s in found if s is not None]
    return ProjectSpecs(
        settings,
        tuple(sorted(loaded, key=lambda one: (one.spec.name.lower(), one.spec.name))),
        () if loaded else (_nothing_yet(folder),),
        folder.resolve(),
        folder.resolve().parent,
    )


def _nothing_yet(folder: Path) -> Diagnostic:
    fix = "Write a file like billing.yml with `name`, `source` and `destination`."
    return Diagnostic(Severity.WARNING, "The folder holds no ingestion.", fix, file=folder.as_posix())


def _spec_files(reading: _Reading) -> list[Path]:
    """Every file of ingestions, sorted; hidden files, settings and overlays left out."""
    folder = reading.folder
    if not folder.is_dir():
        what = "is a file, not a folder." if folder.exists() else "does not exist."
        fix = "Name the folder of specs, or make one:\n    autoloader init"
        raise SpecErrors([Problem(_whole(folder), f"The folder of specs {what}", fix=fix)])
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: _unreadable(error, reading)):
        at_top = Path(parent) == folder
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not (at_top and f == ENVIRONMENTS))
        found += [
            Path(parent, name)
            for name in names
            if name.endswith(_ENDINGS) and not name.startswith(".") and not (at_top and name in SETTINGS)
        ]
    if not found and not reading.problems and not any((folder / name).exists() for name in SETTINGS):
        fix = "Write a file like billing.yml, or start with an example:\n    autoloader init"
        raise SpecErrors([Problem(_whole(folder), "The folder holds no spec (*.yml, *.yaml).", fix=fix)])
    return sorted(found, key=lambda path: path.as_posix())


def _unreadable(error: OSError, reading: _Reading) -> None:
    what = f"The folder cannot be read: {error.strerror}."
    reading.problems.append(Problem(Mark(str(error.filename), 0, 0), what, fix="Check its permissions."))


def _whole(path: Path) -> Mark:
    return Mark(path.as_posix(), 0, 0)


def _text(file: Path, name: str, problems: list[Problem]) -> str | None:
    try:
        if not file.is_file():
            fix = "Take it out of the folder of specs."
            problems.append(Problem(_whole(file), "This is not a regular file.", fix=fix))
            return None
        data = file.read_bytes() if file.stat().st_size <= _MAX_BYTES else None
    except OSError as error:
        what = f"The file cannot be read: {error.strerror}."
        problems.append(Problem(_whole(file), what, fix="Check its permissions."))
        return None
    if data is None:
        problems.append(Problem(_whole(file), "The file is larger than 8 MiB.", fix="Split it."))
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        mark = Mark(name, before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
        problems.append(Problem(mark, "The file is not UTF-8 text.", fix="Save it as UTF-8."))
        return None


def _settings_layers(reading: _Reading, env: str | None) -> list[tuple[Node, int]]:
    """The documents of settings, base first."""
    present = [reading.folder / name for name in SETTINGS if (reading.folder / name).exists()]
    if len(present) > 1:
        what = "There are two files of settings, autoloader.yml and autoloader.yaml."
        reading.problems.append(Problem(_whole(present[1]), what, fix="Keep one of them."))
    files = present[:1]
    if env is not None:
        files += _overlay(reading, env)
    layers = [layer for layer in map(reading.single, files) if layer is not None]
    for node, _ in layers:
        if node.kind != "mapping":
            what = "The settings are not a mapping of keys."
            reading.problems.append(Problem(node.mark, what, fix="Write `key: value` lines."))
    return [layer for layer in layers if layer[0].kind == "mapping"]


def _overlay(reading: _Reading, env: str) -> list[Path]:
    place = reading.folder / ENVIRONMENTS
    safe = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", env) is not None
    found = [place / f"{env}{ending}" for ending in _ENDINGS if safe and (place / f"{env}{ending}").is_file()]
    if not found:
        known = sorted(p.stem for p in place.glob("*.y*ml")) if place.is_dir() else []
        meant = nearest(env, known)
        fix = f"Known: {', '.join(known) or 'none'}." + (f" Did you mean `{meant}`?" if meant else "")
        file = place / f"{env}.yml" if safe else place
        reading.problems.append(Problem(_whole(file), f"There is no overlay for --env {env!r}.", fix=fix))
    return found[:1]
