"""Local folders: our own walk into columns, as quick as `os.scandir` and `stat` themselves.

obstore's local store is not used: it cannot represent every name, rounds times to microseconds, and stops
at the first thing that it cannot read. What is there and is no readable file is reported, never skipped in
silence; symbolic links are followed, loops are not.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.errors import SourceError
from autoloader.inventory import INSTANT, LISTING
from autoloader.matching import FolderFilter, Verdict
from autoloader.sources.address import shown
from autoloader.sources.instants import kept_ns
from autoloader.sources.outcome import Found, Problem

PROGRESS_EVERY_S: Final = 0.2
_A_PAGE: Final = 1000

_KINDS: Final = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"))
_REMOVE: Final = (
    "If files that were loaded from there are gone for good, remove it: until then they do not count as deleted."
)
_REMOVE_LINK: Final = _REMOVE.replace("remove it", "remove the link")
_VANISHED: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


@dataclass(slots=True)
class _Walk:
    root: str  # absolute path ending in '/'
    skip: FolderFilter | None
    on_progress: Callable[[int], None] | None
    keys: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    problems: list[Problem] = field(default_factory=list)
    check_access: bool = field(default_factory=lambda: os.geteuid() != 0)
    told_at: float = 0.0

    def problem(self, key: str, message: str, *, unlisted: bool = False) -> None:
        self.problems.append(Problem(shown(f"file://{self.root}{key}"), message, unlisted))

    def add(self, key: str, found: os.stat_result) -> None:
        self.keys.append(key)
        self.sizes.append(found.st_size)
        try:
            self.times.append(found.st_mtime_ns)
        except OverflowError:
            self.times.append(kept_ns(found.st_mtime_ns))
        if (
            self.check_access
            and not found.st_mode & stat.S_IROTH
            and not os.access(self.root + key, os.R_OK, effective_ids=True)
        ):
            self.problem(key, "It may not be read by this user; loading it will fail.")

    def tell(self) -> None:
        if self.on_progress is not None and time.monotonic() - self.told_at > PROGRESS_EVERY_S:
            self.told_at = time.monotonic()
            self.on_progress(len(self.keys))


@dataclass(frozen=True, slots=True)
class _Folder:
    key: str  # ends in '/', or empty
    crossed: tuple[str, ...]  # real paths of the folders in which a link was followed to get here
    judged: bool  # False: everything below is taken


def list_local(
    root: str,
    prefixes: Sequence[str],
    *,
    skip: FolderFilter | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Found:
    """List the regular files below a folder, links followed.

    Args:
        root: Absolute path ending in '/'.
        prefixes: None a prefix of another; may end inside a name.
        skip: Folders that it rules out are not entered.
        on_progress: Told the number of files so far, a few times a second.

    Raises:
        SourceError: The root is missing, no folder or not readable, or the disk fails.
    """
    before = _check_root(root)
    walk = _Walk(root, skip, on_progress)
    for prefix in prefixes:
        folder, _, name = prefix.rpartition("/")
        if any(part in ("", ".", "..") for part in folder.split("/")) and folder:
            continue  # no local file has such a path
        start = _Folder(f"{folder}/" if folder else "", (), judged=skip is not None)
        pending = [start]
        if not Path(root + start.key).is_dir():
            continue
        _scan(walk, pending.pop(), pending, name)
        while pending:
            _scan(walk, pending.pop(), pending, "")
            walk.tell()
    if _check_root(root) != before:
        raise SourceError(
            f"The folder file://{root} was replaced while it was listed.", fix="Check the mount and try again."
        )
    if on_progress is not None:
        on_progress(len(walk.keys))
    return Found(_table(walk), tuple(sorted(walk.problems, key=lambda p: p.path)), 0)


def peek_local(root: str) -> int:
    """Entries right in the folder, at most a thousand; raises as `list_local`."""
    _check_root(root)
    with os.scandir(root) as entries:
        return sum(1 for _ in islice(entries, _A_PAGE))


def _check_root(root: str) -> tuple[int, int]:
    """Device and inode of a folder that can be listed."""
    uri = f"file://{root}"
    try:
        with os.scandir(root):
            found = Path(root).stat()
            return found.st_dev, found.st_ino
    except FileNotFoundError as error:
        raise SourceError(f"The folder {uri} does not exist.", fix="Create it, or correct source.path.") from error
    except NotADirectoryError as error:
        raise SourceError(
            f"{uri} is not a folder.", fix="Name the folder in source.path, and the file in source.include."
        ) from error
    except PermissionError as error:
        raise SourceError(
            f"The folder {uri} may not be listed by this user.", fix="Grant read and execute on it."
        ) from error
    except OSError as error:
        raise SourceError(f"The folder {uri} could not be listed.", why=str(error)) from error


def _scan(walk: _Walk, folder: _Folder, pending: list[_Folder], begins: str) -> None:
    """One folder: its files into the columns, its folders onto the stack."""
    base = folder.key
    try:
        with os.scandir(walk.root + base) as entries:
            for entry in entries:
                if begins and not entry.name.startswith(begins):
                    continue
                try:
                    if entry.is_file(follow_symlinks=False):
                        walk.add(base + entry.name, entry.stat(follow_symlinks=False))
                    elif entry.is_dir(follow_symlinks=False):
                        _enter(walk, folder, f"{base}{entry.name}/", folder.crossed, pending)
                    else:
                        _odd(walk, folder, base + entry.name, pending)
                except FileNotFoundError:
                    continue  # deleted since its name was read
    except PermissionError:
        walk.problem(base, "This user may not list the folder; files below it are unknown.", unlisted=True)
    except OSError as error:
        if error.errno in _VANISHED and base:
            return  # deleted since its name was read
        raise SourceError(
            f"The folder file://{shown(walk.root + base)} could not be listed completely.",
            why=str(error),
            fix="Check the disk or the mount; nothing was changed.",
        ) from error


def _enter(walk: _Walk, parent: _Folder, key: str, crossed: tuple[str, ...], pending: list[_Folder]) -> None:
    judged = parent.judged
    if judged and walk.skip is not None:
        verdict = walk.skip(key)
        if verdict is Verdict.SKIP:
            return
        judged = verdict is Verdict.LOOK
    pending.append(_Folder(key, crossed, judged))


def _odd(walk: _Walk, folder: _Folder, key: str, pending: list[_Folder]) -> None:
    """A link, or something that is neither file nor folder."""
    path = walk.root + key
    try:
        found = Path(path).stat()
    except OSError as error:
        if not Path(path).is_symlink():
            raise
        why = "goes in a circle" if error.errno == errno.ELOOP else "leads nowhere"
        if isinstance(error, PermissionError):
            why = "leads to where this user may not look"
        # a volume that is not mounted looks like that
        walk.problem(key, f"The symbolic link {why}. {_REMOVE_LINK}", unlisted=True)
        return
    if stat.S_ISREG(found.st_mode):
        walk.add(key, found)
    elif stat.S_ISDIR(found.st_mode):
        target, here = os.path.realpath(path), os.path.realpath(walk.root + folder.key)
        crossed = (*folder.crossed, here)
        if any(f"{place}/".startswith(f"{target.rstrip('/')}/") for place in crossed):
            why = f"The symbolic link leads back to a folder that holds it; it is not followed. {_REMOVE_LINK}"
            walk.problem(key, why, unlisted=True)
        else:
            _enter(walk, folder, f"{key}/", crossed, pending)
    else:
        kind = next((name for test, name in _KINDS if test(found.st_mode)), "a device")
        walk.problem(key, f"It is {kind}, not a file. {_REMOVE}", unlisted=True)


def _table(walk: _Walk) -> pa.Table:
    try:
        keys = pa.array(walk.keys, pa.string())
    except UnicodeEncodeError:
        keys = _without_odd_names(walk)
    root = pa.scalar(f"file://{walk.root}")
    nothing = pa.nulls(len(keys), pa.string())
    return pa.Table.from_arrays(
        [
            pc.binary_join_element_wise(root, keys, ""),
            keys,
            pa.Array.from_buffers(pa.int64(), len(keys), [None, pa.py_buffer(walk.sizes)]),
            pa.Array.from_buffers(INSTANT, len(keys), [None, pa.py_buffer(walk.times)]),
            nothing,
            nothing,
        ],
        schema=LISTING,
    )


def _without_odd_names(walk: _Walk) -> pa.Array:
    """Take names that are not UTF-8 out of the columns: no text, ledger or table could hold them."""
    good: list[int] = []
    for at, key in enumerate(walk.keys):
        try:
            key.encode()
            good.append(at)
        except UnicodeEncodeError:
            walk.problem(key, "Its name is not UTF-8; rename it to load it.")
    walk.sizes = array("q", (walk.sizes[at] for at in good))
    walk.times = array("q", (walk.times[at] for at in good))
    return pa.array([walk.keys[at] for at in good], pa.string())
