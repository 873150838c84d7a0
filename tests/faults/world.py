"""Files in storage and the model of a table: which rows belong into it, and how that is checked."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.playing import LocalStore

Row = tuple[int | None, ...]
TABLE = "shop.orders"
NAMES = 10
"""So many files there may be: those that go come back after a while."""


@dataclass
class World:
    """Source files, and the model: the rows that belong into the table, by file.

    Attributes:
        store: Where the files lie.
        random: Chooses what happens.
        rows: The model.
        columns: Columns of the files; the first is the number of the write.
        written: Writes so far.
        gone: Files deleted since everything was loaded.
        known: Files there were when everything was loaded; None before the first time.
    """

    store: LocalStore
    random: random.Random
    rows: dict[str, list[Row]] = field(default_factory=dict)
    columns: list[str] = field(default_factory=lambda: ["version", "number"])
    written: int = 0
    gone: int = 0
    known: int | None = None

    def write(self, key: str) -> None:
        """Add a file, or replace one by another version; one row in four cannot be read."""
        self.written += 1
        extra = [self.random.randint(0, 9) for _ in self.columns[2:]]
        rows = [(self.written, number, *extra) for number in range(self.random.randint(0, 4))]
        lines = [",".join(self.columns)]
        for row in rows:
            lines.append(",".join(map(str, row)))
        if self.random.random() < 0.3:
            lines.append(f"{self.written},none" + ",0" * len(extra))
        self.rows[key] = list(rows)
        self.store.put(key, "\n".join(lines) + "\n")

    def change(self) -> None:
        """A few adds, replacements and deletes; never so many deletes that a listing looks wrong."""
        for _ in range(self.random.randint(1, 4)):
            self.write(f"{self.random.randrange(NAMES)}.csv")
        known = sorted(self.rows)
        for key in self.random.sample(known, min(2, len(known))):
            self.write(key)
        self.remove(self.random.randint(0, 2))

    def remove(self, files: int) -> int:
        """Delete up to so many files; how many there were, at most a quarter since all was loaded."""
        keys = self.random.sample(sorted(self.rows), min(files, self.may_go()))
        for key in keys:
            self.store.delete(key)
            del self.rows[key]
        self.gone += len(keys)
        return len(keys)

    def loaded(self) -> None:
        """Everything has been loaded: what goes from now on is gone from these files."""
        self.gone, self.known = 0, self._there()

    def may_go(self) -> int:
        """So many files may be deleted before a listing looks wrong: those that nobody has loaded yet do not count."""
        there = self._there()
        known = there if self.known is None else min(self.known, there)
        return max(0, known // 4 - self.gone)

    def _there(self) -> int:
        return sum(1 for _ in self.store.folder.iterdir())

    def expected(self) -> Counter[Row]:
        """The rows that belong into the table."""
        width = len(self.columns)
        return Counter(row + (None,) * (width - len(row)) for rows in self.rows.values() for row in rows)


def check(columns: list[str], expected: Counter[Row], table: str = TABLE, litter: bool = False) -> int:
    """Hold the project in the working directory against a model; says what is wrong. Runs in a process of its own.

    The table equals the model, the ledger agrees, nothing is left to do, no branch and no data file lies about that
    no snapshot knows, and no rejected row is kept twice or lost.
    """
    from autoloader.project import Project

    project = Project("ingestions")
    wrong: list[str] = []
    lake = project.lake
    content = lake._catalog.load_table(table)
    wrong += _rows(content, columns, expected)
    wrong += [f"verify: {each}" for each in project.verify("orders").data["violations"]]
    plan = project.plan().plan
    wrong += [f"still planned: {change.ingestion} {change.actions} {change.detail}" for change in plan.changes]
    wrong += [f"orphan: {path}" for path in orphans(lake._catalog, table) if not litter]
    wrong += [f"branch: {name}" for name in content.refs() if name != "main"]
    wrong += _rejects(project, table)
    wrong += [f"lease: {lease}" for lease in project.ledger.leases()]
    wrong += [f"run: {run}" for run in project.ledger.runs("orders") if run.state == "running"]
    print("\n".join(wrong))
    return len(wrong) and 1


def check_rows(columns: list[str], expected: Counter[Row], table: str = TABLE) -> int:
    """Hold the table alone against a model. Runs in a process of its own, in the project's folder."""
    from autoloader.project import Project

    wrong = _rows(Project("ingestions").lake._catalog.load_table(table), columns, expected)
    print("\n".join(wrong))
    return len(wrong) and 1


def _rows(content: Any, columns: list[str], expected: Counter[Row]) -> list[str]:
    found = Counter(tuple(row[name] for name in columns) for row in content.scan().to_arrow().to_pylist())
    wrong = [f"lost: {dict(expected - found)}"] * bool(expected - found)
    return wrong + [f"doubled or strange: {dict(found - expected)}"] * bool(found - expected)


def orphans(catalog: Any, table: str) -> list[str]:
    """Data files that lie in a table's folders and that no snapshot knows."""
    from pyiceberg.exceptions import NoSuchTableError

    found: list[str] = []
    for name in (table, f"{table}__quarantine"):
        try:
            content = catalog.load_table(name)
        except NoSuchTableError:
            continue
        manifests = {each.manifest_path: each for snap in content.snapshots() for each in snap.manifests(content.io)}
        known = {
            entry.data_file.file_path.removeprefix("file://")
            for manifest in manifests.values()
            for entry in manifest.fetch_manifest_entry(content.io, discard_deleted=False)
        }
        folder = Path(content.location().removeprefix("file://")) / "data"
        found += [str(path) for path in folder.rglob("*.parquet") if str(path) not in known]
    return sorted(found)


def _rejects(project: Any, table: str) -> list[str]:
    """Rejected rows of the versions that are loaded: each once, as many as the ledger says."""
    from pyiceberg.exceptions import NoSuchTableError

    try:
        rows = project.lake._catalog.load_table(f"{table}__quarantine").scan().to_arrow().to_pylist()
    except NoSuchTableError:
        rows = []
    cells = Counter((row["src_file_id"], row["row"], row["column"]) for row in rows)
    kept = Counter(number for number, _ in {(number, row) for number, row, _ in cells})
    wrong = [f"kept twice: {cell}" for cell, times in cells.items() if times > 1]
    return wrong + [
        f"rejected rows of {row['file_path']}: {kept[row['src_file_id']]} kept, {row['rejected_rows']} known"
        for row in project.ledger.files("orders").to_pylist()
        if row["src_file_id"] is not None
        and row["state"] == "SUCCESS"
        and kept[row["src_file_id"]] != (row["rejected_rows"] or 0)
    ]
