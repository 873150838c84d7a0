"""Which catalog a project's settings mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoloader.project.place import Place
from autoloader.spec import Settings


@pytest.mark.parametrize(
    ("catalog", "kind"),
    [
        ({}, "sql"),
        ({"uri": "postgresql+psycopg2://db/lake"}, "sql"),
        ({"type": "rest", "uri": "http://catalog"}, "rest"),
        ({"uri": "http://catalog", "warehouse": "main"}, None),
        ({"uri": "thrift://hive:9083"}, None),
        ({"py-catalog-impl": "my.Catalog"}, None),
    ],
)
def test_a_catalog_without_a_type_is_sql_only_where_its_uri_says_so(
    tmp_path: Path, catalog: dict[str, str], kind: str | None
) -> None:
    found = Place.of(tmp_path / "ingestions").catalog_properties(Settings(catalog=catalog))
    assert found.get("type") == kind
    assert kind == "sql" or found.items() >= catalog.items()
