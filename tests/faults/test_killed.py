"""A real apply, killed with SIGKILL at a named step, then another one: the table holds what a model says.

`make test` plays a few histories per step, `make faults` many (`FAULTS` of each step, 100 unless it is
set) and writes what came out to `docs/reliability.md`.
"""

from __future__ import annotations

import os
import platform
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.playing import ROOT, LocalStore, Player

STEPS = ("claimed", "loaded", "written", "committed", "recorded")
FEW = 2
SPEC = """
    name: orders
    source: {{path: "{root}", on_delete: {on_delete}}}
    destination: {{table: shop.orders}}
    schema: {{columns: [{{name: version, type: long}}, {{name: number, type: long}}]}}
"""


@dataclass
class World:
    """Files in storage, and the model: the rows that belong into the table."""

    player: Player
    store: LocalStore
    random: random.Random
    rows: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    written: int = 0

    def write(self, key: str) -> None:
        """Add a file, or replace one by another version."""
        self.written += 1
        self.rows[key] = [(self.written, number) for number in range(self.random.randint(0, 4))]
        self.store.put(key, "version,number\n" + "".join(f"{a},{b}\n" for a, b in self.rows[key]))

    def change(self) -> None:
        """A few adds, replacements and deletes; never more deletes than half of the files."""
        for _ in range(self.random.randint(2, 5)):
            self.write(f"{self.random.randint(0, 999)}.csv")
        known = sorted(self.rows)
        for key in self.random.sample(known, min(2, len(known))):
            self.write(key)
        for key in self.random.sample(known, len(known) // 4):
            self.store.delete(key)
            del self.rows[key]

    def check(self) -> None:
        """The table equals the model, the ledger agrees, nothing is left to do or lies about."""
        found = Counter((row["version"], row["number"]) for row in self.player.rows("shop.orders"))
        assert found == Counter(row for rows in self.rows.values() for row in rows)
        said = self.player.run("verify", "orders")
        assert said.code == 0, said.out
        self.player.no_changes()
        assert orphans(self.player) == []


def orphans(player: Player) -> list[str]:
    """Data files that lie in the table's folder and that no snapshot knows."""
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("lake", uri=f"sqlite:///{player.folder}/.autoloader/catalog.db")
    try:
        table = catalog.load_table("shop.orders")
        known = {
            entry.data_file.file_path.removeprefix("file://")
            for snapshot in table.snapshots()
            for manifest in snapshot.manifests(table.io)
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
        }
        folder = Path(table.location().removeprefix("file://")) / "data"
    finally:
        catalog.engine.dispose()
    return sorted(str(path) for path in folder.rglob("*.parquet") if str(path) not in known)


def apply(player: Player, *words: str, die_at: str = "") -> int:
    """An apply in a process of its own; its exit code, negative where a signal ended it."""
    environ = {"AUTOLOADER_BATCH_FILES": "3", "AUTOLOADER_DIE_AT": die_at}
    said = player.command("apply", "-y", *words, environ=environ)
    assert said.code in (0, -signal.SIGKILL), said.err + said.out
    return said.code


def play(folder: Path, step: str, seed: int) -> bool:
    """One history; whether the process was really killed."""
    (folder / "ingestions").mkdir(parents=True)
    player = Player(folder)
    world = World(player, LocalStore(folder / "in"), random.Random(f"{step}-{seed}"))
    player.spec(SPEC.format(root=world.store.root, on_delete="delete_rows"))
    player.spec("spark: {engine: sail}\n", "autoloader.yml")
    world.change()
    if seed % 2 == 0 or step == "swapped":  # half of the histories begin with a table that is filled already
        apply(player)
        world.change()
    words = ("--refresh", "orders=full") if step == "swapped" else ()
    code = apply(player, *words, die_at=f"{step}:{world.random.randint(1, 2)}" if step != "swapped" else step)
    if seed % 3 == 0:  # the world goes on before somebody comes back
        world.change()
    assert apply(player) == 0
    world.check()
    return code == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("step", [*STEPS, "swapped"])
def test_after_a_kill_at_a_step_another_apply_reaches_the_model(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = 0
    for seed in range(FEW):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        killed += play(folder, step, seed)
    assert killed


@pytest.mark.slow
@pytest.mark.parametrize("step", ["claimed", "committed", "swapped"])
def test_a_rebuild_that_is_killed_leaves_the_old_table_or_the_new_one_and_no_branch(
    step: str, project_dir: Path
) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    player, store = Player(project_dir), LocalStore(project_dir / "in")
    player.spec(SPEC.format(root=store.root, on_delete="keep"))
    player.spec("spark: {engine: sail}\n", "autoloader.yml")
    for number in range(5):
        store.put(f"{number}.csv", f"version,number\n{number},0\n")
    apply(player)
    store.delete("4.csv")
    assert apply(player, "--refresh", "orders=full", die_at=step) == -signal.SIGKILL
    assert apply(player) == 0
    rows = {row["version"] for row in player.rows("shop.orders")}
    assert rows == ({0, 1, 2, 3} if step == "swapped" else {0, 1, 2, 3, 4})
    said = player.run("verify", "orders")
    assert said.code == 0, said.out
    player.no_changes()
    catalog = SqlCatalog("lake", uri=f"sqlite:///{project_dir}/.autoloader/catalog.db")
    assert set(catalog.load_table("shop.orders").refs()) == {"main"}
    catalog.engine.dispose()


@pytest.mark.faults
@pytest.mark.timeout(0)
def test_many_histories_per_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = int(os.environ.get("FAULTS", "100"))
    rows: list[dict[str, Any]] = []
    for step in (*STEPS, "swapped"):
        began, killed, wrong = time.monotonic(), 0, list[str]()
        for seed in range(times):
            folder = tmp_path / step / f"{seed}"
            folder.mkdir(parents=True)
            monkeypatch.chdir(folder)
            try:
                killed += play(folder, step, seed)
            except AssertionError as error:
                wrong.append(f"seed {seed}: {str(error).splitlines()[0]}")
        row = {"step": step, "histories": times, "killed": killed, "wrong": wrong, "s": time.monotonic() - began}
        print(row)
        rows.append(row)
    write_page(rows)
    assert [row for row in rows if row["wrong"]] == []


def write_page(rows: list[dict[str, Any]]) -> None:
    """docs/reliability.md, from what was measured and nothing else."""
    lines = [
        "# Reliability",
        "",
        "A real `apply` in a process of its own (engine Sail, local files, SQLite state) is killed with `SIGKILL` at a",
        "named step of a batch; the step is a line of the code, not a wait. Histories of adds, replacements and",
        "deletes are random, half of them begin with a filled table, a third goes on changing before somebody comes",
        "back. Then `apply` runs once more, and the table must equal a model as a multiset of rows, `verify` must find",
        'nothing, `plan` must say "No changes", and no data file may lie about that no snapshot knows.',
        "",
        f"Written by `make faults` on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}.",
        "",
        "| killed at | histories | of which killed | wrong afterwards | time |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row['step']}` | {row['histories']} | {row['killed']} | {len(row['wrong'])} | {row['s']:.0f} s |"
        for row in rows
    ]
    lines += ["", "`loaded`: data files are written and the ledger does not know. `swapped`: a rebuilt table is served"]
    lines += ["and the ledger does not know. The others are the steps of [one batch's life](architecture.md).", ""]
    for row in rows:
        lines += [f"- `{row['step']}`, {each}" for each in row["wrong"]]
    (ROOT / "docs" / "reliability.md").write_text("\n".join(lines), encoding="utf-8")
    print(f"written by {sys.executable}")
