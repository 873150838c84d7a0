"""Listing 200,000 keys of one local server against bare obstore, and 100,000 local files against a bare walk.

python -m tests.bench.bench_listing
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

S3_KEYS = 200_000
LOCAL_FILES = 100_000
REPEATS = 5


def seconds(run: Callable[[], int], expected: int) -> float:
    """One run, its count checked."""
    started_at = time.perf_counter()
    assert run() == expected
    return time.perf_counter() - started_at


def side_by_side(first: Callable[[], int], second: Callable[[], int], expected: int) -> tuple[float, float]:
    """The best of some runs of each, taken in turns, after one run of each that does not count."""
    pairs = [(seconds(first, expected), seconds(second, expected)) for _ in range(REPEATS + 1)][1:]
    return min(a for a, _ in pairs), min(b for _, b in pairs)


def s3(count: int = S3_KEYS) -> tuple[float, float]:
    """Seconds of ours and of bare obstore, both from one server in a process of its own."""
    from obstore.store import S3Store

    from autoloader.sources import Source, StorageConfig

    command = [sys.executable, "-m", "tests.list_server", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
            bare = S3Store("bucket", endpoint=endpoint, client_options={"allow_http": True}, skip_signature=True)
            source = Source("s3://bucket/data/", {"s3": StorageConfig(endpoint=endpoint, anonymous=True)})
            return side_by_side(
                lambda: source.list().table.num_rows,
                lambda: pa.table(bare.list("data", chunk_size=1000, return_arrow=True).collect()).num_rows,
                count,
            )
        finally:
            server.kill()


def local(count: int = LOCAL_FILES) -> tuple[float, float]:
    """Seconds of ours and of a bare `os.scandir` and `stat` walk."""
    from autoloader.sources import Source

    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            if i % 1000 == 0:
                below = Path(folder) / f"year={i // 1000}"
                below.mkdir()
            (below / f"part-{i:06d}.csv").touch()
        source = Source(f"file://{folder}/", {})
        return side_by_side(lambda: source.list().table.num_rows, lambda: _bare_walk(folder), count)


def _bare_walk(folder: str) -> int:
    count, pending = 0, [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    count += 1
    return count


def main() -> dict[str, float]:
    """Print and return the ratios: ours over bare, smaller is better."""
    ratios = {}
    for name, measure, count, bare in (
        ("list 200k keys", s3, S3_KEYS, "obstore"),
        ("list 100k local files", local, LOCAL_FILES, "scandir+stat"),
    ):
        ours_s, bare_s = measure()
        ratios[name] = ours_s / bare_s
        print(
            f"{name}: {ours_s:.2f} s ({count / ours_s:,.0f}/s), {bare} {bare_s:.2f} s, ratio {ours_s / bare_s:.2f}"
        )
    return ratios


if __name__ == "__main__":
    main()
