"""Which file is which, CASES 14 to 19, through plan and apply."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.playing import LocalStore, Player, S3Store, Store, work

SPEC = """
    name: things
    source: {{path: "{root}"}}
    destination: {{table: raw.things}}
"""


def declare(player: Player, store: Store) -> None:
    player.spec(SPEC.format(root=store.root))


def numbers(player: Player) -> list[Any]:
    return sorted(row["n"] for row in player.rows("raw.things"))


@pytest.fixture
def bucket(s3_client: Any, s3_bucket: str) -> S3Store:
    return S3Store(s3_client, s3_bucket)


@pytest.fixture
def folder(player: Player) -> LocalStore:
    return LocalStore(player.folder / "in")


@pytest.mark.slow
def test_14_the_same_etag_with_a_newer_time_is_touched_and_no_work(player: Player, bucket: S3Store) -> None:
    bucket.put("a.csv", "n\n1\n")
    declare(player, bucket)
    player.apply()
    bucket.put("a.csv", "n\n1\n")
    plan = player.plan()
    assert plan["changes"] == []
    player.no_changes()
    player.apply()
    assert numbers(player) == [1]


@pytest.mark.slow
def test_15_a_multipart_etag_is_an_identity_and_the_same_bytes_in_one_piece_replace_it(
    player: Player, bucket: S3Store, s3_client: Any, s3_bucket: str
) -> None:
    rows = "".join(f"{n},{'x' * 90}\n" for n in range(60_000))
    whole = f"n,text\n{rows}".encode()
    part = 5 * 1024 * 1024
    key = "in/big.csv"
    upload = s3_client.create_multipart_upload(Bucket=s3_bucket, Key=key)["UploadId"]
    parts = []
    for number, at in enumerate(range(0, len(whole), part), 1):
        sent = s3_client.upload_part(
            Bucket=s3_bucket, Key=key, PartNumber=number, UploadId=upload, Body=whole[at : at + part]
        )
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    s3_client.complete_multipart_upload(Bucket=s3_bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    declare(player, bucket)
    player.apply()
    [file] = player.run("files", "things", "--format", "json").json["files"]
    assert file["etag"].strip('"').endswith(f"-{len(parts)}")
    assert player.table("raw.things").num_rows == 60_000
    player.no_changes()
    bucket.put("big.csv", whole)
    assert work(player.plan()) == {"changed": 1}
    player.apply()
    assert player.table("raw.things").num_rows == 60_000
    player.no_changes()


def test_16_a_restored_older_version_with_an_older_time_is_changed(player: Player, folder: LocalStore) -> None:
    folder.put("a.csv", "n\n2\n")
    declare(player, folder)
    player.apply()
    folder.put("a.csv", "n\n1\n")
    os.utime(folder.folder / "a.csv", (1_000_000_000, 1_000_000_000))
    assert work(player.plan()) == {"changed": 1}
    player.apply()
    assert numbers(player) == [1]
    player.no_changes()


def test_17_of_a_file_replaced_twice_between_runs_only_the_last_counts(player: Player, store: Store) -> None:
    store.put("a.csv", "n\n1\n")
    declare(player, store)
    player.apply()
    store.put("a.csv", "n\n2\n22\n")
    store.put("a.csv", "n\n3\n")
    assert work(player.plan()) == {"changed": 1}
    player.apply()
    assert numbers(player) == [3]
    assert player.run("verify", "things").code == 0


@pytest.mark.slow
def test_18_a_file_replaced_by_one_with_more_columns_brings_them_and_takes_its_old_rows(
    player: Player, store: Store
) -> None:
    store.put("a.csv", "n\n1\n")
    store.put("b.csv", "n\n2\n")
    declare(player, store)
    player.apply()
    store.put("a.csv", "extra,n\nx,10\n")
    player.apply()
    assert sorted(map(str, player.rows("raw.things"))) == ["{'n': 10, 'extra': 'x'}", "{'n': 2, 'extra': None}"]
    player.no_changes()
    store.put("a.csv", "n\n100\n")
    player.apply()
    assert numbers(player) == [2, 100]


@pytest.mark.slow
def test_19_a_file_that_was_deleted_and_made_again_the_same_doubles_nothing(player: Player, store: Store) -> None:
    store.put("a.csv", "n\n1\n")
    store.put("b.csv", "n\n2\n")
    store.put("c.csv", "n\n3\n")
    declare(player, store)
    player.apply()
    store.delete("a.csv")
    plan = player.plan()
    assert work(plan) == {}
    assert plan["totals"]["files_by_disposition"]["missing"] == 1
    player.apply()
    assert numbers(player) == [1, 2, 3]
    store.put("a.csv", "n\n1\n")
    player.apply()
    assert numbers(player) == [1, 2, 3]
    player.no_changes()
    assert player.run("verify", "things").code == 0
