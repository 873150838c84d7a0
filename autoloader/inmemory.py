"""DuckDB connections of this process alone, for queries over tables in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb


def in_memory(beside: duckdb.DuckDBPyConnection | None = None, **config: Any) -> duckdb.DuckDBPyConnection:
    """A private in-memory DuckDB that opens no file and draws no progress bar into anybody's output.

    Args:
        beside: Another one whose database this one uses as well, where many are needed: to make one takes 30 ms.
            What is registered with one is not seen in the other.
        config: DuckDB's options; those given here win.
    """
    import duckdb

    options = {"enable_external_access": False, **config}
    con = duckdb.connect(":memory:", config=options) if beside is None else beside.cursor()
    # on in Jupyter and under `python -c`; turning off what is off is refused in Jupyter where ipywidgets is missing
    if con.execute("SELECT current_setting('enable_progress_bar')").fetchall() != [(False,)]:
        con.execute("SET enable_progress_bar = false")
    return con
