"""Whatever a schema becomes, the table stays readable, with the values that the class of the change promises."""

from __future__ import annotations

from decimal import Decimal as Number
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoloader.apply.changes import schema_update
from autoloader.errors import LakeError
from autoloader.lake import Lake
from autoloader.schema import ChangeClass, ChangeKind, Column, TableSchema, compare, parse_type
from tests.behaviour import lake_kit as kit

VALUES: dict[str, tuple[str, Any]] = {
    "int": ("7::INTEGER", 7),
    "long": ("7::BIGINT", 7),
    "float": ("1.5::FLOAT", 1.5),
    "double": ("1.5::DOUBLE", 1.5),
    "decimal(5,2)": ("1.25::DECIMAL(5,2)", Number("1.25")),
    "decimal(9,2)": ("1.25::DECIMAL(9,2)", Number("1.25")),
    "string": ("'x'", "x"),
    "struct<s: int>": ("{'s': 7::INTEGER}", {"s": 7}),
    "struct<s: long, t: string>": ("{'s': 7::BIGINT, 't': 'x'}", {"s": 7, "t": "x"}),
}
"""Per type, a value in SQL and as it is read back."""

COLUMNS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(sorted(VALUES)), min_size=1)
RENAMED = st.sampled_from([None, *"abcd"])


def schema_of(columns: dict[str, str], sources: dict[str, str]) -> TableSchema:
    return TableSchema(tuple(Column(n, parse_type(kind), sources.get(n)) for n, kind in columns.items()))


def load(lake: Lake, table: str, columns: dict[str, str], number: int) -> None:
    """One row of the values of these columns."""
    values = ", ".join(f"{VALUES[kind][0]} AS {name}" for name, kind in columns.items())
    batch_id = f"b{number}"
    data = kit.data_files(lake, table, f"SELECT {values}, {kit.lineage_sql(number, batch_id)}", batch_id)
    lake.commit(table, kit.batch(data, batch_id))


def rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    """The rows without lineage and nulls, by the file that they come of."""
    found = sorted(kit.scan(lake, table), key=lambda row: row["_src_file_id"])
    return [{k: _bare(v) for k, v in row.items() if not k.startswith("_") and v is not None} for row in found]


def _bare(value: Any) -> Any:
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


def said(columns: dict[str, str], names: dict[str, str] | None = None) -> dict[str, Any]:
    """What a row of the values of these columns says, under the names that they have now."""
    return {(names or {}).get(name, name): VALUES[kind][1] for name, kind in columns.items()}


@pytest.mark.slow
def test_a_table_follows_its_schema_with_every_value_that_it_had(tmp_path: Path) -> None:
    lake, numbers = Lake(project_dir=tmp_path), count()

    @settings(max_examples=25, deadline=None)
    @given(old=COLUMNS, new=COLUMNS, renamed=RENAMED)
    def check(old: dict[str, str], new: dict[str, str], renamed: str | None) -> None:
        table = f"raw.t{next(numbers)}"
        new = new if renamed is None else {**new, "z": old.get(renamed, "int")}
        before, after = schema_of(old, {}), schema_of(new, {} if renamed is None else {"z": renamed})
        names = {renamed: "z"} if renamed is not None and renamed not in new else {}
        blocked = any(change.change_class is ChangeClass.INCOMPATIBLE for change in compare(before, after))
        lake.create(table, before)
        load(lake, table, old, 1)
        try:
            lake.evolve(table, schema_update(before, after))
        except LakeError:
            assert blocked
            assert rows(lake, table) == [said(old)]
            return
        assert rows(lake, table) == [said(old, names)]
        if blocked:  # a narrower type, which a plan stops; the table keeps its own
            return
        load(lake, table, new, 2)
        assert rows(lake, table) == [said(old, names), said(new)]
        state = lake.table(table)
        assert state is not None
        left = compare(state.schema, after)
        assert {change.kind for change in left} <= {ChangeKind.DROP, ChangeKind.REORDER, ChangeKind.SOURCE}

    check()
    lake.close()
