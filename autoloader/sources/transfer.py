"""Bytes out of object storage: streamed to a file, pinned by If-Match where an identity is asked for.

obstore fetches; keys that it cannot represent (`//`, control characters, a trailing slash) go through boto3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import FileMovedError, SourceError, is_full_disk
from autoloader.sources.address import Address
from autoloader.sources.faults import error_code, source_error
from autoloader.sources.stores import Storage, config_for, s3_client, store_for

if TYPE_CHECKING:
    from obstore import GetOptions

CHUNK_BYTES: Final = 8 * 1024 * 1024
ATTEMPTS: Final = 3

_GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "BlobNotFound", "404", "FileNotFoundError", "NotFoundError"})
_REPLACED: Final = frozenset({"PreconditionFailed", "412", "ConditionNotMet", "PreconditionError"})


@dataclass(frozen=True, slots=True)
class Pin:
    """The identity that the bytes must have."""

    size_bytes: int
    modified_at_ns: int | None
    etag: str | None
    version_id: str | None


@dataclass(frozen=True, slots=True)
class Meta:
    """What a storage says of one object. The time has the storage's precision, often a second."""

    size_bytes: int
    modified_at_ns: int
    etag: str | None
    version_id: str | None


def download(address: Address, pin: Pin | None, storage: Storage, target: Path) -> None:
    """Write an object's bytes to a local file.

    Raises:
        FileMovedError: They are not those of the pin, or there is no such object.
        SourceError: It cannot be read.
    """
    for left in reversed(range(ATTEMPTS)):
        try:
            meta, chunks = _open(address, pin, storage)
            if pin is not None:
                _compare(address, pin, meta)
            written = 0
            with target.open("wb") as file:
                for chunk in chunks:
                    written += file.write(chunk)
            if written == meta.size_bytes:
                return
            problem: Exception = SourceError(
                f"{address.uri} came incompletely.", why=f"{written:,} of {meta.size_bytes:,} bytes.", fix="Try again."
            )
        except SourceError:
            raise
        except Exception as error:
            if is_full_disk(error):
                raise SourceError(
                    f"{address.uri} could not be fetched: there is no room for it below {target.parent}.",
                    why=str(error),
                    fix="Free some space there, or set TMPDIR to a roomier folder, then run the same command again.",
                ) from error
            problem = _meaning(address, error, storage)
            if isinstance(problem, FileMovedError):
                raise problem from error
        if not left:
            raise problem


def meta_of(address: Address, storage: Storage) -> Meta | None:
    """What an object is now; None if there is none.

    Raises:
        SourceError: The storage does not say.
    """
    try:
        if awkward(address):
            client = s3_client(config_for("s3", storage))
            return _boto_meta(client.head_object(Bucket=address.bucket, Key=address.key))
        import obstore

        return _meta(obstore.head(store_for(address, storage), address.key))
    except Exception as error:
        if type(error).__name__ == "FileNotFoundError" and "NoSuchBucket" not in str(error):
            return None
        if error_code(error) in _GONE:
            return None
        raise source_error(address.uri, "read", error) from error


def awkward(address: Address) -> bool:
    """Whether obstore cannot represent the key."""
    parts = address.key.split("/")
    return address.scheme == "s3" and (
        any(part in ("", ".", "..") for part in parts) or any(ord(c) < 32 or ord(c) == 127 for c in address.key)
    )


def moved(address: Address, *, gone: bool, why: str = "") -> FileMovedError:
    """The error for a file that is no longer the one that was planned."""
    error = FileMovedError(
        f"{address.uri} is gone." if gone else f"{address.uri} was replaced since it was listed.",
        why=why,
        fix="It is left out of this run; the next plan takes it as it is then.",
    )
    error.gone = gone
    return error


def _open(address: Address, pin: Pin | None, storage: Storage) -> tuple[Meta, Iterator[bytes]]:
    if awkward(address):
        client = s3_client(config_for("s3", storage))
        asked: dict[str, str] = {"Bucket": address.bucket, "Key": address.key}
        if pin is not None and pin.etag:
            asked["IfMatch"] = f'"{pin.etag}"'
        if pin is not None and pin.version_id:
            asked["VersionId"] = pin.version_id
        answer = client.get_object(**asked)
        return _boto_meta(answer), answer["Body"].iter_chunks(CHUNK_BYTES)
    import obstore

    options: GetOptions = {}
    if pin is not None and pin.etag:
        options["if_match"] = f'"{pin.etag}"'
    if pin is not None and pin.version_id:
        options["version"] = pin.version_id
    got = obstore.get(store_for(address, storage), address.key, options=options)
    return _meta(got.meta), (memoryview(chunk) for chunk in got.stream(CHUNK_BYTES))  # type: ignore[misc]


def _compare(address: Address, pin: Pin, meta: Meta) -> None:
    """Storages that do not know If-Match or versions answer with whatever they have."""
    why = ""
    if pin.version_id and meta.version_id and pin.version_id != meta.version_id:
        why = "It has another version id."
    elif pin.etag and meta.etag and pin.etag != meta.etag:
        why = f"Its etag is {meta.etag}, not {pin.etag}."
    elif pin.size_bytes != meta.size_bytes:
        why = f"It has {meta.size_bytes:,} bytes, not {pin.size_bytes:,}."
    elif not pin.etag and not pin.version_id and _other_second(pin.modified_at_ns, meta.modified_at_ns):
        why = "Its modification time is another."
    if why:
        raise moved(address, gone=False, why=why)


def _meaning(address: Address, error: Exception, storage: Storage) -> SourceError:
    names = {error_code(error), type(error).__name__}
    if names & _REPLACED:  # some storages say this of what is gone, too
        return moved(address, gone=meta_of(address, storage) is None)
    if names & _GONE and error_code(error) != "NoSuchBucket":
        return moved(address, gone=True)
    return source_error(address.uri, "read", error)


def _meta(found: Mapping[str, Any]) -> Meta:
    at = found["last_modified"]
    etag = found["e_tag"]
    return Meta(found["size"], _ns(at), etag.strip('"') if etag else None, found["version"])


def _boto_meta(answer: Mapping[str, Any]) -> Meta:
    version = answer.get("VersionId")
    return Meta(answer["ContentLength"], _ns(answer["LastModified"]), answer["ETag"].strip('"'), version)


def _other_second(pinned_ns: int | None, now_ns: int) -> bool:
    return pinned_ns is not None and pinned_ns // 10**9 != now_ns // 10**9


def _ns(at: datetime) -> int:
    return int(at.timestamp()) * 10**9 + at.microsecond * 1000
