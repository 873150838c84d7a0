"""Hard inputs of names, listing, identity and time, as far as the listing and the matching decide them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from autoloader.errors import FileMovedError, SourceError
from autoloader.inventory import same_identity_sql
from autoloader.matching import compile_glob, is_hidden_sql, literal_prefixes, matches_sql
from autoloader.sources import Source, head, pinned


@pytest.fixture
def bucket(s3_bucket: str, s3_client: Any) -> Any:
    """The bucket's client, bound to it."""

    class Bound:
        name = s3_bucket
        client = s3_client
        source = Source(f"s3://{s3_bucket}/in/", {})

        def put(self, key: str, data: bytes = b"x") -> None:
            s3_client.put_object(Bucket=s3_bucket, Key=f"in/{key}", Body=data)

        def listed(self) -> pa.Table:
            return self.source.list().table

    return Bound()


def same(before: pa.Table, after: pa.Table) -> bool:
    con = duckdb.connect()
    con.register("was", before)
    con.register("now", after)
    query = f"SELECT {same_identity_sql('was', 'now')} FROM was JOIN now USING (file_path)"
    (answer,) = con.execute(query).fetchall()
    return bool(answer[0])


def test_case_4_hidden_names_are_listed_counted_and_judged_hidden(bucket: Any) -> None:
    for key in ("_SUCCESS", ".part.crc", ".hidden", "_temporary/0/a.csv", "x._COPYING_", "good.csv"):
        bucket.put(key)
    listed = bucket.listed()  # noqa: F841 - DuckDB reads it by name
    counts = duckdb.sql(f"SELECT {is_hidden_sql('key')} AS hidden, count(*) FROM listed GROUP BY 1 ORDER BY 1")
    assert counts.fetchall() == [(False, 1), (True, 5)]


def test_case_5_folder_markers_are_no_files_but_empty_files_are(bucket: Any) -> None:
    for key in ("", "a/", "a/b/", "a/b/c.csv"):
        bucket.put(key, b"")
    found = bucket.source.list()
    assert found.table["key"].to_pylist() == ["a/b/c.csv"]
    assert found.problems == ()


def test_case_12_a_missing_bucket_is_an_error_and_an_empty_one_is_not(bucket: Any) -> None:
    assert bucket.listed().num_rows == 0
    with pytest.raises(SourceError, match="does not exist"):
        Source("s3://there-is-no-such-bucket/in/", {}).list()


def test_case_13_a_file_that_two_includes_match_is_there_once(bucket: Any) -> None:
    bucket.put("a/one.csv")
    globs = [compile_glob("a/*.csv"), compile_glob("**/one.*"), compile_glob("a/one.csv")]
    listed = bucket.source.list(literal_prefixes(globs)).table  # noqa: F841 - DuckDB reads it by name
    assert duckdb.sql(f"SELECT key FROM listed WHERE {matches_sql(globs, 'key')}").fetchall() == [("a/one.csv",)]


def test_case_14_the_same_etag_with_a_newer_time_is_the_same_file(bucket: Any) -> None:
    bucket.put("a.csv", b"same")
    before = bucket.listed()
    bucket.put("a.csv", b"same")
    after = bucket.listed()
    later = pc.add(after["modified_at"], pa.scalar(10**9 * 60, pa.duration("ns")))
    after = after.set_column(after.schema.get_field_index("modified_at"), "modified_at", later)
    assert same(before, after)


def test_case_15_a_multipart_etag_is_an_identity_that_can_be_pinned(bucket: Any, tmp_path: Path) -> None:
    names = {"Bucket": bucket.name, "Key": "in/big.csv"}
    upload = bucket.client.create_multipart_upload(**names)["UploadId"]
    parts = []
    for number, data in enumerate((b"a" * 5 * 1024 * 1024, b"end"), 1):
        part = bucket.client.upload_part(**names, UploadId=upload, PartNumber=number, Body=data)
        parts.append({"ETag": part["ETag"], "PartNumber": number})
    assert bucket.listed().num_rows == 0  # not there before it is complete, whenever it was begun
    bucket.client.complete_multipart_upload(**names, UploadId=upload, MultipartUpload={"Parts": parts})
    (row,) = bucket.listed().to_pylist()
    assert row["etag"].endswith("-2")
    with pinned(row["file_path"], **identity(row), storage={}, workdir=tmp_path) as path:
        assert path.stat().st_size == row["size_bytes"]


def identity(row: dict[str, Any]) -> dict[str, Any]:
    named = {name: row[name] for name in ("size_bytes", "etag", "version_id")}
    return {**named, "modified_at_ns": row["modified_at"].value}


def test_case_16_a_restored_older_version_is_another_file_whatever_its_time(bucket: Any) -> None:
    bucket.put("a.csv", b"first")
    first = bucket.listed()
    bucket.put("a.csv", b"secon")
    second = bucket.listed()
    index = first.schema.get_field_index("modified_at")
    early = pa.chunked_array([[datetime(2020, 1, 1, tzinfo=UTC)]], first.schema.field(index).type)
    assert not same(second, first.set_column(index, "modified_at", early))


def test_case_17_and_21_only_the_last_replacement_can_be_read(bucket: Any, tmp_path: Path) -> None:
    bucket.put("a.csv", b"1")
    (first,) = bucket.listed().to_pylist()
    bucket.put("a.csv", b"2")
    bucket.put("a.csv", b"3")
    with (
        pytest.raises(FileMovedError),
        pinned(first["file_path"], **identity(first), storage={}, workdir=tmp_path),
    ):
        pass
    (last,) = bucket.listed().to_pylist()
    with pinned(last["file_path"], **identity(last), storage={}, workdir=tmp_path) as path:
        assert path.read_bytes() == b"3"


def test_case_20_a_file_deleted_after_planning_is_gone_and_its_neighbour_is_read(bucket: Any, tmp_path: Path) -> None:
    bucket.put("a.csv", b"1")
    bucket.put("b.csv", b"2")
    gone, stays = sorted(bucket.listed().to_pylist(), key=lambda row: str(row["key"]))
    bucket.client.delete_object(Bucket=bucket.name, Key="in/a.csv")
    with (
        pytest.raises(FileMovedError) as caught,
        pinned(gone["file_path"], **identity(gone), storage={}, workdir=tmp_path),
    ):
        pass
    assert caught.value.gone
    with pinned(stays["file_path"], **identity(stays), storage={}, workdir=tmp_path) as path:
        assert path.read_bytes() == b"2"


def test_a_versioned_bucket_is_pinned_by_version_where_it_is_known(bucket: Any, tmp_path: Path) -> None:
    bucket.client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    bucket.put("a.csv", b"old")
    old = head(f"s3://{bucket.name}/in/a.csv", {})
    assert old is not None
    assert old["version_id"]
    bucket.put("a.csv", b"new")
    with pinned(f"s3://{bucket.name}/in/a.csv", **old, storage={}, workdir=tmp_path) as path:
        assert path.read_bytes() == b"old"


def test_case_23_a_time_in_the_future_is_listed_as_it_is(tmp_path: Path) -> None:
    import os

    (tmp_path / "a.csv").write_bytes(b"x")
    ahead = int((datetime.now(UTC) + timedelta(days=400)).timestamp()) * 10**9 + 123
    os.utime(tmp_path / "a.csv", ns=(ahead, ahead))
    (row,) = Source(f"file://{tmp_path}/", {}).list().table.to_pylist()
    assert row["modified_at"].value == ahead
