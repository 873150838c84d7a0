"""Tables for terminals: aligned, never cut, at any width."""

from __future__ import annotations

from typing import Any

import pytest

from autoloader.apply import MOST_PROBLEMS, Done
from autoloader.errors import LakeError, LeaseBusyError
from autoloader.project.reporting import Report
from autoloader.render import operation_text, table_text

RUNS: list[dict[str, Any]] = [
    {"run_id": "20261123T161713Z-7b2a4d28", "state": "complete", "files": 1, "size": "789 B", "why": "a/long/way " * 5},
    {"run_id": "20261123T161724Z-20eb1c5a", "state": "failed", "files": 12_000, "size": "41.6 KB", "why": None},
]
COLUMNS = ["run_id", "state", "files", "size", "why"]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, None])
def test_nothing_is_lost_and_ids_stay_whole_at_any_width(width: int | None) -> None:
    text = table_text(RUNS, COLUMNS, width=width)
    assert "20261123T161713Z-7b2a4d28" in text
    assert "12,000" in text
    assert text.count("a/") == 5
    assert "…" not in text


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(len(line) for line in table_text(RUNS, COLUMNS, width=width).splitlines()) <= width


def test_spare_columns_give_way_first() -> None:
    wide = table_text(RUNS, COLUMNS, width=200, spare=["why", "size"])
    narrow = table_text(RUNS, COLUMNS, width=56, spare=["why", "size"])
    assert "why" in wide
    assert "why" not in narrow
    assert "size" in narrow


def test_without_a_terminal_each_row_is_one_line() -> None:
    assert len(table_text(RUNS, COLUMNS, width=None).splitlines()) == 3


def test_figures_stand_flush_right_and_what_is_unknown_does_not_make_a_column_of_them() -> None:
    rows = [{"size": "789 B", "note": None}, {"size": "41.6 KB", "note": None}]
    assert table_text(rows, ["size", "note"]).splitlines() == ["   size  note", "  789 B  -", "41.6 KB  -"]


def test_wide_letters_take_two_columns() -> None:
    rows = [{"name": "日本", "files": 1}, {"name": "ab", "files": 2}]
    assert table_text(rows, ["name", "files"]).splitlines()[1:] == ["日本      1", "ab        2"]


def test_a_table_of_data_has_its_own_column_names() -> None:
    assert table_text([{"dep_time": 1}], ["dep_time"], literal=True).splitlines()[0] == "dep_time"


def test_hostile_cells_and_names_are_inert() -> None:
    text = table_text([{"\x1b[2J": "\x1b[31m\n\u202e"}], ["\x1b[2J"], literal=True)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == 2


def test_steps_are_told_in_words_and_what_is_unknown_is_left_out() -> None:
    assert operation_text("table_created", {"table": "a.b", "columns": 1}) == "create table a.b, 1 column"
    assert operation_text("ingestion_forgotten", {"files": None}) == "forget what is remembered"
    assert operation_text("something_new", {"odd": True}) == "something new: odd yes"


def test_files_that_were_not_loaded_for_one_reason_are_told_in_one_sentence() -> None:
    alike = [(f"in/{n}.csv", "another batch holds it") for n in range(5)]
    done = Done(problems=[*alike, ("in/bad.csv", "in/bad.csv has 2 fields\n  Fix it")])
    assert Report(done, 1.0).text().splitlines()[:2] == [
        "Not loaded: in/0.csv: another batch holds it (and 4 more for this reason)",
        "Not loaded: in/bad.csv: has 2 fields Fix it",
    ]
    most = Report(Done(problems=[("in/a.csv", "another batch holds it")] * MOST_PROBLEMS), 1.0)
    assert "(and at least 19 more for this reason)" in most.text()
    assert len(most.to_json()["problems"]) == MOST_PROBLEMS
    few = Report(Done(problems=alike[:3]), 1.0)
    assert few.text().count("another batch holds it\n") == 3


def test_what_waits_for_somebody_is_not_hidden_by_what_the_next_run_mends() -> None:
    failed, locked, stopped = LakeError("it is broken"), LeaseBusyError("it is locked"), 6
    assert Done(errors=[("a", failed), ("b", locked)], code=stopped).exit_code == 1
    assert Done(errors=[("b", locked)], code=3).exit_code == 3
    assert Done(errors=[("b", locked)], code=stopped).exit_code == stopped
    assert Done(errors=[("b", locked)]).exit_code == 5
    done = Done(code=stopped)
    done.add(Done(code=3))
    assert done.exit_code == 3
