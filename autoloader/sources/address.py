"""Canonical URIs: one spelling per place, raw text, never percent-encoded."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from autoloader.errors import SettingsError

Scheme = Literal["s3", "gs", "az", "file"]

_SCHEMES: Final[dict[str, Scheme]] = {
    "s3": "s3",
    "s3a": "s3",
    "s3n": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "azure": "az",
    "file": "file",
}
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=/)(?://)?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """A canonical URI, taken apart.

    Attributes:
        scheme: Of `s3 gs az file`.
        bucket: Bucket or container; empty for local files.
        key: The rest, without a leading slash; for local files the absolute path.
    """

    scheme: Scheme
    bucket: str
    key: str

    @property
    def uri(self) -> str:
        """The canonical URI."""
        return f"file://{self.key}" if self.scheme == "file" else f"{self.scheme}://{self.bucket}/{self.key}"


def canonical(path: str, project_dir: Path) -> str:
    """The canonical URI of a folder; it ends in '/'.

    `s3a://b/x` and `s3://b/x//` are the same place; a path without a scheme is a local one, relative to
    `project_dir`.

    Raises:
        SettingsError: The scheme is unknown or there is no bucket.
    """
    return canonical_file(path, project_dir).rstrip("/") + "/"


def canonical_file(path_or_uri: str, project_dir: Path) -> str:
    """The canonical URI of a file, its key as given (for local files absolute, without `.`, `..`, `//`).

    Raises:
        SettingsError: The scheme is unknown, there is no bucket, or the name is not UTF-8.
    """
    if not _is_utf8(path_or_uri):
        raise SettingsError(
            f"The name {shown(path_or_uri)} is not UTF-8.",
            why="No ledger and no table can hold such a name: a file that is called so is never loaded.",
            fix="Rename the file to load it.",
        )
    match = _URI.fullmatch(path_or_uri)
    if match is None:
        return "file://" + os.path.normpath(project_dir.absolute() / Path(path_or_uri).expanduser())
    scheme = _SCHEMES.get(match[1].lower())
    if scheme is None:
        raise SettingsError(
            f"There is no storage for {match[1]}:// in {path_or_uri!r}.",
            fix="Use s3://, gs://, az://CONTAINER/…, file:// or a path.",
        )
    if scheme == "file":
        rest = match[2].removeprefix("localhost") if match[2].startswith("localhost/") else match[2]
        if not rest.startswith("/"):
            raise SettingsError(f"{path_or_uri!r} is not an absolute path.", fix="Write file:///absolute/path.")
        return "file://" + os.path.normpath("/" + rest.lstrip("/"))
    bucket, _, key = match[2].partition("/")
    if not bucket or "@" in bucket:
        raise SettingsError(
            f"{path_or_uri!r} names no bucket.", fix=f"Write {scheme}://BUCKET/folder/, without account or keys."
        )
    return f"{scheme}://{bucket}/{key}"


def _is_utf8(text: str) -> bool:
    """Whether a text has no bytes in it that Python could not read as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(text: str) -> str:
    r"""Text that any encoder takes: bytes of a name that are not UTF-8, which Python has as `\udcNN`, as `\xNN`."""
    return _SURROGATES.sub(lambda match: repr(match[0])[1:-1].replace(r"\udc", r"\x"), text)


def split(uri: str) -> Address:
    """Take a canonical URI apart, or one of a table's data file, whose catalog may say `s3a://`.

    Raises:
        SettingsError: It is not canonical.
    """
    scheme, _, rest = uri.partition("://")
    match scheme:
        case "file" if rest.startswith("/"):
            return Address("file", "", rest)
        case "s3" | "s3a" | "s3n" | "gs" | "az" if rest and not rest.startswith("/"):
            bucket, _, key = rest.partition("/")
            return Address(_SCHEMES[scheme], bucket, key)
        case _:
            raise SettingsError(f"{uri!r} is not a canonical URI.", fix="Write s3://bucket/key or file:///path.")
