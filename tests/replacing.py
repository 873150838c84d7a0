"""A table of many source files in few data files, and the replacement of one source file in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa

from autoloader import loader
from autoloader.apply.removal import remove_rows
from autoloader.lake import Lake
from autoloader.loader.writer import TableWriter, data_file_row
from autoloader.schema import Column, TableSchema, parse_type
from tests.behaviour import lake_kit as kit

TABLE = "bench.many"
_PRESENT = frozenset("id name _src_file_id _src_path _src_row _batch_id _ingested_at _rescued".split())
SCHEMA = TableSchema((Column("id", parse_type("long")), Column("name", parse_type("string"))))


@dataclass(frozen=True, slots=True)
class Filled:
    """The table's sizes: source files are numbered from 1 and lie in the data files in their order."""

    data_files: int = 200
    sources_per_file: int = 50
    rows_per_source: int = 10

    @property
    def sources(self) -> int:
        """All source files."""
        return self.data_files * self.sources_per_file

    @property
    def rows(self) -> int:
        """All rows."""
        return self.sources * self.rows_per_source

    def fill(self, folder: Path) -> Lake:
        """A new lake in `folder` with that table, committed at once."""
        lake = Lake(project_dir=folder)
        lake.create(TABLE, SCHEMA)
        results = []
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            writer = TableWriter(con, lake.write_format(TABLE), "b1", workdir=folder, storage={})
            for number in range(self.data_files):
                ids = range(number * self.sources_per_file + 1, (number + 1) * self.sources_per_file + 1)
                for written in writer.write_select(self._select(ids), _PRESENT):
                    results.append(data_file_row(written, "main", ids))
        lake.commit(TABLE, kit.batch(pa.Table.from_pylist(results, schema=loader.RESULT)))
        return lake

    def _select(self, ids: range) -> str:
        return (
            "SELECT s * 1000 + r AS id, 'name ' || r AS name, s AS _src_file_id, 'file:///f' || s AS _src_path,"
            " r AS _src_row, 'b1' AS _batch_id, TIMESTAMPTZ '2026-01-02 03:04:05+00' AS _ingested_at,"
            " NULL::VARCHAR AS _rescued"
            f" FROM range({ids.start}, {ids.stop}) AS t(s), range({self.rows_per_source}) AS u(r)"
        )


class Here:
    """Runs a mapper in this process."""

    parallelism = 2

    def map(self, tasks: pa.Table, mapper: Any, schema: pa.Schema) -> pa.Table:
        return pa.Table.from_batches(list(mapper(iter(tasks.to_batches()))), schema=schema)


def replace_one(lake: Lake, old: int, new: int, engine: Any = None) -> None:
    """Put one row of version `new` in the place of all rows of version `old`: one commit, as apply makes it."""
    batch_id = f"replace-{new}"
    tools: Any = SimpleNamespace(lake=lake, engine=lambda: engine or Here(), storage={})
    removal = remove_rows(tools, TABLE, None, batch_id, pa.array([old], pa.int64()))
    select = f"SELECT -1::BIGINT AS id, 'new' AS name, {kit.lineage_sql(new, batch_id)}"
    added = kit.data_files(lake, TABLE, select, batch_id)
    data = pa.concat_tables([added, removal.data_files]).cast(loader.RESULT)
    lake.commit(TABLE, kit.batch(data, batch_id, removed_files=removal.removed))
