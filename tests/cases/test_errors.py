"""What cannot be done is said in one message, with the exit code of the contract, and nothing is changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime

import pytest

from tests.playing import ROOT, LocalStore, Player, Said

SPEC = """
    name: things
    source: {path: in/}
    destination: {table: raw.things}
"""


def is_one_message(said: Said, *, code: int, names: str) -> None:
    """It ends with that code, names the thing, and is no stack trace and no admission of a defect."""
    text = said.err + said.out
    assert said.code == code, text
    assert names in text, text
    assert "Traceback" not in text, text
    assert "should not" not in text, text


@pytest.fixture
def things(planning_player: Player) -> Player:
    """A project with two files, where nothing was done yet."""
    store = LocalStore(planning_player.folder / "in")
    store.put("a.csv", "n\n1\n")
    store.put("b.csv", "n\n2\n")
    planning_player.spec(SPEC)
    return planning_player


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("name: things\nsource: {path: in/\n", "specs.yml:"),
        ("name: things\nsourc: {path: in/}\ndestination: {table: a.b}\n", "Did you mean `source`"),
        ("name: things\nsource: {path: in/}\ndestination: {table: a.b}\nschema: {columns: [{name: n, type: integr}]}\n",
         "integr"),
        ("name: things\nsource: {path: in/}\ndestination: {table: a.b}\nname: twice\n", "twice"),
        ("name: things\nsource: {path: in/, include: ['[x']}\ndestination: {table: a.b}\n", "[x"),
        ("name: things\nsource: {path: ftp://x/}\ndestination: {table: a.b}\n", "ftp"),
        ("name: things\nsource: {path: '{{ vars.nope }}'}\ndestination: {table: a.b}\n", "nope"),
        ("name: things\nsource: {path: in/}\ndestination: {table: a.b}\nbackfill: {from: 2024-13-45}\n", "2024-13-45"),
    ],
    ids=["yaml", "unknown key", "column type", "duplicate key", "pattern", "scheme", "variable", "date"],
)  # fmt: skip
@pytest.mark.parametrize("words", [("validate",), ("plan",), ("apply", "-y")], ids=lambda w: w[0])
def test_a_wrong_spec_is_named_with_its_place(things: Player, text: str, names: str, words: tuple[str, ...]) -> None:
    things.spec(text)
    before = things.files()
    said = things.run(*words)
    is_one_message(said, code=1, names=names)
    assert "specs.yml" in said.err
    assert things.files() == before


def test_a_source_that_cannot_be_listed_hides_no_other_ingestion_and_nothing_is_applied(things: Player) -> None:
    things.spec("name: away\nsource: {path: nowhere/}\ndestination: {table: raw.away}\n", "away.yml")
    before = things.files()
    planned = json.loads(things.run("plan", "--format", "json").out)
    assert (planned["errored"], planned["complete"], planned["applyable"]) == (True, False, False)
    [problem] = planned["diagnostics"]
    assert (problem["severity"], problem["file"], problem["line"]) == ("error", "ingestions/away.yml", 1)
    assert "nowhere/ does not exist" in problem["summary"]
    assert "source.path" in problem["detail"]
    [change] = [change for change in planned["changes"] if change["ingestion"] == "things"]
    assert change["impact"]["files_to_process"] == 2
    assert things.run("plan").code == 1
    is_one_message(things.run("apply", "-y"), code=1, names="nowhere/ does not exist")
    assert things.files() == before
    assert things.run("plan", "--select", "things").code == 0


def test_an_endpoint_that_nobody_answers_at_is_named(things: Player) -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    things.spec(f"storage: {{s3: {{endpoint: 'http://127.0.0.1:{port}'}}}}", "autoloader.yml")
    things.spec("name: things\nsource: {path: s3://some-bucket/in/}\ndestination: {table: a.b}\n")
    before = things.files()
    for words in (("plan",), ("apply", "-y")):
        is_one_message(things.run(*words), code=1, names="some-bucket")
    assert things.files() == before


NO_JAVA = """
import sys
import autoloader.engine.java as java
java._USUAL = ()
from autoloader.cli import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_without_java_local_spark_says_the_way_out_and_nothing_is_loaded(things: Player) -> None:
    environ = {"PATH": "/nonexistent", "PYTHONPATH": str(ROOT), "HOME": str(things.folder), "NO_COLOR": "1"}
    words = [sys.executable, "-c", NO_JAVA, "apply", "-y", "--engine", "local"]
    done = subprocess.run(words, cwd=things.folder, env=environ, capture_output=True, text=True, check=False)
    said = Said(done.returncode, done.stdout, done.stderr)
    is_one_message(said, code=1, names="Java")
    assert "--engine sail" in said.err + said.out
    assert things.run("files", "things", "--format", "json").json == {"files": []}
    assert not list(things.folder.rglob("*.parquet"))
    # and what Java could not do, Sail does
    words = [sys.executable, "-c", NO_JAVA, "apply", "-y"]
    done = subprocess.run(words, cwd=things.folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sail" in done.stdout or "sail" in done.stdout
    assert sorted(row["n"] for row in things.rows("raw.things")) == [1, 2]


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


@pytest.mark.slow
def test_a_busy_state_file_is_exit_5_and_nothing_is_changed(things: Player) -> None:
    assert things.run("init").code == 0
    state = str(things.folder / ".autoloader" / "state.db")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert things.command("plan").code == 0, "planning takes no lock"
        is_one_message(things.command("apply", "-y", "--engine", "sail"), code=5, names="state.db")
        other.communicate()
    assert things.run("files", "things", "--format", "json").json == {"files": []}
    assert not list(things.folder.rglob("*.parquet"))


@pytest.mark.slow
def test_a_lease_that_somebody_holds_is_exit_5_until_it_is_broken(player: Player) -> None:
    from autoloader.ledger import open_ledger

    LocalStore(player.folder / "in").put("a.csv", "n\n1\n")
    player.spec(SPEC)
    assert player.run("init").code == 0
    ledger = open_ledger(f"sqlite:///{player.folder}/.autoloader/state.db")
    lease = ledger.acquire("things", "alone", "somebody@elsewhere:1", 3600, datetime.now(UTC))
    is_one_message(player.run("apply", "-y"), code=5, names="somebody@elsewhere:1")
    assert not list(player.folder.rglob("*.parquet"))
    [shown] = player.run("locks", "list", "--format", "json").json["locks"]
    assert (str(shown["id"]), shown["holder"]) == (str(lease.id), "somebody@elsewhere:1")
    assert player.run("plan").code == 0
    assert player.run("locks", "break", str(lease.id), "--reason", "the machine is gone").code == 0
    player.apply()
    assert player.rows("raw.things") == [{"n": 1}]
    assert "the machine is gone" in player.run("state", "show", "things", "--format", "json").out


def as_somebody() -> list[str]:
    """What runs a command without root's right to read every file."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root reads everything")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["a.csv", "z.csv"], ids=["first", "last"])
def test_08_an_unreadable_file_is_reported_and_others_load(planning_player: Player, first: str) -> None:
    player = planning_player
    store = LocalStore(player.folder / "in")
    store.put("m.csv", "n\n1\n")
    store.put("n.csv", "n\n2\n")
    store.put(first, "n\n666\n")
    (store.folder / first).chmod(0)
    player.spec(SPEC)
    is_one_message(player.command("plan", through=as_somebody()), code=0, names=first)
    said = player.command("apply", "-y", "--engine", "sail", through=as_somebody())
    is_one_message(said, code=0, names=first)
    assert sorted(row["n"] for row in player.rows("raw.things")) == [1, 2]
    (store.folder / first).chmod(0o644)
    by_disposition = player.plan()["totals"]["files_by_disposition"]
    assert by_disposition.get("deferred", 0) + by_disposition.get("retry", 0) == 1, "a second later it is due again"
    assert player.command("apply", "-y", "--engine", "sail", "--reingest", f"things={first}").code == 0
    assert sorted(row["n"] for row in player.rows("raw.things")) == [1, 2, 666]


@pytest.mark.slow
def test_08_what_lies_below_an_unreadable_folder_is_not_missing(player: Player) -> None:
    store = LocalStore(player.folder / "in")
    store.put("sub/a.csv", "n\n1\n")
    store.put("b.csv", "n\n2\n")
    player.spec("name: things\nsource: {path: in/, on_delete: delete_rows}\ndestination: {table: raw.things}\n")
    player.apply()
    (store.folder / "sub").chmod(0)
    said = player.command("apply", "-y", through=as_somebody())
    is_one_message(said, code=0, names="in/sub")
    (store.folder / "sub").chmod(0o755)
    assert sorted(row["n"] for row in player.rows("raw.things")) == [1, 2]
    player.no_changes()


def test_a_damaged_saved_plan_is_named_and_not_applied(things: Player) -> None:
    assert things.run("plan", "--out", "good").code == 0
    assert things.run("plan", "--out", "good.zip").code == 0
    things.folder.joinpath("cut.zip").write_bytes(things.folder.joinpath("good.zip").read_bytes()[:-200])
    things.folder.joinpath("no.zip").write_bytes(b"PK\x03\x04 nonsense")
    things.folder.joinpath("text.plan").write_text("not a plan")
    for name, damage in (
        ("cut-json", lambda f: (f / "plan.json").write_bytes((f / "plan.json").read_bytes()[:-100])),
        ("other-json", lambda f: (f / "plan.json").write_text('{"format_version": "1.0"}')),
        ("list-json", lambda f: (f / "plan.json").write_text("[]")),
        ("newer", lambda f: (f / "plan.json").write_text(
            (f / "plan.json").read_text().replace('"format_version": "1.0"', '"format_version": "2.0"'))),
        ("edited", lambda f: (f / "plan.json").write_text(
            (f / "plan.json").read_text().replace("raw.things", "raw.others"))),
        ("no-files", lambda f: next(f.glob("*.parquet")).unlink()),
        ("cut-files", lambda f: next(f.glob("*.parquet")).write_bytes(b"PAR1 nonsense")),
    ):  # fmt: skip
        shutil.copytree(things.folder / "good", things.folder / name)
        damage(things.folder / name)
    for name in ("cut.zip", "no.zip", "text.plan", "cut-json", "other-json", "list-json", "newer", "edited",
                 "no-files", "cut-files"):  # fmt: skip
        said = things.run("apply", name)
        is_one_message(said, code=1, names=name)
        assert not (things.folder / ".autoloader").exists(), name


def test_a_plan_over_its_guardrail_is_exit_3_for_plan_and_apply(things: Player) -> None:
    things.spec("guardrails: {max_files: 1}", "autoloader.yml")
    before = things.files()
    for words in (("plan",), ("apply", "-y")):
        is_one_message(things.run(*words), code=3, names="max_files")
    things.spec("{}", "autoloader.yml")
    is_one_message(things.run("plan", "--max-usd", "0.0000000001"), code=3, names="max_usd")
    assert {k: v for k, v in things.files().items() if "autoloader.yml" not in k} == {
        k: v for k, v in before.items() if "autoloader.yml" not in k
    }


@pytest.mark.slow
def test_the_first_interrupt_finishes_the_batch_in_hand_and_apply_resumes_where_it_stopped(
    planning_player: Player,
) -> None:
    player, number = planning_player, 60
    store = LocalStore(player.folder / "in")
    for each in range(number):
        store.put(f"{each:03}.csv", f"n\n{each}\n")
    player.spec(SPEC)
    events = player.folder / "events.ndjson"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "plan_apply.py"), "apply", "-y", "--events", str(events)],
        cwd=player.folder,
        env={**os.environ, "AUTOLOADER_BATCH_FILES": "1", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if events.exists() and events.read_text().count('"batch_recorded"') >= 2:
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.05)
    out, err = process.communicate(timeout=120)
    is_one_message(Said(process.returncode, out, err), code=6, names="Stopping after the batch in hand")
    assert "apply again" in out
    kinds = Counter(json.loads(line)["event"] for line in events.read_text().splitlines())
    assert kinds["batch_claimed"] == kinds["batch_committed"] == kinds["batch_recorded"]
    loaded = [row["n"] for row in player.rows("raw.things")]
    assert len(loaded) == len(set(loaded)) == kinds["batch_recorded"]
    assert 2 <= len(loaded) < number
    [run] = player.run("runs", "--format", "json").json["runs"]
    assert (run["state"], run["files"]) == ("incomplete", len(loaded))
    assert player.run("locks", "list", "--format", "json").json == {"locks": []}
    said = player.command("apply", "-y", "--resume", run["run_id"])
    assert said.code == 0, said.err
    assert sorted(row["n"] for row in player.rows("raw.things")) == list(range(number))
    player.no_changes()
    assert player.run("verify", "things").code == 0
