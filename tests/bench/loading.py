"""Our road for the load benches: tasks of the loader on a started engine, then one Iceberg commit."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from autoloader import loader
from autoloader.apply.loading import _task_count, as_tasks
from autoloader.engine import Engine
from autoloader.lake import Commit, Lake
from autoloader.reader import ReadContract
from autoloader.schema import Column, TableSchema, parse_type


@dataclass(frozen=True, slots=True)
class Load:
    """A set of CSV files and the table that they go to."""

    files: Sequence[Path]
    columns: Mapping[str, str]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files)

    def contract(self) -> ReadContract:
        """How they are read: declared types, defaults for all else."""
        columns = tuple(Column(name, parse_type(kind)) for name, kind in self.columns.items())
        return ReadContract(schema=TableSchema(columns), format="csv")

    def run(self, engine: Engine, folder: Path) -> float:
        """Seconds from claimed files to a committed snapshot of a new table below `folder`."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        contract = self.contract()
        lake = Lake(project_dir=folder)
        lake.create("bench.target", contract.schema)
        files = self._claimed()
        begun = time.perf_counter()
        job = loader.LoadJob(
            batch_id="bench",
            ingested_at=datetime.now(UTC),
            contract=contract,
            main=lake.write_format("bench.target"),
            quarantine=lake.quarantine_format("bench.target"),
        )
        tasks = as_tasks(files, _task_count(files, engine.parallelism))
        results = engine.map(tasks, loader.load_files(job), loader.RESULT)
        commit = Commit(
            batch_id="bench",
            plan_id="bench",
            run_id="bench",
            fencing_token=1,
            ingestion="bench",
            data_files=results.filter(pa.compute.equal(results["kind"], "data_file")),
        )
        lake.commit("bench.target", commit)
        elapsed_s = time.perf_counter() - begun
        states = results.filter(pa.compute.equal(results["kind"], "file"))
        assert set(states["state"].to_pylist()) == {"SUCCESS"}, states["error"].drop_null().to_pylist()[:3]
        lake.close()
        return elapsed_s

    def rows(self, folder: Path) -> int:
        """Rows in the table that the last `run` made."""
        lake = Lake(project_dir=folder)
        counts = lake.row_counts("bench.target")
        lake.close()
        return int(pa.compute.sum(counts["rows"]).as_py())

    def _claimed(self) -> pa.Table:
        stats = [path.stat() for path in self.files]
        return pa.table(
            {
                "file_path": [f"file://{path}" for path in self.files],
                "key": [path.name for path in self.files],
                "size_bytes": pa.array([stat.st_size for stat in stats], pa.int64()),
                "modified_at": pa.array([stat.st_mtime_ns for stat in stats], pa.timestamp("ns", tz="UTC")),
                "etag": pa.nulls(len(stats), pa.string()),
                "version_id": pa.nulls(len(stats), pa.string()),
                "src_file_id": pa.array(range(1, len(stats) + 1), pa.int64()),
            }
        )
