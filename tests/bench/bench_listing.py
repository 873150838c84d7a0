"""Listing 200,000 keys of one local server against bare obstore, and 100,000 local files against a bare walk."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from tests.bench.measure import Comparison, Measured, Turns

S3_KEYS = 200_000
LOCAL_FILES = 100_000


def run(repetitions: int) -> list[Measured]:
    """Ours against bare listings; of each, one run before those that count."""
    return [_s3(repetitions), _local(repetitions)]


def _s3(repetitions: int, count: int = S3_KEYS) -> Measured:
    """One server in a process of its own."""
    from obstore.store import S3Store

    from autoloader.sources import Source, StorageConfig

    command = [sys.executable, "-m", "tests.list_server", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
            bare = S3Store("bucket", endpoint=endpoint, client_options={"allow_http": True}, skip_signature=True)
            source = Source("s3://bucket/data/", {"s3": StorageConfig(endpoint=endpoint, anonymous=True)})
            took = _in_turns(
                repetitions,
                lambda: source.list().table.num_rows,
                lambda: pa.table(bare.list("data", chunk_size=1000, return_arrow=True).collect()).num_rows,
                count,
            )
        finally:
            server.kill()
    name = "listing 200,000 keys of one local S3 server"
    return Comparison(name, took["ours"], took["bare"], "bare obstore", 1.5)


def _local(repetitions: int, count: int = LOCAL_FILES) -> Measured:
    from autoloader.sources import Source

    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            if i % 1000 == 0:
                below = Path(folder) / f"year={i // 1000}"
                below.mkdir()
            (below / f"part-{i:06d}.csv").touch()
        source = Source(f"file://{folder}/", {})
        took = _in_turns(repetitions, lambda: source.list().table.num_rows, lambda: bare_walk(folder), count)
    name = "listing 100,000 local files as an Arrow table"
    return Comparison(name, took["ours"], took["bare"], "a bare os.scandir and stat walk", None)


def bare_walk(folder: str) -> int:
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


def _in_turns(
    repetitions: int, ours: Callable[[], int], bare: Callable[[], int], count: int
) -> Mapping[str, tuple[float, ...]]:
    def checked(call: Callable[[], int]) -> None:
        assert call() == count

    checked(ours)
    checked(bare)
    return Turns(repetitions).run(ours=lambda: checked(ours), bare=lambda: checked(bare))
