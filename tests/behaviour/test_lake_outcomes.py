"""What became of a batch: found although its snapshots are gone, shut out for good, or taken back twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.exceptions import CommitFailedException

from autoloader.errors import CommitConflictError, CommitUnknownError, RowsMovedError, ShutOutError
from autoloader.lake import Lake, keepsakes
from tests.behaviour import lake_kit as kit
from tests.behaviour.test_lake import FLIGHTS, load, rows_of

NAME = "raw.flights"


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Lake]:
    found = Lake(project_dir=tmp_path)
    found.create(NAME, FLIGHTS)
    yield found
    found.close()


def expire_all_but_the_last(lake: Lake) -> None:
    table = lake._catalog.load_table(NAME)
    current = table.current_snapshot()
    assert current is not None
    old = [s.snapshot_id for s in table.snapshots() if s.snapshot_id != current.snapshot_id]
    table.maintenance.expire_snapshots().by_ids(old).commit()


def count(lake: Lake) -> int:
    return len(kit.scan(lake, NAME))


def test_a_batch_is_found_although_its_snapshot_has_expired(local: Lake) -> None:
    snapshot = load(local, rows_of(1), "b1")
    load(local, rows_of(2), "b2")
    expire_all_but_the_last(local)
    state = local.table(NAME)
    assert state is not None
    assert [info.batch_id for info in state.history] == ["b2"]
    assert local.find_batch(NAME, "b1") == snapshot
    assert local.revoke(NAME, "b1") == snapshot
    data = kit.data_files(local, NAME, rows_of(1), "b1")
    assert local.commit(NAME, kit.batch(data, "b1")) == snapshot
    assert count(local) == 6


def test_a_batch_of_a_swapped_branch_is_found_although_its_snapshot_has_expired(local: Lake) -> None:
    served = load(local, rows_of(1), "b1")
    local.start_branch(NAME, "aside")
    data = kit.data_files(local, NAME, rows_of(2), "b2")
    local.commit(NAME, kit.batch(data, "b2", branch="aside"))
    assert local.find_batch(NAME, "b2") is None
    local.swap(NAME, "aside", expected_snapshot_id=served)
    load(local, rows_of(3), "b3")
    expire_all_but_the_last(local)
    assert local.find_batch(NAME, "b2") is not None
    assert local.find_batch(NAME, "b3") is not None
    assert count(local) == 6


def test_a_batch_that_was_rolled_back_does_not_count_as_committed(local: Lake) -> None:
    first = load(local, rows_of(1), "b1")
    load(local, rows_of(2), "b2")
    local.rollback(NAME, first)
    assert local.find_batch(NAME, "b2") is None
    assert local.revoke(NAME, "b2") is None


def test_taking_a_batch_back_twice_is_taking_it_back_once(local: Lake) -> None:
    assert local.revoke(NAME, "b1") is None
    assert local.revoke(NAME, "b1") is None
    state = local.table(NAME)
    assert state is not None
    assert len(state.history) == 1


def test_a_batch_that_was_taken_back_stays_so_when_the_history_is_gone(local: Lake) -> None:
    local.revoke(NAME, "b1")
    load(local, rows_of(2), "b2")
    expire_all_but_the_last(local)
    data = kit.data_files(local, NAME, rows_of(1), "b1")
    with pytest.raises(ShutOutError, match="may not be committed"):
        local.commit(NAME, kit.batch(data, "b1"))
    assert count(local) == 3


@pytest.mark.parametrize("how", ["swap", "rollback", "empty"])
def test_who_slept_through_a_change_that_had_the_table_alone_is_shut_out(local: Lake, how: str) -> None:
    """A worker is stopped right before its commit; meanwhile the table is rebuilt, rolled back or emptied."""
    first = load(local, rows_of(1), "b1")
    asleep = kit.batch(kit.data_files(local, NAME, rows_of(2), "b2"), "b2")  # token 7
    match how:
        case "swap":
            local.start_branch(NAME, "aside")
            local.swap(NAME, "aside", expected_snapshot_id=first, fencing_token=8)
        case "rollback":
            load(local, rows_of(3), "b3")
            local.rollback(NAME, first, fencing_token=8)
        case _:
            local.rollback(NAME, None, fencing_token=8)
    before = count(local)
    with pytest.raises(ShutOutError, match="fencing token is 7"):
        local.commit(NAME, asleep)
    assert count(local) == before


def test_rows_that_moved_are_another_conflict_than_being_shut_out(local: Lake) -> None:
    load(local, rows_of(1), "b1")
    data = kit.data_files(local, NAME, rows_of(2), "b2")
    with pytest.raises(RowsMovedError):
        local.commit(NAME, kit.batch(data, "b2", removed_files=("file:///gone.parquet",)))
    assert issubclass(RowsMovedError, CommitConflictError)
    assert not issubclass(RowsMovedError, ShutOutError)


def test_only_the_last_batches_are_kept_in_the_properties() -> None:
    properties: dict[str, str] = {}
    for number in range(keepsakes.KEPT + 5):
        properties |= keepsakes.with_committed(properties, [(f"b{number}", number)])
        properties |= keepsakes.with_revoked(properties, f"r{number}")
    assert keepsakes.committed(properties, "b4") is None
    assert keepsakes.committed(properties, "b5") == 5
    assert not keepsakes.is_revoked(properties, "r4")
    assert keepsakes.is_revoked(properties, f"r{keepsakes.KEPT + 4}")
    assert max(len(value) for value in properties.values()) < 2000


def test_a_fence_only_rises() -> None:
    properties = keepsakes.with_fence({}, 9)
    assert keepsakes.with_fence(properties, 3) == properties
    assert keepsakes.with_fence(properties, None) == {}
    assert keepsakes.fence(properties) == 9


@pytest.mark.parametrize("how", ["swap", "rollback", "empty"])
def test_who_slept_before_it_changed_the_table_alone_is_shut_out_as_well(local: Lake, how: str) -> None:
    first = load(local, rows_of(1), "b1")
    load(local, rows_of(2), "b2")
    local.start_branch(NAME, "aside")
    served = local.table(NAME)
    assert served is not None
    local.rollback(NAME, served.snapshot_id, fencing_token=9)  # meanwhile somebody else had it alone
    late = {
        "swap": lambda: local.swap(NAME, "aside", expected_snapshot_id=served.snapshot_id, fencing_token=8),
        "rollback": lambda: local.rollback(NAME, first, fencing_token=8),
        "empty": lambda: local.rollback(NAME, None, fencing_token=8),
    }
    with pytest.raises(ShutOutError, match="fencing token is 8"):
        late[how]()
    assert count(local) == 6


@pytest.mark.parametrize("how", ["rollback", "empty"])
def test_who_takes_rows_out_has_seen_them_all(local: Lake, how: str) -> None:
    """Whoever had it alone sleeps beyond its lease: loads that others make meanwhile raise no fence."""
    first = load(local, rows_of(1), "b1")
    load(local, rows_of(2), "b2")
    seen = local.table(NAME)
    load(local, rows_of(3), "b3")
    with pytest.raises(ShutOutError, match="written by somebody else meanwhile"):
        local.rollback(NAME, first if how == "rollback" else None, fencing_token=6, seen=seen)
    assert count(local) == 9
    local.rollback(NAME, first if how == "rollback" else None, fencing_token=6, seen=local.table(NAME))
    assert count(local) == (3 if how == "rollback" else 0)


def test_a_commit_that_took_place_and_whose_repetition_was_refused_keeps_its_files(
    local: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that repeats a request without an answer gets told of a conflict, with itself."""
    commit_table = local._catalog.commit_table

    def repeated(*arguments: Any) -> Any:
        commit_table(*arguments)
        raise CommitFailedException("the table was updated concurrently")

    monkeypatch.setattr(local._catalog, "commit_table", repeated)
    snapshot = load(local, rows_of(1), "b1")
    monkeypatch.undo()
    assert local.find_batch(NAME, "b1") == snapshot
    assert count(local) == 3


def test_a_conflict_after_which_the_catalog_is_away_deletes_nothing(
    local: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = local._catalog
    commit_table, load_table = catalog.commit_table, catalog.load_table
    asked: list[int] = []

    def loaded(name: str) -> Any:
        if asked:
            raise ConnectionError("the catalog is away")
        return load_table(name)

    def repeated(*arguments: Any) -> Any:
        commit_table(*arguments)
        asked.append(1)
        raise CommitFailedException("the table was updated concurrently")

    monkeypatch.setattr(catalog, "load_table", loaded)
    monkeypatch.setattr(catalog, "commit_table", repeated)
    with pytest.raises(CommitUnknownError):
        load(local, rows_of(1), "b1")
    monkeypatch.undo()
    assert local.find_batch(NAME, "b1") is not None
    assert count(local) == 3


def test_a_batch_for_a_branch_that_is_gone_is_shut_out(local: Lake) -> None:
    """Else the branch would begin anew, without the batches before, and be served like that."""
    load(local, rows_of(1), "b1")
    local.start_branch(NAME, "aside")
    local.commit(NAME, kit.batch(kit.data_files(local, NAME, rows_of(2), "b2"), "b2", branch="aside"))
    local.remove_branch(NAME, "aside")
    with pytest.raises(ShutOutError, match="is gone"):
        local.commit(NAME, kit.batch(kit.data_files(local, NAME, rows_of(3), "b3"), "b3", branch="aside"))
    assert count(local) == 3


# ------------------------------------------------------------------ histories that do not tell


def expire(lake: Lake, *numbers: int) -> None:
    """Those snapshots of the table go, counted from its first one."""
    table = lake._catalog.load_table(NAME)
    ids = [each.snapshot_id for each in table.snapshots()]
    table.maintenance.expire_snapshots().by_ids([ids[number] for number in numbers]).commit()


def compact(lake: Lake) -> None:
    """Every data file is written anew, as a maintenance job does it."""
    table = lake._catalog.load_table(NAME)
    table.overwrite(table.scan().to_arrow())


def tag(lake: Lake, number: int) -> None:
    table = lake._catalog.load_table(NAME)
    table.manage_snapshots().create_tag(table.snapshots()[number].snapshot_id, "daily").commit()


def test_a_batch_whose_snapshot_a_tag_keeps_behind_a_gap_in_the_history_is_found(local: Lake) -> None:
    snapshot = load(local, rows_of(1), "b1")
    load(local, rows_of(2), "b2")
    load(local, rows_of(3), "b3")
    tag(local, 0)
    expire(local, 1)
    state = local.table(NAME)
    assert state is not None
    assert [info.batch_id for info in state.history] == ["b3"]
    assert state.astray == frozenset()  # nobody has rolled it back
    assert local.find_batch(NAME, "b1") == snapshot
    assert local.revoke(NAME, "b1", src_file_ids=[1]) == snapshot
    data = kit.data_files(local, NAME, rows_of(1), "b1")
    assert local.commit(NAME, kit.batch(data, "b1")) == snapshot
    assert count(local) == 9


def test_a_batch_that_was_rolled_back_is_astray_although_the_history_has_a_gap(local: Lake) -> None:
    load(local, rows_of(1), "b1")
    second = load(local, rows_of(2), "b2")
    lost = load(local, rows_of(3), "b3")
    local.rollback(NAME, second)
    tag(local, 2)
    expire(local, 0)
    state = local.table(NAME)
    assert state is not None
    assert state.astray == {lost}
    assert local.find_batch(NAME, "b3") is None
    assert local.revoke(NAME, "b3", src_file_ids=[3]) is None


@pytest.mark.parametrize("gap", [False, True])
def test_a_batch_that_was_rolled_back_does_not_count_when_its_snapshot_has_expired(local: Lake, gap: bool) -> None:
    load(local, rows_of(1), "b1")
    second = load(local, rows_of(2), "b2")
    load(local, rows_of(3), "b3")
    local.rollback(NAME, second)
    expire(local, *((0, 2) if gap else (2,)))
    assert local.revoke(NAME, "b3", src_file_ids=[3]) is None
    with pytest.raises(ShutOutError):
        local.commit(NAME, kit.batch(kit.data_files(local, NAME, rows_of(3), "b3"), "b3"))
    assert count(local) == 6


@pytest.mark.parametrize("compacted", [False, True])
def test_rows_tell_of_a_batch_when_snapshots_and_properties_do_not(
    local: Lake, monkeypatch: pytest.MonkeyPatch, compacted: bool
) -> None:
    monkeypatch.setattr(keepsakes, "KEPT", 1)
    load(local, rows_of(1), "b1")
    load(local, rows_of(2), "b2")
    if compacted:
        compact(local)
    expire_all_but_the_last(local)
    state = local.table(NAME)
    assert state is not None
    assert local.find_batch(NAME, "b1") is None  # neither the history nor the properties know it
    assert local.revoke(NAME, "b1", src_file_ids=[1]) == state.snapshot_id
    assert local.revoke(NAME, "b3", src_file_ids=[3]) is None  # written, and never committed
    assert count(local) == 6


def test_a_batch_of_a_branch_is_found_although_its_snapshot_expired_before_it_was_served(local: Lake) -> None:
    local.start_branch(NAME, "aside")
    main = local.table(NAME)
    assert main is not None
    for number in (1, 2):
        data = kit.data_files(local, NAME, rows_of(number), f"b{number}")
        local.commit(NAME, kit.batch(data, f"b{number}", branch="aside"))
    expire(local, 1, 2)  # the first one of the branch and the first batch in it
    local.swap(NAME, "aside", expected_snapshot_id=main.snapshot_id, batch_ids=["b1", "b2"])
    assert local.revoke(NAME, "b1", src_file_ids=[1]) is not None
    assert local.find_batch(NAME, "b1") is not None
    assert count(local) == 6


def test_who_was_taken_back_so_long_ago_that_nothing_names_it_any_more_is_shut_out_still(
    local: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepsakes, "KEPT", 1)
    asleep = kit.batch(kit.data_files(local, NAME, rows_of(1), "b1"), "b1")  # token 7
    local.revoke(NAME, "b1", fencing_token=7)
    local.revoke(NAME, "b2", fencing_token=8)
    awake = kit.batch(kit.data_files(local, NAME, rows_of(3), "b3"), "b3")
    local.commit(NAME, replace(awake, fencing_token=9))
    expire_all_but_the_last(local)
    assert not keepsakes.is_revoked(local._catalog.load_table(NAME).properties, "b1")
    with pytest.raises(ShutOutError):
        local.commit(NAME, asleep)
    assert count(local) == 3
