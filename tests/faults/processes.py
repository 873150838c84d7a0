"""Real processes for the harness: one Sail server, and commands forked from a process that is warm."""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.faults.mortal import Death
from tests.playing import ROOT

LONGEST_S = 300
UNKNOWN = 255
"""What multiprocessing gives for an exit code when it lost the process that it forks from."""


@contextmanager
def sail() -> Iterator[str]:
    """A Sail server of its own; its address."""
    environ = {**os.environ, "RUST_LOG": "off", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.server"],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"sc://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Ended:
    """A process that is gone: its exit code, negative where a signal ended it, and all that it said."""

    code: int
    said: str


@dataclass(frozen=True)
class Started:
    """A process that runs."""

    process: BaseProcess
    output: Path

    def end(self) -> Ended:
        """Wait for its end."""
        self.process.join(LONGEST_S)
        if self.process.exitcode is None and self.process.pid is not None:
            os.kill(self.process.pid, signal.SIGUSR1)  # it says where it is
            self.process.join(1)
            self.process.kill()
        assert self.process.exitcode is not None, f"still running: {self.output.read_text(errors='replace')}"
        code = self.process.exitcode if self.process.exitcode != UNKNOWN else self._own_code()
        return Ended(code, self.output.read_text(errors="replace"))

    def _own_code(self) -> int:
        """The exit code that the process wrote down itself; one that came to no end of its own was killed."""
        deadline = time.monotonic() + LONGEST_S
        while self.process.pid is not None and Path(f"/proc/{self.process.pid}").exists():
            assert time.monotonic() < deadline, f"still running: {self.output.read_text(errors='replace')}"
            time.sleep(0.05)
        told = self.output.with_suffix(".code")
        return int(told.read_text()) if told.exists() else -signal.SIGKILL


class Nursery:
    """Forks processes from one that has imported everything and started nothing."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.faults.warm"])
        self._numbers = count()

    def start(
        self,
        folder: Path,
        call: Callable[..., Any],
        *arguments: Any,
        environ: Mapping[str, str] | None = None,
        death: Death | None = None,
    ) -> Started:
        """A call in a process of its own, in that folder; what it returns is the exit code, None is 0."""
        output = folder / f"said-{next(self._numbers)}.txt"
        output.touch()  # whoever is killed before saying anything has said nothing
        process = self._context.Process(target=_run, args=(folder, output, dict(environ or {}), death, call, arguments))
        process.start()
        return Started(process, output)

    def run(self, folder: Path, call: Callable[..., Any], *arguments: Any, **others: Any) -> Ended:
        """The same, to its end."""
        return self.start(folder, call, *arguments, **others).end()


def command(*words: str) -> int:
    """A command of the command line; its exit code."""
    from autoloader.cli import run

    return run(list(words))


def _run(
    folder: Path,
    output: Path,
    environ: Mapping[str, str],
    death: Death | None,
    call: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    gc.freeze()  # what the other process has imported is not looked through again in this one
    os.chdir(folder)
    (folder / "tmp").mkdir(exist_ok=True)  # whoever is killed leaves there what it had not cleared up
    os.environ.update(environ, TMPDIR=str(folder / "tmp"))
    tempfile.tempdir = None
    place = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(place, 1)
    os.dup2(place, 2)
    faulthandler.register(signal.SIGUSR1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal, even where nobody hears it here
    code = 70
    try:
        if death is not None:
            death.arm()
        code = call(*arguments) or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        output.with_suffix(".code").write_text(str(code))
        os._exit(code)
