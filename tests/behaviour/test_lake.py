"""Iceberg tables by way of the lake: on a local warehouse, on S3, with the catalog in SQLite and Postgres."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.transforms import BucketTransform
from pyiceberg.types import StringType

from autoloader.errors import CommitConflictError, DeleteFilesError, LakeError
from autoloader.lake import Lake, SchemaUpdate
from autoloader.lake.state import LINEAGE
from autoloader.schema import Column, Primitive, TableSchema, parse_type
from autoloader.spec import StorageSettings
from tests.behaviour import lake_kit as kit
from tests.deletefiles import delete_rows

ID = Column("id", Primitive("long"))
NAME = Column("name", Primitive("string"))
FLIGHTS = TableSchema((ID, NAME))


def rows_of(src_file_id: int, n: int = 3, batch_id: str = "b1") -> str:
    return f"SELECT range AS id, 'n' || range AS name, {kit.lineage_sql(src_file_id, batch_id)} FROM range({n})"


S3_AND_POSTGRES = pytest.param("s3 and postgres", marks=pytest.mark.slow)


S3A = pytest.param("s3a", marks=pytest.mark.slow)


@pytest.fixture(params=["local", "plain path with # and ?", S3_AND_POSTGRES, S3A])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    match request.param:
        case "local":
            found = Lake(project_dir=tmp_path)
        case "s3a":
            bucket, endpoint = request.getfixturevalue("s3_bucket"), request.getfixturevalue("moto_server")
            found = Lake(
                {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"s3a://{bucket}/lake"},
                {"s3": StorageSettings(endpoint=endpoint, region="us-east-1")},
            )
        case "s3 and postgres":
            bucket, url = request.getfixturevalue("s3_bucket"), request.getfixturevalue("fresh_postgres_url")
            endpoint = request.getfixturevalue("moto_server")
            found = Lake(
                {"type": "sql", "uri": url, "warehouse": f"s3://{bucket}/lake"},
                {"s3": StorageSettings(endpoint=endpoint, region="us-east-1")},
            )
        case _:
            folder = tmp_path / "odd #1? 100%20"
            folder.mkdir()
            found = Lake(project_dir=folder)
    yield found
    found.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Lake]:
    found = Lake(project_dir=tmp_path)
    yield found
    found.close()


def storage_of(lake: Lake) -> Any:
    return lake._storage


def load(lake: Lake, select_sql: str, batch_id: str = "b1", **more: Any) -> int | None:
    data = kit.data_files(lake, "raw.flights", select_sql, batch_id, storage=storage_of(lake))
    return lake.commit("raw.flights", kit.batch(data, batch_id, **more))


def test_a_catalog_that_is_not_there_has_no_tables_and_is_not_made_by_asking(tmp_path: Path) -> None:
    assert Lake(project_dir=tmp_path).table("raw.flights") is None
    assert list(tmp_path.iterdir()) == []


def test_a_committed_batch_is_read_back_and_found_by_its_id(lake: Lake) -> None:
    lake.create("raw.flights", FLIGHTS)
    snapshot = load(lake, rows_of(1))
    assert snapshot is not None
    state = lake.table("raw.flights")
    assert state is not None
    assert (state.rows, state.data_files, state.snapshot_id) == (3, 1, snapshot)
    assert state.schema == FLIGHTS
    assert state.has_lineage
    assert lake.find_batch("raw.flights", "b1") == snapshot
    assert lake.find_batch("raw.flights", "b2") is None
    assert [(r["id"], r["name"], r["_src_row"]) for r in kit.scan(lake, "raw.flights")] == [
        (0, "n0", 0),
        (1, "n1", 1),
        (2, "n2", 2),
    ]


def test_the_snapshot_says_which_batch_plan_run_and_token_it_is_of(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    load(local, rows_of(1))
    state = local.table("raw.flights")
    assert state is not None
    summary = state.history[0].summary
    assert {k: v for k, v in summary.items() if k.startswith("autoloader.")} == {
        "autoloader.batch-id": "b1",
        "autoloader.plan-id": "plan-1",
        "autoloader.run-id": "run-1",
        "autoloader.fencing-token": "7",
        "autoloader.ingestion": "flights",
    }


def test_committing_a_batch_twice_adds_its_rows_once(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    data = kit.data_files(local, "raw.flights", rows_of(1))
    first = local.commit("raw.flights", kit.batch(data))
    assert local.commit("raw.flights", kit.batch(data)) == first
    assert len(kit.scan(local, "raw.flights")) == 3


def test_a_batch_without_files_makes_no_snapshot(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    assert local.commit("raw.flights", kit.batch()) is None
    state = local.table("raw.flights")
    assert state is not None
    assert state.history == ()


def test_a_replacement_takes_old_rows_out_and_new_ones_in_by_one_snapshot(lake: Lake) -> None:
    lake.create("raw.flights", FLIGHTS)
    load(lake, rows_of(1, 3), "b1")
    load(lake, rows_of(2, 5), "b2")
    held = lake.files_holding("raw.flights", [1])
    assert [(h.held, h.rows, h.empties) for h in held] == [({1: 3}, 3, True)]
    data = kit.data_files(lake, "raw.flights", rows_of(3, 4), "b3", storage=storage_of(lake))
    lake.commit("raw.flights", kit.batch(data, "b3", removed_files=tuple(h.path for h in held)))
    state = lake.table("raw.flights")
    assert state is not None
    assert len(state.history) == 3
    assert (state.rows, state.data_files) == (9, 2)
    assert lake.row_counts("raw.flights").to_pylist() == [
        {"src_file_id": 2, "file_path": None, "batch_id": None, "ingested_at": None, "rows": 5},
        {"src_file_id": 3, "file_path": None, "batch_id": None, "ingested_at": None, "rows": 4},
    ]


def test_row_counts_tell_path_and_batch_when_asked(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    load(local, f"({rows_of(1, 3)}) UNION ALL ({rows_of(2, 2)})")
    assert local.row_counts("raw.flights", with_paths=True).to_pylist() == [
        {"src_file_id": 1, "file_path": "file:///f1", "batch_id": "b1", "ingested_at": kit.WHEN, "rows": 3},
        {"src_file_id": 2, "file_path": "file:///f2", "batch_id": "b1", "ingested_at": kit.WHEN, "rows": 2},
    ]
    held = local.files_holding("raw.flights", [2, 77])
    assert [(h.held, h.rows, h.empties) for h in held] == [({2: 2}, 5, False)]


def test_the_data_files_that_leaving_rows_cause_to_be_written_anew_are_told_by_their_bytes(
    local: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.create("raw.flights", FLIGHTS)
    load(local, f"({rows_of(1, 3)}) UNION ALL ({rows_of(3, 2)})", "b1")
    load(local, rows_of(2, 4), "b2")
    load(local, f"({rows_of(4, 3)}) UNION ALL ({rows_of(5, 200)})", "b3")
    first, third = (local.files_holding("raw.flights", [number])[0].size_bytes for number in (1, 4))
    cases = {(1,): first, (2,): 0, (1, 3): 0, (1, 4): first + third, (1, 2, 3, 4): third, (77,): 0, (): 0}
    assert {ids: local.rewritten_bytes("raw.flights", ids) for ids in cases} == cases
    assert local.rewritten_bytes("raw.nowhere", [1]) == 0
    monkeypatch.setattr("autoloader.lake.contents._READ_FOR_A_PRICE", 0)
    told = {ids: local.rewritten_bytes("raw.flights", ids) for ids in cases}
    assert told == {**cases, (2,): first, (1, 3): first, (1, 2, 3, 4): first + third}, "no data file is read"


def test_rows_of_another_writer_are_counted_beside_ours_whatever_its_files_are_like(
    local: Lake, tmp_path: Path
) -> None:
    local.create("raw.flights", FLIGHTS)
    load(local, rows_of(1, 3))
    table = local._catalog.load_table("raw.flights")
    table.append(pa.table({"id": pa.array([7], pa.int64()), "name": ["x"]}))  # its strings are large ones
    narrow = tmp_path / "narrow.parquet"
    pq.write_table(pa.table({"id": pa.array([8, 9], pa.int64()), "name": ["y", "z"]}), narrow)  # no lineage, no ids
    table.add_files([str(narrow)])
    assert [(r["src_file_id"], r["rows"]) for r in local.row_counts("raw.flights").to_pylist()] == [(1, 3), (None, 3)]
    assert local.row_counts("raw.flights", with_paths=True).select(
        ["src_file_id", "file_path", "rows"]
    ).to_pylist() == [
        {"src_file_id": 1, "file_path": "file:///f1", "rows": 3},
        {"src_file_id": None, "file_path": None, "rows": 3},
    ]
    assert [h.held for h in local.files_holding("raw.flights", [1])] == [{1: 3}]
    assert local.files_rescuing("raw.flights", ["a"], []) == ()


def test_a_data_file_that_is_gone_is_named_with_the_way_to_build_the_table_anew(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    load(local, rows_of(1))
    (held,) = local.files_holding("raw.flights", [1])
    Path(held.path.removeprefix("file://")).unlink()
    with pytest.raises(LakeError, match="--refresh NAME=full") as caught:
        local.row_counts("raw.flights", with_paths=True)
    assert Path(held.path).name in caught.value.why


def test_a_table_with_delete_files_of_another_engine_is_neither_counted_nor_written_anew(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    load(local, rows_of(1, 3))
    delete_rows(local._catalog.load_table("raw.flights"), "id", 1)
    assert sorted(row["id"] for row in kit.scan(local, "raw.flights")) == [0, 2]
    for call in (lambda: local.files_holding("raw.flights", [1]), lambda: local.row_counts("raw.flights")):
        with pytest.raises(DeleteFilesError, match=r"raw\.flights do not tell which rows it has"):
            call()
    load(local, rows_of(2, 1), "b2")
    assert sorted(row["id"] for row in kit.scan(local, "raw.flights")) == [0, 0, 2]


def test_a_table_without_lineage_columns_says_so_where_rows_of_files_are_looked_for(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS, lineage_columns=False)
    local.commit("raw.flights", kit.batch(kit.data_files(local, "raw.flights", "SELECT 1::BIGINT AS id, 'a' AS name")))
    for call in (lambda: local.files_holding("raw.flights", [1]), lambda: local.row_counts("raw.flights")):
        with pytest.raises(LakeError, match="no lineage columns"):
            call()


def test_lineage_columns_come_with_a_swap_and_stand_behind_columns_that_come_later(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS, lineage_columns=False)
    first = SchemaUpdate(FLIGHTS, lineage=True)
    more = TableSchema((*FLIGHTS.columns, Column("gate", Primitive("string"))))
    ids = [
        {
            field["name"]: field["id"]
            for field in json.loads(local.write_format("raw.flights", update=update).schema_json)["fields"]
        }
        for update in (first, SchemaUpdate(more, lineage=True))
    ]
    assert ids[1] == {**ids[0], "gate": max(ids[0].values()) + 1}, "data files of the first keep their ids"
    assert list(ids[1]) == ["id", "name", "gate", *(column.name for column in LINEAGE.columns)]
    assert not local.table("raw.flights").has_lineage
    assert local.evolve("raw.flights", first).has_lineage
    assert local.evolve("raw.flights", first).schema == FLIGHTS


def test_removing_a_file_that_another_writer_removed_is_a_conflict_and_adds_nothing(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    load(local, rows_of(1))
    (held,) = local.files_holding("raw.flights", [1])
    local._catalog.load_table("raw.flights").delete("id >= 0")
    data = kit.data_files(local, "raw.flights", rows_of(2), "b2")
    with pytest.raises(CommitConflictError, match="another writer"):
        local.commit("raw.flights", kit.batch(data, "b2", removed_files=(held.path,)))
    assert kit.scan(local, "raw.flights") == []


def test_writers_at_the_same_time_all_get_their_rows_in(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    data = [kit.data_files(local, "raw.flights", rows_of(i), f"b{i}") for i in range(6)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda i: local.commit("raw.flights", kit.batch(data[i], f"b{i}")), range(6)))
    assert len(kit.scan(local, "raw.flights")) == 18
    assert all(local.find_batch("raw.flights", f"b{i}") for i in range(6))


def test_a_replacement_stands_beside_an_append_that_came_between(local: Lake, monkeypatch: Any) -> None:
    """The other writer's append must neither be lost nor refuse ours."""
    from autoloader.lake import commits

    local.create("raw.flights", FLIGHTS)
    load(local, rows_of(1))
    (held,) = local.files_holding("raw.flights", [1])
    between = kit.data_files(local, "raw.flights", rows_of(2, 10), "b2")
    ours = kit.data_files(local, "raw.flights", rows_of(3), "b3")
    original: Callable[..., Any] = commits._live_files
    raced: list[int] = []

    def racing(*args: Any) -> Any:
        found = original(*args)
        if not raced:
            raced.append(1)
            local.commit("raw.flights", kit.batch(between, "b2"))
        return found

    monkeypatch.setattr(commits, "_live_files", racing)
    local.commit("raw.flights", kit.batch(ours, "b3", removed_files=(held.path,)))
    assert local.row_counts("raw.flights").select(["src_file_id", "rows"]).to_pylist() == [
        {"src_file_id": 2, "rows": 10},
        {"src_file_id": 3, "rows": 3},
    ]


def test_a_revoked_batch_can_never_be_committed_any_more(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    data = kit.data_files(local, "raw.flights", rows_of(1))
    assert local.revoke("raw.flights", "b1") is None
    with pytest.raises(CommitConflictError, match="may not be committed"):
        local.commit("raw.flights", kit.batch(data))
    assert kit.scan(local, "raw.flights") == []


def test_revoking_a_batch_that_was_committed_tells_its_snapshot(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    snapshot = load(local, rows_of(1))
    assert local.revoke("raw.flights", "b1") == snapshot
    state = local.table("raw.flights")
    assert state is not None
    assert len(state.history) == 1


def test_a_commit_whose_answer_was_lost_is_found_in_the_history(local: Lake, monkeypatch: Any) -> None:
    local.create("raw.flights", FLIGHTS)
    data = kit.data_files(local, "raw.flights", rows_of(1))
    original = type(local._catalog).commit_table

    def lossy(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        raise ConnectionResetError("connection reset by peer")

    monkeypatch.setattr(type(local._catalog), "commit_table", lossy)
    snapshot = local.commit("raw.flights", kit.batch(data))
    monkeypatch.undo()
    assert snapshot == local.find_batch("raw.flights", "b1")
    assert len(kit.scan(local, "raw.flights")) == 3


def test_sweep_deletes_what_no_snapshot_knows_and_nothing_else(lake: Lake) -> None:
    lake.create("raw.flights", FLIGHTS)
    load(lake, rows_of(1), "b1")
    kit.data_files(lake, "raw.flights", rows_of(2), "b1", storage=storage_of(lake))
    kit.data_files(lake, "raw.flights", rows_of(2), "b2", storage=storage_of(lake))
    assert lake.sweep("raw.flights", "b1") == 1
    assert lake.sweep("raw.flights", "b2") == 1
    assert lake.sweep("raw.flights", "b2") == 0
    assert len(kit.scan(lake, "raw.flights")) == 3


def test_rejected_rows_go_to_a_quarantine_table_made_for_them(lake: Lake) -> None:
    lake.create("raw.flights", FLIGHTS)
    select = (
        "SELECT 1::BIGINT AS src_file_id, 'file:///f1' AS file_path, 4::BIGINT AS row, 'id' AS \"column\","
        " 'x' AS raw, 'not a long' AS error, 'b1' AS batch_id, TIMESTAMPTZ '2026-01-02 03:04:05+00' AS ingested_at"
    )
    data = kit.data_files(lake, "raw.flights", select, table="quarantine", storage=storage_of(lake))
    assert lake.table("raw.flights__quarantine") is None
    lake.commit("raw.flights", kit.batch(data))
    lake.commit("raw.flights", kit.batch(data))
    assert [r["raw"] for r in kit.scan(lake, "raw.flights__quarantine")] == ["x"]
    lake.drop("raw.flights", purge=True)
    assert lake.table("raw.flights__quarantine") is None


def test_a_rebuild_on_a_branch_is_not_seen_until_it_is_swapped_in(lake: Lake) -> None:
    lake.create("raw.flights", FLIGHTS)
    served = load(lake, rows_of(1, 3))
    lake.start_branch("raw.flights", "rebuild")
    load(lake, rows_of(2, 2), "b2", branch="rebuild")
    load(lake, rows_of(3, 2), "b3", branch="rebuild")
    assert len(kit.scan(lake, "raw.flights")) == 3
    assert lake.find_batch("raw.flights", "b2", branch="rebuild") is not None
    lake.swap("raw.flights", "rebuild", expected_snapshot_id=served)
    assert lake.row_counts("raw.flights").column("src_file_id").to_pylist() == [2, 3]
    state = lake.table("raw.flights")
    assert state is not None
    assert list(state.branches) == ["main"]
    assert lake.find_batch("raw.flights", "b2") is not None


def test_a_swap_is_refused_when_the_served_table_moved(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    served = load(local, rows_of(1))
    local.start_branch("raw.flights", "rebuild")
    load(local, rows_of(2), "b2", branch="rebuild")
    load(local, rows_of(3), "b3")
    with pytest.raises(LakeError, match="not swapped in"):
        local.swap("raw.flights", "rebuild", expected_snapshot_id=served)
    local.remove_branch("raw.flights", "rebuild")
    local.remove_branch("raw.flights", "rebuild")
    assert len(kit.scan(local, "raw.flights")) == 6


@pytest.mark.parametrize("stays", [True, False], ids=["added", "added and taken away"])
def test_a_swap_that_brings_columns_is_refused_when_those_of_the_served_table_changed(
    local: Lake, *, stays: bool
) -> None:
    local.create("raw.flights", FLIGHTS)
    served = load(local, rows_of(1))
    seen = local.table("raw.flights")
    assert seen is not None
    local.start_branch("raw.flights", "rebuild")
    update = SchemaUpdate(TableSchema((ID, NAME, Column("note", Primitive("string")))))
    select = f"SELECT 1 AS id, 'a' AS name, 'n' AS note, {kit.lineage_sql(2, 'b2')}"
    data = kit.data_files(local, "raw.flights", select, "b2", update=update)
    local.commit("raw.flights", kit.batch(data, "b2", branch="rebuild", foreseen=update))
    with local._catalog.load_table("raw.flights").update_schema() as foreign:
        foreign.add_column("comment", StringType())
    if not stays:
        with local._catalog.load_table("raw.flights").update_schema() as foreign:
            foreign.delete_column("comment")
    with pytest.raises(LakeError, match="not swapped in"):
        local.swap("raw.flights", "rebuild", expected_snapshot_id=served, schema_update=update, seen=seen)
    assert {row["id"] for row in kit.scan(local, "raw.flights")} == {0, 1, 2}
    local.swap("raw.flights", "rebuild", expected_snapshot_id=served, seen=seen)  # without any it stands beside them


def test_rollback_brings_an_earlier_snapshot_back(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    first = load(local, rows_of(1, 3), "b1")
    load(local, rows_of(2, 5), "b2")
    local.rollback("raw.flights", first)
    assert len(kit.scan(local, "raw.flights")) == 3
    assert local.find_batch("raw.flights", "b2") is None
    local.rollback("raw.flights", None)
    assert kit.scan(local, "raw.flights") == []
    with pytest.raises(LakeError, match="cannot go back"):
        local.rollback("raw.flights", 12345)


def test_schema_change_and_rows_come_in_one_commit(local: Lake) -> None:
    local.create("raw.flights", TableSchema((Column("id", Primitive("int")), NAME)))
    local.commit("raw.flights", kit.batch(kit.data_files(local, "raw.flights", rows_of(1, 1)), "b1"))
    update = SchemaUpdate(
        TableSchema((ID, NAME, Column("place", parse_type("struct<x: int, tags: list<string>>"), description="where")))
    )
    select = f"SELECT 5000000000 AS id, 'z' AS name, {{'x': 1, 'tags': ['a']}} AS place, {kit.lineage_sql(2, 'b2')}"
    data = kit.data_files(local, "raw.flights", select, "b2", update=update)
    before = local.table("raw.flights")
    local.commit("raw.flights", kit.batch(data, "b2", schema_update=update))
    after = local.table("raw.flights")
    assert before is not None
    assert after is not None
    assert before.schema_id != after.schema_id
    assert [c.name for c in after.schema.columns] == ["id", "name", "place"]
    names = [f.name for f in local._catalog.load_table("raw.flights").schema().fields]
    assert names[:4] == ["id", "name", "place", "_src_file_id"]
    assert [(r["id"], r["place"]) for r in sorted(kit.scan(local, "raw.flights"), key=lambda r: r["id"])] == [
        (0, None),
        (5_000_000_000, {"x": 1, "tags": ["a"]}),
    ]


def test_rename_widen_describe_and_nested_add_are_metadata_only_and_repeatable(local: Lake) -> None:
    local.create(
        "raw.flights",
        TableSchema((Column("id", Primitive("int")), Column("p", parse_type("struct<x: int>")))),
    )
    select = f"SELECT 1::INT AS id, {{'x': 2}} AS p, {kit.lineage_sql(1)}"
    local.commit("raw.flights", kit.batch(kit.data_files(local, "raw.flights", select)))
    target = TableSchema(
        (
            Column("number", Primitive("long"), description="flight number"),
            Column("p", parse_type("struct<x: long, y: map<string, decimal(9,2)>>")),
        )
    )
    update = SchemaUpdate(target, renames=(("id", "number"),))
    first = local.evolve("raw.flights", update)
    assert first.schema.columns[0] == target.columns[0]
    assert str(first.schema.columns[1].type) == "struct<x: long, y: map<string, decimal(9,2)>>"
    assert local.evolve("raw.flights", update).schema_id == first.schema_id
    (row,) = kit.scan(local, "raw.flights")
    assert (row["number"], row["p"]) == (1, {"x": 2, "y": None})
    assert first.snapshot_id == local.evolve("raw.flights", properties={"owner": "me"}).snapshot_id


def test_an_impossible_type_change_says_what_to_do(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    with pytest.raises(LakeError, match="cannot become") as caught:
        local.evolve("raw.flights", SchemaUpdate(TableSchema((ID, Column("name", Primitive("long"))))))
    assert "refresh" in caught.value.fix


def test_sorting_can_change_for_new_files(local: Lake) -> None:
    assert local.create("raw.flights", FLIGHTS, sort_by=["ID desc"]).sort_by == ("id desc",)
    load(local, rows_of(1, 10), "b1")
    assert local.evolve("raw.flights", sort_by=["name", "id"]).sort_by == ("name", "id")
    assert local.evolve("raw.flights", sort_by=["name", "id"]).sort_by == ("name", "id")
    load(local, rows_of(2, 2), "b2")
    assert len(kit.scan(local, "raw.flights")) == 12
    assert local.evolve("raw.flights", sort_by=[]).sort_by == ()
    with pytest.raises(LakeError, match="cannot be sorted by nowhere"):
        local.evolve("raw.flights", sort_by=["nowhere"])


def test_a_sorting_that_a_spec_cannot_say_is_not_taken_for_none(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    with local._catalog.load_table("raw.flights").update_sort_order() as order:
        order.asc("id", BucketTransform(4))
    assert local.table("raw.flights").sort_by is None
    load(local, rows_of(1, 10), "b1")
    assert len(kit.scan(local, "raw.flights")) == 10


def test_partitioning_can_change_for_new_files(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS, ["bucket[4](id)"])
    load(local, rows_of(1, 10), "b1")
    assert local.evolve("raw.flights", partition_by=["name"]).partition_by == ("name",)
    load(local, rows_of(2, 2), "b2")
    assert len(kit.scan(local, "raw.flights")) == 12
    held = local.files_holding("raw.flights", [1])
    assert {h.spec_id for h in held} == {0}
    local.commit("raw.flights", kit.batch(None, "b3", removed_files=tuple(h.path for h in held)))
    assert sorted(r["name"] for r in kit.scan(local, "raw.flights")) == ["n0", "n1"]


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ("day(nothing)", "no column nothing"),
        ("month(name)", "does not apply"),
        ("week(id)", "not known"),
        ("bucket[0](id)", "not known"),
    ],
)
def test_a_wrong_partition_term_is_refused_with_its_reason(local: Lake, term: str, words: str) -> None:
    with pytest.raises(LakeError) as caught:
        local.create("raw.flights", FLIGHTS, [term])
    assert words in str(caught.value)


def test_a_data_column_may_not_take_a_lineage_columns_name(local: Lake) -> None:
    with pytest.raises(LakeError, match="_batch_id"):
        local.create("raw.flights", TableSchema((Column("_batch_id", Primitive("string")),)))
    local.create("raw.flights", TableSchema((Column("_batch_id", Primitive("string")),)), lineage_columns=False)
    state = local.table("raw.flights")
    assert state is not None
    assert not state.has_lineage


def test_creating_a_table_twice_is_refused(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    with pytest.raises(LakeError, match="there already"):
        local.create("raw.flights", FLIGHTS)


def test_renaming_takes_the_rows_along(local: Lake) -> None:
    local.create("raw.flights", FLIGHTS)
    load(local, rows_of(1))
    local.rename("raw.flights", "new.trips")
    assert local.table("raw.flights") is None
    assert len(kit.scan(local, "new.trips")) == 3


def test_a_rename_that_was_cut_off_half_way_is_completed_by_the_same_call(
    local: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.create("raw.flights", FLIGHTS)
    local.create("raw.flights__quarantine", FLIGHTS)
    rename = type(local._catalog).rename_table

    def once(self: Any, old: str, new: str) -> Any:
        monkeypatch.setattr(type(local._catalog), "rename_table", _gone)
        return rename(self, old, new)

    monkeypatch.setattr(type(local._catalog), "rename_table", once)
    with pytest.raises(LakeError):
        local.rename("raw.flights", "raw.trips")
    monkeypatch.setattr(type(local._catalog), "rename_table", rename)
    assert local.table("raw.flights") is not None
    local.rename("raw.flights", "raw.trips")
    found = [local.table(f"raw.{name}") is not None for name in ("flights", "trips", "flights__quarantine")]
    assert found == [False, True, False]
    assert local.table("raw.trips__quarantine") is not None


def _gone(*_: Any) -> None:
    raise OSError("the catalog is gone")


def test_the_short_way_to_a_tables_state_tells_the_same_as_pyiceberg(local: Lake) -> None:
    types = "boolean int long float double date time timestamp timestamptz string uuid binary".split()
    nested = ["decimal(38,5)", "list<struct<a: int, b: map<string, list<long>>>>"]
    schema = TableSchema(tuple(Column(f"c {t}", parse_type(t), description=t) for t in types + nested))
    local.create("raw.types", schema, ["month(c date)", "bucket[3](`c long`)", "truncate[2](c string)", "c int"])
    short = local.table("raw.types")
    work = local._work
    assert short == work.state("raw.types", work.load(local._catalog, "raw.types"))
    assert short is not None
    assert short.schema == schema
    assert short.partition_by == (
        "month(`c date`)",
        "bucket[3](`c long`)",
        "truncate[2](`c string`)",
        "`c int`",
    )


def test_a_catalog_that_does_not_answer_is_one_clear_error() -> None:
    down = Lake({"type": "sql", "uri": "postgresql+psycopg2://me:secret@127.0.0.1:1/x", "warehouse": "/nowhere"})
    with pytest.raises(LakeError) as caught:
        down.table("raw.flights")
    assert "secret" not in str(caught.value)
    assert caught.value.fix


def test_commits_to_a_missing_table_are_a_clear_error(local: Lake) -> None:
    local.create("raw.other", FLIGHTS)
    with pytest.raises(LakeError) as caught:
        local.commit("raw.flights", kit.batch())
    assert "plan again" in caught.value.fix


def test_a_tables_state_is_read_without_importing_pyiceberg_or_sqlalchemy(local: Lake, tmp_path: Path) -> None:
    local.create("raw.flights", FLIGHTS)
    script = (
        "import sys; from pathlib import Path; from autoloader.lake import Lake\n"
        "assert Lake(project_dir=Path(sys.argv[1])).table('raw.flights') is not None\n"
        "print([m for m in ('pyiceberg', 'sqlalchemy', 'duckdb', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
