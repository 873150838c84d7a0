"""The columns that a spec asks for beside those that are pinned."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from autoloader import schema as schemas
from autoloader.project.resolving import resolve
from tests.planning import spec_of


def test_a_column_that_is_renamed_keeps_its_place_among_those_that_are_not_declared() -> None:
    pinned = [{"name": "id", "type": "long"}, {"name": "amount", "type": "long"}, {"name": "old", "type": "string"}]
    row = SimpleNamespace(schema=pinned, dialect=None, spec={"schema": {"columns": pinned}})
    columns = [{"name": "id", "type": "long"}, {"name": "total", "type": "long", "from": "amount"}]
    recipe = resolve(cast(Any, None), spec_of(schema={"columns": columns}), cast(Any, row), None)
    assert recipe.schema is not None
    assert schemas.to_data(recipe.schema) == [*columns, pinned[2]]


@pytest.mark.parametrize("more", ["add", "ignore"])
def test_columns_of_folders_come_beside_declared_ones_with_the_type_of_the_spec(more: str) -> None:
    columns = [{"name": "id", "type": "long"}]
    spec = spec_of(source={"partitions": {"year": "int"}}, schema={"columns": columns, "new_columns": more})
    recipe = resolve(cast(Any, None), spec, None, None)
    assert recipe.schema is not None
    assert schemas.to_data(recipe.schema) == [*columns, {"name": "year", "type": "int"}]


@pytest.mark.parametrize(("pinned", "wanted"), [("date", "int"), ("string", "int"), ("long", "long"), ("int", "int")])
def test_a_pinned_column_of_a_folder_has_the_type_of_the_spec_or_a_wider_one(pinned: str, wanted: str) -> None:
    known = [{"name": "Year", "type": pinned}, {"name": "id", "type": "long"}]
    row = SimpleNamespace(schema=known, dialect=None, spec={})
    recipe = resolve(cast(Any, None), spec_of(source={"partitions": {"year": "int"}}), cast(Any, row), None)
    assert recipe.schema is not None
    assert schemas.to_data(recipe.schema) == [{"name": "Year", "type": wanted}, known[1]]
