"""What every engine must do alike, whatever runs the tasks."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark import cloudpickle

from autoloader import engine as room
from autoloader.engine import Engine
from autoloader.errors import EngineError
from tests.engines import SharedSpark, settings_for

# the executors cannot import this file; what they run of it travels by value
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SEEN = pa.schema([("task", pa.int64()), ("rows", pa.int64()), ("xs", pa.list_(pa.int64())), ("process", pa.int64())])


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("local", marks=pytest.mark.jvm),
        pytest.param("cluster", marks=[pytest.mark.jvm, pytest.mark.slow]),
        pytest.param("connect", marks=[pytest.mark.jvm, pytest.mark.slow]),
        pytest.param("sail", marks=pytest.mark.slow),
    ],
)
def engine(request: pytest.FixtureRequest, shared_spark: SharedSpark) -> Iterator[Engine]:
    shared_spark.stop()
    with settings_for(request.param) as settings, room.start(None, settings) as started:
        assert started.kind == request.param
        yield started


def see(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row that says what this call was given."""
    table = pa.Table.from_batches(list(batches))
    numbers = set(table["task"].to_pylist())
    assert len(numbers) == 1
    row = {
        "task": numbers.pop(),
        "rows": table.num_rows,
        "xs": table["x"].to_pylist(),
        "process": os.getpid(),
    }
    yield pa.RecordBatch.from_pylist([row], schema=SEEN)


def echo(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


@pytest.mark.slow
def test_all_rows_of_one_task_go_to_one_call_in_their_order(engine: Engine) -> None:
    numbers = [7, 0, 7, 3, 7, 0]
    got = engine.map(pa.table({"task": numbers, "x": range(6)}), see, SEEN)
    assert got.select(["task", "rows", "xs"]).to_pylist() == [
        {"task": 0, "rows": 2, "xs": [1, 5]},
        {"task": 3, "rows": 1, "xs": [3]},
        {"task": 7, "rows": 3, "xs": [0, 2, 4]},
    ]


@pytest.mark.slow
def test_forty_tasks_are_forty_calls_however_few_cores_there_are(engine: Engine) -> None:
    got = engine.map(pa.table({"task": [*range(40)] * 3, "x": range(120)}), see, SEEN)
    assert got["task"].to_pylist() == list(range(40))
    assert set(got["rows"].to_pylist()) == {3}


def test_long_tasks_run_side_by_side(engine: Engine) -> None:
    def sleep(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        begun = time.time()
        time.sleep(2)
        for batch in batches:
            yield pa.RecordBatch.from_pylist(
                [{"task": batch["task"][0].as_py(), "begun": begun, "ended": time.time()}], schema=spans
            )

    spans = pa.schema([("task", pa.int64()), ("begun", pa.float64()), ("ended", pa.float64())])
    engine.map(pa.table({"task": [0, 1]}), echo, pa.schema([("task", pa.int64())]))  # workers are there
    rows = engine.map(pa.table({"task": [0, 1]}), sleep, spans).to_pylist()
    assert max(row["begun"] for row in rows) < min(row["ended"] for row in rows)


def test_every_type_comes_back_as_it_went(engine: Engine) -> None:
    at = datetime(2024, 3, 10, 7, 30, 0, 123456, tzinfo=UTC)
    table = pa.table(
        {
            "task": pa.array([1, 1], pa.int32()),
            "ns": pa.array([1_710_055_800_123_456_789, None], pa.timestamp("ns", tz="UTC")),
            "new_york": pa.array([at, None], pa.timestamp("us", tz="America/New_York")),
            "local": pa.array([at.replace(tzinfo=None), None], pa.timestamp("us")),
            "decimal": pa.array([Decimal("12345678901234567890.123456789012345678"), None], pa.decimal128(38, 18)),
            "bytes": pa.array([b"\x00\xff", None], pa.binary()),
            "uuid": pa.array([b"0123456789abcdef", None], pa.binary(16)),
            "word": pa.array(["a", None], pa.dictionary(pa.int8(), pa.string())),
            "small": pa.array([255, None], pa.uint8()),
            "nested": pa.array(
                [[{"a": 1, "b": [("k", None)]}], None],
                pa.list_(pa.struct([("a", pa.int8()), ("b", pa.map_(pa.string(), pa.date32()))])),
            ),
            "nothing": pa.nulls(2),
        }
    )
    assert engine.map(table, echo, table.schema).equals(table)


def test_no_rows_are_no_tasks_and_a_table_of_the_schema(engine: Engine) -> None:
    got = engine.map(pa.table({"task": pa.array([], pa.int32())}), see, SEEN)
    assert got.equals(SEEN.empty_table())


def test_a_task_may_yield_nothing_or_much(engine: Engine) -> None:
    def many(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for _ in range(batch["task"][0].as_py()):
                yield pa.record_batch([pa.array(range(50_000), pa.int64())], names=["n"])

    got = engine.map(pa.table({"task": [0, 3, 5]}), many, pa.schema([("n", pa.int64())]))
    assert got.num_rows == 8 * 50_000


def test_an_input_of_several_megabytes_arrives_whole(engine: Engine) -> None:
    noise = [os.urandom(1 << 20) for _ in range(12)]
    table = pa.table({"task": [0, 1, 2] * 4, "noise": pa.array(noise, pa.binary())})
    got = engine.map(table, echo, table.schema)
    assert sorted(got["noise"].to_pylist()) == sorted(noise)


@pytest.mark.slow
def test_progress_comes_at_least_every_two_seconds_and_ends_complete(engine: Engine) -> None:
    def slow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            time.sleep(0.6)
            yield batch

    calls: list[tuple[float, int, int, int]] = []

    def note(done: int, total: int) -> None:
        calls.append((time.monotonic(), done, total, threading.get_ident()))

    tasks = 5 * engine.parallelism
    engine.map(pa.table({"task": range(tasks)}), slow, pa.schema([("task", pa.int64())]), on_progress=note)
    assert {total for _, _, total, _ in calls} == {tasks}
    assert {thread for *_, thread in calls} == {threading.get_ident()}
    done = [done for _, done, _, _ in calls]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == tasks
    assert len(set(done)) > 2, "some progress is seen before the end"
    assert max(later[0] - earlier[0] for earlier, later in itertools.pairwise(calls)) < 2


@pytest.mark.slow
def test_an_error_in_a_task_is_told_in_its_own_words(engine: Engine) -> None:
    def fail(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch["task"][0].as_py() == 2:
                raise LookupError("no such thing as 'x y'\nin line 3")
            yield batch

    with pytest.raises(EngineError) as caught:
        engine.map(pa.table({"task": range(4)}), fail, pa.schema([("task", pa.int64())]))
    assert "LookupError: no such thing as 'x y' in line 3" in str(caught.value)
    assert "\tat " not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    again = engine.map(pa.table({"task": [1], "x": [1]}), see, SEEN)
    assert again.num_rows == 1, "the engine lives on"


def test_a_missing_module_on_the_executors_names_the_module_and_the_way_out(engine: Engine) -> None:
    def fail(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401

        yield from batches

    with pytest.raises(EngineError, match="no module no_such_module") as caught:
        engine.map(pa.table({"task": [1]}), fail, pa.schema([("task", pa.int64())]))
    assert "executor" in caught.value.fix


@pytest.mark.slow
def test_rows_of_another_schema_are_refused(engine: Engine) -> None:
    with pytest.raises(EngineError, match="schema"):
        engine.map(pa.table({"task": [1]}), echo, SEEN)


def test_tasks_can_import_the_package_where_they_run(engine: Engine) -> None:
    def where(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import autoloader.schema

        for _ in batches:
            yield pa.record_batch([pa.array([autoloader.schema.__file__])], names=["file"])

    [file] = engine.map(pa.table({"task": [1]}), where, pa.schema([("file", pa.string())]))["file"].to_pylist()
    assert (".zip" in file) == (engine.kind in ("cluster", "connect")), "shipped where disks may differ"


@pytest.mark.slow
def test_ctrl_c_while_tasks_run_cancels_them(engine: Engine, tmp_path: Path) -> None:
    def slow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            time.sleep(0.5)
            (folder / str(batch["task"][0].as_py())).touch()
            yield batch

    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    folder = tmp_path
    tasks = 60 * engine.parallelism
    with pytest.raises(KeyboardInterrupt):
        engine.map(pa.table({"task": range(tasks)}), slow, pa.schema([("task", pa.int64())]), on_progress=interrupt)
    time.sleep(4)  # what had begun may end
    done = len(list(folder.iterdir()))
    time.sleep(3)
    assert len(list(folder.iterdir())) == done < tasks
