"""S3: every key below some prefixes, by many requests at a time where one prefix is large.

A prefix that goes on after a few pages, and whose keys lie in few large folders, is asked again by folder,
and the folders are listed side by side. Nothing here relies on the order of keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.errors import SourceError
from autoloader.inventory import LISTING
from autoloader.matching import FolderFilter, Verdict
from autoloader.sources.faults import THROTTLED, error_code, source_error
from autoloader.sources.outcome import Found, Problem
from autoloader.sources.pages import ROWS, Page, Pages

WORKERS: Final = 16
SPLIT_AFTER_PAGES: Final = 3
MAX_FOLDER_PAGES: Final = 3
MIN_KEYS_PER_FOLDER: Final = 200
WAITING_SHARE: Final = 0.5  # a server so near that our own work is most of the time gains nothing by threads
MAX_LOOKS: Final = 300
THROTTLE_WAITS_S: Final = (5.0, 15.0, 30.0)
PROGRESS_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Task:
    prefix: str
    look: bool  # judge the folders right below, rather than list everything below


@dataclass(frozen=True, slots=True)
class _Outcome:
    rows: list[pa.RecordBatch]
    more: list[_Task]


@dataclass(slots=True)
class _Lister:
    source: Pages
    bucket: str
    root: str
    skip: FolderFilter | None
    stop: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    requests: int = 0
    looks: int = 0
    keys: int = 0

    def pages(self, prefix: str, delimiter: str = "") -> Iterator[Page]:
        """The answers to one listing, in order.

        Raises:
            SourceError: The storage fails, or an answer cannot be complete.
        """
        token, more = "", True
        while more:
            if self.stop.is_set():
                raise SourceError(f"The listing of s3://{self.bucket}/{prefix} was stopped.")
            page = self._ask(prefix, delimiter, token)
            self._check(prefix, page, token)
            with self.lock:
                self.requests += 1
                self.keys += page.rows.num_rows
            yield page
            token, more = page.following, page.truncated

    def _ask(self, prefix: str, delimiter: str, token: str) -> Page:
        """One page; throttling is waited for beyond boto3's own retries."""
        from botocore.exceptions import BotoCoreError, ClientError

        for pause in (*THROTTLE_WAITS_S, None):
            try:
                return self.source.ask(prefix, delimiter, token)
            except (ClientError, BotoCoreError) as error:
                if pause is None or error_code(error) not in THROTTLED or self.stop.wait(pause):
                    raise source_error(f"s3://{self.bucket}/{prefix}", "listed", error) from error
        raise AssertionError("the last pause is None")

    def _check(self, prefix: str, page: Page, token: str) -> None:
        rows, folders = page.rows.num_rows, len(page.folders)
        short = page.told is not None and page.told not in (rows, rows + folders)
        if short or (page.truncated and page.following in ("", token)):
            raise SourceError(
                f"The storage gave an incomplete listing of s3://{self.bucket}/{prefix}.",
                why=f"{rows + folders} of {page.told} came." if short else "More is to come, but not how.",
                fix="Try again; nothing was changed.",
            )

    def run(self, task: _Task) -> _Outcome:
        if task.look:
            return self._look(task.prefix)
        rows: list[pa.RecordBatch] = []
        started_s, busy_s = time.perf_counter(), time.thread_time()
        for count, page in enumerate(self.pages(task.prefix), 1):
            rows.append(page.rows)
            more_to_come = count == SPLIT_AFTER_PAGES and page.truncated
            waits = time.thread_time() - busy_s < WAITING_SHARE * (time.perf_counter() - started_s)
            if more_to_come and waits and self._worth_splitting(task.prefix, rows):
                split = self._split(task.prefix)
                if split is not None:
                    with self.lock:
                        self.keys -= sum(batch.num_rows for batch in rows)
                    return split
        return _Outcome(rows, [])

    def _worth_splitting(self, prefix: str, rows: Sequence[pa.RecordBatch]) -> bool:
        """Whether the keys seen lie in few folders with many keys each."""
        below = pc.utf8_slice_codeunits(pa.chunked_array([batch["key"] for batch in rows]), len(prefix))
        slash = pc.find_substring(below, "/")
        in_folders = pc.sum(pc.greater_equal(slash, 0)).as_py() or 0
        first = pc.extract_regex(below, r"(?s)^(?P<folder>[^/]*)/")
        folders = pc.count_distinct(pc.struct_field(first, "folder"), mode="only_valid").as_py()
        return bool(in_folders >= len(below) // 2 and folders * MIN_KEYS_PER_FOLDER <= in_folders)

    def _split(self, prefix: str) -> _Outcome | None:
        """One task per folder right below; None where that does not pay."""
        while True:
            rows: list[pa.RecordBatch] = []
            folders: list[str] = []
            for count, page in enumerate(self.pages(prefix, "/"), 1):
                rows.append(page.rows)
                folders += page.folders
                if count == MAX_FOLDER_PAGES and page.truncated:
                    with self.lock:
                        self.keys -= sum(batch.num_rows for batch in rows)
                    return None
            if len(folders) == 1 and not any(batch.num_rows for batch in rows):
                prefix = folders[0]
                continue
            return _Outcome(rows, [_Task(folder, look=False) for folder in folders])

    def _look(self, prefix: str) -> _Outcome:
        """List one level and judge its folders."""
        with self.lock:
            self.looks += 1
            tired = self.looks > MAX_LOOKS
        if tired or self.skip is None:
            return self.run(_Task(prefix, look=False))
        rows: list[pa.RecordBatch] = []
        more: list[_Task] = []
        for page in self.pages(prefix, "/"):
            rows.append(page.rows)
            for folder in page.folders:
                verdict = self.skip(folder[len(self.root) :])
                if verdict is not Verdict.SKIP:
                    more.append(_Task(folder, look=verdict is Verdict.LOOK))
        return _Outcome(rows, more)


def list_s3(
    client: Any,
    bucket: str,
    root: str,
    prefixes: Sequence[str],
    *,
    skip: FolderFilter | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Found:
    """List the objects of a bucket below a root.

    Args:
        client: A boto3 client of `stores.s3_client`.
        bucket: Its name.
        root: Key of the source's root; empty, or ends in '/'.
        prefixes: Below the root, none a prefix of another.
        skip: Folders that it rules out are not listed.
        on_progress: Told the number of keys so far, a few times a second, in the caller's thread.

    Raises:
        SourceError: The listing could not be completed, for whatever reason.
    """
    lister = _Lister(Pages(client, bucket), bucket, root, skip)
    tasks = [_Task(root + prefix, look=skip is not None) for prefix in prefixes]
    batches = _run_all(lister, tasks, on_progress)
    table, problems = _listing(pa.Table.from_batches(batches, schema=ROWS), f"s3://{bucket}/", root)
    if on_progress is not None:
        on_progress(table.num_rows)
    return Found(table, problems, lister.requests)


def peek_s3(client: Any, bucket: str, root: str) -> int:
    """Keys on the first page of a listing; raises as `list_s3`."""
    page = next(_Lister(Pages(client, bucket), bucket, root, None).pages(root))
    return int(page.rows.num_rows)


def _run_all(
    lister: _Lister, tasks: Sequence[_Task], on_progress: Callable[[int], None] | None
) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = []
    told_at = 0.0
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="list") as pool:
        pending: set[Future[_Outcome]] = {pool.submit(lister.run, task) for task in tasks}
        try:
            while pending:
                done, pending = wait(pending, timeout=PROGRESS_EVERY_S, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome = future.result()
                    batches.extend(batch for batch in outcome.rows if batch.num_rows)
                    pending |= {pool.submit(lister.run, task) for task in outcome.more}
                if on_progress is not None and time.monotonic() - told_at > PROGRESS_EVERY_S:
                    told_at = time.monotonic()
                    on_progress(lister.keys)
        except BaseException:
            lister.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return batches


def _listing(pages: pa.Table, start: str, root: str) -> tuple[pa.Table, tuple[Problem, ...]]:
    """Pages as `inventory.LISTING`, without folder markers."""
    marker = pc.ends_with(pages["key"], "/")
    odd = pages.filter(pc.and_(marker, pc.greater(pages["size_bytes"], 0)))
    problems = tuple(
        Problem(start + key, "Its key ends in '/' and yet it holds bytes: it has no name to load it by.")
        for key in sorted(odd["key"].to_pylist())
    )
    files = pages.filter(pc.invert(marker)) if pc.any(marker).as_py() else pages
    keys = files["key"]
    columns = [
        pc.binary_join_element_wise(pa.scalar(start), keys, ""),
        pc.utf8_slice_codeunits(keys, len(root)) if root else keys,
        files["size_bytes"],
        files["modified_at"],
        files["etag"],
        pa.nulls(files.num_rows, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=LISTING), problems
