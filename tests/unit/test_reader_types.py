"""Every example of docs/types.md, read from a real file."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from autoloader import reader
from tests.reading import contract, source_file

PAGE = Path(__file__).resolve().parents[2] / "docs" / "types.md"


@dataclass(frozen=True)
class Table:
    """One table of examples: (what is written, what it becomes) with None for null."""

    kind: str
    form: str
    examples: tuple[tuple[str, str | None], ...]


def _code(text: str) -> str | None:
    text = text.strip()
    if text in ("null", "rejected"):
        return None if text == "null" else text
    return text.removeprefix("`").removesuffix("`")


def tables() -> list[Table]:
    """The tables of examples of the page, in order."""
    found: list[Table] = []
    kind = ""
    page = PAGE.read_text().split("## The types")[1].split("## What becomes")[0]
    for block in re.split(r"\n\n", page):
        lines = block.splitlines()
        if lines and lines[0].startswith("### "):
            kind = lines[0].removeprefix("### ")
        elif lines and lines[0].startswith("| ") and "| becomes |" in lines[0]:
            form = lines[0].split("|")[1].strip()
            rows = [line.strip("|").rpartition("|") for line in lines[2:]]
            rows = [(left.strip().rstrip("|").strip(), right) for left, _, right in rows]
            found.append(Table(kind, form, tuple((_code(a) or "", _code(b)) for a, b in rows)))
    return found


def _csv(examples: tuple[tuple[str, str | None], ...]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    text.write("n,v\n")
    for number, (value, _) in enumerate(examples):
        if value == '""':
            text.write(f'{number},""\n')
        else:
            writer.writerow([number, value])
    return text.getvalue().encode()


def _json(examples: tuple[tuple[str, str | None], ...]) -> bytes:
    return "".join(f'{{"n": {n}, "v": {value}}}\n' for n, (value, _) in enumerate(examples)).encode()


def _read(folder: Path, content: object, table: Table, form: str) -> tuple[list[str | None], list[int]]:
    told = contract({"n": "int", "v": table.kind}, form, max_bad_rows="100%")
    con = reader.connect(threads=1, memory_limit="500MB", temp_directory=folder)
    file = source_file(folder, content)  # type: ignore[arg-type]
    shown = "decode(v)" if table.kind == "binary" else "CAST(v AS VARCHAR)"
    with reader.open_reading(con, [file], told, folder) as reading:
        done = reading.run(lambda q: con.execute(f"SELECT {shown}, _src_row FROM ({q}) ORDER BY 2").fetchall())
    con.close()
    assert done.files[0].error is None, done.files[0].error
    assert done.result is not None
    return [r[0] for r in done.result], [r["row"] for r in done.rejects.to_pylist()]


@pytest.mark.parametrize("table", tables(), ids=lambda t: f"{t.kind} of {t.form}")
def test_every_example_of_the_page_is_true(table: Table, tmp_path: Path) -> None:
    if table.form == "Parquet":
        for value, becomes in table.examples:

            def write(path: Path, value: str = value) -> None:
                import duckdb

                con = duckdb.connect()
                con.execute("SET TimeZone = 'UTC'")
                con.execute(f"COPY (SELECT 0 AS n, {value} AS v) TO '{path}' (FORMAT parquet)")
                con.close()

            got, rejected = _read(tmp_path, write, table, "parquet")
            assert (got or ["rejected"]) == [becomes], (value, got, rejected)
        return
    form = {"text": "csv", "JSON": "json"}[table.form]
    content = _csv(table.examples) if form == "csv" else _json(table.examples)
    got, rejected = _read(tmp_path, content, table, form)
    wanted = [becomes for _, becomes in table.examples if becomes != "rejected"]
    bad = [n for n, (_, becomes) in enumerate(table.examples) if becomes == "rejected"]
    assert ([table.examples[n][0] for n in rejected], got) == ([table.examples[n][0] for n in bad], wanted)


@pytest.mark.parametrize("table", [t for t in tables() if t.form == "text"], ids=lambda t: t.kind)
def test_the_strict_way_and_the_tolerant_way_agree_value_by_value(table: Table, tmp_path: Path) -> None:
    for value, becomes in table.examples:
        got, _ = _read(tmp_path, _csv(((value, becomes),)), table, "csv")
        assert (got or ["rejected"]) == [becomes], value


def test_the_page_speaks_of_every_type() -> None:
    from autoloader.schema import PRIMITIVES

    assert {t.kind for t in tables()} >= PRIMITIVES
