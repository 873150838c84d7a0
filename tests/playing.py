"""A project played through the command line, on local files or on S3, with Spark that is really there."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    from pyiceberg.table import Table

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Store(Protocol):
    """Where source files lie."""

    @property
    def root(self) -> str: ...
    def put(self, key: str, data: bytes | str) -> None: ...
    def delete(self, key: str) -> None: ...


class LocalStore:
    """Files below a folder; every write gets a modification time of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._tick = 0

    @property
    def root(self) -> str:
        return f"{self.folder}/"

    def put(self, key: str, data: bytes | str) -> None:
        target = self.folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        self._tick += 1
        at = target.stat().st_mtime_ns + self._tick
        os.utime(target, ns=(at, at))

    def delete(self, key: str) -> None:
        (self.folder / key).unlink()


class S3Store:
    """Objects below a prefix of a bucket."""

    def __init__(self, client: Any, bucket: str, prefix: str = "in/") -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix

    @property
    def root(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def put(self, key: str, data: bytes | str) -> None:
        body = data.encode() if isinstance(data, str) else data
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)


class Player:
    """One project in its own folder, which is the working directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ingestions").mkdir(parents=True, exist_ok=True)

    def spec(self, text: str, name: str = "specs.yml") -> None:
        """Write a file of specs."""
        (self.folder / "ingestions" / name).write_text(textwrap.dedent(text), encoding="utf-8")

    def run(self, *words: str) -> Said:
        """One command, in this process; Spark that is active here is used and stays."""
        from autoloader.cli import run

        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(list(words))
        return Said(code, out.getvalue(), err.getvalue())

    def command(
        self,
        *words: str,
        environ: Mapping[str, str | None] | None = None,
        timeout_s: float = 300,
        through: Sequence[str] = (),
    ) -> Said:
        """One command in a process of its own, as a person types it; a value of None takes a variable away.

        Args:
            words: After the program's name.
            environ: Over the environment of the tests.
            timeout_s: When it is given up.
            through: A program with its arguments that runs the command.
        """
        wanted = {**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})}
        done = subprocess.run(
            [*through, sys.executable, str(ROOT / "plan_apply.py"), *words],
            cwd=self.folder,
            env={name: value for name, value in wanted.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def plan(self, *words: str) -> dict[str, Any]:
        """A plan as JSON; it must come about."""
        said = self.run("plan", "--format", "json", *words)
        assert said.code in (0, 2, 3), said.err + said.out
        plan: dict[str, Any] = said.json
        return plan

    def apply(self, *words: str, code: int = 0) -> Said:
        """Apply without being asked; it must end with that code."""
        said = self.run("apply", "-y", *words)
        assert said.code == code, said.err + said.out
        return said

    def files(self) -> dict[str, bytes]:
        """Every file below the project folder with its bytes, but for what SQLite keeps beside its databases."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }

    def report(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Apply without being asked; the report as data."""
        report: dict[str, Any] = self.apply("--format", "json", *words, code=code).json
        return report

    def no_changes(self) -> None:
        """The next plan must find nothing to do."""
        said = self.run("plan", "--detailed-exitcode")
        assert said.code == 0, said.out + said.err
        assert "No changes." in said.out, said.out

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The table's rows without lineage, read by PyIceberg."""
        found = self.table(table)
        return found.select([n for n in found.column_names if not n.startswith("_")]).to_pylist()

    def table(self, table: str) -> pa.Table:
        """The table whole, read by PyIceberg."""
        with self.iceberg(table) as found:
            return found.scan().to_arrow()

    @contextmanager
    def iceberg(self, table: str) -> Iterator[Table]:
        """The table as PyIceberg has it."""
        from pyiceberg.catalog.sql import SqlCatalog

        catalog = SqlCatalog("lake", uri=f"sqlite:///{self.folder}/.autoloader/catalog.db")
        try:
            yield catalog.load_table(table)
        finally:
            catalog.engine.dispose()


def work(plan: dict[str, Any]) -> dict[str, int]:
    """What a plan would load, by disposition."""
    kinds = ("new", "changed", "retry", "reingest", "schema", "late")
    counts = plan["totals"]["impact"] if "impact" in plan["totals"] else plan["totals"]
    return {k: v for k, v in counts["files_by_disposition"].items() if k in kinds and v}
