"""DuckDB connections of this process alone, for queries over tables in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb


def in_memory(**config: Any) -> duckdb.DuckDBPyConnection:
    """A private in-memory DuckDB that opens no file and draws no progress bar into anybody's output.

    Args:
        config: DuckDB's options; those given here win.
    """
    import duckdb

    con = duckdb.connect(":memory:", config={"enable_external_access": False, **config})
    # on in Jupyter and under `python -c`; turning off what is off is refused in Jupyter where ipywidgets is missing
    if con.execute("SELECT current_setting('enable_progress_bar')").fetchall() != [(False,)]:
        con.execute("SET enable_progress_bar = false")
    return con
