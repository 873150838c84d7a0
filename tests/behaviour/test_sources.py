"""One suite for every storage: listing, pinning, single files. Local folders and a real S3 server."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autoloader.errors import FileMovedError, SourceError
from autoloader.inventory import LISTING
from autoloader.matching import Window, compile_glob, compile_path_date, folder_filter, literal_prefixes
from autoloader.sources import Source, StorageConfig, canonical, delete, exists, get, head, head_many, pinned, put

HOSTILE = [
    "a b.csv",
    "a#b.csv",
    "a+b.csv",
    "a?b.csv",
    "a&b=c.csv",
    "quote'.csv",
    'double".csv',
    "back\\slash.csv",
    "emoji😀.csv",
    "e\u0301é.csv",
    "[x].csv",
    "{y}.csv",
    "*.csv",
    "**",
    "100%.csv",
    "%41.csv",
    "a%2Fb.csv",
    "a:b.csv",
    "a|b;c,d.csv",
    "<script>.csv",
    "`tick`.csv",
    "~",
    " lead and trail ",
    "tab\tin.csv",
    "sub dir/x y.csv",
]


@dataclass
class Place:
    """A storage under test: a root, and ways to arrange it that are not ours."""

    root: str
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]
    keys_too: tuple[str, ...] = ()

    def source(self) -> Source:
        return Source(self.root, {})


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "local":
        folder = tmp_path / "data"
        folder.mkdir()

        def write(key: str, data: bytes) -> None:
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(data)

        return Place(
            canonical(str(folder), tmp_path), write, lambda key: (folder / key).unlink(), ("new\nline.csv", "del\x7f")
        )
    bucket = request.getfixturevalue("s3_bucket")
    client = request.getfixturevalue("s3_client")
    return Place(
        f"s3://{bucket}/in put/",
        lambda key, data: client.put_object(Bucket=bucket, Key=f"in put/{key}", Body=data),
        lambda key: client.delete_object(Bucket=bucket, Key=f"in put/{key}"),
        ("a//b.csv", "/lead.csv", "ctl\x01.csv", "cr\r.csv"),
    )


def row(place: Place, key: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [r for r in place.source().list().table.to_pylist() if r["key"] == key]
    assert len(rows) == 1
    return rows[0]


def open_pinned(found: dict[str, Any], workdir: Path) -> Any:
    return pinned(
        found["file_path"],
        size_bytes=found["size_bytes"],
        modified_at_ns=found["modified_at"].value,
        etag=found["etag"],
        version_id=found["version_id"],
        storage={},
        workdir=workdir,
    )


def test_an_empty_place_lists_no_files_which_is_no_error(place: Place) -> None:
    found = place.source().list()
    assert found.table.num_rows == 0
    assert found.table.schema == LISTING
    assert found.problems == ()


def test_every_hostile_key_is_listed_and_its_bytes_are_fetched(place: Place, tmp_path: Path) -> None:
    keys = [*HOSTILE, *place.keys_too]
    for key in keys:
        place.put(key, key.encode())
    table = place.source().list().table
    assert sorted(table["key"].to_pylist()) == sorted(keys)
    assert table["file_path"].to_pylist() == [place.root + key for key in table["key"].to_pylist()]
    work = tmp_path / "work"
    work.mkdir()
    for found in table.to_pylist():
        with open_pinned(found, work) as path:
            assert path.read_bytes() == found["key"].encode()
            assert path.parent == work
            assert set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.")
        assert head(found["file_path"], {}) is not None
    assert list(work.iterdir()) == []


def test_a_listing_says_size_time_and_identity(place: Place) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    place.put("x/one.csv", b"12345")
    found = row(place, "x/one.csv")
    assert found["size_bytes"] == 5
    assert before <= found["modified_at"] <= datetime.now(UTC) + timedelta(seconds=2)
    assert found["version_id"] is None
    if place.root.startswith("file:"):
        assert found["etag"] is None
        path = Path(place.root.removeprefix("file://")) / "x/one.csv"
        assert found["modified_at"].value == path.stat().st_mtime_ns
    else:
        assert found["etag"] == "827ccb0eea8a706c4c34a16891f84e7b"


def test_only_what_begins_with_a_prefix_is_listed_even_inside_a_name(place: Place) -> None:
    keys = ["2023-12.csv", "2024-01.csv", "2024-02.csv", "2024-01.csv.d/x", "a/b/c.csv", "a/bc.csv", "b"]
    for key in keys:
        place.put(key, b"x")
    for patterns in (["2024-*"], ["2024-01.csv"], ["a/b/*"], ["a/b*", "b"], ["**"], ["nothing/**"], ["a/b/c.csv"]):
        globs = [compile_glob(p) for p in patterns]
        prefixes = literal_prefixes(globs)
        listed = place.source().list(prefixes).table["key"].to_pylist()
        assert sorted(listed) == sorted(key for key in keys if key.startswith(prefixes)), patterns


def test_folders_out_of_the_window_are_not_listed_but_odd_ones_are(place: Place) -> None:
    kept = ["year=2015/month=3/a", "year=2015/month=04/a", "year=__HIVE_DEFAULT_PARTITION__/month=1/a"]
    kept += ["eu/year=2015/month=05/a", "top.csv", "year=2015/month=13/a", "year=2015/stray.csv"]
    for key in [*kept, "year=2014/month=05/a", "year=2015/month=02/a", "eu/year=2016/month=01/a", "year=2017/b"]:
        place.put(key, b"x")
    window = Window(datetime(2015, 3, 1, tzinfo=UTC), datetime(2015, 7, 1, tzinfo=UTC))
    skip = folder_filter(compile_path_date("year={Y}/month={m}"), window, "UTC")
    assert sorted(place.source().list(skip=skip).table["key"].to_pylist()) == sorted(kept)


def test_hidden_files_are_listed_for_others_to_judge(place: Place) -> None:
    keys = ["_SUCCESS", ".hidden", "_temporary/0/x", "x._COPYING_", ".x.crc", "empty.csv"]
    for key in keys:
        place.put(key, b"")
    assert sorted(place.source().list().table["key"].to_pylist()) == sorted(keys)


def test_a_progress_callback_hears_the_final_count(place: Place) -> None:
    for i in range(5):
        place.put(f"{i}.csv", b"x")
    told: list[int] = []
    place.source().list(on_progress=told.append)
    assert told[-1] == 5
    assert told == sorted(told)


def test_a_file_that_was_replaced_after_listing_is_not_read_under_its_old_identity(
    place: Place, tmp_path: Path
) -> None:
    place.put("a.csv", b"old")
    found = row(place, "a.csv")
    place.put("a.csv", b"newer")
    with pytest.raises(FileMovedError) as caught, open_pinned(found, tmp_path):
        pass
    assert caught.value.gone is False
    with open_pinned(row(place, "a.csv"), tmp_path) as path:
        assert path.read_bytes() == b"newer"


def test_a_file_that_was_replaced_by_as_many_bytes_is_noticed(place: Place, tmp_path: Path) -> None:
    place.put("a.csv", b"old")
    found = row(place, "a.csv")
    place.put("a.csv", b"new")
    with pytest.raises(FileMovedError), open_pinned(found, tmp_path):
        pass


def test_a_file_that_was_deleted_after_listing_is_gone(place: Place, tmp_path: Path) -> None:
    place.put("a.csv.gz", b"x")
    found = row(place, "a.csv.gz")
    with open_pinned(found, tmp_path) as path:
        assert path.name.endswith(".csv.gz")
    place.remove("a.csv.gz")
    with pytest.raises(FileMovedError) as caught, open_pinned(found, tmp_path):
        pass
    assert caught.value.gone is True
    assert head(found["file_path"], {}) is None
    assert not exists(found["file_path"], {})


def test_heads_come_in_the_order_asked_with_those_gone_marked(place: Place) -> None:
    place.put("a", b"1")
    place.put("c", b"333")
    heads = head_many([place.root + key for key in "cba"], {})
    assert heads["found"].to_pylist() == [True, False, True]
    assert heads["size_bytes"].to_pylist() == [3, None, 1]
    assert heads["etag"][0].as_py() == row(place, "c")["etag"]


def test_data_files_are_put_whole_fetched_and_deleted(place: Place, tmp_path: Path) -> None:
    local = tmp_path / "big.parquet"
    local.write_bytes(bytes(range(256)) * 50_000)  # more than one part of an upload
    uri = place.root + "data/batch=1/part é.parquet"
    put(local, uri, {})
    assert get(uri, {}, tmp_path / "back").read_bytes() == local.read_bytes()
    assert exists(uri, {})
    delete([uri, place.root + "never/was"], {})
    assert not exists(uri, {})
    with pytest.raises(FileMovedError):
        get(uri, {}, tmp_path / "back")
    delete([], {})


def test_how_to_reach_a_storage_can_be_sent_to_a_worker_and_holds_no_credentials(place: Place) -> None:
    config = StorageConfig(region="us-east-1")
    assert pickle.loads(pickle.dumps(config)) == config
    place.put("a", b"x")
    assert Source(place.root, {"s3": config}).list().table.num_rows == 1


@pytest.mark.slow
def test_two_thousand_and_one_keys_are_all_there(place: Place) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: place.put(f"d{i % 3}/{i:05d}.csv", b""), range(2001)))
    listed = place.source().list().table["key"].to_pylist()
    assert len(listed) == len(set(listed)) == 2001


def test_missing_roots_are_errors_and_not_empty_listings(place: Place) -> None:
    root = place.root.replace("in put/", "").replace("bucket-", "nobucket-").replace("/data/", "/nodata/")
    with pytest.raises(SourceError, match="does not exist") as caught:
        (Source(root, {}).list() if root != place.root else pytest.fail("not another root"))
    assert caught.value.fix
