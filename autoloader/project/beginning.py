"""`init`: settings, an example that does nothing, and the state with its lineage id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import SettingsError

if TYPE_CHECKING:
    from autoloader.project.project import Project

SETTINGS: Final = """\
# The project's settings. Everything that is left out has a default: state and catalog are SQLite files
# in .autoloader/, beside this folder.
#
# state: postgresql+psycopg://user@host/autoloader     # for teams; or set AUTOLOADER_STATE
# catalog: {type: rest, uri: "https://catalog.example.com"}
# spark: {engine: auto}                                # auto | local | cluster | connect | sail
# storage: {s3: {region: eu-central-1}}
# vars: {bucket: my-bucket}
# guardrails: {max_usd: {warn: 10, deny: 100}}
{}
"""
EXAMPLE: Final = """\
# One document per ingestion. Three keys make one; take the hashes away and set your own path and table.
#
# name: billing
# source: {path: "s3://my-bucket/billing/"}
# destination: {table: finops.billing}
"""


def begin(kind: type[Project], folder: Path, others: Mapping[str, Any]) -> list[str]:
    """Make what is missing.

    Args:
        kind: `Project`.
        folder: The folder of specs.
        others: What else names the project: `env`, `variables`.

    Returns:
        One line per thing, made or found.

    Raises:
        SettingsError: The folder cannot be made.
        LedgerError: The state cannot be made.
    """
    lines = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("autoloader.yml", SETTINGS), ("example.yml", EXAMPLE)):
            lines.append(_write(folder, name, text))
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written.", why=str(error)) from error
    project = kind(folder, **others)
    known = project.ledger.exists
    project.ledger.init()
    verb = "is there" if known else "made"
    lines.append(f"{verb}: state {project.ledger.label}, lineage {project.ledger.lineage}")
    return [line for line in lines if line]


def _write(folder: Path, name: str, text: str) -> str:
    target = folder / name
    if target.exists():
        return f"is there: {target}"
    if name == "example.yml" and any(
        p.suffix in {".yml", ".yaml"} and p.name != "autoloader.yml" for p in folder.rglob("*")
    ):
        return ""
    target.write_text(text, encoding="utf-8")
    return f"made: {target}"
