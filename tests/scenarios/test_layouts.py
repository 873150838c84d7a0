"""A table's layout that changes: old files keep theirs, new files get the new one, and no row is lost."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.playing import LocalStore, Player

pytestmark = pytest.mark.slow

SPEC = """
    name: orders
    source: {{path: "{root}"}}
    destination: {{table: shop.orders, partition_by: [{partition_by}]}}
    schema: {{columns: [{{name: id, type: long}}, {{name: day, type: date}}, {{name: shop, type: string}}{more}]}}
"""


def declare(player: Player, store: LocalStore, partition_by: str, more: str = "") -> None:
    player.spec(SPEC.format(root=store.root, partition_by=partition_by, more=more))


def files_by_layout(player: Player) -> dict[int, int]:
    """How many rows lie in files of each partition spec."""
    found: dict[int, int] = {}
    with player.iceberg("shop.orders") as table:
        for task in table.scan().plan_files():
            found[task.file.spec_id] = found.get(task.file.spec_id, 0) + task.file.record_count
    return found


def ids(player: Player, where: str) -> list[int]:
    with player.iceberg("shop.orders") as table:
        return sorted(table.scan(row_filter=where).to_arrow()["id"].to_pylist())


def test_partitioning_evolves_by_metadata_and_replaced_files_leave_the_old_layout(
    player: Player, local_store: LocalStore
) -> None:
    local_store.put("a.csv", "id,day,shop\n1,2024-01-03,x\n2,2024-02-03,y\n")
    local_store.put("b.csv", "id,day,shop\n3,2024-01-09,x\n,,\n")
    declare(player, local_store, "shop")
    player.apply()
    assert files_by_layout(player) == {0: 4}

    declare(player, local_store, '"month(day)", "bucket[4](region)"', ", {name: region, type: string}")
    planned = " ".join(player.run("plan").out.split())
    assert "change partitioning from shop to month(day), bucket[4](region)" in planned
    assert "metadata only: 2 loaded files as before, new ones in the new layout" in planned
    player.apply()
    assert files_by_layout(player) == {0: 4}
    player.no_changes()

    local_store.put("c.csv", "id,day,shop,region\n4,2024-01-20,z,north\n5,2024-03-01,z,\n")
    local_store.put("a.csv", "id,day,shop\n10,2024-02-04,y\n")
    player.apply()
    assert files_by_layout(player) == {0: 2, 1: 3}
    assert [row["id"] for row in player.rows("shop.orders") if row["id"] is None] == [None]
    assert ids(player, "day >= '2024-02-01'") == [5, 10]
    assert ids(player, "shop = 'x'") == [3]
    assert ids(player, "region = 'north'") == [4]

    declare(player, local_store, "shop", ", {name: region, type: string}")
    player.apply()
    local_store.put("c.csv", "id,day,shop,region\n40,2024-01-20,z,north\n")
    player.apply()
    assert ids(player, "day >= '2024-01-01'") == [3, 10, 40]
    assert ids(player, "shop = 'z'") == [40]
    player.no_changes()
    assert player.run("verify", "orders").code == 0


def test_rows_beside_those_of_replaced_and_deleted_files_are_found_in_the_old_layout(
    player: Player, local_store: LocalStore
) -> None:
    def put(number: int, *days: str) -> None:
        rows = [f"{number * 10 + place},{day},x\n" for place, day in enumerate(days)]
        local_store.put(f"{number}.csv", "id,day,shop\n" + "".join(rows))

    def with_layout(terms: str) -> None:
        declare(player, local_store, terms)
        specs = player.folder / "ingestions" / "specs.yml"
        specs.write_text(specs.read_text().replace("{path:", "{on_delete: delete_rows, path:"))

    for number in range(8):
        put(number, f"2024-01-0{number + 1}", f"2024-02-0{number + 1}")
    with_layout('"month(day)"')
    player.apply()
    with player.iceberg("shop.orders") as table:
        assert len(list(table.scan().plan_files())) < 16, "files share data files"

    with_layout('"day(day)"')
    put(0, "2024-03-01")
    player.apply()
    local_store.delete("1.csv")
    player.apply()
    with_layout("shop")
    put(2, "2024-03-01")
    put(3, "2024-01-04")
    player.apply()
    rows = player.rows("shop.orders")
    assert sorted(row["id"] for row in rows) == [0, 20, 30, 40, 41, 50, 51, 60, 61, 70, 71]
    for row in rows:
        assert row["id"] in ids(player, f"day = '{row['day']}'")
    assert len(ids(player, "shop = 'x'")) == len(rows)
    assert player.run("verify", "orders").code == 0
    player.no_changes()


def sorted_files(player: Player) -> dict[int | None, list[list[tuple[object, object]]]]:
    """Day and id of the rows of each data file as they lie in it, by the sort order that the file claims."""
    found: dict[int | None, list[list[tuple[object, object]]]] = {}
    with player.iceberg("shop.orders") as table:
        for task in table.scan().plan_files():
            rows = pq.read_table(task.file.file_path.removeprefix("file://"), columns=["day", "id"]).to_pylist()
            found.setdefault(task.file.sort_order_id, []).append([(row["day"], row["id"]) for row in rows])
    return found


def in_order(rows: list[tuple[Any, Any]]) -> bool:
    """Latest day first, days that are null last; within a day by id."""
    return rows == sorted(rows, key=lambda row: (row[0] is None, -(row[0] or date.min).toordinal(), row[1]))


@pytest.mark.parametrize("partition_by", ["", '"bucket[3](shop)"'], ids=["one file", "partitions"])
def test_rows_of_each_data_file_are_sorted_as_declared_and_other_files_stay_as_they_are(
    player: Player, local_store: LocalStore, partition_by: str
) -> None:
    def put(name: str, first: int) -> None:
        days = [f"2024-01-{1 + (first * 7 + n * 11) % 28:02}" if n % 10 else "" for n in range(60)]
        lines = "".join(f"{first + n * 37 % 60},{day},s{n % 5}\n" for n, day in enumerate(days))
        local_store.put(name, "id,day,shop\n" + lines)

    def with_sorting(terms: str) -> None:
        declare(player, local_store, f"{partition_by}], sort_by: [{terms}")

    put("a.csv", 0)
    declare(player, local_store, partition_by)
    player.apply()
    assert set(sorted_files(player)) == {None}

    with_sorting("day desc, id")
    planned = " ".join(player.run("plan").out.split())
    assert "change sorting from nothing to day desc, id" in planned
    assert "metadata only: 1 loaded file as before, new ones in the new layout" in planned
    player.apply()
    put("b.csv", 1000)
    put("c.csv", 2000)
    player.apply()
    by_order = sorted_files(player)
    assert set(by_order) == {None, 1}
    assert not all(map(in_order, by_order[None]))
    assert all(map(in_order, by_order[1]))
    assert max(map(len, by_order[1])) > 20

    player.apply("--refresh", "orders=full")
    by_order = sorted_files(player)
    assert set(by_order) == {1}
    assert all(map(in_order, by_order[1]))
    with player.iceberg("shop.orders") as table:
        assert [str(field) for field in table.sort_order().fields] == ["2 DESC NULLS LAST", "1 ASC NULLS FIRST"]

    put("b.csv", 3000)
    player.apply()
    assert all(map(in_order, sorted_files(player)[1]))
    ids_now = sorted(row["id"] for row in player.rows("shop.orders"))
    assert ids_now == [*range(60), *range(2000, 2060), *range(3000, 3060)]
    player.no_changes()

    with_sorting("")
    player.apply()
    with player.iceberg("shop.orders") as table:
        assert table.sort_order().is_unsorted
    player.no_changes()


def test_a_rebuild_for_another_type_is_written_in_the_new_layout(player: Player, local_store: LocalStore) -> None:
    local_store.put("a.csv", "id,day,shop,n\n1,2024-01-03,x,1\n2,2024-02-03,y,2\n")
    declare(player, local_store, "", ", {name: n, type: long}")
    player.apply()
    local_store.put("a.csv", "id,day,shop,n\n1,2024-01-03,x,2024-01-01\n2,2024-02-03,y,2024-01-02\n")
    declare(player, local_store, '"month(day)"', ", {name: n, type: date}")
    player.apply("--refresh", "orders=full")
    assert files_by_layout(player) == {1: 2}
    assert [row["n"] for row in player.rows("shop.orders")] == [date(2024, 1, 1), date(2024, 1, 2)]
    player.no_changes()
