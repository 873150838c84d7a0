"""Hard names and listings, CASES 1 to 13, through plan and apply on both storages."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.playing import LocalStore, Player, S3Store, Store, work

SPEC = """
    name: things
    source: {{path: {root}{more}}}
    destination: {{table: raw.things}}
"""


def declare(player: Player, store: Store, more: str = "") -> None:
    player.spec(SPEC.format(root=json.dumps(store.root), more=more))


def states(player: Player) -> dict[str, str]:
    """State per key, of every file that is remembered."""
    rows = player.run("files", "things", "--format", "json").json["files"]
    return {row["file_path"].split("/in/", 1)[1]: row["state"] for row in rows}


def dispositions(plan: dict[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = plan["totals"]["files_by_disposition"]
    return {name: count for name, count in counts.items() if count}


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


@pytest.mark.slow
def test_01_and_02_empty_files_are_settled_with_no_rows_and_leave_the_schema_alone(
    player: Player, store: Store
) -> None:
    store.put("a-empty.csv", "")
    store.put("b-header.csv", "n,name\n")
    store.put("c-good.csv", "n,name\n1,x\n")
    declare(player, store)
    player.apply()
    assert player.rows("raw.things") == [{"n": 1, "name": "x"}]
    assert states(player) == {"a-empty.csv": "SUCCESS", "b-header.csv": "SUCCESS", "c-good.csv": "SUCCESS"}
    player.no_changes()
    store.put("d-empty.csv", "")
    store.put("e-header.csv", "n,name\n")
    assert work(player.plan()) == {"new": 2}
    player.apply()
    assert player.rows("raw.things") == [{"n": 1, "name": "x"}]
    player.no_changes()
    assert player.run("verify", "things").code == 0


def test_01_nothing_but_empty_files_waits_for_columns(player: Player, store: Store) -> None:
    store.put("a.csv", "")
    declare(player, store)
    assert player.plan()["changes"][0]["blocked"]["by"] == "no-columns"
    player.apply()
    store.put("b.csv", "n\n1\n")
    player.apply()
    assert player.rows("raw.things") == [{"n": 1}]
    player.no_changes()


def test_03_a_zero_byte_parquet_is_quarantined_and_the_others_load(player: Player, store: Store) -> None:
    store.put("a.parquet", b"")
    store.put("b.parquet", parquet([{"n": 1}]))
    declare(player, store)
    report = player.report()
    assert report["totals"]["files"] == 1
    assert [p["file_path"].rsplit("/", 1)[1] for p in report["problems"]] == ["a.parquet"]
    assert player.rows("raw.things") == [{"n": 1}]
    assert states(player) == {"a.parquet": "QUARANTINED", "b.parquet": "SUCCESS"}
    player.no_changes()


def test_04_hidden_names_are_counted_and_not_loaded(player: Player, store: Store) -> None:
    store.put("day/a.csv", "n\n1\n")
    hidden = ["_SUCCESS", "day/.a.csv.crc", "day/.hidden.csv", "_temporary/0/a.csv", "day/x.csv._COPYING_", "a.csv.crc"]
    for key in hidden:
        store.put(key, "n\n666\n")
    declare(player, store, ', include: ["**"]')
    plan = player.plan()
    assert dispositions(plan) == {"new": 1, "hidden": len(hidden)}
    player.apply()
    assert player.rows("raw.things") == [{"n": 1}]
    declare(player, store, ', include: ["**/*.csv", "_temporary/**"]')
    assert work(player.plan()) == {"new": 1}


def test_05_folder_markers_are_no_files(player: Player, store: Store) -> None:
    store.put("a/b/c.csv", "n\n1\n")
    match store:
        case S3Store():
            for key in ("", "a/", "a/b/", "empty/"):
                store.put(key, "")
        case LocalStore(folder=folder):
            (folder / "empty").mkdir()
            (folder / "folder.csv").mkdir()
    declare(player, store)
    assert dispositions(player.plan()) == {"new": 1}
    player.apply()
    assert player.rows("raw.things") == [{"n": 1}]
    player.no_changes()


HOSTILE = [
    "a b.csv", "a  b .csv", "#1.csv", "a+b.csv", "a?b=1&c=2.csv", "what?.csv", "x=1&y.csv", "100%.csv", "a%20b.csv",
    "a%2Fb.csv", "it's.csv", 'say "hi".csv', "back\\slash.csv", "new\nline.csv", "tab\there.csv", "emoji 🦆.csv",
    "ünï.csv", "nfd-u\u0308.csv", "[ab].csv", "{a,b}.csv", "st*r.csv", "a:b.csv", "~tilde.csv", "$HOME.csv",
    "`id`.csv", "<script>alert(1)</script>.csv", "a|b.csv", "<!-- x.csv", "@name.csv", "{{ 1 }}.csv", "; rm -rf.csv",
    "year=1/a b [x]/*.csv", "a'; DROP TABLE x; --.csv", "\u202egnp.csv", "esc\x1b[31mred.csv", "[!x].csv", "-rf.csv",
]  # fmt: skip


def loadable(store: Store) -> list[str]:
    """The hostile keys that this storage can hold (the S3 server of the tests takes no newline)."""
    return [key for key in HOSTILE if "\n" not in key] if isinstance(store, S3Store) else HOSTILE


@pytest.mark.slow
def test_06_and_07_every_hostile_name_is_loaded_once_and_shown_escaped(player: Player, store: Store) -> None:
    keys = loadable(store)
    for number, key in enumerate(keys):
        store.put(key, f"n\n{number}\n")
    declare(player, store)
    texts = [player.run("plan", "--full", *words) for words in ((), ("--format", "markdown"), ("--format", "html"))]
    plan = player.plan()
    assert work(plan) == {"new": len(keys)}
    player.apply()
    table = player.table("raw.things")
    found = {row["_src_path"].split("/in/", 1)[1]: row["n"] for row in table.to_pylist()}
    assert found == {key: number for number, key in enumerate(keys)}
    player.no_changes()
    assert set(states(player)) == set(keys)
    texts += [player.run("files", "things"), player.run("files", "things", "--format", "csv")]
    for said in texts[:1] + texts[3:4]:
        assert "\x1b" not in said.out
        assert "\u202e" not in said.out
        assert "new\nline" not in said.out
    for said in texts[1:3]:
        assert "<script>alert" not in said.out
        assert "<!-- x" not in said.out
    for key in keys[:: 6 if isinstance(store, S3Store) else 3]:
        why = player.run("why", f"{store.root}{key}", "--format", "json")
        assert why.code == 0, (key, why.err)
        assert "things" in why.out
    assert player.run("verify", "things").code == 0
    # a file of a hostile name is replaced like any other
    store.put(keys[0], "n\n1000\n")
    store.put("[ab].csv", "n\n1001\n")
    assert work(player.plan()) == {"changed": 2}
    player.apply()
    numbers = sorted(row["n"] for row in player.rows("raw.things"))
    gone = {keys.index("[ab].csv"), 0}
    assert numbers == sorted([*(n for n in range(len(keys)) if n not in gone), 1000, 1001])


def test_08_loops_and_pipes_are_reported_and_others_load(player: Player, project_dir: Path) -> None:
    store = LocalStore(project_dir / "in")
    store.put("sub/a.csv", "n\n1\n")
    (store.folder / "sub" / "loop").symlink_to(store.folder)
    (store.folder / "self.csv").symlink_to("self.csv")
    (store.folder / "dangling.csv").symlink_to("nowhere")
    os.mkfifo(store.folder / "pipe.csv")
    declare(player, store)
    plan = player.plan()
    assert work(plan) == {"new": 1}
    said = json.dumps(plan)
    for name in ("pipe.csv", "self.csv", "dangling.csv"):
        assert name in said, name
    player.apply()
    assert player.rows("raw.things") == [{"n": 1}]
    player.no_changes()


def test_09_a_pattern_that_matches_nothing_shows_the_nearest_keys(player: Player, store: Store) -> None:
    store.put("2024/a.csv", "n\n1\n")
    declare(player, store, ', include: ["2042/*.csv"]')
    said = player.run("plan")
    assert said.code == 1
    assert "2024/a.csv" in said.out
    applied = player.run("apply", "-y")
    assert applied.code == 1
    assert not (player.folder / ".autoloader").exists()


def test_10_and_13_stars_do_not_cross_folders_and_two_includes_take_a_file_once(player: Player, store: Store) -> None:
    for number, key in enumerate(["top.csv", "a/one.csv", "a/b/two.csv", "a/b/c/three.csv"]):
        store.put(key, f"n\n{number}\n")
    declare(player, store, ', include: ["a/**/*.csv", "*/one.csv", "a/*.csv"]')
    plan = player.plan()
    assert work(plan) == {"new": 3}
    player.apply()
    assert sorted(row["n"] for row in player.rows("raw.things")) == [1, 2, 3]
    declare(player, store, ', include: ["*/*.csv"]')
    assert dispositions(player.plan()) == {"done": 1, "out_of_scope": 2, "excluded": 1}
    assert work(player.plan()) == {}


@pytest.mark.slow
def test_11_two_thousand_and_one_keys_are_all_loaded(player: Player, store: Store) -> None:
    for number in range(2_001):
        store.put(f"{number:05}.csv", f"n\n{number}\n")
    declare(player, store)
    assert work(player.plan()) == {"new": 2_001}
    player.apply()
    assert sorted(row["n"] for row in player.rows("raw.things")) == list(range(2_001))
    player.no_changes()


def test_12_a_source_without_files_is_a_warning_while_new_and_a_stop_once_files_are_known(
    player: Player, store: Store
) -> None:
    store.put("other.txt~", "")
    declare(player, store, ', include: ["**"], exclude: ["*~"]')
    store.delete("other.txt~")
    empty = player.run("plan")
    assert empty.code == 0, empty.err
    assert "no file" in (empty.out + empty.err).lower()
    store.put("a.csv", "n\n1\n")
    player.apply()
    store.delete("a.csv")
    gone = player.run("plan")
    assert gone.code == 3, gone.out
    player.apply(code=3)
    assert player.rows("raw.things") == [{"n": 1}]
    assert states(player) == {"a.csv": "SUCCESS"}


def test_12_a_place_that_is_not_there_is_an_error_and_never_all_deleted(player: Player, store: Store) -> None:
    store.put("a.csv", "n\n1\n")
    declare(player, store, ", on_delete: delete_rows")
    player.apply()
    match store:
        case S3Store():
            elsewhere = "s3://no-such-bucket-here/in/"
        case LocalStore(folder=folder):
            elsewhere = f"{folder}-gone/"
    player.spec(SPEC.format(root=json.dumps(elsewhere), more=", on_delete: delete_rows"))
    for words in (("plan",), ("apply", "-y")):
        said = player.run(*words)
        assert said.code == 1, said.out
        assert elsewhere.rstrip("/").split("/in")[0] in said.err + said.out
        assert "Traceback" not in said.err
    assert player.rows("raw.things") == [{"n": 1}]
    declare(player, store, ", on_delete: delete_rows")
    player.no_changes()


class _Refusing(BaseHTTPRequestHandler):
    status, code = 403, "AccessDenied"

    def do_GET(self) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>Not you</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(params=[(403, "AccessDenied"), (403, "ExpiredToken"), (503, "SlowDown")], ids=lambda p: p[1])
def refusing(request: pytest.FixtureRequest) -> Iterator[str]:
    """The endpoint of a storage that refuses everything."""
    status, code = request.param
    handler = type("Handler", (_Refusing,), {"status": status, "code": code})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_12_a_storage_that_refuses_is_an_error_and_never_all_deleted(
    player: Player, s3_client: Any, s3_bucket: str, refusing: str
) -> None:
    store = S3Store(s3_client, s3_bucket)
    store.put("a.csv", "n\n1\n")
    declare(player, store, ", on_delete: delete_rows")
    player.apply()
    player.spec(f"storage: {{s3: {{endpoint: '{refusing}'}}}}", "autoloader.yml")
    for words in (("plan",), ("apply", "-y")):
        said = player.run(*words)
        assert said.code == 1, said.out
        assert s3_bucket in said.err + said.out
        assert "Traceback" not in said.err
        assert "test-secret" not in said.err + said.out
    player.spec("{}", "autoloader.yml")
    player.no_changes()
    assert player.rows("raw.things") == [{"n": 1}]
