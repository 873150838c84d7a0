"""What a plan has inferred, written into the specs that left it open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoloader.apply import Recipe
from autoloader.render import plural
from autoloader.schema import to_data
from autoloader.specfiles import write_columns

if TYPE_CHECKING:
    from autoloader.project.planned import Planned
    from autoloader.specfiles import ProjectSpecs


def write_schemas(specs: ProjectSpecs, planned: Planned) -> list[str]:
    """Declare the columns that a plan would load with, in the file of each ingestion that it planned.

    From the end of each file, so that the places of the documents before hold.

    Args:
        specs: The specs that the plan was made from.
        planned: The plan.

    Returns:
        One sentence per spec that has been changed.

    Raises:
        SettingsError: A spec is written in a way that lines cannot be added to.
    """
    said = []
    for loaded in sorted(specs.ingestions, key=lambda one: (one.file, -one.line)):
        recipe = planned.specs.get(loaded.spec.name)
        schema = None if recipe is None else Recipe.from_data(recipe).schema
        if schema is None:
            continue
        declared = [(column.name, column.type) for column in loaded.spec.table_schema.columns or ()]
        if write_columns(Path(loaded.file), loaded.line, to_data(schema), declared):
            said.append(f"{loaded.file}: {loaded.spec.name} declares {plural(len(schema.columns), 'column')} now")
    return said
