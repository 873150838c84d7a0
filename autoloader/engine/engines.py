"""The engines themselves: one way to run a task function over a table, whatever runs it."""

from __future__ import annotations

import tempfile
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import pyarrow as pa

from autoloader.engine.failures import explain
from autoloader.engine.packing import PackedTask, TaskFunction, from_bytes, pack
from autoloader.engine.shipping import package_zip
from autoloader.errors import EngineError

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql.connect.session import SparkSession

    from autoloader.engine.jvm import Jvm

CONTEXT: Final = threading.RLock()
"""Held while this process's one SparkContext is looked for, made, shared or ended."""

Kind = Literal["local", "cluster", "connect", "sail"]
OnProgress = Callable[[int, int], None]

WARM_SCHEMA = pa.schema([pa.field("modules", pa.int32())])
_WARM_MODULES = ("autoloader.loader", "duckdb", "pyarrow.parquet", "pyiceberg.io.pyarrow", "obstore")


class Engine(ABC):
    """Something that runs tasks. Use `start`; end with `stop` or as a context manager.

    Attributes:
        kind: `local`, `cluster`, `connect` or `sail`.
        version: Of the engine, e.g. "4.2.1".
        jvm: Whether a JVM runs in or for this process.
        notes: What a person should know of the choice, one sentence each.
    """

    kind: Kind
    version: str
    jvm: bool
    notes: tuple[str, ...]

    @property
    @abstractmethod
    def parallelism(self) -> int:
        """How many tasks run at once, as far as the engine can tell now."""

    @abstractmethod
    def stop(self) -> None:
        """Ends what `start` started, and nothing that was there before. Twice is once."""

    @abstractmethod
    def _run(self, task: PackedTask, packed: tuple[tuple[int, bytes], ...], tell: OnProgress) -> list[bytes]: ...

    def map(
        self,
        table: pa.Table,
        function: TaskFunction,
        schema: pa.Schema,
        *,
        on_progress: OnProgress | None = None,
    ) -> pa.Table:
        """Runs `function` once per task number, each in one task of the engine.

        Args:
            table: Rows with an integer column `task`. All rows of one number go to one call, in their
                order; tasks start in rising order of their numbers, so give the long ones low numbers.
            function: Picklable; gets batches with the columns of `table`, yields batches of `schema`. May
                be called again for the same task after a failure: only the last call's rows come back.
            schema: Of the results.
            on_progress: Called in this thread with (tasks done, tasks in all): at the start, about five
                times a second, and at the end.

        Returns:
            All yielded rows, by task number, then in the order in which they were yielded.

        Raises:
            EngineError: If a task raised or the engine lost the job; says why in one line.
        """
        packed = pack(table)
        tell = on_progress or _say_nothing
        tell(0, len(packed))
        if not packed:
            return schema.empty_table()
        task = PackedTask(function, schema, uuid.uuid4().hex, in_process=self.kind == "sail")
        try:
            payloads = self._run(task, packed, tell)
        except Exception as error:
            raise explain(error) from None
        tell(len(packed), len(packed))
        return from_bytes(iter(payloads), schema)

    def warm_up(self) -> None:
        """Makes every local worker import what tasks need, so that the first real task need not.

        Raises:
            EngineError: If the workers cannot run at all.
        """
        tasks = pa.table({"task": pa.array(range(self.parallelism), pa.int32())})
        self.map(tasks, import_modules, WARM_SCHEMA)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class ClassicEngine(Engine):
    """Spark with a SparkContext in this process: our own, or the one that was already here."""

    jvm = True

    def __init__(self, kind: Kind, context: SparkContext, jvm: Jvm | None, notes: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self.version = str(context.version)
        self.notes = notes
        self.context = context
        self._lease = _ContextLease.take(context, jvm)
        self._running: set[str] = set()
        self._changed = threading.Condition()
        self._stopped = False

    @property
    def parallelism(self) -> int:
        """Cores of local Spark; of a cluster, those of the executors that have come so far."""
        return int(self.context.defaultParallelism)

    def ship(self) -> None:
        """Gives this package to executors that do not share our disk."""
        self._lease.ship(self.context)

    def stop(self) -> None:
        """Ends our JVM once nobody in this process uses it; leaves a context that was here before."""
        try:
            with self._changed:
                self._stopped = True
                for group in self._running:
                    self.context.cancelJobGroup(group)
                self._changed.wait_for(lambda: not self._running, timeout=5)
        finally:
            self._lease.give_back()

    def _run(self, task: PackedTask, packed: tuple[tuple[int, bytes], ...], tell: OnProgress) -> list[bytes]:
        from autoloader.engine import classic

        group = f"autoloader-{task.run_id}"
        with self._changed:
            if self._stopped:
                raise EngineError("The engine was stopped.")
            self._running.add(group)
        try:
            return classic.run(self.context, group, task, packed, tell)
        except Exception as error:  # its text is the JVM's to give: asked for while there is one
            raise explain(error) from None
        finally:
            with self._changed:
                self._running.discard(group)
                self._changed.notify_all()


class ConnectEngine(Engine):
    """A Spark Connect server, or Sail in this process."""

    jvm = False

    def __init__(
        self,
        kind: Kind,
        session: SparkSession,
        *,
        server: Any = None,
        owned: bool = True,
        cores: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.kind = kind
        self.notes = notes
        self.session = session
        self.version = str(session.version)
        self._server = server
        self._owned = owned
        self._cores = cores

    @property
    def parallelism(self) -> int:
        """Cores of this machine for Sail; for a server, what it says of its default parallelism."""
        if self._cores is None:
            from pyspark.sql.connect.functions import spark_partition_id

            parts = self.session.range(100_000).select(spark_partition_id()).distinct().count()
            self._cores = max(1, int(parts))
        return self._cores

    def ship(self) -> None:
        """Gives this package to the server's executors. One that takes none (Sail) has to have it installed."""
        from pyspark.errors import UnsupportedOperationException

        with tempfile.TemporaryDirectory(prefix="autoloader-") as folder:
            try:
                self.session.addArtifacts(str(package_zip(Path(folder))), pyfile=True)
            except UnsupportedOperationException:
                self.notes += ("The server takes no packages: autoloader must be installed there.",)

    def stop(self) -> None:
        """Ends the session and the server that are ours."""
        if self._owned:
            self._owned = False
            with suppress(Exception):  # the server may be gone already
                self.session.stop()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _run(self, task: PackedTask, packed: tuple[tuple[int, bytes], ...], tell: OnProgress) -> list[bytes]:
        from autoloader.engine import connect

        if task.in_process:
            return connect.run_on_sail(self.session, task, packed, tell, slots=self.parallelism)
        return connect.run(self.session, task, packed, tell)


class _ContextLease:
    """One SparkContext may be used by several engines of this process; the last one ends it."""

    _users: ClassVar[dict[int, int]] = {}
    _jvms: ClassVar[dict[int, Jvm]] = {}
    _folders: ClassVar[dict[int, tempfile.TemporaryDirectory[str]]] = {}

    def __init__(self, key: int) -> None:
        self._key: int | None = key

    @classmethod
    def take(cls, context: SparkContext, jvm: Jvm | None) -> _ContextLease:
        with CONTEXT:
            key = id(context)
            cls._users[key] = cls._users.get(key, 0) + 1
            if jvm is not None:
                cls._jvms[key] = jvm
            return cls(key)

    def ship(self, context: SparkContext) -> None:
        with CONTEXT:
            if self._key is None or self._key in self._folders:
                return
            folder = tempfile.TemporaryDirectory(prefix="autoloader-")
            self._folders[self._key] = folder  # Spark serves the file from here as long as it lives
            context.addPyFile(str(package_zip(Path(folder.name))))

    def give_back(self) -> None:
        from pyspark import SparkContext

        from autoloader.engine.starting import release_context

        with CONTEXT:
            key, self._key = self._key, None
            if key is None:
                return
            self._users[key] -= 1
            if self._users[key]:
                return
            del self._users[key]
            if jvm := self._jvms.pop(key, None):
                if id(SparkContext._active_spark_context) == key:
                    release_context()
                jvm.stop()
                if folder := self._folders.pop(key, None):
                    folder.cleanup()


def import_modules(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The task of `Engine.warm_up`: imports what loading needs, as far as it is there."""
    import importlib

    for _ in batches:
        for name in _WARM_MODULES:
            with suppress(ImportError):
                importlib.import_module(name)
        yield pa.record_batch([pa.array([len(_WARM_MODULES)], pa.int32())], schema=WARM_SCHEMA)


def _say_nothing(done: int, total: int) -> None:
    """No progress wanted."""


def merged_conf(*parts: Mapping[str, str] | None) -> dict[str, str]:
    """Spark conf from several places, later ones win."""
    return {key: value for part in parts if part for key, value in part.items()}
