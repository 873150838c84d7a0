from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from autoloader.diff import START_REASON, Rules
from autoloader.diff.query import diff_sql
from autoloader.planner import Asked
from tests.planning import NOW, ROOT, dispositions, file, judge, recorded_of, remembered, spec_of

A = file("a.csv")


def only(table: Any) -> dict[str, Any]:
    rows = table.to_pylist()
    assert len(rows) == 1
    return dict(rows[0])


def test_a_file_that_was_never_seen_is_new() -> None:
    row = only(judge([A]))
    assert (row["disposition"], row["lane"], row["reason"]) == ("new", "live", "never seen")


def test_a_loaded_file_that_did_not_change_is_done() -> None:
    assert only(judge([A], [remembered(A)]))["disposition"] == "done"


def test_the_same_etag_under_a_newer_time_is_touched_and_no_work() -> None:
    row = only(judge([{**A, "modified_at": NOW}], [remembered(A)]))
    assert (row["disposition"], row["lane"]) == ("touched", None)


def test_a_local_file_whose_time_moved_by_a_nanosecond_is_changed() -> None:
    import pyarrow as pa

    from autoloader.diff import diff
    from autoloader.inventory import INSTANT, LISTING
    from autoloader.planner import rules_for
    from tests.planning import known, listing

    local = file("a.csv", etag=None)
    now_there = listing([local])
    moved = now_there["modified_at"].cast(pa.int64()).to_pylist()[0] + 1
    column = pa.array([moved], pa.int64()).cast(INSTANT)
    now_there = now_there.set_column(3, LISTING.field("modified_at"), column)
    spec = spec_of()
    rules = rules_for(spec, root=ROOT, now=NOW, recorded=recorded_of(spec))
    row = only(diff(now_there, known([remembered(local)]), rules))
    assert row["disposition"] == "changed"
    table = diff(now_there, known([remembered(local)]), rules)
    assert table["modified_at"].cast(pa.int64()).to_pylist() == [moved]


@pytest.mark.parametrize("age", [timedelta(days=60), timedelta(0)])
def test_another_etag_is_changed_whether_the_time_is_older_or_newer(age: timedelta) -> None:
    row = only(judge([{**A, "etag": "e2", "modified_at": NOW - age}], [remembered(A)]))
    assert (row["disposition"], row["replaces"], row["replaces_rows"]) == ("changed", 7, 10)
    assert (row["known_etag"], row["etag"]) == ("e1", "e2")
    assert "e1 -> e2" in row["reason"]


@pytest.mark.parametrize(
    ("on_change", "disposition", "replaces"),
    [("replace", "changed", 7), ("append", "changed", None), ("ignore", "done", None), ("fail", "changed", 7)],
)
def test_on_change_decides_over_a_replaced_file(on_change: str, disposition: str, replaces: int | None) -> None:
    spec = spec_of(source={"on_change": on_change})
    row = only(judge([{**A, "etag": "e2"}], [remembered(A)], spec))
    assert (row["disposition"], row["replaces"]) == (disposition, replaces)


@pytest.mark.parametrize(
    ("state", "more", "disposition"),
    [
        ("FAILED", {"retry_count": 1, "next_attempt_at": NOW - timedelta(minutes=1)}, "retry"),
        ("FAILED", {"retry_count": 1, "next_attempt_at": NOW + timedelta(minutes=1)}, "deferred"),
        ("FAILED", {"retry_count": 1}, "retry"),
        ("FAILED", {"retry_count": 3}, "quarantined"),
        ("QUARANTINED", {"error": "truncated"}, "quarantined"),
        ("PROCESSING", {"claimed": True}, "deferred"),
        ("PROCESSING", {"claimed": False}, "retry"),
        ("DISCOVERED", {}, "new"),
        ("MISSING", {"src_file_id": 7}, "done"),
        ("MISSING", {"src_file_id": 7, "error": "it is broken"}, "retry"),
        ("MISSING", {}, "new"),
        ("MISSING", {"rows": 0}, "done"),
        ("MISSING", {"rows": 0, "error": "it is broken"}, "new"),
        ("SUCCESS", {"reload": True}, "reingest"),
    ],
)
def test_an_unchanged_file_is_judged_by_its_state(state: str, more: dict[str, Any], disposition: str) -> None:
    assert only(judge([A], [remembered(A, state, **more)]))["disposition"] == disposition


def test_a_file_that_vanished_before_it_gave_rows_is_new_when_another_takes_its_name() -> None:
    row = only(judge([{**A, "etag": "e2"}], [remembered(A, "MISSING", retry_count=3)]))
    assert (row["disposition"], row["replaces"]) == ("new", None)


@pytest.mark.parametrize("state", ["FAILED", "QUARANTINED", "PROCESSING"])
def test_a_replaced_file_starts_afresh_whatever_became_of_the_old_one(state: str) -> None:
    row = only(judge([{**A, "etag": "e2"}], [remembered(A, state, retry_count=3)]))
    assert (row["disposition"], row["replaces"]) == ("changed", None)


def test_a_file_that_another_run_is_loading_is_left_alone_even_when_it_was_replaced() -> None:
    row = only(judge([{**A, "etag": "e2"}], [remembered(A, "PROCESSING", claimed=True)]))
    assert row["disposition"] == "deferred"


@pytest.mark.parametrize(
    ("key", "disposition"),
    [
        ("_SUCCESS", "hidden"),
        ("_temporary/a.csv", "hidden"),
        (".a.csv", "hidden"),
        ("a.csv.crc", "hidden"),
        ("x/", "hidden"),
        ("a.txt", "excluded"),
        ("tmp/a.csv", "excluded"),
        ("deep/er/a.csv", "new"),
        ("we ird#?+&='\"\\\n.csv", "new"),
    ],
)
def test_names_decide_whether_a_file_counts(key: str, disposition: str) -> None:
    spec = spec_of(source={"include": ["**/*.csv"], "exclude": ["tmp/**"]})
    assert only(judge([file(key)], (), spec))["disposition"] == disposition


def test_narrowing_the_scope_keeps_what_was_loaded() -> None:
    b = file("b/b.csv")
    spec = spec_of(source={"include": ["a*.csv"]})
    found = judge([A, b], [remembered(A), remembered(b)], spec)
    assert dispositions(found) == {"a.csv": "done", "b/b.csv": "out_of_scope"}


def test_a_file_outside_the_scope_that_was_not_listed_is_not_missing() -> None:
    b = file("b/b.csv")
    found = judge([A], [remembered(A), remembered(b)], spec_of(source={"include": ["a*.csv"]}))
    assert dispositions(found)["b/b.csv"] == "out_of_scope"


def test_a_file_below_another_root_is_out_of_scope_and_has_no_key() -> None:
    other = {**remembered(A), "file_path": "s3://old/in/a.csv"}
    row = next(r for r in judge([A], [other]).to_pylist() if r["key"] is None)
    assert row["disposition"] == "out_of_scope"


@pytest.mark.parametrize(
    ("on_delete", "replaces", "lane"), [("keep", None, None), ("delete_rows", 7, "live"), ("fail", None, "live")]
)
def test_a_remembered_file_that_is_gone_is_missing(on_delete: str, replaces: int | None, lane: str | None) -> None:
    row = only(judge([], [remembered(A)], spec_of(source={"on_delete": on_delete})))
    assert (row["disposition"], row["replaces"], row["lane"]) == ("missing", replaces, lane)


def test_a_file_in_a_folder_that_could_not_be_read_is_not_missing() -> None:
    b = file("b/b.csv")
    found = judge([A], [remembered(A), remembered(b)], unseen=(ROOT + "b/",))
    assert dispositions(found)["b/b.csv"] == "deferred"


def test_a_file_is_unseen_at_a_path_that_holds_none_and_below_it_and_not_beside_it() -> None:
    names = ("l.csv", "l.csv/b/c.csv", "l.csv2.csv", "l.csv2/b.csv", "d", "d/b.csv", "é 'x'/b.csv", "other/l.csv")
    memory = [remembered(file(name)) for name in names]
    found = judge([A], memory, unseen=(ROOT + "l.csv", ROOT + "d/", ROOT + "é 'x'", ROOT + "nothing"))
    unseen = {name for name, disposition in dispositions(found).items() if disposition == "deferred"}
    assert unseen == {"l.csv", "l.csv/b/c.csv", "d/b.csv", "é 'x'/b.csv"}


def test_the_query_is_as_long_for_one_unseen_path_as_for_many() -> None:
    one, many = (Rules("x", ROOT, NOW, unseen=tuple(f"{ROOT}{n}" for n in range(count))) for count in (1, 1_000))
    assert diff_sql(one) == diff_sql(many)


def test_young_files_wait_and_loaded_ones_do_not() -> None:
    young, done = file("y.csv", age=timedelta(seconds=5)), file("d.csv", age=timedelta(seconds=5))
    found = judge([young, done, A], [remembered(done)], spec_of(source={"min_age": "1m"}))
    assert dispositions(found) == {"y.csv": "deferred", "d.csv": "done", "a.csv": "late"}


def test_start_now_leaves_out_what_was_there_and_takes_what_comes() -> None:
    spec = spec_of(source={"start": "now"})
    assert only(judge([A], (), spec))["disposition"] == "out_of_scope"
    skipped = remembered(A, "SKIPPED")
    found = judge([A, file("b.csv", age=timedelta(days=900))], [skipped], spec)
    assert dispositions(found) == {"a.csv": "out_of_scope", "b.csv": "new"}
    assert only(judge([A], [skipped], spec_of()))["disposition"] == "new"


def test_a_file_that_start_now_left_out_is_left_out_when_it_comes_back_and_loaded_when_it_is_another() -> None:
    spec, gone = spec_of(source={"start": "now"}), remembered(A, "MISSING", error=START_REASON)
    assert only(judge([A], [gone], spec))["disposition"] == "out_of_scope"
    assert only(judge([A], [gone], spec_of()))["disposition"] == "new"
    assert only(judge([A], [remembered(A, "MISSING")], spec))["disposition"] == "new"
    assert only(judge([{**A, "etag": "e2"}], [gone], spec))["disposition"] == "new"


def test_start_at_an_instant_leaves_out_older_files() -> None:
    spec = spec_of(source={"start": (NOW - timedelta(days=10)).isoformat()})
    found = judge([A, file("b.csv", age=timedelta(days=10))], (), spec)
    assert dispositions(found) == {"a.csv": "out_of_scope", "b.csv": "new"}


DAILY = {"path_date": "{Y}-{m}-{d}"}


def test_an_old_date_in_an_ingestion_that_has_run_is_late_and_loaded() -> None:
    loaded = file("2024-05-10.csv")
    found = judge([loaded, file("2024-05-09.csv"), file("2024-05-11.csv")], [remembered(loaded)], spec_of(source=DAILY))
    assert dispositions(found) == {"2024-05-10.csv": "done", "2024-05-09.csv": "late", "2024-05-11.csv": "new"}
    assert found["lane"].to_pylist()[:2] == ["live", "live"]
    assert str(found["data_date"].to_pylist()[0]) == "2024-05-09"


def test_files_left_by_a_limit_are_not_late_in_the_next_run() -> None:
    files = [file(f"2024-05-{day:02d}.csv") for day in range(1, 8)]
    spec = spec_of(source=DAILY, limits={"max_files": 3})
    first = judge(files, (), spec)
    taken = {k for k, d in dispositions(first).items() if d == "new"}
    assert taken == {"2024-05-01.csv", "2024-05-02.csv", "2024-05-03.csv"}
    second = judge(files, [remembered(f) for f in files if f["key"] in taken], spec)
    assert set(dispositions(second).values()) == {"done", "new", "deferred"}


def test_a_path_without_a_real_date_is_loaded_and_told() -> None:
    spec = spec_of(source={"path_date": "month={m}/year={Y}"})
    row = only(judge([file("month=13/year=2024/a.csv")], (), spec))
    assert (row["disposition"], row["data_date"]) == ("new", None)
    assert "date in its path is none" in row["reason"]


def backfill(**more: Any) -> dict[str, Any]:
    return {"from": "2015-01-01", "until": "2018-01-01", "step": "1 year", **more}


YEARS = [file(f"{year}-06-01.csv") for year in (2014, 2015, 2016, 2017, 2018)]


def test_a_window_puts_its_files_into_the_backfill_lane_by_slices() -> None:
    rows = {r["key"][:4]: r for r in judge(YEARS, (), spec_of(source=DAILY, backfill=backfill())).to_pylist()}
    assert {y: (r["disposition"], r["lane"], r["slice"]) for y, r in rows.items()} == {
        "2014": ("out_of_scope", None, None),
        "2015": ("new", "backfill", "2015-01-01/2016-01-01"),
        "2016": ("new", "backfill", "2016-01-01/2017-01-01"),
        "2017": ("new", "backfill", "2017-01-01/2018-01-01"),
        "2018": ("new", "live", None),
    }


def test_live_files_come_first_then_slices_in_order() -> None:
    newest = judge(YEARS, (), spec_of(source=DAILY, backfill=backfill(order="newest")))
    assert [k[:4] for k in newest["key"].to_pylist()] == ["2018", "2017", "2016", "2015", "2014"]


def test_one_slice_per_period_begins_when_it_is_due() -> None:
    spec = spec_of(source=DAILY, backfill=backfill(every="1 week"))
    first = judge(YEARS, (), spec)
    assert [k[:4] for k, d in dispositions(first).items() if d == "new"] == ["2018", "2015"]
    begun = {"started": ["2015-01-01/2016-01-01"], "last_started_at": (NOW - timedelta(days=3)).isoformat()}
    waiting = judge(YEARS, [remembered(YEARS[1])], spec, recorded=recorded_of(spec, backfill=begun))
    assert dispositions(waiting)["2016-06-01.csv"] == "deferred"
    due = judge(
        YEARS, [remembered(YEARS[1])], spec, recorded=recorded_of(spec, backfill=begun), now=NOW + timedelta(days=5)
    )
    assert {k[:4]: d for k, d in dispositions(due).items() if k[:4] in ("2016", "2017")} == {
        "2016": "new",
        "2017": "deferred",
    }


def test_a_late_file_reopens_its_own_slice_only() -> None:
    spec = spec_of(source=DAILY, backfill=backfill(every="1 week"))
    done = "2015-01-01/2016-01-01"
    progress = {"started": [done], "finished": [done], "last_started_at": (NOW - timedelta(days=1)).isoformat()}
    late = file("2015-02-02.csv")
    found = judge([*YEARS, late], [remembered(YEARS[1])], spec, recorded=recorded_of(spec, backfill=progress))
    assert dispositions(found)["2015-02-02.csv"] == "late"
    assert dispositions(found)["2016-06-01.csv"] == "deferred"


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2014-12-31T23:59:59.999999+00:00", False),
        ("2015-01-01T00:00:00+00:00", True),
        ("2016-02-29T12:00:00+00:00", True),
        ("2017-12-31T23:59:59.999999+00:00", True),
        ("2018-01-01T00:00:00+00:00", False),
    ],
)
def test_a_window_by_modification_time_is_half_open(at: str, inside: bool) -> None:
    row = file("a.csv", modified_at=datetime.fromisoformat(at))
    found = only(judge([row], (), spec_of(backfill=backfill(by="modified"))))
    assert (found["lane"] == "backfill") is inside


def test_the_last_nanosecond_before_a_bound_is_before_it() -> None:
    begin, end = (
        int(datetime.fromisoformat(f"{year}-01-01T00:00:00+00:00").timestamp()) * 10**9 for year in (2015, 2018)
    )
    for at, lane in ((begin - 1, None), (begin, "backfill"), (end - 1, "backfill"), (end, "live")):
        found = only(judge([{**A, "modified_at": at}], (), spec_of(backfill=backfill(by="modified"))))
        assert found["lane"] == lane, at
    started = spec_of(source={"start": "2018-01-01T00:00:00Z"})
    rows = [{**A, "modified_at": end - 1}, {**file("b.csv"), "modified_at": end}]
    assert dispositions(judge(rows, (), started)) == {"a.csv": "out_of_scope", "b.csv": "new"}


def test_a_path_date_is_a_day_of_the_windows_own_zone() -> None:
    spec = spec_of(source=DAILY, backfill=backfill(timezone="America/New_York"))
    found = judge([file("2015-01-01.csv"), file("2017-12-31.csv"), file("2018-01-01.csv")], (), spec)
    assert dict(zip(found["key"].to_pylist(), found["lane"].to_pylist(), strict=True)) == {
        "2015-01-01.csv": "backfill",
        "2017-12-31.csv": "backfill",
        "2018-01-01.csv": "live",
    }


def test_a_window_without_an_end_closes_when_the_ingestion_began() -> None:
    spec = spec_of(source=DAILY, backfill={"from": "2015-01-01"})
    found = judge(YEARS, [remembered(YEARS[1])], spec)
    lanes = dict(zip(found["key"].to_pylist(), found["lane"].to_pylist(), strict=True))
    assert (lanes["2017-06-01.csv"], lanes["2018-06-01.csv"]) == ("backfill", "backfill")


def taken(found: Any) -> list[str]:
    return [r["key"] for r in found.to_pylist() if r["disposition"] == "new"]


def test_limits_defer_the_rest_and_say_which_limit() -> None:
    files = [file(f"{n}.csv", size=40, age=timedelta(days=30 - n)) for n in range(5)]
    by_bytes = judge(files, (), spec_of(limits={"max_bytes": 100}))
    assert taken(by_bytes) == ["0.csv", "1.csv"]
    assert "limits.max_bytes" in by_bytes.to_pylist()[-1]["reason"]


def test_a_file_larger_than_the_limit_still_progresses() -> None:
    files = [file("big.csv", size=1000, age=timedelta(days=9)), file("small.csv", size=1)]
    spec = spec_of(limits={"max_bytes": 100})
    assert taken(judge(files, (), spec)) == ["small.csv"]
    assert taken(judge(files, [remembered(files[1])], spec)) == ["big.csv"]


def test_a_limit_in_dollars_holds_by_the_price_per_gigabyte() -> None:
    files = [file(f"{n}.csv", size=10**9) for n in range(5)]
    assert len(taken(judge(files, (), spec_of(limits={"max_usd": 0.60})))) == 2


def test_a_limit_in_time_holds_by_the_measured_speed() -> None:
    files = [file(f"{n}.csv", size=6 * 10**8) for n in range(5)]
    assert len(taken(judge(files, (), spec_of(limits={"max_duration": "25s"})))) == 2


@pytest.mark.parametrize(
    ("live", "old", "expected"), [(50, 50, (5, 5)), (2, 50, (2, 8)), (50, 0, (10, 0)), (50, 3, (7, 3))]
)
def test_live_and_backfill_share_a_budget_and_neither_starves(live: int, old: int, expected: tuple[int, int]) -> None:
    files = [file(f"2020-01-01-{n}.csv") for n in range(live)] + [file(f"2016-01-01-{n}.csv") for n in range(old)]
    found = judge(files, (), spec_of(source=DAILY, backfill=backfill(), limits={"max_files": 10}))
    keys = taken(found)
    assert (sum(k.startswith("2020") for k in keys), sum(k.startswith("2016") for k in keys)) == expected


def test_reingest_takes_loaded_files_and_replaces_their_rows() -> None:
    b = file("q1/b.csv")
    spec = spec_of(reingest=[{"match": "q1/**", "request": "INC-1"}])
    rows = {r["key"]: r for r in judge([A, b], [remembered(A), remembered(b)], spec).to_pylist()}
    assert (rows["q1/b.csv"]["disposition"], rows["q1/b.csv"]["replaces"]) == ("reingest", 7)
    assert rows["a.csv"]["disposition"] == "done"
    done = recorded_of(spec, requests_done=frozenset({("reingest", "INC-1")}))
    assert set(dispositions(judge([A, b], [remembered(A), remembered(b)], spec, recorded=done)).values()) == {"done"}


@pytest.mark.parametrize("text", ["state:quarantined", "batch:b9", "schema:2", "dates:2024-05-10..2024-05-11"])
def test_reingest_by_state_batch_schema_and_dates(text: str) -> None:
    row, other = file("2024-05-10.csv"), file("2024-05-11.csv")
    memory = [remembered(row, "QUARANTINED", batch_id="b9", schema_version=2), remembered(other, batch_id="b1")]
    found = judge([row, other], memory, spec_of(source=DAILY), asked=Asked(reingest={"sales": (text,)}))
    assert dispositions(found) == {"2024-05-10.csv": "reingest", "2024-05-11.csv": "done"}


@pytest.mark.parametrize(
    ("mode", "loaded", "unseen"),
    [("full", ("reingest", "refresh", 7), ("new", "refresh", None)),
     ("clear-history", ("reingest", "refresh", 7), ("new", "live", None)),
     ("new-only", ("done", None, None), ("new", "live", None))],
)  # fmt: skip
def test_a_refresh_decides_over_loaded_and_unseen_files(mode: Any, loaded: Any, unseen: Any) -> None:
    found = judge([A, file("b.csv")], [remembered(A)], asked=Asked(refresh={"sales": mode}))
    rows = {r["key"]: (r["disposition"], r["lane"], r["replaces"]) for r in found.to_pylist()}
    assert rows == {"a.csv": loaded, "b.csv": unseen}


def test_files_with_the_new_columns_are_loaded_again_for_them() -> None:
    b = file("b.csv")
    memory = [remembered(A, fingerprint="f1"), remembered(b, fingerprint="f2")]
    found = judge([A, b], memory, fill_fingerprints=frozenset({"f2"}))
    assert dispositions(found) == {"a.csv": "done", "b.csv": "schema"}


def test_names_full_of_quotes_are_only_text_to_the_query() -> None:
    spec = spec_of(source={"include": ["o'b*.csv"]}, reingest=[{"match": "x'y", "request": "it's"}])
    row = file("o'b';--.csv")
    assert only(judge([row], [remembered(row)], spec))["disposition"] == "done"


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
@pytest.mark.parametrize("share", ["10%", "50%", "90%"])
def test_a_limit_of_files_is_exact_and_leaves_no_lane_without_a_file_unless_it_is_one(limit: int, share: str) -> None:
    files = [file(f"{year}-01-01-{n}.csv") for year in (2016, 2020) for n in range(9)]
    spec = spec_of(source=DAILY, backfill=backfill(share=share), limits={"max_files": limit})
    keys = taken(judge(files, (), spec))
    assert len(keys) == limit
    assert any(key.startswith("2020") for key in keys)
    assert any(key.startswith("2016") for key in keys) is (limit > 1)


@pytest.mark.parametrize(
    ("state", "reason"),
    [("FAILED", "replaced since the failed attempt"), ("SUCCESS", "replaced since it was seen last")],
)
def test_a_file_without_rows_that_was_replaced_is_said_to_have_failed_only_where_it_did(
    state: str, reason: str
) -> None:
    before = remembered(A, state, src_file_id=None, rows=None)
    row = only(judge([{**A, "etag": "other"}], [before]))
    assert (row["disposition"], row["reason"]) == ("changed", reason)
