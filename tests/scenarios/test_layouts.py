"""A table's layout that changes: old files keep theirs, new files get the new one, and no row is lost."""

from __future__ import annotations

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
