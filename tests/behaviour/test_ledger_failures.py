"""What can be wrong with a state: one clear error each, nothing made, no password said."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path

import pytest

from autoloader.errors import AutoloaderError, LedgerError, LockBusyError, StateLostError
from autoloader.ledger import open_ledger
from autoloader.ledger.address import parse_address
from autoloader.ledger.connection import Database
from tests.behaviour.ledger_kit import NOW, diff, flights, load, paths


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder}/state.db"


def test_opening_and_reading_a_missing_state_makes_nothing(tmp_path: Path) -> None:
    ledger = open_ledger(sqlite_url(tmp_path / "not there"))
    assert ledger.slice("flights", now=NOW).num_rows == 0
    assert list(tmp_path.iterdir()) == []


def test_reading_leaves_no_file_beside_the_state(tmp_path: Path) -> None:
    ledger = open_ledger(sqlite_url(tmp_path), create=True)
    flights(ledger)
    load(ledger, diff(paths(3)))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert list(before) == ["state.db"]
    reader = open_ledger(sqlite_url(tmp_path))
    assert reader.slice("flights", now=NOW).num_rows == 3
    assert reader.ingestions()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 8000])
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state.db"
    file.write_bytes(content)
    for create in (False, True):
        with pytest.raises(LedgerError) as caught:
            open_ledger(sqlite_url(tmp_path), create=create)
        assert str(file) in caught.value.what
        assert caught.value.fix
    assert file.read_bytes() == content


def test_a_folder_instead_of_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(LedgerError, match=r"state\.db"):
        open_ledger(sqlite_url(tmp_path))


def test_an_empty_file_counts_as_no_state_yet(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()
    ledger = open_ledger(sqlite_url(tmp_path))
    assert not ledger.exists
    ledger.init()
    assert ledger.exists


def test_a_database_of_somebody_else_is_not_a_state(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("CREATE TABLE project (title TEXT)")
    connection.close()
    with pytest.raises(LedgerError, match="lacks a table or column"):
        open_ledger(sqlite_url(tmp_path))


def test_a_file_that_another_process_keeps_locked_is_busy(tmp_path: Path) -> None:
    ledger = open_ledger(sqlite_url(tmp_path), create=True, busy_timeout_s=0.2)
    script = f"""
        import sqlite3, sys
        connection = sqlite3.connect({str(tmp_path / "state.db")!r}, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("locked", flush=True)
        sys.stdin.readline()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as locker:
        assert locker.stdout is not None
        assert locker.stdout.readline() == "locked\n"
        assert ledger.ingestions() == ()
        for action in (lambda: ledger.acquire("flights", "load", "me", 60, NOW), ledger.init):
            with pytest.raises(LockBusyError, match="busy") as caught:
                action()
            assert caught.value.exit_code == 5
        locker.communicate("\n")
    ledger.acquire("flights", "load", "me", 60, NOW)


READ_ONLY = """
    import os, sys
    from datetime import UTC, datetime
    from autoloader.errors import LedgerError
    from autoloader.ledger import open_ledger
    open_ledger(sys.argv[2], create=True).serial  # loads modules that the other user might not be allowed to
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ledger = open_ledger(sys.argv[1])
    print(ledger.exists, ledger.slice("flights", now=now).num_rows)
    for action in (lambda: ledger.acquire("flights", "load", "me", 60, now), ledger.init, ledger.check_writable):
        try:
            action()
        except LedgerError as error:
            print("refused:", error.what, "|", error.why, "|", error.fix)
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to become somebody who may not write")
def test_a_folder_that_cannot_be_written_can_be_planned_from(tmp_path: Path) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        ledger = open_ledger(sqlite_url(folder), create=True)
        flights(ledger)
        load(ledger, diff(paths(3)))
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(READ_ONLY), sqlite_url(folder), sqlite_url(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.stderr == ""
        first, *rest = done.stdout.splitlines()
        assert first == "True 3"
        assert len(rest) == 3
        assert all(line.startswith("refused:") and "write" in line for line in rest), rest
        assert [path.name for path in folder.iterdir()] == ["state.db"]


SECRETS = [
    "postgresql+psycopg://me:s3cr%40t@127.0.0.1:1/ledger",
    "postgresql://me:s3cr%40t@127.0.0.1:1/ledger?sslmode=disable",
    "postgresql://127.0.0.1:1/ledger?user=me&password=s3cr%40t",
    "postgresql://me:s3cr@t@127.0.0.1:1/ledger",
    "postgresql://me:s3cr/t@127.0.0.1:1/ledger",
    "postgresql://me:s3cr#t@127.0.0.1:1/ledger",
    "postgresql://me:s3cr?t@127.0.0.1:1/ledger",
    "postgresql://me:s3cr:t@127.0.0.1:notaport/ledger",
    "postgresql://me:s3cr%zzt@127.0.0.1:1/ledger",
    "mysql://me:s3crt@127.0.0.1/ledger",
]


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("url", SECRETS)
def test_no_part_of_a_password_is_said(url: str, create: bool) -> None:
    with pytest.raises(LedgerError) as caught:
        open_ledger(url, create=create)
    said = "".join(traceback.format_exception(caught.value)) + str(caught.value)
    lines = [line for line in said.splitlines() if "s3cr" in line]
    assert lines == []
    assert caught.value.fix


def test_a_server_that_does_not_answer_is_named(fresh_postgres_url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        open_ledger("postgresql://me@127.0.0.1:1/ledger")
    assert caught.value.what == "The state postgresql://127.0.0.1:1/ledger cannot be reached."
    with pytest.raises(LedgerError, match="cannot be reached") as caught:
        open_ledger(fresh_postgres_url.replace("/test_", "/no_such_"))
    assert "does not exist" in caught.value.why


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "state.db", ""])
def test_a_url_without_a_place_is_refused(url: str) -> None:
    with pytest.raises(LedgerError):
        open_ledger(url)


def test_a_user_who_may_not_create_tables_is_told_so(fresh_postgres_url: str) -> None:
    import psycopg
    from sqlalchemy.engine import make_url

    admin = make_url(fresh_postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
    url = make_url(fresh_postgres_url).set(username="reader").render_as_string(hide_password=False)
    ledger = open_ledger(url)
    assert not ledger.exists
    with pytest.raises(AutoloaderError, match="may not be written"):
        ledger.init()


def test_a_user_who_may_only_read_is_told_before_anything_is_to_be_written(fresh_postgres_url: str) -> None:
    import psycopg
    from sqlalchemy.engine import make_url

    made = open_ledger(fresh_postgres_url, create=True)
    made.check_writable()
    assert made.serial == 0
    admin = make_url(fresh_postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS onlooker")
        connection.execute("CREATE ROLE onlooker LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO onlooker")
    ledger = open_ledger(make_url(fresh_postgres_url).set(username="onlooker").render_as_string(hide_password=False))
    assert ledger.ingestions() == ()
    with pytest.raises(AutoloaderError, match="may not be written"):
        ledger.check_writable()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP OWNED BY onlooker")
        connection.execute("DROP ROLE onlooker")


def test_a_server_that_is_lost_in_the_middle_is_said_to_be_lost_and_not_unreachable(fresh_postgres_url: str) -> None:
    import psycopg
    from sqlalchemy.engine import make_url

    admin = make_url(fresh_postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)

    def broken_off() -> None:
        with Database(parse_address(fresh_postgres_url)).writing() as session:
            session.execute("CREATE TABLE half (n bigint)")
            with psycopg.connect(admin, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'autoloader'"
                    " AND datname = current_database()"
                )
            session.execute("INSERT INTO half VALUES (1)")

    with pytest.raises(StateLostError) as lost:
        broken_off()
    assert "was lost" in lost.value.what
    assert "nothing is loaded twice" in lost.value.fix
    with psycopg.connect(admin) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)
