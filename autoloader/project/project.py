"""`Project`: a folder of specs with everything that can be asked of it or done with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoloader.errors import RefusedError, SettingsError
from autoloader.project.place import Place
from autoloader.project.planned import Planned, Wishes, unknown_ingestion

if TYPE_CHECKING:
    from autoloader.apply import Progress, Stop
    from autoloader.lake import Lake
    from autoloader.ledger import Ledger
    from autoloader.project.answer import Answer
    from autoloader.project.computing import Engines
    from autoloader.project.looking import Eyes
    from autoloader.project.previewing import Shown
    from autoloader.project.reporting import Report
    from autoloader.specfiles import LoadedSpec, ProjectSpecs

Talk = Callable[[str], None]


def _quietly(text: str) -> None:
    """Talk for nobody."""


class Project:
    """One folder of specs, its state and its tables. Opens nothing before it is needed.

    Example:
        >>> project = Project("ingestions")  # doctest: +SKIP
        >>> project.plan()  # doctest: +SKIP
    """

    def __init__(
        self,
        folder: str | Path = "ingestions",
        *,
        env: str | None = None,
        variables: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Name a project.

        Args:
            folder: The folder of specs.
            env: Name of an overlay, `env/<name>.yml` in it.
            variables: Values for `vars`.
            environ: The environment; None = the process's own.
        """
        self.place = Place.of(folder)
        self._folder = Path(folder)
        self._env = env
        self._variables = dict(variables or {})
        self._environ = os.environ if environ is None else environ

    def clock(self) -> datetime:
        """Now, aware UTC. Everything below gets the time from here."""
        return datetime.now(UTC)

    @cached_property
    def _specs(self) -> ProjectSpecs:
        from autoloader import specfiles

        return specfiles.load(self._folder, variables=self._variables, env=self._env, environ=self._environ)

    def specs(self) -> ProjectSpecs:
        """Specs and settings, read and judged once.

        Raises:
            SpecErrors: Anything in the folder is wrong; every mistake at once.
        """
        return self._specs

    def spec(self, name: str) -> LoadedSpec:
        """One ingestion.

        Raises:
            SettingsError: There is none of that name.
        """
        found = {loaded.spec.name: loaded for loaded in self.specs().ingestions}
        if name not in found:
            raise unknown_ingestion(name, found)
        return found[name]

    @cached_property
    def ledger(self) -> Ledger:
        """The state. Looking does not make it."""
        from autoloader.ledger import open_ledger

        return open_ledger(self.place.state_url(self.specs().settings, self._environ))

    @cached_property
    def lake(self) -> Lake:
        """The tables."""
        from autoloader.lake import Lake

        settings = self.specs().settings
        return Lake(self.place.catalog_properties(settings), settings.storage, project_dir=self.place.project_dir)

    def eyes(self, talk: Talk = _quietly) -> Eyes:
        """What looking at the world needs."""
        from autoloader.project.looking import Eyes

        return Eyes(self.place.project_dir, self.specs().settings, self.ledger, self.lake, self.clock(), talk)

    # ------------------------------------------------------------------ plan and apply

    @classmethod
    def init(cls, folder: str | Path = "ingestions", **others: Any) -> list[str]:
        """Make settings, an example and the state; what is there stays.

        Returns:
            One line per thing, made or found.
        """
        from autoloader.project.beginning import begin

        return begin(cls, Path(folder), others)

    def plan(self, wishes: Wishes | None = None, *, talk: Talk = _quietly, **wanted: Any) -> Planned:
        """Plan: writes nothing and locks nothing.

        Args:
            wishes: What is wanted of the plan; None = everything as the specs say.
            talk: Told what is going on.
            wanted: Wishes by name instead: `select="flights"`, `max_usd=10`; see `Wishes`.

        Raises:
            SettingsError: There is no such wish, ingestion, tag or mode.
        """
        if wishes is not None and not isinstance(wishes, Wishes):
            raise SettingsError(f"{wishes!r} are no wishes.", fix='Name what is wanted: project.plan(select="flights")')
        from autoloader.project.planning import make_plan

        planned = make_plan(self.eyes(talk), self.specs(), wishes or Wishes.of(**wanted))
        return replace(planned, folder=str(self._folder))

    def write_schemas(self, planned: Planned) -> list[str]:
        """Declare in the spec files what a plan has inferred; one sentence per spec that was changed.

        Raises:
            SettingsError: A spec is written in a way that lines cannot be added to.
        """
        from autoloader.project.declaring import write_schemas

        return write_schemas(self.specs(), planned)

    def plan_for_apply(self, wishes: Wishes, *, talk: Talk, engine: str | None) -> tuple[Planned, Engines]:
        """Settle what a dead apply left, then plan; Spark starts as soon as the plan has work for it."""
        from autoloader.project.applied import plan_and_warm

        return plan_and_warm(self, wishes, talk, engine)

    def is_complete(self, run_id: str) -> bool:
        """Whether a run ended as complete, so that there is nothing in it to go on with.

        Raises:
            SettingsError: There is no such run.
        """
        from autoloader.project.resuming import run_of

        return run_of(self.ledger, run_id).state == "complete"

    def is_approved(self, planned: Planned, wishes: Wishes) -> bool:
        """Whether nobody needs to be asked: nothing changes, or the plan only goes on with a run."""
        from autoloader.project.resuming import goes_on, run_of

        changes = planned.plan.changes
        if not changes or wishes.resume is None or wishes.refresh:
            return not changes
        return goes_on(changes, run_of(self.ledger, wishes.resume))

    @staticmethod
    def nothing_done() -> Report:
        """The report of an apply that had nothing to do."""
        from autoloader.apply import Done
        from autoloader.project.reporting import Report

        return Report(Done(), 0.0)

    def apply(
        self,
        planned: Planned | None = None,
        *,
        engine: str | None = None,
        events: str | None = None,
        progress: Progress | None = None,
        stop: Stop | None = None,
        talk: Talk | None = None,
        started: Engines | None = None,
        again: Wishes | None = None,
        max_usd: Decimal | None = None,
    ) -> Report:
        """Carry out a plan. In a notebook its progress shows in the cell by itself.

        Args:
            planned: The plan; None = plan now. One that was saved comes from `Project.from_saved_plan`.
            engine: Which Spark runs the tasks; None = as the settings say.
            events: File that gets one JSON object per event.
            progress: Where people see how far it is.
            stop: Asked to stop at the next safe point?
            talk: Told what is going on.
            started: An engine that is starting already.
            again: What was wished of the plan, where it may be made anew unseen if others were quicker.
            max_usd: Dollars that it may spend in all; loading stops there.

        Raises:
            PlanStaleError: The world has moved since the plan.
            LockBusyError: Somebody else is at it.
            EngineError: Spark cannot be had.
            RefusedError: No plan was given, and the one made now would destroy or rebuild a table; or a saved plan
                may cost more than `max_usd`.
        """
        from autoloader.project.applied import Wanted, carry_out, plan_anew
        from autoloader.project.cells import ways_to_tell

        progress, talk = ways_to_tell(progress, talk)
        anew = None
        if planned is not None and not isinstance(planned, Planned):
            raise SettingsError(
                f"{planned!r} is no plan.",
                fix="Take a saved one from its file:\n  project, planned = Project.from_saved_plan(FILE)",
            )
        if planned is None:
            planned, started = self.plan_for_apply(Wishes(), talk=talk, engine=engine)
            self._refuse_unseen(planned, started)
        elif again is not None:
            anew = partial(plan_anew, self, again, talk, engine, started)
        return carry_out(self, planned, Wanted(engine, events, progress, stop, talk, started, anew, max_usd))

    @staticmethod
    def _refuse_unseen(planned: Planned, started: Engines) -> None:
        """What throws rows away is done only after somebody has seen the plan."""
        gone = planned.destructive()
        if gone:
            started.stop()
            raise RefusedError(
                "This would throw rows away, and nobody has seen the plan.",
                why=" ".join(what for _, what in gone),
                fix="Look at the plan, then apply it:\n  planned = project.plan()\n  project.apply(planned)",
            )

    @classmethod
    def from_saved_plan(
        cls, target: str | Path, *, folder: str | Path | None = None, **others: Any
    ) -> tuple[Project, Planned]:
        """The project of a saved plan, and the plan; `folder` where its specs lie elsewhere by now."""
        from autoloader import savedplan

        saved = savedplan.load(Path(target))
        project = cls(folder or saved.folder or "ingestions", **others)
        return project, Planned(saved.plan, saved.files, saved.specs, saved=True, folder=saved.folder)

    def preview(self, name: str, *, files: int = 3, rows: int = 20, file: str | None = None) -> Shown:
        """The rows that apply would load from a few files, and those that it would reject."""
        from autoloader.project.previewing import show

        return show(self, name, files=files, rows=rows, file=file)

    # ------------------------------------------------------------------ questions

    def status(self, *, offline: bool = False, talk: Talk = _quietly) -> Answer:
        """Progress of each lane of each ingestion.

        Args:
            offline: From the state alone; how many files wait is not known then.
            talk: Told how far the listing is.
        """
        from autoloader.project import progressing

        return progressing.status(self, offline=offline, talk=talk)

    def runs(self, *, ingestion: str | None = None, limit: int | None = None) -> Answer:
        """The history of runs, oldest first."""
        from autoloader.project import knowing

        return knowing.runs(self, ingestion, limit)

    def show(self, run_id: str) -> Answer:
        """One run."""
        from autoloader.project import knowing

        return knowing.show(self, run_id)

    def files(self, name: str, *, state: str | None = None, match: str | None = None) -> Answer:
        """What is remembered of the files of an ingestion."""
        from autoloader.project import knowing

        return knowing.files(self, name, state, match)

    def why(self, uri: str, *, talk: Talk = _quietly) -> Answer:
        """What becomes of one file, and why."""
        from autoloader.project import explaining

        return explaining.why(self, uri, talk)

    def cost(self, name: str) -> Answer:
        """Past estimates against actuals."""
        from autoloader.project import knowing

        return knowing.cost(self, name)

    def verify(self, name: str) -> Answer:
        """Ledger against table."""
        from autoloader.project import verifying

        return verifying.verify(self, name)

    def doctor(self) -> Answer:
        """Java, Spark, state, catalog and storage, each with its fix."""
        from autoloader.project import doctoring

        return doctoring.doctor(self)

    # ------------------------------------------------------------------ surgery

    def state_list(self) -> Answer:
        """The recorded ingestions."""
        from autoloader.project import surgery

        return surgery.state_list(self)

    def state_show(self, name: str) -> Answer:
        """All that is recorded of one ingestion."""
        from autoloader.project import surgery

        return surgery.state_show(self, name)

    def state_rm(self, name: str) -> str:
        """Forget an ingestion; the table stays."""
        from autoloader.project import surgery

        return surgery.state_rm(self, name)

    def state_mv(self, old: str, new: str) -> str:
        """Rename what is recorded."""
        from autoloader.project import surgery

        return surgery.state_mv(self, old, new)

    def state_adopt(self, name: str) -> str:
        """Take an existing table as the ingestion's own."""
        from autoloader.project import surgery

        return surgery.adopt(self, name)

    def rebuild_ledger(self, name: str) -> str:
        """Remember files again from the table's lineage columns."""
        from autoloader.project import surgery

        return surgery.rebuild_ledger(self, name)

    def locks(self) -> Answer:
        """The leases."""
        from autoloader.project import surgery

        return surgery.locks(self)

    def break_lock(self, lease_id: str, reason: str) -> str:
        """End a lease."""
        from autoloader.project import surgery

        return surgery.break_lock(self, lease_id, reason)

    def rollback_effect(self, name: str, run_id: str) -> str:
        """What a rollback would undo, as a sentence."""
        from autoloader.project import surgery

        return surgery.rollback_effect(self, name, run_id)

    def rollback(self, name: str, run_id: str) -> str:
        """Put table and ledger back to the end of a run."""
        from autoloader.project import surgery

        return surgery.rollback(self, name, run_id)
