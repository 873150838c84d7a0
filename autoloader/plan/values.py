"""A plan as a value: what would be done to each ingestion, why, with what work, and what it would cost.

Holds no file: per-file dispositions travel beside the plan as one Arrow table of `inventory.DIFF`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from autoloader.cost import duration, money

FORMAT_VERSION: Final = "1.0"


class Action(StrEnum):
    """What a change does; the only thing that apply branches on."""

    CREATE = "create"
    UPDATE = "update"
    LOAD = "load"
    REBUILD = "rebuild"
    DROP = "drop"
    FORGET = "forget"
    ADOPT = "adopt"
    SCHEMA = "schema"


class Reason(StrEnum):
    """Why a change is in the plan. For people only: nothing branches on it."""

    NEW_INGESTION = "new_ingestion"
    NEW_FILES = "new_files"
    CHANGED_FILES = "changed_files"
    RETRY = "retry"
    LATE_FILES = "late_files"
    BACKFILL = "backfill"
    REINGEST_REQUESTED = "reingest_requested"
    REFRESH_REQUESTED = "refresh_requested"
    SPEC_CHANGED = "spec_changed"
    METADATA_CHANGED = "metadata_changed"
    SCHEMA_CHANGED = "schema_changed"
    SPEC_REMOVED = "spec_removed"
    RENAMED = "renamed"
    TABLE_MISSING = "table_missing"
    TABLE_EXISTS = "table_exists"
    FILES_DELETED = "files_deleted"


class Severity(StrEnum):
    """How serious a diagnostic is."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something to tell the reader; an ERROR makes the plan `errored`."""

    severity: Severity
    summary: str
    detail: str = ""
    file: str | None = None
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """A low, expected and high figure, low <= expected <= high. Dollars or minutes."""

    low: Decimal
    expected: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Impact:
    """The work and price of one change, or of a whole plan. None means unknown, never 0.

    Attributes:
        files_to_process: Files to load.
        files_skipped: Listed or remembered files that are not loaded now.
        files_by_disposition: Count per disposition value, zero counts left out, in the order of the enum.
        bytes_to_process: Stored (compressed) bytes to read, of source files or of data files to write anew.
        cost_usd: Dollars.
        duration_minutes: Minutes of wall clock.
        basis: One sentence: where the figures come from ("uncalibrated: …", "12 runs, median error 8 %").
        oldest_file_date: Earliest modification time (or path date) of the files to load, ISO date.
        newest_file_date: Latest one.
    """

    files_to_process: int = 0
    files_skipped: int = 0
    files_by_disposition: dict[str, int] = field(default_factory=dict)
    bytes_to_process: int = 0
    cost_usd: Spread | None = None
    duration_minutes: Spread | None = None
    basis: str | None = None
    oldest_file_date: str | None = None
    newest_file_date: str | None = None

    @property
    def works(self) -> bool:
        """Whether there is anything to load, or data files to write anew."""
        return self.files_to_process > 0 or self.bytes_to_process > 0 or self.duration_minutes is not None


@dataclass(frozen=True, slots=True)
class Operation:
    """One step that apply takes for a change, in order, as data."""

    operation: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """Why a change may not be applied: `by` names the guardrail, the protection, the status and so on."""

    by: str
    message: str


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan: actions on one ingestion in one lane.

    Attributes:
        ingestion: The ingestion's name.
        actions: In the order in which they are done.
        reason: Why; `detail` says it in one sentence that reads after "because".
        lane: The lane of its files; None where no file is loaded.
        before: What is recorded (spec as data, schema, snapshot id …), None for a create.
        after: What will be recorded, None for a forget or drop.
        symbol: One of `+ ~ -/+ - . <= = !`, derived from actions and `blocked`.
    """

    ingestion: str
    actions: tuple[Action, ...]
    reason: Reason
    detail: str
    lane: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    impact: Impact = field(default_factory=Impact)
    operations: tuple[Operation, ...] = ()
    blocked: Block | None = None

    @property
    def symbol(self) -> str:
        """The sign that stands before the line."""
        if self.blocked is not None:
            return "!"
        for action, sign in _SIGNS:
            if action in self.actions:
                return sign
        return "~"


_SIGNS: Final = (
    (Action.REBUILD, "-/+"),
    (Action.DROP, "-"),
    (Action.FORGET, "."),
    (Action.CREATE, "+"),
    (Action.ADOPT, "="),
    (Action.UPDATE, "~"),
    (Action.SCHEMA, "~"),
    (Action.LOAD, "<="),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One guardrail held against the plan.

    Attributes:
        id: `max_usd`, `max_bytes`, `max_files`, `max_duration` or `max_replaced_percent`.
        level: "warn" or "deny".
        limit: Dollars, bytes, files, seconds or percent.
        value: The plan's own, in the same unit; None = not known.
        passed: Whether the value is known and within the limit.
    """

    id: str
    level: str
    limit: Decimal
    value: Decimal | None
    passed: bool

    @property
    def limit_text(self) -> str:
        """The limit for people: `$50`, `2h05m`, `10.0 %`."""
        return _amount_text(self.id, self.limit)

    @property
    def value_text(self) -> str:
        """The value for people; `unknown` for None."""
        return "unknown" if self.value is None else _amount_text(self.id, self.value)


def _amount_text(guardrail: str, amount: Decimal) -> str:
    match guardrail:
        case "max_usd":
            return money(amount) if amount == 0 or amount >= Decimal("0.01") else f"${amount:f}"
        case "max_duration":
            return duration(float(amount))
        case "max_replaced_percent":
            return f"{amount:.1f} %"
        case "max_bytes":
            return f"{int(amount):,} bytes"
        case _:
            return f"{int(amount):,}"


@dataclass(frozen=True, slots=True)
class Basis:
    """What one ingestion's part of the plan was based on; apply compares it to tell a stale plan.

    Attributes:
        serial: The ingestion's ledger serial, 0 before it is recorded.
        spec_digest: Digest of the spec that was planned; empty where its spec is gone.
        snapshot_id: The table's current snapshot, None when there is no table or no snapshot.
        schema_id: The table's schema id, None when there is no table.
        table_uuid: The table's UUID, None when there is no table.
        files_digest: SHA-256 over the path, identity and disposition of every file that is to be loaded or
            whose rows are to leave; None where storage was not looked at.
    """

    ingestion: str
    serial: int
    spec_digest: str
    snapshot_id: int | None = None
    schema_id: int | None = None
    table_uuid: str | None = None
    files_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that DESIGN section 6 prints; `plan_id` and times do not enter the digest."""

    tool_version: str
    plan_id: str
    digest: str
    created_at: datetime
    expires_at: datetime | None
    lineage: str | None
    serial: int
    mode: str
    applyable: bool
    complete: bool
    errored: bool
    changes: tuple[Change, ...]
    totals: Impact
    basis: tuple[Basis, ...] = ()
    guardrails: tuple[Verdict, ...] = ()
    drift: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    format_version: str = FORMAT_VERSION
