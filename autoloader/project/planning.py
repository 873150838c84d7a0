"""From specs on disk to a plan in hand: who is asked, what is looked at, and the pure planner in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from autoloader import __version__
from autoloader.apply import Recipe
from autoloader.cost import History
from autoloader.errors import AutoloaderError, LakeError, ReadError, SettingsError, SourceError
from autoloader.inventory import DIFF
from autoloader.plan import Diagnostic, Severity
from autoloader.planner import Asked, Looked, Recorded, Rescued, State, TableFacts, build_plan, refresh_of
from autoloader.project.filling import fingerprints_to_fill, rescued_of, ways_to_fill
from autoloader.project.looking import Eyes, facts_of, history_of, look_at, look_at_all, state_of, with_rewrites
from autoloader.project.planned import Planned, Wishes, unknown_ingestion
from autoloader.project.resolving import resolve
from autoloader.project.resuming import of_its_ingestion
from autoloader.schedule import next_due
from autoloader.specfiles import LoadedSpec, ProjectSpecs

if TYPE_CHECKING:
    import pyarrow as pa

    from autoloader.spec import IngestionSpec

REFRESH_MODES = ("full", "new-only", "clear-history")
FILL_MODES = ("none", "rescued", "files")


def make_plan(eyes: Eyes, specs: ProjectSpecs, wishes: Wishes) -> Planned:
    """Plan a project.

    Args:
        eyes: How to look.
        specs: The specs.
        wishes: What the person asked.

    Raises:
        SettingsError: A wish names an ingestion that is not there, or says something impossible.
        LedgerError: The state cannot be read.
    """
    state = state_of(eyes.ledger)
    wishes = of_its_ingestion(wishes, eyes.ledger, specs)
    asked = _asked(specs, state, wishes, eyes)
    wanted = [
        loaded for loaded in specs.ingestions if asked.takes(loaded.spec.name) and loaded.spec.name not in asked.not_due
    ]
    history = {loaded.spec.name: history_of(eyes.ledger, loaded.spec.name) for loaded in wanted}
    looked: dict[str, Looked] = {}
    failed: dict[str, SourceError] = {}
    tables: dict[str, TableFacts | None] = {}
    if not wishes.offline:
        gone = state.removed([loaded.spec for loaded in specs.ingestions])
        removed = [recorded for recorded in gone if asked.takes(recorded.name)]
        tables = _tables(eyes, [loaded.spec for loaded in wanted], removed, state)
        looked, failed = look_at_all(eyes, [loaded.spec for loaded in wanted], state, history, asked)
    recipes, problems = _recipes(eyes, wanted, looked, failed)
    looked |= _looked_to_fill(eyes, state, recipes, history, asked)
    for loaded in (each for each in wanted if each.spec.name in looked):
        name, recorded = loaded.spec.name, state.recorded(loaded.spec)
        aside = (refresh_of(loaded.spec, recorded, asked) or ("",))[0] == "full"
        try:
            looked[name] = with_rewrites(eyes.lake, recorded, looked[name], aside=aside)
        except LakeError as error:
            problems.append(_unreadable(loaded, error))
    rescued = rescued_of(eyes, state, recipes, tables, asked)
    plan = build_plan(
        [loaded.spec for loaded in specs.ingestions],
        state,
        looked,
        now=eyes.now,
        tool_version=__version__,
        tables=tables,
        settings=eyes.settings,
        schemas={name: recipe.schema for name, recipe in recipes.items() if recipe.schema is not None},
        history=history,
        rescued=rescued,
        asked=asked,
        diagnostics=[*specs.diagnostics, *problems],
        notes=[
            *(note for recipe in recipes.values() for note in recipe.notes),
            *_ways_to_fill(eyes, state, recipes, history, asked, rescued),
        ],
    )
    data = {name: recipe.to_data() for name, recipe in recipes.items()}
    return Planned(plan, _all_files(looked), data, prices=eyes.settings.prices)


def _looked_to_fill(
    eyes: Eyes, state: State, recipes: Mapping[str, Recipe], history: Mapping[str, Sequence[History]], asked: Asked
) -> dict[str, Looked]:
    """The files of ingestions whose new columns are to be filled by loading again the files that have them."""
    found = {}
    for name, how in asked.fill.items():
        recipe = recipes.get(name)
        recorded = None if recipe is None else state.recorded(recipe.spec)
        if how != "files" or recipe is None or recorded is None or asked.mode != "normal":
            continue
        if recorded.schema is not None and recipe.schema is not None:
            prints = fingerprints_to_fill(eyes.ledger, recorded.name, recorded.schema, recipe.schema)
            found[name] = look_at(eyes, recipe.spec, recorded, history[name], asked, fill_fingerprints=prints)
    return found


def _ways_to_fill(
    eyes: Eyes,
    state: State,
    recipes: Mapping[str, Recipe],
    history: Mapping[str, Sequence[History]],
    asked: Asked,
    rescued: Mapping[str, Rescued],
) -> Iterator[str]:
    for name, recipe in recipes.items():
        recorded = state.recorded(recipe.spec)
        if refresh_of(recipe.spec, recorded, asked) is not None:
            continue  # all files are loaded anyhow
        if recorded is None or recipe.schema is None or recorded.schema in (None, recipe.schema):
            continue
        known = eyes.ledger.slice(recorded.name, now=eyes.now)
        yield from ways_to_fill(
            eyes.ledger,
            recipe.spec,
            recorded,
            recipe.schema,
            known,
            eyes.settings,
            history.get(name, ()),
            rescued.get(name),
        )


def _asked(specs: ProjectSpecs, state: State, wishes: Wishes, eyes: Eyes) -> Asked:
    names = {loaded.spec.name for loaded in specs.ingestions}
    removed = {recorded.name for recorded in state.ingestions} - names
    for name in (*wishes.refresh, *wishes.reingest, *wishes.fill, *wishes.confirm):
        _require(name, names)
    for name, mode in wishes.refresh.items():
        if mode not in REFRESH_MODES:
            raise SettingsError(
                f"There is no refresh mode {mode!r}.", fix=f"Write --refresh {name}=full, new-only or clear-history."
            )
    for name, how in wishes.fill.items():
        if how not in FILL_MODES:
            raise SettingsError(
                f"There is no way {how!r} to fill columns.", fix=f"Write --fill {name}=none, rescued or files."
            )
    select = _selected(specs, names | removed, wishes.select) if wishes.select else None
    return Asked(
        mode="offline" if wishes.offline else "refresh-only" if wishes.refresh_only else "normal",
        select=select,
        by_name=frozenset(word for word in wishes.select if not word.startswith("tag:")),
        not_due=_not_due(specs, state, eyes) if wishes.due else {},
        refresh=dict(wishes.refresh),  # type: ignore[arg-type]  # checked above
        reingest=dict(wishes.reingest),
        fill=dict(wishes.fill),  # type: ignore[arg-type]  # checked above
        confirmed=frozenset(wishes.confirm),
        max_usd=wishes.max_usd,
    )


def _require(name: str, names: set[str]) -> None:
    if name not in names:
        raise unknown_ingestion(name, names)


def _selected(specs: ProjectSpecs, names: set[str], words: Sequence[str]) -> frozenset[str]:
    found: set[str] = set()
    for word in words:
        if word.startswith("tag:"):
            tagged = {loaded.spec.name for loaded in specs.ingestions if word.removeprefix("tag:") in loaded.spec.tags}
            if not tagged:
                raise SettingsError(f"No ingestion has the tag {word.removeprefix('tag:')!r}.")
            found |= tagged
        else:
            _require(word, names)
            found.add(word)
    return frozenset(found)


def _not_due(specs: ProjectSpecs, state: State, eyes: Eyes) -> dict[str, str]:
    waiting = {}
    for loaded in specs.ingestions:
        recorded = state.recorded(loaded.spec)
        last = recorded.last_run_at if recorded is not None else None
        due_at = next_due(loaded.spec.schedule, last, eyes.now)
        if due_at is None or due_at > eyes.now:
            when = f"due next at {due_at:%Y-%m-%d %H:%M} UTC" if due_at else "never due again"
            waiting[loaded.spec.name] = f"{loaded.spec.name} is not due: {when}"
    return waiting


def _tables(
    eyes: Eyes, specs: Sequence[IngestionSpec], removed: Sequence[Recorded], state: State
) -> dict[str, TableFacts | None]:
    """The tables of what is planned for, as specs and state call them; those of others need not be readable."""
    owners = {recorded.table: recorded.name for recorded in state.ingestions if recorded.table}
    known = [*removed, *(recorded for spec in specs if (recorded := state.recorded(spec)) is not None)]
    names = {spec.destination.table for spec in specs} | {recorded.table for recorded in known if recorded.table}
    return {name: facts_of(eyes.lake, name, eyes.ledger, owners.get(name)) for name in sorted(names)}


def _recipes(
    eyes: Eyes, wanted: Sequence[LoadedSpec], looked: Mapping[str, Looked], failed: Mapping[str, SourceError]
) -> tuple[dict[str, Recipe], list[Diagnostic]]:
    """A recipe per ingestion; one whose source or sample cannot be read becomes a diagnostic, the others go on."""
    recipes, problems = {}, []
    for loaded in wanted:
        spec = loaded.spec
        row = eyes.ledger.ingestion(spec.name) or (
            eyes.ledger.ingestion(spec.previous_name) if spec.previous_name else None
        )
        seen = looked.get(spec.name)
        if spec.name in failed:
            problems.append(_unreadable(loaded, failed[spec.name]))
        try:
            recipes[spec.name] = resolve(eyes, spec, row, seen.files if seen is not None else None)
        except (ReadError, SourceError) as error:
            recipes[spec.name] = resolve(eyes, spec, row, None)
            problems.append(_unreadable(loaded, error))
    return recipes, problems


def _unreadable(loaded: LoadedSpec, error: AutoloaderError) -> Diagnostic:
    detail = "\n".join(part for part in (error.why, error.fix) if part)
    return Diagnostic(Severity.ERROR, f"{loaded.spec.name}: {error.what}", detail, str(loaded.file), loaded.line)


def _all_files(looked: dict[str, Looked]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables([DIFF.empty_table(), *(looked[name].files for name in sorted(looked))])
