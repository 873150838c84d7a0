"""Scenario 10, where the table has the values itself: new columns are filled from `_rescued`, no source is read."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.playing import LocalStore, Player

SPEC = """
    name: orders
    source: {{path: "{root}", format: {format}}}
    destination: {{table: shop.orders{more}}}
    schema: {{new_columns: rescue, on_bad_row: rescue, type_change: rescue, max_bad_rows: 100%, columns: [{columns}]}}
"""
ID = "{name: id, type: int}"
NOTE = "{name: note, type: string}"


def declare(player: Player, store: LocalStore, *columns: str, form: str = "csv", more: str = "") -> None:
    player.spec(SPEC.format(root=store.root, columns=", ".join((ID, *columns)), format=form, more=more))


def by_id(player: Player, name: str) -> dict[int, Any]:
    return {row["id"]: row[name] for row in player.table("shop.orders").to_pylist()}


def step(plan: dict[str, Any]) -> dict[str, Any]:
    [found] = [o for c in plan["changes"] for o in c["operations"] if o["operation"] == "rescued_filled"]
    return dict(found["details"])


def rescue_notes(player: Player, store: LocalStore) -> None:
    """Three files of which two have columns that the table has not."""
    store.put("a.csv", "id,note,price\n1,one,1.50\n2,,2.25\n")
    store.put("b.csv", "id\n3\n")
    store.put("c.csv", "id,Note,price\n4,four,not a price\n3000000000,five,\n")
    declare(player, store)
    player.apply()


@pytest.mark.slow
def test_a_declared_column_is_filled_from_rescued_values_in_one_snapshot(
    player: Player, local_store: LocalStore
) -> None:
    rescue_notes(player, local_store)
    assert by_id(player, "_rescued")[1] == '{"note":"one","price":"1.50"}'
    for path in local_store.folder.iterdir():  # whoever read a source now would find another text
        at = path.stat()
        path.write_bytes(b"#" * at.st_size)
        os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
    declare(player, local_store, "{name: memo, type: string, from: note}", "{name: price, type: 'decimal(5,2)'}")
    plan = player.plan()
    [change] = plan["changes"][1:]
    assert change["actions"] == ["schema"]
    told = step(plan)
    assert (told["columns"], told["rows"], told["class"]) == (["memo", "price"], 4, "needs_values")
    assert change["impact"]["estimated_cost_usd"] is not None
    assert change["impact"]["bytes_to_process"] == told["bytes"] > 0
    with player.iceberg("shop.orders") as table:
        before = len(table.metadata.snapshots)
    report = player.report()
    [filled] = [o for o in report["operations"] if o["operation"] == "rescued_filled"]
    assert filled["details"]["rows"] == 4
    with player.iceberg("shop.orders") as table:
        assert len(table.metadata.snapshots) == before + 1
    assert by_id(player, "memo") == {1: "one", 2: None, 3: None, 4: "four", None: "five"}
    assert {key: str(value) for key, value in by_id(player, "price").items()} == {
        1: "1.50", 2: "2.25", 3: "None", 4: "None", None: "None",
    }  # fmt: skip
    rescued = by_id(player, "_rescued")
    assert {key: rescued[key] and json.loads(rescued[key]) for key in rescued} == {
        1: None, 2: None, 3: None, 4: {"price": "not a price"}, None: {"id": "3000000000"},
    }  # fmt: skip
    assert player.run("verify", "orders").code == 0
    player.no_changes()


def test_a_wider_type_takes_the_values_that_were_too_large_for_the_old_one(
    player: Player, local_store: LocalStore
) -> None:
    rescue_notes(player, local_store)
    player.spec(SPEC.format(root=local_store.root, columns="{name: id, type: long}", format="csv", more=""))
    assert step(player.plan())["rows"] == 1
    player.apply()
    assert set(by_id(player, "id")) == {1, 2, 3, 4, 3_000_000_000}
    player.no_changes()


@pytest.mark.slow
def test_nothing_is_filled_where_nobody_wants_it_until_it_is_asked_for(player: Player, local_store: LocalStore) -> None:
    rescue_notes(player, local_store)
    declare(player, local_store, "{name: note, type: string}")
    player.apply("--fill", "orders=none")
    assert set(by_id(player, "note").values()) == {None}
    player.no_changes()
    assert step(player.plan("--fill", "orders=rescued"))["rows"] >= 3
    player.apply("--fill", "orders=rescued")
    assert by_id(player, "note") == {1: "one", 2: None, 3: None, 4: "four", None: "five"}
    player.no_changes()


@pytest.mark.slow
def test_an_apply_that_is_cut_off_is_taken_up_by_the_next_one(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoloader.lake import Lake

    rescue_notes(player, local_store)
    declare(player, local_store, "{name: note, type: string}")
    commit = Lake.commit
    with monkeypatch.context() as patch:
        patch.setattr(Lake, "commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        player.apply(code=130)
    assert Lake.commit is commit
    assert step(player.plan())["rows"] == 3
    player.apply()
    assert by_id(player, "note") == {1: "one", 2: None, 3: None, 4: "four", None: "five"}
    with player.iceberg("shop.orders") as table:
        known = {str(row["file_path"]) for row in table.inspect.all_files().to_pylist()}
    written = {f"file://{path}" for path in (player.folder / ".autoloader/warehouse").rglob("data/**/*.parquet")}
    assert written <= known
    player.no_changes()


@pytest.mark.slow
def test_a_fill_leaves_alone_what_another_table_has_in_the_same_folder(player: Player, local_store: LocalStore) -> None:
    """A renamed table stays where it is, so a new one of its old name lies in the same folder."""

    def declare_both(*columns: str) -> None:
        text = SPEC.format(root=local_store.root, columns=", ".join((ID, *columns)), format="csv", more="")
        old = SPEC.format(root=local_store.root, columns=f"{ID}, {NOTE}", format="csv", more="")
        player.spec(old.replace("shop.orders", "shop.old") + "    ---" + text.replace("name: orders", "name: fresh"))

    rescue_notes(player, local_store)
    declare(player, local_store, NOTE)
    player.apply()
    text = (player.folder / "ingestions/specs.yml").read_text()
    player.spec(text.replace("shop.orders", "shop.old"))
    player.apply()
    declare_both()
    player.apply()
    with player.iceberg("shop.old") as old, player.iceberg("shop.orders") as new:
        assert old.location() == new.location()
    declare_both(NOTE)
    player.apply()
    for table in ("shop.old", "shop.orders"):
        notes = {row["id"]: row["note"] for row in player.rows(table)}
        assert notes == {1: "one", 2: None, 3: None, 4: "four", None: "five"}


@pytest.mark.slow
def test_the_files_that_have_a_new_column_are_loaded_again_where_that_is_asked_for(
    player: Player, local_store: LocalStore
) -> None:
    rescue_notes(player, local_store)
    declare(player, local_store, "{name: note, type: string}")
    [note] = [note for note in player.plan()["notes"] if note.startswith("column note")]
    assert "2 of 3 loaded files have it. What rows have of it in _rescued is filled in" in note
    plan = player.plan("--fill", "orders=files")
    assert {c["impact"]["files_by_disposition"].get("schema") for c in plan["changes"] if c["lane"]} == {2}
    player.apply("--fill", "orders=files")
    assert by_id(player, "note") == {1: "one", 2: None, 3: None, 4: "four", None: "five"}
    assert len(player.rows("shop.orders")) == 5
    player.no_changes()


def test_what_another_name_or_an_incompatible_type_costs_is_told(player: Player, local_store: LocalStore) -> None:
    rescue_notes(player, local_store)
    player.spec(SPEC.format(root=local_store.root, columns="{name: id, type: string}", format="csv", more=""))
    plan = player.plan()
    [note] = [note for note in plan["notes"] if note.startswith("column id")]
    assert note.startswith("column id: from int to string takes a rebuild of all files: --refresh orders=full (")
    assert "$" in note
    player.spec(SPEC.format(root=local_store.root, columns="{name: id, type: int, from: no}", format="csv", more=""))
    [note] = [note for note in player.plan()["notes"] if note.startswith("column id")]
    assert note.startswith("column id: it reads no now. Rows that are there keep what they have (free)")
    assert not [n for n in player.plan("--refresh", "orders=full")["notes"] if n.startswith("column id")]


def test_a_guardrail_holds_for_data_files_that_are_written_anew(player: Player, local_store: LocalStore) -> None:
    rescue_notes(player, local_store)
    declare(player, local_store, "{name: note, type: string}")
    player.spec("guardrails: {max_bytes: 10}", "autoloader.yml")
    assert player.run("plan").code == 3
    player.apply(code=3)
    assert "note" not in player.table("shop.orders").column_names


@pytest.mark.slow
def test_fields_inside_of_structs_and_lists_are_filled_too(player: Player, local_store: LocalStore) -> None:
    local_store.put(
        "a.json", '{"id": 1, "who": {"name": "x", "age": 7, "tags": {"a": 1.50}}, "l": [{"k": 1, "n": 2}]}\n'
    )
    local_store.put("b.json", '{"id": 2, "who": {"name": "y"}, "l": [{"k": 3}]}\n')
    declare(
        player, local_store, "{name: who, type: 'struct<name: string>'}", "{name: l, type: 'list<struct<k: int>>'}",
        form="json", more=", partition_by: ['bucket[4](id)']",
    )  # fmt: skip
    player.apply()
    kept = by_id(player, "_rescued")[1]
    assert kept == '{"who.age":7,"who.tags":{"a":1.50},"l":[{"k":1,"n":2}]}'
    declare(
        player, local_store, "{name: who, type: 'struct<name: string, age: int, tags: struct<b: int>>'}",
        "{name: l, type: 'list<struct<k: int, n: int>>'}", form="json", more=", partition_by: ['bucket[4](id)']",
    )  # fmt: skip
    player.apply()
    assert by_id(player, "who") == {
        1: {"name": "x", "age": 7, "tags": {"b": None}},
        2: {"name": "y", "age": None, "tags": None},
    }
    assert by_id(player, "l") == {1: [{"k": 1, "n": 2}], 2: [{"k": 3, "n": None}]}
    assert by_id(player, "_rescued") == {1: '{"who.tags.a":1.50}', 2: None}
    player.no_changes()
