"""A storage that fails is one clear error each, never a short list and never "no files"."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autoloader.errors import SourceError
from autoloader.matching import Window, compile_path_date, folder_filter
from autoloader.sources import Source, StorageConfig, put
from autoloader.sources import s3 as s3_listing
from autoloader.sources.faults import source_error
from tests.list_server import Fault, ListServer, many, serving


def reach(endpoint: str, **more: Any) -> dict[str, StorageConfig]:
    return {"s3": StorageConfig(endpoint=endpoint, **more)}


@contextmanager
def source_of(keys: list[str], fault: Fault | None = None) -> Iterator[tuple[Source, ListServer]]:
    with serving(keys, fault) as server:
        yield Source("s3://bucket/data/", reach(server.endpoint, anonymous=True)), server


@pytest.fixture(autouse=True)
def no_other_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(s3_listing, "THROTTLE_WAITS_S", (0.1,))
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def clear(error: SourceError, *words: str) -> bool:
    return all(word in error.what for word in words) and bool(error.why) and bool(error.fix)


def test_a_throttled_listing_is_complete_in_the_end() -> None:
    keys = many(2500)

    def slow_down(number: int, _: dict[str, str]) -> tuple[int, str] | None:
        return (503, "SlowDown") if number in (2, 3) else None

    with source_of(keys, slow_down) as (source, _server):
        found = source.list()
    assert sorted(found.table["file_path"].to_pylist()) == sorted(f"s3://bucket/{key}" for key in keys)


@pytest.mark.slow
def test_a_listing_that_is_throttled_to_the_end_is_an_error() -> None:
    with (
        source_of(many(2500), lambda n, _: (503, "SlowDown") if n > 1 else None) as (source, _server),
        pytest.raises(SourceError) as caught,
    ):
        source.list()
    assert clear(caught.value, "kept failing")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", "denied"),
        (404, "NoSuchBucket", "does not exist"),
        (403, "InvalidAccessKeyId", "rejected"),
        (403, "SignatureDoesNotMatch", "rejected"),
        (400, "ExpiredToken", "rejected"),
    ],
)
@pytest.mark.parametrize("at", [1, 3])
def test_an_error_at_the_first_or_a_later_page_is_an_error(at: int, status: int, code: str, words: str) -> None:
    with (
        source_of(many(3500), lambda n, _: (status, code) if n >= at else None) as (source, _server),
        pytest.raises(SourceError) as caught,
    ):
        source.list()
    assert clear(caught.value, words)
    assert code in caught.value.why


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]) -> None:
    page = ListServer.page
    monkeypatch.setattr(ListServer, "page", lambda self, query: change(page(self, query)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[: len(body) // 2],
        lambda body: body.replace(b"<KeyCount>1000<", b"<KeyCount>1001<"),
        lambda body: (
            body.partition(b"<NextContinuationToken>")[0] + body.partition(b"</NextContinuationToken>")[2]
            if b"NextC" in body
            else body
        ),
    ],
    ids=["cut", "counted wrong", "no way on"],
)
def test_a_short_page_is_an_error(monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]) -> None:
    with source_of(many(2500)) as (source, _server):
        spoil(monkeypatch, change)
        with pytest.raises(SourceError) as caught:
            source.list()
    assert caught.value.why


def test_pages_of_unusual_shape_are_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["data/a b&c.csv", "data/100%.csv", "data/%3D", "data/d+e<f>.csv", "data/é😀.csv"]

    def pretty(body: bytes) -> bytes:
        return body.replace(b"><", b">\n  <").replace(b"<Size>", b"<Extra/><Size>")

    def bare_etag(body: bytes) -> bytes:
        return body.replace(b"&quot;", b'"').replace(b"<Contents>", b"<Contents >").replace(b"KeyCount", b"Ignored")

    with source_of(keys) as (source, _server):
        expected = source.list().table.sort_by("key")
        assert sorted(expected["key"].to_pylist()) == sorted(key.removeprefix("data/") for key in keys)
        for change in (pretty, bare_etag):
            with monkeypatch.context() as patch:
                spoil(patch, change)
                assert source.list().table.sort_by("key").equals(expected)
        monkeypatch.setattr(
            ListServer, "page", lambda self, q, page=ListServer.page: page(self, {**q, "encoding-type": ""})
        )
        assert source.list().table.sort_by("key").equals(expected)


def test_keys_with_control_characters_and_empty_parts_are_listed() -> None:
    keys = ["data/new\nline", "data/cr\r", "data/\x01", "data//double", "data/a/./b", "data/../c", "data/dir/"]
    with source_of([*keys, "data/"]) as (source, _server):
        found = source.list()
    # the server gives each key a size of its number, so a marker is empty only if it is the first
    assert sorted(found.table["key"].to_pylist()) == sorted(k.removeprefix("data/") for k in keys[:-1])
    assert [problem.path for problem in found.problems] == ["s3://bucket/data/dir/"]


def test_a_far_server_is_asked_for_many_folders_at_once_and_nothing_is_lost() -> None:
    keys = many(12_000) + [f"data/loose-{i}.csv" for i in range(10)]

    def far(_number: int, _query: dict[str, str]) -> None:
        time.sleep(0.05)

    with source_of(keys, far) as (source, server):
        found = source.list()
        delimited = [query for query in server.requests if query.get("delimiter")]
    assert sorted(found.table["file_path"].to_pylist()) == sorted(f"s3://bucket/{key}" for key in keys)
    assert len(delimited) >= 1
    assert found.requests == len(server.requests)


def test_a_window_asks_for_its_folders_only() -> None:
    keys = many(24_000)
    window = Window(*(compile_year(y) for y in (2016, 2017)))
    skip = folder_filter(compile_path_date("year={Y}/month={m}"), window, "UTC")
    with source_of(keys) as (source, server):
        found = source.list(skip=skip)
        asked = {query["prefix"] for query in server.requests}
    assert set(found.table["key"].to_pylist()) == {
        key.removeprefix("data/") for key in keys if key.startswith("data/year=2016/")
    }
    assert asked == {"data/", "data/year=2016/"}


def compile_year(year: int) -> Any:
    from datetime import UTC, datetime

    return datetime(year, 1, 1, tzinfo=UTC)


@pytest.mark.slow
def test_a_wrong_endpoint_is_told_from_an_empty_bucket(tmp_path: Path) -> None:
    nowhere = reach("http://127.0.0.1:1", anonymous=True)
    with pytest.raises(SourceError) as caught:
        Source("s3://bucket/", nowhere).list()
    assert clear(caught.value, "cannot be reached")
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(SourceError, match="cannot be reached"):
        put(tmp_path / "x", "s3://bucket/x", nowhere)


def test_missing_credentials_and_profiles_are_said_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with serving(["a"]) as server:
        with pytest.raises(SourceError) as caught:
            Source("s3://bucket/", reach(server.endpoint)).list()
        assert clear(caught.value, "no credentials")
        with pytest.raises(SourceError) as caught:
            Source("s3://bucket/", reach(server.endpoint, profile="nobody")).list()
        assert clear(caught.value, "profile")
        assert server.requests == []


def test_no_secret_is_in_the_text_of_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECRETNAME")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "tokensecret")
    with serving(["a"], lambda _n, _q: (403, "AccessDenied")) as server:
        with pytest.raises(SourceError) as caught:
            Source("s3://bucket/", reach(server.endpoint)).list()
        cause = f"{caught.value}{caught.value.__cause__}"
    assert not any(secret in cause for secret in ("AKIASECRETNAME", "verysecret", "tokensecret", "Signature="))


@pytest.mark.parametrize(
    "said",
    [
        "error sending request for url (http://usr:s3cret@host:9/bucket?x=s3cret)",
        'Could not connect to the endpoint URL: "http://usr:s3cret@host:9/bucket"',
        "<Code>AccessDenied</Code><Message>not for https://usr:s3cret@host/</Message>",
    ],
)
def test_a_password_in_an_endpoint_is_not_repeated(said: str) -> None:
    error = source_error("s3://bucket/a.csv", "read", RuntimeError(said))
    assert "s3cret" not in str(error)
    assert "usr" not in str(error)
    assert "***@host" in error.why
