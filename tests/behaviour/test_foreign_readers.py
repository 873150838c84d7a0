"""Our tables are read by programs that are not ours: DuckDB's Iceberg extension, PyIceberg in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import pytest

from autoloader.lake import Lake
from autoloader.schema import Column, TableSchema, parse_type
from tests.behaviour import lake_kit as kit

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
VERSION = "1.5.5"  # the extension's packages go with exactly this DuckDB
PACKAGES = [f"{name}=={VERSION}" for name in ("duckdb", "duckdb-extension-iceberg", "duckdb-extension-avro")]

SCHEMA = TableSchema(
    (
        Column("id", parse_type("long")),
        Column("day", parse_type("date")),
        Column("price", parse_type("decimal(12,2)")),
        Column("seen_at", parse_type("timestamptz")),
        Column("tags", parse_type("list<string>")),
        Column("place", parse_type("struct<`a b`: int, inner: struct<x: list<struct<y: double>>>>")),
        Column("counts", parse_type("map<string, long>")),
        Column("code", parse_type("uuid")),
    )
)
SELECT = (
    "SELECT range AS id, DATE '2024-01-30' + range::INT AS day, (range * 1.25)::DECIMAL(12,2) AS price,"
    " TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_hours(range) AS seen_at,"
    " CASE WHEN range = 2 THEN NULL ELSE ['t' || range, NULL] END AS tags,"
    " {'a b': range::INT, 'inner': {'x': [{'y': range / 2}]}} AS place, MAP {'k': range} AS counts,"
    " '00000000-0000-0000-0000-00000000000' || range AS code, "
    f"{kit.lineage_sql(1)} FROM range(4)"
)
EXPECTED = [
    {
        "id": i,
        "day": ["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"][i],
        "price": f"{i * 1.25:.2f}",
        "seen_at": f"2024-01-01 0{i}:00:00",
        "tags": None if i == 2 else [f"t{i}", None],
        "place": {"a b": i, "inner": {"x": [{"y": i / 2}]}},
        "counts": {"k": i},
        "code": f"00000000-0000-0000-0000-00000000000{i}",
        "file": 1,
    }
    for i in range(4)
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A partitioned table of nested columns after an append, a replacement and a schema change."""
    folder = tmp_path_factory.mktemp("project")
    lake = Lake(project_dir=folder)
    lake.create("raw.nested", SCHEMA, ["month(day)"])
    lake.commit("raw.nested", kit.batch(kit.data_files(lake, "raw.nested", SELECT.replace("1::BIGINT", "9::BIGINT"))))
    held = lake.files_holding("raw.nested", [9])
    data = kit.data_files(lake, "raw.nested", SELECT, "b2")
    lake.commit("raw.nested", kit.batch(data, "b2", removed_files=tuple(h.path for h in held)))
    lake.close()
    return folder


def metadata_file(folder: Path) -> Path:
    lake = Lake(project_dir=folder)
    location = lake._catalog.load_table("raw.nested").metadata_location
    lake.close()
    return Path(location.removeprefix("file://"))


@pytest.fixture(scope="session")
def other_python() -> str:
    """An interpreter with another DuckDB and its Iceberg extension; kept for the next time."""
    home = ROOT / ".venvs" / f"duckdb-iceberg-{VERSION}-{sys.version_info.major}{sys.version_info.minor}"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True
        )
        (home / "ready").touch()
    return str(python)


def answer(python: str, script: str, *arguments: str) -> Any:
    """What a script prints as JSON, run outside of this project's folder and path."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [python, "-I", "-c", script, *arguments], capture_output=True, text=True, cwd=folder, check=False
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


DUCKDB = """
import json, sys, duckdb
from pathlib import Path
con = duckdb.connect()
for name in ("avro", "iceberg"):
    (file,) = Path(duckdb.__file__).parents[1].glob(f"duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
    con.execute(f"LOAD '{file}'")
rows = con.execute(
    "SELECT to_json(t) FROM (SELECT id, day::VARCHAR AS day, price::VARCHAR AS price,"
    " strftime(make_timestamp(epoch_us(seen_at)), '%Y-%m-%d %H:%M:%S') AS seen_at, tags, place, counts,"
    " code::VARCHAR AS code, _src_file_id AS file FROM iceberg_scan(?) ORDER BY id) t", [sys.argv[1]]
).fetchall()
print(json.dumps([json.loads(row[0]) for row in rows]))
"""

PYICEBERG = """
import json, sys
from pyiceberg.table import StaticTable
rows = StaticTable.from_metadata(sys.argv[1]).scan().to_arrow().sort_by("id").to_pylist()
print(json.dumps([{
    "id": r["id"], "day": str(r["day"]), "price": str(r["price"]),
    "seen_at": r["seen_at"].strftime("%Y-%m-%d %H:%M:%S"), "tags": r["tags"], "place": r["place"],
    "counts": dict(r["counts"]), "code": str(r["code"]), "file": r["_src_file_id"]} for r in rows]))
"""


def test_duckdbs_iceberg_extension_reads_the_same_rows(table: Path, other_python: str) -> None:
    assert answer(other_python, DUCKDB, str(metadata_file(table))) == EXPECTED


def test_pyiceberg_reads_the_same_rows_in_a_fresh_process(table: Path) -> None:
    assert answer(sys.executable, PYICEBERG, str(metadata_file(table))) == EXPECTED
