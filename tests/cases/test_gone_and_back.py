"""Files that are gone when a plan is made (CASES 12, 20): rows leave only of those that are gone for certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orders import ids, put, settled
from tests.playing import LocalStore, Player, Store, work

pytestmark = pytest.mark.slow


def declare(player: Player, store: Store) -> None:
    player.spec(f"""
        name: orders
        source: {{path: "{store.root}", on_delete: delete_rows}}
        destination: {{table: shop.orders}}
    """)


def test_rows_of_a_file_that_is_back_before_a_saved_plan_is_applied_stay(player: Player, store: Store) -> None:
    declare(player, store)
    for number in range(4):
        put(store, f"{number}.csv", number)
    player.apply()
    store.delete("0.csv")
    store.delete("1.csv")
    assert player.run("plan", "--out", "saved.plan").code == 0
    put(store, "0.csv", 10)
    said = player.run("apply", "saved.plan")
    assert said.code == 0, said.err
    assert ids(player) == [0, 2, 3]
    assert "0.csv: it is back in storage" in said.out + said.err
    player.apply()
    assert ids(player) == [2, 3, 10]
    settled(player)


def test_rows_of_a_file_in_whose_place_is_a_folder_now_leave(player: Player, local_store: LocalStore) -> None:
    declare(player, local_store)
    for number in range(4):
        put(local_store, f"{number}.csv", number)
    player.apply()
    local_store.delete("0.csv")
    put(local_store, "0.csv/inner.csv", 9)
    player.apply()
    assert ids(player) == [1, 2, 3, 9]
    settled(player)


def test_rows_stay_of_files_behind_links_that_lead_nowhere_now(
    player: Player, local_store: LocalStore, tmp_path: Path
) -> None:
    volume = LocalStore(tmp_path / "volume")
    put(volume, "file.csv", 10)
    put(volume, "folder/inner.csv", 11)
    declare(player, local_store)
    for number in range(4):
        put(local_store, f"{number}.csv", number)
    (local_store.folder / "file.csv").symlink_to(volume.folder / "file.csv")
    (local_store.folder / "folder").symlink_to(volume.folder / "folder")
    player.apply()
    volume.folder.rename(tmp_path / "unmounted")
    plan = player.plan()
    assert work(plan) == {}
    assert "leads nowhere" in str(plan)
    local_store.delete("3.csv")
    player.apply()
    assert ids(player) == [0, 1, 2, 10, 11]
    (tmp_path / "unmounted").rename(volume.folder)
    settled(player)
