"""Data files that no snapshot knows: what is left of a batch that was never committed, or of a retried task.

Imports PyIceberg by way of `tables`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from autoloader import sources
from autoloader.lake.state import quarantine_name
from autoloader.lake.tables import load, quarantine_format, referenced, write_format
from autoloader.loader import WriteFormat, local_path


def sweep(catalog: Catalog, name: str, batch_id: str, storage: Mapping[str, Any]) -> int:
    """Delete the files below a batch's folders that are in no snapshot; how many there were."""
    table = load(catalog, name)
    if table is None:
        return 0
    main = write_format(table)
    gone = _sweep_one(main, batch_id, table, storage)
    beside = load(catalog, quarantine_name(name))
    return gone + _sweep_one(quarantine_format(catalog, name, main), batch_id, beside, storage)


def _sweep_one(form: WriteFormat, batch_id: str, table: Table | None, storage: Mapping[str, Any]) -> int:
    location = form.batch_location(batch_id)
    folder = local_path(location)
    if folder is not None:
        return _sweep_folder(folder, location, table)
    paths = sources.Source(_canonical(location + "/"), storage).list().table.column("file_path").to_pylist()
    known = {_canonical(path) for path in _known(table)} if paths else frozenset()
    left = [path for path in paths if path not in known]
    if left:
        sources.delete(left, storage)
    return len(left)


def _canonical(path: str) -> str:
    """A path as listings spell it; the table may say `s3a://`."""
    return path.replace("s3a://", "s3://", 1) if path.startswith("s3a://") else path.replace("s3n://", "s3://", 1)


def _sweep_folder(folder: Path, location: str, table: Table | None) -> int:
    found = sorted(folder.rglob("*"), reverse=True) if folder.exists() else []
    known = _known(table) if any(not path.is_dir() for path in found) else frozenset()
    gone = 0
    for path in found:
        if path.is_dir():
            _remove_empty(path)
        elif f"{location}/{path.relative_to(folder)}" not in known:
            path.unlink(missing_ok=True)
            gone += 1
    _remove_empty(folder)
    return gone


def _remove_empty(folder: Path) -> None:
    """Another worker may be sweeping here, too; a folder that is not empty stays."""
    with suppress(OSError):
        folder.rmdir()


def _known(table: Table | None) -> frozenset[str]:
    """Asked only where there are files: it reads every manifest of the table."""
    return frozenset() if table is None else referenced(table)
