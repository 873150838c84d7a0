"""One ingestion that many tests play with: files of orders, `id,n` per row, loaded into `shop.orders`."""

from __future__ import annotations

from typing import Any

from tests.playing import Player, Store

SPEC = """
    name: orders
    source: {{path: "{root}"{source}}}
    destination: {{table: shop.orders}}
{more}
"""
STRICT = "    schema: {{missing_columns: {missing}, columns: [{{name: id, type: long}}, {{name: n, type: long}}]}}"
"""More of a spec: both columns are declared, and what becomes of a file that lacks one."""


def declare(player: Player, store: Store | str, source: str = "", more: str = "") -> None:
    """Write the spec of a store, or of another spelling of its root; `source` goes on after the path."""
    root = store if isinstance(store, str) else store.root
    player.spec(SPEC.format(root=root, source=source, more=more))


def put(store: Store, key: str, *ids: int, n: int = 1) -> None:
    """A file of one row per id."""
    store.put(key, "id,n\n" + "".join(f"{number},{n}\n" for number in ids))


def ids(player: Player) -> list[int]:
    """What is in the table, sorted; a doubled row is there twice."""
    return sorted(row["id"] for row in player.rows("shop.orders"))


def pairs(player: Player) -> list[tuple[int, int]]:
    """Each row with its `n`, which tells a file's versions apart, sorted."""
    return sorted((row["id"], row["n"]) for row in player.rows("shop.orders"))


def files(player: Player, state: str | None = None) -> list[dict[str, Any]]:
    """The ledger's rows."""
    words = ["--state", state] if state else []
    found: list[dict[str, Any]] = player.run("files", "orders", *words, "--format", "json").json["files"]
    return found


def states(player: Player) -> dict[str, str]:
    """The ledger's state per file name."""
    return {each["file_path"].rpartition("/")[2]: each["state"] for each in files(player)}


def last_run(player: Player) -> str:
    """The id of the run that was begun last."""
    return str(player.run("runs", "--format", "json").json["runs"][-1]["run_id"])


def clean(player: Player) -> None:
    """Ledger and table agree file by file."""
    said = player.run("verify", "orders")
    assert said.code == 0, said.out


def settled(player: Player) -> None:
    """Nothing is left to do, and ledger and table agree file by file."""
    player.no_changes()
    clean(player)
