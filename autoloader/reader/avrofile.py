"""Avro files block by block: the container is taken apart here, so that every codec of the format is read.

`fastavro` decodes the records. Times stay numbers on the way, because Python knows no year 10000 and no
nanoseconds; the cast table judges them.
"""

from __future__ import annotations

import bz2
import io
import json
import lzma
import zlib
from collections.abc import Iterator
from typing import IO, Any, Final

from autoloader.errors import ReadError
from autoloader.reader.plain import unsnappy

MAGIC: Final = b"Obj\x01"
_NUMBERS: Final = frozenset(
    f"{local}timestamp-{unit}" for local in ("", "local-") for unit in ("millis", "micros", "nanos")
) | {"date", "time-millis", "time-micros"}


class AvroFile:
    """One open Avro file: its schema, then its records.

    Attributes:
        schema: The schema that it was written with, as data.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Read the header.

        Raises:
            ValueError: It is none.
        """
        self._file = file
        if file.read(4) != MAGIC:
            raise ValueError("the first bytes are not Avro's")
        meta: dict[str, bytes] = {}
        while count := _number(file):
            if count < 0:
                count = -count
                _number(file)
            for _ in range(count):
                key = _bytes(file).decode()
                meta[key] = _bytes(file)
        self.schema: Any = json.loads(meta["avro.schema"])
        self._codec = meta.get("avro.codec", b"null").decode()
        self._sync = _exactly(file, 16)

    def records(self) -> Iterator[Any]:
        """All records, in order.

        Raises:
            ReadError: The codec is unknown.
            EOFError: A block is cut.
            ValueError: A block is damaged.
        """
        import fastavro

        schema = fastavro.parse_schema(_with_numbers(self.schema))
        while self._file.peek(1) if isinstance(self._file, io.BufferedReader) else True:
            count, size = _number(self._file), _number(self._file)
            block = io.BytesIO(_inflated(_exactly(self._file, size), self._codec))
            if _exactly(self._file, 16) != self._sync:
                raise ValueError("a block does not end in the file's own mark")
            for _ in range(count):
                yield fastavro.schemaless_reader(block, schema)
            if block.read(1):
                raise ValueError("a block holds more than its records")


def _exactly(file: IO[bytes], size: int) -> bytes:
    if size < 0:
        raise ValueError("a size is negative")
    found = file.read(size)
    if len(found) < size:
        raise EOFError(f"{size} bytes were expected, {len(found)} are there")
    return found


def _bytes(file: IO[bytes]) -> bytes:
    return _exactly(file, _number(file))


def _number(file: IO[bytes]) -> int:
    """A long in Avro's own form: seven bits a byte, the sign in the lowest bit."""
    value, shift = 0, 0
    while True:
        byte = _exactly(file, 1)[0]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1)
        if shift > 63:
            raise ValueError("a number is too long")


def _inflated(data: bytes, codec: str) -> bytes:
    match codec:
        case "null":
            return data
        case "deflate":
            return zlib.decompress(data, -15)
        case "bzip2":
            return bz2.decompress(data)
        case "xz":
            return lzma.decompress(data)
        case "snappy":
            plain = unsnappy(data[:-4])
            if zlib.crc32(plain) != int.from_bytes(data[-4:], "big"):
                raise ValueError("the checksum of a block is wrong")
            return plain
        case "zstandard":
            import pyarrow as pa

            with pa.input_stream(pa.BufferReader(data), compression="zstd") as stream:
                return bytes(stream.read())
        case _:
            raise ReadError(
                f"The Avro codec {codec} is unknown.", fix="Write the file with deflate, snappy or zstandard."
            )


def _with_numbers(node: Any, *, keep: bool = False) -> Any:
    """The schema without the logical types whose values are read as numbers; those of a mixed union stay."""
    if isinstance(node, list):
        mixed = len([n for n in node if n != "null"]) > 1
        return [_with_numbers(n, keep=mixed) for n in node]
    if not isinstance(node, dict):
        return node
    if node.get("logicalType") in _NUMBERS and not keep:
        return {"type": node["type"]}
    changed = {key: _with_numbers(node[key]) for key in ("items", "values") if key in node}
    if isinstance(node["type"], dict | list):
        changed["type"] = _with_numbers(node["type"])
    if "fields" in node:
        changed["fields"] = [{**f, "type": _with_numbers(f["type"])} for f in node["fields"]]
    return {**node, **changed}
