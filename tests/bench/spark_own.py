"""Spark's own reader and writer in a process of its own: the baseline. Takes one job per line of stdin.

    IN_FOLDER <tab> OUT_FOLDER <tab> SCHEMA_DDL   ->   seconds, on one line of stdout

The JVM has its default flags and a heap of 4 GB; the codec is ours, so that only the road differs.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class SparkOwn:
    """The other end of the pipe."""

    def __init__(self, cores: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.spark_own", str(cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._line() == "ready"

    def load(self, source: Path, target: Path, ddl: str) -> float:
        """Seconds that Spark took to write those CSV files as Parquet."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{source}\t{target}\t{ddl}\n")
        self._process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def serve(cores: str) -> None:
    """Answers jobs until stdin ends."""
    from pyspark.sql import SparkSession

    conf = {
        "spark.ui.enabled": "false",
        "spark.driver.memory": "4g",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.parquet.compression.codec": "zstd",
    }
    spark = SparkSession.builder.master(f"local[{cores}]").config(map=conf).getOrCreate()
    spark.range(1000).selectExpr("sum(id)").collect()
    print("ready", flush=True)
    for line in sys.stdin:
        source, target, ddl = line.rstrip("\n").split("\t")
        begun = time.perf_counter()
        spark.read.schema(ddl).option("header", True).csv(source).write.mode("overwrite").parquet(target)
        print(time.perf_counter() - begun, flush=True)
    spark.stop()


if __name__ == "__main__":
    serve(*sys.argv[1:])
