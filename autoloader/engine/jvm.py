"""A JVM of our own for PySpark: started quietly, its talk in a log file, gone when we are.

PySpark's own launcher shares our stderr with the JVM and takes twice as long. This one starts the same
`spark-submit`, then hands PySpark the port, so that everything after that is PySpark as usual.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.engine.failures import last_line
from autoloader.errors import EngineError

if TYPE_CHECKING:
    from autoloader.engine.java import JavaInfo

QUICK: Final = "-XX:+IgnoreUnrecognizedVMOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
"""The JVM only schedules; the work is in Python. So: the quick compiler, the small collector."""

START_TIMEOUT_S: Final = 120
GONE: Final = "Exception while sending command."
"""What Py4J logs, with a traceback, when the JVM goes away under a thread that waits for it."""


@dataclass(frozen=True, slots=True)
class Jvm:
    """A JVM that waits for PySpark to connect.

    Attributes:
        process: The JVM itself (the launcher script replaces itself by it).
        port: Of the Py4J gateway.
        secret: That the gateway asks for.
        workdir: A temporary folder, removed by `stop`: log, Spark's local dirs.
    """

    process: subprocess.Popen[bytes]
    port: int
    secret: str
    workdir: Path

    @property
    def log(self) -> Path:
        """Where the JVM and the Python workers talk."""
        return self.workdir / "spark.log"

    def stop(self) -> None:
        """Ends the JVM at once and removes its folder. It holds nothing that is worth a farewell."""
        atexit.unregister(self.end)
        if self.process.stdin:
            with suppress(OSError):
                self.process.stdin.close()
        _kill(self.process)
        shutil.rmtree(self.workdir, ignore_errors=True)

    def end(self) -> None:
        """Stops it since this process ends: what Py4J logs of a JVM that goes away under it helps nobody then."""
        logging.getLogger().addFilter(lambda record: record.msg != GONE)
        self.stop()


def launch(conf: Mapping[str, str], java: JavaInfo | None, *, driver_memory: str = "1g") -> Jvm:
    """Starts the JVM and waits until PySpark can connect. It dies with us: its stdin is our pipe.

    Raises:
        EngineError: If it ends or says nothing for two minutes; with the reason from its log.
    """
    from pyspark.find_spark_home import _find_spark_home

    workdir = Path(tempfile.mkdtemp(prefix="autoloader-spark-"))
    greeting = workdir / "gateway"
    process = None
    try:
        with (workdir / "spark.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own arguments
                _command(_find_spark_home(), {"spark.driver.memory": driver_memory, **conf}),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=_environment(_find_spark_home(), greeting, workdir, java),
                start_new_session=True,  # Ctrl-C is ours to handle, not the JVM's
            )
        port, secret = _await_greeting(process, greeting)
        jvm = Jvm(process, port, secret, workdir)
        atexit.register(jvm.end)
        return jvm
    except BaseException as error:
        reason = _reason(workdir / "spark.log")
        if process is not None:
            _kill(process)
        shutil.rmtree(workdir, ignore_errors=True)
        if isinstance(error, EngineError):
            raise EngineError(error.what, why=reason, fix=error.fix) from None
        raise


@contextmanager
def gateway_of(jvm: Jvm) -> Iterator[Any]:
    """PySpark's gateway to the JVM, made in the way that `spark-submit --py-files` makes it."""
    from pyspark.java_gateway import launch_gateway

    names = {"PYSPARK_GATEWAY_PORT": str(jvm.port), "PYSPARK_GATEWAY_SECRET": jvm.secret}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield launch_gateway()  # type: ignore[no-untyped-call]
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _command(spark_home: str, conf: Mapping[str, str]) -> list[str]:
    options = f"{QUICK} {conf.get('spark.driver.extraJavaOptions', '')}".strip()
    merged = {**conf, "spark.driver.extraJavaOptions": options}
    pairs = [part for key, value in merged.items() for part in ("--conf", f"{key}={value}")]
    script = "spark-submit.cmd" if sys.platform == "win32" else "spark-submit"
    return [str(Path(spark_home) / "bin" / script), *pairs, "pyspark-shell"]


def _environment(spark_home: str, greeting: Path, workdir: Path, java: JavaInfo | None) -> dict[str, str]:
    env = {
        **os.environ,
        "SPARK_HOME": spark_home,
        "SPARK_CONNECT_MODE": "0",
        "SPARK_LAUNCHER_OPTS": f"{QUICK} {os.environ.get('SPARK_LAUNCHER_OPTS', '')}".strip(),
        "_PYSPARK_DRIVER_CONN_INFO_PATH": str(greeting),
        "SPARK_LOCAL_DIRS": os.environ.get("SPARK_LOCAL_DIRS", str(workdir)),
    }
    if java is not None:
        env["JAVA_HOME"] = str(java.home)
    return env


def _await_greeting(process: subprocess.Popen[bytes], greeting: Path) -> tuple[int, str]:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not greeting.exists():
        if process.poll() is not None:
            raise EngineError("Spark did not start.", fix="Use the engine without Java:\n    --engine sail")
        if time.monotonic() > deadline:
            raise EngineError(f"Spark did not start within {START_TIMEOUT_S} s.")
        time.sleep(0.02)
    data = greeting.read_bytes()  # moved into place whole: 4 bytes port, 4 bytes length, secret
    port, length = (int.from_bytes(data[at : at + 4], "big") for at in (0, 4))
    return port, data[8 : 8 + length].decode()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(log: Path) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    causes = re.findall(r"^(?:Caused by|Exception in thread \S+): ?(.*)$", text, re.MULTILINE)
    if match := re.search(r"^(.+)\nError: Could not create the Java Virtual Machine", text, re.MULTILINE):
        return match[1].strip()
    if match := re.search(r"^(Error[: ].*|.*UnsupportedClassVersionError.*)$", text, re.MULTILINE):
        return match[1].strip()
    return (causes[-1] if causes else last_line(text)).strip()
