"""A Sail server in a process of its own, whose tasks can be watched and held: they outlive a killed driver.

Run as `python -m tests.faults.server`; says its port; ends with its standard input.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from pysail.spark import SparkConnectServer

Batches = Iterator[pa.RecordBatch]


def watched(make: Callable[[Any], Callable[[Batches], Batches]]) -> Callable[[Any], Callable[[Batches], Batches]]:
    """Tasks that say in their project's folder that they run, and wait there while they are held."""

    def made(job: Any) -> Callable[[Batches], Batches]:
        task = make(job)

        def run(batches: Batches) -> Batches:
            project = Path(job.main.location.removeprefix("file://").split("/.autoloader/")[0])
            if not (project / "tasks").is_dir():
                yield from task(batches)
                return
            mark = project / "tasks" / uuid.uuid4().hex
            mark.touch()
            try:
                _tell(project / "begun")
                with suppress(FileNotFoundError), (project / "hold").open("rb"):
                    pass  # a pipe: opened when somebody opens its other end
                yield from task(batches)
            finally:
                mark.unlink()

        return run

    return made


def _tell(pipe: Path) -> None:
    with suppress(OSError):  # there is none, or nobody listens any more
        place = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.write(place, b"x")
        os.close(place)


def main() -> None:
    """Serve until the standard input ends."""
    from autoloader.loader import rewrite, tasks

    tasks.load_files = watched(tasks.load_files)  # type: ignore[assignment]
    rewrite.rewrite_files = watched(rewrite.rewrite_files)  # type: ignore[assignment]
    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    address = server.listening_address
    assert address is not None
    print(address[1], flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
