"""Whoever comes too late: plans that the world has left behind (51), and workers that sleep and wake (52)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pyiceberg.types import StringType

from autoloader.lake import Lake
from autoloader.ledger import Ledger
from tests.clock import Clock
from tests.orders import declare, ids, put, settled
from tests.playing import LocalStore, Player


def states(player: Player) -> dict[str, tuple[str, int | None]]:
    """State and rows per file."""
    found = player.run("files", "orders", "--format", "json").json["files"]
    return {each["file_path"].rpartition("/")[2]: (each["state"], each["rows"]) for each in found}


# ------------------------------------------------------------------ saved plans


DROP = "    on_remove: drop"


def plan_removal(player: Player, store: LocalStore) -> None:
    """A loaded table, and a saved plan that drops it because its spec is gone."""
    put(store, "a.csv", 1)
    declare(player, store, more=DROP)
    player.apply()
    player.spec("")
    assert player.run("plan", "--out", "saved.plan").code == 0


@pytest.mark.parametrize(
    "more",
    ["    on_remove: drop\n    protect: true", "    previous_name: orders"],
    ids=["under its name", "under another name"],
)
def test_case_51_a_saved_plan_drops_no_table_whose_spec_is_back(
    player: Player, local_store: LocalStore, more: str
) -> None:
    plan_removal(player, local_store)
    declare(player, local_store, more=more)
    if "previous_name" in more:
        player.spec((player.folder / "ingestions/specs.yml").read_text().replace("name: orders", "name: sales", 1))
    said = player.run("apply", "saved.plan")
    assert said.code == 4, said.out + said.err
    assert "stale" in said.err
    assert ids(player) == [1]


def test_case_51_a_saved_plan_drops_no_table_that_was_loaded_into_since(
    player: Player, local_store: LocalStore
) -> None:
    plan_removal(player, local_store)
    declare(player, local_store, more=DROP)
    put(local_store, "b.csv", 2)
    player.apply()
    player.spec("")
    said = player.run("apply", "saved.plan")
    assert said.code == 4, said.out + said.err
    assert ids(player) == [1, 2]


def test_case_51_a_table_is_dropped_as_planned_while_nothing_moved_and_only_once(
    player: Player, local_store: LocalStore
) -> None:
    plan_removal(player, local_store)
    said = player.run("apply", "saved.plan")
    assert said.code == 0, said.out + said.err
    assert player.run("state", "list", "--format", "json").json["ingestions"] == []
    said = player.run("apply", "saved.plan")
    assert said.code == 4
    assert "This plan was applied to orders already." in said.err


@pytest.mark.parametrize("more", ["", DROP], ids=["forgotten", "dropped"])
def test_case_51_removals_that_were_cut_off_between_two_go_on_and_what_is_done_is_not_stale(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    put(local_store, "a.csv", 1)
    for name in ("first", "second"):
        source = f'source: {{path: "{local_store.root}"}}'
        player.spec(f"name: {name}\n{source}\ndestination: {{table: shop.{name}}}\n{more.strip()}\n", f"{name}.yml")
    player.apply()
    for name in ("first", "second"):
        player.spec("", f"{name}.yml")
    assert player.run("plan", "--out", "saved.plan").code == 0
    forget = Ledger.forget

    def forget_one(ledger: Ledger, name: str, **options: Any) -> int:
        if name == "second":
            raise KeyboardInterrupt
        return forget(ledger, name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "forget", forget_one)
        player.run("apply", "saved.plan")
    left = player.run("state", "list", "--format", "json").json["ingestions"]
    assert [each["name"] for each in left] == ["second"]
    said = player.run("apply", "saved.plan")
    assert said.code == 0, said.out + said.err
    assert player.run("state", "list", "--format", "json").json["ingestions"] == []
    assert player.run("apply", "saved.plan").out.count("already") == 2


def cut_off(player: Player, owner: type, name: str, *words: str) -> None:
    """A command that is interrupted right before it calls a method."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        assert player.run(*words).code == 130


@pytest.mark.parametrize("mode", ["new-only", "full"])
def test_case_51_a_refresh_that_was_cut_off_is_stale_once_others_have_loaded(
    player: Player, local_store: LocalStore, mode: str
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    assert player.run("plan", "--refresh", f"orders={mode}", "--out", "saved.plan").code == 0
    cut_off(player, Ledger, "start_run", "apply", "saved.plan")
    put(local_store, "c.csv", 3, 4)
    player.apply()
    said = player.run("apply", "saved.plan")
    assert said.code == 4, said.out + said.err
    assert "others have loaded since" in said.err
    assert ids(player) == [1, 3, 4]
    settled(player)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "owner", "name", "left"),
    [
        ("new-only", Ledger, "start_run", []),
        ("new-only", Ledger, "clear_rows", []),
        ("full", Ledger, "start_run", [1]),
        ("full", Lake, "swap", [1]),
    ],
)
def test_case_51_a_refresh_that_was_cut_off_goes_on_while_nobody_else_has_loaded(
    player: Player, local_store: LocalStore, mode: str, owner: type, name: str, left: list[int]
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    assert player.run("plan", "--refresh", f"orders={mode}", "--out", "saved.plan").code == 0
    cut_off(player, owner, name, "apply", "saved.plan")
    player.apply()
    said = player.run("apply", "saved.plan")
    assert said.code == 0, said.out + said.err
    assert ids(player) == left
    settled(player)


# ------------------------------------------------------------------ who sleeps longer than its lease lasts


@contextmanager
def asleep(owner: type, name: str, at: Clock, meanwhile: Callable[[], Any]) -> Iterator[None]:
    """Whoever is about to call a method first sleeps for ten minutes, in which others do something."""
    call, slept = getattr(owner, name), list[Any]()

    def calls(*arguments: Any, **more: Any) -> Any:
        if not slept:
            slept.append(name)
            at.move(minutes=10)
            meanwhile()
        return call(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, calls)
        yield
    assert slept


def test_case_52_a_fill_that_wakes_commits_no_files_that_another_has_deleted(
    player: Player, local_store: LocalStore, at: Clock
) -> None:
    rescues = "    schema: {new_columns: rescue, on_bad_row: rescue, columns: [%s]}"
    local_store.put("a.csv", "id,note\n1,one\n")
    declare(player, local_store, more=rescues % "{name: id, type: int}")
    player.apply()
    declare(player, local_store, more=rescues % "{name: id, type: int}, {name: note, type: string}")

    def another() -> None:
        cut_off(player, Lake, "commit", "apply", "-y")

    with asleep(Lake, "commit", at, another):
        said = player.run("apply", "-y")
    assert said.code == 6, said.out + said.err
    assert "may not be committed any more" in said.out + said.err
    player.apply()
    assert player.rows("shop.orders") == [{"id": 1, "note": "one"}]
    settled(player)


@pytest.mark.parametrize("step", [(Lake, "rollback"), (Ledger, "clear_rows")], ids=["table", "ledger"])
def test_case_52_who_wakes_takes_no_rows_out_that_others_have_loaded(
    player: Player, local_store: LocalStore, at: Clock, step: tuple[type, str]
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "c.csv", 3, 4)
    with asleep(*step, at, player.apply):
        said = player.run("apply", "-y", "--refresh", "orders=new-only")
    assert said.code == 6, said.out + said.err
    assert "written by somebody else" in said.out or "is no longer held by" in said.out
    assert ids(player)[-2:] == [3, 4]
    assert states(player)["c.csv"] == ("SUCCESS", 2)
    player.apply("--refresh", "orders=new-only")
    assert ids(player) == []
    settled(player)


def test_case_52_a_rollback_that_wakes_undoes_no_later_loads(
    player: Player, local_store: LocalStore, at: Clock
) -> None:
    for number, key in enumerate(("a.csv", "b.csv")):
        put(local_store, key, number)
        declare(player, local_store)
        player.apply()
    first = player.run("runs", "--format", "json").json["runs"][0]["run_id"]
    put(local_store, "c.csv", 3, 4)
    with asleep(Lake, "rollback", at, player.apply):
        said = player.run("rollback", "orders", "--to-run", first, "-y")
    assert said.code == 6, said.out + said.err
    assert ids(player) == [0, 1, 3, 4]
    settled(player)


def test_case_52_a_rebuild_of_the_ledger_that_wakes_forgets_no_later_loads(
    player: Player, local_store: LocalStore, at: Clock
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "c.csv", 3, 4)
    with asleep(Ledger, "rebuild", at, player.apply):
        said = player.run("rebuild-ledger", "orders", "-y")
    assert said.code == 6, said.out + said.err
    assert "is no longer held by" in said.err
    assert states(player)["c.csv"] == ("SUCCESS", 2)
    player.apply()
    assert ids(player) == [1, 3, 4]
    settled(player)


# ------------------------------------------------------------------ others change the columns of the table


def test_a_rebuild_with_a_new_column_puts_no_value_into_a_column_that_others_add_meanwhile(
    player: Player, local_store: LocalStore, at: Clock
) -> None:
    columns = "    schema: {new_columns: ignore, columns: [%s]}"
    local_store.put("a.csv", "id,note\n1,one\n")
    declare(player, local_store, more=columns % "{name: id, type: int}")
    player.apply()
    declare(player, local_store, more=columns % "{name: id, type: int}, {name: note, type: string}")

    def another() -> None:
        with player.iceberg("shop.orders") as table, table.update_schema() as update:
            update.add_column("comment", StringType())

    with asleep(Lake, "swap", at, another):
        said = player.run("apply", "-y", "--refresh", "orders=full")
    assert said.code == 1, said.out + said.err
    assert "changed the columns of the served table meanwhile" in said.out
    assert player.rows("shop.orders") == [{"id": 1, "comment": None}]
    player.apply("--refresh", "orders=full")
    assert player.rows("shop.orders") == [{"id": 1, "note": "one", "comment": None}]
    settled(player)


# ------------------------------------------------------------------ back to the end of a run


def runs(player: Player) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = player.run("runs", "--format", "json").json["runs"]
    return found


def test_a_run_after_the_clock_was_set_back_is_still_the_later_one(
    player: Player, local_store: LocalStore, at: Clock
) -> None:
    put(local_store, "a.csv", 1, 2)
    declare(player, local_store)
    player.apply()
    at.move(hours=-1)
    put(local_store, "empty.csv")
    player.apply()
    [later] = [run["run_id"] for run in runs(player) if run["snapshot_id"] is None]
    said = player.run("rollback", "orders", "--to-run", later, "-y")
    assert said.code == 0, said.out + said.err
    assert ids(player) == [1, 2]
    settled(player)


def test_who_goes_back_to_a_run_that_emptied_the_table_finds_it_empty(player: Player, local_store: LocalStore) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    player.apply("--refresh", "orders=new-only")
    put(local_store, "b.csv", 2)
    player.apply()
    first, emptied, _ = (run["run_id"] for run in runs(player))
    assert player.run("rollback", "orders", "--to-run", emptied, "-y").code == 0
    assert ids(player) == []
    assert player.run("verify", "orders").code == 0
    assert player.run("rollback", "orders", "--to-run", first, "-y").code == 0
    assert ids(player) == [1]
    player.apply()
    assert ids(player) == [1, 2]
    settled(player)
