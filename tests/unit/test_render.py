"""Plans as text, Markdown and HTML; hostile names stay inert in all of them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from autoloader.inventory import DIFF
from autoloader.plan import Action, Block, Change, Diagnostic, Impact, Operation, Plan, Reason, Severity, Spread
from autoloader.render import (
    bytes_text,
    escape_markdown,
    escape_terminal,
    money_text,
    plan_html,
    plan_markdown,
    plan_text,
    seconds_text,
    table_text,
)
from autoloader.render.markup import MARKDOWN_LIMIT_BYTES

HOSTILE = "a|b`c`<script>alert(1)</script><!-- x -->@name [l](http://x) \x1b[31m\u202e *_~\n.csv"


def _impact(files: int = 3) -> Impact:
    return Impact(
        files_to_process=files,
        files_skipped=2,
        files_by_disposition={"new": files, "done": 2},
        bytes_to_process=1_500_000,
        cost_usd=Spread(Decimal("0.2"), Decimal("0.3"), Decimal("0.4")),
        duration_minutes=Spread(Decimal(1), Decimal(2), Decimal(3)),
        basis="uncalibrated: $0.25 per GB",
        oldest_file_date="2013-01-01",
        newest_file_date="2013-12-31",
    )


def _plan(*changes: Change, diagnostics: tuple[Diagnostic, ...] = ()) -> Plan:
    return Plan(
        tool_version="0.1.0",
        plan_id="p-1",
        digest="ab" * 32,
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        expires_at=None,
        lineage=None,
        serial=0,
        mode="plan",
        applyable=True,
        complete=True,
        errored=False,
        changes=changes,
        totals=_impact(),
        diagnostics=diagnostics,
    )


def _load(name: str = "flights", detail: str = "3 files are new", blocked: Block | None = None) -> Change:
    return Change(
        ingestion=name,
        actions=(Action.CREATE, Action.LOAD),
        reason=Reason.NEW_INGESTION,
        detail=detail,
        lane="live",
        after={"table": "demo.flights"},
        impact=_impact(),
        operations=(Operation("run_triggered", {"files": 3}),),
        blocked=blocked,
    )


def _files(*names: str) -> pa.Table:
    rows = [
        {
            "ingestion": "flights",
            "file_path": f"s3://b/{name}",
            "key": name,
            "size_bytes": 10,
            "disposition": "new",
            "reason": "never seen before",
            "lane": "live",
        }
        for name in names
    ]
    return pa.Table.from_pylist(rows, schema=DIFF)


def test_the_default_text_ends_with_counts_and_work() -> None:
    lines = plan_text(_plan(_load())).splitlines()
    assert lines[0] == "  + flights: create table demo.flights and load 3 files (1.5 MB)"
    assert lines[1] == "      because 3 files are new"
    assert lines[-2] == "Plan: 1 to create, 0 to change, 0 to rebuild, 1 to load, 0 to destroy."
    assert lines[-1] == "Work: 3 new = 3 files, 1.5 MB.  Cost: $0.20–0.40.  Time: 1m00s–3m00s.  Priced 1 of 1."


def test_the_summary_is_one_line_per_change_and_the_full_text_names_every_file() -> None:
    plan = _plan(_load())
    assert len(plan_text(plan, length="summary").splitlines()) == 4
    full = plan_text(plan, length="full", files=_files("one.csv", "two.csv"))
    assert "one.csv" in full
    assert "two.csv" in full


def test_a_plan_with_errors_and_no_changes_does_not_say_that_there_is_nothing_to_load() -> None:
    error = Diagnostic(Severity.ERROR, "flights: its source cannot be listed")
    plan = replace(_plan(diagnostics=(error,)), errored=True, applyable=False)
    for text in (plan_text(plan), plan_markdown(plan)):
        assert "nothing to load" not in text
        assert "what has errors is not planned" in text
    assert "nothing to load" not in plan_html(plan)


def test_a_plan_without_changes_says_so() -> None:
    assert plan_text(_plan()).startswith("No changes.")
    assert "No changes" in plan_markdown(_plan())
    assert "No changes" in plan_html(_plan())


def test_a_blocked_change_shows_what_blocks_it_and_is_counted_apart() -> None:
    text = plan_text(_plan(_load(blocked=Block("max_usd", "it may cost $40, the limit is $10"))))
    assert "  ! flights" in text
    assert "blocked by max_usd: it may cost $40, the limit is $10" in text
    assert "0 to create" in text
    assert "1 blocked." in text


@pytest.mark.parametrize(
    ("text", "inert"),
    [("a\nb", r"a\nb"), ("\x1b[2J", r"\x1b[2J"), ("x\u202ey", r"x\u202ey"), ("été ✈", "été ✈"), ("\x7f", r"\x7f")],
)
def test_control_and_direction_characters_are_written_out_on_a_terminal(text: str, inert: str) -> None:
    assert escape_terminal(text) == inert


@pytest.mark.parametrize(
    ("text", "inert"),
    [
        ("::error::x", "\\x3a:error::x"),
        ("  ::set-output", "  \\x3a:set-output"),
        ("a b ::error::x", "a b \\x3a:error::x"),
        ("a::b", "a::b"),
        ("##[error]x", "#\\x23[error]x"),
        ("in ##vso[task]", "in #\\x23vso[task]"),
        ("## a", "## a"),
    ],
)
def test_commands_of_build_servers_are_written_out(text: str, inert: str) -> None:
    assert escape_terminal(text) == inert


def test_a_detail_keeps_its_lines_and_no_other_break_makes_one() -> None:
    found = Diagnostic(Severity.ERROR, "s", "One\nTwo\u2028::error::three\r::error::four")
    assert plan_text(_plan(diagnostics=(found,))).splitlines()[:3] == [
        "Error: s", "  One", r"  Two\u2028::error::three\r::error::four",
    ]  # fmt: skip


def test_a_hostile_name_is_inert_in_text() -> None:
    text = plan_text(_plan(_load(HOSTILE, HOSTILE)), length="full", files=_files(HOSTILE))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_hostile_name_is_inert_in_markdown() -> None:
    problem = Diagnostic(Severity.WARNING, HOSTILE, HOSTILE, HOSTILE, 1)
    text = plan_markdown(_plan(_load(HOSTILE, HOSTILE), diagnostics=(problem,)), files=_files(HOSTILE))
    body = text.split("\n", 1)[1]
    for markup in ("<script", "<!--", "@name", "](http", "\x1b", "\u202e", "a|b", "`"):
        assert markup not in body
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}


def test_a_hostile_name_is_inert_in_html() -> None:
    html = plan_html(_plan(_load(HOSTILE, HOSTILE)), files=_files(HOSTILE))
    assert "<script" not in html
    assert "<!-- x" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "http-equiv" in html
    assert "src=" not in html


def test_what_to_do_about_an_error_stands_in_markdown_and_html() -> None:
    found = Diagnostic(Severity.ERROR, "no list", "No permission.\nAsk for it:\n  aws login")
    text, page = (show(_plan(diagnostics=(found,))) for show in (plan_markdown, plan_html))
    assert "> <br>Ask for it:" in text
    assert "aws login" in text
    assert '<br><span class="soft">Ask for it:</span>' in page
    assert "\\n" not in page


@pytest.mark.parametrize("mode", ["offline", "refresh-only"])
def test_a_plan_that_looked_for_no_work_does_not_say_that_there_is_none(mode: str) -> None:
    plan = replace(_plan(), mode=mode)
    for text in (plan_text(plan), plan_markdown(plan), plan_html(plan)):
        assert "nothing to load" not in text
        assert "not looked at" in text or "not planned" in text
        assert "No changes<" not in text


def test_the_shortest_comment_still_counts() -> None:
    text = plan_markdown(_plan(*(_load(str(number), "x" * 9_000) for number in range(20))))
    assert "20 more changes not shown" in text
    assert "Plan: 20 to create" in text
    assert "Work: 60 new" in text


def test_work_that_is_blocked_as_a_whole_is_not_priced_at_nothing() -> None:
    plan = replace(
        _plan(_load(blocked=Block("protect", "it is"))), totals=replace(_impact(0), cost_usd=Spread(*[Decimal(0)] * 3))
    )
    for text in (plan_text(plan), plan_markdown(plan), plan_html(plan)):
        assert "nothing is priced" in text
        assert "$0<" not in text
        assert "Cost: $0" not in text


def test_markdown_starts_with_the_hidden_marker() -> None:
    first = plan_markdown(_plan(_load())).splitlines()[0]
    assert first == f"<!-- autoloader:plan digest={'ab' * 32} valid_at=2026-01-02T03:04:05+00:00 -->"


def test_markdown_stays_below_its_limit_by_dropping_sections() -> None:
    many = [_load(f"flights_{number}_{'x' * 60}", "because of " + "y" * 300) for number in range(400)]
    text = plan_markdown(_plan(*many), files=_files(*(f"{n}.csv" for n in range(2000))))
    assert len(text.encode()) <= MARKDOWN_LIMIT_BYTES
    assert "more changes not shown" in text
    assert text.rstrip().endswith("</sub>")


def test_markdown_stays_below_its_limit_whatever_there_is_much_of() -> None:
    problems = tuple(Diagnostic(Severity.WARNING, f"bucket {n} is gone " + "z" * 200) for n in range(3000))
    text = plan_markdown(_plan(_load(), diagnostics=problems))
    assert len(text.encode()) <= MARKDOWN_LIMIT_BYTES
    assert "2,800 more problems not shown." in text
    assert text.rstrip().endswith("</sub>")
    wordy = [_load(f"flights_{number}", "é|<" * 300) for number in range(3000)]
    text = plan_markdown(_plan(*wordy))
    assert len(text.encode()) <= MARKDOWN_LIMIT_BYTES
    assert "2,990 more changes not shown" in text


def test_code_in_markdown_is_an_element_of_entities() -> None:
    assert escape_markdown("a|b") == "<code>a&#124;b</code>"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (812_400_000_000, "812.4 GB"), (999_960, "1.0 MB")]
)
def test_sizes_are_decimal(size: int, text: str) -> None:
    assert bytes_text(size) == text


def test_money_has_no_cents_above_a_dollar_and_unknown_is_said() -> None:
    assert money_text(None) == "unknown"
    assert money_text(Spread(Decimal("31.4"), Decimal(35), Decimal("43.6"))) == "$31–44"
    assert money_text(Spread(Decimal("0.001"), Decimal("0.002"), Decimal("0.003"))) == "<$0.01"
    assert money_text(Spread(Decimal("0.001"), Decimal("0.1"), Decimal("0.3"))) == "<$0.01–0.30"


@pytest.mark.parametrize(("seconds", "text"), [(42, "42s"), (70, "1m10s"), (7500, "2h05m"), (273_600, "3d04h")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_a_table_is_aligned_under_its_headings() -> None:
    text = table_text([{"run_id": "r1", "files": 1200}, {"run_id": "r22", "files": None}], ["run_id", "files"])
    assert text.splitlines() == ["run id  files", "r1      1,200", "r22         -"]
