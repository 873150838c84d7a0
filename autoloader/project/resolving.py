"""Recipes: which schema, dialect and format an ingestion has, declared, pinned or inferred from a sample."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autoloader import schema as schemas
from autoloader.apply import Recipe
from autoloader.errors import ReadError, SourceError
from autoloader.inventory import WORK
from autoloader.matching import format_of
from autoloader.render import plural
from autoloader.schema import Column, TableSchema
from autoloader.spec import IngestionSpec, SchemaSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from autoloader.ledger import IngestionRow
    from autoloader.project.looking import Eyes
    from autoloader.reader import Inferred

SAMPLE_FILES: Final = 5
SAMPLE_TRIES: Final = 20
SAMPLE_BYTES: Final = 64_000_000


def resolve(
    eyes: Eyes, spec: IngestionSpec, row: IngestionRow | None, files: pa.Table | None, *, sampling: bool = False
) -> Recipe:
    """The recipe of one ingestion.

    Declared columns win; else the pinned schema holds, widened by what a sample of the new files shows where
    the contract allows it; else the schema is inferred from that sample. Without a file nothing is resolved.

    Args:
        eyes: How to look.
        spec: The ingestion.
        row: What is recorded of it.
        files: Its files with their dispositions; None when storage was not looked at.
        sampling: Take all of `files` for the sample, not only those that are to be loaded.

    Raises:
        ReadError: No file of the sample can be read as the spec says.
        SourceError: No file of the sample can be fetched.
    """
    declared = declared_schema(spec.table_schema)
    pinned = schemas.from_data(row.schema) if row is not None and row.schema is not None else None
    dialect = dict(row.dialect) if row is not None and row.dialect is not None else None
    known_format = spec.source.format or (dialect or {}).get("format")
    sample = _sample(files, sampling)
    if sample is None or (declared is not None and dialect is not None):
        return Recipe(spec, known_format, declared or pinned, dialect)
    if declared is None and pinned is not None and spec.table_schema.new_columns != "add":
        return Recipe(spec, known_format, pinned, dialect)
    format_ = known_format or format_of(sample["key"][0].as_py())
    try:
        inferred, taken, skipped = _infer(eyes, spec, sample, format_)
    except (ReadError, SourceError) as error:
        if declared is None and pinned is None:
            raise
        note = f"no file of {spec.name}'s sample can be read: {error.what}"
        return Recipe(spec, format_, declared or pinned, dialect, (note,))
    schema = declared or _grown(spec, pinned, inferred.schema)
    seen = f"schema of {spec.name} inferred from {taken} of {plural(files.num_rows if files else 0, 'file')}"
    notes = (*skipped, *inferred.notes, *(() if declared or pinned else (seen,)))
    return Recipe(spec, inferred.format, schema, dialect or inferred.dialect.to_data(), notes)


def _infer(
    eyes: Eyes, spec: IngestionSpec, sample: pa.Table, format_: str | None
) -> tuple[Inferred, int, tuple[str, ...]]:
    """What the sample shows, how many files of it were looked into, and a note on each that could not be."""
    from autoloader import reader

    with tempfile.TemporaryDirectory(prefix="autoloader-") as folder, ExitStack() as stack:
        paths, failed = _fetch(eyes, sample, Path(folder), stack)
        inferred = reader.infer(paths, format_, spec.source.options, partitions=spec.source.partitions)
        return inferred, len(paths), tuple(f"{spec.name}: {error.what}" for error in failed)


def declared_schema(spec: SchemaSpec) -> TableSchema | None:
    """The columns that a spec declares; None where it leaves them to be inferred."""
    if spec.columns is None:
        return None
    return TableSchema(
        tuple(
            Column(column.name, schemas.parse_type(column.type), column.from_, column.description)
            for column in spec.columns
        )
    )


def _grown(spec: IngestionSpec, pinned: TableSchema | None, inferred: TableSchema) -> TableSchema:
    """The pinned schema with what the contract lets in of the inferred one."""
    if pinned is None:
        return inferred
    rules = spec.table_schema
    return schemas.evolve(pinned, inferred.columns, new_columns=rules.new_columns, type_change=rules.type_change)


def _sample(files: pa.Table | None, every: bool) -> pa.Table | None:
    """First, last, largest and two files in between of those that are to be loaded; None where there is none.

    Others follow, for the case that those cannot be fetched.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if files is None:
        return None
    work = files.filter(pc.is_in(files["disposition"], value_set=pa.array(sorted(WORK))))
    work = files if every else work
    work = work.filter(pc.greater(work["size_bytes"], 0))
    total = work.num_rows
    if total == 0:
        return None
    largest = int(pc.index(work["size_bytes"], pc.max(work["size_bytes"])).as_py())
    picked = dict.fromkeys([0, total - 1, largest, total // 3, 2 * total // 3, *range(min(total, SAMPLE_TRIES))])
    return work.take(list(picked)[:SAMPLE_TRIES])


def _fetch(
    eyes: Eyes, sample: pa.Table, workdir: Path, stack: ExitStack
) -> tuple[list[tuple[Path, str]], list[SourceError]]:
    """The first files of the sample that can be had, and why others cannot; their load will say it again."""
    from autoloader import sources

    found: list[tuple[Path, str]] = []
    failed: list[SourceError] = []
    wanted = min(SAMPLE_FILES, sample.num_rows)
    for number, row in enumerate(sample.select(["file_path", "key", "size_bytes", "etag", "version_id"]).to_pylist()):
        eyes.talk(f"Looking into {row['key']}")
        at = sample["modified_at"][number]
        own = workdir / str(number)
        own.mkdir()
        try:
            path = stack.enter_context(
                sources.pinned(
                    row["file_path"],
                    size_bytes=row["size_bytes"],
                    modified_at_ns=at.value if at.is_valid else None,
                    etag=row["etag"],
                    version_id=row["version_id"],
                    storage=eyes.settings.storage,
                    workdir=own,
                )
            )
        except SourceError as error:
            failed.append(error)
            continue
        found.append((path, row["key"]))
        if len(found) == wanted:
            break
    if failed and not found:
        raise failed[0]
    return found, failed
