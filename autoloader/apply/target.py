"""What is loaded where, and where loading has to stop."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from autoloader.apply.report import Counts

if TYPE_CHECKING:
    import pyarrow as pa

    from autoloader.lake import SchemaUpdate
    from autoloader.reader import ReadContract


@dataclass(frozen=True, slots=True)
class Target:
    """What is loaded where.

    Attributes:
        ingestion: The ingestion's name.
        lane: Its lane.
        table: The table's name in the catalog.
        branch: The branch to write to; None = main.
        reads: How its files are read; None = none is, rows only leave.
        plan_id: The plan that is applied.
        run_id: The run that the batches belong to.
        max_attempts: Failures of one file before it is quarantined.
        quarantine: Whether rejected rows are kept in `<table>__quarantine`.
        foreseen: Schema update that comes with the branch's swap.
        growth: Schema update that is committed with the batch in hand, because its files asked for it.
        back: File versions that had left the table and may be in it again, since somebody rolled it back behind our
            back, see `versions_back`. None = nobody did.
        appends: Whether a changed file's rows are added beside those of its older version (`on_change: append`).
    """

    ingestion: str
    lane: str
    table: str
    reads: ReadContract | None
    plan_id: str
    run_id: str
    branch: str | None = None
    max_attempts: int = 3
    quarantine: bool = True
    foreseen: SchemaUpdate | None = None
    growth: SchemaUpdate | None = None
    back: pa.Table | None = None
    appends: bool = False

    @property
    def contract(self) -> ReadContract:
        """How its files are read. Only for a target into which files are loaded."""
        if self.reads is None:
            raise ValueError(f"no file of {self.ingestion} is to be read")
        return self.reads

    @property
    def update(self) -> SchemaUpdate | None:
        """The schema update that data files are written for, whenever it is committed."""
        return self.foreseen or self.growth


@dataclass(frozen=True, slots=True)
class Budget:
    """Where loading has to stop. None = no bound.

    Attributes:
        limit_usd: Dollars that one run may spend, by its spec; what is left is for the next run.
        limit_seconds: Wall clock of one run, by its spec.
        all_usd: Dollars that the whole apply may spend.
        before_usd: What it has spent before.
        max_seconds: Wall clock that a run may use before the apply is stopped.
        usd_per_byte: What a byte costs that is loaded, or written anew because old rows leave its data file.
        usd_per_second: What a second of compute costs.
        usd_per_file: What the request for a file costs.
    """

    limit_usd: Decimal | None = None
    limit_seconds: float | None = None
    all_usd: Decimal | None = None
    before_usd: Decimal = Decimal(0)
    max_seconds: float | None = None
    usd_per_byte: Decimal | None = None
    usd_per_second: Decimal | None = None
    usd_per_file: Decimal | None = None

    def spent(self, counts: Counts, elapsed_s: float) -> Decimal | None:
        """Dollars so far, of the parts that the plan has priced but for listing; None where it could price nothing."""
        if self.usd_per_second is None and self.usd_per_byte is None:
            return None
        compute = (self.usd_per_second or Decimal(0)) * Decimal(str(elapsed_s))
        return (
            compute
            + (self.usd_per_byte or Decimal(0)) * (counts.bytes + counts.rewritten_bytes)
            + (self.usd_per_file or Decimal(0)) * counts.files
        )

    def limited(self, counts: Counts, elapsed_s: float) -> str | None:
        """Which limit of the spec is reached, as a sentence; None while there is room."""
        if self.limit_seconds is not None and elapsed_s >= self.limit_seconds:
            return f"limits.max_duration is reached after {elapsed_s:.0f} s"
        spent = self.spent(counts, elapsed_s)
        if self.limit_usd is not None and spent is not None and spent >= self.limit_usd:
            return f"limits.max_usd is reached: ${spent:.2f} of ${self.limit_usd}"
        return None

    def exceeded(self, counts: Counts, elapsed_s: float) -> str | None:
        """Which bound of the whole apply is reached, as a sentence; None while there is room."""
        if self.max_seconds is not None and elapsed_s >= self.max_seconds:
            return f"max_duration is reached after {elapsed_s:.0f} s"
        return self.used_up(self.spent(counts, elapsed_s))

    def used_up(self, spent: Decimal | None = Decimal(0)) -> str | None:
        """Whether the whole apply has spent what it may, as a sentence; None while it has not.

        Args:
            spent: Dollars spent here; None where no price is known.
        """
        if self.all_usd is None or spent is None:
            return None
        total = self.before_usd + spent
        return f"max_usd is reached: ${total:.2f} of ${self.all_usd}" if total >= self.all_usd and total > 0 else None
