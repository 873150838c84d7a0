"""Spark: local, a cluster, a Connect server, or Sail. Runs task functions over tables of tasks.

The only room that may import `pyspark` or `pysail`, and only inside functions: planning never does. It
knows nothing of files, tables or ledgers. Modules that run on executors (`packing`) import this package
too, so nothing heavy may stand at the top of any file here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoloader.engine import starting
from autoloader.engine.engines import CONTEXT, ClassicEngine, ConnectEngine, Engine, Kind, merged_conf
from autoloader.engine.java import JavaInfo, all_java, find_java
from autoloader.engine.jobs import Job
from autoloader.engine.packing import TaskFunction
from autoloader.errors import EngineError, SettingsError, redacted

if TYPE_CHECKING:
    from pyspark import SparkContext

    from autoloader.spec import SparkSettings

__all__ = [
    "Engine",
    "EngineError",
    "JavaInfo",
    "Kind",
    "StartingEngine",
    "TaskFunction",
    "all_java",
    "find_java",
    "start",
    "start_in_background",
]


def start(
    kind: str | None,
    settings: SparkSettings,
    *,
    cores: int | None = None,
    conf: Mapping[str, str] | None = None,
) -> Engine:
    """Starts an engine, or takes the session that is already active in this process.

    Args:
        kind: Overrides `settings.engine` (the command line's `--engine`); None = as the settings say.
            `auto` takes an active session, else a named remote or master, else local Spark where a fit
            Java is, else Sail.
        settings: The project's `spark:` mapping.
        cores: How many to use; None = all that this process may use, or all that the cluster gives. A Connect
            server has its own.
        conf: Spark conf of the compute profile; wins over the settings' own.

    Raises:
        EngineError: If the engine cannot be had; says what to install or to set.
        SettingsError: If the settings lack what that engine needs.
    """
    wanted = kind or settings.engine
    merged = merged_conf(settings.conf, conf)
    match wanted:
        case "auto":
            return _auto(settings, cores, merged)
        case "local":
            return _local(cores, merged, settings.master)
        case "cluster":
            return _cluster(settings, merged if cores is None else {**merged, "spark.cores.max": str(cores)})
        case "connect":
            return _connect(settings, merged)
        case "sail":
            return _sail(cores)
        case _:
            raise SettingsError(f"There is no engine {wanted!r}.", fix="Use auto, local, cluster, connect or sail.")


class StartingEngine:
    """An engine that starts in a thread of its own. `wait` for it, or `stop` it unwanted.

    Local Spark's Python workers go on importing what tasks need after `wait` has returned.
    """

    def __init__(
        self, kind: str | None, settings: SparkSettings, cores: int | None, conf: Mapping[str, str] | None
    ) -> None:
        self._job: Job[Engine] = Job(lambda: start(kind, settings, cores=cores, conf=conf))
        self._job.start()
        Job(self._warm_up).start()

    def _warm_up(self) -> None:
        engine = self._job.result()
        if engine.kind == "local":
            engine.warm_up()

    @property
    def ready(self) -> bool:
        """Whether `wait` would return or raise at once."""
        return self._job.wait(0)

    def wait(self) -> Engine:
        """The engine, when it is there.

        Raises:
            EngineError: If it could not be started.
        """
        return self._job.result()

    def stop(self) -> None:
        """Stops the engine, also one that is still starting; never raises."""
        try:
            self._job.result().stop()
        except Exception:
            return


def start_in_background(
    settings: SparkSettings,
    kind: str | None = None,
    *,
    cores: int | None = None,
    conf: Mapping[str, str] | None = None,
) -> StartingEngine:
    """Starts an engine while the caller does other things; see `start` for the arguments."""
    return StartingEngine(kind, settings, cores, conf)


def _auto(settings: SparkSettings, cores: int | None, conf: Mapping[str, str]) -> Engine:
    if engine := _active():
        return engine
    if settings.remote:
        return _connect(settings, conf)
    if settings.master and not settings.master.startswith("local"):
        return start("cluster", settings, cores=cores, conf=conf)
    if starting.has_spark() and find_java():
        return _local(cores, conf, settings.master)
    if starting.has_sail():
        missing = "no usable Java 17+ was found" if starting.has_spark() else "Spark is not installed"
        return _sail(cores, notes=(f"Sail runs the tasks, because {missing}.",))
    return _local(cores, conf, None)  # raises, naming the ways out


def _active() -> Engine | None:
    """The session that this process already has (a notebook's, a platform's), without importing pyspark."""
    if "pyspark" not in sys.modules:
        return None
    if engine := _of_this_process():
        return engine
    if "pyspark.sql.connect.session" in sys.modules:
        from pyspark.sql.connect.session import SparkSession

        if session := SparkSession.getActiveSession():
            note = "Uses the Spark Connect session that was already active."
            engine = ConnectEngine("connect", session, owned=False, notes=(note,))
            engine.ship()
            return engine
    return None


def _of_this_process() -> Engine | None:
    """An engine on the SparkContext that is here, if any: a process has one at a time."""
    if "pyspark" not in sys.modules:
        return None
    from pyspark import SparkContext

    with CONTEXT:
        context = SparkContext._active_spark_context
        return None if context is None else _classic_of(context)


def _classic_of(context: SparkContext) -> Engine:
    is_local = str(context.master).startswith("local")
    note = f"Uses the Spark session that was already active ({redacted(str(context.master))})."
    engine = ClassicEngine("local" if is_local else "cluster", context, None, (note,))
    engine.ship()
    return engine


def _local(cores: int | None, conf: Mapping[str, str], said: str | None) -> Engine:
    master = f"local[{cores or starting.cores_here()}]"
    if said and said.startswith("local") and not cores:
        master = said
    with CONTEXT:
        if engine := _of_this_process():
            return engine
        context, jvm = starting.spark_context(master, conf, environment=starting.local_python_path())
        return ClassicEngine("local", context, jvm)


def _cluster(settings: SparkSettings, conf: Mapping[str, str]) -> Engine:
    with CONTEXT:
        if engine := _of_this_process():
            return engine
        if not settings.master:
            raise SettingsError(
                "The engine 'cluster' needs the address of a master.",
                fix="Add it to the settings:\n    spark: {engine: cluster, master: 'spark://host:7077'}",
            )
        context, jvm = starting.spark_context(settings.master, conf)
        own = ClassicEngine("cluster", context, jvm)
    own.ship()
    return own


def _connect(settings: SparkSettings, conf: Mapping[str, str]) -> Engine:
    if not settings.remote:
        raise SettingsError(
            "The engine 'connect' needs the address of a Spark Connect server.",
            fix="Add it to the settings:\n    spark: {engine: connect, remote: 'sc://host:15002'}",
        )
    engine = ConnectEngine("connect", starting.connect_session(settings.remote, conf))
    engine.ship()
    return engine


def _sail(cores: int | None, notes: tuple[str, ...] = ()) -> Engine:
    session, server = starting.sail_server()
    return ConnectEngine("sail", session, server=server, cores=cores or starting.cores_here(), notes=notes)
