"""What every ledger does, on SQLite and on a real Postgres."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from autoloader.errors import FencedError, LedgerError, LockBusyError, PlanStaleError
from autoloader.inventory import INSTANT, LEDGER_SLICE
from autoloader.ledger import IngestionRow, Ledger, open_ledger
from tests.behaviour.ledger_kit import MTIME_NS, NOW, at, diff, flights, load, paths, remembered, results


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a folder/state %20.db"
    found: str = request.getfixturevalue("fresh_postgres_url")
    return found


@pytest.fixture
def ledger(url: str) -> Ledger:
    ledger = open_ledger(url, create=True, busy_timeout_s=5)
    flights(ledger)
    return ledger


# ------------------------------------------------------------------ the state itself


def test_a_state_that_is_not_made_answers_everything_with_nothing(url: str) -> None:
    ledger = open_ledger(url)
    assert (ledger.exists, ledger.lineage, ledger.serial) == (False, None, 0)
    assert ledger.ingestions() == ledger.runs() == ledger.leases() == ledger.audit() == ()
    assert ledger.slice("flights", now=NOW).equals(LEDGER_SLICE.empty_table())
    assert ledger.files("flights").num_rows == ledger.counts("flights").num_rows == 0
    assert ledger.requests_done("flights") == frozenset()
    assert ledger.unfinished(now=NOW) == ledger.batches() == ()
    with pytest.raises(LedgerError, match="no state"):
        ledger.acquire("flights", "load", "me", 60, NOW)


def test_init_twice_keeps_the_lineage(url: str) -> None:
    first = open_ledger(url, create=True)
    lineage = first.lineage
    first.init()
    assert open_ledger(url).lineage == lineage
    assert lineage


def test_two_inits_at_once_make_one_state(url: str) -> None:
    ledgers = [open_ledger(url) for _ in range(2)]
    failures: list[BaseException] = []

    def make(ledger: Ledger) -> None:
        try:
            ledger.init()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert ledgers[0].lineage == ledgers[1].lineage


def test_a_state_of_a_newer_release_is_refused(ledger: Ledger, url: str) -> None:
    with ledger._database.writing() as session:
        session.execute("UPDATE project SET version = '9999'")
    with pytest.raises(LedgerError, match="newer release"):
        open_ledger(url)


def test_the_migrations_arrive_at_the_tables(ledger: Ledger) -> None:
    import sqlalchemy as sa
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from autoloader.ledger import base, migrate
    from autoloader.ledger.tables import Table

    engine = migrate._engine(ledger._database.address, 5)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Table.metadata) == []
            found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
            assert found == base.VERSION
    finally:
        engine.dispose()


# ------------------------------------------------------------------ ingestions


def test_an_ingestion_comes_back_as_it_was_put(ledger: Ledger) -> None:
    row = IngestionRow(
        "weather", {"name": "weather", "tags": ["é", "☃"]}, "d", "m", "s", "paused", True, "db.weather", "uuid",
        [{"name": "a", "type": "int"}], {"delimiter": "\t"}, {"slices": []}, {"x": 1},
    )  # fmt: skip
    put = ledger.put_ingestion(row, now=NOW)
    assert put == ledger.ingestion("weather") == replace(row, serial=1, created_at=NOW, updated_at=NOW)
    assert put.created_at is not None
    assert put.created_at.tzinfo is UTC
    assert [row.name for row in ledger.ingestions()] == ["flights", "weather"]


def test_serials_rise_with_changes_and_only_with_changes(ledger: Ledger) -> None:
    before = ledger.serial
    row = ledger.ingestion("flights")
    assert row is not None
    assert ledger.put_ingestion(row, now=at(1)) == row
    assert ledger.serial == before
    changed = ledger.put_ingestion(replace(row, status="paused"), now=at(2))
    assert (changed.serial, changed.updated_at, ledger.serial) == (row.serial + 1, at(2), before + 1)


def test_a_change_based_on_an_old_serial_is_stale(ledger: Ledger) -> None:
    row = ledger.ingestion("flights")
    assert row is not None
    ledger.put_ingestion(replace(row, status="paused"), now=NOW, expected_serial=row.serial)
    with pytest.raises(PlanStaleError):
        ledger.put_ingestion(replace(row, status="draft"), now=NOW, expected_serial=row.serial)
    with pytest.raises(PlanStaleError):
        ledger.put_ingestion(row, now=NOW, expected_serial=0)


def test_a_rename_takes_the_history_along(ledger: Ledger) -> None:
    load(ledger, diff(paths(3)))
    ledger.record_request("flights", "refresh", "r1", now=NOW)
    ledger.rename("flights", "departures", now=NOW)
    assert [row.name for row in ledger.ingestions()] == ["departures"]
    assert ledger.slice("departures", now=NOW).num_rows == 3
    assert ledger.slice("flights", now=NOW).num_rows == 0
    assert len(ledger.runs("departures")) == len(ledger.batches(ingestion="departures")) == 1
    assert ledger.requests_done("departures") == {("refresh", "r1")}
    with pytest.raises(LedgerError, match="no ingestion"):
        ledger.rename("flights", "x", now=NOW)


def test_forgetting_removes_the_history_and_keeps_the_audit(ledger: Ledger) -> None:
    load(ledger, diff(paths(3)))
    assert ledger.forget("flights", now=NOW, actor="ann") == 3
    assert ledger.ingestions() == ()
    assert ledger.slice("flights", now=NOW).num_rows == 0
    assert ledger.runs("flights") == ()
    last = ledger.audit()[-1]
    assert (last.action, last.ingestion, last.actor, last.detail) == ("forgotten", "flights", "ann", {"files": 3})


def test_numbers_of_versions_go_on_rising_after_a_forget(ledger: Ledger) -> None:
    load(ledger, diff(paths(3)))
    ledger.forget("flights", now=NOW)
    flights(ledger)
    _, claimed = load(ledger, diff(paths(3)))
    assert min(claimed.files["src_file_id"].to_pylist()) > 3


def test_requests_are_remembered_once(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.record_request("flights", "reingest", "INC-812", now=NOW)
    assert ledger.requests_done("flights") == {("reingest", "INC-812")}
    assert ledger.requests_done("other") == frozenset()


def test_schema_versions_count_up_and_repeat_nothing(ledger: Ledger) -> None:
    one, two = [{"name": "a", "type": "int"}], [{"name": "a", "type": "long"}]
    numbers = [
        ledger.add_schema_version("flights", schema, now=NOW, affected_files=3, resolution_type="auto_merge")
        for schema in (one, one, two, one)
    ]
    assert numbers == [1, 1, 2, 3]
    assert [row.schema for row in ledger.schema_versions("flights")] == [one, two, one]


# ------------------------------------------------------------------ claim and record


def test_a_loaded_file_is_remembered_to_the_nanosecond(ledger: Ledger) -> None:
    _, claimed = load(ledger, diff(paths(1)))
    row = remembered(ledger)[paths(1)[0]]
    assert row["modified_at"] == MTIME_NS + 1
    assert (row["size_bytes"], row["etag"], row["state"], row["rows"]) == (101, "etag-1", "SUCCESS", 10)
    assert row["src_file_id"] == claimed.files["src_file_id"][0].as_py()
    assert (row["batch_id"], row["claimed"], row["error"]) == (claimed.batch_id, False, None)
    assert row["processed_at"] == int(NOW.timestamp()) * 10**9 + 123_456_000
    assert ledger.files("flights")["modified_at"].cast(pa.int64()).to_pylist() == [MTIME_NS + 1]


@pytest.mark.parametrize(
    "name", ["a b#+?&='\"\\\n☃.csv", "x[1]{2}*:%_.csv", ":now $1 ?1.csv", "s3://b/'; DROP TABLE run;--"]
)
def test_hostile_paths_are_only_text(ledger: Ledger, name: str) -> None:
    load(ledger, diff([name]))
    assert set(remembered(ledger)) == {name}
    assert ledger.find_path(name)["ingestion"].to_pylist() == ["flights"]
    assert ledger.versions("flights", file_path=name).num_rows == 1
    assert ledger.mark_missing("flights", [name], now=NOW) == 1


def test_while_claimed_a_file_is_processing_and_held(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    claimed = ledger.claim("run", "flights", "live", diff(paths(2)), lease, now=NOW)
    assert {(row["state"], row["claimed"]) for row in remembered(ledger).values()} == {("PROCESSING", True)}
    assert {row["claimed"] for row in remembered(ledger, now=at(61)).values()} == {False}
    again = ledger.claim("run", "flights", "live", diff(paths(3)), lease, now=NOW)
    assert again.files["file_path"].to_pylist() == paths(1, 2)
    assert again.left_out.to_pylist() == [{"file_path": path, "reason": "another batch holds it"} for path in paths(2)]
    assert claimed.files["src_file_id"].to_pylist() < again.files["src_file_id"].to_pylist()


def test_a_claim_keeps_the_order_and_the_columns_of_its_input(ledger: Ledger) -> None:
    names = list(reversed(paths(50)))
    _, claimed = load(ledger, diff(names))
    assert claimed.files["file_path"].to_pylist() == names
    assert claimed.files.drop_columns("src_file_id").equals(diff(names))
    numbers = claimed.files["src_file_id"].to_pylist()
    assert numbers == sorted(numbers)


def test_a_dead_claim_is_not_taken_before_it_is_settled(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    ledger.claim("run", "flights", "live", diff(paths(2)), lease, now=NOW)
    later = ledger.acquire("flights", "load", "you", 60, at(100))
    taken = ledger.claim("run", "flights", "live", diff(paths(2), "retry"), later, now=at(100))
    assert taken.files.num_rows == 0
    assert ledger.batches("run")[0].files == 2


def test_the_same_plan_claimed_twice_loads_nothing_twice(ledger: Ledger) -> None:
    load(ledger, diff(paths(2)))
    _, again = load(ledger, diff(paths(2)))
    assert again.files.num_rows == 0
    assert set(again.left_out["reason"].to_pylist()) == {"it was loaded since the plan"}
    changed = diff(paths(2), "changed", version=2, replaces=[1, 2])
    load(ledger, changed)
    _, again = load(ledger, changed)
    assert again.files.num_rows == 0


def test_appending_a_changed_version_twice_is_left_out_too(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)))
    changed = diff(paths(1), "changed", version=2)
    _, first = load(ledger, changed)
    _, second = load(ledger, changed)
    assert (first.files.num_rows, second.files.num_rows) == (1, 0)


def test_a_reingest_claims_the_version_that_it_is_to_replace_and_no_other(ledger: Ledger) -> None:
    load(ledger, diff(paths(2)))
    _, again = load(ledger, diff(paths(2), "reingest", replaces=[1, 2]))
    assert again.files.num_rows == 2
    _, late = load(ledger, diff(paths(2), "reingest", replaces=[1, 2]))
    assert late.files.num_rows == 0


@pytest.mark.parametrize("disposition", ["reingest", "changed", "new", "retry", "schema"])
def test_work_on_a_file_without_rows_is_left_out_once_somebody_else_has_loaded_it(
    ledger: Ledger, disposition: str
) -> None:
    """Two workers plan it; the second would add its rows once more, since it means to replace none."""
    load(ledger, diff(paths(1)), "FAILED")
    load(ledger, diff(paths(1), "retry", retry_count=1))
    planned = diff(paths(1), disposition, version=2, retry_count=1)
    planned = planned.set_column(planned.column_names.index("known_state"), "known_state", pa.array(["FAILED"]))
    _, late = load(ledger, planned)
    assert late.files.num_rows == 0
    assert "since the plan" in late.left_out["reason"][0].as_py()


def test_a_failed_file_backs_off_and_is_set_aside_in_the_end(ledger: Ledger) -> None:
    path = paths(1)[0]
    waits = []
    for attempt in range(3):
        kind = "new" if attempt == 0 else "retry"
        load(ledger, diff([path], kind, retry_count=attempt), "FAILED", now=at(attempt * 1000))
        row = remembered(ledger)[path]
        waits.append(row["next_attempt_at"])
        assert (row["retry_count"], row["error"], row["src_file_id"]) == (attempt + 1, "it is broken", None)
    base = int(NOW.timestamp()) * 10**9 + 123_456_000
    assert waits == [base + 1 * 10**9, base + 1002 * 10**9, None]
    assert remembered(ledger)[path]["state"] == "QUARANTINED"


def test_a_replaced_file_starts_afresh(ledger: Ledger) -> None:
    path = paths(1)[0]
    load(ledger, diff([path]), "FAILED")
    load(ledger, diff([path], "changed", version=2), "FAILED")
    assert remembered(ledger)[path]["retry_count"] == 1


def test_a_failed_replacement_leaves_the_old_version_in_the_table(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)))
    load(ledger, diff(paths(1), "changed", version=2, replaces=[1]), "FAILED")
    row = remembered(ledger)[paths(1)[0]]
    assert (row["state"], row["etag"], row["src_file_id"], row["rows"]) == ("FAILED", "etag-2", 1, 10)


def test_a_stale_retry_is_left_out(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)), "FAILED")
    load(ledger, diff(paths(1), "retry", retry_count=1), "FAILED")
    _, stale = load(ledger, diff(paths(1), "retry", retry_count=1), "FAILED")
    assert stale.left_out["reason"].to_pylist() == ["it was tried since the plan"]


def test_moved_files_are_what_they_were_before(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)))
    before = ledger.files("flights")
    load(ledger, diff(paths(1), "changed", version=2, replaces=[1]), "MISSING")
    load(ledger, diff(paths(1, 1)), "MISSING")
    assert ledger.files("flights").equals(before)
    assert ledger.versions("flights")["state"].to_pylist() == ["SUCCESS", "MISSING", "MISSING"]


def test_deleted_rows_leave_a_missing_file(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)))
    load(ledger, diff(paths(1), "missing", replaces=[1]), "DELETED")
    row = remembered(ledger)[paths(1)[0]]
    assert (row["state"], row["src_file_id"], row["rows"]) == ("MISSING", None, None)


def test_files_without_a_result_are_given_back(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    claimed = ledger.claim("run", "flights", "live", diff(paths(4)), lease, now=NOW)
    ledger.record(claimed.batch_id, results(claimed).slice(0, 1), 7, lease=lease, now=NOW)
    assert set(remembered(ledger)) == set(paths(1))
    assert ledger.batches("run")[0].files == 1


def test_release_restores_exactly_what_was_before(ledger: Ledger) -> None:
    load(ledger, diff(paths(3)))
    load(ledger, diff(paths(2, 3)), "FAILED")
    ledger.mark_reload("flights", now=NOW, paths=paths(1))
    before = ledger.files("flights")
    lease = ledger.acquire("flights", "load", "me", 60, at(9))
    todo = pa.concat_tables(
        [
            diff(paths(3), "changed", version=2, replaces=[1, 2, 3]),
            diff(paths(2, 3), "retry", retry_count=1),
            diff(paths(5, 100)),
        ]
    )
    claimed = ledger.claim("run", "flights", "live", todo, lease, now=at(9))
    assert claimed.files.num_rows == 10
    assert ledger.release(claimed.batch_id, lease=lease, now=at(9)) == 10
    assert ledger.files("flights").equals(before)
    assert ledger.release(claimed.batch_id, lease=lease, now=at(9)) == 0
    with pytest.raises(LedgerError, match="released already"):
        ledger.record(claimed.batch_id, results(claimed), 1, lease=lease, now=at(9))


def test_recording_twice_changes_nothing(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    claimed = ledger.claim("run", "flights", "live", diff(paths(2)), lease, now=NOW)
    ledger.record(claimed.batch_id, results(claimed, "FAILED"), None, lease=lease, now=NOW)
    before = ledger.files("flights")
    ledger.record(claimed.batch_id, results(claimed, "FAILED"), None, lease=lease, now=at(5))
    assert ledger.files("flights").equals(before)
    with pytest.raises(LedgerError, match="recorded already"):
        ledger.release(claimed.batch_id, lease=lease, now=NOW)


def test_an_unknown_result_state_changes_nothing(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    claimed = ledger.claim("run", "flights", "live", diff(paths(2)), lease, now=NOW)
    with pytest.raises(LedgerError, match="state"):
        ledger.record(claimed.batch_id, results(claimed, "FINE"), 1, lease=lease, now=NOW)
    assert {row["state"] for row in remembered(ledger).values()} == {"PROCESSING"}


def test_an_empty_claim_is_no_batch(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    claimed = ledger.claim("run", "flights", "live", diff([]), lease, now=NOW)
    assert (claimed.files.num_rows, claimed.left_out.num_rows) == (0, 0)
    assert ledger.batches("run") == ()


# ------------------------------------------------------------------ leases


def test_loads_share_and_alone_excludes(ledger: Ledger) -> None:
    first = ledger.acquire("flights", "load", "a", 60, NOW)
    second = ledger.acquire("flights", "load", "b", 60, NOW)
    assert second.token > first.token
    with pytest.raises(LockBusyError, match="locked by a"):
        ledger.acquire("flights", "alone", "c", 60, NOW)
    ledger.acquire("weather", "alone", "c", 60, NOW)
    ledger.unlock(first)
    ledger.unlock(second)
    ledger.acquire("flights", "alone", "c", 60, NOW)
    for kind in ("load", "alone"):
        with pytest.raises(LockBusyError):
            ledger.acquire("flights", kind, "d", 60, NOW)  # type: ignore[arg-type]


def test_a_lease_whose_time_is_up_is_taken_over_and_its_holder_fenced(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "sleeper", 60, NOW)
    claimed = ledger.claim("run", "flights", "live", diff(paths(1)), lease, now=NOW)
    assert ledger.unfinished(now=at(59)) == ()
    (batch,) = ledger.unfinished("flights", now=at(600))
    with pytest.raises(LockBusyError):
        ledger.take_over(batch.batch_id, "rescuer", 60, at(30))
    mine = ledger.take_over(batch.batch_id, "rescuer", 60, at(600))
    assert mine.token > lease.token
    calls = (
        lambda: ledger.heartbeat(lease, at(600)),
        lambda: ledger.check_lease(lease),
        lambda: ledger.written(claimed.batch_id, b"", lease=lease, now=at(600)),
        lambda: ledger.record(claimed.batch_id, results(claimed), 1, lease=lease, now=at(600)),
        lambda: ledger.release(claimed.batch_id, lease=lease, now=at(600)),
        lambda: ledger.claim("run", "flights", "live", diff(paths(1, 9)), lease, now=at(600)),
    )
    for call in calls:
        with pytest.raises(FencedError):
            call()
    with pytest.raises(LockBusyError):
        ledger.take_over(batch.batch_id, "second rescuer", 60, at(601))
    ledger.record(claimed.batch_id, results(claimed), 1, lease=mine, now=at(601))
    assert {row["state"] for row in remembered(ledger).values()} == {"SUCCESS"}


def test_who_has_lost_a_lease_changes_nothing_under_it(ledger: Ledger) -> None:
    run_id, _ = load(ledger, diff(paths(2)))
    lease = ledger.acquire("flights", "alone", "sleeper", 60, NOW)
    mine = ledger.under(lease)
    assert mine.mark_reload("flights", now=at(1), paths=paths(1)) == 1
    row = mine.ingestion("flights")
    assert row is not None
    ledger.acquire("flights", "load", "another", 60, at(600))
    before, serial = remembered(ledger), ledger.serial
    found = pa.table({"file_path": paths(1), "src_file_id": [1], "rows": [10]})
    calls = (
        lambda: mine.put_ingestion(replace(row, protect=True), now=at(600)),
        lambda: mine.amend_ingestion("flights", lambda row: replace(row, protect=True), now=at(600)),
        lambda: mine.rename("flights", "others", now=at(600)),
        lambda: mine.forget("flights", now=at(600)),
        lambda: mine.mark_reload("flights", now=at(600)),
        lambda: mine.clear_rows("flights", run_id, now=at(600)),
        lambda: mine.restore_to_run("flights", run_id, now=at(600)),
        lambda: mine.rebuild("flights", found, now=at(600)),
        lambda: mine.record_request("flights", "refresh", "again", now=at(600)),
        lambda: mine.claim(run_id, "flights", "live", diff(paths(1, 9)), lease, now=at(600)),
    )
    for call in calls:
        with pytest.raises(FencedError):
            call()
    assert (remembered(ledger), ledger.serial, mine.ingestion("flights")) == (before, serial, row)


def test_files_are_claimed_under_a_lease_that_every_change_checks(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "loader", 60, NOW)
    mine = ledger.under(lease)
    claimed = mine.claim("run", "flights", "live", diff(paths(3)), lease, now=NOW)
    mine.record(claimed.batch_id, results(claimed), 1, lease=lease, now=NOW)
    assert {row["state"] for row in remembered(ledger).values()} == {"SUCCESS"}


def test_a_dead_batch_is_left_to_whoever_has_the_ingestion_alone(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "sleeper", 60, NOW)
    claimed = ledger.claim("run", "flights", "live", diff(paths(1)), lease, now=NOW)
    ledger.acquire("flights", "alone", "builder", 600, at(100))
    with pytest.raises(LockBusyError, match="locked by builder"):
        ledger.take_over(claimed.batch_id, "rescuer", 60, at(101))
    assert ledger.take_over(claimed.batch_id, "builder", 60, at(102)).token > lease.token


def test_another_live_lease_may_not_settle_somebody_elses_batch(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "a", 60, NOW)
    other = ledger.acquire("flights", "load", "b", 60, NOW)
    claimed = ledger.claim("run", "flights", "live", diff(paths(1)), lease, now=NOW)
    with pytest.raises(FencedError):
        ledger.release(claimed.batch_id, lease=other, now=NOW)


def test_a_lease_on_another_ingestion_claims_nothing(ledger: Ledger) -> None:
    lease = ledger.acquire("weather", "load", "a", 60, NOW)
    with pytest.raises(FencedError):
        ledger.claim("run", "flights", "live", diff(paths(1)), lease, now=NOW)


def test_heartbeats_keep_a_lease_alive_even_when_late(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "a", 60, NOW)
    lease = ledger.heartbeat(lease, at(100))
    assert lease.expires_at == at(160)
    assert ledger.leases()[0] == lease
    with pytest.raises(LockBusyError):
        ledger.acquire("flights", "alone", "b", 60, at(150))
    ledger.acquire("flights", "alone", "b", 60, at(161))
    with pytest.raises(FencedError):
        ledger.heartbeat(lease, at(162))


def test_tokens_rise_above_one_that_the_state_has_not_given_away_and_never_fall(ledger: Ledger) -> None:
    assert ledger.acquire("flights", "load", "a", 60, NOW).token == 1
    ledger.raise_tokens(7)
    assert ledger.acquire("flights", "load", "a", 60, NOW).token == 8
    ledger.raise_tokens(7)
    ledger.raise_tokens(0)
    assert ledger.acquire("flights", "load", "a", 60, NOW).token == 9


def test_a_broken_lease_is_audited_and_its_batch_unfinished(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "a", 600, NOW)
    ledger.claim("run", "flights", "live", diff(paths(1)), lease, now=NOW)
    assert ledger.break_lease(lease.id, "host is gone", now=at(1), actor="ann") == lease
    assert ledger.leases() == ()
    assert len(ledger.unfinished(now=at(1))) == 1
    assert ledger.audit()[-1].detail["reason"] == "host is gone"
    with pytest.raises(LedgerError, match="no lock"):
        ledger.break_lease(lease.id, "again", now=at(1))


def test_an_unfinished_written_batch_brings_its_results(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "a", 60, NOW)
    claimed = ledger.claim("run", "flights", "live", diff(paths(1)), lease, now=NOW)
    blob = bytes(range(256)) * 1000
    ledger.written(claimed.batch_id, blob, lease=lease, now=NOW)
    (batch,) = ledger.unfinished(now=at(61))
    assert (batch.state, batch.results, batch.written_at) == ("written", blob, NOW)


# ------------------------------------------------------------------ runs


def test_a_run_sums_its_batches(ledger: Ledger) -> None:
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    run_id = ledger.start_run(
        "flights",
        "live",
        now=NOW,
        plan_id="p",
        estimated_usd=Decimal("1.25"),
        planned_files=5,
        extra={"engine": "local"},
    )
    for start, snapshot_id, state in ((0, 11, "SUCCESS"), (2, 2**62 + 1, "SUCCESS"), (4, None, "FAILED")):
        claimed = ledger.claim(run_id, "flights", "live", diff(paths(2, start)), lease, now=NOW)
        ledger.record(claimed.batch_id, results(claimed, state, rows=[5, 0]), snapshot_id, lease=lease, now=NOW)
    run = ledger.finish_run(run_id, "complete", now=at(9), actual_usd=Decimal("1.1"), actual_s=8.5)
    assert (run.files, run.failed_files, run.rows, run.rejected_rows, run.size_bytes) == (6, 2, 15, 6, 606)
    assert (run.estimated_usd, run.actual_usd, run.actual_s) == (Decimal("1.25"), Decimal("1.1"), 8.5)
    assert (run.state, run.started_at, run.finished_at, run.snapshot_id) == ("complete", NOW, at(9), 2**62 + 1)
    assert run.extra == {"engine": "local"}
    assert ledger.runs("flights") == (run,)
    assert ledger.run(run_id) == run
    assert ledger.run("none") is None
    row = ledger.ingestion("flights")
    assert row is not None
    assert row.last_run_at == NOW


def test_runs_are_listed_oldest_first_up_to_a_limit(ledger: Ledger) -> None:
    ids = [ledger.start_run("flights", "live", now=at(second)) for second in range(5)]
    assert [run.run_id for run in ledger.runs()] == ids
    assert [run.run_id for run in ledger.runs("flights", lane="live", limit=2)] == ids[3:]
    assert ledger.runs("other") == ()
    assert ledger.runs(lane="backfill") == ()


# ------------------------------------------------------------------ marks, rollback, rebuild


def test_marks_change_free_files_only(ledger: Ledger) -> None:
    load(ledger, diff(paths(4)))
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    ledger.claim("run", "flights", "live", diff(paths(1), "reingest", replaces=[1]), lease, now=NOW)
    assert ledger.mark_missing("flights", pa.array(paths(3)), now=NOW) == 2
    assert ledger.mark_missing("flights", paths(3), now=NOW) == 0
    assert ledger.mark_returned("flights", paths(2), now=NOW) == 1
    assert ledger.mark_reload("flights", now=NOW, states=["SUCCESS"]) == 2
    states = {path: (row["state"], row["reload"]) for path, row in remembered(ledger).items()}
    assert list(states.values()) == [
        ("PROCESSING", False), ("SUCCESS", True), ("MISSING", False), ("SUCCESS", True),
    ]  # fmt: skip


def test_a_reload_ends_the_mark(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)))
    ledger.mark_reload("flights", now=NOW)
    load(ledger, diff(paths(1), "reingest", replaces=[1]))
    row = remembered(ledger)[paths(1)[0]]
    assert (row["reload"], row["src_file_id"]) == (False, 3)  # 2 is the sequence of the first batch


def test_touched_files_take_the_new_identity(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)))
    touched = diff(paths(1), "touched")
    later = pa.array([MTIME_NS + 5], pa.int64()).cast(INSTANT)
    touched = touched.set_column(touched.column_names.index("modified_at"), "modified_at", later)
    assert ledger.mark_touched("flights", touched, now=NOW) == 1
    row = remembered(ledger)[paths(1)[0]]
    assert (row["modified_at"], row["state"], row["src_file_id"]) == (MTIME_NS + 5, "SUCCESS", 1)


def test_a_file_that_was_replaced_meanwhile_is_not_touched(ledger: Ledger) -> None:
    """The plan is older than the load of another worker; its identity must not come back."""
    load(ledger, diff(paths(1)))
    load(ledger, diff(paths(1), "changed", version=2, replaces=[1]))
    assert ledger.mark_touched("flights", diff(paths(1), "touched"), now=NOW) == 0
    assert remembered(ledger)[paths(1)[0]]["etag"] == "etag-2"


def test_skipped_files_are_remembered_and_known_ones_left_alone(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)))
    assert ledger.mark_skipped("flights", diff(paths(3)), now=NOW, reason="there before") == 2
    assert [row["state"] for row in remembered(ledger).values()] == ["SUCCESS", "SKIPPED", "SKIPPED"]
    assert ledger.counts("flights").to_pylist() == [
        {"state": "SKIPPED", "files": 2, "in_table": 0, "size_bytes": 202, "rows": 0},
        {"state": "SUCCESS", "files": 1, "in_table": 1, "size_bytes": 101, "rows": 10},
    ]
    ledger.mark_missing("flights", paths(1), now=NOW)
    [missing, _] = ledger.counts("flights").to_pylist()
    assert (missing["state"], missing["in_table"]) == ("MISSING", 1)


def test_files_without_rows_that_come_back_are_again_what_they_were(ledger: Ledger) -> None:
    run_id, _ = load(ledger, diff(paths(2)))
    ledger.mark_skipped("flights", diff(paths(1, 2)), now=NOW, reason="there before")
    ledger.clear_rows("flights", run_id, now=NOW)
    before = ledger.files("flights")
    assert ledger.mark_missing("flights", paths(3), now=NOW) == 3
    assert ledger.mark_skipped("flights", diff(paths(3)), now=NOW, reason="there before") == 1
    assert ledger.mark_returned("flights", paths(3), now=NOW) == 2
    assert ledger.files("flights").equals(before)


def test_a_rollback_makes_the_files_what_they_were_at_the_end_of_the_run(ledger: Ledger) -> None:
    run_id, _ = load(ledger, diff(paths(3)))
    before = ledger.files("flights")
    first = load(ledger, diff(paths(2), "changed", version=2, replaces=[1, 2]), now=at(10))[1]
    ids = first.files["src_file_id"].to_pylist()
    load(ledger, diff(paths(1), "changed", version=3, replaces=ids[:1]), now=at(20))
    last, _ = load(ledger, diff(paths(2, 50)), now=at(30))
    ledger.clear_rows("flights", last, now=at(40), below=4)
    assert remembered(ledger)[paths(3)[2]]["src_file_id"] is None
    assert len(ledger.batches_after("flights", run_id)) == 4
    assert ledger.restore_to_run("flights", run_id, now=at(50), actor="ann") == 5
    assert ledger.files("flights").equals(before)
    assert ledger.batches_after("flights", run_id) == ()
    assert ledger.audit()[-1].action == "rolled back"
    _, again = load(ledger, diff(paths(2), "changed", version=2, replaces=[1, 2]), now=at(60))
    assert again.files.num_rows == 2


def test_a_rollback_waits_for_unfinished_batches(ledger: Ledger) -> None:
    run_id, _ = load(ledger, diff(paths(1)))
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    ledger.claim("run", "flights", "live", diff(paths(1, 5)), lease, now=NOW)
    with pytest.raises(LedgerError, match="unfinished"):
        ledger.restore_to_run("flights", run_id, now=NOW)
    with pytest.raises(LedgerError, match="no run"):
        ledger.restore_to_run("flights", "none", now=NOW)


def test_a_lost_ledger_is_rebuilt_from_lineage(ledger: Ledger) -> None:
    load(ledger, diff(paths(3)))
    ledger.mark_reload("flights", now=NOW)
    found = pa.table(
        {
            "file_path": [*paths(2), "s3://bucket/data/other.csv", "s3://bucket/data/other.csv"],
            "src_file_id": [1, 2, 900, 1000],
            "rows": [10, 10, 4, 5],
        }
    )
    rebuilt = ledger.rebuild("flights", found, now=NOW, highest_token=77)
    assert (rebuilt.files, rebuilt.lost) == (3, 1)
    rows = remembered(ledger)
    assert (rows[paths(1)[0]]["state"], rows[paths(1)[0]]["etag"]) == ("SUCCESS", "etag-1")
    assert (rows[paths(3)[2]]["state"], rows[paths(3)[2]]["src_file_id"]) == ("DISCOVERED", None)
    other = rows["s3://bucket/data/other.csv"]
    assert (other["src_file_id"], other["rows"], other["size_bytes"]) == (1000, 5, None)
    _, claimed = load(ledger, diff(paths(1, 70)))
    assert claimed.files["src_file_id"].to_pylist()[0] > 1000
    assert ledger.acquire("flights", "load", "me", 60, NOW).token > 77


def test_a_version_whose_rows_came_by_two_batches_is_rebuilt_as_one_file_with_all_of_them(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)))
    found = pa.table(
        {"file_path": paths(1) * 2, "src_file_id": [7, 7], "rows": [10, 10], "batch_id": ["b1", "b2"]},
    )
    assert ledger.rebuild("flights", found, now=NOW).files == 1
    [row] = remembered(ledger).values()
    assert (row["src_file_id"], row["rows"], row["etag"]) == (7, 20, None)


def of_table(*versions: tuple[str, int, str], **columns: list[object]) -> pa.Table:
    """What a table says of its files: path, version and batch, ten rows each."""
    path, version, batch = zip(*versions, strict=True)
    held = {"file_path": path, "src_file_id": version, "rows": [10] * len(version), "batch_id": batch}
    return pa.table({name: list(values) for name, values in {**held, **columns}.items()})


@pytest.mark.parametrize(("attempts", "state"), [(3, "FAILED"), (1, "QUARANTINED")])
def test_a_failed_attempt_on_a_newer_version_than_the_table_holds_stays_what_it_was(
    ledger: Ledger, attempts: int, state: str
) -> None:
    _, first = load(ledger, diff(paths(1)))
    load(ledger, diff(paths(1), "changed", version=2, replaces=[1]), "FAILED", max_attempts=attempts)
    before = ledger.files("flights")
    ledger.rebuild("flights", of_table((paths(1)[0], 1, first.batch_id)), now=at(50))
    assert ledger.files("flights").equals(before)
    assert remembered(ledger)[paths(1)[0]]["state"] == state


def test_a_failed_attempt_that_is_older_than_the_version_in_the_table_is_forgotten(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)))
    load(ledger, diff(paths(1), "changed", version=2, replaces=[1]), "FAILED")
    ledger.rebuild("flights", of_table((paths(1)[0], 500, "of a state that was lost")), now=at(50))
    [row] = remembered(ledger).values()
    assert (row["state"], row["src_file_id"], row["error"], row["retry_count"]) == ("SUCCESS", 500, None, 0)
    assert (row["etag"], row["size_bytes"], row["modified_at"]) == (None, None, None)


def test_a_failed_reload_replaces_the_version_that_the_table_holds_again(ledger: Ledger) -> None:
    _, first = load(ledger, diff(paths(1)))
    second = load(ledger, diff(paths(1), "changed", version=2))[1].files["src_file_id"].to_pylist()
    load(ledger, diff(paths(1), "reingest", version=2, replaces=second), "FAILED")
    ledger.rebuild("flights", of_table((paths(1)[0], 1, first.batch_id)), now=at(50))
    [row] = remembered(ledger).values()
    assert (row["state"], row["src_file_id"], row["attempt_replaces"]) == ("FAILED", 1, 1)


def test_batches_that_a_rollback_undid_are_recorded_again_with_a_table_that_has_come_through_them(
    ledger: Ledger,
) -> None:
    first, _ = load(ledger, diff(paths(1)))
    run_id, second = load(ledger, diff(paths(1), "changed", version=2, replaces=[1]), snapshot_id=2)
    path, newer = paths(1)[0], second.files["src_file_id"].to_pylist()[0]
    ledger.restore_to_run("flights", first, now=at(40))
    assert ledger.versions("flights")["state"].to_pylist() == ["SUCCESS", "UNDONE"]
    ledger.rebuild("flights", of_table((path, newer, second.batch_id)), now=at(50), current=[2, 1])
    assert ledger.versions("flights")["state"].to_pylist() == ["SUCCESS", "SUCCESS"]
    assert [batch.state for batch in ledger.batches(run_id)] == ["recorded"]


def test_no_identity_is_kept_of_another_version_than_the_table_holds(ledger: Ledger) -> None:
    _, first = load(ledger, diff(paths(2)))
    load(ledger, diff(paths(2), "changed", version=2, replaces=[1, 2]))
    versions = ((path, n, first.batch_id) for n, path in enumerate(paths(2), 1))
    found = of_table(
        *versions,
        etag=["etag-1", None],
        size_bytes=[101, None],
    )
    ledger.rebuild("flights", found, now=at(50))
    known, unknown = remembered(ledger).values()
    assert (known["src_file_id"], known["etag"], known["size_bytes"]) == (1, "etag-1", 101)
    assert (unknown["src_file_id"], unknown["etag"], unknown["size_bytes"]) == (2, None, None)


def test_a_version_that_another_batch_has_loaded_under_the_same_number_is_another_one(ledger: Ledger) -> None:
    load(ledger, diff(paths(1)))
    ledger.rebuild("flights", of_table((paths(1)[0], 1, "of another state")), now=at(50))
    [row] = remembered(ledger).values()
    assert (row["src_file_id"], row["etag"], row["batch_id"]) == (1, None, "of another state")


def test_marks_to_load_again_outlive_a_rebuilt_ledger_and_come_with_it_where_asked_for(ledger: Ledger) -> None:
    _, first = load(ledger, diff(paths(2)))
    ledger.mark_reload("flights", paths=paths(1), now=NOW)
    found = of_table(
        *((path, n, first.batch_id) for n, path in enumerate(paths(2), 1)), ("s3://bucket/data/other.csv", 9, "lost"),
        ("s3://bucket/data/third.csv", 10, "lost"), reload=[False, True, True, None],
    )  # fmt: skip
    ledger.rebuild("flights", found, now=at(50))
    assert [row["reload"] for row in remembered(ledger).values()] == [True, False, True, False]


def test_a_version_without_rows_that_was_appended_stays_the_newest(ledger: Ledger) -> None:
    _, first = load(ledger, diff(paths(1)))
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    run_id = ledger.start_run("flights", "live", now=NOW)
    second = ledger.claim(run_id, "flights", "live", diff(paths(1), "changed", version=2), lease, now=NOW)
    ledger.record(second.batch_id, results(second, rows=[0]), 2, lease=lease, now=NOW)
    before = ledger.files("flights")
    ledger.rebuild("flights", of_table((paths(1)[0], 1, first.batch_id)), now=at(50))
    assert ledger.files("flights").equals(before)


def test_what_failed_or_is_missing_stays_so_where_its_rows_have_left_the_table(ledger: Ledger) -> None:
    load(ledger, diff(paths(3)))
    load(ledger, diff(paths(1), "changed", version=2, replaces=[1]), "FAILED")
    ledger.mark_missing("flights", paths(1, 1), now=NOW)
    assert ledger.rebuild("flights", of_table(("s3://bucket/data/other.csv", 9, "b")), now=at(50)).lost == 3
    rows = list(remembered(ledger).values())
    assert [row["state"] for row in rows] == ["FAILED", "MISSING", "DISCOVERED", "SUCCESS"]
    assert [row["src_file_id"] for row in rows] == [None, None, None, 9]


def test_a_naive_time_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="zone"):
        ledger.acquire("flights", "load", "me", 60, NOW.replace(tzinfo=None))


def test_times_of_other_zones_are_the_same_instants(ledger: Ledger) -> None:
    from zoneinfo import ZoneInfo

    local = NOW.astimezone(ZoneInfo("America/New_York"))
    lease = ledger.acquire("flights", "load", "me", 60, local)
    assert ledger.leases()[0].acquired_at == NOW
    assert ledger.leases()[0].expires_at == NOW + timedelta(seconds=60)
    assert ledger.heartbeat(lease, local).expires_at == NOW + timedelta(seconds=60)
