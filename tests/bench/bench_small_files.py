"""Five thousand CSV files of two hundred rows each: what costs is the file, not the byte."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from autoloader import engine as engines
from autoloader.engine.starting import cores_here
from autoloader.spec import SparkSettings
from tests.bench.loading import Load
from tests.bench.measure import DATA, Comparison, Measured, Turns
from tests.bench.spark_own import SparkOwn

FILES = 5_000
ROWS = 200
COLUMNS = {"id": "long", "at": "timestamp", "name": "string", "amount": "decimal(12,2)", "ratio": "double"}
DDL = "id bigint, at timestamp, name string, amount decimal(12,2), ratio double"


def run(repetitions: int) -> list[Measured]:
    """Ours against Spark's own reader and writer."""
    load = Load(write_files(DATA / "small"), COLUMNS)
    work = DATA / "work"
    with engines.start("local", SparkSettings()) as engine, SparkOwn(cores_here()) as spark:
        engine.warm_up()
        turns = Turns(repetitions)
        took = turns.run(
            ours=lambda: load.run(engine, work / "lake"),
            spark=lambda: spark.load(DATA / "small", work / "spark", DDL),
        )
    assert load.rows(work / "lake") == FILES * ROWS
    shutil.rmtree(work)
    return [
        Comparison(
            "5,000 CSV files of 200 rows into an Iceberg table, engine started",
            took["ours"],
            took["spark"],
            "Spark's own CSV reader and Parquet writer",
            4,
            "times faster",
            notes=(turns.cpu_note("ours", "spark"),),
        )
    ]


def write_files(folder: Path, files: int = FILES, rows: int = ROWS) -> list[Path]:
    """The same files every time; found again if they are there."""
    paths = [folder / f"part-{number:05}.csv" for number in range(files)]
    if not paths[-1].exists():
        folder.mkdir(parents=True, exist_ok=True)
        dice = random.Random(7)
        for number, path in enumerate(paths):
            lines = ["id,at,name,amount,ratio"]
            for row in range(rows):
                ident = number * rows + row
                at = f"2024-{dice.randint(1, 12):02}-{dice.randint(1, 28):02} {dice.randint(0, 23):02}:15:00"
                lines.append(f"{ident},{at},name {ident % 977},{dice.randint(0, 10**7) / 100},{dice.random()}")
            path.write_text("\n".join(lines) + "\n")
    return paths
