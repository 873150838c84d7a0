"""The same load on every engine gives the same tables: CSV, JSON and Parquet, flat, partitioned and nested."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader.spec import SparkSettings
from tests.engines import KINDS, settings_for
from tests.playing import LocalStore, Player, S3Store, Store

pytestmark = pytest.mark.slow

SPECS = """
    name: sales
    source:
      path: "{bucket}"
      include: ["year=*/*.csv*"]
      partitions: {{year: int}}
    destination: {{table: shop.sales, partition_by: [year, "bucket[4](shop)"]}}
    ---
    name: events
    source: {{path: "{root}events/"}}
    destination: {{table: shop.events}}
    ---
    name: trips
    source: {{path: "{root}trips/"}}
    destination: {{table: shop.trips, partition_by: ["month(at)", "truncate[2](code)"]}}
"""
FOUR = (2021, 2022, 2023, 2024)


def sale(year: int, number: int) -> dict[str, Any]:
    return {"shop": f"s{number % 3}", "amount": number + 0.5, "note": f'n,{number}\n"x"', "year": year}


def sales_csv(rows: list[dict[str, Any]]) -> str:
    quoted = [(r["shop"], r["amount"], '"' + r["note"].replace('"', '""') + '"') for r in rows]
    return "shop,amount,note\n" + "".join(f"{a},{b},{c}\n" for a, b, c in quoted)


def event(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "who": {"name": f"Ünï {number}", "tags": [f"t{i}" for i in range(number % 3)]},
        "items": [{"sku": f"k{i}", "count": i} for i in range(1 + number % 2)],
    }


def trip(month: int, number: int) -> dict[str, Any]:
    return {
        "at": dt.datetime(2024, month, 1 + number, 5, 6, 7, 890000, tzinfo=dt.UTC),
        "code": f"{'abc'[number % 3]}x{number}",
        "price": Decimal(f"{number / 100:.2f}"),
        "legs": [{"from": "A", "km": 1.5 * number}, {"from": "B", "km": None}],
    }


TRIPS = pa.schema(
    [
        ("at", pa.timestamp("us", tz="UTC")),
        ("code", pa.string()),
        ("price", pa.decimal128(12, 2)),
        ("legs", pa.list_(pa.struct([("from", pa.string()), ("km", pa.float64())]))),
    ]
)


def fill(bucket: Store, local: Store) -> dict[str, list[dict[str, Any]]]:
    """Write the files.

    Returns:
        The rows that each table must hold.
    """
    sales = {year: [sale(year, n) for n in range(20)] for year in FOUR}
    for year, rows in sales.items():
        text = sales_csv(rows)
        if year % 2:
            bucket.put(f"year={year}/a b.csv.gz", gzip.compress(text.encode()))
        else:
            bucket.put(f"year={year}/a b.csv", text)
    events = [event(n) for n in range(30)]
    for part in range(3):
        local.put(f"events/{part}.json", "".join(json.dumps(e) + "\n" for e in events[part::3]))
    trips = []
    for month in (1, 2, 3):
        rows = [trip(month, n) for n in range(7)]
        trips += rows
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=TRIPS), sink)
        local.put(f"trips/{month}.parquet", sink.getvalue().to_pybytes())
    return {"shop.sales": [row for rows in sales.values() for row in rows], "shop.events": events, "shop.trips": trips}


def multiset(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)


@pytest.fixture(params=[kind if kind == "sail" else pytest.param(kind, marks=pytest.mark.jvm) for kind in KINDS])
def engine(request: pytest.FixtureRequest, moto_server: str) -> Iterator[SparkSettings]:
    """Settings of one engine, whose servers are there."""
    with settings_for(request.param) as settings:
        yield settings


def test_every_engine_loads_the_same_rows_replaces_and_sets_bad_files_aside(
    engine: SparkSettings, project_dir: Path, s3_client: Any, s3_bucket: str
) -> None:
    player = Player(project_dir)
    bucket, local = S3Store(s3_client, s3_bucket), LocalStore(project_dir / "in")
    expected = fill(bucket, local)
    chosen = {k: v for k, v in (("engine", engine.engine), ("master", engine.master), ("remote", engine.remote)) if v}
    player.spec("spark: " + json.dumps(chosen), "autoloader.yml")
    player.spec(SPECS.format(bucket=bucket.root, root=local.root))
    said = player.command("apply", "-y")
    assert said.code == 0, said.out + said.err
    assert "Traceback" not in said.out + said.err
    for name, rows in expected.items():
        assert multiset(player.rows(name)) == multiset(rows), name
    player.no_changes()

    # one file is replaced, another one cannot be read
    bucket.put("year=2022/a b.csv", sales_csv([sale(2022, 99)]))
    whole = gzip.compress(sales_csv([sale(2030, 1)] * 500).encode())
    bucket.put("year=2030/cut.csv.gz", whole[: len(whole) // 2])
    said = player.command("apply", "-y", "--format", "json")
    assert said.code == 0, said.out + said.err
    assert [p["file_path"] for p in said.json["problems"]] == [f"{bucket.root}year=2030/cut.csv.gz"]
    left = [row for row in expected["shop.sales"] if row["year"] != 2022]
    assert multiset(player.rows("shop.sales")) == multiset([*left, sale(2022, 99)])
    for name in ("sales", "events", "trips"):
        assert player.run("verify", name).code == 0
    engines = {run["state"] for run in player.run("runs", "--format", "json").json["runs"]}
    assert engines == {"complete"}


def test_the_engine_on_the_command_line_wins_over_the_settings(project_dir: Path, moto_server: str) -> None:
    player = Player(project_dir)
    LocalStore(project_dir / "in").put("a.csv", "a,b\n1,x\n")
    player.spec("spark: {engine: connect, remote: 'sc://127.0.0.1:1'}", "autoloader.yml")
    player.spec("name: a\nsource: {path: in/}\ndestination: {table: a.a}\n")
    refused = player.command("apply", "-y")
    assert refused.code == 1
    assert "127.0.0.1:1" in refused.err + refused.out
    assert "Traceback" not in refused.err + refused.out
    said = player.command("apply", "-y", "--engine", "sail")
    assert said.code == 0, said.out + said.err
    assert "Engine: sail" in said.out
    assert player.rows("a.a") == [{"a": 1, "b": "x"}]
