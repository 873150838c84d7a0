"""A file's bytes as a plain local file: decompressed by magic bytes, in UTF-8 where it is text.

The name of a file never counts here. What cannot be decompressed to its end is an error, never half a file.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import os
import shutil
import zlib
from pathlib import Path
from typing import IO, Any, Final

from autoloader.errors import ReadError

_BLOCK: Final = 1 << 20
_MAGIC: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
_ENDINGS: Final = frozenset((".gz", ".zst", ".bz2", ".xz", ".snappy", ".lz4"))
_FORMATS: Final = ((b"PAR1", "parquet"), (b"Obj\x01", "avro"), (b"ORC", "orc"))
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def compression(path: Path) -> str | None:
    """`gzip`, `zstd`, `bz2`, `xz`, `snappy` or `lz4` by the first bytes; None: none of them."""
    head = first_bytes(path, 10)
    return next((word for magic, word in _MAGIC if head.startswith(magic)), None)


def is_plain_utf8(path: Path, encoding: str) -> bool:
    """Whether a text file needs no copy, by one look at its first bytes; False: look closer."""
    head = first_bytes(path, 10)
    magics = (*(magic for magic, _ in _MAGIC + _FORMATS), codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return encoding in ("utf-8", "ascii") and path.suffix not in _ENDINGS and not head.startswith(magics)


def first_bytes(path: Path, count: int) -> bytes:
    """The first `count` bytes as they are stored, fewer where the file is shorter."""
    handle = os.open(path, os.O_RDONLY)  # asked of every file several times: no buffers
    try:
        return os.read(handle, count)
    finally:
        os.close(handle)


def format_of_bytes(path: Path) -> str | None:
    """`parquet`, `avro` or `orc` by the first bytes of a plain file; None: it may be text."""
    head = first_bytes(path, 4)
    return next((word for magic, word in _FORMATS if head.startswith(magic)), None)


def decompressed(path: Path, workdir: Path) -> Path:
    """The file itself where it is plain, else a decompressed copy in `workdir`, complete and checked.

    Raises:
        ReadError: The stream is damaged or ends early.
    """
    word = compression(path)
    if word is None:
        return _plainly_named(path, workdir)
    workdir.mkdir(exist_ok=True)
    target = workdir / f"{path.name}.{word}.plain"
    try:
        with _opened(path, word) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, _BLOCK)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        target.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the stream
        raise ReadError(
            f"The {word} stream is damaged or ends early.",
            why=f"{type(error).__name__}: {error}",
            fix="Upload the file again; no row of it has been loaded.",
        ) from error
    return target


def _plainly_named(path: Path, workdir: Path) -> Path:
    """A plain file under a name that does not promise compression: DuckDB believes endings."""
    if path.suffix not in _ENDINGS:
        return path
    workdir.mkdir(exist_ok=True)
    target = workdir / f"{path.name}.plain"
    if not target.is_symlink():
        target.symlink_to(path.resolve())
    return target


def _opened(path: Path, word: str) -> Any:
    match word:
        case "gzip":
            return gzip.open(path, "rb")
        case "bz2":
            return bz2.open(path, "rb")
        case "xz":
            return lzma.open(path, "rb")
        case "snappy":
            return _Snappy(path)
        case _:
            import pyarrow as pa

            return pa.input_stream(str(path), compression=word)


class _Snappy:
    """The framing format of snappy, as `snzip` and Hadoop tools write it, chunk by chunk."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""

    def __enter__(self) -> _Snappy:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, count: int) -> bytes:
        while not self._rest:
            head = self._file.read(4)
            if not head:
                return b""
            size = int.from_bytes(head[1:4], "little")
            body = self._file.read(size)
            if len(head) < 4 or len(body) < size:
                raise EOFError("the last chunk is cut")
            self._rest = _snappy_chunk(head[0], body)
        out, self._rest = self._rest[:count], self._rest[count:]
        return out


def _snappy_chunk(kind: int, body: bytes) -> bytes:
    if kind == 0x01:
        return body[4:]
    if kind == 0x00:
        return unsnappy(body[4:])
    if kind < 0x80:
        raise ValueError(f"unknown chunk type {kind:#x}")
    return b""


def unsnappy(data: bytes) -> bytes:
    """One block of snappy, which begins with its size."""
    import pyarrow as pa

    size, shift, at = 0, 0, 0
    while True:
        byte = data[at]
        size |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            break
    return bytes(pa.decompress(data, decompressed_size=size, codec="snappy", asbytes=True))


def as_utf8(path: Path, encoding: str, workdir: Path) -> Path:
    """The text file itself where its encoding is UTF-8, else a copy in UTF-8 in `workdir`.

    A UTF-16 byte order mark wins over the declared encoding; a UTF-8 one is left to the parsers, which skip it.

    Raises:
        ReadError: The encoding is unknown, or a byte is not of it (the line is named).
    """
    head = first_bytes(path, 4)
    encoding = next((word for bom, word in _BOMS if head.startswith(bom)), encoding)
    try:
        codec = codecs.lookup(encoding)
    except LookupError as error:
        raise ReadError(f"The encoding {encoding!r} is unknown.", fix="Use utf-8, latin-1, utf-16 …") from error
    if codec.name in ("utf-8", "ascii"):
        return path
    workdir.mkdir(exist_ok=True)
    target = workdir / f"{path.name}.utf8"
    line = 1
    decoder = codec.incrementaldecoder("strict")
    with path.open("rb") as source, target.open("w", encoding="utf-8", newline="") as sink:
        while True:
            block = source.read(_BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                raise ReadError(f"A byte after line {line} is not {encoding}.", why=str(error)) from error
            sink.write(text)
            line += text.count("\n")
            if not block:
                return target


def with_one_line_end(path: Path, workdir: Path) -> Path:
    """A copy in `workdir` of a plain UTF-8 file in which every line ends in one line feed: DuckDB takes no two kinds.

    Raises:
        ReadError: The file is not UTF-8.
    """
    workdir.mkdir(exist_ok=True)
    target = workdir / f"{path.name}.lines"
    try:
        with path.open("r", encoding="utf-8") as source, target.open("w", encoding="utf-8", newline="\n") as sink:
            shutil.copyfileobj(source, sink, _BLOCK)
    except UnicodeDecodeError:
        check_utf8(path)
        raise
    return target


def check_utf8(path: Path) -> None:
    """Read the file to its end as UTF-8.

    Raises:
        ReadError: A byte is not UTF-8; names the line and shows what the line would be as latin-1.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    with path.open("rb") as file:
        line = 0
        for line, raw in enumerate(_lines(file), 1):
            try:
                decoder.decode(raw, final=False)
            except UnicodeDecodeError as error:
                shown = raw[max(0, error.start - 20) : error.start + 20].decode("latin-1").strip()
                raise _not_utf8(line, error, shown) from error
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise _not_utf8(line, error, "") from error


def _lines(file: IO[bytes]) -> Any:
    return iter(lambda: file.readline(_BLOCK), b"")


def _not_utf8(line: int, error: UnicodeDecodeError, shown: str) -> ReadError:
    return ReadError(
        f"Line {line} is not UTF-8.",
        why=f"Byte {error.object[error.start]:#04x} cannot stand there"
        + (f"; as latin-1 it would read {shown!r}." if shown else "."),
        fix="Say what it is: source.options.encoding: latin-1 (or another).",
    )
