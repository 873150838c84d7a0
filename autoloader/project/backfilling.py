"""After an apply: how far each backfill is, against a fresh listing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from autoloader.errors import AutoloaderError
from autoloader.inventory import WORK, Lane
from autoloader.planner import Asked, backfill_progress, rules_for
from autoloader.project.looking import history_of, look_at, recorded_of
from autoloader.sources import canonical

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from autoloader.diff import BackfillRules
    from autoloader.ledger import IngestionRow
    from autoloader.project.planned import Planned
    from autoloader.project.project import Project


def keep_progress(project: Project, planned: Planned) -> None:
    """Record the progress of every backfill that the plan looked at.

    A window is complete only when a listing made after the load shows nothing new. A source that does not
    answer leaves the progress as it was.
    """
    applied = {basis.ingestion for basis in planned.plan.basis}
    for loaded in project.specs().ingestions:
        row = project.ledger.ingestion(loaded.spec.name)
        if loaded.spec.backfill is None or row is None or row.name not in applied:
            continue
        recorded = recorded_of(project.ledger, row)
        try:
            eyes = project.eyes()
            files = look_at(eyes, loaded.spec, recorded, history_of(project.ledger, row.name), Asked()).files
        except AutoloaderError:
            continue
        root = canonical(loaded.spec.source.path, project.place.project_dir)
        window = rules_for(loaded.spec, root=root, now=eyes.now, recorded=recorded, settings=eyes.settings).backfill
        if window is None:
            continue
        began = _began(planned.table, row.name)
        keep = partial(_kept, window=window, files=files, now=eyes.now, began=began)
        project.ledger.amend_ingestion(row.name, keep, now=eyes.now)


def _kept(row: IngestionRow, window: BackfillRules, files: pa.Table, now: datetime, began: list[str]) -> IngestionRow:
    """What is recorded by now, whoever changed it while the source was listed, with this progress."""
    return replace(row, backfill=backfill_progress(window, files, row.backfill, now, began))


def _began(files: pa.Table, name: str) -> list[str]:
    """Slices of which the plan loaded files."""
    import pyarrow as pa

    work = pc.is_in(files["disposition"], value_set=pa.array(sorted(WORK)))
    mine = pc.and_(work, pc.and_(pc.equal(files["ingestion"], name), pc.equal(files["lane"], Lane.BACKFILL.value)))
    return list(pc.unique(files.filter(pc.fill_null(mine, False))["slice"]).drop_null().to_pylist())
