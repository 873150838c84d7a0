"""Tables that grow while they are loaded: what files ask for comes with their rows, in one commit.

A batch is read once; files that ask for columns or types are read a second time, under the schema that their
answers make. Schema and rows are committed together, and what the ledger pins follows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader import loader
from autoloader import schema as schemas
from autoloader.apply.target import Target
from autoloader.apply.tools import Tools
from autoloader.errors import PlanStaleError
from autoloader.lake import SchemaUpdate
from autoloader.schema import Column, TableSchema, compare, evolve

if TYPE_CHECKING:
    from autoloader.ledger import IngestionRow

ROUNDS: Final = 3
"""How often files of a batch may ask; after that they are read as the schema is."""

_SCHEMA: Final = b"autoloader.schema"


def may_grow(target: Target, *, last: bool = False) -> Target:
    """The target for a round of reading: whether files may still ask."""
    return replace(target, reads=replace(target.contract, may_grow=not last))


def asking(results: pa.Table) -> pa.Array:
    """The source file versions of a batch that ask for columns or types, int64."""
    rows = results.filter(pc.equal(results["state"], loader.GROWS))
    return rows["src_file_id"].combine_chunks()


def grown(tools: Tools, target: Target, results: pa.Table) -> Target:
    """The target with the schema that files of a batch ask for, to be committed with the batch."""
    from autoloader import reader

    table = tools.lake.table(target.table)
    contract = reader.grown(target.contract, _asks(results), None if table is None else table.schema)
    if target.branch is None:
        return replace(target, reads=contract, growth=SchemaUpdate(contract.schema))
    foreseen = target.foreseen or SchemaUpdate(contract.schema)
    return replace(target, reads=contract, foreseen=replace(foreseen, target=contract.schema))


def _asks(results: pa.Table) -> Iterator[TableSchema]:
    rows = results.filter(pc.equal(results["state"], loader.GROWS))
    for text in pc.unique(rows["columns_json"]).to_pylist():
        yield schemas.from_data(json.loads(text)["asks"])


def with_schema(results: pa.Table, target: Target) -> pa.Table:
    """Results that say which schema they were written for, where that is not the recorded one."""
    if target.update is None:
        return results
    data = json.dumps(schemas.to_data(target.contract.schema), ensure_ascii=False)
    return results.replace_schema_metadata({_SCHEMA: data.encode()})


def schema_of(results: pa.Table) -> TableSchema | None:
    """What `with_schema` put in."""
    data = (results.schema.metadata or {}).get(_SCHEMA)
    return None if data is None else schemas.from_data(json.loads(data))


def learn(tools: Tools, name: str, schema: TableSchema) -> None:
    """Pin the columns that a committed batch has brought to its table. Several workers may do so at once."""
    while True:
        row = tools.ledger.ingestion(name)
        if row is None:
            return
        known = schemas.from_data(row.schema) if row.schema is not None else TableSchema()
        found = [Column(column.file_name, column.type) for column in schema.columns]
        pinned = evolve(known, found) if row.schema is not None else schema
        if pinned == known:
            return
        try:
            pin(tools, row, pinned, "auto_merge")
        except PlanStaleError:
            continue  # somebody else was quicker
        return


def pin(tools: Tools, row: IngestionRow, schema: TableSchema, resolution: str) -> None:
    """Record columns as those of an ingestion, and as a new schema version.

    Raises:
        PlanStaleError: The ingestion is not recorded as `row` any more.
    """
    data, now = schemas.to_data(schema), tools.clock()
    tools.ledger.put_ingestion(replace(row, schema=data), now=now, expected_serial=row.serial, actor=tools.holder)
    tools.ledger.add_schema_version(row.name, data, now=now, resolution_type=resolution)


def changes(before: Target, after: Target) -> list[dict[str, str]]:
    """What grew between two targets, as sentences with their class."""
    found = compare(before.contract.schema, after.contract.schema)
    return [{"class": change.change_class.value, "change": str(change)} for change in found]
