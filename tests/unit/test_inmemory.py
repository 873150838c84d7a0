"""Queries in memory draw nothing into the output of whoever asks."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pyarrow as pa
import pytest

from autoloader.inmemory import in_memory

CODE = """
from autoloader.inmemory import in_memory
with in_memory() as con:
    print(con.execute("SELECT current_setting('enable_progress_bar')").fetchall())
"""


def test_no_progress_bar_is_drawn_where_duckdb_takes_python_for_a_terminal() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "[(False,)]\n"


def test_it_opens_no_file() -> None:
    with in_memory() as con, pytest.raises(duckdb.PermissionException):
        con.execute(f"SELECT * FROM read_text('{__file__}')")


def test_what_is_registered_with_one_is_not_seen_in_another() -> None:
    with in_memory() as one, in_memory(beside=one) as other:
        for con, value in ((one, 1), (other, 2)):
            con.register("rows", pa.table({"value": [value]}))
        assert [con.execute("SELECT value FROM rows").fetchall() for con in (one, other)] == [[(1,)], [(2,)]]
        with in_memory(beside=one) as later, pytest.raises(duckdb.CatalogException):
            later.execute("SELECT value FROM rows")
