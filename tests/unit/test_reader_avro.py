"""Avro files of every codec and type: nothing is lost on the way to the cast table."""

from __future__ import annotations

import bz2
import datetime as dt
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest

from tests.reading import read

ROWS = [{"a": i, "b": None if i % 3 else f"n{i}"} for i in range(5000)]


def avro(fields: list[dict[str, Any]], rows: list[Any], codec: str = "null", **more: Any) -> bytes:
    out = io.BytesIO()
    schema = {"type": "record", "name": "r", "fields": fields, **more}
    fastavro.writer(out, fastavro.parse_schema(schema), rows, codec=codec)
    return out.getvalue()


FIELDS = [{"name": "a", "type": "long"}, {"name": "b", "type": ["null", "string"]}]


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_every_codec_is_read(codec: str, tmp_path: Path) -> None:
    found = read(tmp_path, avro(FIELDS, ROWS, codec), {"a": "long", "b": "string"}, "avro")
    assert [(r["a"], r["b"]) for r in found.rows] == [(r["a"], r["b"]) for r in ROWS]


@pytest.mark.parametrize("codec", ["snappy", "zstandard"])
def test_codecs_whose_packages_are_not_needed_are_read(codec: str, tmp_path: Path) -> None:
    import zlib

    import pyarrow as pa

    def squeezed(data: bytes) -> bytes:
        if codec == "snappy":
            return pa.compress(data, codec="snappy", asbytes=True) + zlib.crc32(data).to_bytes(4, "big")
        out = pa.BufferOutputStream()
        with pa.CompressedOutputStream(out, "zstd") as stream:
            stream.write(data)
        return out.getvalue().to_pybytes()

    content = recoded(avro(FIELDS, ROWS[:50]), codec, squeezed)
    found = read(tmp_path, content, {"a": "long", "b": "string"}, "avro")
    assert [(r["a"], r["b"]) for r in found.rows] == [(r["a"], r["b"]) for r in ROWS[:50]]
    if codec == "snappy":
        at = len(content) - 18  # inside of the block's checksum
        damaged = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        assert "checksum" in (read(tmp_path, damaged, {"a": "long"}, "avro").error or "")


def recoded(plain: bytes, codec: str, squeezed: Any) -> bytes:
    """An uncompressed file of one block under another codec."""
    (block,) = fastavro.block_reader(io.BytesIO(plain))
    body = block.bytes_.getvalue()
    sync = plain[-16:]
    header = plain[: plain.index(sync) + 16]
    named = header.replace(number(4) + b"null", number(len(codec)) + codec.encode())
    data = squeezed(body)
    return named + number(block.num_records) + number(len(data)) + data + sync


def number(value: int) -> bytes:
    value, out = value << 1, b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def test_an_unknown_codec_is_named(tmp_path: Path) -> None:
    content = recoded(avro(FIELDS, ROWS[:5]), "lzfse", bz2.compress)
    assert "lzfse" in (read(tmp_path, content, {"a": "long"}, "avro").error or "")


@pytest.mark.parametrize("cut", [1, 16, 17, 300])
def test_a_cut_file_gives_no_rows(cut: int, tmp_path: Path) -> None:
    found = read(tmp_path, avro(FIELDS, ROWS)[:-cut], {"a": "long", "b": "string"}, "avro")
    assert found.rows == []
    assert found.error is not None


def test_a_field_of_several_types_becomes_text_with_every_digit(tmp_path: Path) -> None:
    fields = [{"name": "a", "type": ["null", "string", "long", "boolean", {"type": "array", "items": "long"}]}]
    values = [None, "x", 9007199254740993, True, [1, 2]]
    found = read(tmp_path, avro(fields, [{"a": v} for v in values]), {"a": "string"}, "avro")
    assert found.column("a") == [None, "x", "9007199254740993", "true", "[1, 2]"]


def test_a_type_that_refers_to_itself_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    fields = [{"name": "v", "type": "long"}, {"name": "next", "type": ["null", "r"]}]
    rows = [{"v": 1, "next": {"v": 2, "next": None}}, {"v": 3, "next": None}]
    found = read(tmp_path, avro(fields, rows), {"v": "long", "next": "string"}, "avro")
    assert [(r["v"], r["next"]) for r in found.rows] == [(1, '{"v": 2, "next": null}'), (3, None)]


def test_decimals_of_more_than_38_digits_keep_them(tmp_path: Path) -> None:
    wide = Decimal("1" * 50 + ".25")
    kind = {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 2}
    found = read(tmp_path, avro([{"name": "a", "type": kind}], [{"a": wide}]), {"a": "string"}, "avro")
    assert found.column("a") == [str(wide)]


def test_times_to_the_nanosecond_and_far_years_are_judged_and_not_cut(tmp_path: Path) -> None:
    rows = [{"a": 1_700_000_000_123_456_789}, {"a": 1_700_000_000_123_456_000}]
    raw = avro([{"name": "a", "type": "long", "doc": " " * 60}], rows)
    content = as_logical(raw, "timestamp-nanos")
    found = read(tmp_path, content, {"a": "timestamptz"}, "avro", max_bad_rows=1)
    assert found.column("a") == [dt.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=dt.UTC)]
    assert len(found.rejects) == 1
    far = as_logical(
        avro([{"name": "a", "type": "long", "doc": " " * 60}], [{"a": 4_000_000_000_000_000}]), "timestamp-millis"
    )
    judged = read(tmp_path, far, {"a": "timestamptz"}, "avro", max_bad_rows=1)
    assert judged.rows == []
    assert len(judged.rejects) == 1


def as_logical(content: bytes, word: str) -> bytes:
    """The same bytes under a schema of a logical type; the doc makes room, so that sizes stay."""
    import json

    start = content.index(b'{"type": "record"') if b'{"type": "record"' in content else content.index(b'{"')
    decoder = json.JSONDecoder()
    text = content[start:].decode("latin-1")
    schema, length = decoder.raw_decode(text)
    schema["fields"] = [{"name": "a", "type": {"type": "long", "logicalType": word}}]
    new = json.dumps(schema)
    assert len(new) <= length, (new, length)
    return content[:start] + new.ljust(length).encode() + content[start + length :]


def test_nulls_at_every_level_stay_where_they_are(tmp_path: Path) -> None:
    inner = {
        "type": "record",
        "name": "i",
        "fields": [{"name": "x", "type": ["null", {"type": "map", "values": ["null", "long"]}]}],
    }
    fields = [{"name": "a", "type": ["null", {"type": "array", "items": ["null", inner]}]}]
    values = [None, [], [None], [{"x": None}], [{"x": {}}], [{"x": {"k": None, "l": 1}}]]
    found = read(
        tmp_path, avro(fields, [{"a": v} for v in values]), {"a": "list<struct<x: map<string, long>>>"}, "avro"
    )
    assert found.column("a") == [None, [], [None], [{"x": None}], [{"x": []}], [{"x": [("k", None), ("l", 1)]}]]
