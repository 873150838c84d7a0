"""One file's pinned bytes and a resolved contract -> one DuckDB SELECT, its rejects and its fingerprint.

Preview and loader run the very same SELECT, so what preview shows is what apply loads. Nothing here
lists, fetches or writes tables.

    con = reader.connect(threads=2, memory_limit="2GB", temp_directory=workdir)
    files = [SourceFile(path, key, Lineage(...)), ...]
    for group in reader.groups(files, contract):          # files that one statement can read together
        with reader.open_reading(con, group, contract, workdir) as reading:
            done = reading.run(lambda select_sql: con.execute(f"COPY ({select_sql}) TO ... (RETURN_STATS)"))

`reading.run` calls the function with a strict SELECT that raises on the first bad value, and, only when
it has raised, looks for the bad rows and calls it again with a SELECT of the good ones. What the function
wrote in a call that raised is to be thrown away. `done.files` says per file what became of it;
`done.rejects` has the rejected values.
"""

from __future__ import annotations

from autoloader.reader.contract import Dialect, Lineage, ReadContract, SourceFile
from autoloader.reader.duck import connect
from autoloader.reader.growing import SchemaGrowsError, grown
from autoloader.reader.infer import Inferred, dialect_of, infer
from autoloader.reader.raw import fingerprint
from autoloader.reader.reading import REJECTS, Done, FileDone, Reading, groups, open_reading
from autoloader.reader.stage import sentence

__all__ = [
    "REJECTS",
    "Dialect",
    "Done",
    "FileDone",
    "Inferred",
    "Lineage",
    "ReadContract",
    "Reading",
    "SchemaGrowsError",
    "SourceFile",
    "connect",
    "dialect_of",
    "fingerprint",
    "groups",
    "grown",
    "infer",
    "open_reading",
    "sentence",
]
