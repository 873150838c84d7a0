"""The engine's parts that need no engine: which Java, what a failure says, how rows are packed."""

from __future__ import annotations

import os
import sys
import threading
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from autoloader import engine
from autoloader.engine import jobs, packing, starting
from autoloader.engine.failures import explain
from autoloader.engine.java import all_java, find_java, why_none
from autoloader.engine.shipping import package_zip
from autoloader.errors import EngineError, SettingsError
from autoloader.spec import SparkSettings

FIT = "java.base jdk.incubator.vector java.sql"


def make_java(home: Path, version: str, modules: str | None = FIT) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text("#!/bin/sh\n")
    (home / "bin" / "java").chmod(0o755)
    lines = [f'JAVA_VERSION="{version}"'] + ([f'MODULES="{modules}"'] if modules is not None else [])
    (home / "release").write_text("\n".join(lines) + "\n")
    return home


@pytest.fixture(autouse=True)
def no_active_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another suite's Spark may run in this process; what is tested here is starting one."""
    monkeypatch.setattr(engine, "_active", lambda: None)
    monkeypatch.setattr(engine, "_of_this_process", lambda: None)


@pytest.fixture
def no_usual_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoloader.engine.java._USUAL", ())


@pytest.mark.usefixtures("no_usual_folders")
class TestJava:
    def test_the_one_of_java_home_goes_before_the_one_on_the_path(self, tmp_path: Path) -> None:
        here = make_java(tmp_path / "a", "21.0.2")
        there = make_java(tmp_path / "b", "17.0.15")
        found = find_java({"JAVA_HOME": str(here), "PATH": str(there / "bin")})
        assert found is not None
        assert (found.home, found.version, found.found_by) == (here, 21, "JAVA_HOME")

    def test_an_old_one_in_java_home_does_not_hide_a_fit_one(self, tmp_path: Path) -> None:
        old = make_java(tmp_path / "old", "1.8.0_402", None)
        fit = make_java(tmp_path / "fit", "17.0.15")
        found = find_java({"JAVA_HOME": str(old), "PATH": str(fit / "bin")})
        assert found is not None
        assert found.home == fit

    def test_the_oldest_fit_one_of_the_usual_folders_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for version in ("25.0.1", "11.0.2", "17.0.1"):
            make_java(tmp_path / f"jdk-{version}", version)
        monkeypatch.setattr("autoloader.engine.java._USUAL", (str(tmp_path / "*"),))
        found = find_java({"PATH": ""})
        assert found is not None
        assert found.version == 17
        assert len(all_java({"PATH": ""})) == 3

    def test_a_runtime_without_the_vector_module_is_not_fit(self, tmp_path: Path) -> None:
        home = make_java(tmp_path / "jre", "17.0.1", "java.base java.sql")
        assert find_java({"JAVA_HOME": str(home), "PATH": ""}) is None
        assert "jdk.incubator.vector" in why_none({"JAVA_HOME": str(home), "PATH": ""})

    def test_what_was_found_instead_is_said(self, tmp_path: Path) -> None:
        home = make_java(tmp_path / "jdk8", "1.8.0_402", None)
        assert "Java 8 was found" in why_none({"JAVA_HOME": str(home), "PATH": ""})
        assert "No Java was found" in why_none({"PATH": ""})

    def test_a_java_without_a_release_file_is_seen_and_not_trusted(self, tmp_path: Path) -> None:
        home = make_java(tmp_path / "java-8-x", "8")
        (home / "release").unlink()
        assert find_java({"JAVA_HOME": str(home), "PATH": ""}) is None
        assert "Java 8 was found" in why_none({"JAVA_HOME": str(home), "PATH": ""})

    def test_local_spark_without_java_names_both_ways_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "old", "11.0.1")))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(EngineError) as caught:
            engine.start("local", SparkSettings())
        assert caught.value.what == "Spark cannot start: no Java 17 or newer is usable here."
        assert "Java 11 was found" in caught.value.why
        assert "Install a JDK 17+" in caught.value.fix
        assert "--engine sail" in caught.value.fix


class TestSettings:
    def test_a_cluster_needs_a_master(self) -> None:
        with pytest.raises(SettingsError, match="needs the address of a master"):
            engine.start("cluster", SparkSettings())

    def test_connect_needs_a_remote(self) -> None:
        with pytest.raises(SettingsError, match="needs the address of a Spark Connect server"):
            engine.start("connect", SparkSettings())

    def test_an_unknown_engine_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="no engine 'flink'"):
            engine.start("flink", SparkSettings())

    def test_a_background_start_that_fails_tells_when_it_is_waited_for(self) -> None:
        starting_engine = engine.start_in_background(SparkSettings(), "cluster")
        with pytest.raises(SettingsError):
            starting_engine.wait()
        assert starting_engine.ready
        starting_engine.stop()

    def test_missing_packages_are_named_with_their_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(starting, "has_spark", lambda: False)
        monkeypatch.setattr(starting, "has_sail", lambda: False)
        with pytest.raises(EngineError, match=r"pip install 'autoloader\[spark\]'"):
            engine.start("auto", SparkSettings())
        with pytest.raises(EngineError, match=r"pip install 'autoloader\[sail\]'"):
            engine.start("sail", SparkSettings())


class TestFailures:
    def test_a_task_s_own_error_is_found_in_any_wrapping(self) -> None:
        mark = packing.MARK
        text = f"java.lang.X: y\n\tat z(A.java)\nRuntimeError: {mark}ValueError: bad 'x'{mark}\n\tat more"
        assert str(explain(Exception(text))) == "The Spark job failed: a task raised ValueError: bad 'x'"

    def test_the_last_line_of_a_traceback_is_taken_and_no_java(self) -> None:
        text = (
            "An error occurred while calling o1.collect.\n: org.apache.spark.SparkException: Job aborted:"
            " Traceback (most recent call last):\n  File 'a.py', line 1, in f\n    g()\n"
            "OSError: [Errno 28] No space left on device\n\n\tat org.apache.spark.X(X.scala:1)\n"
            "Caused by: java.lang.RuntimeException: no\n"
        )
        assert str(explain(Exception(text))) == "The Spark job failed: OSError: [Errno 28] No space left on device"

    def test_without_python_the_first_line_that_says_something_is_taken(self) -> None:
        text = (
            "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.\n"
            ": org.apache.spark.SparkException: [SPARK_JOB_CANCELLED] Job 0 cancelled. SQLSTATE: XXKDA\n"
            "\tat org.apache.spark.X(X.scala:1)\n"
        )
        assert (
            str(explain(Exception(text)))
            == "The Spark job failed: [SPARK_JOB_CANCELLED] Job 0 cancelled. SQLSTATE: XXKDA"
        )

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("ModuleNotFoundError: No module named 'duckdb'", "no module duckdb"),
            ('java.io.IOException: Cannot run program "/x/python": error=2', "no Python at /x/python"),
            ("SparkException: Python worker exited unexpectedly (crashed): x", "want of memory"),
            ("Job 0 cancelled because SparkContext was shut down", "went away"),
            ("invalid argument: unsupported PySpark version: 4.3.0", "does not work with PySpark 4.3.0"),
        ],
    )
    def test_known_failures_say_what_to_do(self, text: str, what: str) -> None:
        error = explain(Exception(text))
        assert what in error.what
        assert error.fix

    def test_an_error_of_ours_stays_as_it_is(self) -> None:
        error = EngineError("x", fix="y")
        assert explain(error) is error


class TestPacking:
    def test_a_table_without_task_numbers_is_refused(self) -> None:
        for table in (pa.table({"x": [1]}), pa.table({"task": ["a"]}), pa.table({"task": [1, None]})):
            with pytest.raises(ValueError, match="integer column 'task'"):
                packing.pack(table)

    def test_tasks_come_in_rising_order_and_rows_in_theirs(self) -> None:
        packed = packing.pack(pa.table({"task": pa.array([2, 0, 2], pa.int64()), "x": ["a", "b", "c"]}))
        assert [number for number, _ in packed] == [0, 2]
        assert packing.from_bytes(
            [packed[1][1]], pa.schema([("task", pa.int64()), ("x", pa.string())])
        ).to_pydict() == {
            "task": [2, 2],
            "x": ["a", "c"],
        }

    def test_many_chunks_make_no_more_tasks(self) -> None:
        chunks = [pa.table({"task": [number % 3]}) for number in range(10)]
        assert len(packing.pack(pa.concat_tables(chunks))) == 3


def test_the_shipped_zip_is_the_package_and_the_same_every_time(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = package_zip(tmp_path / "a"), package_zip(tmp_path / "b")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    names = zipfile.ZipFile(first).namelist()
    assert {"autoloader/__init__.py", "autoloader/loader/__init__.py"} <= set(names)
    assert all(name.endswith(".py") for name in names)


@pytest.mark.parametrize(
    ("master", "conf", "environ", "python"),
    [
        ("local[2]", {}, "python3", sys.executable),
        ("local[2]", {"spark.pyspark.python": "/x/python"}, "python3", "/x/python"),
        ("spark://host:7077", {}, "", sys.executable),
        ("spark://host:7077", {}, "./env/bin/python", "./env/bin/python"),
        ("spark://host:7077", {"spark.executorEnv.PYSPARK_PYTHON": "./a"}, "./b", "./a"),
    ],
)
def test_workers_run_our_python_unless_another_is_named(
    master: str, conf: dict[str, str], environ: str, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", environ)
    assert starting._workers_python(master, conf) == python


def test_local_workers_are_given_this_process_s_import_path() -> None:
    paths = starting.local_python_path()["PYTHONPATH"].split(os.pathsep)
    assert Path(paths[0]) == Path(engine.__file__).parents[2]
    assert "" not in paths


def test_a_connect_servers_progress_is_taken_as_pyspark_hands_it_over() -> None:
    from types import SimpleNamespace

    from autoloader.engine.connect import _Stages

    stages = _Stages(4)
    ours, other = (
        SimpleNamespace(num_tasks=4, num_completed_tasks=3),
        SimpleNamespace(num_tasks=1, num_completed_tasks=1),
    )
    stages(stages=[ours, other], inflight_tasks=1, operation_id="id", done=False)
    assert stages.done == 3
    stages(stages=None, inflight_tasks=0, operation_id=None, done=True)
    assert stages.done == 3


def test_a_call_that_hangs_is_waited_for_no_longer_than_was_said() -> None:
    hangs = threading.Event()
    assert jobs.within(60, lambda: None)
    assert not jobs.within(0.01, hangs.wait)
    with pytest.raises(ZeroDivisionError):
        jobs.within(60, lambda: 1 // 0)
    hangs.set()
