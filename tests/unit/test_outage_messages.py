"""What drivers and catalogs complain of, as one message with a way out."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoloader.engine import starting
from autoloader.engine.failures import explain as explain_job
from autoloader.errors import EngineError, StateLostError, redacted
from autoloader.lake.catalogs import explain
from autoloader.ledger.address import parse_address
from autoloader.ledger.failures import ledger_error
from autoloader.project.reporting import _details
from tests.playing import Player

AUTHORIZED = (
    "uri: 'http://127.0.0.1:1/c', oauth2-server-uri: 'http://127.0.0.1:1/t?client_secret=S3cr3t', credential: 'a:b'"
)
LOCKED = (
    "(sqlite3.OperationalError) database is locked\n[SQL: SELECT a\nFROM b\nWHERE c = ?]\n(Background on this error)"
)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_below_a_table_is_to_be_cleared(number: int) -> None:
    error = explain("a.b could not be committed to", OSError(number, os.strerror(number)))
    assert os.strerror(number) in error.why
    assert error.fix == "free some space, then run the same command again."


def test_a_catalogs_complaint_has_no_statement_in_it() -> None:
    assert explain("a.b could not be read", RuntimeError(LOCKED)).why == (
        "RuntimeError: (sqlite3.OperationalError) database is locked"
    )


@pytest.mark.parametrize("text", ["database or disk is full", "Failed to prepare query: disk I/O error"])
def test_a_full_disk_below_the_state_is_to_be_cleared(tmp_path: Path, text: str) -> None:
    error = ledger_error(parse_address(f"sqlite:///{tmp_path}/state.db"), RuntimeError(text))
    assert "state.db" in error.what
    assert "its disk" in error.what
    assert error.fix.startswith("Free some space")


def test_a_step_that_failed_shows_the_first_line_of_its_error() -> None:
    assert _details({"error": "what\nwhy\nfix"}) == "error what"


class ServerError(Exception):
    """A driver's, with the server's code."""

    def __init__(self, text: str, sqlstate: str | None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("text", "sqlstate", "lost"),
    [
        ("duplicate key\nDETAIL: Key (file_path)=(s3://b/connect/terminated.csv) already exists", "23505", False),
        ("canceling statement due to statement timeout", "57014", False),
        ("terminating connection due to administrator command", "57P01", True),
        ("the database system is starting up", "57P03", True),
        ("connection does not exist", "08003", True),
        ("server closed the connection unexpectedly", None, True),
    ],
)
def test_a_state_is_lost_by_the_code_of_its_server_and_by_the_text_only_without_one(
    text: str, sqlstate: str | None, lost: bool
) -> None:
    address = parse_address("postgresql://u:p@h/db")
    error = ledger_error(address, ServerError(text, sqlstate), connected=True)
    assert isinstance(error, StateLostError) is lost
    assert ("cannot be reached" in str(ledger_error(address, ServerError(text, sqlstate)))) is lost


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sc://u:S3cr3t@host:1", "sc://u:***@host:1"),
        ("sc://S3cr3t@host:1/;token=S3cr3t;use_ssl=true", "sc://***@host:1/;token=***;use_ssl=***"),
        ("spark://u:S3@cr3t@a:7077,v:S3cr3t@b:7077", "spark://u:***@b:7077"),
        ("url: /t?client_secret=S3cr3t&x=S3cr3t (Caused by", "url: /t?client_secret=***&x=*** (Caused by"),
        ("'http://host/c?key=S3cr3t'", "'http://host/c?key=***'"),
        ("file:///a/b@c.csv; s3://bucket/x@y=z", "file:///a/b@c.csv; s3://bucket/x@y=z"),
        ("postgresql://u:p/w@h/db?x=S3cr3t", "postgresql://u:***@h/db?x=***"),
        ("jdbc:sqlserver://h:1;user=u;password=S3cr3t", "jdbc:sqlserver://h:1;user=***;password=***"),
        ("az://c/a.csv?sv=1&sig=S3cr3t", "az://c/a.csv?sv=1&sig=***"),
        ("s3://b/k?X-Amz-Signature=S3cr3t&AWSAccessKeyId=S3cr3t", "s3://b/k?X-Amz-Signature=***&AWSAccessKeyId=***"),
    ],
)
def test_no_url_says_its_secrets(text: str, said: str) -> None:
    assert redacted(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "s3://b/k?part=3&x=1 is gone",
        "file:///data/a;v=2/x.csv",
        "https://host:9000/bucket/user@x/f",
        "https://minio:9000/warehouse, s3://b/a@b",
        "gs://b/design;assign=2/a.csv",
        "sqlite:////tmp/a@b/x:y",
        "oops; total=5",
    ],
)
def test_what_is_no_secret_is_said(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "start",
    [
        lambda: starting.connect_session("sc://u:S3cr3t@127.0.0.1:1"),
        lambda: starting.spark_context("spark://u:S3cr3t@127.0.0.1:1", {}),
    ],
    ids=["connect", "cluster"],
)
def test_an_engine_that_does_not_answer_is_named_without_its_secrets(start: Callable[[], Any]) -> None:
    with pytest.raises(EngineError, match="does not answer") as refused:
        start()
    assert "S3cr3t" not in str(refused.value)
    assert "127.0.0.1:1" in refused.value.what


def test_what_a_job_complains_of_has_no_secrets() -> None:
    assert "S3cr3t" not in str(explain_job(RuntimeError("StatusCode.UNAVAILABLE sc://u:S3cr3t@host:1")))


@pytest.mark.parametrize("catalog", ["uri: 'http://127.0.0.1:1/c?key=S3cr3t'", AUTHORIZED])
def test_a_catalog_that_does_not_answer_is_named_without_its_secrets(planning_player: Player, catalog: str) -> None:
    player = planning_player
    (player.folder / "in").mkdir()
    player.spec("name: a\nsource: {path: in/}\ndestination: {table: a.a}\n")
    player.spec(f"catalog: {{type: rest, {catalog}}}\n", "autoloader.yml")
    for words in (("plan",), ("doctor",), ("doctor", "--format", "json")):
        said = player.run(*words)
        assert said.code == 1, said.out
        assert "***" in said.out + said.err
        assert "S3cr3t" not in said.out + said.err
