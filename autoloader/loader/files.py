"""The files of one task, pinned: fetched ahead where that is worth it, each failure its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from autoloader import sources
from autoloader.errors import AutoloaderError, FileMovedError, StorageAwayError, is_full_disk
from autoloader.loader.job import AWAY, LoadJob
from autoloader.reader import Lineage, SourceFile

_AHEAD: Final = 16  # fetches in flight per task: hides a store's latency without flooding it
_AHEAD_BYTES: Final = 256 * 1024 * 1024

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be had.

    Attributes:
        row: Its task row.
        state: `MISSING` when its bytes are not the planned ones any more (or are gone), `AWAY` when its storage could
            not be reached, else `FAILED`.
        error: Why.
    """

    row: Row
    state: str
    error: str


def describe(error: BaseException) -> str:
    """An error as one text for the ledger."""
    text = str(error) if isinstance(error, AutoloaderError) else f"{type(error).__name__}: {error}"
    return text[:4000]


def unreadable(row: Row, error: BaseException) -> Unreadable:
    """What an error says of a file."""
    match error:
        case FileMovedError():
            state = "MISSING"
        case StorageAwayError():
            state = AWAY
        case _:
            state = "FAILED"
    return Unreadable(row, state, describe(error))


class Pins:
    """Holds the pinned files of one task, and lets go of them in groups."""

    def __init__(self, job: LoadJob, workdir: Path) -> None:
        self._job = job
        self._workdir = workdir
        self._links = _folder_for_links(workdir)
        self._held: dict[int, ExitStack] = {}
        self.lost: list[Unreadable] = []

    def stream(self, rows: Sequence[Row]) -> Iterator[SourceFile]:
        """The files in order, each entered as late as is good; those that fail go to `lost`."""
        if all(row["file_path"].startswith("file:") for row in rows):
            for row in rows:
                yield from self._entered(self._try(row))
            return
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="fetch") as pool:
            ahead: deque[tuple[Row, Future[SourceFile | Unreadable]]] = deque()
            waiting = deque(rows)
            size = 0
            while ahead or waiting:
                while waiting and len(ahead) < _AHEAD and (not ahead or size < _AHEAD_BYTES):
                    row = waiting.popleft()
                    size += row["size_bytes"]
                    ahead.append((row, pool.submit(self._try, row)))
                row, future = ahead.popleft()
                size -= row["size_bytes"]
                yield from self._entered(future.result())

    def again(self, row: Row) -> SourceFile | None:
        """Pin one file anew, after `release`; None: it failed, and is in `lost`."""
        return next(self._entered(self._try(row)), None)

    def _entered(self, got: SourceFile | Unreadable) -> Iterator[SourceFile]:
        if isinstance(got, Unreadable):
            self.lost.append(got)
        else:
            yield got

    def _try(self, row: Row) -> SourceFile | Unreadable:
        stack = ExitStack()
        try:
            path = stack.enter_context(
                sources.pinned(
                    row["file_path"],
                    size_bytes=row["size_bytes"],
                    modified_at_ns=row["modified_at_ns"],
                    etag=row["etag"],
                    version_id=row["version_id"],
                    storage=self._job.storage,
                    workdir=self._links if row["file_path"].startswith("file:") else self._workdir,
                )
            )
        except Exception as error:  # one file's trouble, whatever it is
            stack.close()
            if is_full_disk(error):  # which is nothing that the file can help
                raise
            return unreadable(row, error)
        self._held[row["src_file_id"]] = stack
        lineage = Lineage(row["src_file_id"], row["file_path"], self._job.batch_id, self._job.ingested_at)
        return SourceFile(path, row["key"], lineage)

    def release(self, files: Sequence[SourceFile], rows: Mapping[int, Row]) -> tuple[Unreadable, ...]:
        """Let go of files after they were read.

        Returns:
            Those whose bytes had moved meanwhile: what was read of them must not be kept.
        """
        moved = []
        for file in files:
            src_file_id = file.lineage.src_file_id
            stack = self._held.pop(src_file_id, None)
            if stack is None:
                continue
            try:
                stack.close()
            except Exception as error:
                moved.append(unreadable(rows[src_file_id], error))
        return tuple(moved)

    def close(self) -> None:
        """Let go of what is still held."""
        for stack in self._held.values():
            try:
                stack.close()
            except Exception:  # noqa: S112 - nothing of it was kept
                continue
        self._held.clear()
        if self._links != self._workdir:
            shutil.rmtree(self._links, ignore_errors=True)


def _folder_for_links(workdir: Path) -> Path:
    """Where links to local files go: in memory where that is, for on some disks 5,000 links take seconds."""
    memory = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    if memory.is_dir() and os.access(memory, os.W_OK):
        return Path(tempfile.mkdtemp(prefix="autoloader-", dir=memory))
    return workdir
