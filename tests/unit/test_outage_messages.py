"""What drivers and catalogs complain of, as one message with a way out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from autoloader.lake.catalogs import explain
from autoloader.ledger.address import parse_address
from autoloader.ledger.failures import ledger_error
from autoloader.project.applied import _details

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
