"""Which Java can run Spark here. Reads the `release` file of each JDK; starts no process."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIN_VERSION: Final = 17
VECTOR_MODULE: Final = "jdk.incubator.vector"

_USUAL: Final = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/opt/java/*",
    "/opt/jdk*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "~/.sdkman/candidates/java/*",
    "~/.jdks/*",
)


@dataclass(frozen=True, slots=True)
class JavaInfo:
    """One Java home.

    Attributes:
        home: The folder above `bin/java`.
        version: The feature release: 8, 11, 17, 21, …
        has_vector: Whether the module that Spark 4 asks for at start is in it.
        found_by: `JAVA_HOME`, `PATH` or the folder it was found in.
    """

    home: Path
    version: int
    has_vector: bool
    found_by: str

    @property
    def is_fit(self) -> bool:
        """Whether Spark 4 starts on it."""
        return self.version >= MIN_VERSION and self.has_vector


def find_java(environ: Mapping[str, str] | None = None) -> JavaInfo | None:
    """The Java to run Spark with: JAVA_HOME's, then PATH's, then the oldest fit one of the usual folders.

    Returns:
        None where no fit Java is found; `all_java` tells what is there instead.
    """
    found = [java for java in all_java(environ) if java.is_fit]
    asked_for = [java for java in found if java.found_by in ("JAVA_HOME", "PATH")]
    ranked = asked_for or sorted(found, key=lambda java: java.version)
    return ranked[0] if ranked else None


def all_java(environ: Mapping[str, str] | None = None) -> tuple[JavaInfo, ...]:
    """Every Java that can be seen, fit or not, each home once, in order of preference."""
    seen: dict[Path, JavaInfo] = {}
    for home, found_by in _homes(os.environ if environ is None else environ):
        real = home.resolve()
        if real not in seen and (info := _inspect(real, found_by)):
            seen[real] = info
    return tuple(seen.values())


def why_none(environ: Mapping[str, str] | None = None) -> str:
    """One sentence for a person: what was found instead of a fit Java."""
    unfit = all_java(environ)
    if not unfit:
        return "No Java was found in JAVA_HOME, on PATH or in the usual folders."
    java = unfit[0]
    if java.version < MIN_VERSION:
        return f"Java {java.version} was found in {java.home}; Spark needs {MIN_VERSION} or newer."
    return f"The Java {java.version} in {java.home} lacks the module {VECTOR_MODULE} that Spark needs."


def _homes(environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    if home := environ.get("JAVA_HOME"):
        yield Path(home), "JAVA_HOME"
    if program := shutil.which("java", path=environ.get("PATH", os.defpath)):
        yield Path(program).resolve().parent.parent, "PATH"
    for pattern in _USUAL:
        expanded = Path(pattern).expanduser()
        anchor = Path(expanded.anchor)
        for folder in sorted(anchor.glob(str(expanded.relative_to(anchor)))):
            yield folder, str(folder.parent)


def _inspect(home: Path, found_by: str) -> JavaInfo | None:
    if not (home / "bin" / "java").exists():
        return None
    try:
        release = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:  # Java 8 of some vendors, or a folder that only looks like one
        return JavaInfo(home, _version_of_name(home.name), False, found_by)
    match = re.search(r'^JAVA_VERSION="([^"]+)"', release, re.MULTILINE)
    modules = re.search(r'^MODULES="([^"]*)"', release, re.MULTILINE)
    has_vector = VECTOR_MODULE in modules[1].split() if modules else _has_jmod(home)
    return JavaInfo(home, _feature(match[1]) if match else 0, has_vector, found_by)


def _has_jmod(home: Path) -> bool:
    return (home / "jmods" / f"{VECTOR_MODULE}.jmod").exists()


def _feature(version: str) -> int:
    """17 of "17.0.15", 8 of "1.8.0_402"."""
    parts = re.findall(r"\d+", version)
    return int(parts[1] if parts[0] == "1" and len(parts) > 1 else parts[0]) if parts else 0


def _version_of_name(name: str) -> int:
    match = re.search(r"(?:1\.)?(\d+)", name)
    return int(match[1]) if match else 0
