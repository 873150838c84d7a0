"""Google Cloud Storage and Azure: listed by obstore, as Arrow.

obstore drops a key's trailing slash, so an empty object may be a folder marker: each is asked for by name.
It cannot represent keys with `//`, `.` or `..` parts or control characters: such a key is an error that
names it, never a short list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.inventory import INSTANT, LISTING
from autoloader.matching import FolderFilter, Verdict
from autoloader.sources.faults import source_error
from autoloader.sources.outcome import Found

if TYPE_CHECKING:
    from obstore.store import ObjectStore

WORKERS: Final = 16
CHUNK: Final = 5000


def list_objects(
    store: ObjectStore,
    start: str,
    root: str,
    prefixes: Sequence[str],
    *,
    skip: FolderFilter | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Found:
    """List the objects of a bucket or container below a root.

    Args:
        store: Of obstore.
        start: Canonical URI of the bucket, ending in '/'.
        root: Key of the source's root; empty, or ends in '/'.
        prefixes: Below the root, none a prefix of another; may end inside a name.
        skip: Folders right below a prefix's folder that it rules out are not listed.
        on_progress: Told the number of keys so far.

    Raises:
        SourceError: The listing could not be completed.
    """
    import obstore
    from obstore.exceptions import BaseError

    tables: list[pa.Table] = []
    try:
        folders, loose = _folders(store, root, prefixes, skip)
        tables.extend(loose)
        requests = len(folders) + len(loose)
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="list") as pool:
            for table in pool.map(
                lambda folder: _collect(obstore.list(store, folder or None, chunk_size=CHUNK, return_arrow=True)),
                folders,
            ):
                tables.append(table)
                requests += table.num_rows // 1000
                if on_progress is not None:
                    on_progress(sum(t.num_rows for t in tables))
        found = pa.concat_tables(tables) if tables else _empty()
        files = found.filter(pc.invert(_markers(store, found)))
    except (BaseError, OSError) as error:
        raise source_error(start + root, "listed", error) from error
    wanted = _below(files, tuple(root + prefix for prefix in prefixes))
    return Found(_listing(wanted, start, root), (), requests)


def peek_objects(store: ObjectStore, start: str, root: str) -> int:
    """Objects on the first page of a listing; raises as `list_objects`."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        first = next(iter(obstore.list(store, root or None, chunk_size=1000, return_arrow=True)), None)
    except (BaseError, OSError) as error:
        raise source_error(start + root, "listed", error) from error
    return 0 if first is None else int(pa.table(first).num_rows)


def _folders(
    store: ObjectStore, root: str, prefixes: Sequence[str], skip: FolderFilter | None
) -> tuple[list[str], list[pa.Table]]:
    """Whole folders to list, without overlap, and the files that lie beside those that were judged."""
    import obstore

    whole = sorted({(root + prefix).rpartition("/")[0] for prefix in prefixes})
    minimal: list[str] = []
    for folder in whole:
        if not any(above == "" or folder.startswith(f"{above}/") for above in minimal):
            minimal.append(folder)
    if skip is None:
        return minimal, []
    kept: list[str] = []
    loose: list[pa.Table] = []
    for folder in minimal:
        level = obstore.list_with_delimiter(store, folder or None, return_arrow=True)
        loose.append(_trim(pa.table(level["objects"])))
        kept += [below for below in level["common_prefixes"] if skip(f"{below}/"[len(root) :]) is not Verdict.SKIP]
    return kept, loose


def _collect(stream: Any) -> pa.Table:
    batches = [_trim(pa.table(batch)) for batch in stream]
    return pa.concat_tables(batches) if batches else _empty()


def _trim(table: pa.Table) -> pa.Table:
    etags = pc.utf8_trim(table["e_tag"].cast(pa.string()), '"')
    return pa.table(
        {
            "path": table["path"].cast(pa.string()),
            "size_bytes": table["size"].cast(pa.int64()),
            "modified_at": table["last_modified"].cast(INSTANT),
            "etag": etags,
            "version_id": table["version"].cast(pa.string()),
        }
    )


def _empty() -> pa.Table:
    names = ("path", "size_bytes", "modified_at", "etag", "version_id")
    kinds = (pa.string(), pa.int64(), INSTANT, pa.string(), pa.string())
    return pa.schema(list(zip(names, kinds, strict=True))).empty_table()


def _markers(store: ObjectStore, found: pa.Table) -> pa.Array:
    """Which rows are folder markers: empty, and not there under the name without its slash."""
    import obstore

    empty = found.filter(pc.equal(found["size_bytes"], 0))["path"].to_pylist()

    def is_marker(path: str) -> bool:
        try:
            obstore.head(store, path)
        except FileNotFoundError:
            return True
        return False

    with ThreadPoolExecutor(WORKERS) as pool:
        markers = [path for path, marker in zip(empty, pool.map(is_marker, empty), strict=True) if marker]
    return pc.is_in(found["path"], pa.array(markers, pa.string()))


def _below(files: pa.Table, prefixes: tuple[str, ...]) -> pa.Table:
    keep = pa.array([False] * files.num_rows)
    for prefix in prefixes:
        keep = pc.or_(keep, pc.starts_with(files["path"], prefix))
    return files.filter(keep)


def _listing(files: pa.Table, start: str, root: str) -> pa.Table:
    keys = files["path"]
    columns = [
        pc.binary_join_element_wise(pa.scalar(start), keys, ""),
        pc.utf8_slice_codeunits(keys, len(root)) if root else keys,
        *(files[name] for name in ("size_bytes", "modified_at", "etag", "version_id")),
    ]
    return pa.Table.from_arrays(columns, schema=LISTING)
