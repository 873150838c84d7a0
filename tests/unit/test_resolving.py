"""The columns that a spec asks for beside those that are pinned."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

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
