"""Recipes: which schema, dialect and format an ingestion has, declared, pinned or inferred from a sample."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autoloader import schema as schemas
from autoloader.apply import Recipe
from autoloader.errors import ReadError, SourceError
from autoloader.matching import format_of
from autoloader.project.sampling import candidates, fetched, sample_of
from autoloader.render import plural
from autoloader.schema import Column, TableSchema
from autoloader.spec import IngestionSpec, SchemaSpec, dialect_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import pyarrow as pa

    from autoloader.ledger import IngestionRow
    from autoloader.project.looking import Eyes
    from autoloader.reader import Inferred

SHOWN_COLUMNS: Final = 30
"""Of an inferred schema, in the note that people read."""


def resolve(
    eyes: Eyes, spec: IngestionSpec, row: IngestionRow | None, files: pa.Table | None, *, sampling: bool = False
) -> Recipe:
    """The recipe of one ingestion.

    Declared columns win; beside them, or else alone, the pinned ones hold, widened by what a sample of the new
    files shows where the contract allows it; else the schema is inferred from that sample. Without a file nothing
    is resolved.

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
    dialect = _pinned_dialect(spec, row)
    known_format = spec.source.format or (dialect or {}).get("format")
    standing, notes = _standing(spec, declared, pinned, row)
    standing = standing and _with_folders(standing, spec.source.partitions)
    sample = sample_of(files, every=sampling)
    if sample is None or (standing is not None and dialect is not None and spec.table_schema.new_columns != "add"):
        return Recipe(spec, known_format, standing, dialect, notes)
    format_ = known_format or format_of(sample["key"][0].as_py())
    try:
        inferred, skipped = _infer(eyes, spec, sample, format_)
    except (ReadError, SourceError) as error:
        if standing is None:
            raise
        from autoloader.reader import dialect_of

        note = f"no file of {spec.name}'s sample can be read: {error.what}"
        return Recipe(spec, format_, standing, dialect or dialect_of(spec.source.options).to_data(), (*notes, note))
    adds = spec.table_schema.new_columns == "add"  # then a column can wait until a value tells its type
    schema = _grown(spec, standing, declared, inferred.seen if adds else inferred.schema)
    seen = f"schema of {spec.name} inferred from {inferred.files} of {plural(candidates(files), 'file')}"
    notes = (*notes, *skipped, *inferred.notes, *(() if standing else (f"{seen}: {_columns(schema)}",)))
    return Recipe(spec, inferred.format, schema, dialect or inferred.dialect.to_data(), notes)


def _pinned_dialect(spec: IngestionSpec, row: IngestionRow | None) -> dict[str, Any] | None:
    """The dialect that was found before; None where there is none, or the spec asks for another one by now."""
    if row is None or row.dialect is None:
        return None
    of = row.dialect.get("of", dialect_keys(row.spec))
    return dict(row.dialect) if of == dialect_keys(spec.as_data()) else None


def _columns(schema: TableSchema) -> str:
    """The columns with their types, the first of many."""
    shown = str(TableSchema(schema.columns[:SHOWN_COLUMNS]))
    more = len(schema.columns) - SHOWN_COLUMNS
    return (
        f"{shown}, and {more} more: see --format json, or write them into the spec with --write-schema"
        if more > 0
        else shown
    )


def _infer(eyes: Eyes, spec: IngestionSpec, sample: pa.Table, format_: str | None) -> tuple[Inferred, tuple[str, ...]]:
    """What the sample shows, and a note on each of its files that could not be fetched."""
    from autoloader import reader

    with tempfile.TemporaryDirectory(prefix="autoloader-") as folder, ExitStack() as stack:
        paths, failed = fetched(eyes, sample, Path(folder), stack)
        inferred = reader.infer(paths, format_, spec.source.options, partitions=spec.source.partitions)
        return inferred, tuple(f"{spec.name}: {error.what}" for error in failed)


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


def _standing(
    spec: IngestionSpec, declared: TableSchema | None, pinned: TableSchema | None, row: IngestionRow | None
) -> tuple[TableSchema | None, tuple[str, ...]]:
    """The columns before any file is looked at, and notes: the declared ones, and what the contract made of them.

    Under `new_columns: add` the pinned columns that are not declared stay beside them.
    """
    if declared is None or pinned is None or row is None:
        return declared or pinned, ()
    before = {str(c["name"]).casefold(): str(c["type"]) for c in (row.spec.get("schema") or {}).get("columns") or ()}
    held = {c.name.casefold(): _held(c, pinned, before) for c in declared.columns}
    read = {name.casefold() for c in declared.columns for name in (c.name, c.file_name)}
    others = [c for c in pinned.columns if not {c.name.casefold(), c.file_name.casefold()} & read]
    if spec.table_schema.new_columns != "add" or not others:
        return TableSchema(tuple(held.values())), ()
    renamed = {c.file_name.casefold(): held[c.name.casefold()] for c in declared.columns}
    places = [held.get(c.name.casefold()) or renamed.get(c.file_name.casefold(), c) for c in pinned.columns]
    ordered = [c for c in places if c in others or c.name.casefold() in held]
    gone = [c.name for c in others if c.name.casefold() in before]
    keeps = "new_columns: add keeps reading them; to leave them out, set it to rescue or ignore"
    notes = (f"{spec.name}: {', '.join(gone)} not declared any more; {keeps}",) if gone else ()
    return TableSchema(tuple(dict.fromkeys([*ordered, *held.values()]))), notes


def _with_folders(standing: TableSchema, partitions: Mapping[str, str]) -> TableSchema:
    """The columns with those that folders give, which are declared as well; one that has grown wider stays so."""
    columns = {c.file_name.casefold(): c for c in standing.columns}
    for name, text in partitions.items():
        kind = schemas.parse_type(text)
        known = columns.get(name.casefold(), Column(name, kind))
        grown = schemas.is_promotion(kind, known.type)
        columns[name.casefold()] = known if grown else replace(known, type=kind)
    return TableSchema(tuple(columns.values()))


def _held(column: Column, pinned: TableSchema, before: Mapping[str, str]) -> Column:
    """A declared column with the wider type that files have asked for since it was declared so."""
    known = pinned.find(column.name)
    if known is None or before.get(column.name.casefold()) != str(column.type):
        return column
    wider = schemas.evolve(TableSchema((column,)), [replace(known, name=column.file_name)]).columns[0].type
    return replace(column, type=wider) if wider == known.type else column


def _grown(
    spec: IngestionSpec, standing: TableSchema | None, declared: TableSchema | None, inferred: TableSchema
) -> TableSchema:
    """The standing schema with what the contract lets in of the inferred one; declared types are not argued with."""
    if standing is None:
        return inferred
    rules = spec.table_schema
    settled = {c.file_name.casefold() for c in declared.columns} if declared is not None else set()
    found = [c for c in inferred.columns if c.file_name.casefold() not in settled]
    return schemas.evolve(standing, found, new_columns=rules.new_columns, type_change=rules.type_change)
