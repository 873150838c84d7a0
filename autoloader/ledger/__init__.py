"""What is remembered of every file of every ingestion: SQLite by default, Postgres for teams.

The door of the room: values and Arrow tables go through it, never a row object of the database. Nobody in
here reads the clock, lists a storage or knows what a file holds.
"""

from autoloader.ledger.rows import (
    AuditRow,
    BatchRow,
    Claimed,
    IngestionRow,
    Lease,
    LeaseKind,
    ProjectRow,
    RunRow,
    SchemaVersionRow,
)
from autoloader.ledger.store import Ledger, open_ledger

__all__ = [
    "AuditRow",
    "BatchRow",
    "Claimed",
    "IngestionRow",
    "Lease",
    "LeaseKind",
    "Ledger",
    "ProjectRow",
    "RunRow",
    "SchemaVersionRow",
    "open_ledger",
]
