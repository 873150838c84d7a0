"""Single files: what they are now; and data files of tables: fetched, put, deleted."""

from __future__ import annotations

import shutil
import stat
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from autoloader.errors import SourceError
from autoloader.inventory import INSTANT
from autoloader.sources.address import Address, split
from autoloader.sources.faults import source_error
from autoloader.sources.instants import kept_ns
from autoloader.sources.stores import Storage, store_for
from autoloader.sources.transfer import Meta, download, meta_of, moved

WORKERS: Final = 16

HEADS: Final = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False),
        pa.field("found", pa.bool_(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("modified_at", INSTANT),
        pa.field("etag", pa.string()),
        pa.field("version_id", pa.string()),
    ]
)


def head(uri: str, storage: Storage) -> dict[str, Any] | None:
    """What a file is now: `size_bytes`, `modified_at_ns`, `etag`, `version_id`; None if it is gone.

    An object's time has the precision of HTTP, a second; identity goes by its etag.

    Raises:
        SourceError: The storage does not say.
    """
    meta = _meta(uri, storage)
    if meta is None:
        return None
    return {
        "size_bytes": meta.size_bytes,
        "modified_at_ns": meta.modified_at_ns,
        "etag": meta.etag,
        "version_id": meta.version_id,
    }


def head_many(uris: Sequence[str], storage: Storage) -> pa.Table:
    """What many files are now, as `HEADS`: one row per URI in the given order, `found` false for those gone.

    Raises:
        SourceError: The storage does not say, of any of them.
    """
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="head") as pool:
        metas = list(pool.map(lambda uri: _meta(uri, storage), uris))
    return pa.Table.from_arrays(
        [
            pa.array(uris, pa.string()),
            pa.array([meta is not None for meta in metas], pa.bool_()),
            pa.array([meta and meta.size_bytes for meta in metas], pa.int64()),
            pa.array([meta and meta.modified_at_ns for meta in metas], pa.int64()).cast(INSTANT),
            pa.array([meta and meta.etag for meta in metas], pa.string()),
            pa.array([meta and meta.version_id for meta in metas], pa.string()),
        ],
        schema=HEADS,
    )


def exists(uri: str, storage: Storage) -> bool:
    """Whether there is a file at the URI.

    Raises:
        SourceError: The storage does not say.
    """
    return _meta(uri, storage) is not None


def get(uri: str, storage: Storage, dest: Path) -> Path:
    """Copy a file, as it is now, to a local path, and return that path.

    Raises:
        FileMovedError: It is gone.
        SourceError: It cannot be read.
    """
    address = split(uri)
    if address.scheme != "file":
        download(address, None, storage, dest)
        return dest
    try:
        shutil.copyfile(address.key, dest)
    except FileNotFoundError as error:
        raise moved(address, gone=True) from error
    except OSError as error:
        raise source_error(uri, "read", error) from error
    return dest


def put(local: Path, uri: str, storage: Storage) -> None:
    """Write a local file to a URI whole or not at all; large objects go in parts.

    Raises:
        SourceError: It could not be written.
    """
    address = split(uri)
    try:
        if address.scheme == "file":
            _put_local(local, Path(address.key))
            return
        import obstore

        obstore.put(store_for(address, storage), address.key, local)
    except Exception as error:
        raise source_error(uri, "written", error) from error


def delete(uris: Iterable[str], storage: Storage) -> None:
    """Delete files; those that are gone already are no error.

    Raises:
        SourceError: One could not be deleted; others may have been.
    """
    buckets: defaultdict[tuple[str, str], list[Address]] = defaultdict(list)
    for address in map(split, uris):
        buckets[address.scheme, address.bucket].append(address)
    for (scheme, _), addresses in buckets.items():
        try:
            if scheme == "file":
                for address in addresses:
                    Path(address.key).unlink(missing_ok=True)
            else:
                _delete_objects(addresses, storage)
        except Exception as error:
            raise source_error(addresses[0].uri, "deleted", error) from error


def _delete_objects(addresses: Sequence[Address], storage: Storage) -> None:
    import obstore

    store = store_for(addresses[0], storage)
    try:
        obstore.delete(store, [address.key for address in addresses])
    except FileNotFoundError:
        for address in addresses:  # a storage that minds: one by one
            try:
                obstore.delete(store, address.key)
            except FileNotFoundError:
                continue


def _put_local(local: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        shutil.copyfile(local, aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _meta(uri: str, storage: Storage) -> Meta | None:
    address = split(uri)
    if address.scheme != "file":
        return meta_of(address, storage)
    try:
        found = Path(address.key).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise source_error(uri, "read", error) from error
    if stat.S_ISDIR(found.st_mode):
        return None
    if not stat.S_ISREG(found.st_mode):
        raise SourceError(f"{uri} is not a file.")
    return Meta(found.st_size, kept_ns(found.st_mtime_ns), None, None)
