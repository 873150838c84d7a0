"""Which columns each file really has: one schema version per fingerprint that was ever met."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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

        A file without columns, such as an empty one, has no version.

        Args:
            outcome: `loader.RESULT` rows of kind "file".
            now: The time.
        """
        rows = outcome.select(["fingerprint", "columns_json", "state"]).to_pylist()
        for row in rows:
            new = row["fingerprint"] and row["fingerprint"] not in self.known
            if row["state"] == FileState.SUCCESS and new and (columns := _columns(row)):
                self.known[row["fingerprint"]] = self._add(row["fingerprint"], columns, rows, now)
        versions = pa.array([self.known.get(row["fingerprint"] or "") for row in rows], pa.int64())
        return outcome.append_column("schema_version", versions)

    def _add(self, fingerprint: str, columns: list[Any], rows: list[dict[str, str]], now: datetime) -> int:
        files = sum(1 for other in rows if other["fingerprint"] == fingerprint)
        return self.ledger.add_schema_version(
            self.ingestion, columns, now=now, fingerprint=fingerprint, affected_files=files
        )


def _columns(row: dict[str, str]) -> list[Any]:
    found: list[Any] = json.loads(row["columns_json"] or "{}").get("columns") or []
    return found
