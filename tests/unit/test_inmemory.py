"""Queries in memory draw nothing into the output of whoever asks."""

from __future__ import annotations

import subprocess
import sys

import duckdb
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
