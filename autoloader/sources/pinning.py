"""The bytes of one file version at a local path with a harmless name, or an error: never other bytes.

Objects are fetched with If-Match; local files are linked, and looked at before and after. Runs inside Spark
workers: takes only names, finds credentials by the worker's own chain.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from autoloader.errors import SourceError
from autoloader.matching.endings import COMPRESSION_ENDINGS, FORMAT_ENDINGS
from autoloader.sources.address import Address, split
from autoloader.sources.faults import source_error
from autoloader.sources.instants import kept_ns
from autoloader.sources.stores import Storage
from autoloader.sources.transfer import Pin, download, moved

_ENDINGS: Final = frozenset(COMPRESSION_ENDINGS) | {e for ends in FORMAT_ENDINGS.values() for e in ends}


@contextmanager
def pinned(
    uri: str,
    *,
    size_bytes: int,
    modified_at_ns: int | None,
    etag: str | None,
    version_id: str | None,
    storage: Storage,
    workdir: Path,
) -> Iterator[Path]:
    """One file version, readable at a local path while the context lasts.

    The path lies in `workdir` and has letters, digits, `-` and the usual endings only. A local file is a
    symbolic link there, not a copy. Leaving the context removes it.

    Args:
        uri: Canonical URI.
        size_bytes: Of the pinned identity, as all that follow.
        modified_at_ns: Nanoseconds since the epoch; not looked at where an etag or a version id is given.
        etag: Without quotes; None for local files.
        version_id: Of a versioned bucket, where known.
        storage: Per scheme, how to reach it.
        workdir: An existing folder.

    Raises:
        FileMovedError: The file was replaced or is gone (`gone`), found before, while or (local) after reading.
        SourceError: It cannot be read.
    """
    address = split(uri)
    target = workdir / f"{uuid.uuid4().hex}{_harmless_ending(address.key)}"
    try:
        if address.scheme == "file":
            before = _look(address, size_bytes, modified_at_ns)
            target.symlink_to(address.key)
            yield target
            if _look(address, size_bytes, modified_at_ns) != before:
                raise moved(address, gone=False, why="It was replaced while it was read.")
        else:
            download(address, Pin(size_bytes, modified_at_ns, etag, version_id), storage, target)
            yield target
    finally:
        target.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Look:
    device: int
    inode: int
    size_bytes: int
    modified_at_ns: int
    changed_at_ns: int


def _look(address: Address, size_bytes: int, modified_at_ns: int | None) -> _Look:
    try:
        found = Path(address.key).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise moved(address, gone=True) from error
    except OSError as error:
        raise source_error(address.uri, "read", error) from error
    if not stat.S_ISREG(found.st_mode):
        raise moved(address, gone=False, why="It is no regular file any more.")
    if found.st_size != size_bytes:
        raise moved(address, gone=False, why=f"It has {found.st_size:,} bytes, not {size_bytes:,}.")
    if modified_at_ns is not None and kept_ns(found.st_mtime_ns) != modified_at_ns:
        raise moved(address, gone=False, why="Its modification time is another.")
    if not os.access(address.key, os.R_OK, effective_ids=True):
        raise SourceError(f"{address.uri} may not be read by this user.", fix="Grant read permission on it.")
    return _Look(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _harmless_ending(key: str) -> str:
    """The format and compression endings of a key, in lower case; empty if there are none."""
    kept: list[str] = []
    for part in reversed(key.rpartition("/")[2].lower().split(".")[1:]):
        if part not in _ENDINGS or len(kept) == 2:
            break
        kept.insert(0, part)
    return "".join(f".{part}" for part in kept)
