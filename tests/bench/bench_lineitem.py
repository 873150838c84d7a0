"""TPC-H lineitem, scale factor 1: 748 MB of CSV in eight files into one Iceberg table."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from autoloader import engine as engines
from autoloader.engine.starting import cores_here
from autoloader.reader.duck import duck_type
from autoloader.schema import parse_type
from autoloader.spec import SparkSettings
from tests import tpch
from tests.bench.loading import Load
from tests.bench.measure import DATA, ROOT, Comparison, Figure, Measured, Turns
from tests.bench.spark_own import SparkOwn


def run(repetitions: int) -> list[Measured]:
    """Ours against DuckDB alone and against Spark's own reader and writer."""
    load = Load(tpch.write_lineitem(DATA), tpch.COLUMNS)
    work = DATA / "work"
    cores = cores_here()
    ddl = ", ".join(f"{name} {_spark_type(kind)}" for name, kind in tpch.COLUMNS.items())
    with engines.start("local", SparkSettings()) as engine, SparkOwn(cores) as spark:
        engine.warm_up()
        turns = Turns(repetitions)
        took = turns.run(
            ours=lambda: load.run(engine, work / "lake"),
            duckdb=lambda: _duckdb_alone(load, cores),
            spark=lambda: spark.load(load.files[0].parent, work / "spark", ddl),
        )
    assert load.rows(work / "lake") == tpch.ROWS_SF1
    command = _command(load, work / "command")
    shutil.rmtree(work)
    speed = f"{load.size_bytes / 1e6 / min(took['ours']):.0f} MB/s at best"
    return [
        Comparison(
            "lineitem SF1 CSV into an Iceberg table, engine started",
            took["ours"],
            took["duckdb"],
            "DuckDB alone, the same COPY",
            1.3,
            notes=(speed, turns.cpu_note("ours", "duckdb")),
        ),
        Comparison(
            "the same load: typed, every value checked for `_rescued` and quarantine",
            took["ours"],
            took["duckdb"],
            "DuckDB alone, which checks nothing",
            1.4,
        ),
        Comparison(
            "lineitem SF1 CSV into an Iceberg table, engine started",
            took["ours"],
            took["spark"],
            "Spark's own CSV reader and Parquet writer",
            2.5,
            "times faster",
            notes=(turns.cpu_note("ours", "spark"),),
        ),
        Figure(
            "the whole `apply` of the same files",
            (command,),
            notes=("one run from the shell: Python, plan, the engine's start, load, ledger; no ratio above has these",),
        ),
    ]


def _command(load: Load, project: Path) -> float:
    """Wall seconds of `apply -y` in a new project, as a person waits for it."""
    (project / "ingestions").mkdir(parents=True)
    columns = ", ".join(f"{{name: {name}, type: '{kind}'}}" for name, kind in load.columns.items())
    (project / "ingestions" / "lineitem.yml").write_text(
        f"name: lineitem\nsource: {{path: '{load.files[0].parent}/'}}\ndestination: {{table: bench.lineitem}}\n"
        f"schema: {{columns: [{columns}]}}\n"
    )
    command = [sys.executable, str(ROOT / "plan_apply.py"), "apply", "-y", "--engine", "local"]
    begun = time.perf_counter()
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return time.perf_counter() - begun


def _duckdb_alone(load: Load, cores: int) -> None:
    import duckdb

    target = DATA / "work" / "duckdb"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    columns = ", ".join(f"'{name}': '{duck_type(parse_type(kind))}'" for name, kind in load.columns.items())
    paths = ", ".join(f"'{path}'" for path in load.files)
    with duckdb.connect(config={"threads": cores}) as con:
        con.execute(
            f"COPY (SELECT * FROM read_csv([{paths}], header = true, delim = ',', quote = '\"',"
            f" escape = '\"', auto_detect = false, columns = {{{columns}}}))"
            f" TO '{target}/lineitem.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )


def _spark_type(kind: str) -> str:
    return {"long": "bigint", "string": "string"}.get(kind, kind)
