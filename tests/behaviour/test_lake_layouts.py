"""Tables whose partitioning changed: whatever is replaced or leaves later, a filter finds every row that is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import reduce
from itertools import pairwise, permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.expressions import And, BooleanExpression, EqualTo, IsNaN, IsNull
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from autoloader import loader
from autoloader.apply.removal import remove_rows
from autoloader.lake import Lake
from autoloader.schema import Column, TableSchema, parse_type
from tests.behaviour import lake_kit as kit
from tests.replacing import Here

TABLE = "shop.orders"
COLUMNS = {"k": "string", "v": "int", "d": "date", "f": "double"}
SCHEMA = TableSchema(tuple(Column(name, parse_type(kind)) for name, kind in COLUMNS.items()))
LAYOUTS = {
    "none": (),
    "identity": ("k",),
    "month": ("month(d)",),
    "day": ("day(d)",),
    "bucket": ("bucket[3](v)",),
    "truncate": ("truncate[10](v)", "k"),
    "double": ("f",),
}
RING = [*pairwise([*LAYOUTS, "none"])]
PAIRS = [pytest.param(*pair, marks=[] if pair in RING else pytest.mark.slow) for pair in permutations(LAYOUTS, 2)]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    found = Lake(project_dir=tmp_path)
    yield found
    found.close()


def rows_of(sources: Iterable[int], batch_id: str) -> str:
    """Three rows of each source file; those of several files are alike enough to share data files."""
    ids = ", ".join(f"({number})" for number in sources)
    return (
        "SELECT CASE r WHEN 2 THEN NULL ELSE 'k' || r END AS k, (s * 3 + r)::INT AS v,"
        " DATE '2024-01-30' + (s % 2 + r)::INT AS d, CASE r WHEN 0 THEN 'nan'::DOUBLE ELSE r END AS f,"
        " s::BIGINT AS _src_file_id, 'file:///f' || s AS _src_path, r AS _src_row,"
        f" '{batch_id}' AS _batch_id, TIMESTAMPTZ '2026-01-02 03:04:05+00' AS _ingested_at, NULL::VARCHAR AS _rescued"
        f" FROM (VALUES {ids}) AS t(s), range(3) AS u(r)"
    )


def load(lake: Lake, sources: Sequence[int], batch_id: str, gone: Sequence[int] = ()) -> None:
    """One batch: rows of source files come, those of others leave; as apply does both."""
    tools: Any = SimpleNamespace(lake=lake, engine=Here, storage={})
    data, removed = [loader.RESULT.empty_table()], ()
    if sources:
        data.append(kit.data_files(lake, TABLE, rows_of(sources, batch_id), batch_id))
    if gone:
        removal = remove_rows(tools, TABLE, None, batch_id, pa.array(gone, pa.int64()))
        data.append(removal.data_files)
        removed = removal.removed
    lake.commit(TABLE, kit.batch(pa.concat_tables(data), batch_id, removed_files=removed))


def internal(value: object) -> object:
    return (value - date(1970, 1, 1)).days if isinstance(value, date) else value


def partitions_of(table: Table, file: DataFile, rows: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    """The partitions that rows of a data file belong to, by the file's own partition spec."""
    found: list[list[str]] = [[] for _ in rows]
    for field in table.specs()[file.spec_id].fields:
        source = table.schema().find_field(field.source_id)
        of = field.transform.transform(source.field_type)
        for values, row in zip(found, rows, strict=True):
            values.append(str(of(internal(row[source.name]))))
    return {tuple(values) for values in found}


def term(name: str, value: Any) -> BooleanExpression:
    if value is None:
        return IsNull(name)
    return IsNaN(name) if value != value else EqualTo(name, str(value) if isinstance(value, date) else value)


def files_for(table: Table, row: dict[str, Any]) -> set[str]:
    """The data files that are left to be read where rows are asked for that are like this one in all columns."""
    wanted = reduce(And, (term(name, row[name]) for name in COLUMNS))
    return {task.file.file_path for task in table.scan(row_filter=wanted).plan_files()}


def check(lake: Lake, sources: Iterable[int]) -> None:
    """The table holds those source files, each data file lies in its partition, and filters find each row."""
    table = lake._catalog.load_table(TABLE)
    ids = []
    for task in table.scan().plan_files():
        path = task.file.file_path
        rows = pq.read_table(path.removeprefix("file://"), partitioning=None).to_pylist()
        assert partitions_of(table, task.file, rows) == {tuple(map(str, task.file.partition._data))}
        assert all(path in files_for(table, row) for row in rows)
        ids += [row["v"] for row in rows]
    assert sorted(ids) == sorted(s * 3 + r for s in sources for r in range(3))
    assert sorted(table.scan(selected_fields=("v",)).to_arrow()["v"].to_pylist()) == sorted(ids)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_rows_that_stay_in_an_old_layout_are_found_after_replacements_and_deletions(
    lake: Lake, before: str, after: str
) -> None:
    lake.create(TABLE, SCHEMA, LAYOUTS[before])
    load(lake, [1, 2, 3, 4], "b1")
    lake.evolve(TABLE, partition_by=LAYOUTS[after])
    load(lake, [11], "b2", gone=[1])
    check(lake, [2, 3, 4, 11])
    load(lake, [], "b3", gone=[2])
    load(lake, [13, 21], "b4", gone=[3, 11])
    check(lake, [4, 13, 21])
    load(lake, [14], "b5", gone=[4])
    check(lake, [13, 14, 21])
    assert {task.file.spec_id for task in lake._catalog.load_table(TABLE).scan().plan_files()} == {1}


def test_a_number_of_buckets_or_a_width_can_change_and_change_back(lake: Lake) -> None:
    def lay_out(*terms: str) -> list[tuple[int, str]]:
        assert lake.evolve(TABLE, partition_by=terms).partition_by == terms
        return [(field.field_id, field.name) for field in lake._catalog.load_table(TABLE).spec().fields]

    lake.create(TABLE, SCHEMA, ["bucket[3](v)"])
    load(lake, [1, 2], "b1")
    assert lay_out("bucket[7](v)") == [(1001, "v_bucket_7")]
    load(lake, [3, 4], "b2", gone=[1])
    check(lake, [2, 3, 4])
    assert lay_out("truncate[1](k)", "bucket[3](v)") == [(1002, "k_trunc"), (1000, "v_bucket")]
    load(lake, [5, 6], "b3", gone=[3])
    assert lay_out("truncate[2](k)", "bucket[7](v)") == [(1003, "k_trunc_2"), (1001, "v_bucket_7")]
    load(lake, [7], "b4", gone=[2, 5])
    check(lake, [4, 6, 7])
    assert lay_out("bucket[3](v)") == [(1000, "v_bucket")]
    load(lake, [8], "b5", gone=[4, 7])
    check(lake, [6, 8])
