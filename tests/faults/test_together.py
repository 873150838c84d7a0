"""Several processes at once on one ingestion, some of them killed: every file once."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import pytest

from autoloader.ledger import open_ledger
from tests.faults.processes import Started, command
from tests.faults.stage import Stage
from tests.faults.stories import History

FILES: Final = 2_000
WORKERS: Final = 4
TOGETHER: Final = 12
STALE, BUSY, INCOMPLETE = 4, 5, 6


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_two_applies_of_one_saved_plan_one_does_it_and_the_other_is_refused(stage: Stage) -> None:
    with stage.history("twice", 0) as history:
        for _ in range(TOGETHER):
            history.change()
            history.does("plan", "--out", "saved.plan")
            both = [history.nursery.start(history.folder, command, "apply", "saved.plan") for _ in range(2)]
            ended = sorted((each.end() for each in both), key=lambda each: each.code)
            assert [each.code for each in ended] in ([0, STALE], [0, BUSY]), [each.said for each in ended]
            history.check()


@dataclass
class Worker:
    """Somebody who applies again and again until nothing is left to do, or is killed."""

    history: History
    killed: bool = False
    codes: list[int] = field(default_factory=list)
    _now: Started | None = None

    def work(self) -> None:
        """Work to the end."""
        environ = {"AUTOLOADER_BATCH_FILES": "50", "NO_COLOR": "1"}
        while True:
            self._now = self.history.nursery.start(self.history.folder, command, "apply", "-y", environ=environ)
            if self.killed:  # between two processes
                self._now.process.kill()
            ended = self._now.end()
            self.codes.append(ended.code)
            if ended.code == -signal.SIGKILL or "No changes." in ended.said:
                return
            assert ended.code in (0, STALE, BUSY, INCOMPLETE), ended.said

    def kill(self) -> None:
        """Kill the process that works now; it is not replaced."""
        self.killed = True
        if self._now is not None:
            self._now.process.kill()


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_four_workers_of_which_two_are_killed_load_every_file_once(stage: Stage, postgres_url: str) -> None:
    stage.server_url = postgres_url
    with stage.history("workers", 0, postgres=True) as history:
        for number in range(FILES):
            history.world.write(f"{number}.csv")
        history.does("init")
        ledger = open_ledger(history.state)
        workers = [Worker(history) for _ in range(WORKERS)]
        with ThreadPoolExecutor(WORKERS) as pool:
            working = [pool.submit(worker.work) for worker in workers]
            for worker, moment in zip(workers[:2], sorted(history.random.sample(range(1, 30), 2)), strict=True):
                while sum(batch.state == "recorded" for batch in ledger.batches(ingestion="orders")) < moment:
                    assert not all(each.done() for each in working), [each.exception() for each in working]
                    time.sleep(0.02)
                worker.kill()
        for each in working:
            each.result()
        assert [worker.codes[-1] for worker in workers[:2]] == [-signal.SIGKILL] * 2, workers
        history.settle()
