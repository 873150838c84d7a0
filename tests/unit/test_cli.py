"""Every command and flag of the contract, the tops of their JSON, and what planning must not load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import duckdb
import pytest

from autoloader.cli import group
from tests.playing import ROOT, LocalStore, Player

PLAN = """--out --select --due --refresh --reingest --refresh-only --detailed-exitcode --format --json-into --full
    --summary --max-usd --offline --var --env"""
APPLY = "--auto-approve -y --due --select --max-usd --resume --engine --events --var --env"
CONTRACT = {
    "init": "--var --env",
    "validate": "--var --env --format",
    "schema": "",
    "plan": PLAN,
    "apply": APPLY,
    "preview": "--files --rows --file --format",
    "status": "--offline --format",
    "runs": "--format",
    "show": "--format",
    "files": "--state --match --format",
    "why": "--format",
    "verify": "--format",
    "rebuild-ledger": "",
    "rollback": "--to-run -y",
    "state list": "--format",
    "state show": "--format",
    "state rm": "-y",
    "state mv": "",
    "state adopt": "",
    "locks list": "--format",
    "locks break": "--reason",
    "cost": "--format",
    "doctor": "--format",
}
FORMATS = {
    "plan": ("text", "json", "markdown", "html"),
    "files": ("text", "json", "csv"),
    "runs": ("text", "json"),
    "status": ("text", "json"),
    "preview": ("text", "json"),
}


def command(words: str) -> click.Command:
    found: click.Command = group
    for word in words.split():
        assert isinstance(found, click.Group)
        found = found.commands[word]
    return found


@pytest.mark.parametrize("words", CONTRACT)
def test_every_command_has_its_options_and_a_help_that_names_them(words: str) -> None:
    options = {name for parameter in command(words).params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert set(CONTRACT[words].split()) <= options
    player = Player.__new__(Player)
    said = player.run(*words.split(), "--help")
    assert said.code == 0
    for option in CONTRACT[words].split():
        assert option in said.out
    assert command(words).get_short_help_str(), "a sentence says what it does"


def test_help_lists_every_command() -> None:
    said = Player.__new__(Player).run("--help")
    assert said.code == 0
    for words in CONTRACT:
        assert f"\n  {words.split()[0]}" in said.out
    assert "130" in said.out


@pytest.mark.parametrize("words", FORMATS)
def test_formats_are_those_of_the_contract(words: str) -> None:
    [option] = [p for p in command(words).params if "--format" in p.opts]
    assert isinstance(option.type, click.Choice)
    assert set(FORMATS[words]) <= set(option.type.choices)


def test_engines_are_those_of_the_contract() -> None:
    [option] = [p for p in command("apply").params if "--engine" in p.opts]
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == ["auto", "local", "cluster", "connect", "sail"]


@pytest.fixture
def small(planning_player: Player) -> Player:
    """A project with one file to load and a state; nothing is loaded."""
    LocalStore(planning_player.folder / "in").put("a.csv", "n,s\n1,x\n")
    planning_player.spec("name: a\nsource: {path: in/}\ndestination: {table: a.a}\n")
    assert planning_player.run("init").code == 0
    return planning_player


PLAN_KEYS = {
    "format_version", "tool_version", "plan_id", "digest", "created_at", "expires_at", "lineage", "serial", "mode",
    "applyable", "complete", "errored", "changes", "totals", "guardrails", "drift", "notes", "diagnostics",
}  # fmt: skip
CHANGE_KEYS = {"ingestion", "actions", "reason", "detail", "lane", "before", "after", "impact", "operations", "blocked"}
IMPACT_KEYS = {
    "files_to_process", "files_skipped", "files_by_disposition", "bytes_to_process", "estimated_data_size_gb",
    "estimated_cost_usd", "estimated_duration_minutes", "basis", "oldest_file_date", "newest_file_date",
}  # fmt: skip


def test_the_plan_as_json_has_the_keys_of_the_contract(small: Player) -> None:
    plan = small.plan()
    assert set(plan) >= PLAN_KEYS
    assert plan["format_version"] == "1.0"
    [change] = plan["changes"]
    assert set(change) >= CHANGE_KEYS
    assert set(change["impact"]) >= IMPACT_KEYS
    assert set(plan["totals"]) >= IMPACT_KEYS
    assert set(change["impact"]["estimated_cost_usd"]) == {"low", "expected", "high"}
    assert set(change["impact"]["estimated_duration_minutes"]) == {"low", "expected", "high"}
    assert all(set(operation) == {"operation", "details"} for operation in change["operations"])
    assert plan["lineage"]


@pytest.mark.parametrize(
    ("words", "tops"),
    [
        (("runs",), {"runs"}),
        (("files", "a"), {"files"}),
        (("status",), {"ingestions"}),
        (("preview", "a"), {"rows", "rejected", "schema", "schema_diff", "profile"}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_json_has_the_tops_of_the_contract(small: Player, words: tuple[str, ...], tops: set[str]) -> None:
    said = small.run(*words, "--format", "json")
    assert said.code == 0, said.err
    assert tops <= set(said.json)


def test_status_tells_each_lane(small: Player) -> None:
    [ingestion] = small.run("status", "--format", "json").json["ingestions"]
    assert {"name", "status", "next_due_at", "lanes"} <= set(ingestion)
    live = ingestion["lanes"]["live"]
    assert {"state", "files_done", "files_total", "bytes_done", "bytes_total", "eta_at"} <= set(live)
    assert (live["files_done"], live["files_total"]) == (0, 1)


def test_status_offline_looks_at_no_storage_and_does_not_know_the_totals(small: Player) -> None:
    (small.folder / "in").rename(small.folder / "away")
    [ingestion] = small.run("status", "--offline", "--format", "json").json["ingestions"]
    live = ingestion["lanes"]["live"]
    assert (live["files_done"], live["files_total"], live["state"], ingestion["problem"]) == (0, None, None, None)
    assert "0/?" in small.run("status", "--offline").out


def recorded(player: Player, *names: str) -> None:
    """Note ingestions in the state, as an apply without a file does."""
    for name in names:
        player.spec(f"name: {name}\nsource: {{path: none/}}\ndestination: {{table: a.{name}}}\n", f"{name}.yml")
        (player.folder / "none").mkdir(exist_ok=True)
    player.apply(*(word for name in names for word in ("--select", name)))


@pytest.mark.parametrize("name", ["bad name!", "", "-x", "a\nb"])
def test_state_mv_takes_the_names_that_a_spec_may_have(small: Player, name: str) -> None:
    recorded(small, "h")
    said = small.run("state", "mv", "--", "h", name)
    assert said.code == 1
    assert "is not a safe name" in said.err
    assert [each["name"] for each in small.run("state", "list", "--format", "json").json["ingestions"]] == ["h"]


def test_state_mv_to_a_name_that_is_taken_says_what_it_would_cost(small: Player) -> None:
    recorded(small, "h", "k")
    itself = small.run("state", "mv", "h", "h")
    assert itself.code == 1
    assert "that is its name" in itself.err
    assert "state rm" not in itself.err
    other = small.run("state", "mv", "h", "k")
    assert other.code == 1
    assert "k is recorded already" in other.err
    assert "forgets every file that it has loaded" in other.err


def test_doctor_asks_each_source_once_and_needs_java_only_where_it_is_asked_for(
    small: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoloader.engine.find_java", lambda: None)
    monkeypatch.setattr("autoloader.engine.all_java", list)
    monkeypatch.setattr("autoloader.sources.Source.list", None)
    assert small.run("doctor").code == 0
    small.spec("spark: {engine: local}", "autoloader.yml")
    said = small.run("doctor")
    assert said.code == 1
    assert "FAILS  java" in said.out
    small.spec("spark: {engine: auto}", "autoloader.yml")
    (small.folder / "in").rename(small.folder / "away")
    said = small.run("doctor")
    assert said.code == 1
    assert "does not exist" in said.out


def test_doctor_asks_for_the_package_of_the_engine_that_is_wanted(
    small: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import metadata

    def only_pyspark(name: str) -> str:
        if name != "pyspark":
            raise metadata.PackageNotFoundError(name)
        return "4.0.0"

    monkeypatch.setattr(metadata, "version", only_pyspark)
    small.spec("spark: {engine: sail}", "autoloader.yml")
    said = small.run("doctor")
    assert said.code == 1
    assert "no pysail, which engine sail needs" in said.out
    assert "pip install 'autoloader[sail]'" in said.out


def test_doctor_tells_of_wrong_specs_in_lines_without_escapes(small: Player) -> None:
    small.spec("a: [", "wrong.yml")
    said = small.run("doctor")
    assert said.code == 1
    assert "not valid YAML" in said.out
    assert "\\n" not in said.out
    checks = {each["check"]: each for each in small.run("doctor", "--format", "json").json["checks"]}
    for name in ("state", "catalog", "sources"):
        assert checks[name]["ok"] is None
        assert checks[name]["found"].startswith("not checked")


@pytest.mark.parametrize("made", [False, True], ids=["", "catalog made"])
def test_doctor_blames_the_state_alone_for_a_state_that_is_away(
    small: Player, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    if made:
        small.apply()
    monkeypatch.setenv("AUTOLOADER_STATE", "postgresql://ann@127.0.0.1:1/state")
    said = small.run("doctor", "--format", "json")
    assert said.code == 1
    assert [each["check"] for each in said.json["checks"] if not each["ok"]] == ["state"]
    assert small.run("doctor").out.count("Check host, port") == 1


def test_nothing_is_silent_for_long(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from autoloader.cli import console

    monkeypatch.setattr(console, "_SILENT_S", 0.05)
    monkeypatch.setattr(console, "_LOOK_EVERY_S", 0.01)
    with console.talking() as talk:
        time.sleep(0.2)
        talk("Listing a: 7 files")
        time.sleep(0.2)
        talk.pause()
        capsys_before = capsys.readouterr()
        time.sleep(0.2)
        assert capsys.readouterr().err == ""
    assert "Working, 0 s so far" in capsys_before.err
    assert "Listing a: 7 files, 0 s so far" in capsys_before.err
    assert capsys_before.out == ""


def test_a_file_name_in_the_progress_cannot_move_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoloader.cli import console

    monkeypatch.setattr(console, "_SILENT_S", 0.0)
    with console.talking() as talk:
        talk("Looking into \x1b[2J\u202egnp.csv")
    said = capsys.readouterr().err
    assert "Looking into" in said
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_files_as_csv_has_a_header_even_without_files(small: Player) -> None:
    said = small.run("files", "a", "--format", "csv")
    assert said.code == 0
    [header] = said.out.strip().splitlines()
    assert {"file_path", "state"} <= set(header.split(","))


def test_json_into_writes_the_same_plan_beside_the_text(small: Player) -> None:
    said = small.run("plan", "--json-into", "plan.json")
    assert said.code == 0
    assert "Plan:" in said.out
    assert set(json.loads((small.folder / "plan.json").read_text())) >= PLAN_KEYS


def test_a_saved_plan_keeps_the_prices_that_it_was_priced_with(small: Player) -> None:
    (small.folder / "ingestions" / "autoloader.yml").write_text("prices: {usd_per_gb: 0.75}\n")
    assert small.run("plan", "--out", "saved").code == 0
    prices = json.loads((small.folder / "saved" / "prices.json").read_text())
    assert prices["usd_per_gb"] == "0.75"


def test_a_saved_plan_that_may_cost_more_than_the_apply_is_to_spend_is_refused(small: Player) -> None:
    assert small.run("plan", "--out", "saved").code == 0
    before = small.files()
    said = small.run("apply", "saved", "--max-usd", "0.0000000001")
    assert said.code == 3
    assert "--max-usd" in said.err
    assert small.files() == before


def test_the_name_of_a_file_cannot_begin_a_line_of_a_build_log(small: Player) -> None:
    (small.folder / "in" / "a.csv").rename(small.folder / "in" / "x\n::error::owned ##[error]b.dat")
    small.spec("name: a\nsource: {path: in/, format: csv, include: ['*.csv']}\ndestination: {table: a.a}\n")
    said = small.run("plan")
    assert said.code == 1
    assert r"x\n::error::owned #\x23[error]b.dat" in said.out
    assert not [line for line in said.out.splitlines() if line.strip().startswith("::")]


@pytest.mark.parametrize("variable", [None, "NO_COLOR"])
def test_an_error_has_no_color_where_none_is_wanted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], variable: str | None
) -> None:
    from autoloader.cli.console import show_error
    from autoloader.errors import SettingsError

    if variable:
        monkeypatch.setenv(variable, "1")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    show_error(SettingsError("No."))
    assert capfd.readouterr().err == "Error: No.\n"


def test_files_that_wait_are_counted_where_there_is_nothing_to_do(small: Player) -> None:
    small.spec("name: a\nsource: {path: in/, min_age: 1d}\ndestination: {table: a.a}\n")
    assert small.run("apply", "-y").code == 0
    assert small.run("apply", "-y", "--format", "json").json["waiting_files"] == 1
    assert "Nothing to do now." in small.run("apply", "-y").out


def test_numbers_that_json_has_not_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    from autoloader.cli.console import print_json

    print_json({"rows": [{"x": float("nan"), "y": (float("inf"), 1.5)}]})
    text = capsys.readouterr().out
    assert json.loads(text, parse_constant=pytest.fail) == {"rows": [{"x": None, "y": [None, 1.5]}]}


def test_a_table_whose_columns_nobody_knows_is_not_said_to_be_made(small: Player) -> None:
    (small.folder / "in" / "a.csv").unlink()
    assert "create table" not in small.run("plan").out
    said = small.run("apply", "-y", "--format", "json").json
    assert [each["operation"] for each in said["operations"]] == ["ingestion_recorded"]


@pytest.mark.parametrize("saved", ["plan.zip", "plan"])
def test_a_saved_plan_of_another_folder_is_applied_without_naming_the_folder(small: Player, saved: str) -> None:
    (small.folder / "ingestions").rename(small.folder / "specs")
    assert small.run("plan", "specs", "--offline", "--out", saved).code == 0
    said = small.run("apply", saved)
    assert said.code == 0, said.err


def test_a_saved_plan_whose_folder_lies_elsewhere_by_now_is_applied_with_it(small: Player) -> None:
    assert small.run("plan", "--offline", "--out", "saved").code == 0
    (small.folder / "ingestions").rename(small.folder / "feeds")
    assert small.run("apply", "saved").code == 1
    assert small.run("apply", "saved", "--folder", "feeds").code == 0
    assert small.run("apply", "feeds", "--folder", "specs", "-y").code == 1


@pytest.mark.parametrize(
    "words", [("--select", "a"), ("--due",), ("--reingest", "a=**"), ("--refresh", "a=full"), ("--resume", "x")]
)
def test_what_would_change_a_saved_plan_is_refused_and_not_ignored(small: Player, words: tuple[str, ...]) -> None:
    assert small.run("plan", "--out", "saved").code == 0
    before = small.files()
    said = small.run("apply", "saved", *words)
    assert said.code == 1
    assert words[0] in said.err
    assert "saved plan" in said.err
    assert small.files() == before


@pytest.mark.parametrize("words", [("--select", "nope"), ("--due",), ("--reingest", "a=**"), ("--fill", "a=none")])
def test_a_run_that_is_resumed_says_itself_what_is_left_of_it(small: Player, words: tuple[str, ...]) -> None:
    before = small.files()
    said = small.run("apply", "-y", "--resume", "x", *words)
    assert said.code == 1
    assert f"{words[0]} cannot be said with it" in said.err
    assert small.files() == before


@pytest.mark.parametrize(
    "words",
    [
        ("plann",), ("plan", "--no-such-flag"), ("plan", "no-such-folder"), ("files", "b"), ("show", "no-run"),
        ("plan", "--select", "b"), ("plan", "--refresh", "a"), ("plan", "--refresh", "a=half"), ("verify", "b"),
        ("files", "a", "--match", "[x"), ("rollback", "a", "--to-run", "none", "-y"),
        ("state", "show", "b"), ("state", "rm", "b", "-y"), ("locks", "break", "none", "--reason", "x"),
        ("plan", "--var", "novalue"), ("plan", "--env", "none"), ("apply", "-y", "--resume", "none"),
        ("preview", "b"), ("cost", "b"), ("runs", "--ingestion", "b"), ("rebuild-ledger", "b", "-y"),
        ("rebuild-ledger", "a", "-y"), ("apply", "no-such.plan"), ("plan", "--max-usd", "-1"),
        ("plan", "--max-usd", "nan"), ("plan", "--max-usd", "1e400"), ("apply", "-y", "--max-usd", "inf"),
        ("plan", "--json-into", "no-such-folder/plan.json"), ("plan", "--out", "ingestions"),
        ("apply", "-y", "--events", "no-such-folder/events.ndjson"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_wrong_word_is_one_message_exit_1_and_nothing_written(small: Player, words: tuple[str, ...]) -> None:
    before = small.files()
    said = small.run(*words)
    assert said.code == 1, said.out + said.err
    assert said.err.strip()
    assert "should not" not in said.err, "a defect's message"
    assert "Traceback" not in said.err
    assert small.files() == before


def _explained(error: Exception) -> Exception:
    from autoloader.errors import LakeError

    try:
        raise LakeError("the table cannot be read") from error
    except LakeError as explained:
        return explained


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Query interrupted"),  # what DuckDB raises in place of the KeyboardInterrupt
        duckdb.InterruptException("INTERRUPT Error: Interrupted!"),
        _explained(RuntimeError("Query interrupted")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_ctrl_c_while_duckdb_works_is_no_defect(
    small: Player, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("autoloader.project.planning.build_plan", interrupted)
    said = small.run("plan")
    assert (said.code, said.err) == (130, "Interrupted.\n")


IMPORTS = """
import sys
from autoloader.cli import run
code = run(sys.argv[1:])
heavy = {name.partition(".")[0] for name in sys.modules}
print(code, sorted(heavy & {"pyspark", "pysail", "pandas", "duckdb", "pyarrow", "boto3", "rich"}), file=sys.stderr)
"""


def loaded_by(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stderr.strip().splitlines()[-1]


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_by(tmp_path, "--help") == "0 []"
    assert loaded_by(tmp_path, "plan", "--help") == "0 []"


@pytest.mark.slow
def test_plan_loads_no_spark(small: Player) -> None:
    said = loaded_by(small.folder, "plan")
    assert said.startswith("0 ")
    assert "pyspark" not in said
    assert "pysail" not in said


def test_why_of_a_file_that_no_ingestion_takes_says_so(small: Player) -> None:
    said = small.run("why", "/no/where.csv")
    assert said.code == 0
    assert "No ingestion looks there" in said.out


@pytest.mark.parametrize("words", [("why",), ("preview", "a", "--file")], ids=" ".join)
def test_a_name_that_is_not_utf_8_is_said_to_be_none(small: Player, words: tuple[str, ...]) -> None:
    said = small.run(*words, os.fsdecode(b"in/\xff\xfesur.csv"))
    assert said.code == 1
    assert r"The name in/\xff\xfesur.csv is not UTF-8." in said.err
    assert "defect" not in said.err


@pytest.mark.parametrize(
    ("key", "rule", "reason"),
    [
        ("a.csv", "include **/*.csv", "never seen"),
        ("x/b.csv", "exclude x/**", "an exclude pattern matches it"),
        ("_c.csv", "hidden", "a part of its name begins with _"),
        ("d.txt", "no include", "no include pattern matches it"),
        ("x/away.txt", "no include", "no pattern takes it"),
        ("away.csv", "include **/*.csv", "it is not in storage"),
    ],
)
def test_why_names_the_rule_that_decides(small: Player, key: str, rule: str, reason: str) -> None:
    store = LocalStore(small.folder / "in")
    for each in ("x/b.csv", "_c.csv", "d.txt"):
        store.put(each, "n,s\n2,y\n")
    small.spec("name: a\nsource: {path: in/, include: ['**/*.csv'], exclude: ['x/**']}\ndestination: {table: a.a}\n")
    [told] = small.run("why", f"in/{key}", "--format", "json").json["ingestions"]
    assert told["rule"] == rule
    assert reason in told["reason"]
    assert f"rule: {rule}" in small.run("why", f"in/{key}").out


def test_why_of_an_ingestion_without_patterns_says_that_the_ending_decides(small: Player) -> None:
    [told] = small.run("why", "in/a.csv", "--format", "json").json["ingestions"]
    assert told["rule"] == "include, by its ending"


def test_apply_of_a_plan_that_is_not_there_says_so(small: Player) -> None:
    said = small.run("apply", "no-such.plan")
    assert "no plan and no folder of specs 'no-such.plan'" in said.err


def test_a_limit_of_the_command_line_is_the_guardrail_of_its_name(small: Player) -> None:
    said = small.run("plan", "--max-usd", "0", "--format", "json")
    assert said.code == 3
    [held] = said.json["guardrails"]
    assert (held["id"], held["level"], held["limit"], held["passed"]) == ("max_usd", "deny", 0, False)
    assert said.json["changes"][0]["blocked"]["by"] == "max_usd"


def test_reingest_of_nothing_and_plans_that_do_not_look_say_so(small: Player) -> None:
    assert "--reingest b/** selects no file that was loaded" in small.run("plan", "--reingest", "a=b/**").out
    assert "is not planned (--refresh-only)" in small.run("plan", "--refresh-only").out
    (small.folder / "ingestions" / "specs.yml").unlink()
    assert "Storage was not looked at." in small.run("plan", "--offline").out


def test_the_sample_of_a_schema_is_counted_against_the_files_to_be_loaded(small: Player) -> None:
    store = LocalStore(small.folder / "in")
    store.put("_SUCCESS", "")
    store.put("b.csv", "n,s\n2,y\n")
    assert "inferred from 2 of 2 files" in small.run("plan").out


def test_the_top_level_script_is_the_console_script() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "plan_apply.py"), "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("autoloader")


def test_a_long_sentence_of_an_answer_is_broken_between_words_where_the_width_is_known() -> None:
    from autoloader.project import Answer

    long = "  2026-01-01  " + "word " * 30 + "/a/path/that/stays/whole/whatever/the/width/of/the/terminal/is.csv"
    lines = Answer({}, closing=[long]).text(width=60).splitlines()
    assert lines[0].startswith("  2026-01-01")
    assert all(line.startswith("      ") for line in lines[1:])
    assert [line for line in lines if len(line) > 60] == lines[-1:]
    assert " ".join(" ".join(lines).split()) == " ".join(long.split())
    assert Answer({}, closing=[long]).text(width=None) == long
