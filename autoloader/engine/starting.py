"""Starting each kind of engine, and what a person reads when it cannot be started."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autoloader.engine.failures import explain
from autoloader.engine.java import JavaInfo, find_java, why_none
from autoloader.errors import EngineError, redacted

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql.connect.session import SparkSession

    from autoloader.engine.jvm import Jvm

_LOOPBACK = ("spark://127.", "spark://localhost")


def cores_here() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def has_spark() -> bool:
    """Whether PySpark is installed with its JARs (and not the Connect client alone)."""
    spec = find_spec("pyspark")
    home = os.environ.get("SPARK_HOME")
    folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    return bool(spec) and (bool(home) or any((folder / "jars").is_dir() for folder in folders))


def has_sail() -> bool:
    """Whether Sail is installed, with the Connect client that it needs."""
    return find_spec("pysail") is not None and find_spec("pyspark") is not None


def java_or_refuse() -> JavaInfo:
    """The Java to start Spark with.

    Raises:
        EngineError: If there is none: what was found, and both ways out.
    """
    java = find_java()
    if java is None:
        raise EngineError(
            "Spark cannot start: no Java 17 or newer is usable here.",
            why=why_none(),
            fix="Install a JDK 17+ (or set JAVA_HOME to one), or use the engine without Java:\n    --engine sail",
        )
    return java


def require_spark() -> None:
    """Raises EngineError unless PySpark is installed whole."""
    if not has_spark():
        raise EngineError(
            "Spark is not installed.", fix="Install it with its JARs:\n    pip install 'autoloader[spark]'"
        )


def spark_context(
    master: str, conf: Mapping[str, str], *, environment: Mapping[str, str] | None = None
) -> tuple[SparkContext, Jvm]:
    """A JVM and a SparkContext of our own.

    Raises:
        EngineError: If Java, Spark or the master cannot be had.
    """
    require_spark()
    java = java_or_refuse()
    from pyspark import SparkConf, SparkContext

    from autoloader.engine.jvm import gateway_of, launch

    _knock_at_master(master)
    merged = {**_defaults(master), **conf, "spark.master": master}
    jvm = launch(merged, java)
    try:
        with gateway_of(jvm) as gateway:
            settings = SparkConf(loadDefaults=False, _jvm=gateway.jvm)
            settings.setAll(list({"spark.app.name": "autoloader", **merged}.items()))
            context = SparkContext(gateway=gateway, conf=settings, environment=dict(environment or {}))
        context.pythonExec = _workers_python(master, conf)
        quiet = context._accumulatorServer
        quiet.handle_error = lambda *_: None  # type: ignore[method-assign]  # a traceback at hang-up
        return context, jvm
    except BaseException as error:
        release_context()
        jvm.stop()
        if isinstance(error, Exception):
            raise explain(error, doing="Spark did not start") from None
        raise


def release_context() -> None:
    """Makes PySpark forget its context, whose JVM ends now, so that another can start in this process.

    `SparkContext.stop` would do it too, but waits a second for a socket.
    """
    from pyspark import SparkContext

    context = SparkContext._active_spark_context
    if server := getattr(context, "_accumulatorServer", None):
        server.server_shutdown = True
        threading.Thread(target=server.shutdown, daemon=True).start()
    gateway = SparkContext._gateway
    logging.getLogger().addFilter(_is_not_of_an_ended_jvm)
    SparkContext._active_spark_context = None
    SparkContext._gateway = None
    SparkContext._jvm = None
    if gateway is not None:
        gateway.shutdown()


def _is_not_of_an_ended_jvm(record: logging.LogRecord) -> bool:
    """This JVM was ended by us."""
    from pyspark import SparkContext

    from autoloader.engine.jvm import GONE

    return SparkContext._active_spark_context is not None or record.msg != GONE


def local_python_path() -> dict[str, str]:
    """Local workers import what we import, notebooks' and editable folders included."""
    own = str(Path(__file__).resolve().parents[2])
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys([own, *(p or str(Path.cwd()) for p in sys.path)]))}


def connect_session(remote: str, conf: Mapping[str, str] | None = None) -> SparkSession:
    """A session of our own on a Connect server.

    Args:
        remote: `sc://host:port`, with its parameters.
        conf: Of it, `spark.sql.…` is set for the session and `spark.archives` is uploaded; the rest is
            the server's own business.

    Raises:
        EngineError: If nobody answers there or the client is not installed whole.
    """
    try:
        from pyspark.sql.connect.session import SparkSession
    except ImportError as error:
        raise EngineError(
            "The Spark Connect client is not installed.",
            why=str(error),
            fix="Install it:\n    pip install 'autoloader[spark]'",
        ) from None
    _knock_at_server(remote)
    try:
        session = SparkSession.builder.remote(remote).create()
        for key, value in (conf or {}).items():
            if key.startswith("spark.sql."):
                session.conf.set(key, value)
            elif key == "spark.archives":
                session.addArtifacts(*value.split(","), archive=True)
        session.range(1).count()
    except Exception as error:
        raise explain(error, doing=f"The Spark Connect server {_without_token(remote)} cannot be used") from None
    return session


def sail_server() -> tuple[SparkSession, Any]:
    """Sail in this process, on a free port of the loopback, and a session on it.

    Raises:
        EngineError: If it is not installed or does not know this PySpark.
    """
    if not has_sail():
        raise EngineError("Sail is not installed.", fix="Install it:\n    pip install 'autoloader[sail]'")
    os.environ.setdefault("RUST_LOG", "off")  # its log would go to our stderr
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    try:
        address = server.listening_address
        if address is None:
            raise EngineError("Sail did not start.")
        return connect_session(f"sc://{address[0]}:{address[1]}"), server
    except BaseException:
        server.stop()
        raise


def _workers_python(master: str, conf: Mapping[str, str]) -> str:
    """Ours, unless said otherwise: Spark's own choice is the system's `python3`, with none of our packages."""
    said = conf.get("spark.pyspark.python") or conf.get("spark.executorEnv.PYSPARK_PYTHON")
    if not said and not master.startswith("local"):
        said = os.environ.get("PYSPARK_PYTHON")
    return said or sys.executable


def _defaults(master: str) -> dict[str, str]:
    quiet = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.python.worker.reuse": "true",
    }
    if master.startswith("local") or master.startswith(_LOOPBACK):
        quiet |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return quiet


def _knock_at_master(master: str) -> None:
    """Spark itself would try for a minute, and then go away without a word."""
    if not master.startswith("spark://"):
        return
    addresses = [_host_and_port(part, 7077) for part in master.removeprefix("spark://").split(",")]
    if not any(_answers(*address) for address in addresses):
        raise EngineError(
            f"The Spark master {redacted(master)} does not answer.",
            fix="Start it, or set `spark: {master: …}` in the settings to the URL that its web page shows.",
        )


def _knock_at_server(remote: str) -> None:
    """The Connect client itself would try for ten minutes."""
    parts = urlsplit(remote)
    if any(os.environ.get(name) for name in ("grpc_proxy", "https_proxy", "http_proxy")):
        return
    if parts.hostname and not _answers(parts.hostname, parts.port or 15002):
        raise EngineError(
            f"The Spark Connect server {_without_token(remote)} does not answer.",
            fix="Start it, or set `spark: {remote: …}` in the settings to where it is.",
        )


def _host_and_port(address: str, default: int) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return (host, int(port)) if host and port.isdigit() else (address, default)


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host.strip("[]"), port), timeout=5):
            return True
    except OSError:
        return False


def _without_token(remote: str) -> str:
    return redacted(remote.split(";")[0].rstrip("/"))
