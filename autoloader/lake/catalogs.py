"""Which catalog: properties with defaults, storage settings for PyIceberg, errors in our words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autoloader.errors import AutoloaderError, LakeError, is_full_disk, redacted

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from autoloader.spec import StorageSettings

_AS_THEY_ARE: Final = (AutoloaderError, AssertionError, AttributeError, LookupError, NameError, TypeError)
LOCAL_IO: Final = "autoloader.lake.localio.LocalFileIO"


def catalog_properties(
    given: Mapping[str, str], storage: Mapping[str, StorageSettings], project_dir: Path
) -> dict[str, str]:
    """The properties to open the catalog with.

    Nothing given: the SQL catalog `lake` in `.autoloader/catalog.db` with its warehouse beside it. Relative
    SQLite files and warehouses start in the project's folder. `s3.*` follows the storage settings where it is
    not given; credentials are left to the environment's own chain.
    """
    found = dict(given)
    if not found.get("type") and not found.get("uri") and not found.get("py-catalog-impl"):
        found |= {"type": "sql", "uri": "sqlite:///.autoloader/catalog.db"}
    if found.get("uri", "").startswith("sqlite") and "warehouse" not in found:
        found["warehouse"] = ".autoloader/warehouse"
    uri = found.get("uri", "")
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////") and uri != "sqlite:///:memory:":
        found["uri"] = f"sqlite:///{project_dir.absolute() / uri.removeprefix('sqlite:///')}"
    if found.get("warehouse") and found.get("type", "sql" if uri.startswith("sqlite") else "") == "sql":
        found["warehouse"] = _warehouse(found["warehouse"], project_dir)
        if found["warehouse"].startswith(("/", "file:")):
            found.setdefault("py-io-impl", LOCAL_IO)
    for key, value in _s3(storage.get("s3")).items():
        found.setdefault(key, value)
    return found


def _warehouse(given: str, project_dir: Path) -> str:
    """An absolute location. PyIceberg misreads `file:` URIs with `#` or `?`: those stay paths."""
    if "://" in given or given.startswith("file:"):
        return given.rstrip("/")
    path = str(project_dir.absolute() / given)
    return path if set("#?%") & set(path) else f"file://{path}"


def _s3(settings: StorageSettings | None) -> dict[str, str]:
    endpoint = settings.endpoint if settings else None
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = settings.region if settings else None
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    found = {}
    if endpoint:
        found["s3.endpoint"] = endpoint
        region = region or "us-east-1"  # else PyIceberg asks AWS where the bucket is
    if region:
        found["s3.region"] = region
    if settings and settings.anonymous:
        found["s3.anonymous"] = "true"
    return found


def open_catalog(properties: Mapping[str, str]) -> Catalog:
    """Open the catalog; makes the file and tables of an embedded one."""
    import logging

    from pyiceberg.catalog import load_catalog

    from autoloader.lake.peek import sqlite_file

    logging.getLogger("pyiceberg").setLevel(logging.ERROR)
    known = dict(properties)
    name = known.pop("name", "lake")
    file = sqlite_file(known)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        if "timeout=" not in known["uri"]:  # another process' commit is waited for, politely
            known["uri"] += ("&" if "?" in known["uri"] else "?") + "timeout=30"
    with explained("the Iceberg catalog cannot be opened"):
        return load_catalog(name, **known)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the errors of catalogs, stores and their clients into a `LakeError`."""
    try:
        yield
    except _AS_THEY_ARE:
        raise  # ours, or a bug that must look like one
    except Exception as error:
        raise explain(what, error) from error


def explain(what: str, error: BaseException) -> LakeError:
    """The `LakeError` for somebody else's exception: what was found, and what helps."""
    text = reason(error)
    kind = type(error).__name__
    fix = "check `catalog` in ingestions/autoloader.yml:\n  autoloader doctor"
    if (
        kind in ("UnauthorizedError", "ForbiddenError", "PermissionError")
        or "AccessDenied" in text
        or "ACCESS_DENIED" in text
    ):
        fix = "the credentials in use may not do this: allow it, or switch to credentials that may."
    elif kind == "FileNotFoundError":
        fix = (
            "a file that the table is made of is gone: put it back, or build the table anew:\n"
            "  autoloader plan --refresh NAME=full"
        )
    elif is_full_disk(error):
        fix = "free some space, then run the same command again."
    elif kind in ("NoSuchTableError", "NoSuchIcebergTableError", "NoSuchNamespaceError"):
        fix = "the table is not in the catalog any more; plan again:\n  autoloader plan"
    elif kind in (
        "ConnectionError",
        "OperationalError",
        "ServiceUnavailableError",
        "ServerError",
        "ReadTimeout",
    ):
        fix = "see that the catalog is up and reachable from here, then run the same command again."
    return LakeError(what, why=text, fix=fix)


def reason(error: BaseException) -> str:
    """What an exception says, in one line that a person can read."""
    kind, text = type(error).__name__, _clean(str(error))
    return f"{kind}: {text}" if text else kind


def _clean(text: str) -> str:
    """The first lines, without SQLAlchemy's statements and advertisement and without what URLs keep secret."""
    text = text.split("[SQL:")[0].split("(Background on this error")[0]
    lines = [line for line in text.splitlines() if line.strip()]
    return redacted(" ".join(lines[:3]))[:600]
