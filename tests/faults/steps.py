"""Every step at which the harness kills, by the story that leads there."""

from __future__ import annotations

from typing import Final

from tests.faults.mortal import Step

_APPLY = "autoloader.apply"
_LEDGER = "autoloader.ledger"
_REBUILD = f"{_APPLY}.applying:rebuilding.rebuild_aside"
_REMOVAL = f"{_APPLY}.applying:delete_rows"
_FILL = f"{_APPLY}.applying:fill_from_rescued"
_RECOVERY = "autoloader.project.applied:recover"
_CLAIM = f"{_LEDGER}.claims:Claims.claim"
_WRITTEN = f"{_LEDGER}.claims:Claims.written"
_RECORD = f"{_LEDGER}.records:Records.record"
_COMMIT = "autoloader.lake:Lake.commit"
_MAP = "autoloader.engine.engines:Engine.map"
_CATALOG = "pyiceberg.catalog.sql:SqlCatalog"

LOAD: Final = (
    Step("a lease is taken", f"{_LEDGER}.leases:Leases.acquire", times=1),
    Step("the plan is begun", f"{_APPLY}.applying:recording.begin", times=1),
    Step("the run is opened", f"{_LEDGER}.runs:Runs.start_run", times=1),
    Step("files are being claimed", _CLAIM, "commit"),
    Step("files are claimed", _CLAIM),
    Step("tasks run", _MAP, "during"),
    Step("data files are written", _WRITTEN, "before"),
    Step("results are being kept", _WRITTEN, "commit"),
    Step("results are kept", _WRITTEN),
    Step("old rows are rewritten", f"{_APPLY}.removal:remove_rows", without=_REMOVAL, times=1),
    Step("a commit is asked for", f"{_CATALOG}._write_metadata", within=_COMMIT),
    Step("a commit is done, not answered", f"{_CATALOG}.commit_table", within=_COMMIT),
    Step("rejected rows are not committed yet", "autoloader.lake.tables:_commit_quarantine", "before"),
    Step("a batch is committed", _COMMIT),
    Step("a batch is being recorded", _RECORD, "commit", without=_RECOVERY),
    Step("a batch is recorded", _RECORD, without=_RECOVERY),
    Step("the run is closed", f"{_LEDGER}.runs:Runs.finish_run", without=_RECOVERY, times=1),
    Step("what was seen is noted", f"{_APPLY}.applying:note_files", times=1),
    Step("the plan is done", f"{_APPLY}.applying:recording.finish", times=1),
)

OUTLIVING: Final = (
    Step("tasks run on after recovery", _MAP, "during", times=1),
)  # fmt: skip

REMOVAL: Final = (
    Step("removal: files are claimed", _CLAIM, within=_REMOVAL, times=1),
    Step("removal: data files are rewritten", f"{_APPLY}.removal:remove_rows", within=_REMOVAL, times=1),
    Step("removal: results are kept", _WRITTEN, within=_REMOVAL, times=1),
    Step("removal: a commit is done, not answered", f"{_CATALOG}.commit_table", within=_REMOVAL, times=1),
    Step("removal: rows have left", _COMMIT, within=_REMOVAL, times=1),
    Step("removal: it is recorded", _RECORD, within=_REMOVAL, times=1),
)

REBUILD: Final = (
    Step("rebuild: the branch is made", "autoloader.lake:Lake.start_branch", times=1),
    Step("rebuild: files are claimed", _CLAIM, within=_REBUILD, times=3),
    Step("rebuild: results are kept", _WRITTEN, within=_REBUILD, times=3),
    Step("rebuild: a batch is on the branch", _COMMIT, within=_REBUILD, times=3),
    Step("rebuild: all batches are on the branch", "autoloader.lake:Lake.swap", "before", times=1),
    Step("rebuild: the branch is served, not answered", "autoloader.lake.tables:swap", times=1),
    Step("rebuild: the branch is served", "autoloader.lake:Lake.swap", times=1),
    Step("rebuild: rejected rows are kept", "autoloader.lake.tables:_commit_quarantine", within=_REBUILD, times=1),
    Step("rebuild: a batch is recorded", _RECORD, within=_REBUILD, times=3),
    Step("rebuild: old files are cleared", f"{_LEDGER}.marks:Marks.clear_rows", within=_REBUILD, times=1),
)

RELOAD: Final = (
    Step("clear-history: files are marked", f"{_LEDGER}.marks:Marks.mark_reload", times=1),
)  # fmt: skip

REQUEST: Final = (
    Step("request: files are marked", f"{_LEDGER}.marks:Marks.mark_reload", times=1),
    Step("request: it is being recorded", f"{_LEDGER}.journal:Journal.record_request", "commit", times=1),
    Step("request: it is recorded", f"{_LEDGER}.journal:Journal.record_request", times=1),
)

EMPTYING: Final = (
    Step("new-only: the table is emptied", "autoloader.lake:Lake.rollback", times=1),
    Step("new-only: the ledger knows", f"{_LEDGER}.marks:Marks.clear_rows", times=1),
)

RECOVERY: Final = (
    Step("recovery: a batch is taken over", f"{_LEDGER}.claims:Claims.take_over", times=1),
    Step("recovery: a batch is revoked or found", "autoloader.lake:Lake.revoke", times=1),
    Step("recovery: data files are deleted", "autoloader.lake:Lake.sweep", within=_RECOVERY, times=1),
    Step("recovery: files are given back", f"{_LEDGER}.claims:Claims.release", within=_RECOVERY, times=1),
    Step("recovery: a batch is recorded", _RECORD, within=_RECOVERY, times=1),
    Step("recovery: the run is closed", f"{_LEDGER}.runs:Runs.finish_run", within=_RECOVERY, times=1),
)

SCHEMA: Final = (
    Step("schema: the table has it", "autoloader.lake:Lake.evolve", times=1),
    Step("schema: the ledger has it", f"{_LEDGER}.ingestions:Ingestions.put_ingestion",
         within=f"{_APPLY}.applying:changes.record_schema", times=1),
    Step("schema: its version is kept", f"{_LEDGER}.journal:Journal.add_schema_version",
         within=f"{_APPLY}.applying:changes.record_schema", times=1),
)  # fmt: skip

FILLING: Final = (
    Step("fill: data files are written anew", _MAP, within=_FILL, times=1),
    Step("fill: a commit is done, not answered", f"{_CATALOG}.commit_table", within=_FILL, times=1),
    Step("fill: rows have their values", _FILL, times=1),
)

CREATE: Final = (
    Step("create: the state is being made", f"{_LEDGER}.migrate:_upgrade", times=1),
    Step("create: the state is made", f"{_LEDGER}.store:Ledger.init", times=1),
    Step("create: the namespace is made", f"{_CATALOG}.create_namespace_if_not_exists", times=1),
    Step("create: the table is asked for", f"{_CATALOG}._write_metadata", within=f"{_CATALOG}.create_table", times=1),
    Step("create: the table is made", "autoloader.lake:Lake.create", times=1),
    Step("create: the quarantine table is made", "autoloader.lake.tables:create",
         within="autoloader.lake.tables:_commit_quarantine", times=1),
    Step("create: the ingestion is recorded", f"{_APPLY}.applying:changes.create", times=1),
)  # fmt: skip

RENAME: Final = (
    Step("rename: the table has the new name", f"{_CATALOG}.rename_table", times=1),
    Step("rename: the quarantine table has it, too", "autoloader.lake:Lake.rename", times=1),
    Step("rename: the ledger knows", f"{_APPLY}.applying:changes.update", times=1),
)

ROLLBACK: Final = (
    Step("rollback: the table is back", "autoloader.lake:Lake.rollback", times=1),
    Step("rollback: the ledger is being set back", f"{_LEDGER}.restoring:Restoring.restore_to_run", "commit", times=1),
    Step("rollback: the ledger is back", f"{_LEDGER}.restoring:Restoring.restore_to_run", times=1),
)

REMEMBER: Final = (
    Step("rebuild-ledger: the ingestion is recorded", "autoloader.project.surgery:_record", times=1),
    Step("rebuild-ledger: files are being remembered", f"{_LEDGER}.restoring:Restoring.rebuild", "commit", times=1),
    Step("rebuild-ledger: files are remembered", f"{_LEDGER}.restoring:Restoring.rebuild", times=1),
)

LEAVE: Final = (
    Step("drop: the table is dropped", f"{_CATALOG}.drop_table", times=1),
    Step("drop: the quarantine table, too", "autoloader.lake:Lake.drop", times=1),
    Step("drop: the ingestion is forgotten", f"{_LEDGER}.ingestions:Ingestions.forget", times=1),
)

ALL: Final = (
    *LOAD, *OUTLIVING, *REMOVAL, *REBUILD, *RELOAD, *REQUEST, *EMPTYING, *RECOVERY, *SCHEMA, *FILLING, *CREATE, *RENAME,
    *ROLLBACK, *REMEMBER, *LEAVE,
)  # fmt: skip


def of(name: str) -> Step:
    """The step of that name."""
    return next(step for step in ALL if step.name == name)
