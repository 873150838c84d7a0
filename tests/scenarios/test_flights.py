"""A year of real files, 336,776 flights in 365 of them, through the commands on both storages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from tests import flights
from tests.conftest import ROOT
from tests.playing import LocalStore, Player, Store, work

pytestmark = pytest.mark.slow

SPEC = """
    name: flights
    source:
      path: "{root}"
      include: ["year=*/month=*/day=*/*.csv.gz"]
      path_date: "year={{Y}}/month={{m}}/day={{d}}"
      partitions: {{year: int, month: int, day: int}}
      options: {{null_values: ["", "NA"]}}
    destination:
      table: nyc.flights
      partition_by: [month]
"""
SUMMED = ("distance", "air_time", "dep_delay", "flight")


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 365 files, made once."""
    folder = tmp_path_factory.mktemp("year")
    assert len(flights.write_days(folder)) == flights.DAYS
    return folder


@pytest.fixture
def filled(year: Path, store: Store) -> Store:
    """A store that holds the year."""
    match store:
        case LocalStore(folder=folder):
            shutil.copytree(year, folder, dirs_exist_ok=True)
        case _:
            for path in sorted(year.rglob("*.csv.gz")):
                store.put(path.relative_to(year).as_posix(), path.read_bytes())
    return store


def truth() -> dict[str, Any]:
    """Rows per month and sums per column, by the csv module alone."""
    header, rows = flights._flights()
    sums = dict.fromkeys(SUMMED, 0)
    known = Counter[str]()
    for name in SUMMED:
        at = header.index(name)
        for row in rows:
            if row[at] != "NA":
                sums[name] += int(float(row[at]))
                known[name] += 1
    return {
        "months": dict(sorted(Counter(int(row[1]) for row in rows).items())),
        "sums": sums,
        "known": dict(known),
        "tails": len({row[header.index("tailnum")] for row in rows} - {"NA"}),
    }


def held(player: Player) -> dict[str, Any]:
    """The same figures, of the table."""
    table = player.table("nyc.flights")
    months = table["month"].value_counts().to_pylist()
    return {
        "months": dict(sorted((each["values"], each["counts"]) for each in months)),
        "sums": {name: int(pc.sum(table[name]).as_py()) for name in SUMMED},
        "known": {name: table[name].length() - table[name].null_count for name in SUMMED},
        "tails": pc.count_distinct(table["tailnum"]).as_py(),
    }


def test_a_year_is_loaded_once_then_ten_files_alone_and_a_lost_state_doubles_nothing(
    player: Player, filled: Store
) -> None:
    player.spec(SPEC.format(root=filled.root))
    plan = player.plan()
    assert work(plan) == {"new": flights.DAYS}
    player.apply()
    assert held(player) == truth()
    assert sum(held(player)["months"].values()) == flights.ROWS
    player.no_changes()
    assert player.run("verify", "flights").code == 0

    # ten more files load alone
    ten_more = 10
    for number in range(ten_more):
        body = (
            "dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,"
            "air_time,distance,hour,minute,time_hour\n"
            f"517,515,2,830,819,11,UA,{number},N14228,EWR,IAH,227,1400,5,15,2014-01-01T10:00:00Z\n"
        )
        filled.put(f"year=2014/month=01/day={number + 1:02}/flights.csv", body)
        filled.put(f"year=2014/month=01/day={number + 1:02}/flights.csv.gz", _gz(body))
    assert work(player.plan()) == {"new": ten_more}
    report = player.report()
    assert report["totals"]["files"] == ten_more
    assert report["totals"]["rows"] == ten_more
    assert player.table("nyc.flights").num_rows == flights.ROWS + ten_more
    player.no_changes()

    # the state is lost: knowingly refused, then knowingly rebuilt
    (player.folder / ".autoloader" / "state.db").unlink()
    refused = player.run("plan")
    assert refused.code == 3, refused.out + refused.err
    assert "rebuild-ledger flights" in refused.out + refused.err
    player.apply(code=3)
    assert player.table("nyc.flights").num_rows == flights.ROWS + ten_more
    rebuilt = player.run("rebuild-ledger", "flights", "-y")
    assert rebuilt.code == 0, rebuilt.err
    assert "375 files" in rebuilt.out
    player.no_changes()
    player.apply()
    assert player.table("nyc.flights").num_rows == flights.ROWS + ten_more
    assert player.run("verify", "flights").code == 0


def _gz(text: str) -> bytes:
    import gzip

    return gzip.compress(text.encode(), mtime=0)


@pytest.mark.parametrize("words", [(), ("--s3",)], ids=["local", "s3"])
def test_the_demo_plans_loads_plans_again_and_queries(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "demo.py"), *words], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No changes." in done.stdout
    assert "United Air Lines" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
