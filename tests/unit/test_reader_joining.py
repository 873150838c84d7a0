"""Small CSV files that are parsed as one file give what each gives alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from autoloader import reader
from autoloader.reader import Dialect, Lineage, ReadContract, SourceFile, joining
from autoloader.schema import Column, Primitive, TableSchema

TEXT = TableSchema((Column("a", Primitive("string")), Column("b", Primitive("string"))))
FILLER = {f"filler {i}": f"a,b\n{i},x\n{i},y\n".encode() for i in range(joining.MIN_FILES)}


def read(folder: Path, contents: Mapping[str, bytes], dialect: Dialect = Dialect()) -> dict[str, Any]:  # noqa: B008
    """Per file its rows with their ordinals, or the error's first sentence."""
    folder.mkdir()
    contract = ReadContract(schema=TEXT, format="csv", dialect=dialect)
    files = []
    for number, (name, data) in enumerate(contents.items()):
        path = folder / f"{number}.csv"
        path.write_bytes(data)
        files.append(SourceFile(path, name, Lineage(number, name, "batch", datetime(2024, 1, 1, tzinfo=UTC))))
    con = reader.connect(threads=1, memory_limit="1GB", temp_directory=folder)
    with reader.open_reading(con, files, contract, folder) as reading:
        done = reading.run(lambda sql: con.sql(sql).fetchall())
    found: dict[str, Any] = {f.file.key: str(f.error).splitlines()[0] if f.error else [] for f in done.files}
    for a, b, _, path, row, *_ in done.result or []:
        found[path].append((row, a, b))
    con.close()
    return found


def both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: Mapping[str, bytes], dialect: Dialect
) -> dict[str, Any]:
    together = read(tmp_path / "together", contents, dialect)
    monkeypatch.setattr(joining, "MIN_FILES", 10**9)
    assert read(tmp_path / "apart", contents, dialect) == together
    return together


def joined(contents: Mapping[str, bytes], tmp_path: Path, dialect: Dialect = Dialect()) -> bool:  # noqa: B008
    paths = []
    for number, data in enumerate(contents.values()):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(data)
    return joining.join(paths, 1, 2, dialect, tmp_path) is not None


@pytest.mark.parametrize(
    "odd",
    [
        b'a,b\n"1\n2",x\n"3 ""q""",\n',
        b"a,b\n1,2",
        b"\xef\xbb\xbfa,b\n1,2\n",
        b"a,b\n",
        b"a,b",
        b"",
        b"a,b\n\n\n1,2\n\n",
        b"a,b\r\n1,2\r\n3,4",
        b'a,b\r\n"1\n2",3\r\n',
        b"a,b\n1,2\r\n3,4\n",
        b"a,b\n,\n,\n",
        b'a,b\n"",""\n',
        b"a,b\n1,2\n3\n",
        b"a,b\n1,2,3\n",
        b'a,b\n1,"2\n',
        b'a,b\n1,"2',
        b'a,b\n1,2"\n',
        b"a,b\n1,\xff\n",
        b"a,b\n1,\x00\n",
    ],
)
def test_an_odd_file_among_others_gives_what_it_gives_alone(
    odd: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = both_ways(tmp_path, monkeypatch, {"first": odd, **FILLER, "last": odd}, Dialect())
    assert found["first"] == found["last"]
    assert found["filler 3"] == [(0, "3", "x"), (1, "3", "y")]


def test_a_quote_that_is_closed_in_the_next_file_harms_only_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"open": b'a,b\n1,"2\n', "shut": b'a,b\n3",4\n', **FILLER}
    found = both_ways(tmp_path, monkeypatch, contents, Dialect())
    assert "never closed" in found["open"] or "cannot be read" in found["open"]
    assert found["filler 0"] == [(0, "0", "x"), (1, "0", "y")]


@pytest.mark.parametrize(
    "dialect",
    [
        Dialect(delimiter="|", quote="", escape=""),
        Dialect(delimiter=";", quote="'", escape="\\"),
        Dialect(comment="#", skip_rows=1),
        Dialect(header=False),
        Dialect(delimiter="="),
        Dialect(delimiter="e"),
    ],
)
def test_every_dialect_is_kept(dialect: Dialect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    d, q = dialect.delimiter, dialect.quote
    head = "skipped\n" * dialect.skip_rows + (f"a{d}b\n" if dialect.header else "")
    comment = "# a comment\n" if dialect.comment else ""
    contents = {
        f"file {i}": f"{head}{comment}{q}{i}{q}{d}x\n{comment}{i}{d}\n".encode() for i in range(joining.MIN_FILES)
    }
    if not dialect.header:
        dialect_schema = {k: v.replace(b"x", b"y") for k, v in contents.items()}
        assert set(both_ways(tmp_path, monkeypatch, dialect_schema, dialect)) == set(contents)
        return
    found = both_ways(tmp_path, monkeypatch, contents, dialect)
    assert found["file 5"] == [(0, "5", "x"), (1, "5", None)]


def test_files_are_joined_where_it_is_safe_and_not_where_it_is_not(tmp_path: Path) -> None:
    crlf = {name: data.replace(b"\n", b"\r\n") for name, data in FILLER.items()}
    assert joined(FILLER, tmp_path)
    assert joined(crlf, tmp_path)
    assert not joined({**FILLER, "crlf": b"a,b\r\n1,2\r\n"}, tmp_path)
    assert not joined({**FILLER, "lone": b"a,b\n1,2\r3\n"}, tmp_path)
    assert not joined(FILLER, tmp_path, Dialect(delimiter="=")), "the mark would be cut"
    assert not joined({"one": b"a,b\n1,2\n"}, tmp_path), "not worth it"
    assert not joined({**FILLER, "large": b"a,b\n" + b"1,2\n" * 1_000_000}, tmp_path), "not worth it"
