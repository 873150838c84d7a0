"""What must hold between documents: names, tables, compute profiles; and patterns that must compile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from autoloader.errors import AutoloaderError
from autoloader.spec import Settings
from autoloader.specfiles.documents import Document, Path
from autoloader.specfiles.judge import nearest, path_text, shown
from autoloader.specfiles.problems import Problem


def check_patterns(document: Document, problems: list[Problem]) -> None:
    """Report globs and path dates that cannot be compiled, each at its place."""
    from autoloader.matching import compile_glob, compile_path_date

    for path, compiler in _patterns(document, compile_glob, compile_path_date):
        text = _text(document, path)
        if text is None or not text.strip() or (path[-1] == "path_date" and "{Y}" not in text):
            continue
        try:
            compiler(text)
        except AutoloaderError as error:
            what = f"`{path_text(path)}` cannot be used: {error.what}"
            why = f"It says `{shown(document.written.get(path, text))}`. {error.why}".rstrip()
            problems.append(Problem(document.place(path), what, why, error.fix))


def _patterns(
    document: Document, glob: Callable[[str], Any], path_date: Callable[[str], Any]
) -> Iterator[tuple[Path, Callable[[str], Any]]]:
    for path in document.marks:
        match path:
            case ("source", "include" | "exclude", int()) | ("reingest", int(), "match"):
                yield path, glob
            case ("source", "path_date"):
                yield path, path_date
            case _:
                pass


def check_agreement(documents: Sequence[Document], settings: Settings | None, problems: list[Problem]) -> None:
    """Report names and tables that stand twice, and names of profiles and ingestions that do not fit.

    Works on the documents' data, so that documents which have other problems count, too.
    """
    _once(documents, ("name",), "The name `{}` is taken by another ingestion", "Give it another name.", problems)
    fix = "Give each ingestion a table of its own."
    _once(documents, ("destination", "table"), "Two ingestions write the table `{}`", fix, problems)
    fix = "An ingestion has one successor: take it out of one of them."
    _once(documents, ("previous_name",), "Two ingestions say that they were `{}`", fix, problems)
    names = {text.lower(): d for d in documents if (text := _text(d, ("name",))) is not None}
    for document in documents:
        _check_previous_name(document, names, problems)
        if settings is not None:
            _check_profiles(document, settings, problems)


def _text(document: Document, path: Path) -> str | None:
    value: Any = document.data
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
        else:
            return None
    return value if isinstance(value, str) else None


def _once(documents: Sequence[Document], path: Path, what: str, fix: str, problems: list[Problem]) -> None:
    first: dict[str, Document] = {}
    for document in documents:
        text = _text(document, path)
        if text is None:
            continue
        other = first.setdefault(text.lower(), document)
        if other is not document:
            mark = other.place(path)
            why = f"It stands in {mark.file}:{mark.line}, too; upper and lower case count as the same."
            problems.append(Problem(document.place(path), f"{what.format(shown(text))}.", why, fix))


def _check_previous_name(document: Document, names: dict[str, Document], problems: list[Problem]) -> None:
    previous = _text(document, ("previous_name",))
    other = names.get(previous.lower()) if previous is not None else None
    if previous is None or other is None or other is document:
        return
    mark = other.place(("name",))
    what = f"`previous_name` is `{shown(previous)}`, which is still the name of another ingestion."
    fix = "Take that spec out (it was renamed), or take `previous_name` out."
    problems.append(Problem(document.place(("previous_name",)), what, f"See {mark.file}:{mark.line}.", fix))


def _check_profiles(document: Document, settings: Settings, problems: list[Problem]) -> None:
    known = {"default", *settings.compute}
    for lane in ("live", "backfill"):
        profile = _text(document, ("compute", lane))
        if profile is None or profile in known:
            continue
        meant = nearest(profile, known)
        fix = f"Did you mean `{meant}`?" if meant else "Add it under `compute` in autoloader.yml."
        why = f"Known: {', '.join(sorted(known))}."
        what = f"`compute.{lane}` names the profile `{shown(profile)}`, which the settings do not hold."
        problems.append(Problem(document.place(("compute", lane)), what, why, fix))
