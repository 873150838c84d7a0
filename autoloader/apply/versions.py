"""Which columns each file really has: one schema version per fingerprint that was ever met."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from autoloader.inventory import FileState

if TYPE_CHECKING:
    from datetime import datetime

    from autoloader.ledger import Ledger


@dataclass(slots=True)
class Versions:
    """The schema versions of one ingestion's files, read once a run and added to as new ones are met."""

    ledger: Ledger
    ingestion: str
    known: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, ledger: Ledger, ingestion: str) -> Versions:
        """Those that are known now."""
        rows = ledger.schema_versions(ingestion)
        return cls(ledger, ingestion, {row.fingerprint: row.version for row in rows if row.fingerprint is not None})

    def stamp(self, outcome: pa.Table, now: datetime) -> pa.Table:
        """Results of files with a column `schema_version`; fingerprints that were never met get a new version.

        Args:
            outcome: `loader.RESULT` rows of kind "file".
            now: The time.
        """
        rows = outcome.select(["fingerprint", "columns_json", "state"]).to_pylist()
        for row in rows:
            if row["state"] == FileState.SUCCESS and row["fingerprint"] and row["fingerprint"] not in self.known:
                self.known[row["fingerprint"]] = self._add(row, rows, now)
        versions = pa.array([self.known.get(row["fingerprint"] or "") for row in rows], pa.int64())
        return outcome.append_column("schema_version", versions)

    def _add(self, row: dict[str, str], rows: list[dict[str, str]], now: datetime) -> int:
        columns = json.loads(row["columns_json"] or "{}").get("columns") or []
        files = sum(1 for other in rows if other["fingerprint"] == row["fingerprint"])
        return self.ledger.add_schema_version(
            self.ingestion, columns, now=now, fingerprint=row["fingerprint"], affected_files=files
        )
