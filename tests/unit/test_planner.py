from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from autoloader.inventory import WORK
from autoloader.plan import Action, Operation, Reason, Severity, from_json, to_json
from autoloader.planner import Asked, Looked, State, TableFacts, backfill_progress, build_plan, rules_for, stale
from autoloader.render import plan_text
from autoloader.schema import TableSchema, from_data
from autoloader.spec import IngestionSpec, Settings
from tests.planning import NOW, ROOT, TABLE, file, judge, plan_of, recorded_of, remembered, spec_of

A, B, C = file("a.csv"), file("b.csv"), file("c.csv")


def one(plan: Any) -> Any:
    assert len(plan.changes) == 1, plan.changes
    return plan.changes[0]


def operations(change: Any) -> list[str]:
    return [operation.operation for operation in change.operations]


def test_a_new_ingestion_is_created_and_loaded() -> None:
    schema = from_data([{"name": "x", "type": "int"}])
    plan = plan_of([A, B], schemas={"sales": schema})
    change = one(plan)
    assert change.actions == (Action.CREATE, Action.LOAD)
    assert (change.reason, change.lane, change.symbol) == (Reason.NEW_INGESTION, "live", "+")
    assert operations(change) == ["ingestion_recorded", "table_created", "run_triggered"]
    assert change.after["schema"] == [{"name": "x", "type": "int"}]
    assert plan.totals.files_to_process == 2
    assert plan.applyable
    assert plan.complete
    assert not plan.errored


def test_a_plan_after_everything_is_loaded_has_no_changes() -> None:
    plan = plan_of([A, B], [remembered(A), remembered(B)])
    assert plan.changes == ()
    assert plan.totals.files_by_disposition == {"done": 2}
    assert not plan.applyable
    assert plan.complete


def test_a_change_says_what_is_loaded_from_when_and_in_how_many_batches() -> None:
    change = one(plan_of([A, B, {**C, "etag": "e2"}], [remembered(A), remembered(C)]))
    assert change.actions == (Action.LOAD,)
    assert change.detail == "1 file replaced (10 old rows leave), 1 file never seen, of 2024-05-02, in 1 batch"
    replaced = next(o for o in change.operations if o.operation == "rows_replaced")
    assert replaced.details["examples"][0] == {
        "key": "c.csv", "old_etag": "e1", "new_etag": "e2",
        "old_size_bytes": 100, "new_size_bytes": 100, "rows_out": 10,
    }  # fmt: skip
    assert replaced.details["rows"] == 10


def test_each_lane_is_a_change_of_its_own_and_every_file_counts_once() -> None:
    spec = spec_of(
        source={"path_date": "{Y}-{m}-{d}"},
        backfill={"from": "2015-01-01", "until": "2018-01-01"},
    )
    plan = plan_of([file("2016-01-01.csv"), file("2020-01-01.csv"), file("_x")], (), spec)
    assert [(c.lane, c.actions) for c in plan.changes] == [
        ("live", (Action.CREATE, Action.LOAD)), ("backfill", (Action.LOAD,)),
    ]  # fmt: skip
    assert [c.impact.files_by_disposition for c in plan.changes] == [{"new": 1, "hidden": 1}, {"new": 1}]
    assert plan.totals.files_by_disposition == {"new": 2, "hidden": 1}


@pytest.mark.parametrize(("status", "by"), [("draft", "draft"), ("paused", "paused")])
def test_a_draft_and_a_paused_ingestion_are_planned_and_held_back(status: str, by: str) -> None:
    plan = plan_of([A], (), spec_of(status=status))
    assert one(plan).blocked.by == by
    assert not plan.applyable
    assert not plan.complete
    assert plan.totals.files_to_process == 0


def test_a_draft_that_is_named_runs() -> None:
    asked = Asked(select=frozenset({"sales"}), by_name=frozenset({"sales"}))
    assert one(plan_of([A], (), spec_of(status="draft"), asked=asked)).blocked is None


def test_a_table_of_ours_that_the_state_does_not_remember_is_never_loaded_again_silently() -> None:
    change = one(plan_of([A], table=TABLE))
    assert change.actions[0] == Action.ADOPT
    assert change.blocked.by == "table-exists"
    assert "rebuild-ledger sales" in change.blocked.message


def test_a_foreign_table_has_to_be_adopted() -> None:
    change = one(plan_of([A], table=dataclasses.replace(TABLE, has_lineage=False)))
    assert "state adopt sales" in change.blocked.message


def test_an_empty_table_that_a_killed_apply_left_is_taken_up() -> None:
    change = one(plan_of([A], table=TableFacts("u", None, 0, TableSchema(), True)))
    assert (change.actions, change.blocked) == ((Action.ADOPT, Action.LOAD), None)


def test_a_dropped_table_stops_the_load_and_says_how_many_files_it_held() -> None:
    plan = build_plan(
        [spec_of()],
        State("l", 1, (recorded_of(spec_of()),)),
        {"sales": Looked(judge([A, B], [remembered(A), remembered(B)]), 2)},
        now=NOW, tool_version="1", tables={"shop.sales": None},
    )  # fmt: skip
    change = one(plan)
    assert (change.blocked.by, change.reason) == ("table-missing", Reason.TABLE_MISSING)
    assert plan.drift == ("shop.sales was dropped; 2 files recorded as loaded into it",)
    assert "--refresh sales=full" in change.blocked.message


def test_a_table_that_was_made_anew_behind_our_back_is_not_trusted() -> None:
    plan = plan_of([A], [remembered(A)], table=dataclasses.replace(TABLE, uuid="other"))
    assert one(plan).blocked.by == "table-replaced"


def test_loads_that_the_state_does_not_remember_hold_back_loading_until_the_ledger_is_rebuilt() -> None:
    plan = plan_of([A, B], [remembered(A)], table=dataclasses.replace(TABLE, unknown=2))
    change = one(plan)
    assert change.blocked.by == "state-behind"
    assert "2 loads" in change.blocked.message
    assert "rebuild-ledger sales" in change.blocked.message
    assert plan.drift == ("shop.sales got 2 loads that this state does not remember",)
    emptied = dataclasses.replace(TABLE, unknown=2, rows=0)
    assert one(plan_of([A, B], [remembered(A)], table=emptied)).blocked is None


def moved(key: str, root: str = "s3://elsewhere/in/") -> dict[str, Any]:
    return remembered({**file(key), "file_path": root + key})


def test_a_relative_source_of_a_project_that_lies_elsewhere_now_is_not_loaded_again_as_if_it_were_new() -> None:
    spec = spec_of(source={"path": "in/"})
    plan = plan_of([A, B, C], [moved(A["key"]), moved(B["key"])], spec, table=TABLE)
    change = one(plan)
    assert change.blocked.by == "source-moved"
    assert "2 files that were loaded from s3://elsewhere/in/ count as new below s3://b/in/" in change.blocked.message
    confirmed = plan_of([A], [moved(A["key"])], spec, table=TABLE, asked=Asked(confirmed=frozenset({"sales"})))
    assert one(confirmed).blocked is None


@pytest.mark.parametrize(
    ("path", "before"),
    [
        ("s3://b/in/", moved("a.csv")),  # somebody wrote another bucket: the plan tells of it
        ("in/", moved("a.csv", "s3://elsewhere/out/")),  # another source of former days
        ("in/", moved("a.csv", "s3://b/archive/in/")),  # the same, inside of the project
        ("in/", moved("other.csv")),
    ],
)
def test_files_of_another_source_hold_nothing_back(path: str, before: dict[str, Any]) -> None:
    plan = plan_of([A], [before], spec_of(source={"path": path}), table=TABLE)
    assert one(plan).blocked is None


@pytest.mark.parametrize("refresh", [{}, {"sales": "full"}, {"sales": "new-only"}, {"sales": "clear-history"}])
def test_nothing_is_done_to_another_table_whose_name_the_spec_has_taken(refresh: dict[str, Any]) -> None:
    other = dataclasses.replace(TABLE, uuid="not ours")
    plan = plan_of(
        [A, B],
        [remembered(A)],
        spec_of(destination={"table": "shop.other"}),
        recorded=recorded_of(spec_of()),
        tables={"shop.other": other, "shop.sales": TABLE},
        asked=Asked(refresh=refresh),
    )
    assert {change.blocked.by for change in plan.changes if change.blocked} == {"table-exists"}
    assert [change for change in plan.changes if change.blocked is None] == []


def test_a_write_by_someone_else_is_drift_and_no_stop() -> None:
    spec = spec_of()
    plan = plan_of([A], [remembered(A)], spec, recorded=recorded_of(spec, snapshot_id=10))
    assert plan.changes == ()
    assert "snapshot 10 -> 11" in plan.drift[0]


def test_a_recorded_ingestion_whose_first_files_arrive_gets_its_table() -> None:
    spec = spec_of()
    plan = build_plan(
        [spec], State("l", 1, (recorded_of(spec, table_uuid=None, last_run_at=None),)),
        {"sales": Looked(judge([A], (), spec, recorded=recorded_of(spec)), 1)},
        now=NOW, tool_version="1", tables={},
    )  # fmt: skip
    assert one(plan).actions == (Action.CREATE, Action.LOAD)


@pytest.mark.parametrize("keys", [{"description": "x"}, {"owner": "a@b"}, {"tags": ["t"]}])
def test_metadata_edits_are_recorded_and_load_nothing(keys: dict[str, Any]) -> None:
    old, new = spec_of(), spec_of(**keys)
    change = one(plan_of([A], [remembered(A)], new, recorded=recorded_of(old)))
    assert (change.actions, change.reason) == ((Action.UPDATE,), Reason.METADATA_CHANGED)
    assert change.impact.files_to_process == 0


def test_widening_the_scope_updates_and_loads_what_comes_in() -> None:
    old = spec_of(source={"include": ["a*"]})
    plan = plan_of([A, B], [remembered(A)], spec_of(source={"include": ["*.csv"]}), recorded=recorded_of(old))
    assert [c.actions for c in plan.changes] == [(Action.UPDATE,), (Action.LOAD,)]


def test_narrowing_the_scope_deletes_nothing_and_says_so() -> None:
    old, new = spec_of(), spec_of(source={"include": ["a*"]})
    plan = plan_of([A, B], [remembered(A), remembered(B)], new, recorded=recorded_of(old))
    assert one(plan).actions == (Action.UPDATE,)
    assert "1 file out of scope" in plan.notes[0]


def test_a_renamed_ingestion_keeps_its_history() -> None:
    old, new = spec_of(), spec_of(name="sold", previous_name="sales")
    change = one(plan_of([A], [remembered(A)], new, recorded=recorded_of(old)))
    assert (change.ingestion, change.reason) == ("sold", Reason.RENAMED)
    assert operations(change) == ["ingestion_renamed", "spec_recorded"]


def test_a_table_is_renamed_and_loaded_in_one_plan() -> None:
    new = spec_of(destination={"table": "shop.sold"})
    plan = plan_of(
        [A, B], [remembered(A)], new, recorded=recorded_of(spec_of()), tables={"shop.sales": TABLE, "shop.sold": None}
    )
    renamed, load = plan.changes
    assert operations(renamed) == ["table_renamed", "spec_recorded"]
    assert (load.actions, load.impact.files_to_process) == ((Action.LOAD,), 1)
    assert [change.blocked for change in plan.changes] == [None, None]
    assert plan.drift == ()


def test_a_table_that_has_its_new_name_already_is_only_recorded_under_it() -> None:
    new = spec_of(destination={"table": "shop.sold"})
    plan = plan_of([A], [remembered(A)], new, recorded=recorded_of(spec_of()), table=TABLE)
    assert (one(plan).blocked, operations(one(plan))) == (None, ["spec_recorded"])


def test_another_table_of_the_new_name_is_not_taken_for_the_ingestions_own() -> None:
    new = spec_of(destination={"table": "shop.sold"})
    other = dataclasses.replace(TABLE, uuid="u2")
    plan = plan_of(
        [A, B], [remembered(A)], new, recorded=recorded_of(spec_of()), tables={"shop.sales": TABLE, "shop.sold": other}
    )
    assert all(change.blocked for change in plan.changes)


@pytest.mark.parametrize(
    ("keys", "action", "blocked"),
    [({}, Action.FORGET, None), ({"on_remove": "drop"}, Action.DROP, None),
     ({"on_remove": "drop", "protect": True}, Action.DROP, "protect"), ({"protect": True}, Action.FORGET, None)],
)  # fmt: skip
def test_a_spec_that_is_gone_is_forgotten_or_its_table_dropped(keys: Any, action: Action, blocked: str | None) -> None:
    state = State("l", 1, (recorded_of(spec_of(**keys)),))
    change = one(build_plan([], state, {}, now=NOW, tool_version="1", tables={"shop.sales": TABLE}))
    assert change.actions == (action,)
    assert (change.blocked.by if change.blocked else None) == blocked


@pytest.mark.parametrize("other", ["recorded", "renamed", "new"])
def test_a_table_that_another_ingestion_has_as_well_is_not_dropped_with_a_spec_that_is_gone(other: str) -> None:
    gone = recorded_of(spec_of(on_remove="drop"))
    spec = spec_of(name="twin", **({"destination": {"table": "shop.twin"}} if other == "renamed" else {}))
    twin = () if other == "new" else (dataclasses.replace(recorded_of(spec), name="twin"),)
    plan = build_plan([spec], State("l", 1, (gone, *twin)), {}, now=NOW, tool_version="1", tables={"shop.sales": TABLE})
    change = next(change for change in plan.changes if change.ingestion == "sales")
    assert change.actions == (Action.FORGET,)
    assert "it is the table of twin as well" in change.detail


def test_a_spec_that_was_not_selected_is_not_forgotten() -> None:
    state = State("l", 1, (recorded_of(spec_of()),))
    asked = Asked(select=frozenset({"other"}))
    assert build_plan([], state, {}, now=NOW, tool_version="1", tables={}, asked=asked).changes == ()


def test_a_pattern_that_matches_nothing_is_an_error_with_near_misses() -> None:
    plan = plan_of([file("data/2024/sales.CSV"), file("x.txt")], (), spec_of(source={"include": ["**/*.csv"]}))
    found = next(d for d in plan.diagnostics if d.severity == Severity.ERROR)
    assert plan.errored
    assert not plan.applyable
    assert "**/*.csv" in found.summary
    assert "data/2024/sales.CSV" in found.detail


def test_where_exclude_leaves_out_everything_it_is_named_and_include_is_not() -> None:
    plan = plan_of([file("a.csv"), file("b.csv")], (), spec_of(source={"include": ["*.csv"], "exclude": ["**"]}))
    (found,) = plan.diagnostics
    assert found.severity == Severity.ERROR
    assert "exclude (**) leaves out every file" in found.summary
    assert "2 files" in found.detail


def test_a_pattern_narrowed_to_nothing_is_an_error_also_when_every_file_is_known() -> None:
    new = spec_of(source={"include": ["*.parquet"]})
    assert plan_of([A], [remembered(A)], new, recorded=recorded_of(spec_of())).errored


def test_an_empty_source_of_a_new_ingestion_is_a_warning() -> None:
    plan = plan_of([])
    assert [d.severity for d in plan.diagnostics] == [Severity.WARNING]
    assert one(plan).actions == (Action.CREATE,)


def test_only_hidden_files_are_no_files_and_no_error() -> None:
    assert not plan_of([file("_SUCCESS")]).errored


def test_a_source_that_is_suddenly_empty_stops() -> None:
    plan = plan_of([], [remembered(A), remembered(B)])
    assert one(plan).blocked.by == "source-empty"
    assert plan_of([], [remembered(A)], asked=Asked(confirmed=frozenset({"sales"}))).changes == ()


def test_a_source_that_lost_more_than_half_of_its_files_stops_and_half_does_not() -> None:
    memory = [remembered(f) for f in (A, B, C)]
    assert one(plan_of([A], memory)).blocked.by == "source-shrunk"
    assert plan_of([A, B], memory).changes == ()
    gone_before = [remembered(A), remembered(B, "MISSING", src_file_id=1), remembered(C, "MISSING", src_file_id=2)]
    assert plan_of([A], gone_before).changes == ()


def test_rows_of_deleted_files_leave_where_the_spec_says_so() -> None:
    spec = spec_of(source={"on_delete": "delete_rows"})
    change = one(plan_of([A, B], [remembered(f) for f in (A, B, C)], spec))
    assert (change.reason, change.lane) == (Reason.FILES_DELETED, "live")
    assert operations(change) == ["rows_removed"]
    assert "1 file gone from storage (10 old rows leave the table)" in change.detail


def test_data_files_that_rows_leave_are_priced_with_the_load_and_without_one() -> None:
    files, memory = [{**A, "etag": "e2"}, B], [remembered(f) for f in (A, B, C)]
    plain, change = (one(plan_of(files, memory, rewritten={"live": size})) for size in (0, 8 * 10**9))
    assert operations(change) == ["rows_replaced", "data_files_rewritten", "run_triggered"]
    assert plain.impact.cost_usd.expected < Decimal("0.01")
    assert change.impact.cost_usd.expected == pytest.approx(Decimal(2), rel=Decimal("0.0001"))
    spec = spec_of(source={"on_delete": "delete_rows"})
    plan = plan_of([A, B], memory, spec, rewritten={"live": 8 * 10**9})
    assert operations(one(plan)) == ["rows_removed", "data_files_rewritten"]
    assert plan.totals.cost_usd is not None
    assert plan.totals.cost_usd.expected == Decimal(2)
    assert "batch" not in one(plan).detail
    assert "about 8.0 GB of data files" in plan_text(plan, length="full")


@pytest.mark.parametrize(("key", "files"), [("on_change", [{**A, "etag": "e2"}, B]), ("on_delete", [B])])
def test_fail_means_that_nothing_is_loaded_until_someone_decides(key: str, files: list[Any]) -> None:
    spec = spec_of(source={key: "fail"})
    change = one(plan_of(files, [remembered(A), remembered(B)], spec))
    assert change.blocked.by == key


def test_a_file_that_changed_and_one_that_is_gone_are_both_told_where_neither_is_allowed() -> None:
    spec = spec_of(source={"on_change": "fail", "on_delete": "fail"})
    change = one(plan_of([{**A, "etag": "e2"}], [remembered(A), remembered(B)], spec))
    assert change.blocked.by == "on_change"
    assert "on_change: fail" in change.blocked.message
    assert "on_delete: fail" in change.blocked.message


@pytest.mark.parametrize("files", [[{**A, "etag": "e2"}, B], [B]], ids=["replaced", "gone"])
def test_rows_of_a_table_with_delete_files_of_another_engine_do_not_leave_it(files: list[Any]) -> None:
    spec = spec_of(source={"on_delete": "delete_rows"})
    memory = [remembered(A), remembered(B)]
    change = one(plan_of(files, memory, spec, delete_files=True))
    assert change.blocked.by == "delete-files"
    assert "1 file" in change.blocked.message
    assert "shop.sales" in change.blocked.message
    full = Asked(refresh={"sales": "full"})
    assert one(plan_of([A, B], memory, spec, delete_files=True, asked=full)).blocked is None
    assert one(plan_of([A, B, C], memory, spec, delete_files=True)).blocked is None


@pytest.mark.parametrize("files", [[{**A, "etag": "e2"}, B], [B]], ids=["replaced", "gone"])
def test_rows_do_not_leave_a_table_that_does_not_say_which_files_they_are_of(files: list[Any]) -> None:
    spec, memory = spec_of(source={"on_delete": "delete_rows"}), [remembered(A), remembered(B)]
    bare = dataclasses.replace(TABLE, has_lineage=False)
    change = one(plan_of(files, memory, spec, table=bare))
    assert change.blocked.by == "lineage"
    assert change.blocked.message.endswith("with them, run: autoloader plan --refresh sales=full")
    off = one(plan_of(files, memory, spec, table=bare, settings=Settings(lineage_columns=False)))
    assert "set lineage_columns: true" in off.blocked.message
    assert one(plan_of([A, B, C], memory, spec, table=bare)).blocked is None
    for mode in ("full", "new-only"):
        anew = plan_of(files, memory, spec, table=bare, asked=Asked(refresh={"sales": mode}))
        assert [c.blocked for c in anew.changes if Action.REBUILD in c.actions] == [None]


def test_refresh_full_rebuilds_aside_and_swaps() -> None:
    change = one(plan_of([A, B], [remembered(A)], asked=Asked(refresh={"sales": "full"})))
    assert change.actions == (Action.REBUILD, Action.LOAD)
    assert operations(change) == [
        "branch_created",
        "run_triggered",
        "branch_compared",
        "branch_swapped",
        "processed_files_cleared",
    ]
    assert change.impact.files_to_process == 2
    assert change.symbol == "-/+"


def test_refresh_full_says_which_rows_do_not_come_back() -> None:
    table = dataclasses.replace(TABLE, rows=20)
    asked = Asked(refresh={"sales": "full"}, confirmed=frozenset({"sales"}))
    memory = [remembered(A), remembered(B, src_file_id=8)]
    plan = plan_of([A], memory, asked=asked, table=table)
    assert "; 10 rows of files that are gone, replaced or out of scope leave for good" in one(plan).detail
    assert "sales: 1 file gone from storage; the rebuilt table has no rows of them" in plan.notes
    assert not [note for note in plan.notes if "kept" in note]
    assert "for good" not in one(plan_of([A, B], memory, asked=asked, table=table)).detail
    assert "20 rows leave the table for good" in one(plan_of([], memory, asked=asked, table=table)).detail


def test_files_before_a_window_that_were_never_loaded_are_not_said_to_be_kept() -> None:
    spec = spec_of(source={"path_date": "{Y}-{m}-{d}"}, backfill={"from": "2020-01-01"})
    plan = plan_of([file("2019-01-01.csv"), file("2021-01-01.csv")], (), spec)
    assert "sales: 1 file dated before backfill.from, never loaded" in plan.notes


def test_a_refresh_is_done_once_per_request() -> None:
    spec = spec_of(refresh={"mode": "full", "request": "r1"})
    assert "request_recorded" in operations(one(plan_of([A], [remembered(A)], spec)))
    done = recorded_of(spec, requests_done=frozenset({("refresh", "r1")}))
    assert plan_of([A], [remembered(A)], spec, recorded=done).changes == ()
    assert "request_recorded" in operations(one(plan_of([A], (), spec)))


@pytest.mark.parametrize("mode", ["full", "clear-history"])
def test_a_refresh_that_loads_all_does_what_reingest_asks_for_as_well(mode: str) -> None:
    spec = spec_of(refresh={"mode": mode, "request": "r1"}, reingest=[{"match": "**", "request": "r2"}])
    change = one(plan_of([A], [remembered(A)], spec))
    done = [each.details for each in change.operations if each.operation == "request_recorded"]
    assert done == [{"kind": "refresh", "request": "r1"}, {"kind": "reingest", "request": "r2"}]


def test_a_reingest_that_no_file_answers_to_is_done() -> None:
    spec = spec_of(reingest=[{"match": "q9/**", "request": "r1"}])
    done = Operation("request_recorded", {"kind": "reingest", "request": "r1", "files": 0})
    edited = one(plan_of([A], [remembered(A)], spec, recorded=recorded_of(spec_of())))
    assert edited.operations[-1] == done
    alone = one(plan_of([A], [remembered(A)], spec, recorded=recorded_of(spec)))
    assert (alone.actions, alone.reason, alone.operations) == ((Action.UPDATE,), Reason.REINGEST_REQUESTED, (done,))
    in_hand = [remembered(A), remembered(B, claimed=True)]
    assert plan_of([A, B], in_hand, spec, recorded=recorded_of(spec)).changes == ()
    settled = recorded_of(spec, requests_done=frozenset({("reingest", "r1")}))
    assert plan_of([A], [remembered(A)], spec, recorded=settled).changes == ()


def test_refresh_new_only_says_how_much_leaves_the_table() -> None:
    change = one(plan_of([A], [remembered(A)], asked=Asked(refresh={"sales": "new-only"})))
    assert change.actions == (Action.REBUILD,)
    assert "100 rows of 1 file leave the table" in change.detail


@pytest.mark.parametrize("mode", ["full", "new-only", "clear-history"])
def test_a_protected_table_is_not_rebuilt(mode: Any) -> None:
    plan = plan_of([A], [remembered(A)], spec_of(protect=True), asked=Asked(refresh={"sales": mode}))
    assert one(plan).blocked.by == "protect"


def test_a_protection_that_is_taken_out_of_the_spec_holds_for_the_plan_that_takes_it_out() -> None:
    asked = Asked(refresh={"sales": "full"})
    plan = plan_of([A], [remembered(A)], spec_of(), recorded=recorded_of(spec_of(protect=True)), asked=asked)
    assert [c.blocked.by if c.blocked else None for c in plan.changes] == [None, "protect"]


INTS = from_data([{"name": "x", "type": "int"}])


@pytest.mark.parametrize(
    ("wanted", "kind", "blocked"),
    [("x long", "metadata", None), ("x int, y string", "additive", None), ("x date", "incompatible", "schema")],
)
def test_a_schema_change_is_classified(wanted: str, kind: str, blocked: str | None) -> None:
    columns = [dict(zip(("name", "type"), c.split(), strict=True)) for c in wanted.split(", ")]
    spec = spec_of()
    plan = plan_of(
        [A], [remembered(A)], spec, recorded=recorded_of(spec, schema=INTS), schemas={"sales": from_data(columns)}
    )
    change = one(plan)
    assert (change.actions, change.after["class"]) == ((Action.SCHEMA,), kind)
    assert (change.blocked.by if change.blocked else None) == blocked


def test_a_column_whose_values_partition_the_table_keeps_its_type_also_in_a_rebuild() -> None:
    spec = spec_of(destination={"table": "shop.sales", "partition_by": ["x"]})
    plan = plan_of(
        [A],
        [remembered(A)],
        spec,
        recorded=recorded_of(spec, schema=INTS),
        schemas={"sales": from_data([{"name": "x", "type": "date"}])},
        asked=Asked(refresh={"sales": "full"}),
    )
    assert all(change.blocked is not None and change.blocked.by == "schema" for change in plan.changes)
    assert "from: x" in plan_text(plan)


def test_a_guardrail_that_denies_holds_every_load_back() -> None:
    settings = Settings.model_validate({"guardrails": {"max_files": {"warn": 1, "deny": 2}}})
    two = plan_of([A, B], settings=settings)
    assert [(v.level, v.passed) for v in two.guardrails] == [("warn", False), ("deny", True)]
    assert two.applyable
    three = plan_of([A, B, C], settings=settings)
    assert one(three).blocked.by == "max_files"
    assert not three.applyable
    assert three.totals.files_to_process == 3


def test_an_unknown_price_does_not_pass_a_limit_of_dollars() -> None:
    settings = Settings.model_validate({"prices": {"usd_per_gb": None}})
    plan = plan_of([A], settings=settings, asked=Asked(max_usd=Decimal(1000)))
    assert plan.totals.cost_usd is None
    assert one(plan).blocked.by == "max_usd"
    assert plan.guardrails[0].value is None


def test_the_json_has_what_a_guardrail_compares_as_numbers_and_reads_them_back() -> None:
    rails = {
        "max_usd": {"warn": "0.000001"},
        "max_bytes": "1KB",
        "max_duration": "90s",
        "max_replaced_percent": "12.5%",
    }
    plan = plan_of([A], settings=Settings.model_validate({"guardrails": rails}))
    said = to_json(plan)["guardrails"]
    assert [(v["id"], v["limit"]) for v in said] == [
        ("max_usd", 0.000001),
        ("max_bytes", 1000),
        ("max_duration", 90),
        ("max_replaced_percent", 12.5),
    ]
    assert all(isinstance(v["value"], int | float) for v in said)
    assert from_json(to_json(plan)) == plan


def test_a_plan_without_work_passes_every_guardrail() -> None:
    settings = Settings.model_validate({"prices": {"usd_per_gb": None}, "guardrails": {"max_usd": 1}})
    assert plan_of([A], [remembered(A)], settings=settings).guardrails[0].passed


def test_deferred_files_make_a_plan_incomplete_but_applicable() -> None:
    plan = plan_of([A, B], spec=spec_of(limits={"max_files": 1}))
    assert plan.applyable
    assert not plan.complete
    assert "1 file must wait for a later run" in one(plan).detail
    assert "limits.max_files" in plan.notes[0]


def test_two_ingestions_of_one_table_are_an_error() -> None:
    plan = build_plan([spec_of(), spec_of(name="b")], State(), {}, now=NOW, tool_version="1", tables={})
    assert plan.errored


def test_refresh_only_shows_drift_and_plans_nothing() -> None:
    plan = plan_of(
        [A, B], [remembered(A)], asked=Asked(mode="refresh-only"), table=dataclasses.replace(TABLE, uuid="z")
    )
    assert plan.changes == ()
    assert plan.drift


def test_late_files_name_the_dates_that_they_touch() -> None:
    spec = spec_of(source={"path_date": "{Y}-{m}-{d}"})
    loaded, late = file("2024-05-10.csv"), file("2011-02-03.csv")
    change = one(plan_of([loaded, late], [remembered(loaded)], spec))
    assert change.reason == Reason.LATE_FILES
    assert "1 file late (dates 2011-02-03)" in change.detail


def test_start_now_tells_apply_to_remember_what_it_leaves_out() -> None:
    change = one(plan_of([A, B], (), spec_of(source={"start": "now"})))
    assert operations(change) == ["ingestion_recorded", "files_skipped"]
    assert change.operations[1].details["files"] == 2


def test_progress_of_a_backfill_runs_from_waiting_to_complete_and_reopens() -> None:
    spec = spec_of(
        source={"path_date": "{Y}-{m}-{d}"},
        backfill={"from": "2015-01-01", "until": "2017-01-01", "step": "1 year"},
    )
    files = [file("2015-02-01.csv"), file("2016-02-01.csv")]
    window = rules_for(spec, root=ROOT, now=NOW).backfill
    assert window is not None
    first = backfill_progress(window, judge(files, (), spec), None, NOW)
    assert (first["state"], [s["state"] for s in first["slices"]]) == ("running", ["pending", "pending"])
    label = first["slices"][0]["slice"]
    half = backfill_progress(window, judge(files, [remembered(files[0])], spec), first, NOW, [label])
    assert (half["finished"], half["started"], half["files_done"], half["files_total"]) == ([label], [label], 1, 2)
    every = [s["slice"] for s in first["slices"]]
    done = backfill_progress(window, judge(files, [remembered(f) for f in files], spec), half, NOW, every)
    assert (done["state"], done["finished"]) == ("complete", every)
    late = [*files, file("2015-03-01.csv")]
    again = judge(late, [remembered(f) for f in files], spec, recorded=recorded_of(spec, backfill=done))
    assert {r["key"]: r["disposition"] for r in again.to_pylist()}["2015-03-01.csv"] == "late"
    reopened = backfill_progress(window, again, done, NOW)
    assert (reopened["state"], [s["state"] for s in reopened["slices"]]) == ("running", ["running", "complete"])


def test_a_window_that_is_widened_after_it_was_complete_keeps_its_pace() -> None:
    def dated(until: str) -> IngestionSpec:
        window = {"from": "2015-01-01", "until": until, "step": "1 year", "every": "1 week"}
        return spec_of(source={"path_date": "{Y}-{m}-{d}"}, backfill=window)

    old, new = dated("2016-01-01"), dated("2018-01-01")
    files = [file(f"{year}-02-01.csv") for year in (2015, 2016, 2017)]
    known = [remembered(files[0])]
    window = rules_for(old, root=ROOT, now=NOW).backfill
    assert window is not None
    slices = [piece.label for piece in window.slices]
    done = backfill_progress(window, judge(files[:1], known, old), None, NOW - timedelta(days=30), slices)
    assert done["state"] == "complete"
    recorded = recorded_of(new, backfill=done)
    found = judge([*files, file("2015-03-01.csv")], known, new, recorded=recorded)
    assert {row["key"][:7]: row["disposition"] for row in found.to_pylist()} == {
        "2015-02": "done",
        "2015-03": "late",
        "2016-02": "new",
        "2017-02": "deferred",
    }
    wider = rules_for(new, root=ROOT, now=NOW, recorded=recorded).backfill
    assert wider is not None
    going = backfill_progress(wider, judge(files, known, new, recorded=recorded), done, NOW, [wider.slices[1].label])
    assert (going["state"], going["complete_at"], going["finished"]) == ("running", None, slices)
    recorded = recorded_of(new, backfill=going)
    found = judge(files, [remembered(each) for each in files[:2]], new, recorded=recorded)
    assert [row["disposition"] for row in found.to_pylist() if row["key"][:4] == "2017"] == ["deferred"]


def test_a_plan_is_stale_when_spec_record_or_table_moved() -> None:
    spec = spec_of()
    recorded = recorded_of(spec)
    state, tables = State("lineage-1", 5, (recorded,)), {"shop.sales": TABLE}
    plan = plan_of([A, B], [remembered(A)], spec)
    assert stale(plan, state, tables, [spec], NOW) == ()
    assert "serial 3 -> 4" in stale(plan, State("lineage-1", 6, (dataclasses.replace(recorded, serial=4),)), tables)[0]
    assert "edited" in stale(plan, state, tables, [spec_of(description="x")])[0]
    moved = {"shop.sales": dataclasses.replace(TABLE, snapshot_id=12)}
    assert "snapshot 11 -> 12" in stale(plan, state, moved)[0]
    assert stale(plan, State("other", 5, (recorded,)), tables) == ("the plan belongs to another state",)


def test_a_plan_made_before_the_state_existed_applies_only_while_it_does_not() -> None:
    plan = plan_of([A])
    assert stale(plan, State(), {}) == ()
    assert stale(plan, State("lineage-1"), {}) != ()


def test_every_work_disposition_has_its_words() -> None:
    from autoloader.planner.loads import _NOUNS

    assert set(_NOUNS) == WORK


def test_an_expired_plan_is_stale() -> None:
    plan = plan_of([A], asked=Asked(expires_in=timedelta(hours=1)))
    assert stale(plan, State(), {}, now=NOW + timedelta(hours=2)) == ("the plan expired at 2024-06-01 13:00 UTC",)


def test_another_partitioning_of_a_loaded_table_is_metadata_alone() -> None:
    new = spec_of(destination={"table": "shop.sales", "partition_by": ["month(day)"]})
    change = one(plan_of([A], [remembered(A)], new, recorded=recorded_of(spec_of())))
    assert (change.actions, change.blocked) == ((Action.UPDATE,), None)
    assert operations(change) == ["partitioning_changed", "spec_recorded"]
    assert change.operations[0].details == {"from": [], "to": ["month(day)"], "files_kept": 1, "class": "metadata"}


def test_another_sorting_of_a_loaded_table_is_metadata_alone() -> None:
    new = spec_of(destination={"table": "shop.sales", "sort_by": ["day desc"]})
    change = one(plan_of([A], [remembered(A)], new, recorded=recorded_of(spec_of())))
    assert (change.actions, change.blocked) == ((Action.UPDATE,), None)
    assert operations(change) == ["sorting_changed", "spec_recorded"]
    assert change.operations[0].details == {"from": [], "to": ["day desc"], "files_kept": 1, "class": "metadata"}


def test_properties_that_left_the_spec_are_taken_off_the_table() -> None:
    old, new = (
        spec_of(destination={"table": "shop.sales", "properties": p}) for p in ({"a": "1", "b": "2"}, {"b": "3"})
    )
    change = one(plan_of([A], [remembered(A)], new, recorded=recorded_of(old)))
    assert operations(change) == ["properties_removed", "spec_recorded"]
    assert change.operations[0].details == {"keys": ["a"]}


def test_columns_that_somebody_took_out_of_the_table_stop_its_loads_and_are_named() -> None:
    spec = spec_of()
    emptied = dataclasses.replace(TABLE, schema=TableSchema())
    recorded = recorded_of(spec, schema=INTS)
    plan = plan_of([A, B], [remembered(A)], spec, recorded=recorded, table=emptied, schemas={"sales": INTS})
    change = one(plan)
    assert change.blocked is not None
    assert change.blocked.by == "table-altered"
    assert "x is gone" in change.blocked.message
    assert any("x is gone" in line for line in plan.drift)
