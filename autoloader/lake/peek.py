"""A table's state straight from the embedded catalog: one row of SQLite and one JSON file.

Only for the default kind of catalog (SQL on SQLite, metadata on local disk), and only to read: it
spares a plan the import of PyIceberg and SQLAlchemy (about 1 s of CPU). Everything else, and whatever looks
unusual here, goes through PyIceberg.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from autoloader.loader import local_path

_PREFIXES: Final = ("sqlite:///", "sqlite+pysqlite:///")


class Unfit(Exception):  # noqa: N818 - a signal between two functions of this room, never shown
    """This catalog or table cannot be read this way."""


def sqlite_file(properties: Mapping[str, str]) -> Path | None:
    """The database file of a SQL catalog on SQLite; None for every other catalog."""
    uri = properties.get("uri", "")
    for prefix in _PREFIXES:
        if properties.get("type", "sql") == "sql" and uri.startswith(prefix):
            name = uri.removeprefix(prefix).partition("?")[0]
            return Path(unquote(name)) if name and name != ":memory:" else None
    return None


def table_metadata(file: Path, catalog: str, namespace: str, table: str) -> dict[str, Any] | None:
    """The current metadata of a table as JSON data.

    Returns:
        None when there is no such table, or no catalog yet; nothing is created.

    Raises:
        Unfit: The catalog or the metadata is not as expected; ask PyIceberg.
    """
    import sqlite3

    if not file.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as con:
            row = con.execute(
                "SELECT metadata_location FROM iceberg_tables"
                " WHERE catalog_name = ? AND table_namespace = ? AND table_name = ?",
                (catalog, namespace, table),
            ).fetchone()
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return None
        raise Unfit from error
    if row is None:
        return None
    path = local_path(row[0] or "")
    if path is None:
        raise Unfit
    try:
        data = path.read_bytes()
        found: dict[str, Any] = json.loads(gzip.decompress(data) if path.name.endswith(".gz.metadata.json") else data)
    except (OSError, ValueError) as error:
        raise Unfit from error
    if found.get("format-version") not in (2, 3) or "current-schema-id" not in found:
        raise Unfit
    return found
