"""What holds a change back: the status, the source, the table, a protection. Each with the way out."""

from __future__ import annotations

from typing import Final

import pyarrow.compute as pc

from autoloader.inventory import Disposition, FileState, Lane
from autoloader.plan import Block, Change
from autoloader.planner.loads import Case, files_text
from autoloader.planner.moved import moved_source
from autoloader.schema import ChangeKind, compare

WAITING: Final = frozenset({"draft", "paused", "not_due", "no-columns"})
"""Blocks behind which nothing is wrong: they refuse nothing, exit code 3 is not for them."""

_LOST: Final = frozenset({ChangeKind.ADD, ChangeKind.WIDEN, ChangeKind.RETYPE})
"""What would have to be done to a table so that it has the recorded columns again."""


def standing_block(case: Case) -> Block | None:
    """What holds back every load of an ingestion, the first that applies; None = nothing does."""
    for find in (_status, _table, moved_source, _source, _contract, _price, _columns):
        if (block := find(case)) is not None:
            return block
    return None


def _status(case: Case) -> Block | None:
    name = case.spec.name
    if case.spec.status == "paused":
        return Block("paused", f"{name} is paused; set status: active to load")
    if case.spec.status == "draft" and name not in case.asked.by_name:
        return Block("draft", f"{name} is a draft; it runs only when it is named: --select {name}")
    return None


def _table(case: Case) -> Block | None:
    """A table without a record or a record without its table: loading would double rows or hide a loss."""
    if case.asked.mode == "offline":
        return None
    name, table = case.spec.name, case.spec.destination.table
    if case.recorded is None:
        if case.table is None or case.table.is_empty:
            return None
        rows = "rows" if case.table.rows is None else f"{case.table.rows:,} rows"
        if case.table.has_lineage:
            return Block(
                "table-exists",
                f"{table} holds {rows} that autoloader loaded, but this state does not remember them:"
                f" loading would double them. Run: autoloader rebuild-ledger {name}",
            )
        return Block(
            "table-exists",
            f"{table} exists with {rows} and was not made by autoloader."
            f" To load into it, run: autoloader state adopt {name}",
        )
    if block := name_taken(case) or _behind(case):
        return block
    if case.refresh is not None or not _has_rows(case):
        return None
    if case.table is None and case.moving is not None:
        return None  # it is renamed before anything is loaded
    if case.table is None:
        return Block(
            "table-missing",
            f"{table} is gone although {files_text(loaded_count(case))} are recorded as loaded; or it is in another"
            f" catalog (another --env?). To load them again, run: autoloader plan --refresh {name}=full",
        )
    if case.recorded.table_uuid is not None and case.table.uuid != case.recorded.table_uuid:
        return Block(
            "table-replaced",
            f"{table} is another table than the one that was loaded: it was dropped and made anew, or this is another"
            " catalog (another --env?)."
            f" To fill it, run: autoloader plan --refresh {name}=full",
        )
    if changes := altered(case):
        return Block(
            "table-altered",
            f"the columns of {table} were altered by someone else: {', '.join(changes)}."
            f" Declare them so in schema.columns, or make the table anew: autoloader plan --refresh {name}=full",
        )
    return None


def name_taken(case: Case) -> Block | None:
    """`destination.table` names a table that is not the ingestion's own: not a row of it may be touched."""
    recorded, table, new = case.recorded, case.table, case.spec.destination.table
    if recorded is None or table is None or recorded.table in (None, new) or table.uuid == recorded.table_uuid:
        return None
    return Block("table-exists", f"{new} exists already, so {recorded.table} cannot take its name")


def _behind(case: Case) -> Block | None:
    """The table has loads that the state does not remember: an older copy, or not the only one."""
    table = case.moving or case.table
    if table is None or table.unknown == 0 or table.is_empty:
        return None
    name = case.recorded.table if case.recorded else None
    loads = "1 load" if table.unknown == 1 else f"{table.unknown:,} loads"
    return Block(
        "state-behind",
        f"{name or case.spec.destination.table} holds {loads} that this state does not remember: it is an older copy,"
        " another state loads into the table, too, or somebody took the table forward over a rollback."
        " To load again would double rows."
        f" Run: autoloader rebuild-ledger {case.spec.name}",
    )


def altered(case: Case) -> tuple[str, ...]:
    """What somebody else did to recorded columns of the table that the spec does not ask for; as phrases."""
    recorded = case.recorded.schema if case.recorded is not None else None
    if recorded is None or case.table is None:
        return ()
    wanted = {change.column for change in compare(case.table.schema, case.schema or recorded) if change.kind in _LOST}
    return tuple(
        f"{change.column} is gone" if change.before is None else f"{change.column} is {change.before} now"
        for change in compare(case.table.schema, recorded)
        if change.kind in _LOST and change.column in wanted
    )


def _has_rows(case: Case) -> bool:
    return loaded_count(case) > 0


def loaded_count(case: Case) -> int:
    """Remembered files whose rows are in the table."""
    if case.recorded is not None and case.recorded.loaded_files is not None:
        return case.recorded.loaded_files
    if case.files is None or case.files.num_rows == 0:
        return 0
    return int(pc.sum(pc.equal(case.files["known_state"], FileState.SUCCESS.value)).as_py() or 0)


def _source(case: Case) -> Block | None:
    """A source that is suddenly empty, or has lost more than half of what was known of it."""
    looked, name = case.looked, case.spec.name
    if looked is None or name in case.asked.confirmed:
        return None
    known, gone = known_and_gone(case)
    confirm = f"If that is right, confirm it: autoloader plan --confirm {name}"
    if known and looked.listed == 0 and gone:
        return Block(
            "source-empty",
            f"{case.spec.source.path} shows no file at all, but {known:,} are known. {confirm}",
        )
    if gone * 2 > known:
        return Block(
            "source-shrunk",
            f"{gone:,} of {known:,} known files are gone from {case.spec.source.path}. {confirm}",
        )
    return None


def known_and_gone(case: Case) -> tuple[int, int]:
    """Remembered files in scope that were there at the last look, and how many of them are gone now."""
    if case.files is None or case.files.num_rows == 0:
        return 0, 0
    state, disposition = case.files["known_state"], case.files["disposition"]
    before = pc.and_(pc.is_valid(state), pc.fill_null(pc.not_equal(state, FileState.MISSING.value), False))
    in_scope = pc.and_(before, pc.not_equal(disposition, Disposition.OUT_OF_SCOPE.value))
    gone = pc.and_(in_scope, pc.equal(disposition, Disposition.MISSING.value))
    return int(pc.sum(in_scope).as_py() or 0), int(pc.sum(gone).as_py() or 0)


def _contract(case: Case) -> Block | None:
    """`on_change: fail`, `on_delete: fail`; where both say no, both are told at once."""
    name, source = case.spec.name, case.spec.source
    changed = sum(g.replaced_files for g in case.groups if g.disposition == Disposition.CHANGED)
    gone = sum(g.files for g in case.groups if g.disposition == Disposition.MISSING and g.lane is not None)
    said = []
    if changed and source.on_change == "fail":
        said.append((
            "on_change",
            f"{files_text(changed)} replaced after loading, which on_change: fail does not allow. To replace their"
            " rows, set on_change: replace; to keep what was loaded, set on_change: ignore",
        ))  # fmt: skip
    if gone and source.on_delete == "fail":
        said.append((
            "on_delete",
            f"{files_text(gone)} gone after loading, which on_delete: fail does not allow. To keep their rows, set"
            " on_delete: keep; to take them out, set on_delete: delete_rows",
        ))  # fmt: skip
    if not said:
        return None
    return Block(
        said[0][0], ". ".join(message for _, message in said) + f". See: autoloader plan --full --select {name}"
    )


def _price(case: Case) -> Block | None:
    """`limits.max_usd` cannot hold where nothing has a price."""
    if case.spec.limits.max_usd is None:
        return None
    profile = case.settings.compute.get(case.spec.compute.live)
    if case.settings.prices.usd_per_gb is None and (profile is None or profile.usd_per_hour is None):
        return Block(
            "limits.max_usd",
            "limits.max_usd is set, but no price is known. Set prices.usd_per_gb in autoloader.yml",
        )
    return None


def _columns(case: Case) -> Block | None:
    """Nothing says what the columns are while every file is empty: a table cannot be made yet."""
    work = [group for group in case.groups if group.is_work]
    if case.schema is not None or not work or any(group.size_bytes for group in work):
        return None
    return Block(
        "no-columns",
        f"every file of {case.spec.name} is empty, so its columns are not known yet."
        " It loads with the first file that holds data, or once schema.columns are declared",
    )


def leaving(case: Case, change: Change) -> Block | None:
    """A change lets rows of files leave a table whose data files do not tell which rows they are."""
    mode = case.refresh[0] if case.refresh is not None else None
    own = [g for g in case.groups if g.lane == change.lane and (g.is_work or g.disposition == Disposition.MISSING)]
    files = sum(group.replaced_files for group in own)
    anew = mode == "new-only" or (mode == "full" and change.lane == Lane.REFRESH)  # all rows leave, whatever they are
    if not files or anew or case.looked is None:
        return None
    table, old = case.spec.destination.table, f"the old rows of {files_text(files)}"
    if case.looked.delete_files:
        return Block(
            "delete-files",
            f"{old} cannot leave {table}: another engine has deleted rows of it through delete files, which would be"
            " there again. Compact the table with that engine (Spark: CALL system.rewrite_data_files), then plan again",
        )
    there = case.moving or case.table
    if there is not None and not there.has_lineage:
        switch = "" if case.settings.lineage_columns else "set lineage_columns: true in autoloader.yml and "
        return Block(
            "lineage",
            f"{old} cannot leave {table}: it has no lineage columns, so nothing says which rows are a file's."
            " To keep the rows as they were loaded, set on_change: ignore and on_delete: keep; to make the table anew"
            f" with them, {switch}run: autoloader plan --refresh {case.spec.name}=full",
        )
    return None


def protection(case: Case) -> Block | None:
    """Nothing may drop or rebuild a protected table; the recorded protection counts as well as the spec's."""
    if case.spec.protect or (case.recorded is not None and case.recorded.protect):
        return Block(
            "protect",
            f"{case.spec.name} is protected: nothing may drop or rebuild {case.spec.destination.table}",
        )
    return None
