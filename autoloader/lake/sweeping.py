"""Data files that no snapshot knows: what is left of a batch that was never committed, or of a retried task.

Imports PyIceberg by way of `tables`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyiceberg.catalog import Catalog

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
    known = referenced(table)
    beside = load(catalog, quarantine_name(name))
    formats = [(main, known)]
    formats.append((quarantine_format(catalog, name, main), referenced(beside) if beside else frozenset()))
    return sum(_sweep_one(form, batch_id, keep, storage) for form, keep in formats)


def _sweep_one(form: WriteFormat, batch_id: str, keep: frozenset[str], storage: Mapping[str, Any]) -> int:
    location = form.batch_location(batch_id)
    folder = local_path(location)
    if folder is None:
        listed = sources.Source(location + "/", storage).list().table
        paths = [p for p in listed.column("file_path").to_pylist() if p not in keep]
        if paths:
            sources.delete(paths, storage)
        return len(paths)
    gone = 0
    for path in sorted(folder.rglob("*"), reverse=True) if folder.exists() else ():
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif f"{location}/{path.relative_to(folder)}" not in keep:
            path.unlink()
            gone += 1
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
    return gone
