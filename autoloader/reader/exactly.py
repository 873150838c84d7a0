"""Parquet files of which DuckDB would lose digits without a word, as copies of which it loses none.

DuckDB cuts INT96 times to microseconds and makes doubles of decimals of more than 38 digits. Such values
become texts here, digit by digit, or times in nanoseconds, so that the cast table can judge them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoloader.errors import ReadError

if TYPE_CHECKING:
    import pyarrow as pa

_NANOS_END_US: Final = 9_223_372_036_854_775  # microseconds from 1970 that nanoseconds of 64 bits reach
_WIDE: Final = re.compile(r"precision=(39|[4-6][0-9]|7[0-6])\b")


def without_losses(path: Path, schema: str, workdir: Path) -> Path:
    """The file itself, or a copy in `workdir` where DuckDB would lose digits.

    Args:
        path: A Parquet file.
        schema: Its schema, as `parquet_schema` gives it.
        workdir: Made where it is needed.

    Raises:
        ReadError: A decimal of more than 38 digits stands inside of a list, map or struct.
    """
    if "int96" not in schema.lower() and not _WIDE.search(schema):
        return path
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as fine, pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as coarse:
        wide = _wide_columns(fine.schema_arrow)
        kinds = _int96_losses(fine, coarse)
        if not wide and not any(kinds.values()):
            return path
        workdir.mkdir(exist_ok=True)
        target = workdir / f"{path.name}.exact"
        _copy(fine, coarse, target, wide, kinds)
    return target


def wide_columns(path: Path, schema: str) -> frozenset[str]:
    """The columns of a Parquet file that have decimals of more than 38 digits: they are read as texts.

    Raises:
        ReadError: Such a decimal stands inside of a list, map or struct.
    """
    import pyarrow.parquet as pq

    return _wide_columns(pq.read_schema(path)) if _WIDE.search(schema) else frozenset()


def _wide_columns(schema: pa.Schema) -> frozenset[str]:
    import pyarrow as pa

    for field in schema:
        if "decimal256(" in str(field.type) and not pa.types.is_decimal256(field.type):
            raise ReadError(
                f"Column {field.name} has decimals of more than 38 digits inside.",
                why=f"Its type is {field.type}; neither the table nor the reader holds so many digits.",
                fix="Write them as strings, or with at most 38 digits.",
            )
    return frozenset(f.name for f in schema if pa.types.is_decimal256(f.type))


def _int96_losses(fine: Any, coarse: Any) -> dict[str, str]:
    """Per column that holds INT96: `""` no digit below a microsecond, else what keeps them: `ns` or `text`."""
    import numpy as np

    leaves = (fine.schema.column(i) for i in range(len(fine.schema)))
    names = list(dict.fromkeys(c.path.split(".")[0] for c in leaves if c.physical_type == "INT96"))
    found = dict.fromkeys(names, "")
    for group in range(fine.num_row_groups if names else 0):
        nanos, micros = (file.read_row_group(group, columns=names) for file in (fine, coarse))
        for name in names:
            parts = zip(_leaves(nanos[name]), _leaves(micros[name]), strict=True)
            for below, above in ((_rest(n, u), u) for n, u in parts):
                if below.any():
                    far = np.abs(_numbers(above)).max() > _NANOS_END_US
                    found[name] = "text" if far or found[name] == "text" else "ns"
    return found


def _leaves(array: Any) -> list[Any]:
    """The timestamp arrays of a column, at every depth, in one order."""
    import pyarrow as pa

    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    kind = array.type
    if pa.types.is_timestamp(kind):
        return [array]
    if pa.types.is_struct(kind):
        return [leaf for part in array.flatten() for leaf in _leaves(part)]
    if pa.types.is_map(kind):
        return [*_leaves(array.keys), *_leaves(array.items)]
    return _leaves(array.flatten()) if pa.types.is_list(kind) else []


def _numbers(array: Any) -> Any:
    import pyarrow as pa

    return array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)


def _rest(nanos: Any, micros: Any) -> Any:
    """Nanoseconds below the microsecond; right also where nanoseconds have overflown."""
    import numpy as np

    with np.errstate(over="ignore"):
        return _numbers(nanos) - _numbers(micros) * 1000


def _copy(fine: Any, coarse: Any, target: Path, wide: frozenset[str], kinds: dict[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    try:
        for group in range(fine.num_row_groups):
            nanos, micros = (file.read_row_group(group) for file in (fine, coarse))
            columns = {}
            for name in fine.schema_arrow.names:
                kind = kinds.get(name)
                plain = pa.types.is_timestamp(nanos[name].type)
                if name in wide:
                    columns[name] = nanos[name].cast(pa.string())
                elif kind == "text" and plain:
                    columns[name] = _texts(nanos[name], micros[name])
                else:
                    columns[name] = nanos[name] if kind == "ns" else micros[name]
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(target, table.schema, compression="lz4")
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _texts(nanos: Any, micros: Any) -> pa.Array:
    """Times as texts, with nine decimals where there is something below the microsecond."""
    import numpy as np
    import pyarrow as pa

    nanos, micros = nanos.combine_chunks(), micros.combine_chunks()
    rest = _rest(nanos, micros)
    texts = np.datetime_as_string(_numbers(micros).astype("datetime64[us]"))
    lengthened = np.where(rest != 0, np.char.add(texts, np.char.zfill(rest.astype(str), 3)), texts)
    return pa.array(lengthened, pa.string(), mask=micros.is_null().to_numpy(zero_copy_only=False))
