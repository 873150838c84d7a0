"""S3: every key below some prefixes, by many requests at a time where one prefix is large.

A prefix that goes on after a few pages, and whose keys lie in few large folders, is asked again by folder,
and the folders are listed side by side. Nothing here relies on the order of keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
from autoloader.sources.pages import PAGE, rows_of

WORKERS: Final = 16
SPLIT_AFTER_PAGES: Final = 3
MAX_FOLDER_PAGES: Final = 3
MIN_KEYS_PER_FOLDER: Final = 200
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
    client: Any
    bucket: str
    root: str
    skip: FolderFilter | None
    stop: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    requests: int = 0
    looks: int = 0
    keys: int = 0

    def pages(self, prefix: str, delimiter: str = "") -> Any:
        """The answers to one listing, in order.

        Raises:
            SourceError: The storage fails, or an answer cannot be complete.
        """
        token = ""
        while True:
            if self.stop.is_set():
                raise SourceError(f"The listing of s3://{self.bucket}/{prefix} was stopped.")
            asked = {"Bucket": self.bucket, "Prefix": prefix}
            asked |= {"ContinuationToken": token} if token else {}
            answer = self._ask(asked | ({"Delimiter": delimiter} if delimiter else {}))
            following = answer.get("NextContinuationToken", "")
            self._check(prefix, answer, token, following)
            with self.lock:
                self.requests += 1
                self.keys += rows_of(answer).num_rows
            yield answer
            if not answer.get("IsTruncated", bool(following)):
                return
            token = following

    def _ask(self, asked: dict[str, str]) -> dict[str, Any]:
        """One page; throttling is waited for beyond boto3's own retries."""
        from botocore.exceptions import BotoCoreError, ClientError

        for pause in (*THROTTLE_WAITS_S, None):
            try:
                answer: dict[str, Any] = self.client.list_objects_v2(**asked)
                return answer
            except (ClientError, BotoCoreError) as error:
                if pause is None or error_code(error) not in THROTTLED or self.stop.wait(pause):
                    raise source_error(f"s3://{self.bucket}/{asked['Prefix']}", "listed", error) from error
        raise AssertionError("the last pause is None")

    def _check(self, prefix: str, answer: dict[str, Any], token: str, following: str) -> None:
        rows = rows_of(answer).num_rows
        told = answer.get("KeyCount")
        folders = len(answer.get("CommonPrefixes", ()))
        short = told is not None and told not in (rows, rows + folders)
        if short or (answer.get("IsTruncated") and (not following or following == token)):
            raise SourceError(
                f"The storage gave an incomplete listing of s3://{self.bucket}/{prefix}.",
                why=f"{rows + folders} entries came of {told}." if short else "More was promised without a way on.",
                fix="Try again; nothing was changed.",
            )

    def run(self, task: _Task) -> _Outcome:
        if task.look:
            return self._look(task.prefix)
        rows: list[pa.RecordBatch] = []
        for count, answer in enumerate(self.pages(task.prefix), 1):
            rows.append(rows_of(answer))
            more_to_come = answer.get("IsTruncated", False)
            if count == SPLIT_AFTER_PAGES and more_to_come and self._worth_splitting(task.prefix, rows):
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
            for count, answer in enumerate(self.pages(prefix, "/"), 1):
                rows.append(rows_of(answer))
                folders += [entry["Prefix"] for entry in answer.get("CommonPrefixes", ())]
                if count == MAX_FOLDER_PAGES and answer.get("IsTruncated"):
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
        for answer in self.pages(prefix, "/"):
            rows.append(rows_of(answer))
            for entry in answer.get("CommonPrefixes", ()):
                verdict = self.skip(entry["Prefix"][len(self.root) :])
                if verdict is not Verdict.SKIP:
                    more.append(_Task(entry["Prefix"], look=verdict is Verdict.LOOK))
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
    lister = _Lister(client, bucket, root, skip)
    tasks = [_Task(root + prefix, look=skip is not None) for prefix in prefixes]
    batches = _run_all(lister, tasks, on_progress)
    table, problems = _listing(pa.Table.from_batches(batches, schema=PAGE), f"s3://{bucket}/", root)
    if on_progress is not None:
        on_progress(table.num_rows)
    return Found(table, problems, lister.requests)


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
