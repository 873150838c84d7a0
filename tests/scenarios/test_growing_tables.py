"""Files that bring what their table has not: columns and types that are found only while they are loaded."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from autoloader import schema as schemas
from autoloader.apply import loading
from autoloader.errors import LakeError
from autoloader.lake import SchemaUpdate
from autoloader.project import resolving
from tests.playing import LocalStore, Player, Store

SPEC = """
    name: orders
    source: {{path: "{root}"}}
    destination: {{table: shop.orders}}
    schema: {{{schema}}}
"""
TYPED = "columns: [{name: id, type: int}, {name: price, type: 'decimal(5,2)'}]"


def declare(player: Player, store: Store, schema: str = "") -> None:
    player.spec(SPEC.format(root=store.root, schema=schema))


def find_a_column_while_loading(player: Player, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded table, and a file with a column `note` that no plan sees, as if it lay outside of the sample."""
    store.put("a.csv", "id,price\n1,1.25\n")
    declare(player, store, TYPED)
    player.apply()
    store.put("b.csv", "id,price,note\n5,3.50,seven\n")
    monkeypatch.setattr(resolving, "sample_of", lambda *_, **__: None)


def by_id(player: Player, name: str) -> dict[int, object]:
    return {row["id"]: row[name] for row in player.rows("shop.orders")}


@pytest.mark.slow
def test_what_a_declared_table_lacks_is_added_and_widened_in_the_commit_that_brings_the_rows(
    player: Player, store: Store
) -> None:
    store.put("a.csv", "id,price\n1,1.25\n")
    declare(player, store, TYPED)
    player.apply()
    assert player.table("shop.orders").num_rows == 1
    for number in range(40):
        store.put(f"b{number:02}.csv", f"id,price\n{100 + number},2.00\n")
    store.put("b20x.csv", "id,price\n3000000000,12345.67\n")
    store.put("b20y.csv", "id,price,note\n5,3.50,seven\n")
    report = player.report()
    [grown] = [step for step in report["operations"] if step["operation"] == "table_grown"]
    assert {(each["class"], each["change"]) for each in grown["details"]["changes"]} >= {
        ("metadata", "widen id: int -> long"),
        ("metadata", "widen price: decimal(5,2) -> decimal(7,2)"),
    }
    table = player.table("shop.orders")
    assert {str(table.schema.field(n).type) for n in ("id", "price")} == {"int64", "decimal128(7, 2)"}
    assert (table.num_rows, set(table["_rescued"].to_pylist())) == (43, {None})
    assert by_id(player, "note")[5] == "seven"
    assert str(by_id(player, "price")[3_000_000_000]) == "12345.67"
    assert report["totals"]["rejected_rows"] == 0
    player.no_changes()
    assert player.run("verify", "orders").code == 0
    declared = player.run("state", "show", "orders", "--format", "json").json
    assert "note" in str(declared)


@pytest.mark.slow
def test_two_workers_that_find_columns_at_once_make_one_table_of_them(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Field ids were given for `note` when the other one's `flag` took them: the batch is written anew."""
    find_a_column_while_loading(player, local_store, monkeypatch)
    commit, others = loading.commit_batch, ["flag boolean", "note string", "id long"]

    def raced(tools: Any, target: Any, *rest: Any) -> Any:
        if others:
            name, kind = others.pop(0).split()
            update = SchemaUpdate(schemas.from_data([{"name": name, "type": kind}]))
            tools.lake.evolve(target.table, update)
        return commit(tools, target, *rest)

    monkeypatch.setattr(loading, "commit_batch", raced)
    player.apply()
    assert by_id(player, "note") == {1: None, 5: "seven"}
    assert by_id(player, "flag") == {1: None, 5: None}
    assert player.run("verify", "orders").code == 0
    player.no_changes()


@pytest.mark.slow
def test_a_worker_that_dies_between_the_commit_and_the_record_leaves_a_table_that_is_understood(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_a_column_while_loading(player, local_store, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(loading.growing, "learn", lambda *_: (_ for _ in ()).throw(LakeError("it died here")))
        player.apply(code=1)
    assert by_id(player, "note") == {1: None, 5: "seven"}
    player.apply()
    assert by_id(player, "note") == {1: None, 5: "seven"}
    assert "note" in str(player.run("state", "show", "orders", "--format", "json").json)
    player.no_changes()


def test_a_preview_grants_what_apply_would_grant(player: Player, local_store: LocalStore) -> None:
    local_store.put("a.csv", "id,price\n1,1.25\n")
    declare(player, local_store, TYPED)
    player.apply()
    local_store.put("b.csv", "id,price,note\n3000000000,12345.67,seven\n")
    shown = player.run("preview", "orders", "--file", str(local_store.folder / "b.csv"), "--format", "json").json
    assert {each["change"] for each in shown["schema_diff"]} == {
        "widen id: int -> long",
        "widen price: decimal(5,2) -> decimal(7,2)",
        "add note string",
    }
    assert shown["rejected"] == []
    assert shown["rows"] == [{"id": 3_000_000_000, "price": "12345.67", "note": "seven", "_rescued": None}]


@pytest.mark.parametrize(("rule", "code", "rescued"), [("rescue", 0, '{"note":"seven"}'), ("ignore", 0, None)])
def test_a_contract_that_adds_nothing_keeps_the_table_as_it_is(
    rule: str, code: int, rescued: str | None, player: Player, local_store: LocalStore
) -> None:
    local_store.put("a.csv", "id,price,note\n5,3.50,seven\n")
    declare(player, local_store, f"{TYPED}, new_columns: {rule}")
    player.apply(code=code)
    table = player.table("shop.orders")
    assert "note" not in table.column_names
    assert table["_rescued"].to_pylist() == [rescued]


@pytest.mark.slow
def test_a_column_that_is_declared_no_more_is_still_read_under_add_and_left_alone_under_rescue(
    player: Player, local_store: LocalStore
) -> None:
    local_store.put("a.csv", "id,price\n1,1.25\n")
    declare(player, local_store, TYPED)
    player.apply()
    local_store.put("b.csv", "id,price\n2,2.25\n")
    declare(player, local_store, "columns: [{name: id, type: int}]")
    assert "price not declared any more" in " ".join(player.plan()["notes"])
    player.apply()
    assert {key: str(value) for key, value in by_id(player, "price").items()} == {1: "1.25", 2: "2.25"}
    local_store.put("c.csv", "id,price\n3,3.25\n")
    declare(player, local_store, "columns: [{name: id, type: int}], new_columns: rescue")
    player.apply()
    assert str(by_id(player, "price")[1]) == "1.25"
    assert by_id(player, "price")[3] is None
    assert set(player.table("shop.orders")["_rescued"].to_pylist()) == {None, '{"price":"3.25"}'}
    player.no_changes()


@pytest.mark.slow
def test_columns_wait_for_a_value_that_tells_their_type(player: Player, local_store: LocalStore) -> None:
    """A first file that is only a header, or has columns without a value, makes no strings of numbers."""
    local_store.put("a.csv", "id,price,note\n")
    declare(player, local_store)
    player.apply()
    player.no_changes()
    local_store.put("b.csv", "id,price,note\n1,,\n")
    player.apply()
    local_store.put("c.csv", "id,price,note\n2,1.5,\n")
    player.apply()
    table = player.table("shop.orders")
    types = {field.name: str(field.type) for field in table.schema if not field.name.startswith("_")}
    assert types == {"id": "int64", "price": "double"}
    assert by_id(player, "price") == {1: None, 2: 1.5}
    player.no_changes()


def test_a_file_that_is_set_aside_and_the_run_lead_to_the_rows_that_were_refused(
    player: Player, local_store: LocalStore
) -> None:
    local_store.put("a.csv", "id,price\n1,1.25\n")
    local_store.put("bad.csv", "id,price\nx,1.25\n2,y\n")
    declare(player, local_store, TYPED)
    player.apply()
    with player.iceberg("shop.orders__quarantine") as table:
        kept = table.scan().to_arrow().select(["row", "column", "raw"]).to_pylist()
    assert sorted(kept, key=lambda each: each["row"]) == [
        {"row": 0, "column": "id", "raw": "x"},
        {"row": 1, "column": "price", "raw": "y"},
    ]
    run_id = player.run("runs", "--format", "json").json["runs"][-1]["run_id"]
    for words in (("files", "orders", "--state", "QUARANTINED"), ("show", run_id)):
        shown = player.run(*words, "--format", "json").json
        assert shown["quarantine_table"] == "shop.orders__quarantine"
        assert [each["raw"] for each in shown["rejected"]] == ["x", "y"]
        said = " ".join(player.run(*words).out.split())  # where it is broken depends on the folder's length
        assert "shop.orders__quarantine" in said
        assert "bad.csv: Row 2, column price: 'y' is not" in said
    assert "shop.orders__quarantine" in player.run("files", "orders").out


@pytest.mark.slow
@pytest.mark.parametrize("more", ["add", "ignore"])
def test_folders_give_columns_beside_declared_ones_and_a_new_type_of_one_takes_a_rebuild(
    player: Player, local_store: LocalStore, more: str
) -> None:
    def declared(partitions: str) -> str:
        text = SPEC.format(root=local_store.root, schema=f"columns: [{{name: id, type: int}}], new_columns: {more}")
        return text.replace('/"}', f'/", partitions: {{{partitions}}}}}')

    local_store.put("year=2024/a.csv", "id\n1\n")
    player.spec(declared("year: int"))
    player.apply()
    assert player.rows("shop.orders") == [{"id": 1, "year": 2024}]
    player.spec(declared("year: string"))
    said = player.run("plan")
    assert said.code == 3
    assert "retype year: int -> string" in said.out
    player.apply("--refresh", "orders=full")
    assert player.rows("shop.orders") == [{"id": 1, "year": "2024"}]
    player.no_changes()


@pytest.mark.slow
def test_a_column_of_the_folders_is_known_by_another_name(player: Player, local_store: LocalStore) -> None:
    local_store.put("date=2024-01-03/a.csv", "id\n1\n")
    player.spec(
        f"""
        name: sales
        source: {{path: "{local_store.root}", include: ["**/*.csv"], partitions: {{date: date}}}}
        destination: {{table: shop.sales}}
        schema: {{columns: [{{name: id, type: long}}, {{name: day, type: date, from: date}}]}}
        """
    )
    player.apply()
    assert player.rows("shop.sales") == [{"id": 1, "day": date(2024, 1, 3)}]
    player.no_changes()
