"""What leads to each step: one round of a random history, in which a process is killed and others come after it."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults import steps
from tests.faults.mortal import KILL, ONCE, TWICE, Death, Step
from tests.faults.processes import Ended, Nursery, command
from tests.faults.world import TABLE, World, check, check_rows
from tests.playing import LocalStore

SPEC: Final = """
name: {name}
source: {{path: "in/", on_delete: {on_delete}}}
destination: {{table: {table}}}
schema: {{columns: [{columns}], new_columns: {new_columns}, max_bad_rows: 100%}}
on_remove: drop
{request}
"""


APPLY: Final = ("apply", "-y")
REFUSED: Final = 3
ENDS: Final = {KILL: {-signal.SIGKILL}, ONCE: {0, 6, 130}, TWICE: {130}}
"""Exit codes of a command that was ended at a step; one that never came there ends with 0."""


class WrongError(AssertionError):
    """A history that did not end as the model says."""


@dataclass
class History:
    """One project with its world, and the processes that work on it.

    Attributes:
        folder: The project folder; there is none yet.
        nursery: Where processes come from.
        random: Chooses what happens.
        remote: The address of the Sail server.
        new_state: Gives the URL of a state that nobody has used; None = the embedded one.
        wanted: The steps that have not killed often enough yet.
        state: The URL of the state.
        table: The table that the spec names.
        on_delete: What the spec says about files that go.
        by: What ends processes at their steps: one of `ENDS`.
        litter: Whether data files may lie about: a drop that was cut off leaves them.
        request: What the spec asks to be loaded again, once.
        killed: How often a process was killed at each step.
        log: What happened, in words.
    """

    folder: Path
    nursery: Nursery
    random: random.Random
    remote: str
    new_state: Callable[[], str | None] = lambda: None
    wanted: Callable[[Step], bool] = lambda _: True
    killed: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)
    table: str = TABLE
    on_delete: str = "delete_rows"
    by: tuple[signal.Signals, ...] = KILL
    litter: bool = False
    request: str = ""
    state: str = ""
    world: World = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "ingestions").mkdir(parents=True)
        self.world = World(LocalStore(self.folder / "in"), self.random)
        self.settle_in()
        self.declare()

    def settle_in(self, url: str | None = None) -> None:
        """Write the settings, with that state or a new one."""
        url = url or self.new_state()
        self.state = url or f"sqlite:///{self.folder}/.autoloader/state.db"
        state = "" if url is None else f"state: '{url}'\n"
        settings = f"spark: {{engine: connect, remote: '{self.remote}'}}\n{state}"
        (self.folder / "ingestions" / "autoloader.yml").write_text(settings)

    def lose_state(self) -> None:
        """Nothing is remembered any more."""
        for path in (self.folder / ".autoloader").glob("state.db*"):
            path.unlink()
        self.settle_in()

    def declare(self, *, there: bool = True, columns: int | None = None) -> None:
        """Write the spec, or take it away.

        Args:
            there: Whether there is one.
            columns: It names only so many of the files' columns; values of the others are rescued.
        """
        named = ", ".join(f"{{name: {name}, type: long}}" for name in self.world.columns[:columns])
        text = SPEC.format(
            name="orders",
            on_delete=self.on_delete,
            table=self.table,
            columns=named,
            new_columns="rescue" if columns else "add",
            request=self.request,
        )
        (self.folder / "ingestions" / "specs.yml").write_text(text if there else "")

    def change(self) -> None:
        """The world goes on."""
        self.world.change()
        self.log.append("change")

    def run(self, *words: str, death: Death | None = None) -> Ended:
        """A command in a process of its own."""
        environ = {"AUTOLOADER_BATCH_FILES": "3", "NO_COLOR": "1"}
        ended = self.nursery.run(self.folder, command, *words, environ=environ, death=death)
        self.log.append(f"{' '.join(words)}: {ended.code}" + (f" at {death.step.name!r}" if death else ""))
        return ended

    def dies(self, step: Step, *words: str) -> bool:
        """A command that is to be ended at a step; whether it was. It may not fail in any other way."""
        ended = self.run(*words, death=Death(step, self.random.randint(1, step.times), self.by))
        was = ended.code in ENDS[self.by] and (self.by != ONCE or "Stopping after" in ended.said or ended.code == 130)
        if not was and ended.code != 0:
            raise self.wrong(f"{words}: {ended.code}: {ended.said}")
        self.killed[step.name] += was
        return was

    def dies_on(self, step: Step, story: tuple[Step, ...], *words: str) -> None:
        """The same; then perhaps it is said again, and ended at a later step of the story, and so on."""
        self.dies(step, *words)
        for later in story[story.index(step) + 1 :]:
            if self.random.random() < (0.5 if self.wanted(later) else 0.1):
                self.dies(later, *words)

    def does(self, *words: str) -> None:
        """A command that has to succeed."""
        ended = self.run(*words)
        if ended.code != 0:
            raise self.wrong(f"{words}: exit {ended.code}: {ended.said}")
        if words == APPLY:
            self.world.loaded()

    def settle(self) -> None:
        """One more apply, and everything is as the model says."""
        self.does(*APPLY)
        self.check()

    def check(self) -> None:
        """Everything is as the model says."""
        world = self.world
        ended = self.nursery.run(self.folder, check, world.columns, world.expected(), self.table, self.litter)
        if ended.code != 0:
            raise self.wrong(ended.said)

    def check_rows(self) -> None:
        """The table holds the model's rows, whatever else is not done yet."""
        ended = self.nursery.run(self.folder, check_rows, self.world.columns, self.world.expected(), self.table)
        if ended.code != 0:
            raise self.wrong(ended.said)

    def wrong(self, what: str) -> WrongError:
        """What went wrong, after which history."""
        return WrongError(f"{what}\nafter: " + "; ".join(self.log))


Round = Callable[[History, Step], None]


def loads(history: History, step: Step) -> None:
    """Files come and change; an apply is killed, perhaps another one after it, perhaps after more changes."""
    history.change()
    if step.name == "tasks run":
        pipes(history.folder, "begun")
    history.dies(step, *APPLY)
    _again(history)


def outlives(history: History, step: Step) -> None:
    """Tasks of a killed apply are held until another apply has done its work; then they write their files."""
    history.world.write("one.csv")
    history.world.write("another.csv")
    pipes(history.folder, "begun", "hold")
    killed = history.dies(step, *APPLY)
    held = history.folder / "hold"
    later = held.rename(history.folder / "later")  # tasks that come now are not held
    if killed:
        history.does(*APPLY)
    with os.fdopen(os.open(later, os.O_RDWR), "rb"):
        await_tasks(history.folder)
    later.unlink()
    history.settle()


def removes(history: History, step: Step) -> None:
    """Files go; the apply that takes their rows out is killed."""
    if history.world.may_go() < 2:
        for number in range(8):
            if f"{number}.csv" not in history.world.rows:
                history.world.write(f"{number}.csv")
        history.does(*APPLY)
    history.world.remove(2)
    if history.random.random() < 0.5:
        history.world.write("new.csv")
    history.dies(step, *APPLY)
    _again(history)


def rebuilds(history: History, step: Step) -> None:
    """A table is built anew, and the apply that does it is killed."""
    history.change()
    history.dies(step, *APPLY, "--refresh", "orders=full")
    _again(history)


def reloads(history: History, step: Step) -> None:
    """Every file is to be loaded again, and the apply is killed."""
    history.change()
    history.does(*APPLY)
    history.dies(step, *APPLY, "--refresh", "orders=clear-history")
    _again(history)


def requests(history: History, step: Step) -> None:
    """The spec asks for everything to be loaded again, once, and the apply that does it is killed."""
    history.change()
    history.does(*APPLY)
    name = f"request-{len(history.log)}"
    ways = [f"refresh: {{mode: clear-history, request: {name}}}", f"reingest: [{{match: '**', request: {name}}}]"]
    if step.name != "request: files are marked":  # what is built beside the table needs no marks
        ways.append(f"refresh: {{mode: full, request: {name}}}")
    history.request = history.random.choice(ways)
    history.declare()
    history.dies(step, *APPLY)
    _again(history)


def empties(history: History, step: Step) -> None:
    """All rows are thrown away, and the apply that does it is killed; the person says so again."""
    history.change()
    history.does(*APPLY)
    history.dies(step, *APPLY, "--refresh", "orders=new-only")
    history.does(*APPLY, "--refresh", "orders=new-only")
    for key in history.world.rows:
        history.world.rows[key] = []
    history.check()


def recovers(history: History, step: Step) -> None:
    """An apply is killed while it loads, removes or rebuilds, and the one that clears up after it, too."""
    history.change()
    first: tuple[Step, ...]
    if step.name == "recovery: a batch is recorded":
        first = (steps.of("a batch is committed"), steps.of("rebuild: the branch is served"))
    else:
        first = (*steps.LOAD[4:10], *steps.REMOVAL[:3], *steps.REBUILD[1:4])
    chosen = history.random.choice([each for each in first if each.edge != "during"])
    if chosen in steps.REMOVAL:
        history.world.remove(1)
    words = ("--refresh", "orders=full") if chosen in steps.REBUILD else ()
    history.dies(chosen, *APPLY, *words)
    if history.random.random() < 0.3:
        history.change()
    history.dies(step, *APPLY)
    _again(history)


def evolves(history: History, step: Step) -> None:
    """The spec gets a column, new files have it, and the apply is killed."""
    history.world.columns.append(f"extra_{len(history.world.columns)}")
    history.declare()
    if history.random.random() < 0.7:
        history.change()
    history.dies(step, *APPLY)
    _again(history)


def fills(history: History, step: Step) -> None:
    """A column that was rescued is declared, and the apply that fills it is killed."""
    with _fresh(history) as fresh:
        fresh.world.columns.append("late")
        fresh.declare(columns=2)
        for number in range(4):
            fresh.world.write(f"{number}.csv")
        fresh.does(*APPLY)
        fresh.declare()
        if fresh.random.random() < 0.5:
            fresh.change()
        fresh.dies_on(step, steps.FILLING, *APPLY)
        fresh.settle()


def creates(history: History, step: Step) -> None:
    """The first apply of all is killed."""
    with _fresh(history) as fresh:
        for number in range(4):
            fresh.world.write(f"{number}.csv")
        fresh.world.store.put("bad.csv", "version,number\nno,no\n")
        fresh.world.rows["bad.csv"] = []
        fresh.dies_on(step, steps.CREATE, *APPLY)
        if fresh.random.random() < 0.3:
            fresh.change()
        fresh.settle()


@contextmanager
def _fresh(history: History) -> Iterator[History]:
    """Another project, of which nothing is left but its kills."""
    folder = history.folder / f"first-{len(history.log)}"
    shared = (history.nursery, history.random, history.remote, history.new_state, history.wanted)
    fresh = History(folder, *shared, by=history.by)
    yield fresh
    history.killed += fresh.killed
    history.log.append("begun anew")
    shutil.rmtree(fresh.folder)


def renames(history: History, step: Step) -> None:
    """The table gets another name, and the apply is killed."""
    history.table = f"shop.orders_{len(history.log)}"
    history.declare()
    if history.random.random() < 0.5:
        history.change()
    history.dies_on(step, steps.RENAME, *APPLY)
    _again(history, waits=False)


def goes_back(history: History, step: Step) -> None:
    """Table and ledger are set back to an earlier run, and the command is killed; the person says so again."""
    run = _last_run(history)
    for _ in range(history.random.randint(1, 2)):
        history.change()
        history.does(*APPLY)
    history.dies_on(step, steps.ROLLBACK, "rollback", "orders", "--to-run", run, "-y")
    if history.random.random() < 0.5:
        history.change()
    _comes_between(history)
    history.does("rollback", "orders", "--to-run", run, "-y")
    history.does(*APPLY, "--confirm", "orders")  # most of the few files that were known then may be gone
    history.world.loaded()
    history.check()


def remembers(history: History, step: Step) -> None:
    """The state is lost; it is rebuilt from the table, and the command is killed; the person says so again."""
    history.lose_state()
    if history.random.random() < 0.5:
        history.change()
    history.dies_on(step, steps.REMEMBER, "rebuild-ledger", "orders", "-y")
    _comes_between(history)
    history.does("rebuild-ledger", "orders", "-y")
    history.settle()


def _comes_between(history: History) -> None:
    """Perhaps somebody applies before a command that was killed is said again: that is done rightly, or refused."""
    if history.random.random() < 0.6:
        return
    ended = history.run(*APPLY)
    if ended.code not in (0, REFUSED):
        raise history.wrong(f"{APPLY}: exit {ended.code}: {ended.said}")
    if ended.code == 0:
        history.world.loaded()


def leaves(history: History, step: Step) -> None:
    """The spec goes and the table with it; the apply is killed. Then the spec is there again."""
    history.declare(there=False)
    history.dies_on(step, steps.LEAVE, *APPLY)
    history.litter = True
    if history.random.random() < 0.5:
        history.does(*APPLY)
    history.declare()
    refused = history.run(*APPLY)
    if refused.code == REFUSED and "table-missing" in refused.said:  # it is not known whether somebody wanted that
        history.does(*APPLY, "--refresh", "orders=full")
    history.settle()


def _again(history: History, *, waits: bool = True) -> None:
    """Somebody comes back: perhaps only after the world went on, or to be killed as well, or not before long."""
    chance = history.random.random()
    if waits and chance < 0.8:
        return
    if chance < 0.87:
        history.change()
    elif chance < 0.94:
        step = history.random.choice([each for each in steps.LOAD if each.edge != "during"])
        history.dies(step, *APPLY)
    history.settle()


def _last_run(history: History) -> str:
    import json

    said = history.run("runs", "--format", "json").said
    return str(json.loads(said[said.index("{") :])["runs"][-1]["run_id"])


def pipes(folder: Path, *names: str) -> None:
    """Make the pipes through which tasks are watched and held."""
    (folder / "tasks").mkdir(exist_ok=True)
    for name in names:
        if not (folder / name).exists():
            os.mkfifo(folder / name)


def await_tasks(folder: Path) -> None:
    """Until no task of this project runs any more."""
    import time

    deadline = time.monotonic() + 60
    while any((folder / "tasks").iterdir()):
        assert time.monotonic() < deadline, "a task hangs"
        time.sleep(0.01)


STORIES: Final[Mapping[str, tuple[Round, tuple[Step, ...]]]] = {
    "load": (loads, steps.LOAD),
    "outlive": (outlives, steps.OUTLIVING),
    "removal": (removes, steps.REMOVAL),
    "rebuild": (rebuilds, steps.REBUILD),
    "reload": (reloads, steps.RELOAD),
    "request": (requests, steps.REQUEST),
    "new-only": (empties, steps.EMPTYING),
    "recovery": (recovers, steps.RECOVERY),
    "schema": (evolves, steps.SCHEMA),
    "fill": (fills, steps.FILLING),
    "create": (creates, steps.CREATE),
    "rename": (renames, steps.RENAME),
    "rollback": (goes_back, steps.ROLLBACK),
    "rebuild-ledger": (remembers, steps.REMEMBER),
    "drop": (leaves, steps.LEAVE),
}
"""Each story: how a round of it goes, and the steps that it leads to."""
