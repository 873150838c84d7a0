"""The changes that load no file: create, update, schema, adopt, forget, drop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from autoloader import schema as schemas
from autoloader.apply.recipe import Recipe
from autoloader.apply.recording import row_of
from autoloader.apply.tools import Tools
from autoloader.errors import LakeError
from autoloader.lake import SchemaUpdate
from autoloader.schema import ChangeClass, Place, TableSchema, compare, compare_in
from autoloader.spec import partition_field, sort_term

if TYPE_CHECKING:
    from autoloader.lake import TableState
    from autoloader.ledger import IngestionRow
    from autoloader.spec import Destination


def create(tools: Tools, recipe: Recipe, row: IngestionRow, *, lineage_columns: bool) -> IngestionRow:
    """Make the table where there is none, and record the ingestion with it.

    An ingestion without any file has no schema yet; it is recorded and its table made with the first load.
    """
    destination = recipe.spec.destination
    table = tools.lake.table(destination.table)
    if table is None and recipe.schema is not None:
        table = tools.lake.create(
            destination.table,
            recipe.schema,
            destination.partition_by,
            destination.properties,
            lineage_columns=lineage_columns,
            sort_by=destination.sort_by,
        )
    uuid = table.uuid if table is not None else None
    return tools.ledger.put_ingestion(row_of(recipe, row, table_uuid=uuid), now=tools.clock(), actor=tools.holder)


def update(tools: Tools, recipe: Recipe, row: IngestionRow) -> IngestionRow:
    """Record the new spec; bring the table's name, properties, partitioning and sorting to it."""
    destination = recipe.spec.destination
    if row.table and row.table != destination.table and tools.lake.table(row.table) is not None:
        tools.lake.rename(row.table, destination.table)
    table = tools.lake.table(destination.table)
    if table is not None:
        partition_by = destination.partition_by if destination.partition_by != table.partition_by else None
        before = row.spec.get("destination") or {}
        missing = {k: v for k, v in destination.properties.items() if table.properties.get(k) != v}
        gone = tuple(k for k in before.get("properties") or () if k not in destination.properties)
        ours = destination.sort_by or before.get("sort_by")
        sort_by = destination.sort_by if ours and destination.sort_by != table.sort_by else None
        if _comes_with_rebuild(recipe, row, table):
            partition_by = sort_by = None
        if partition_by is not None or sort_by is not None or missing or gone:
            columns = _columns_to_lay_out_by(recipe, row, table.schema)
            tools.lake.evolve(
                destination.table,
                columns,
                properties=missing,
                unset=gone,
                partition_by=partition_by,
                sort_by=sort_by,
            )
    spec_only = replace(recipe, schema=None)  # columns change with the table's own, in `change_schema`
    return tools.ledger.put_ingestion(row_of(spec_only, row), now=tools.clock(), actor=tools.holder)


def _comes_with_rebuild(recipe: Recipe, row: IngestionRow, table: TableState) -> bool:
    """Whether the layout is by columns that leave the table for others of their names, or that come with those."""
    if recipe.schema is None:
        return False
    leaving = frozenset(name.lower() for name in rebuilt(table.schema, _known(row, table.schema), recipe.schema).drops)
    wanted, have = _laid_out_by(recipe.spec.destination), {column.name.lower() for column in table.schema.columns}
    return bool(leaving & (wanted | _laid_out_by(table)) or (leaving and not wanted <= have))


def _laid_out_by(layout: Destination | TableState) -> frozenset[str]:
    """The top-level columns that a table is partitioned or sorted by, in lower case."""
    terms = [partition_field(term).column.partition(".")[0] for term in layout.partition_by]
    terms += [sort_term(term).column for term in layout.sort_by or ()]
    return frozenset(term.lower() for term in terms)


def _columns_to_lay_out_by(recipe: Recipe, row: IngestionRow, table: TableSchema) -> SchemaUpdate | None:
    """The schema update that must come with a partitioning or sorting by columns that the table has not yet."""
    have = {column.name.lower() for column in table.columns}
    if recipe.schema is None or _laid_out_by(recipe.spec.destination) <= have:
        return None
    return schema_update(_known(row, table), recipe.schema)


def change_schema(tools: Tools, recipe: Recipe, row: IngestionRow) -> None:
    """Bring the table's columns to the planned ones by metadata alone; `record_schema` remembers them."""
    schema = recipe.schema
    if schema is None:
        raise LakeError(f"There is no schema for {recipe.spec.name}.")
    table = tools.lake.table(recipe.spec.destination.table)
    if table is not None:
        tools.lake.evolve(table.name, schema_update(_known(row, table.schema), schema))


def places_to_fill(recipe: Recipe, row: IngestionRow, *, every_column: bool) -> tuple[Place, ...]:
    """Where values of `_rescued` go: places that the recorded columns lack, or every one of the recipe's."""
    known = None if every_column or row.schema is None else schemas.from_data(row.schema)
    return () if recipe.schema is None else schemas.places(known, recipe.schema)


def record_schema(tools: Tools, recipe: Recipe, row: IngestionRow, resolution: str) -> IngestionRow:
    """Pin the recipe's columns, and remember them as a new schema version.

    Args:
        tools: The surroundings.
        recipe: The recipe.
        row: What is recorded.
        resolution: `auto_merge`, `backfill`, `ignore` or `manual`.
    """
    recorded = tools.ledger.put_ingestion(row_of(recipe, row), now=tools.clock(), actor=tools.holder)
    if recorded.schema != row.schema:
        tools.ledger.add_schema_version(
            recipe.spec.name, list(recorded.schema or []), now=tools.clock(), resolution_type=resolution
        )
    return recorded


def _known(row: IngestionRow, table: TableSchema) -> TableSchema:
    """The columns as recorded, which know their names in the files; else as the table has them."""
    return table if row.schema is None else schemas.from_data(row.schema)


def foreseen(
    table: TableState | None, recipe: Recipe, row: IngestionRow, *, lineage_columns: bool
) -> SchemaUpdate | None:
    """The schema update that comes with a rebuilt table; None where its columns stay."""
    if table is None or recipe.schema is None:
        return None
    lacks_lineage = lineage_columns and not table.has_lineage
    if not lacks_lineage and not compare(table.schema, recipe.schema):
        return None
    update = replace(rebuilt(table.schema, _known(row, table.schema), recipe.schema), lineage=lacks_lineage)
    destination = recipe.spec.destination
    if not update.drops:
        return update
    return replace(update, partition_by=destination.partition_by, sort_by=destination.sort_by or None)


def free_layout(tools: Tools, name: str, gone: Sequence[str]) -> SchemaUpdate | None:
    """Take columns that are to leave a table out of its layout, by metadata alone: Iceberg needs what it names.

    Returns:
        What brings the layout back; None where it did not change.
    """
    table, out = tools.lake.table(name), {column.casefold() for column in gone}
    if table is None:
        return None
    kept = tuple(t for t in table.partition_by if partition_field(t).column.partition(".")[0].casefold() not in out)
    sorts = any(sort_term(term).column.casefold() in out for term in table.sort_by or ())
    if kept == table.partition_by and not sorts:
        return None
    tools.lake.evolve(name, partition_by=kept, sort_by=() if sorts else None)
    return SchemaUpdate(table.schema, partition_by=table.partition_by, sort_by=table.sort_by)


def schema_update(known: TableSchema, wanted: TableSchema) -> SchemaUpdate:
    """What brings a table's columns from the known to the wanted ones, by metadata alone."""
    return SchemaUpdate(wanted, schemas.renames(known, wanted))


def rebuilt(table: TableSchema, known: TableSchema, wanted: TableSchema) -> SchemaUpdate:
    """The same for a table whose content is built anew: a column that cannot become the wanted one leaves for it.

    Args:
        table: The columns that the table has.
        known: Those of them that are read from files.
        wanted: The columns that it is to have.
    """
    renames = schemas.renames(known, wanted)
    unfit = [c.column for c in compare_in(table, known, wanted) if c.change_class is ChangeClass.INCOMPATIBLE]
    clashes = {c.name for c in wanted.columns if any(_inside(each, c.name) for each in unfit)}
    gone = {name.casefold() for name in (*clashes, *(old for old, new in renames if new in clashes))}
    drops = tuple(c.name for c in table.columns if c.name.casefold() in gone)
    return SchemaUpdate(
        target=wanted,
        renames=tuple((old, new) for old, new in renames if not any(_inside(old, name) for name in drops)),
        drops=drops,
    )


def _inside(path: str, column: str) -> bool:
    return f"{path}.".startswith(f"{column}.")


def adopt(tools: Tools, recipe: Recipe, row: IngestionRow) -> IngestionRow:
    """Take an existing table as the ingestion's own; not a row of it is touched."""
    table = tools.lake.table(recipe.spec.destination.table)
    if table is None:
        raise LakeError(f"There is no table {recipe.spec.destination.table} to adopt.", fix="Plan again.")
    pinned = replace(recipe, schema=recipe.schema or table.schema)
    extra = {**(row.extra or {}), "snapshot_id": table.snapshot_id}
    adopted = row_of(pinned, row, table_uuid=table.uuid, extra=extra)
    return tools.ledger.put_ingestion(adopted, now=tools.clock(), actor=tools.holder)


def forget(tools: Tools, name: str) -> int:
    """Forget an ingestion and its files; the table stays.

    Returns:
        How many files were forgotten.
    """
    return tools.ledger.forget(name, now=tools.clock(), actor=tools.holder)


def drop(tools: Tools, name: str, table: str | None) -> int:
    """Drop an ingestion's table and forget it.

    Returns:
        How many files were forgotten.
    """
    if table is not None:
        tools.lake.drop(table)
    return forget(tools, name)
