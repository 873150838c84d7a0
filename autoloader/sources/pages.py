"""ListObjectsV2 pages as Arrow, without a Python object per field that botocore's XML parser would make.

boto3 still signs, retries, follows regions and reads errors; only the `Contents` of a good page are taken
out before its parser sees them: 20 times quicker, and unlike obstore's listing true to every key (`//`,
control characters, a trailing slash). A page of unusual shape is left to botocore whole.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pyarrow.compute as pc

PAGE: Final = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("modified_at", pa.timestamp("ns", tz="UTC")),
        pa.field("etag", pa.string()),
    ]
)
_ROWS: Final = "AutoloaderRows"
_CONTENTS: Final = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
_FIELDS: Final = tuple(
    re.compile(rb"<" + name + rb">([^<]*)</" + name + rb">") for name in (b"Key", b"Size", b"LastModified", b"ETag")
)
_BETWEEN: Final = b"\xff"  # no byte of UTF-8, nor is the next
_PERCENT: Final = b"\xfe"
_FEW_ESCAPES: Final = 24


def hook(client: Any) -> None:
    """Make a boto3 S3 client read the rows of its ListObjectsV2 pages by this module."""
    # a wildcard runs before botocore's own handler, which parses the whole page to look for an error
    client.meta.events.register("before-parse.*.ListObjectsV2", _take_rows)


def rows_of(answer: dict[str, Any]) -> pa.RecordBatch:
    """The rows of one answer of a hooked client, as `PAGE`."""
    rows = answer.get(_ROWS)
    if isinstance(rows, pa.RecordBatch):
        return rows
    contents = answer.get("Contents", [])
    return pa.RecordBatch.from_arrays(
        [
            pa.array([row["Key"] for row in contents], pa.string()),
            pa.array([row["Size"] for row in contents], pa.int64()),
            pa.array([row["LastModified"] for row in contents], PAGE.field("modified_at").type),
            pa.array([etag.strip('"') if (etag := row.get("ETag")) else None for row in contents], pa.string()),
        ],
        schema=PAGE,
    )


def _take_rows(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    body = response_dict.get("body")
    if response_dict.get("status_code") != 200 or not isinstance(body, bytes):
        return
    rest, count = _without_contents(body)
    columns = [field.findall(body) for field in _FIELDS] if count else []
    if not count or any(len(column) != count for column in columns):
        return  # empty, or not the usual shape
    keys, sizes, times, etags = columns
    customized_response_dict[_ROWS] = pa.RecordBatch.from_arrays(
        [_keys(keys, url=b"<EncodingType>url</EncodingType>" in body), _sizes(sizes), _times(times), _etags(etags)],
        schema=PAGE,
    )
    response_dict["body"] = rest


def _without_contents(body: bytes) -> tuple[bytes, int]:
    """The page without its `Contents`, and how many there were."""
    start, end = body.find(b"<Contents>"), body.rfind(b"</Contents>") + len(b"</Contents>")
    if start < 0 or body.find(b"<CommonPrefixes>", start, end) >= 0:
        return _CONTENTS.subn(b"", body)
    return body[:start] + body[end:], body.count(b"<Contents>", start, end)


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


def _keys(raw: list[bytes], *, url: bool) -> pa.Array:
    if url:
        joined = _unquote(_BETWEEN.join(raw))
        return pa.array(joined.split(_BETWEEN), pa.binary()).cast(pa.string())
    return pa.array([unescape(key.decode()) for key in raw], pa.string())


def _sizes(raw: list[bytes]) -> pa.Array:
    return pa.array(raw, pa.binary()).cast(pa.string()).cast(pa.int64())


def _times(raw: list[bytes]) -> pa.Array:
    kind = PAGE.field("modified_at").type
    try:
        return pa.array(raw, pa.binary()).cast(pa.string()).cast(kind)
    except pa.ArrowInvalid:
        parsed = (datetime.fromisoformat(text.decode()) for text in raw)
        return pa.array([at if at.tzinfo else at.replace(tzinfo=UTC) for at in parsed], kind)


def _etags(raw: list[bytes]) -> pa.Array:
    text = pa.array(raw, pa.binary()).cast(pa.string())
    bare = pc.utf8_trim(pc.replace_substring(text, "&quot;", '"'), '"')
    return pc.if_else(pc.equal(bare, ""), None, bare)
