"""The task function, run in this process on Arrow batches: files in, data files and one result per file out."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from autoloader.errors import LakeError
from autoloader.lake import Lake
from autoloader.loader import RESULT, REWRITE_TASK, TASK, LoadJob, RewriteJob, load_files, rewrite_files
from autoloader.reader import ReadContract
from autoloader.schema import Column, TableSchema, parse_type
from tests.behaviour import lake_kit as kit

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SCHEMA = TableSchema((Column("id", parse_type("long")), Column("name", parse_type("string"))))


@pytest.fixture
def lake(tmp_path: Path) -> Any:
    found = Lake(project_dir=tmp_path)
    found.create("raw.t", SCHEMA)
    yield found
    found.close()


def source(folder: Path, **files: str) -> list[dict[str, Any]]:
    """Files with those contents, as task rows with rising ids."""
    folder.mkdir(exist_ok=True)
    rows = []
    for src_file_id, (name, text) in enumerate(files.items(), 1):
        path = folder / f"{name}.csv"
        path.write_text(text)
        rows.append(task_row(path, src_file_id))
    return rows


def task_row(path: Path, src_file_id: int, size_bytes: int | None = None) -> dict[str, Any]:
    found = path.stat() if path.exists() else None
    return {
        "task": 0,
        "file_path": f"file://{path}",
        "key": path.name,
        "size_bytes": size_bytes if size_bytes is not None else found.st_size if found else 1,
        "modified_at_ns": found.st_mtime_ns if found else 0,
        "etag": None,
        "version_id": None,
        "src_file_id": src_file_id,
    }


def job(lake: Lake, batch_id: str = "b1", **more: Any) -> LoadJob:
    contract = more.pop("contract", None) or ReadContract(schema=more.pop("schema", SCHEMA), format="csv")
    return LoadJob(
        batch_id=batch_id,
        ingested_at=WHEN,
        contract=contract,
        main=lake.write_format("raw.t"),
        quarantine=lake.quarantine_format("raw.t"),
        **more,
    )


def run(wanted: LoadJob, rows: list[dict[str, Any]]) -> pa.Table:
    """The results of one task; the function travels by pickle, as it does to an executor."""
    function = pickle.loads(pickle.dumps(load_files(wanted)))
    batches = pa.Table.from_pylist(rows, schema=TASK).to_batches(max_chunksize=3)
    return pa.Table.from_batches(list(function(iter(batches))), schema=RESULT)


def files_of(results: pa.Table) -> dict[int, dict[str, Any]]:
    return {r["src_file_id"]: r for r in results.to_pylist() if r["kind"] == "file"}


def data_of(results: pa.Table, table: str = "main") -> list[dict[str, Any]]:
    return [r for r in results.to_pylist() if r["kind"] == "data_file" and r["table"] == table]


def test_small_files_share_one_data_file_and_each_has_its_result(lake: Lake, tmp_path: Path) -> None:
    rows = source(tmp_path / "in", a="id,name\n1,x\n2,y\n", b="name,id\nz,3\n", c="id,name\n")
    results = run(job(lake), rows)
    (data,) = data_of(results)
    assert (data["rows"], data["src_file_ids"]) == (3, [1, 2])
    assert data["path"].startswith(lake.write_format("raw.t").location + "/data/batch=b1/")
    found = files_of(results)
    assert {i: (r["state"], r["rows"]) for i, r in found.items()} == {
        1: ("SUCCESS", 2),
        2: ("SUCCESS", 1),
        3: ("SUCCESS", 0),
    }
    assert found[1]["fingerprint"]
    assert found[1]["fingerprint"] == found[2]["fingerprint"]
    assert [c["name"] for c in json.loads(found[1]["columns_json"])["columns"]] == ["id", "name"]
    lake.commit("raw.t", kit.batch(results))
    assert sorted((r["id"], r["name"], r["_src_file_id"], r["_src_row"]) for r in kit.scan(lake, "raw.t")) == [
        (1, "x", 1, 0),
        (2, "y", 1, 1),
        (3, "z", 2, 0),
    ]
    (row,) = kit.scan(lake, "raw.t", row_filter="id = 3")
    assert (row["_src_path"], row["_batch_id"], row["_ingested_at"]) == (rows[1]["file_path"], "b1", WHEN)


def test_no_rows_to_load_is_no_result(lake: Lake) -> None:
    assert run(job(lake), []).num_rows == 0


def test_a_file_that_moved_or_vanished_is_left_out_and_said_so(lake: Lake, tmp_path: Path) -> None:
    rows = source(tmp_path / "in", a="id,name\n1,x\n", b="id,name\n2,y\n")
    (tmp_path / "in" / "b.csv").write_text("id,name\n2,y\n3,z\n")
    rows.append(task_row(tmp_path / "in" / "gone.csv", 3))
    found = files_of(results := run(job(lake), rows))
    assert {i: r["state"] for i, r in found.items()} == {1: "SUCCESS", 2: "MISSING", 3: "MISSING"}
    assert "replaced" in found[2]["error"]
    assert sum(d["rows"] for d in data_of(results)) == 1


def test_a_file_that_moves_while_it_is_read_takes_no_other_with_it(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoloader.loader import tasks

    rows = source(tmp_path / "in", a="id,name\n1,x\n", b="id,name\n2,y\n")
    original = tasks._Task._read

    def read(self: Any, files: Any) -> Any:
        done = original(self, files)
        if len(files) == 2:
            (tmp_path / "in" / "b.csv").write_text("id,name\n7,other\n")
        return done

    monkeypatch.setattr(tasks._Task, "_read", read)
    results = run(job(lake), rows)
    assert {i: (r["state"], r["rows"]) for i, r in files_of(results).items()} == {
        1: ("SUCCESS", 1),
        2: ("MISSING", 0),
    }
    lake.commit("raw.t", kit.batch(results))
    assert [r["id"] for r in kit.scan(lake, "raw.t")] == [1]


def test_a_bad_file_fails_alone(lake: Lake, tmp_path: Path) -> None:
    rows = source(tmp_path / "in", a="id,name\n1,x\n", b="id,name\n2,y\n")
    bad = tmp_path / "in" / "bad.csv"
    bad.write_bytes(b"\x1f\x8b\x08\x00garbage that is no gzip")
    rows.insert(1, task_row(bad, 9))
    results = run(job(lake), rows)
    found = files_of(results)
    assert {i: r["state"] for i, r in found.items()} == {1: "SUCCESS", 2: "SUCCESS", 9: "FAILED"}
    assert found[9]["error"]
    assert sum(d["rows"] for d in data_of(results)) == 2


def test_an_unforeseen_exception_is_one_files_failure(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoloader import reader

    rows = source(tmp_path / "in", a="id,name\n1,x\n", b="id,name\n2,y\n", c="id,name\n3,z\n")
    original = reader.open_reading

    def open_reading(con: Any, files: Any, *more: Any) -> Any:
        if any(f.key == "b.csv" for f in files):
            raise ZeroDivisionError("nobody thought of this")
        return original(con, files, *more)

    monkeypatch.setattr(reader, "open_reading", open_reading)
    found = files_of(results := run(job(lake), rows))
    assert {i: r["state"] for i, r in found.items()} == {1: "SUCCESS", 2: "FAILED", 3: "SUCCESS"}
    assert "nobody thought of this" in found[2]["error"]
    assert sum(d["rows"] for d in data_of(results)) == 2


def test_data_files_that_cannot_be_written_fail_the_task(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = job(lake)
    blocked = Path(wanted.main.location.removeprefix("file://")) / "data"
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where a folder should be")
    with pytest.raises(LakeError, match="could not be written"):
        run(wanted, source(tmp_path / "in", a="id,name\n1,x\n"))
    monkeypatch.setattr("autoloader.loader.tasks.OWN_FILE_BYTES", 1)
    with pytest.raises(LakeError, match="could not be written"):
        run(wanted, source(tmp_path / "in", a="id,name\n1,x\n"))


def test_rejected_rows_become_a_data_file_of_the_quarantine_table(lake: Lake, tmp_path: Path) -> None:
    lines = "".join(f"{i},n\n" for i in range(200))
    rows = source(tmp_path / "in", a=f"id,name\n{lines}oops,bad\n", b="id,name\n1,x\n")
    results = run(job(lake), rows)
    found = files_of(results)
    assert (found[1]["state"], found[1]["rows"], found[1]["rejected_rows"]) == ("SUCCESS", 200, 1)
    lake.commit("raw.t", kit.batch(results))
    (row,) = kit.scan(lake, "raw.t__quarantine")
    assert (row["src_file_id"], row["row"], row["column"], row["raw"]) == (1, 200, "id", "oops")
    assert (row["batch_id"], row["ingested_at"]) == ("b1", WHEN)
    assert len(kit.scan(lake, "raw.t")) == 201


def test_a_large_file_streams_into_its_own_data_files(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoloader.loader.tasks.OWN_FILE_BYTES", 1000)
    body = "id,name\n" + "".join(f"{i},name number {i}\n" for i in range(300_000))
    rows = source(tmp_path / "in", big=body)
    results = run(job(lake, target_file_bytes=10_000), rows)
    own = [d for d in data_of(results) if d["src_file_ids"] == [1]]
    assert len(own) > 1
    assert sum(d["rows"] for d in own) == 300_000
    lake.commit("raw.t", kit.batch(results))
    state = lake.table("raw.t")
    assert state is not None
    assert state.rows == 300_000


def test_a_large_file_with_a_bad_value_leaves_no_half_written_file(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoloader.loader.tasks.OWN_FILE_BYTES", 1000)
    body = "id,name\n" + "".join(f"{i},n\n" for i in range(200_000)) + "x,y\n"
    results = run(job(lake), source(tmp_path / "in", big=body))
    written = list(Path(lake.write_format("raw.t").location.removeprefix("file://")).rglob("*.parquet"))
    assert sorted(f"file://{p}" for p in written) == sorted(d["path"] for d in data_of(results))
    assert files_of(results)[1]["rows"] == 200_000


def test_a_partitioned_table_gets_one_data_file_per_value(tmp_path: Path) -> None:
    lake = Lake(project_dir=tmp_path)
    lake.create("raw.t", SCHEMA, ["name"])
    rows = source(tmp_path / "in", a="id,name\n1,x\n2,y\n", b="id,name\n3,x\n4,\n")
    results = run(job(lake), rows)
    assert sorted(
        (json.loads(d["partition_json"]), d["rows"]) for d in data_of(results) if d["partition_json"] != "[null]"
    ) == [
        (["x"], 2),
        (["y"], 1),
    ]
    lake.commit("raw.t", kit.batch(results))
    assert sorted(r["id"] for r in kit.scan(lake, "raw.t")) == [1, 2, 3, 4]
    lake.close()


def test_without_lineage_columns_rows_have_data_columns_only(tmp_path: Path) -> None:
    lake = Lake(project_dir=tmp_path)
    lake.create("raw.t", SCHEMA, lineage_columns=False)
    contract = ReadContract(schema=SCHEMA, format="csv", lineage_columns=False)
    results = run(job(lake, contract=contract), source(tmp_path / "in", a="id,name\n1,x\n"))
    lake.commit("raw.t", kit.batch(results))
    assert kit.scan(lake, "raw.t") == [{"id": 1, "name": "x"}]
    lake.close()


def test_a_rewrite_takes_out_the_rows_of_a_file_and_keeps_the_rest_as_it_was(lake: Lake, tmp_path: Path) -> None:
    rows = source(tmp_path / "in", a="id,name\n1,x\n2,y\n", b="id,name\n3,z\n")
    lake.commit("raw.t", kit.batch(run(job(lake), rows)))
    (tmp_path / "in" / "a.csv").write_text("id,name\n10,new\n")
    fresh = run(job(lake, "b2"), [task_row(tmp_path / "in" / "a.csv", 3)])
    (held,) = lake.files_holding("raw.t", [1])
    assert not held.empties
    done = rewrite(lake, "b2", [held], [1])
    assert [(r["rows"], r["src_file_ids"], r["replaces"]) for r in done.to_pylist()] == [(1, [2], held.path)]
    both = pa.concat_tables([fresh, done])
    lake.commit("raw.t", kit.batch(both, "b2", removed_files=(held.path,)))
    assert sorted((r["id"], r["_src_file_id"], r["_batch_id"]) for r in kit.scan(lake, "raw.t")) == [
        (3, 2, "b1"),
        (10, 3, "b2"),
    ]


def test_a_rewrite_outlives_a_rename_and_a_new_column(lake: Lake, tmp_path: Path) -> None:
    from autoloader.lake import SchemaUpdate

    rows = source(tmp_path / "in", a="id,name\n1,x\n", b="id,name\n3,z\n")
    lake.commit("raw.t", kit.batch(run(job(lake), rows)))
    target = TableSchema((Column("number", parse_type("long")), SCHEMA.columns[1], Column("more", parse_type("date"))))
    lake.evolve("raw.t", SchemaUpdate(target, renames=(("id", "number"),)))
    (held,) = lake.files_holding("raw.t", [1])
    done = rewrite(lake, "b2", [held], [1])
    lake.commit("raw.t", kit.batch(done, "b2", removed_files=(held.path,)))
    (row,) = kit.scan(lake, "raw.t")
    assert (row["number"], row["name"], row["more"]) == (3, "z", None)


def test_a_data_file_with_nothing_else_in_it_is_not_written_anew(lake: Lake, tmp_path: Path) -> None:
    rows = source(tmp_path / "in", a="id,name\n1,x\n")
    lake.commit("raw.t", kit.batch(run(job(lake), rows)))
    held = lake.files_holding("raw.t", [1])
    assert rewrite(lake, "b2", list(held), [1]).num_rows == 0


def rewrite(lake: Lake, batch_id: str, held: list[Any], ids: list[int]) -> pa.Table:
    rows = [
        {
            "task": 0,
            "table": "main",
            "path": h.path,
            "size_bytes": h.size_bytes,
            "spec_id": h.spec_id,
            "partition_json": h.partition_json,
            "remove_ids": ids,
        }
        for h in held
    ]
    function = pickle.loads(pickle.dumps(rewrite_files(RewriteJob(batch_id, lake.write_format("raw.t")))))
    batches = pa.Table.from_pylist(rows, schema=REWRITE_TASK).to_batches()
    return pa.Table.from_batches(list(function(iter(batches))), schema=RESULT)
