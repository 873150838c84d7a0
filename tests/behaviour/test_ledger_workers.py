"""Several workers on one ingestion, and the size and speed that a plan and an apply can count on."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from autoloader.ledger import open_ledger
from autoloader.ledger.session import Session
from tests.behaviour.ledger_kit import NOW, diff, flights, load, paths, results

FILES = 2000
PART = 50


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    found: str = request.getfixturevalue("fresh_postgres_url")
    return found


def work(url: str, worker: int) -> list[str]:
    """Offers every file in an order of its own, and loads what it gets."""
    ledger = open_ledger(url, busy_timeout_s=60)
    lease = ledger.acquire("flights", "load", f"worker {worker}", 600, NOW)
    run_id = ledger.start_run("flights", "live", now=NOW)
    mine: list[str] = []
    starts = list(range(0, FILES, PART))
    for start in starts[worker * 7 :] + starts[: worker * 7]:
        files = diff(paths(PART + 20, start))  # parts overlap, so that workers meet in them
        claimed = ledger.claim(run_id, "flights", "live", files, lease, now=NOW)
        if claimed.files.num_rows:
            ledger.record(claimed.batch_id, results(claimed), start, lease=lease, now=NOW)
            mine += claimed.files["file_path"].to_pylist()
    ledger.finish_run(run_id, "complete", now=NOW)
    ledger.unlock(lease)
    return mine


@pytest.mark.slow
def test_four_workers_load_every_file_once(url: str) -> None:
    ledger = open_ledger(url, create=True)
    flights(ledger)
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        loaded = [path for mine in pool.map(work, [url] * 4, range(4)) for path in mine]
    assert Counter(loaded) == Counter(paths(FILES + 20))
    versions = ledger.versions("flights")
    assert versions.num_rows == FILES + 20
    assert set(versions["state"].to_pylist()) == {"SUCCESS"}
    assert sum(run.files for run in ledger.runs()) == FILES + 20
    sequences = [batch.sequence for batch in ledger.batches()]
    assert len(set(sequences)) == len(sequences)
    assert ledger.leases() == ()


def test_a_locked_row_is_never_taken_for_a_new_file(fresh_postgres_url: str) -> None:
    """`SKIP LOCKED` alone would: it finds no row, and the file is inserted again."""
    ledger = open_ledger(fresh_postgres_url, create=True)
    flights(ledger)
    load(ledger, diff(paths(3)))
    with ledger._database.writing() as other:
        other.query("SELECT id FROM processed_file WHERE file_path = :path FOR UPDATE", path=paths(1)[0])
        lease = ledger.acquire("flights", "load", "me", 60, NOW)
        files = diff(paths(3), "changed", version=2, replaces=[1, 2, 3])
        claimed = ledger.claim("run", "flights", "live", files, lease, now=NOW)
    assert claimed.files["file_path"].to_pylist() == paths(2, 1)
    assert claimed.left_out.to_pylist() == [{"file_path": paths(1)[0], "reason": "another worker is claiming it"}]
    assert ledger.files("flights").num_rows == 3


def test_a_take_over_under_a_lease_locks_in_the_order_of_an_acquire(
    fresh_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(fresh_postgres_url, create=True)
    flights(ledger)
    run_id = ledger.start_run("flights", "live", now=NOW)
    dead = ledger.acquire("flights", "load", "dead", 60, NOW)
    claimed = ledger.claim(run_id, "flights", "live", diff(paths(1)), dead, now=NOW)
    ledger.unlock(dead)
    mine = ledger.acquire("flights", "alone", "me", 60, NOW)
    asked: list[str] = []
    query = Session.query

    def told(session: Session, sql: str, **values: Any) -> pa.Table:
        asked.append(sql)
        return query(session, sql, **values)

    monkeypatch.setattr(Session, "query", told)
    ledger.under(mine).take_over(claimed.batch_id, "me", 60, NOW)
    locks = [word for sql in asked for word in ("advisory", "FOR KEY SHARE") if word in sql]
    assert locks[:2] == ["advisory", "FOR KEY SHARE"]


def test_different_ingestions_do_not_wait_for_each_other(fresh_postgres_url: str) -> None:
    ledger = open_ledger(fresh_postgres_url, create=True, busy_timeout_s=2)
    flights(ledger)
    lease = ledger.acquire("weather", "load", "me", 60, NOW)
    entered, leave = threading.Event(), threading.Event()

    def claim_slowly() -> None:
        from autoloader.ledger import claiming

        with ledger._database.writing() as session:
            session.stage("todo", claiming.staged_files(diff(paths(10))), key="file_path")
            claiming.hold_known(session, "flights")
            claiming.insert_unseen(session, "flights", "slow", NOW)
            entered.set()
            leave.wait(20)

    slow = threading.Thread(target=claim_slowly)
    slow.start()
    try:
        assert entered.wait(20)
        claimed = ledger.claim("run", "weather", "live", diff(paths(10)), lease, now=NOW)
        ledger.record(claimed.batch_id, results(claimed), 1, lease=lease, now=NOW)
        ledger.acquire("flights", "load", "also me", 60, NOW)
    finally:
        leave.set()
        slow.join()
    assert claimed.files.num_rows == 10


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_thousand_files_are_claimed_recorded_and_sliced(url: str) -> None:
    """How fast is told by `docs/benchmarks.md`."""
    ledger = open_ledger(url, create=True)
    flights(ledger)
    files = diff(paths(100_000))
    _, claimed = load(ledger, files)
    assert claimed.files.num_rows == 100_000
    known = ledger.slice("flights", now=NOW)
    assert known.num_rows == 100_000
    assert known.nbytes < 40_000_000
    assert pc.all(pc.equal(known["state"], "SUCCESS")).as_py()


def test_a_plan_reads_the_state_without_the_orm_or_pandas(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/state.db", create=True)
    flights(ledger)
    load(ledger, diff(paths(3)))
    script = """
        import sys
        from datetime import UTC, datetime
        from autoloader.ledger import open_ledger
        ledger = open_ledger(sys.argv[1])
        now = datetime(2026, 1, 1, tzinfo=UTC)
        assert ledger.slice("flights", now=now).num_rows == 3
        assert ledger.ingestions() and ledger.runs() and ledger.lineage
        heavy = {"sqlalchemy", "sqlmodel", "alembic", "pandas", "psycopg", "sqlite3", "duckdb"}
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), f"sqlite:///{tmp_path}/state.db"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.slow
def test_a_server_never_hears_of_a_transaction_inside_of_one(fresh_postgres_url: str) -> None:
    import psycopg
    from sqlalchemy.engine import make_url

    admin = make_url(fresh_postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)

    def complaints() -> int:
        with psycopg.connect(admin) as connection:
            found = connection.execute("SELECT pg_read_file(current_setting('data_directory') || '/log')").fetchone()
        assert found is not None
        return str(found[0]).count("already a transaction in progress")

    before = complaints()
    ledger = open_ledger(fresh_postgres_url, create=True)
    flights(ledger)
    lease = ledger.acquire("flights", "load", "me", 60, NOW)
    claimed = ledger.claim("run", "flights", "live", diff(paths(2)), lease, now=NOW)
    ledger.record(claimed.batch_id, results(claimed), 1, lease=lease, now=NOW)
    assert complaints() == before
