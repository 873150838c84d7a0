"""What the lake tells and is told: plain values, without PyIceberg.

A table's state is read from Iceberg's metadata JSON, the same for every catalog.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Final

import pyarrow as pa

from autoloader import schema as schemas
from autoloader.errors import LakeError
from autoloader.lake import keepsakes
from autoloader.schema import Column, Primitive, TableSchema
from autoloader.spec import SortTerm

LINEAGE: Final = TableSchema(
    (
        Column("_src_file_id", Primitive("long"), description="version of the source file; see the ledger"),
        Column("_src_path", Primitive("string"), description="URI of the source file"),
        Column("_src_row", Primitive("long"), description="0-based ordinal of the row in its file"),
        Column("_batch_id", Primitive("string"), description="batch that loaded the row"),
        Column("_ingested_at", Primitive("timestamptz"), description="when that batch was begun"),
        Column("_rescued", Primitive("string"), description="JSON of what did not fit the schema, or null"),
    )
)
"""Appended to the data columns of every table."""

QUARANTINE: Final = TableSchema(
    (
        Column("src_file_id", Primitive("long")),
        Column("file_path", Primitive("string")),
        Column("row", Primitive("long")),
        Column("column", Primitive("string")),
        Column("raw", Primitive("string")),
        Column("error", Primitive("string")),
        Column("batch_id", Primitive("string")),
        Column("ingested_at", Primitive("timestamptz")),
    )
)
"""The columns of `<table>__quarantine`."""

BATCH_ID: Final = "autoloader.batch-id"
PLAN_ID: Final = "autoloader.plan-id"
RUN_ID: Final = "autoloader.run-id"
FENCING_TOKEN: Final = "autoloader.fencing-token"  # noqa: S105 - no secret
INGESTION: Final = "autoloader.ingestion"
BRANCH: Final = "autoloader.branch"
REVOKED: Final = "autoloader.revoked-batch-id"

_LINEAGE_NAMES: Final = frozenset(c.name for c in LINEAGE.columns)


def quarantine_name(table: str) -> str:
    """The name of the table that takes a table's rejected rows."""
    return f"{table}__quarantine"


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One snapshot of a table's history.

    Attributes:
        committed_at: Aware UTC.
        batch_id: The batch that it committed; None: it is not ours, or no batch.
        run_id: The run of that batch.
        summary: Its whole summary.
    """

    snapshot_id: int
    parent_id: int | None
    committed_at: datetime
    operation: str
    batch_id: str | None
    run_id: str | None
    summary: Mapping[str, str]

    @property
    def plan_id(self) -> str | None:
        """The plan of that batch."""
        return self.summary.get(PLAN_ID)


@dataclass(frozen=True, slots=True)
class TableState:
    """A table as its catalog has it now.

    Attributes:
        name: The name it was asked by.
        uuid: Iceberg's; a table dropped and made anew has another one.
        location: Its folder.
        schema: Its data columns, lineage columns left out.
        schema_json: The whole Iceberg schema with field ids.
        schema_id: Of the current schema.
        snapshot_id: Of the branch `main`; None: empty.
        partition_by: As in a spec: `month(day)`, `bucket[16](id)`, `country`.
        sort_by: As in a spec: `day`, `amount desc`; None: in a way that a spec cannot say.
        properties: The table's own.
        has_lineage: Whether the rows carry our lineage columns.
        rows: Rows now; None: not told.
        size_bytes: Of the data files; None: not told.
        data_files: Their number; None: not told.
        history: Snapshots of `main`, newest first, as far as they are not expired.
        branches: Snapshot per branch and tag.
        astray: Snapshots that are kept but are not in the history of `main`: rolled back or swapped out. Where expiry
            has cut the history off, those from before its oldest one are not counted: a tag may keep them.
        last_column_id: The highest field id that it ever gave to a column: new columns get those after it.
    """

    name: str
    uuid: str
    location: str
    schema: TableSchema
    schema_json: str
    schema_id: int
    snapshot_id: int | None
    partition_by: tuple[str, ...]
    properties: Mapping[str, str]
    has_lineage: bool
    rows: int | None
    size_bytes: int | None
    data_files: int | None
    history: tuple[SnapshotInfo, ...]
    branches: Mapping[str, int]
    astray: frozenset[int] = frozenset()
    sort_by: tuple[str, ...] | None = ()
    last_column_id: int = 0

    def has_come_through(self, snapshot_id: int | None) -> bool:
        """Whether a snapshot is in its history; one that expired is not, nor one that it was rolled back over."""
        return any(info.snapshot_id == snapshot_id for info in self.history)

    def since(self, snapshot_id: int | None) -> tuple[SnapshotInfo, ...]:
        """What was committed after a snapshot, the newest first; all of the history where that is not in it."""
        return tuple(takewhile(lambda info: info.snapshot_id != snapshot_id, self.history))

    @property
    def contributing(self) -> tuple[SnapshotInfo, ...]:
        """Snapshots that may have given it rows, the newest first: those after the last one that surely had none."""
        return tuple(takewhile(lambda info: info.summary.get("total-records") != "0", self.history))

    def check_reachable(self, snapshot_id: int | None) -> None:
        """Whether a rollback can go there; None, which is no row at all, always can.

        Raises:
            LakeError: The snapshot is not in the history (any more).
        """
        if snapshot_id is not None and not self.has_come_through(snapshot_id):
            raise unreachable(self.name, snapshot_id, astray=snapshot_id in self.astray and not self.is_rebuilt)

    @property
    def is_rebuilt(self) -> bool:
        """Whether its history begins with a rebuild: what the table had before was swapped out."""
        return bool(self.history) and BRANCH in self.history[-1].summary

    @property
    def fence(self) -> int:
        """The lowest fencing token that may commit to it."""
        return keepsakes.fence(self.properties)


@dataclass(frozen=True, slots=True)
class SchemaUpdate:
    """How a table's schema is brought to a new one, by metadata alone.

    Attributes:
        target: The data columns as they shall be; columns of the table that are not named stay.
        renames: (old path, new name) pairs, paths with dots for nested fields; done first.
        drops: Top-level columns that leave the schema (their data stays in the files).
        partition_by: How the table is partitioned once a branch is swapped in with the update; None: as before.
        sort_by: How it is sorted from then on; None: as before.
        lineage: Whether the table gets the lineage columns where it has none.
    """

    target: TableSchema
    renames: tuple[tuple[str, str], ...] = ()
    drops: tuple[str, ...] = ()
    partition_by: tuple[str, ...] | None = None
    sort_by: tuple[str, ...] | None = None
    lineage: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """One batch, ready to be committed.

    Attributes:
        run_id: Its run; None where no source file was loaded for it.
        data_files: `loader.RESULT` rows; those that are not data files are ignored.
        removed_files: Paths of data files that leave the table in the same snapshot.
        branch: Where to; None = `main`.
        schema_update: Done in the same commit, before the snapshot.
        foreseen: A schema update that the data files are written for and that comes with the branch's swap.
    """

    batch_id: str
    plan_id: str
    run_id: str | None
    fencing_token: int
    ingestion: str
    data_files: pa.Table | None = None
    removed_files: tuple[str, ...] = ()
    branch: str | None = None
    schema_update: SchemaUpdate | None = None
    foreseen: SchemaUpdate | None = None

    @property
    def summary(self) -> dict[str, str]:
        """The snapshot properties, which outside tools may rely on."""
        run = {RUN_ID: self.run_id} if self.run_id is not None else {}
        return {
            BATCH_ID: self.batch_id,
            PLAN_ID: self.plan_id,
            **run,
            FENCING_TOKEN: str(self.fencing_token),
            INGESTION: self.ingestion,
        }


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A data file that holds rows of source files that were asked for.

    Attributes:
        rows: All its rows.
        held: Rows per asked `src_file_id`.
        spec_id: Its partition spec.
        partition_json: Its partition values, as in `loader.RESULT`.
        keys: Keys of `_rescued` that were asked for and are there, case folded.
    """

    path: str
    size_bytes: int
    rows: int
    held: Mapping[int, int] = field(default_factory=dict)
    spec_id: int = 0
    partition_json: str = "[]"
    keys: frozenset[str] = frozenset()

    @property
    def empties(self) -> bool:
        """Whether nothing is left of it without the asked rows: it leaves, and need not be rewritten."""
        return sum(self.held.values()) == self.rows


def unreachable(table: str, snapshot_id: int, *, astray: bool = False) -> LakeError:
    """Why a table cannot go back to a snapshot; `astray`: it was rolled back to an older one."""
    if astray:
        return LakeError(
            f"{table} cannot go back to snapshot {snapshot_id}",
            why="the table was rolled back to one that is older",
            fix="choose an earlier run, or load again what the table has lost:\n  autoloader plan",
        )
    return LakeError(
        f"{table} cannot go back to snapshot {snapshot_id}",
        why="it is not in the table's history: it has expired, or belongs to a state that was replaced",
        fix="choose a later run:\n  autoloader runs",
    )


def state_of(name: str, metadata: Mapping[str, Any]) -> TableState:
    """The state that Iceberg's table metadata (as JSON data) describes."""
    schema = next(s for s in metadata["schemas"] if s["schema-id"] == metadata["current-schema-id"])
    columns = columns_of(schema["fields"])
    names = {c.name for c in columns}
    has_lineage = "_src_file_id" in names and "_batch_id" in names
    history = _history(metadata)
    summary = history[0].summary if history else {"total-records": "0", "total-data-files": "0"}
    refs = metadata.get("refs") or {}
    return TableState(
        name=name,
        uuid=str(metadata["table-uuid"]),
        location=metadata["location"].rstrip("/"),
        schema=TableSchema(tuple(c for c in columns if not (has_lineage and c.name in _LINEAGE_NAMES))),
        schema_json=json.dumps(schema, ensure_ascii=False),
        schema_id=schema["schema-id"],
        snapshot_id=_current(metadata),
        partition_by=_partition_by(metadata, schema),
        properties=dict(metadata.get("properties") or {}),
        has_lineage=has_lineage,
        rows=_number(summary, "total-records"),
        size_bytes=_number(summary, "total-files-size") if history else 0,
        data_files=_number(summary, "total-data-files"),
        history=history,
        branches={ref: int(value["snapshot-id"]) for ref, value in refs.items()},
        astray=_astray(metadata, history),
        sort_by=_sort_by(metadata, schema),
        last_column_id=int(metadata["last-column-id"]),
    )


def _number(summary: Mapping[str, str], key: str) -> int | None:
    return int(summary[key]) if key in summary else None


def _current(metadata: Mapping[str, Any]) -> int | None:
    found = metadata.get("current-snapshot-id")
    return None if found in (None, -1) else int(str(found))


def _history(metadata: Mapping[str, Any]) -> tuple[SnapshotInfo, ...]:
    by_id = {s["snapshot-id"]: s for s in metadata.get("snapshots") or ()}
    found: list[SnapshotInfo] = []
    at = by_id.get(_current(metadata))
    while at is not None:
        summary = dict(at.get("summary") or {})
        found.append(
            SnapshotInfo(
                snapshot_id=at["snapshot-id"],
                parent_id=at.get("parent-snapshot-id"),
                committed_at=datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at["timestamp-ms"]),
                operation=summary.get("operation", ""),
                batch_id=summary.get(BATCH_ID),
                run_id=summary.get(RUN_ID),
                summary=summary,
            )
        )
        at = by_id.get(at.get("parent-snapshot-id"))
    return tuple(found)


def _astray(metadata: Mapping[str, Any], history: tuple[SnapshotInfo, ...]) -> frozenset[int]:
    ages = {
        s["snapshot-id"]: (s.get("sequence-number") or 0, s["timestamp-ms"]) for s in metadata.get("snapshots") or ()
    }
    outside = ages.keys() - {info.snapshot_id for info in history}
    oldest = history[-1] if history else None
    if oldest is None or (oldest.parent_id is None and BRANCH in oldest.summary):
        return frozenset(outside)
    return frozenset(each for each in outside if ages[each] > ages[oldest.snapshot_id])


def _partition_by(metadata: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[str, ...]:
    spec = next(s for s in metadata["partition-specs"] if s["spec-id"] == metadata["default-spec-id"])
    names = dict(_names(schema["fields"], ""))
    return tuple(
        _term(f["transform"], names.get(f["source-id"], f["name"])) for f in spec["fields"] if f["transform"] != "void"
    )


def _sort_by(metadata: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[str, ...] | None:
    wanted = metadata.get("default-sort-order-id", 0)
    order = next((o for o in metadata.get("sort-orders") or () if o["order-id"] == wanted), {"fields": ()})
    names = {f["id"]: f["name"] for f in schema["fields"]}
    terms = []
    for part in order["fields"]:
        nulls = "nulls-last" if part["direction"] == "desc" else "nulls-first"
        if part["transform"] != "identity" or part["source-id"] not in names or part["null-order"] != nulls:
            return None
        terms.append(str(SortTerm(names[part["source-id"]], part["direction"] == "desc")))
    return tuple(terms)


def _term(transform: str, source: str) -> str:
    return source if transform == "identity" else f"{transform}({source})"


def _names(fields: list[Mapping[str, Any]], prefix: str) -> list[tuple[int, str]]:
    found = []
    for f in fields:
        path = prefix + schemas.quote(f["name"])
        found.append((f["id"], path))
        if isinstance(f["type"], dict) and f["type"]["type"] == "struct":
            found += _names(f["type"]["fields"], path + ".")
    return found


def columns_of(fields: list[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Fields of Iceberg's JSON as columns."""
    return tuple(Column(f["name"], type_of(f["type"]), description=f.get("doc") or None) for f in fields)


def type_of(kind: Any) -> schemas.Type:
    """A type of Iceberg's JSON in our vocabulary; `fixed` becomes binary, unknown ones text."""
    if isinstance(kind, str):
        if kind.startswith("decimal"):
            precision, scale = kind[kind.index("(") + 1 : -1].split(",")
            return schemas.Decimal(int(precision), int(scale))
        if kind.startswith("fixed"):
            return Primitive("binary")
        name = {"timestamp_ns": "timestamp", "timestamptz_ns": "timestamptz"}.get(kind, kind)
        return Primitive(name if name in schemas.PRIMITIVES else "string")
    if kind["type"] == "list":
        return schemas.ListOf(type_of(kind["element"]))
    if kind["type"] == "map":
        return schemas.MapOf(type_of(kind["key"]), type_of(kind["value"]))
    return schemas.Struct(columns_of(kind["fields"]))
