"""Iceberg's description of a data file, from the Parquet footer that the task sent back.

Own code instead of PyIceberg's, for one reason: a row group without min/max (DuckDB leaves them out when it
meets NaN) must make the file's bounds unknown, not be skipped; else rows are pruned that are there.
Imports PyIceberg: loaded by `tables` only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import StatisticsCollector, StatsAggregator, compute_statistics_plan
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record
from pyiceberg.types import BinaryType, DecimalType, DoubleType, FixedType, FloatType, IcebergType, UUIDType
from pyiceberg.utils.decimal import unscaled_to_decimal

from autoloader.errors import CommitConflictError

Row = Mapping[str, Any]


class DataFiles:
    """Makes `DataFile`s of one table; keeps what is the same for all of them."""

    def __init__(self, metadata: TableMetadata) -> None:
        self._schema: Schema = metadata.schema()
        self._specs: dict[int, PartitionSpec] = metadata.specs()
        self._plan = compute_statistics_plan(self._schema, metadata.properties)
        self._names: dict[int | None, str] = {f.field_id: f.name for f in self._schema.fields}
        self._types: dict[int, tuple[IcebergType, ...]] = {}

    def data_file(self, row: Row) -> DataFile:
        """The `DataFile` of one `data_file` row of `loader.RESULT`."""
        spec_id = row["spec_id"] or 0
        footer = pq.read_metadata(pa.BufferReader(row["footer"]))
        arrow = footer.schema.to_arrow_schema()
        if not row.get("replaces"):
            self._check_ids(row["path"], arrow)
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=row["path"],
            file_format=FileFormat.PARQUET,
            partition=self.partition(spec_id, row["partition_json"]),
            file_size_in_bytes=row["size_bytes"],
            sort_order_id=None,
            spec_id=spec_id,
            equality_ids=None,
            key_metadata=None,
            **_statistics(footer, arrow, self._plan),
        )

    def _check_ids(self, path: str, arrow: pa.Schema) -> None:
        """Field ids that were foreseen for new columns must be those that the table gives them."""
        for field in arrow:
            found = self._names.get(_field_id(field))
            if found != field.name:
                raise CommitConflictError(
                    f"the data file {path} does not fit its table any more",
                    why=f"another writer changed the schema: the place of column {field.name} is {found}'s now",
                    fix="run the same command again: the batch is loaded anew under the schema as it is.",
                )

    def partition(self, spec_id: int, partition_json: str | None) -> Record:
        """Partition values as Iceberg's record, in its internal types."""
        if spec_id not in self._types:
            fields = self._specs[spec_id].partition_type(self._schema).fields
            self._types[spec_id] = tuple(f.field_type for f in fields)
        values = json.loads(partition_json or "[]")
        return Record(*(_typed(v, t) for v, t in zip(values, self._types[spec_id], strict=True)))


def _typed(value: Any, kind: IcebergType) -> Any:
    match kind:
        case _ if value is None:
            return None
        case DecimalType():
            return Decimal(value)
        case UUIDType():
            return UUID(value)
        case BinaryType() | FixedType():
            return bytes.fromhex(value)
        case FloatType() | DoubleType():
            return float(value)
        case _:
            return value


def partition_json(record: Record) -> str:
    """A record of partition values as `loader.RESULT` has it."""
    return json.dumps([_plain(record[i]) for i in range(len(record))], ensure_ascii=False)


def _plain(value: Any) -> Any:
    match value:
        case Decimal() | UUID() | float():
            return str(value)
        case bytes():
            return value.hex()
        case _:
            return value


def _statistics(metadata: pq.FileMetaData, arrow: pa.Schema, plan: Mapping[int, StatisticsCollector]) -> dict[str, Any]:
    ids = list(_leaf_ids(arrow))
    sizes: dict[int, int] = {}
    values: dict[int, int] = {}
    nulls: dict[int, int] = {}
    bounds: dict[int, StatsAggregator] = {}
    unknown: set[int] = set()
    offsets = []
    for group in (metadata.row_group(i) for i in range(metadata.num_row_groups)):
        chunks = [group.column(i) for i in range(group.num_columns)]
        offsets.append(_offset(chunks[0]))
        for field_id, chunk in zip(ids, chunks, strict=True):
            collector = plan.get(field_id) if field_id is not None else None
            if collector is None or field_id is None:
                continue
            sizes[field_id] = sizes.get(field_id, 0) + chunk.total_compressed_size
            if str(collector.mode) == "none":
                continue
            values[field_id] = values.get(field_id, 0) + chunk.num_values
            found = chunk.statistics
            if found is None or not found.has_null_count:
                unknown.add(field_id)
                continue
            nulls[field_id] = nulls.get(field_id, 0) + found.null_count
            if str(collector.mode) != "counts" and not _widen(bounds, collector, chunk, found):
                unknown.add(field_id)
    for field_id in unknown:
        bounds.pop(field_id, None)
    lower = {i: b for i, a in bounds.items() if (b := a.min_as_bytes()) is not None}
    upper = {i: b for i, a in bounds.items() if (b := a.max_as_bytes()) is not None}
    return {
        "record_count": metadata.num_rows,
        "column_sizes": sizes,
        "value_counts": values,
        "null_value_counts": {i: n for i, n in nulls.items() if i not in unknown or i in bounds},
        "nan_value_counts": {},
        "lower_bounds": lower,
        "upper_bounds": upper,
        "split_offsets": sorted(offsets),
    }


def _offset(chunk: Any) -> int:
    data, dictionary = chunk.data_page_offset, chunk.dictionary_page_offset
    return int(dictionary if chunk.has_dictionary_page and dictionary < data else data)


def _widen(bounds: dict[int, StatsAggregator], collector: StatisticsCollector, chunk: Any, found: Any) -> bool:
    """Take a row group's min and max into the file's; False: its values are not known."""
    if not found.has_min_max:
        return bool(found.null_count >= chunk.num_values)  # only nulls: nothing to take
    kind, field_id = collector.iceberg_type, collector.field_id
    if field_id not in bounds:
        bounds[field_id] = StatsAggregator(kind, found.physical_type, collector.mode.length)
    low, high = found.min, found.max
    if isinstance(kind, DecimalType) and found.physical_type != "FIXED_LEN_BYTE_ARRAY":
        low, high = (unscaled_to_decimal(raw, kind.scale) for raw in (found.min_raw, found.max_raw))
    bounds[field_id].update_min(low)
    bounds[field_id].update_max(high)
    return True


def _leaf_ids(schema: pa.Schema) -> Iterator[int | None]:
    """Iceberg's field ids of the leaf columns, in Parquet's order (depth first)."""
    for field in schema:
        yield from _leaves(field)


def _leaves(field: pa.Field) -> Iterator[int | None]:
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            yield from _leaves(kind.field(i))
    elif pa.types.is_map(kind):
        yield from _leaves(kind.key_field)
        yield from _leaves(kind.item_field)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaves(kind.value_field)
    else:
        yield _field_id(field)


def _field_id(field: pa.Field) -> int | None:
    value = (field.metadata or {}).get(b"PARQUET:field_id")
    return None if value is None else int(value)
