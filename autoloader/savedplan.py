"""A plan kept on disk: a folder, or an archive when the name ends in `.zip`.

Holds `plan.json` (the document of `plan`), `files.parquet` (every file's disposition), `specs.json` (the
specs it was made from, as data), `prices.json` and `place.json` (the folder of specs, as it was named). No credential
is in any of them: specs cannot hold one, and storage settings stay out. Written whole or not at all, and read only as
it was written: `plan.json` tells the SHA-256 of the others.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import SettingsError
from autoloader.inventory import DIFF
from autoloader.plan import Plan, PlanFormatError, digest_of, digest_of_json, from_json, to_json
from autoloader.spec import Prices

if TYPE_CHECKING:
    import pyarrow as pa

PLAN: Final = "plan.json"
FILES: Final = "files.parquet"
SPECS: Final = "specs.json"
PRICES: Final = "prices.json"
PLACE: Final = "place.json"
PARTS: Final = "parts"
"""Key of `plan.json`, beside those of the plan: file name -> SHA-256 in hex, of the files saved with it."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What was saved.

    Attributes:
        plan: The plan.
        files: Every file's disposition, `inventory.DIFF`.
        specs: Ingestion name -> its spec as data.
        prices: The price book as data; empty where it was not kept.
        folder: The folder of specs, as it was named; None where it was not kept.
    """

    plan: Plan
    files: pa.Table
    specs: Mapping[str, dict[str, Any]]
    prices: Mapping[str, Any] = field(default_factory=dict)
    folder: str | None = None


def save(
    target: Path,
    plan: Plan,
    files: pa.Table,
    specs: Mapping[str, Mapping[str, Any]],
    prices: Prices | None = None,
    folder: str | None = None,
) -> None:
    """Write a plan; one that is there under the same name is replaced.

    Args:
        target: A folder to make, or a file whose name ends in `.zip`.
        plan: The plan.
        files: Every file's disposition, `inventory.DIFF`.
        specs: Ingestion name -> its spec as data.
        prices: The price book.
        folder: The folder of specs, as it was named; None = it is not kept.

    Raises:
        SettingsError: The target cannot be written, or it is a folder that holds something else.
    """
    parts = {
        FILES: _parquet(files),
        SPECS: _json({name: dict(spec) for name, spec in specs.items()}),
        PRICES: _json(prices.model_dump(mode="json") if prices is not None else {}),
        PLACE: _json({"folder": folder}),
    }
    content = {PLAN: _json({**to_json(plan), PARTS: {name: _seal(part) for name, part in parts.items()}}), **parts}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".zip":
            _write_archive(target, content)
        else:
            _write_folder(target, content)
    except OSError as error:
        raise SettingsError(f"The plan cannot be saved as {target}.", why=str(error)) from error


def _seal(part: bytes) -> str:
    return hashlib.sha256(part).hexdigest()


def _json(data: Any) -> bytes:
    return json.dumps(data, indent=2, ensure_ascii=False, sort_keys=False).encode("utf-8", "surrogatepass") + b"\n"


def _parquet(files: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(files.cast(DIFF), buffer, compression="zstd")
    return buffer.getvalue()


def _write_archive(target: Path, content: Mapping[str, bytes]) -> None:
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".plan-", delete=False) as stream:
        part = Path(stream.name)
        try:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in content.items():
                    archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    part.chmod(0o644)
    part.replace(target)


def _write_folder(target: Path, content: Mapping[str, bytes]) -> None:
    if target.exists() and not (target / PLAN).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise SettingsError(
            f"The plan cannot be saved as {target}.",
            why="Something that is not a saved plan is there.",
            fix="Choose another name, or one that ends in .zip.",
        )
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=".plan-"))
    try:
        for name, data in content.items():
            (part / name).write_bytes(data)
        part.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        os.rename(part, target)  # noqa: PTH104 - a folder takes its final name in one step
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def load(source: Path) -> SavedPlan:
    """Read what `save` wrote, by this version or an earlier one of the same major format.

    Raises:
        SettingsError: There is no saved plan at that path, or it cannot be read.
        PlanFormatError: It is damaged, was edited, or comes from a later major version.
    """
    import pyarrow as pa

    content = _content(source)
    missing = [name for name in (PLAN, FILES) if name not in content]
    if missing:
        raise SettingsError(
            f"{source} is not a saved plan.",
            why=f"It lacks {' and '.join(missing)}.",
            fix="Save one:\n  autoloader plan --out FILE",
        )
    document = _parsed(source, PLAN, content[PLAN])
    parts = document.pop(PARTS, {})  # plans of earlier versions name none
    plan = _plan(source, document)
    if plan.digest not in (digest_of(plan), digest_of_json(document)):  # the latter: it was written by another version
        raise _changed(source, "Its digest does not belong to what it says.")
    for name, seal in parts.items():
        if name not in content or _seal(content[name]) != seal:
            raise _changed(source, f"{name} is {'another' if name in content else 'gone'}.")
    try:
        files = _read_files(content[FILES])
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _damaged(source, FILES, error) from error
    specs = _parsed(source, SPECS, content[SPECS]) if SPECS in content else {}
    prices = _parsed(source, PRICES, content[PRICES]) if PRICES in content else {}
    place = _parsed(source, PLACE, content[PLACE]) if PLACE in content else {}
    return SavedPlan(plan, files, specs, prices, place.get("folder"))


def _plan(source: Path, data: dict[str, Any]) -> Plan:
    try:
        return from_json(data)
    except PlanFormatError as error:
        raise PlanFormatError(f"The plan in {source} cannot be read.", why=error.why, fix=error.fix) from error


def _content(source: Path) -> dict[str, bytes]:
    names = (PLAN, FILES, SPECS, PRICES, PLACE)
    try:
        if source.is_dir():
            return {name: (source / name).read_bytes() for name in names if (source / name).is_file()}
        with zipfile.ZipFile(source) as archive:
            return {name: archive.read(name) for name in names if name in archive.namelist()}
    except FileNotFoundError:
        raise SettingsError(
            f"There is no saved plan at {source}.", fix="Save one:\n  autoloader plan --out FILE"
        ) from None
    except (OSError, zipfile.BadZipFile) as error:
        raise SettingsError(f"{source} is not a saved plan.", why=str(error)) from error


def _parsed(source: Path, name: str, data: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(data.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise _damaged(source, name, error) from error
    if not isinstance(parsed, dict):
        raise _damaged(source, name, TypeError("it holds no object"))
    return parsed


def _changed(source: Path, why: str) -> PlanFormatError:
    return PlanFormatError(
        f"The plan in {source} was changed after it was saved.",
        why=why,
        fix="Plan again:\n  autoloader plan --out FILE",
    )


def _damaged(source: Path, name: str, error: Exception) -> PlanFormatError:
    return PlanFormatError(
        f"The plan in {source} is damaged.",
        why=f"{name} cannot be read: {error}",
        fix="Plan again:\n  autoloader plan --out FILE",
    )


def _read_files(data: bytes) -> pa.Table:
    """The table in today's columns: one that is not there yet is null, one that is not known is left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    columns = [
        table.column(f.name).cast(f.type) if f.name in table.column_names else pa.nulls(table.num_rows, f.type)
        for f in DIFF
    ]
    return pa.table(columns, schema=DIFF)
