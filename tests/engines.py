"""Spark on this machine for the tests: a shared one, a standalone cluster, and a Spark Connect server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from autoloader.engine import Engine, start
from autoloader.engine.engines import _ContextLease
from autoloader.engine.java import find_java
from autoloader.spec import SparkSettings

HAS_JAVA = find_java() is not None
KINDS = ("local", "cluster", "connect", "sail")
QUIET = {"spark.ui.enabled": "false", "spark.sql.catalogImplementation": "in-memory"}


@contextmanager
def settings_for(kind: str) -> Iterator[SparkSettings]:
    """Settings under which that engine can be started; the servers that it needs live as long."""
    with ExitStack() as stack:
        match kind:
            case "cluster":
                yield SparkSettings(engine="cluster", master=stack.enter_context(cluster()))
            case "connect":
                yield SparkSettings(engine="connect", remote=stack.enter_context(connect_server()))
            case _:
                yield SparkSettings.model_validate({"engine": kind})


@contextmanager
def cluster(workers: int = 2) -> Iterator[str]:
    """A standalone master and its workers, one core each, every one a process. Yields the master's URL."""
    with ExitStack() as stack:
        port = free_port()
        url = f"spark://127.0.0.1:{port}"
        host = ["--host", "127.0.0.1", "--webui-port", "0"]
        package = "org.apache.spark.deploy"
        master = stack.enter_context(_spark("spark-class", f"{package}.master.Master", *host, "--port", str(port)))
        _await(lambda: "New state: ALIVE" in _text(master), "the master")
        logs = [
            stack.enter_context(
                _spark("spark-class", f"{package}.worker.Worker", *host, "--cores", "1", "--memory", "1g", url)
            )
            for _ in range(workers)
        ]
        for log in logs:
            _await(lambda log=log: "Successfully registered with master" in _text(log), "a worker")
        yield url


@contextmanager
def connect_server() -> Iterator[str]:
    """A Spark Connect server with two local cores. Yields its URL."""
    port = free_port()
    conf = {
        **QUIET,
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.driver.memory": "1g",
    }
    pairs = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    main = "org.apache.spark.sql.connect.service.SparkConnectServer"
    with _spark("spark-submit", "--master", "local[2]", "--class", main, *pairs, "spark-internal") as log:
        _await(lambda: "Spark Connect server started at" in _text(log), "the Spark Connect server")
        yield f"sc://127.0.0.1:{port}"


class SharedSpark:
    """A local Spark that the tests of this process share, started when it is wanted; without Java it is Sail."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def there(self) -> Engine:
        if self._engine is None:
            self._engine = start("local" if HAS_JAVA else "sail", SparkSettings(), cores=2)
        return self._engine

    def others(self) -> int:
        """How many other engines of this process hold a SparkContext."""
        return sum(_ContextLease._users.values()) - (self._engine is not None)

    def stop(self) -> None:
        """For tests that start their own: a process has one at a time."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.stop()


def free_port() -> int:
    """A port of the loopback that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def _spark(script: str, *arguments: str) -> Iterator[Path]:
    """A long-lived Spark process without our package on its path. Yields its log; killed at the end."""
    from pyspark.find_spark_home import _find_spark_home

    java = find_java()
    assert java is not None, "these tests need a JDK 17+"
    home = _find_spark_home()
    folder = Path(tempfile.mkdtemp(prefix="spark-"))
    (folder / "conf").mkdir()
    (folder / "conf" / "log4j2.properties").write_text(
        "rootLogger.level = info\nrootLogger.appenderRef.stderr.ref = console\n"
        "appender.console.type = Console\nappender.console.name = console\n"
        "appender.console.target = SYSTEM_ERR\nappender.console.layout.type = PatternLayout\n"
        "appender.console.layout.pattern = %p %c{1}: %m%n%ex\n"
    )
    env = {
        **os.environ,
        "JAVA_HOME": str(java.home),
        "SPARK_HOME": home,
        "SPARK_CONF_DIR": str(folder / "conf"),
        "SPARK_LOCAL_DIRS": str(folder),
        "SPARK_WORKER_DIR": str(folder),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LAUNCHER_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "PYSPARK_PYTHON": sys.executable,
    }
    env.pop("PYTHONPATH", None)  # the package must come as we ship it
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [f"{home}/bin/{script}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            cwd=folder,
            start_new_session=True,
        )
    try:
        yield log
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _text(log: Path) -> str:
    return log.read_text(errors="replace")


def _await(ready: Callable[[], bool], what: str, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not start"
        time.sleep(0.1)
