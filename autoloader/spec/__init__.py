"""The spec of an ingestion and the settings of a project, validated. One model per YAML mapping.

Attributes carry the YAML keys' names (`from` is `from_`, `schema` is `table_schema`). No disk here:
`specfiles` reads, this room judges.
"""

from autoloader.spec.changes import (
    KeyChange,
    canonical_data,
    change_effects,
    data_fingerprint,
    dialect_keys,
    metadata_fingerprint,
    spec_digest,
)
from autoloader.spec.columns import LINEAGE_COLUMNS, ColumnSpec, SchemaSpec, is_reserved
from autoloader.spec.ingestion import IngestionSpec
from autoloader.spec.keys import KEYS, NOT_AVAILABLE_YET, Effect, Key
from autoloader.spec.model import Model
from autoloader.spec.partitions import PartitionField, partition_field
from autoloader.spec.quantities import (
    BadRowLimit,
    format_duration,
    parse_count,
    parse_duration,
    parse_money,
    parse_size,
)
from autoloader.spec.runs import Backfill, Compute, Limits, Refresh, Reingest, Schedule
from autoloader.spec.settings import (
    ComputeProfile,
    Guardrails,
    MoneyThreshold,
    Prices,
    Settings,
    SparkSettings,
    StorageSettings,
    Threshold,
)
from autoloader.spec.sorting import SortTerm, sort_term
from autoloader.spec.source import NAME_RULE, CsvOptions, Destination, Source, canonical_path, is_safe_name
from autoloader.spec.times import Period, parse_instant, parse_period

__all__ = [
    "KEYS",
    "LINEAGE_COLUMNS",
    "NAME_RULE",
    "NOT_AVAILABLE_YET",
    "Backfill",
    "BadRowLimit",
    "ColumnSpec",
    "Compute",
    "ComputeProfile",
    "CsvOptions",
    "Destination",
    "Effect",
    "Guardrails",
    "IngestionSpec",
    "Key",
    "KeyChange",
    "Limits",
    "Model",
    "MoneyThreshold",
    "PartitionField",
    "Period",
    "Prices",
    "Refresh",
    "Reingest",
    "Schedule",
    "SchemaSpec",
    "Settings",
    "SortTerm",
    "Source",
    "SparkSettings",
    "StorageSettings",
    "Threshold",
    "canonical_data",
    "canonical_path",
    "change_effects",
    "data_fingerprint",
    "dialect_keys",
    "format_duration",
    "is_reserved",
    "is_safe_name",
    "metadata_fingerprint",
    "parse_count",
    "parse_duration",
    "parse_instant",
    "parse_money",
    "parse_period",
    "parse_size",
    "partition_field",
    "sort_term",
    "spec_digest",
]
