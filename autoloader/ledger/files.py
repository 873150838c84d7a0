"""The remembered files of an ingestion as Arrow: the plan's slice, lists, histories and counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import pyarrow as pa

from autoloader.inventory import INSTANT, LEDGER_SLICE
from autoloader.ledger.base import AT, INT, TEXT, Part, check_aware, empty

FILES: Final = pa.schema(
    [
        ("id", INT),
        ("ingestion", TEXT),
        ("src_file_id", INT),
        ("file_path", TEXT),
        ("file_size", INT),
        ("modified_at", INSTANT),
        ("etag", TEXT),
        ("version_id", TEXT),
        ("state", TEXT),
        ("retry_count", INT),
        ("error", TEXT),
        ("rows", INT),
        ("rejected_rows", INT),
        ("fingerprint", TEXT),
        ("schema_version", INT),
        ("batch", TEXT),
        ("data_date", pa.date32()),
        ("discovered_at", AT),
        ("processed_at", AT),
        ("seconds", pa.float64()),
        ("next_attempt_at", AT),
        ("reload", pa.bool_()),
    ]
)
"""What `files` returns: the columns of `processed_file`, `modified_at` to the nanosecond."""

VERSIONS: Final = pa.schema(
    [
        ("src_file_id", INT),
        ("batch", TEXT),
        ("ingestion", TEXT),
        ("file_path", TEXT),
        ("file_size", INT),
        ("modified_at", INSTANT),
        ("etag", TEXT),
        ("version_id", TEXT),
        ("data_date", pa.date32()),
        ("disposition", TEXT),
        ("replaces", INT),
        ("state", TEXT),
        ("error", TEXT),
        ("rows", INT),
        ("rejected_rows", INT),
        ("fingerprint", TEXT),
        ("schema_version", INT),
        ("seconds", pa.float64()),
        ("processed_at", AT),
    ]
)
"""What `versions` returns: one row per file version that was ever claimed."""

COUNTS: Final = pa.schema([("state", TEXT), ("files", INT), ("in_table", INT), ("size_bytes", INT), ("rows", INT)])

_SLICE: Final = {
    "size_bytes": "f.file_size",
    "modified_at": "f.modified_at_ns",
    "claimed": "CASE WHEN f.state = 'PROCESSING' THEN EXISTS (SELECT 1 FROM batch b JOIN lease l"
    " ON l.id = b.lease AND l.token = b.token WHERE b.batch_id = f.batch AND l.expires_at > :now)"
    " ELSE false END",
    "batch_id": "f.batch",
    "attempt_replaces": "CASE WHEN f.src_file_id IS NOT NULL AND (f.state IN ('FAILED', 'PROCESSING')"
    " OR f.state = 'MISSING' AND f.error IS NOT NULL) THEN"
    " (SELECT CASE WHEN b.replaces IS NOT NULL THEN f.src_file_id END FROM batch_file b"
    " WHERE b.batch = f.batch AND b.ingestion = f.ingestion AND b.file_path = f.file_path) END",
}


def _stored(schema: pa.Schema) -> pa.Schema:
    """How the tables keep it: `modified_at` comes from `modified_at_ns`, other instants in microseconds."""
    kinds = {
        field.name: INT if field.name == "modified_at" else AT for field in schema if pa.types.is_timestamp(field.type)
    }
    return pa.schema([field.with_type(kinds.get(field.name, field.type)) for field in schema])


class Files(Part):
    """Reading the files. Everything comes back in one query, as columns."""

    def slice(self, ingestion: str, *, now: datetime) -> pa.Table:
        """What a plan needs of every remembered file of one ingestion.

        Args:
            ingestion: Its name.
            now: The time, to tell live leases from dead ones.

        Returns:
            A table of `inventory.LEDGER_SLICE`, in no order.
        """
        if not self.exists:
            return empty(LEDGER_SLICE)
        columns = ", ".join(f"{_SLICE.get(name, 'f.' + name)} AS {name}" for name in LEDGER_SLICE.names)
        with self._database.reading() as session:
            found = session.read(
                _stored(LEDGER_SLICE),
                f"SELECT {columns} FROM processed_file f WHERE f.ingestion = :ingestion",
                ingestion=ingestion,
                now=self._database.lease_time(check_aware(now)),
            )
        return found.cast(LEDGER_SLICE)

    def files(self, ingestion: str, states: Sequence[str] = ()) -> pa.Table:
        """The remembered files of one ingestion in the given states (none given: all), by path.

        Returns:
            A table of `FILES`. Globs are matched by the caller.
        """
        where, values = "", {}
        if states:
            values = {f"state_{index}": state for index, state in enumerate(states)}
            where = f" AND f.state IN ({', '.join(':' + name for name in values)})"
        return self._files(f"f.ingestion = :ingestion{where}", ingestion=ingestion, **values)

    def next_attempt_at(self, *, now: datetime) -> datetime | None:
        """When the first of the failed files that still wait may be tried again; None: none waits."""
        if not self.exists:
            return None
        with self._database.reading() as session:
            [found] = session.rows(
                pa.schema([("at", AT)]),
                "SELECT min(next_attempt_at) AS at FROM processed_file"
                " WHERE state = 'FAILED' AND next_attempt_at > :now",
                now=check_aware(now),
            )
        at: datetime | None = found["at"]
        return at

    def find_path(self, file_path: str) -> pa.Table:
        """A table of `FILES`: what each ingestion remembers of one path."""
        return self._files("f.ingestion IN (SELECT name FROM ingestion) AND f.file_path = :path", path=file_path)

    def _files(self, where: str, **values: str) -> pa.Table:
        if not self.exists:
            return empty(FILES)
        names = ["f.modified_at_ns AS modified_at" if n == "modified_at" else f"f.{n}" for n in FILES.names]
        with self._database.reading() as session:
            found = session.read(
                _stored(FILES), f"SELECT {', '.join(names)} FROM processed_file f WHERE {where}", **values
            )
        return found.cast(FILES).sort_by([("ingestion", "ascending"), ("file_path", "ascending")])

    def versions(self, ingestion: str, *, file_path: str | None = None, batch_id: str | None = None) -> pa.Table:
        """Every version ever claimed of one ingestion, of one path or in one batch where given.

        Returns:
            A table of `VERSIONS` by src_file_id; state RELEASED: given back; UNDONE: rolled back.
        """
        if not self.exists:
            return empty(VERSIONS)
        where = "" if file_path is None else " AND b.file_path = :file_path"
        where += "" if batch_id is None else " AND b.batch = :batch"
        names = ["b.modified_at_ns AS modified_at" if n == "modified_at" else f"b.{n}" for n in VERSIONS.names]
        with self._database.reading() as session:
            found = session.read(
                _stored(VERSIONS),
                f"SELECT {', '.join(names)} FROM batch_file b WHERE b.ingestion = :ingestion{where}",
                ingestion=ingestion,
                file_path=file_path,
                batch=batch_id,
            )
        return found.cast(VERSIONS).sort_by("src_file_id")

    def counts(self, ingestion: str) -> pa.Table:
        """A table of `COUNTS`: files, bytes and rows in the table per state, by state.

        `in_table` counts the files of which a version is in the table, whatever became of a newer one or of the file
        itself, and those of which one may be: a batch of theirs was begun and nobody knows what came of it.
        """
        if not self.exists:
            return empty(COUNTS)
        with self._database.reading() as session:
            found = session.read(
                COUNTS,
                "SELECT state, count(*) AS files, CAST(sum(CASE WHEN src_file_id IS NOT NULL OR state = 'PROCESSING'"
                " THEN 1 ELSE 0 END) AS bigint) AS in_table, CAST(coalesce(sum(file_size), 0) AS bigint) AS size_bytes,"
                " CAST(coalesce(sum(rows), 0) AS bigint) AS rows FROM processed_file"
                " WHERE ingestion = :ingestion GROUP BY state",
                ingestion=ingestion,
            )
        return found.sort_by("state")
