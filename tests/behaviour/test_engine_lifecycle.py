"""Engines come quietly, share what is there, and leave nothing behind. Each case in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tests.engines import free_port

ROOT = Path(__file__).resolve().parents[2]
PRELUDE = """
import sys
import pyarrow as pa
from autoloader import engine
from autoloader.engine.engines import WARM_SCHEMA, import_modules
from autoloader.errors import EngineError
from autoloader.spec import SparkSettings

def run(engine):
    return engine.map(pa.table({"task": [0, 1]}), import_modules, WARM_SCHEMA).num_rows
"""

pytestmark = pytest.mark.slow


def play(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs a script of its own; its temporary files go where the caller can look."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def left_over(tmp_path: Path) -> list[str]:
    """Processes that were started with that folder for temporary files."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(tmp_path) and process.status() != "zombie":
                found.append(" ".join(process.cmdline())[:200])
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


@pytest.mark.parametrize("kind", [pytest.param("local", marks=pytest.mark.jvm), "sail"])
def test_an_engine_says_nothing_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    done = play(
        f"""
        with engine.start("{kind}", SparkSettings()) as started:
            print(run(started), started.kind, started.notes)
        """,
        TMPDIR=str(tmp_path),
    )
    assert (done.stdout, done.stderr) == (f"2 {kind} ()\n", "")
    assert left_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.jvm
def test_warnings_are_errors_and_there_are_none(tmp_path: Path) -> None:
    for kind in ("local", "sail"):
        done = play(
            f"""
            import warnings
            warnings.simplefilter("error")
            with engine.start("{kind}", SparkSettings()) as started:
                print(run(started))
            """,
            TMPDIR=str(tmp_path),
        )
        assert (done.stdout, done.stderr) == ("2\n", "")


@pytest.mark.jvm
def test_an_engine_that_is_not_stopped_ends_with_the_process(tmp_path: Path) -> None:
    done = play(
        """
        started = engine.start("local", SparkSettings())
        print(run(started))
        """,
        TMPDIR=str(tmp_path),
    )
    assert (done.stdout, done.stderr) == ("2\n", "")
    assert left_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.jvm
def test_kill_9_of_the_parent_ends_the_jvm_and_the_workers(tmp_path: Path) -> None:
    code = PRELUDE + "started = engine.start('local', SparkSettings())\nprint(run(started), flush=True)\ninput()"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "2\n"
        assert len(left_over(tmp_path)) > 1
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while left_over(tmp_path):
        assert time.monotonic() < deadline, left_over(tmp_path)
        time.sleep(0.2)


@pytest.mark.jvm
def test_it_can_be_started_again_and_twice_is_once(tmp_path: Path) -> None:
    done = play(
        """
        for _ in range(2):
            first = engine.start("local", SparkSettings(), cores=1)
            second = engine.start("auto", SparkSettings())
            assert second.context is first.context
            first.stop()
            first.stop()
            print(run(second), second.parallelism)
            second.stop()
        with engine.start("sail", SparkSettings()) as sail:
            print(run(sail))
        with engine.start("local", SparkSettings(), cores=1) as local:
            print(run(local))
        """,
        TMPDIR=str(tmp_path),
    )
    assert (done.stdout, done.stderr) == ("2 1\n2 1\n2\n2\n", "")
    assert left_over(tmp_path) == []


@pytest.mark.jvm
def test_an_active_session_is_used_and_left_alone(tmp_path: Path) -> None:
    done = play(
        """
        from pyspark.sql import SparkSession
        conf = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1"}
        session = SparkSession.builder.master("local[1]").config(map=conf).getOrCreate()
        with engine.start("auto", SparkSettings()) as started:
            print(started.context is session.sparkContext, started.notes, run(started))
        print(session.range(3).count())
        session.stop()
        """,
        TMPDIR=str(tmp_path),
    )
    assert done.stdout == ("True ('Uses the Spark session that was already active (local[1]).',) 2\n3\n"), done.stderr


@pytest.mark.jvm
def test_a_start_that_is_not_wanted_any_more_leaves_nothing(tmp_path: Path) -> None:
    done = play(
        """
        starting = engine.start_in_background(SparkSettings(), "local")
        starting.stop()
        starting = engine.start_in_background(SparkSettings(), "local")
        starting.wait()
        starting.stop()
        print("done")
        """,
        TMPDIR=str(tmp_path),
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert left_over(tmp_path) == []


@pytest.mark.jvm
def test_stopping_in_the_middle_of_long_tasks_leaves_nothing(tmp_path: Path) -> None:
    done = play(
        """
        import threading, time

        def sleep(batches):
            import time
            time.sleep(100)
            yield from batches

        started = engine.start("local", SparkSettings())
        run(started)
        failed = []
        def work():
            try:
                started.map(pa.table({"task": [0, 1]}), sleep, pa.schema([("task", pa.int64())]))
            except EngineError as error:
                failed.append(error)
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(2)
        started.stop()
        thread.join(10)
        print(len(failed), thread.is_alive())
        """,
        TMPDIR=str(tmp_path),
    )
    assert (done.stdout, done.stderr) == ("1 False\n", "")
    deadline = time.monotonic() + 10
    while left_over(tmp_path):
        assert time.monotonic() < deadline, left_over(tmp_path)
        time.sleep(0.2)


def test_without_java_auto_takes_sail_and_says_so(tmp_path: Path) -> None:
    done = play(
        """
        from autoloader.engine import java
        java._USUAL = ()
        with engine.start("auto", SparkSettings()) as started:
            print(started.kind, started.notes, run(started))
        """,
        PATH=str(tmp_path),
        JAVA_HOME=str(tmp_path),
    )
    assert done.stdout == "sail ('Sail runs the tasks, because no usable Java 17+ was found.',) 2\n", done.stderr


@pytest.mark.jvm
def test_a_master_that_is_not_there_is_one_clear_message(tmp_path: Path) -> None:
    done = play(
        f"""
        try:
            engine.start("cluster", SparkSettings(master="spark://127.0.0.1:{free_port()}"))
        except EngineError as error:
            print(error)
        """,
        TMPDIR=str(tmp_path),
    )
    assert "The Spark master spark://127.0.0.1:" in done.stdout, (done.stdout, done.stderr)
    assert "Traceback" not in done.stdout
    assert done.stderr == ""
    assert left_over(tmp_path) == []


def test_a_connect_server_that_is_not_there_is_one_clear_message(tmp_path: Path) -> None:
    done = play(
        f"""
        try:
            engine.start("connect", SparkSettings(remote="sc://127.0.0.1:{free_port()}/;token=secret"))
        except EngineError as error:
            print(error)
        """,
        TMPDIR=str(tmp_path),
    )
    assert "The Spark Connect server sc://127.0.0.1:" in done.stdout, (done.stdout, done.stderr)
    assert "secret" not in done.stdout + done.stderr
    assert done.stderr == ""


@pytest.mark.jvm
def test_conf_that_spark_refuses_is_told_with_its_reason(tmp_path: Path) -> None:
    done = play(
        """
        try:
            engine.start("local", SparkSettings(conf={"spark.driver.memory": "lots"}))
        except EngineError as error:
            print(error)
        """,
        TMPDIR=str(tmp_path),
    )
    assert "Spark did not start" in done.stdout, (done.stdout, done.stderr)
    assert "lots" in done.stdout
    assert left_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
