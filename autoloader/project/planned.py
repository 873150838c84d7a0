"""A plan in hand: the value, its files and its specs, with every way to show and keep it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from autoloader.errors import SettingsError
from autoloader.inmemory import in_memory
from autoloader.inventory import WORK, Disposition
from autoloader.plan import Action, Plan
from autoloader.planner import WAITING
from autoloader.project.answer import rows_of
from autoloader.render import count_text, errors_text, plan_fragment, plan_html, plan_markdown, plan_text, step_name

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from autoloader.apply import Step
    from autoloader.spec import Prices


_VERSION: Final = ["ingestion", "file_path", "disposition", "size_bytes", "modified_at", "etag", "version_id"]
_BESIDE: Final = """
SELECT count(*) FROM now n WHERE n.disposition IN ({work}) AND NOT EXISTS (
  SELECT 1 FROM earlier e WHERE e.ingestion = n.ingestion AND e.file_path = n.file_path
    AND e.size_bytes = n.size_bytes AND e.etag IS NOT DISTINCT FROM n.etag
    AND e.version_id IS NOT DISTINCT FROM n.version_id AND (n.etag IS NOT NULL OR e.modified_at = n.modified_at))
"""


def unknown_ingestion(name: str, names: Iterable[str]) -> SettingsError:
    """The error of a name that is none of those."""
    import difflib

    there = sorted(names)
    near = difflib.get_close_matches(name, there, 1)
    return SettingsError(
        f"There is no ingestion {name!r}.",
        fix=f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(there) or 'none'}.",
    )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person asked of one plan or apply.

    Attributes:
        select: Names and `tag:T`; empty = all.
        due: Only ingestions whose schedule is due.
        refresh: Ingestion to refresh mode.
        reingest: Ingestion to selectors: globs, `state:FAILED`, `schema:3`, `batch:ID`, `dates:FROM..UNTIL`.
        fill: Ingestion to how columns that are added get values in the rows that are there: none, rescued or files.
        confirm: Ingestions whose source may be empty or have lost most of its files.
        refresh_only: Only what moved behind our back.
        max_usd: Refuse to spend more dollars.
        offline: Look at neither storage nor tables.
        resume: A run to go on with.
    """

    select: tuple[str, ...] = ()
    due: bool = False
    refresh: Mapping[str, str] = field(default_factory=dict)
    reingest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fill: Mapping[str, str] = field(default_factory=dict)
    confirm: tuple[str, ...] = ()
    refresh_only: bool = False
    max_usd: Decimal | None = None
    offline: bool = False
    resume: str | None = None

    @classmethod
    def of(
        cls,
        *,
        max_usd: float | Decimal | str | None = None,
        select: str | Iterable[str] | None = (),
        reingest: Mapping[str, str | Iterable[str]] | None = None,
        **others: Any,
    ) -> Self:
        """Wishes from the values of a command line or of a call; one text stands for itself, not for its letters.

        Raises:
            SettingsError: There is no such wish, or `max_usd` is no amount of dollars.
        """
        unknown = sorted(others.keys() - cls.__slots__)
        if unknown:
            raise SettingsError(f"A plan knows no wish {unknown[0]!r}.", fix=f"It knows: {', '.join(cls.__slots__)}.")
        for name in ("refresh", "fill"):
            if not isinstance(others.setdefault(name, {}), Mapping):
                raise SettingsError(f"{name} is {others[name]!r}.", fix=f'Write {name}={{"NAME": "…"}}.')
        if not isinstance(reingest or {}, Mapping):
            raise SettingsError(f"reingest is {reingest!r}.", fix='Write reingest={"NAME": ("2024/**",)}.')
        again = {name: _several(globs) for name, globs in (reingest or {}).items()}
        others["confirm"] = _several(others.get("confirm", ()))
        wishes = cls(select=_several(select), max_usd=_dollars(max_usd), reingest=again, **others)
        wishes.check_resume()
        return wishes

    def check_resume(self) -> None:
        """A run says itself which ingestion is meant; only its rebuild can be asked for again beside it.

        Raises:
            SettingsError: Something else is wished.
        """
        said = [f"--{word}" for word in ("select", "due", "reingest", "fill") if getattr(self, word)]
        if self.resume is not None and said:
            raise SettingsError(
                f"--resume goes on with a run, and {' and '.join(said)} cannot be said with it.",
                fix="Resume first, and ask for the rest in an apply of its own:\n"
                f"  autoloader apply --resume {self.resume}",
            )


def _several(texts: str | Iterable[str] | None) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts or ())


def _dollars(amount: float | Decimal | str | None) -> Decimal | None:
    if amount is None:
        return None
    try:
        dollars = Decimal(str(amount).removesuffix(".0"))
    except InvalidOperation:
        dollars = Decimal("nan")
    if not dollars.is_finite() or dollars < 0:
        raise SettingsError(f"--max-usd {amount} is not an amount of dollars.", fix="Write a number like 50 or 12.50.")
    return dollars


@dataclass(frozen=True, slots=True)
class Files:
    """Files with their dispositions, as a table that shows itself in a notebook."""

    table: pa.Table

    def arrow(self) -> pa.Table:
        """The rows as Arrow, `inventory.DIFF`."""
        return self.table

    def df(self) -> pd.DataFrame:
        """The rows as a pandas frame."""
        return self.table.to_pandas()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def _repr_html_(self) -> str:
        from autoloader.render import table_html

        columns = ["ingestion", "key", "disposition", "reason", "size_bytes", "modified_at"]
        more = f"<p>{count_text(len(self))} files</p>"
        return table_html(rows_of(self.table.slice(0, 50).select(columns)), columns) + more


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with the files and specs that belong to it.

    Attributes:
        plan: The value.
        table: Every file's disposition, `inventory.DIFF`.
        specs: The specs that it was made from, as data, by name.
        saved: Whether it was read from disk.
        recovered: What was settled of earlier runs right before it was made.
        prices: The price book that it was priced with; None = read from disk.
        folder: The folder of specs, as it was named; None = it is not known.
    """

    plan: Plan
    table: pa.Table
    specs: Mapping[str, dict[str, Any]]
    saved: bool = False
    recovered: tuple[Step, ...] = ()
    prices: Prices | None = None
    folder: str | None = None

    @property
    def refused(self) -> bool:
        """Whether a guardrail or a protection stands in the way (exit 3)."""
        denied = any(not verdict.passed and verdict.level == "deny" for verdict in self.plan.guardrails)
        blocked = any(c.blocked is not None and c.blocked.by not in WAITING for c in self.plan.changes)
        return denied or blocked

    @property
    def untouched(self) -> str:
        """What is to be said where the plan is not carried out."""
        if not self.recovered:
            return "Nothing was changed."
        settled = ", ".join(dict.fromkeys(f"{step.ingestion}: {step_name(step.operation)}" for step in self.recovered))
        return f"What an earlier apply had left was settled ({settled}); nothing else was changed."

    def destructive(self) -> list[tuple[str, str]]:
        """Per ingestion that loses rows or its table: its name and one sentence that says what goes."""
        found = []
        for change in self.plan.changes:
            if change.blocked is not None:
                continue
            table = str((change.before or {}).get("table", "its table"))
            if Action.DROP in change.actions:
                found.append((change.ingestion, f"Table {table} will be destroyed."))
            elif Action.REBUILD in change.actions:
                found.append((change.ingestion, f"Table {table} will be rebuilt: {change.detail}."))
        return found

    def files(self, name: str | None = None) -> Files:
        """The files of one ingestion, or of all.

        Raises:
            SettingsError: The plan has none of that name.
        """
        if name is None:
            return Files(self.table)
        import pyarrow.compute as pc

        names = {basis.ingestion for basis in self.plan.basis}
        if name not in names:
            raise unknown_ingestion(name, names)
        return Files(self.table.filter(pc.equal(self.table["ingestion"], name)))

    def files_beside(self, earlier: Planned) -> int:
        """Files to load, now or later, that an earlier plan has not seen, or not with these bytes."""
        with in_memory() as con:
            con.register("now", self.table.select(_VERSION))
            con.register("earlier", earlier.table.select(_VERSION))
            words = ", ".join(f"'{word}'" for word in sorted({*WORK, Disposition.DEFERRED}))
            return int(con.execute(_BESIDE.format(work=words)).fetchall()[0][0])

    def to_json(self) -> dict[str, Any]:
        """The plan's JSON, DESIGN section 6."""
        from autoloader.plan import to_json

        return to_json(self.plan)

    def save(self, target: str | Path) -> None:
        """Write the saved plan: a folder, or an archive when the name ends in `.zip`."""
        from autoloader import savedplan

        savedplan.save(Path(target), self.plan, self.table, self.specs, self.prices, self.folder)

    def save_json(self, target: str | Path) -> None:
        """Write the JSON alone.

        Raises:
            SettingsError: It cannot be written there.
        """
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False, default=str)
        try:
            Path(target).write_text(text, encoding="utf-8", errors="surrogatepass")
        except OSError as error:
            raise SettingsError(f"The plan's JSON cannot be written to {target}.", why=str(error)) from error

    def text(self, *, length: str = "default", color: bool = False, width: int = 100) -> str:
        """The plan for a terminal."""
        return plan_text(self.plan, length=length, files=self.table, color=color, width=width)

    def errors(self, *, color: bool = False) -> str:
        """The plan's errors alone, for a terminal; empty where there are none."""
        return errors_text(self.plan, color=color)

    def markdown(self) -> str:
        """The plan for a pull request."""
        return plan_markdown(self.plan, files=self.table)

    def html(self) -> str:
        """The plan as one page."""
        return plan_html(self.plan, files=self.table)

    def _repr_html_(self) -> str:
        return plan_fragment(self.plan, files=self.table)

    def __repr__(self) -> str:
        return self.text(length="summary")
