"""Imported by the process that the harness forks from: everything that a command needs, so that none of it is
imported again. Starts nothing: no thread, no connection, no engine."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Final

MODULES: Final = (
    "adbc_driver_postgresql",
    "adbc_driver_sqlite",
    "autoloader.cli.applying",
    "autoloader.cli.planning",
    "autoloader.cli.progress",
    "autoloader.cli.surgery",
    "autoloader.engine.connect",
    "autoloader.lake.localio",
    "autoloader.lake.sweeping",
    "autoloader.lake.tables",
    "autoloader.ledger.migrate",
    "autoloader.loader.rewrite",
    "autoloader.loader.tasks",
    "autoloader.project.applied",
    "autoloader.project.cells",
    "autoloader.project.planning",
    "autoloader.project.surgery",
    "autoloader.project.verifying",
    "autoloader.sources.local",
    "boto3",
    "duckdb",
    "encodings.idna",
    "encodings.utf_8_sig",
    "grpc._channel",
    "obstore",
    "pandas",
    "psycopg",
    "pyarrow.acero",
    "pyarrow.parquet",
    "pyiceberg.avro.decoder_fast",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "pyspark.sql.connect.functions",
    "pyspark.sql.connect.session",
    "pytest",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "tests.faults.mortal",
)

for _name in MODULES:
    with suppress(ImportError):  # an extra that is not installed
        import_module(_name)
