"""Which keys count: glob dialect, hidden rule, dates in paths, windows, slices. Pure: no storage, no clock.

Every rule exists once as a regular expression or SQL text that DuckDB runs over a column of keys, and as
a Python function for one key; `tests/laws/test_globs.py` holds them equal.
"""

from autoloader.matching.endings import default_include, format_of
from autoloader.matching.folders import FolderFilter, Verdict, folder_filter
from autoloader.matching.globs import Glob, compile_glob, literal_prefixes, matches, matches_sql
from autoloader.matching.hidden import is_hidden, is_hidden_sql
from autoloader.matching.near import nearest
from autoloader.matching.pathdate import Granularity, PathDate, compile_path_date
from autoloader.matching.window import Slice, Window, build_window, local_bounds, slices

__all__ = [
    "FolderFilter",
    "Glob",
    "Granularity",
    "PathDate",
    "Slice",
    "Verdict",
    "Window",
    "build_window",
    "compile_glob",
    "compile_path_date",
    "default_include",
    "folder_filter",
    "format_of",
    "is_hidden",
    "is_hidden_sql",
    "literal_prefixes",
    "local_bounds",
    "matches",
    "matches_sql",
    "nearest",
    "slices",
]
