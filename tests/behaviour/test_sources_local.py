"""What only local folders have: links, pipes, odd names, permissions; each reported, the others listed."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from autoloader.errors import FileMovedError, SourceError
from autoloader.sources import Source, canonical, canonical_file, head, pinned
from autoloader.sources.instants import FURTHEST_NS, kept_ns


def keys_and_problems(folder: Path) -> tuple[list[str], dict[str, str]]:
    root = canonical(str(folder), folder)
    found = Source(root, {}).list()
    return sorted(found.table["key"].to_pylist()), {p.path.removeprefix(root): p.message for p in found.problems}


def test_links_are_followed_and_loops_pipes_and_sockets_are_reported(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "sub" / "a.csv").write_bytes(b"a")
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.csv").write_bytes(b"b")
    (other / "back").symlink_to(data)
    (data / "linked.csv").symlink_to(other / "b.csv")
    (data / "folder").symlink_to(other)
    (data / "sub" / "loop").symlink_to(data)
    (data / "self").symlink_to(data / "self")
    (data / "broken").symlink_to(tmp_path / "nothing")
    os.mkfifo(data / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(data)
        server.bind("socket")
        os.chdir(here)
        keys, problems = keys_and_problems(data)
    assert keys == ["folder/b.csv", "linked.csv", "sub/a.csv"]
    assert set(problems) == {"sub/loop", "folder/back", "self", "broken", "pipe", "socket"}
    assert "circle" in problems["self"]
    assert "nowhere" in problems["broken"]
    assert "pipe" in problems["pipe"]
    for name, way_out in (("broken", "remove the link"), ("folder/back", "remove the link"), ("pipe", "remove it")):
        assert way_out in problems[name]


def test_a_name_that_is_not_utf_8_is_reported_and_the_others_are_listed(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_bytes(b"1")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xffd.csv")).write_bytes(b"22")
    keys, problems = keys_and_problems(tmp_path)
    assert keys == ["good.csv"]
    assert list(problems) == ["b\\xffd.csv"]


@contextmanager
def nobody() -> Iterator[None]:
    """Tests may be run by root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_reported_and_the_others_are_listed() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for key in ("shut/x.csv", "a.csv", "b.csv", "nosearch/y.csv"):
            (folder / key).parent.mkdir(exist_ok=True)
            (folder / key).write_bytes(b"x")
        (folder / "a.csv").chmod(0)
        (folder / "shut").chmod(0)
        (folder / "nosearch").chmod(0o444)
        root = canonical(name, folder)
        with nobody():
            found = Source(root, {}).list()
            file = head(f"{root}a.csv", {})
            assert file is not None
            unreadable = pinned(f"{root}a.csv", **file, storage={}, workdir=Path(tempfile.gettempdir()))
            with pytest.raises(SourceError, match="may not be read"):
                unreadable.__enter__()
        (folder / "shut").chmod(0o700)
        (folder / "nosearch").chmod(0o700)
    assert sorted(found.table["key"].to_pylist()) == ["a.csv", "b.csv"]
    assert {p.path.removeprefix(root): p.unlisted for p in found.problems} == {
        "a.csv": False,
        "shut/": True,
        "nosearch/": True,
    }


def test_a_failing_disk_is_an_error_and_not_a_short_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad").mkdir()
    scandir = os.scandir

    def failing(path: str) -> object:
        if str(path).endswith("bad/"):
            raise OSError(5, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(SourceError, match="completely"):
        Source(canonical(str(tmp_path), tmp_path), {}).list()


def test_a_root_that_is_missing_or_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_bytes(b"")
    for name, words in (("nothing", "does not exist"), ("file.csv", "is not a folder")):
        with pytest.raises(SourceError, match=words) as caught:
            Source(canonical(name, tmp_path), {}).list()
        assert caught.value.fix


def test_a_touched_or_swapped_file_is_noticed_also_after_it_was_read(tmp_path: Path) -> None:
    file = tmp_path / "a [1].csv.gz"
    file.write_bytes(b"123")
    found = head(canonical_file(str(file), tmp_path), {})
    assert found is not None
    work = tmp_path / "work"
    work.mkdir()

    def open_it() -> None:
        with pinned(canonical_file(str(file), tmp_path), **found, storage={}, workdir=work) as path:
            assert path.is_symlink()
            assert path.suffixes == [".csv", ".gz"]
            os.utime(file, ns=(1, found["modified_at_ns"] + 1))

    with pytest.raises(FileMovedError) as caught:
        open_it()
    assert caught.value.gone is False
    assert list(work.iterdir()) == []
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(FileMovedError):
        open_it()


def test_a_modification_time_that_64_bits_do_not_hold_keeps_no_file_from_being_listed_and_read(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "good.csv").write_bytes(b"1")
    odd = data / "odd.csv"
    odd.write_bytes(b"22")
    far = datetime(2400, 1, 1, tzinfo=UTC).timestamp()
    os.utime(odd, (far, far))
    keys, problems = keys_and_problems(data)
    assert keys == ["good.csv", "odd.csv"]
    assert problems == {}
    root = canonical(str(data), data)
    found = next(row for row in Source(root, {}).list().table.to_pylist() if row["key"] == "odd.csv")
    at = found["modified_at"].value
    assert head(found["file_path"], {}) is not None
    identity = {"size_bytes": 2, "modified_at_ns": at, "etag": None, "version_id": None}
    with pinned(found["file_path"], **identity, storage={}, workdir=tmp_path) as path:
        assert path.read_bytes() == b"22"


def test_a_time_that_fits_is_kept_to_the_nanosecond_and_one_that_does_not_becomes_the_furthest_on_its_side() -> None:
    assert [kept_ns(ns) for ns in (0, -1, 2**63 - 1, 1 - 2**63)] == [0, -1, 2**63 - 1, 1 - 2**63]
    assert [kept_ns(ns) for ns in (2**63, -(2**63))] == [FURTHEST_NS, -FURTHEST_NS]
