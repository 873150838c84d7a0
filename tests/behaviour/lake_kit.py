"""Data files for lake tests, made as the loader makes them but from a SELECT instead of source files."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from autoloader.lake import Commit, Lake
from autoloader.loader import RESULT
from autoloader.loader.writer import TableWriter, data_file_row

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def lineage_sql(src_file_id: int, batch_id: str = "b1") -> str:
    """The lineage columns of one source file, to stand in a SELECT."""
    return (
        f"{src_file_id}::BIGINT AS _src_file_id, 'file:///f{src_file_id}' AS _src_path,"
        f" row_number() OVER () - 1 AS _src_row, '{batch_id}' AS _batch_id,"
        f" TIMESTAMPTZ '2026-01-02 03:04:05+00' AS _ingested_at, NULL::VARCHAR AS _rescued"
    )


def data_files(
    lake: Lake,
    name: str,
    select_sql: str,
    batch_id: str = "b1",
    *,
    table: str = "main",
    storage: Any = None,
    update: Any = None,
) -> pa.Table:
    """The `loader.RESULT` rows of the data files that hold a SELECT's rows."""
    form = lake.write_format(name, update=update) if table == "main" else lake.quarantine_format(name)
    with duckdb.connect() as con, tempfile.TemporaryDirectory() as folder:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"CREATE TABLE t AS {select_sql}")
        present = frozenset(row[0].lower() for row in con.execute("DESCRIBE t").fetchall())
        writer = TableWriter(con, form, batch_id, workdir=Path(folder), storage=storage or {})
        written = writer.write_table("t", present)
        writer.publish(written)
        ids: list[int] = []
        if "_src_file_id" in present:
            ids = [row[0] for row in con.execute("SELECT DISTINCT _src_file_id FROM t").fetchall()]
    return pa.Table.from_pylist([data_file_row(w, table, ids) for w in written], schema=RESULT)


def batch(data: pa.Table | None = None, batch_id: str = "b1", **more: Any) -> Commit:
    """A commit of those data files."""
    return Commit(
        batch_id=batch_id,
        plan_id="plan-1",
        run_id="run-1",
        fencing_token=7,
        ingestion="flights",
        data_files=data,
        **more,
    )


def scan(lake: Lake, name: str, **more: Any) -> list[dict[str, Any]]:
    """The table's rows as PyIceberg reads them."""
    return lake._catalog.load_table(name).scan(**more).to_arrow().to_pylist()  # type: ignore[no-any-return]
