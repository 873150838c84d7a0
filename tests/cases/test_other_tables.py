"""A batch that nobody recorded is looked for in its own table alone, wherever that is now."""

from __future__ import annotations

import pytest

from tests.cases.test_exactly_once import between, cut_off
from tests.orders import SPEC, declare, pairs, put, settled
from tests.playing import LocalStore, Player

pytestmark = pytest.mark.slow

DEV = "catalog: {name: lake, type: sql, uri: 'sqlite:///.autoloader/dev.db'}\n"
"""Another catalog; the warehouse and the state are the same."""


def add_dev(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--env dev` has a table of the same name, at the same place, that a state of its own has loaded."""
    (player.folder / "ingestions" / "env").mkdir()
    player.spec("vars: {}", "autoloader.yml")
    player.spec(DEV, "env/dev.yml")
    with monkeypatch.context() as patch:
        patch.setenv("AUTOLOADER_STATE", "sqlite:///.autoloader/dev-state.db")
        player.apply("--env", "dev")


def dies_after_its_commit(player: Player) -> None:
    with between("committed", cut_off):
        assert player.run("apply", "-y").code == 130


def take_away(player: Player) -> None:
    with player.iceberg("shop.orders") as table:
        table.catalog.drop_table("shop.orders")


def rename(player: Player, new: str) -> None:
    with player.iceberg("shop.orders") as table:
        table.catalog.rename_table("shop.orders", new)


@pytest.mark.parametrize("loaded_before", [True, False])
def test_a_batch_is_not_settled_in_the_table_of_that_name_in_another_catalog(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch, loaded_before: bool
) -> None:
    put(local_store, "z.csv", 9)
    declare(player, local_store)
    if loaded_before:
        player.apply()
    add_dev(player, monkeypatch)
    put(local_store, "a.csv", 1)
    dies_after_its_commit(player)
    there = pairs(player)
    put(local_store, "b.csv", 2)
    said = player.run("apply", "-y", "--env", "dev")
    assert said.code == 1, said.out
    assert "can neither be recorded nor given back" in said.out + said.err
    assert "in this catalog shop.orders is another table" in said.out + said.err
    assert pairs(player) == there == [(1, 1), (9, 1)]
    assert player.report()["operations"][0]["operation"] == "batch_recorded"
    assert pairs(player) == [(1, 1), (2, 1), (9, 1)]
    settled(player)


def test_who_gives_a_table_up_that_is_in_another_catalog_deletes_nothing_of_it(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(local_store, "z.csv", 9)
    declare(player, local_store)
    player.apply()
    add_dev(player, monkeypatch)
    put(local_store, "a.csv", 1)
    dies_after_its_commit(player)
    player.apply("--env", "dev", "--refresh", "orders=full")
    player.apply("--env", "dev")
    assert pairs(player) == [(1, 1), (9, 1)]  # every data file is there
    assert player.run("verify", "orders", "--env", "dev").code == 0


def test_a_batch_is_recorded_in_its_table_that_has_another_name_in_catalog_and_spec(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "z.csv", 9)
    declare(player, local_store)
    player.apply()
    put(local_store, "a.csv", 1)
    dies_after_its_commit(player)
    rename(player, "shop.sold")
    player.spec(SPEC.format(root=local_store.root, source="", more="").replace("shop.orders", "shop.sold"))
    assert player.report()["operations"][0]["operation"] == "batch_recorded"
    assert sorted(row["id"] for row in player.rows("shop.sold")) == [1, 9]
    settled(player)


def test_a_batch_waits_for_its_table_whatever_else_of_the_spec_is_applied(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "z.csv", 9)
    declare(player, local_store)
    player.apply()
    put(local_store, "a.csv", 1)
    dies_after_its_commit(player)
    rename(player, "shop.away")
    declare(player, local_store, more="    description: all of them")
    said = player.run("apply", "-y")
    assert said.code == 1, said.out
    assert "this catalog has no such table" in said.out + said.err
    with player.iceberg("shop.away") as table:
        table.catalog.rename_table("shop.away", "shop.orders")
    assert player.report()["operations"][0]["operation"] == "batch_recorded"
    assert pairs(player) == [(1, 1), (9, 1)]
    settled(player)


def test_a_table_that_is_gone_for_good_is_built_anew_with_the_files_of_its_open_batch(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "z.csv", 9)
    declare(player, local_store)
    player.apply()
    put(local_store, "a.csv", 1)
    dies_after_its_commit(player)
    take_away(player)
    player.apply(code=3)
    player.apply("--refresh", "orders=full")
    assert pairs(player) == [(1, 1), (9, 1)]
    settled(player)


@pytest.mark.parametrize("how", ["spec", "state rm"])
def test_an_ingestion_is_forgotten_although_its_open_batch_waits_for_a_table_that_is_gone(
    player: Player, local_store: LocalStore, how: str
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    dies_after_its_commit(player)
    take_away(player)
    if how == "spec":
        player.spec("")
        player.apply()
    else:
        said = player.run("state", "rm", "orders", "-y")
        assert said.code == 0, said.out + said.err
    assert player.run("state", "list", "--format", "json").json["ingestions"] == []
    declare(player, local_store)
    player.apply()
    assert pairs(player) == [(1, 1)]
    settled(player)
