"""ListObjectsV2 pages read into Arrow: quickly where they are of the usual shape, by botocore where not.

botocore's XML parser makes Python objects of every field and reads 6,000 keys a second; obstore's is quick but
cannot represent every key (`//`, control characters, a trailing slash). Here a page is asked for by a URL that
boto3 signed and read by one regular expression. Whatever is unusual, a failure first of all, is left to boto3,
which asks again with its own retries, redirects and errors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import getproxies, proxy_bypass

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from urllib3 import PoolManager

ROWS: Final = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("modified_at", pa.timestamp("ns", tz="UTC")),
        pa.field("etag", pa.string()),
    ]
)
MAX_FAILURES: Final = 3
URL_LIVES_S: Final = 300

_NAMES: Final = (b"Key", b"LastModified", b"ETag", b"Size")
_FIELDS: Final = tuple(re.compile(rb"<" + name + rb">([^<]*)</" + name + rb">") for name in _NAMES)
_USUAL: Final = re.compile(
    rb"<Key>([^<]*)</Key>\s*<LastModified>([^<]*)</LastModified>\s*<ETag>([^<]*)</ETag>\s*"
    rb"(?:<Checksum[A-Za-z]*>[^<]*</Checksum[A-Za-z]*>\s*)*<Size>([^<]*)</Size>"
)
_FOLDER: Final = re.compile(rb"<CommonPrefixes>\s*<Prefix>([^<]*)</Prefix>")
_TRUNCATED: Final = re.compile(rb"<IsTruncated>\s*(true|false)\s*</IsTruncated>")
_TOKEN: Final = re.compile(rb"<NextContinuationToken>([^<]*)</NextContinuationToken>")
_COUNT: Final = re.compile(rb"<KeyCount>\s*(\d+)\s*</KeyCount>")
_BETWEEN: Final = b"\xff"  # no byte of UTF-8, nor is the next
_PERCENT: Final = b"\xfe"
_FEW_ESCAPES: Final = 24


@dataclass(frozen=True, slots=True)
class Page:
    """One answer.

    Attributes:
        rows: As `ROWS`, etags without quotes.
        folders: The common prefixes, each ending in the delimiter.
        truncated: More pages follow.
        following: The token of the next page; may be missing where a storage is wrong.
        told: How many entries the storage says that the page has, if it does.
    """

    rows: pa.RecordBatch
    folders: tuple[str, ...]
    truncated: bool
    following: str
    told: int | None


class Pages:
    """Asks for pages of one bucket; safe to share between threads."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._pool = _pool(client.meta.endpoint_url)
        self._failures = 0

    def ask(self, prefix: str, delimiter: str = "", token: str = "") -> Page:
        """One page.

        Raises:
            ClientError: As botocore, after its own retries.
            BotoCoreError: The same.
        """
        asked = {"Bucket": self._bucket, "Prefix": prefix, "EncodingType": "url"}
        asked |= {"Delimiter": delimiter} if delimiter else {}
        asked |= {"ContinuationToken": token} if token else {}
        if self._failures < MAX_FAILURES:
            page = self._quick(asked)
            if page is not None:
                return page
            self._failures += 1
        del asked["EncodingType"]  # boto3 asks for it itself, and then decodes
        return _of_answer(self._client.list_objects_v2(**asked))

    def _quick(self, asked: dict[str, str]) -> Page | None:
        from urllib3.exceptions import HTTPError

        url = self._client.generate_presigned_url("list_objects_v2", Params=asked, ExpiresIn=URL_LIVES_S)
        try:
            answer = self._pool.request("GET", url, retries=False, redirect=False)
        except HTTPError:
            return None
        return read_page(answer.data) if answer.status == 200 else None


def _pool(endpoint: str) -> PoolManager:
    import urllib3

    options: dict[str, Any] = {"maxsize": 32, "timeout": urllib3.Timeout(connect=5, read=60)}
    if bundle := os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE"):
        options["ca_certs"] = bundle
    parts = urlsplit(endpoint)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def read_page(body: bytes) -> Page | None:
    """A page's body; None where it is not of the usual shape or not whole."""
    count = body.count(b"<Contents>")
    columns = _columns(body) if count else ((), (), (), ())
    folders = _FOLDER.findall(body)
    truncated = _TRUNCATED.search(body)
    whole = body.rstrip().endswith(b"</ListBucketResult>")
    if not whole or truncated is None or any(len(column) != count for column in columns):
        return None
    # tags with attributes or a namespace would be overlooked
    if body.count(b"</Contents") != count or body.count(b"</CommonPrefixes") != len(folders) or b":Contents" in body:
        return None
    url = b"<EncodingType>url</EncodingType>" in body
    keys, times, etags, sizes = columns
    rows = pa.RecordBatch.from_arrays([_texts(keys, url=url), _sizes(sizes), _times(times), _etags(etags)], schema=ROWS)
    token, told = _TOKEN.search(body), _COUNT.search(body)
    return Page(
        rows,
        tuple(_texts(folders, url=url).to_pylist()),
        truncated[1] == b"true",
        unescape(token[1].decode()) if token else "",
        int(told[1]) if told else None,
    )


def _of_answer(answer: dict[str, Any]) -> Page:
    contents = answer.get("Contents", [])
    following = answer.get("NextContinuationToken", "")
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array([row["Key"] for row in contents], pa.string()),
            pa.array([row["Size"] for row in contents], pa.int64()),
            pa.array([row["LastModified"] for row in contents], ROWS.field("modified_at").type),
            pa.array([(row.get("ETag") or "").strip('"') or None for row in contents], pa.string()),
        ],
        schema=ROWS,
    )
    folders = tuple(entry["Prefix"] for entry in answer.get("CommonPrefixes", ()))
    return Page(rows, folders, answer.get("IsTruncated", bool(following)), following, answer.get("KeyCount"))


def _columns(body: bytes) -> Sequence[Sequence[bytes]]:
    """The raw values of `_NAMES`: in one go where a page has them in AWS's order, else one by one."""
    columns = tuple(zip(*_USUAL.findall(body), strict=True))
    if columns and len(columns[0]) == body.count(b"<Key>"):
        return columns
    return [field.findall(body) for field in _FIELDS]


def _unquote(text: bytes) -> bytes:
    """`unquote_plus` of bytes, quick where few different characters are quoted many times."""
    text = text.replace(b"+", b" ")
    for _ in range(_FEW_ESCAPES):
        at = text.find(b"%")
        if at < 0:
            break
        escape = text[at : at + 3]
        # a percent sign itself comes back last: what follows it is not an escape
        text = text.replace(escape, _PERCENT if escape == b"%25" else unquote_to_bytes(escape))
    else:
        text = unquote_to_bytes(text.replace(b"%25", _PERCENT))
    return text.replace(_PERCENT, b"%")


def _texts(raw: Sequence[bytes], *, url: bool) -> pa.Array:
    if url and raw:
        joined = _unquote(_BETWEEN.join(raw))
        return pa.array(joined.split(_BETWEEN), pa.binary()).cast(pa.string())
    return pa.array([unescape(text.decode()) for text in raw], pa.string())


def _sizes(raw: Sequence[bytes]) -> pa.Array:
    return pa.array(raw, pa.binary()).cast(pa.string()).cast(pa.int64())


def _times(raw: Sequence[bytes]) -> pa.Array:
    kind = ROWS.field("modified_at").type
    try:
        return pa.array(raw, pa.binary()).cast(pa.string()).cast(kind)
    except pa.ArrowInvalid:
        parsed = (datetime.fromisoformat(text.decode()) for text in raw)
        return pa.array([at if at.tzinfo else at.replace(tzinfo=UTC) for at in parsed], kind)


def _etags(raw: Sequence[bytes]) -> pa.Array:
    text = pa.array(raw, pa.binary()).cast(pa.string())
    bare = pc.utf8_trim(pc.replace_substring(text, "&quot;", '"'), '"')
    return pc.if_else(pc.equal(bare, ""), None, bare)
