"""A set like the public taxi trips, whose types and column case change between months: no row may be lost."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.playing import LocalStore, Player

SPEC = """
    name: trips
    source: {path: in/, path_date: "yellow_{Y}-{m}"}
    destination: {table: city.trips}
"""
LONG, DOUBLE = pa.int64(), pa.float64()
MONTHS: dict[str, dict[str, pa.DataType]] = {
    # the fee is a column without a single value; counts are whole numbers
    "2019-01": {"VendorID": LONG, "passenger_count": LONG, "RatecodeID": LONG, "airport_fee": pa.null()},
    # counts are doubles from here on, because one is missing
    "2019-02": {"VendorID": LONG, "passenger_count": DOUBLE, "RatecodeID": DOUBLE, "airport_fee": pa.null()},
    "2021-03": {"VendorID": LONG, "passenger_count": DOUBLE, "RatecodeID": DOUBLE, "airport_fee": DOUBLE},
    # another writer: narrower numbers, a capital A, large strings
    "2023-02": {"VendorID": pa.int32(), "passenger_count": LONG, "RatecodeID": LONG, "Airport_fee": DOUBLE},
    # a new charge
    "2025-01": {"VendorID": pa.int32(), "passenger_count": LONG, "RatecodeID": LONG, "Airport_fee": DOUBLE,
                "cbd_congestion_fee": DOUBLE},
}  # fmt: skip
ROWS = 40


def month(name: str) -> pa.Table:
    kinds = MONTHS[name]
    began = datetime.fromisoformat(f"{name}-01")
    modern = name >= "2023"
    values: dict[str, Any] = {
        "VendorID": [1 + n % 2 for n in range(ROWS)],
        "passenger_count": [None if n == 7 else n % 6 for n in range(ROWS)],
        "RatecodeID": [1 + n % 5 for n in range(ROWS)],
        "airport_fee": [None if kinds.get("airport_fee") == pa.null() else 1.25] * ROWS,
        "Airport_fee": [1.75] * ROWS,
        "cbd_congestion_fee": [0.75] * ROWS,
    }
    table = pa.table({key: pa.array(values[key]).cast(kind) for key, kind in kinds.items()})
    text = pa.large_string() if modern else pa.string()
    unit = "us" if modern else "ms"
    times = [began + timedelta(minutes=n) for n in range(ROWS)]
    table = table.append_column("pickup", pa.array(times, pa.timestamp(unit)))
    table = table.append_column("trip_distance", pa.array([n / 4 for n in range(ROWS)]))
    return table.append_column("flag", pa.array(["N", None] * (ROWS // 2), text))


def put(store: LocalStore, name: str) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(month(name), sink)
    store.put(f"yellow_{name}.parquet", sink.getvalue().to_pybytes())


def check(player: Player, months: list[str]) -> None:
    """Every row is there with its values, whatever its month called and typed them."""
    found = player.table("city.trips")
    assert found.num_rows == ROWS * len(months)
    assert found["_rescued"].null_count == found.num_rows
    for name in months:
        path = f"yellow_{name}.parquet"
        mine = [row for row in found.to_pylist() if row["_src_path"].endswith(path)]
        wanted = {key.casefold(): column for key, column in month(name).to_pydict().items()}
        for key in {each.casefold() for each in found.column_names if not each.startswith("_")}:
            column = next(each for each in found.column_names if each.casefold() == key)
            ordered = [row[column] for row in sorted(mine, key=lambda row: row["_src_row"])]
            assert ordered == wanted.get(key, [None] * ROWS), (name, key)


@pytest.mark.slow
def test_months_of_other_types_and_case_load_whole_and_the_plan_explains_each_change(
    player: Player, local_store: LocalStore
) -> None:
    player.spec(SPEC)
    put(local_store, "2019-01")
    first = player.plan()
    assert {c["name"]: c["type"] for c in first["changes"][0]["after"]["schema"]} == {
        "VendorID": "long", "passenger_count": "long", "RatecodeID": "long", "pickup": "timestamp",
        "trip_distance": "double", "flag": "string",
    }  # fmt: skip
    player.apply()
    explained = []
    for name in list(MONTHS)[1:]:
        put(local_store, name)
        for change in player.plan()["changes"]:
            for operation in change["operations"]:
                explained += [(name, each["class"], each["change"]) for each in operation["details"].get("changes", ())]
        report = player.report()
        assert report["totals"]["rejected_rows"] == 0
    assert explained == [
        ("2021-03", "additive", "add airport_fee double"),
        ("2025-01", "additive", "add cbd_congestion_fee double"),
    ]
    check(player, list(MONTHS))
    player.no_changes()


@pytest.mark.slow
def test_all_months_at_once_load_whole(player: Player, local_store: LocalStore) -> None:
    player.spec(SPEC)
    for name in MONTHS:
        put(local_store, name)
    player.apply()
    check(player, list(MONTHS))
    player.no_changes()
