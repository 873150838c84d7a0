"""`plan --write-schema`: what was inferred becomes what is declared."""

from __future__ import annotations

from tests.playing import LocalStore, Player

SPEC = """\
# orders of the shop
name: orders
source: {path: in/}   # daily
destination: {table: shop.orders}
---
name: others
source: {path: "{{ vars.other }}"}
destination: {table: shop.others}
schema: {new_columns: rescue}
"""
DECLARED = """\
# orders of the shop
name: orders
source: {path: in/}   # daily
destination: {table: shop.orders}
schema:
  columns:
    - {name: id, type: long}
    - {name: day, type: date}
    - {name: "unit price", type: double}
---
name: others
source: {path: "{{ vars.other }}"}
destination: {table: shop.others}
schema: {columns: [{name: id, type: long}], new_columns: rescue}
"""


def test_the_inferred_schema_is_shown_and_written_into_its_documents(
    planning_player: Player, local_store: LocalStore
) -> None:
    player = planning_player
    player.spec("vars: {other: other/}", "autoloader.yml")
    player.spec(SPEC)
    local_store.put("0.csv", "id,day,unit price\n")
    local_store.put("a.csv", "id,day,unit price\n1,2024-01-02,1.5\n")
    LocalStore(player.folder / "other").put("b.csv", "id\n1\n")
    plan = player.plan("--write-schema")
    schemas = {change["ingestion"]: change["after"]["schema"] for change in plan["changes"]}
    assert schemas["others"] == [{"name": "id", "type": "long"}]
    assert "inferred from 2 of 2 files: id long, day date, `unit price` double" in " ".join(plan["notes"])
    text = (player.folder / "ingestions" / "specs.yml").read_text()
    assert text == DECLARED
    again = player.run("plan", "--write-schema")
    assert "declares its columns already" in again.err
    assert "inferred" not in again.out
    assert (player.folder / "ingestions" / "specs.yml").read_text() == text


def test_what_cannot_be_written_is_said_with_the_lines_and_the_file_stays(
    planning_player: Player, local_store: LocalStore
) -> None:
    player = planning_player
    local_store.put("a.csv", "id\n1\n")
    text = "name: orders\nsource: {path: in/}\ndestination: {table: shop.orders}\nschema:\n"
    player.spec(text)
    said = player.run("plan", "--write-schema")
    assert said.code == 1
    assert "- {name: id, type: long}" in said.err
    assert (player.folder / "ingestions" / "specs.yml").read_text() == text
