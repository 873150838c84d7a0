"""CASES 46, 62, 63 and 64: many files, plans made twice, credentials, patterns and names that mean harm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from tests.playing import ROOT, LocalStore, Player, S3Store, Said, Store, work

SPEC = """
    name: things
    source: {{path: {root}}}
    destination: {{table: raw.things}}
"""


def declare(player: Player, store: Store) -> None:
    player.spec(SPEC.format(root=json.dumps(store.root)))


MEASURED = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop(1))
from autoloader.cli import run
code = run(sys.argv[1:])
# not ru_maxrss: it begins with what the parent had
peak_kb = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print("peak_kb", peak_kb[1], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.slow
def test_46_a_hundred_thousand_files_are_planned_in_bounded_memory(planning_player: Player) -> None:
    player, many = planning_player, 100_000
    root = player.folder / "in"
    for month in range(1, 11):
        folder = root / f"month={month:02}"
        folder.mkdir(parents=True)
        for number in range(many // 10):
            with (folder / f"part-{number:05}.csv").open("wb") as file:
                file.write(b"n\n1\n")
    declare(player, LocalStore(root))
    words = [sys.executable, "-c", MEASURED, str(ROOT), "plan", "--format", "json"]
    done = subprocess.run(words, cwd=player.folder, capture_output=True, text=True, check=True)
    plan = json.loads(done.stdout)
    assert work(plan) == {"new": many}
    assert plan["totals"]["bytes_to_process"] == 4 * many
    peak_kb = int(done.stderr.rsplit("peak_kb", 1)[1])
    assert peak_kb < 400_000, f"{peak_kb / 1000:.0f} MB"


VOLATILE = ("plan_id", "created_at", "expires_at")


def steady(plan: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in plan.items() if key not in VOLATILE})


@pytest.mark.slow
def test_62_a_plan_made_twice_is_the_same_but_for_its_id_and_times(player: Player, store: Store) -> None:
    for number in range(20):
        store.put(f"{number % 3}/{number}.csv", f"n\n{number}\n")
    declare(player, store)
    assert steady(player.plan()) == steady(player.plan())
    texts = [player.run("plan", "--full").out for _ in range(2)]
    assert texts[0] == texts[1]
    player.apply()
    player.no_changes()
    assert steady(player.plan()) == steady(player.plan())
    store.put("0/0.csv", "n\n-1\n")
    store.put("9/9.csv", "n\n-1\n")
    plans = [player.plan() for _ in range(2)]
    assert steady(plans[0]) == steady(plans[1])
    assert plans[0]["digest"] == plans[1]["digest"]
    player.apply()
    player.no_changes()


SECRETS = {"AWS_SECRET_ACCESS_KEY": "aws-s3cr3t-7Q", "AWS_SESSION_TOKEN": "t0ken-s3cr3t-8R", "OWN": "own-s3cr3t-9S"}
PASSWORD = "pg-s3cr3t-6P"


@pytest.fixture
def secret_state(fresh_postgres_url: str, monkeypatch: pytest.MonkeyPatch, moto_server: str) -> str:
    """A state whose URL holds a password, in an environment full of secrets."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    url = make_url(fresh_postgres_url).set(password=PASSWORD).render_as_string(hide_password=False)
    monkeypatch.setenv("AUTOLOADER_STATE", url)
    return url


def leaks(player: Player, said: list[Said]) -> list[str]:
    """Where a secret shows: in a file below the project or in what was said."""
    found = []
    for secret in (PASSWORD, *SECRETS.values()):
        found += [name for name, data in player.files().items() if secret.encode() in data]
        found += [f"output {n}: {s.out}{s.err}" for n, s in enumerate(said) if secret in s.out + s.err]
    return found


@pytest.mark.slow
def test_63_credentials_are_never_in_plans_state_events_output_or_tables(
    player: Player, s3_client: Any, s3_bucket: str, secret_state: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store = S3Store(s3_client, s3_bucket)
    store.put("a.csv", "n\n1\n")
    store.put("b.csv.gz", b"\x1f\x8bnonsense")
    declare(player, store)
    words = [
        ("init",), ("plan", "--full"), ("plan", "--format", "json", "--out", "saved"), ("plan", "--out", "saved.zip"),
        ("plan", "--format", "html"), ("plan", "--format", "markdown"), ("apply", "-y", "--events", "events.ndjson"),
        ("plan",), ("status",), ("runs",), ("files", "things"), ("state", "list"), ("state", "show", "things"),
        ("locks", "list"), ("doctor",), ("doctor", "--format", "json"), ("verify", "things"), ("cost", "things"),
        ("why", store.root + "a.csv"), ("preview", "things"),
    ]  # fmt: skip
    said = [player.run(*each) for each in words]
    assert said[6].code == 0, said[6].err
    assert leaks(player, said) == []
    captured = capfd.readouterr()
    assert not [s for s in (PASSWORD, *SECRETS.values()) if s in captured.out + captured.err]
    dump = subprocess.run([sys.executable, "-c", DUMP, secret_state], capture_output=True, text=True, check=True).stdout
    assert "things" in dump
    assert not [s for s in (PASSWORD, *SECRETS.values()) if s in dump]


DUMP = """
import sys
from sqlalchemy import MetaData, create_engine
engine = create_engine(sys.argv[1])
metadata = MetaData()
metadata.reflect(engine)
with engine.connect() as connection:
    for table in metadata.sorted_tables:
        for row in connection.execute(table.select()):
            print(table.name, row)
"""


def test_63_credentials_are_never_in_errors(
    planning_player: Player, s3_client: Any, s3_bucket: str, secret_state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    player, said = planning_player, []
    store = S3Store(s3_client, s3_bucket)
    store.put("a.csv", "n\n1\n")
    declare(player, store)
    url = make_url(secret_state).set(query={}, port=1)
    for broken in (
        url.set(host="127.0.0.1"),
        url.set(host="no-such-host.invalid"),
        make_url(secret_state).set(database="no_such_database"),
        url.set(drivername="nosuchdb"),
        url.set(drivername="postgresql+nosuchdriver"),
    ):
        monkeypatch.setenv("AUTOLOADER_STATE", broken.render_as_string(hide_password=False))
        for words in (("plan",), ("apply", "-y"), ("init",), ("doctor",), ("status",)):
            said.append(player.run(*words))
            assert said[-1].code == 1, (broken, words, said[-1])
            assert "should not" not in said[-1].err, (broken, words, said[-1].err)
    monkeypatch.setenv("AUTOLOADER_STATE", f"postgresql://u:{PASSWORD}@:notaport:/x")
    said.append(player.run("plan"))
    monkeypatch.delenv("AUTOLOADER_STATE")
    player.spec(f"state: 'postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/x'\nnonsense: 1\n", "autoloader.yml")
    said.append(player.run("plan"))
    (player.folder / "ingestions" / "autoloader.yml").unlink()
    player.spec("name: things\nsource: {path: s3://no-such-bucket-q/x/}\ndestination: {table: a.b}\n")
    said.append(player.run("plan"))
    player.spec("name: things\nsource: {path: \"{{ env('OWN') }}://x\"}\ndestination: {table: a.b}\n")
    broken_spec = player.run("validate")
    assert all(each.code == 1 for each in said)
    assert leaks_in_output(said) == []
    assert "Traceback" not in broken_spec.err


def test_63_a_catalogs_password_is_in_no_plan_and_no_error(
    planning_player: Player, fresh_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = planning_player
    store = LocalStore(player.folder / "in")
    store.put("a.csv", "n\n1\n")
    declare(player, store)
    url = make_url(fresh_postgres_url).set(drivername="postgresql+psycopg2", password=PASSWORD)
    monkeypatch.setenv("CATALOG", url.render_as_string(hide_password=False))
    player.spec("catalog: {uri: \"{{ env('CATALOG') }}\"}", "autoloader.yml")
    words = (
        ("init",), ("plan", "--full"), ("plan", "--out", "saved"), ("apply", "-y", "--engine", "sail"), ("plan",),
        ("doctor",), ("state", "show", "things"), ("verify", "things"),
    )  # fmt: skip
    said = [player.run(*each) for each in words]
    assert [each.code for each in said] == [0] * len(said), [each.err for each in said if each.code]
    assert leaks(player, said) == []
    for broken in (url.set(query={}, host="127.0.0.1", port=1), url.set(database="no_such_database")):
        monkeypatch.setenv("CATALOG", broken.render_as_string(hide_password=False))
        said = [player.run(*each) for each in (("plan",), ("apply", "-y"), ("doctor",), ("verify", "things"))]
        assert [each.code for each in said] == [1] * 4, [each.out + each.err for each in said]
        assert not [each for each in said if "should not" in each.err or "Traceback" in each.err]
        assert leaks(player, said) == []


def leaks_in_output(said: list[Said]) -> list[str]:
    return [each.out + each.err for each in said for s in (PASSWORD, *SECRETS.values()) if s in each.out + each.err]


NAMES = ["100%.csv", "a_b.csv", "axb.csv", "it's.csv", "aXXb.csv", "sub/a_b.csv", "%.csv", "[x].csv", "back\\slash.csv"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("100%.csv", {"100%.csv"}),
        ("%.csv", {"%.csv"}),
        ("a_b.csv", {"a_b.csv"}),
        ("a%b.csv", set()),
        ("it's.csv", {"it's.csv"}),
        ("a?b.csv", {"a_b.csv", "axb.csv"}),
        ("**/a_b.csv", {"a_b.csv", "sub/a_b.csv"}),
        ("'; DROP TABLE processed_file; --", set()),
        ("[[]x].csv", {"[x].csv"}),
        ("*", set(NAMES) - {"sub/a_b.csv"}),
        ("**", set(NAMES)),
    ],
)
def test_64_match_is_a_glob_and_nothing_else(matched: Player, pattern: str, expected: set[str]) -> None:
    rows = matched.run("files", "things", "--match", pattern, "--format", "json").json["files"]
    assert {row["file_path"].split("/in/", 1)[1] for row in rows} == expected


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory, spark: Any) -> Any:
    """A project that remembers files of those names."""
    folder = tmp_path_factory.mktemp("matched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        player = Player(folder)
        store = LocalStore(folder / "in")
        for name in NAMES:
            store.put(name, "n\n1\n")
        declare(player, store)
        player.apply()
        yield player


HOSTILE = [
    "<script>alert(1)</script>.csv", "<img src=x onerror=alert(1)>.csv", "a|b|c.csv", "`code`.csv", "<!-- hidden.csv",
    "@everyone.csv", "[link](http:x).csv", "![i](x).csv", "**bold**.csv", "\x1b[31mred\x1b[0m.csv", "\u202egnp.csv",
    "a\nPlan: 0 to create.csv", "&lt;b&gt;.csv", '"onload="x.csv', "'><svg onload=x>.csv", "#1.csv", "~~gone~~.csv",
    "\r\x1b[2Kgone.csv", "\x9b31m.csv", "</details>.csv", "$(id).csv",
]  # fmt: skip


@pytest.mark.slow
def test_64_hostile_names_are_inert_in_every_output(planning_player: Player) -> None:
    player = planning_player
    store = LocalStore(player.folder / "in")
    for name in HOSTILE:
        store.put(name.replace("/", "∕"), "n\n1\n")
    store.put("bad.csv", b"\xff\xfe\x00")
    player.spec(SPEC.format(root=json.dumps(store.root)) + "    owner: '<script>x</script>'\n    tags: ['a|b']\n")
    terminal = player.run("plan", "--full")
    assert not [c for c in ("\x1b", "\u202e", "\r", "\x9b") if c in terminal.out + terminal.err]
    assert "\nPlan: 0 to create.csv" not in terminal.out
    markdown = player.run("plan", "--full", "--format", "markdown").out
    for harm in ("<script>", "<img", "<!-- hidden", "</details>.csv", "@everyone", "](http:x)", "<svg", "\x1b"):
        assert harm not in markdown, harm
    html = player.run("plan", "--full", "--format", "html").out
    for harm in ("<script>alert", "<script>x", "<img src=x", "<!-- hidden", "<svg onload", '"onload="x', "\x1b"):
        assert harm not in html, harm
    data = json.loads(player.run("plan", "--full", "--format", "json").out)
    assert work(data) == {"new": len(HOSTILE) + 1}
    for name in HOSTILE:
        for words in (("why", store.root + name.replace("/", "∕")),):
            said = player.run(*words)
            assert said.code == 0, (name, said.err)
            assert not [c for c in ("\x1b", "\u202e", "\r", "\x9b") if c in said.out + said.err], name
