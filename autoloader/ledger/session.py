"""One connection to the state database: SQL with `:name` parameters in, Arrow out, temporary tables from Arrow."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.ledger.address import Address
from autoloader.ledger.failures import ledger_error

if TYPE_CHECKING:
    from adbc_driver_manager import AdbcConnection

Value = str | int | float | bool | bytes | datetime | date | Decimal | None

INSTANT_US: Final = pa.timestamp("us", tz="UTC")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")


class Session:
    """One connection. SQL here is what SQLite and Postgres both understand, with `:name` parameters."""

    def __init__(self, address: Address, connection: AdbcConnection) -> None:
        self._address = address
        self._connection = connection
        self.is_sqlite = address.path is not None

    def begin(self, lock_timeout_s: float) -> None:
        """Starts the transaction; on SQLite it takes the write lock at once."""
        if self.is_sqlite:
            self.execute("BEGIN IMMEDIATE")
            return
        self._connection.set_autocommit(False)
        wait_ms = int(lock_timeout_s * 1000)
        self.query(
            f"SELECT set_config('lock_timeout', '{wait_ms}', true),"
            " set_config('idle_in_transaction_session_timeout', '60000', true), set_config('jit', 'off', true)"
        )

    def commit(self) -> None:
        """Makes the transaction last."""
        import adbc_driver_manager as manager

        if self.is_sqlite:
            self.execute("COMMIT")
            return
        try:
            self._connection.commit()
        except manager.Error as error:
            raise ledger_error(self._address, error, connected=True) from error

    def rollback(self) -> None:
        """Undoes the transaction. Says nothing if the connection is gone: then it is undone anyway."""
        import adbc_driver_manager as manager

        try:
            if self.is_sqlite:
                self.execute("ROLLBACK")
            else:
                self._connection.rollback()
        except Exception as error:
            if not isinstance(error, manager.Error) and type(error).__module__.split(".")[0] != "autoloader":
                raise

    def execute(self, sql: str, **values: Value) -> int:
        """Runs a statement that returns no rows.

        Returns:
            The number of rows changed.
        """
        import adbc_driver_manager as manager

        try:
            with self._statement(sql, values) as statement:
                return int(statement.execute_update())
        except manager.Error as error:
            raise ledger_error(self._address, error, connected=True) from error

    def query(self, sql: str, **values: Value) -> pa.Table:
        """Runs a statement that returns rows, in the types that the driver finds in them."""
        import adbc_driver_manager as manager

        try:
            with self._statement(sql, values) as statement:
                stream, _ = statement.execute_query()
                return pa.RecordBatchReader.from_stream(stream).read_all()
        except (manager.Error, pa.ArrowException, OSError) as error:
            raise ledger_error(self._address, error, connected=True) from error

    def read(self, schema: pa.Schema, sql: str, **values: Value) -> pa.Table:
        """Runs a SELECT whose columns are those of `schema`, in its order.

        SQLite's driver takes a column's type from the first thousand rows, so a typed row that is cut off
        again goes before them. It makes an ORDER BY in `sql` meaningless: sort what comes back.

        Returns:
            A table of exactly `schema`.
        """
        if self.is_sqlite:
            typed = ", ".join(f"{_literal(field.type)} AS {field.name}" for field in schema)
            found = self.query(f"SELECT {typed} UNION ALL SELECT * FROM ({sql})", **values).slice(1)
        else:
            found = self.query(sql, **values)
        columns = [_restored(found.column(index), field.type) for index, field in enumerate(schema)]
        return pa.Table.from_arrays(columns, schema=schema)

    def rows(self, schema: pa.Schema, sql: str, **values: Value) -> list[dict[str, Any]]:
        """`read` for the few: one dict per row, instants to the microsecond in UTC."""
        table = self.read(schema, sql, **values)
        instants = [field.name for field in schema if pa.types.is_timestamp(field.type)]
        plain = [field.with_type(pa.int64()) if field.name in instants else field for field in schema]
        found: list[dict[str, Any]] = table.cast(pa.schema(plain)).to_pylist()
        for row in found:
            for name in instants:
                micros = row[name]
                row[name] = None if micros is None else _EPOCH + timedelta(microseconds=micros)
        return found

    def stage(self, name: str, table: pa.Table, *, key: str) -> None:
        """Puts a table into a temporary one that lives as long as the session.

        Args:
            name: The temporary table's name.
            table: Its rows.
            key: A column without doubles; it gets an index, without which a join would be quadratic.
        """
        import adbc_driver_manager as manager

        if self.is_sqlite:
            table = _sqlite_table(table)
        statement = manager.AdbcStatement(self._connection)
        try:
            statement.set_options(
                **{
                    "adbc.ingest.target_table": name,
                    "adbc.ingest.mode": "adbc.ingest.mode.create",
                    "adbc.ingest.temporary": "true",
                }
            )
            statement.bind_stream(table.to_reader())
            statement.execute_update()
            self._settle()
        except manager.Error as error:
            raise ledger_error(self._address, error, connected=True) from error
        finally:
            statement.close()
        self.execute(f"CREATE UNIQUE INDEX {name}_key ON {name} ({key})")
        if "n" in table.column_names:
            self.execute(f"CREATE UNIQUE INDEX {name}_n ON {name} (n)")
        if not self.is_sqlite:
            self.execute(f"ANALYZE {name}")

    def _settle(self) -> None:
        """After a COPY, Postgres' driver takes the transaction for ended and would say BEGIN once more inside of it.

        It leaves the answer's end unread. Asked for an option of the connection, it reads that.
        """
        if not self.is_sqlite:
            self._connection.get_option("adbc.connection.db_schema")

    @contextmanager
    def _statement(self, sql: str, values: Mapping[str, Value]) -> Iterator[Any]:
        import adbc_driver_manager as manager

        text, bound = self._placed(sql, values)
        statement = manager.AdbcStatement(self._connection)
        try:
            statement.set_sql_query(text)
            if bound is not None:
                statement.prepare()
                statement.bind(bound)
            yield statement
        finally:
            statement.close()

    def _placed(self, sql: str, values: Mapping[str, Value]) -> tuple[str, pa.RecordBatch | None]:
        """`:name` becomes the driver's placeholder; an unknown (None) becomes NULL, which has no type."""
        order: list[str] = []

        def place(match: re.Match[str]) -> str:
            name = match.group(1)
            if values[name] is None:
                return "NULL"
            if name not in order:
                order.append(name)
            return f"{'?' if self.is_sqlite else '$'}{order.index(name) + 1}"

        text = _PARAMETER.sub(place, sql)
        if not order:
            return text, None
        columns = [_column(value, self.is_sqlite) for value in map(values.__getitem__, order)]
        return text, pa.RecordBatch.from_arrays(columns, names=order)


def _column(value: Value, is_sqlite: bool) -> pa.Array:
    """A column of one value. From buffers: `pa.array` and `pa.scalar` import pandas, a fifth of a second."""
    match value:
        case datetime():
            micros = _buffered(pa.int64(), struct.pack("<q", (value - _EPOCH) // timedelta(microseconds=1)))
            at = micros.cast(INSTANT_US)
            return at.cast(pa.string()) if is_sqlite else at
        case date():
            return _text(pa.string(), value.isoformat().encode())
        case bool() if not is_sqlite:
            return _buffered(pa.bool_(), bytes([value]))
        case bool() | int():
            return _buffered(pa.int64(), struct.pack("<q", value))
        case float() | Decimal():
            return _buffered(pa.float64(), struct.pack("<d", value))
        case str():
            return _text(pa.string(), value.encode())
        case bytes():
            return _text(pa.binary(), value)
        case _:
            raise TypeError(f"no parameter: {value!r}")


def _buffered(kind: pa.DataType, content: bytes) -> pa.Array:
    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(content)])


def _text(kind: pa.DataType, content: bytes) -> pa.Array:
    offsets = pa.py_buffer(struct.pack("<ii", 0, len(content)))
    return pa.Array.from_buffers(kind, 1, [None, offsets, pa.py_buffer(content)])


def _literal(kind: pa.DataType) -> str:
    """A value of the SQLite storage class in which a column of this type is kept."""
    if pa.types.is_floating(kind):
        return "0.0"
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "0"
    return "x''" if pa.types.is_binary(kind) else "''"


def _restored(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A column as it came from a driver in the type that was asked for."""
    if column.type == kind:
        return column
    if pa.types.is_timestamp(kind) and pa.types.is_string(column.type):
        return column.cast(INSTANT_US).cast(kind)
    return column.cast(kind)


def _sqlite_table(table: pa.Table) -> pa.Table:
    """Instants and dates as text, truths as integers: what the tables keep in SQLite."""
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_timestamp(field.type):
            column = column.cast(INSTANT_US, safe=False).cast(pa.string())
        elif pa.types.is_date(field.type):
            column = column.cast(pa.string())
        elif pa.types.is_boolean(field.type):
            column = pc.cast(column, pa.int64())
        else:
            continue
        table = table.set_column(index, field.name, column)
    return table
