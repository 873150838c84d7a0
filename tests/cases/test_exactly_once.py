"""Every file once, whoever comes in between: 22, 23, 28, 50, 52, 53, 56, 59, through the commands.

What comes in between happens at a step of a real apply, in its own process: never by chance, never by waiting.
"""

from __future__ import annotations

import gzip
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from autoloader.apply import Tools
from autoloader.lake import Lake
from autoloader.ledger import LeaseKind
from autoloader.ledger.leases import Leases
from autoloader.project import Project, verifying
from tests.clock import Clock
from tests.orders import SPEC, declare, pairs, put, settled, states
from tests.playing import LocalStore, Player, S3Store, Said, work


@pytest.fixture
def bucket(s3_client: Any, s3_bucket: str) -> S3Store:
    return S3Store(s3_client, s3_bucket)


class Between:
    """Does something once, at a step of an apply."""

    def __init__(self, step: str, does: Callable[[], Any]) -> None:
        self._step, self._does = step, does
        self.done: list[Any] = []

    def at(self, step: str) -> None:
        if step == self._step and not self.done:
            self.done.append(None)  # before it is done: what is done may pass the same step
            self.done[0] = self._does()


@contextmanager
def between(step: str, does: Callable[[], Any]) -> Iterator[Between]:
    """Somebody does something when the next apply has passed a step of a batch."""
    there = Between(step, does)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tools, "at", lambda _, passed: there.at(passed))
        yield there
    assert there.done, f"{step} was never passed"


# ------------------------------------------------------------------ somebody looks on


@pytest.mark.slow
@pytest.mark.parametrize("step", ["claimed", "written", "committed", "recorded"])
def test_verify_beside_a_load_finds_what_is_wrong_and_nothing_that_the_load_has_in_hand(
    player: Player, local_store: LocalStore, step: str
) -> None:
    for number in (1, 2, 3):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store)
    player.apply()
    put(local_store, "2.csv", 2, 20)
    put(local_store, "4.csv", 4)
    with between(step, lambda: player.run("verify", "orders", "--format", "json")) as sound:
        player.apply()
    assert (sound.done[0].code, sound.done[0].json["violations"]) == (0, [])
    with player.iceberg("shop.orders") as table:
        table.delete("id = 3")
    put(local_store, "2.csv", 2)
    with between(step, lambda: player.run("verify", "orders")) as wrong:
        player.apply()
    assert wrong.done[0].code == 1, wrong.done[0].out
    assert "3.csv" in wrong.done[0].out
    assert "2.csv" not in wrong.done[0].out
    assert "A run is at work on it" in wrong.done[0].out


@pytest.mark.slow
def test_verify_does_not_judge_what_was_recorded_while_it_read_the_table(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(local_store, "1.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "2.csv", 2)
    read = Lake.row_counts

    def read_and_be_overtaken(lake: Lake, *args: Any, **options: Any) -> pa.Table:
        found = read(lake, *args, **options)
        monkeypatch.undo()
        monkeypatch.chdir(player.folder)
        player.apply()
        return found

    monkeypatch.setattr(Lake, "row_counts", read_and_be_overtaken)
    said = player.run("verify", "orders", "--format", "json")
    assert (said.code, said.json["violations"], said.json["files_in_hand"]) == (0, [], 1)
    settled(player)


@pytest.mark.slow
def test_verify_judges_what_a_dead_load_left(player: Player, local_store: LocalStore) -> None:
    put(local_store, "1.csv", 1)
    declare(player, local_store)

    def die() -> None:
        raise SystemExit

    with between("committed", die), pytest.raises(SystemExit):
        player.run("apply", "-y")
    said = player.run("verify", "orders", "--format", "json")
    assert said.code == 1
    assert [each["violation"] for each in said.json["violations"]] == [
        "rows of a file version that the ledger does not know"
    ]
    player.apply()
    settled(player)


@pytest.mark.slow
def test_verify_beside_a_rebuild_judges_the_table_that_is_served(player: Player, local_store: LocalStore) -> None:
    for number in (1, 2):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store)
    player.apply()
    with between("written", lambda: player.run("verify", "orders", "--format", "json")) as sound:
        player.apply("--refresh", "orders=full")
    assert (sound.done[0].json["violations"], sound.done[0].json["files_in_hand"]) == ([], 0)
    with player.iceberg("shop.orders") as table:
        table.delete("id = 1")
    with between("written", lambda: player.run("verify", "orders")) as wrong:
        player.apply("--refresh", "orders=full")
    assert wrong.done[0].code == 1, wrong.done[0].out
    assert "1.csv" in wrong.done[0].out
    assert "A run is at work on it" in wrong.done[0].out
    settled(player)


@pytest.mark.slow
def test_verify_says_that_a_table_was_changed_as_a_whole_and_judges_nothing(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "1.csv", 1)
    declare(player, local_store)
    player.apply()
    with between("swapped", lambda: player.run("verify", "orders")) as served:
        player.apply("--refresh", "orders=full")
    said = served.done[0]
    assert said.code == 0, said.out
    assert "orders: its table was changed as a whole while it was read, so nothing is judged." in said.out
    assert "agree" not in said.out
    settled(player)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["alone", "load"])
def test_verify_takes_nobody_for_living_whose_process_is_gone(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch, kind: LeaseKind
) -> None:
    put(local_store, "1.csv", 1)
    declare(player, local_store)
    player.apply()
    with player.iceberg("shop.orders") as table:
        table.delete("id = 1")
    put(local_store, "1.csv", 1, 10)
    words = ("apply", "-y", "--refresh", "orders=full") if kind == "alone" else ("apply", "-y")
    with monkeypatch.context() as patch:
        patch.setattr(Leases, "unlock", lambda *_: None)  # killed: it ends no lease
        patch.setattr(Tools, "at", lambda _, step: sys.exit() if step == "claimed" else None)
        with pytest.raises(SystemExit):
            player.run(*words)
    assert [lease.kind for lease in Project("ingestions").ledger.leases("orders")] == [kind]
    said = player.run("verify", "orders")
    if kind == "load":
        assert "orders: ledger and table agree on 0 files; 1 file that a run has in hand is not judged." in said.out
    monkeypatch.setattr(verifying, "is_gone", lambda *_: True)
    said = player.run("verify", "orders")
    assert said.code == 1, said.out
    assert "A run is at work on it" not in said.out


# ------------------------------------------------------------------ times say nothing


@pytest.mark.slow
def test_case_22_an_upload_that_began_before_the_last_listing_and_ended_after_it_is_found(
    player: Player, bucket: S3Store, s3_client: Any, s3_bucket: str
) -> None:
    key = "in/0-first-by-name.csv"
    upload = s3_client.create_multipart_upload(Bucket=s3_bucket, Key=key)["UploadId"]
    put(bucket, "1.csv", 1)
    declare(player, bucket)
    player.apply()
    assert pairs(player) == [(1, 1)]
    part = {"Bucket": s3_bucket, "Key": key, "UploadId": upload}
    etag = s3_client.upload_part(**part, PartNumber=1, Body=b"id,n\n2,1\n")["ETag"]
    s3_client.complete_multipart_upload(**part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert work(player.plan()) == {"new": 1}
    player.apply()
    assert pairs(player) == [(1, 1), (2, 1)]
    settled(player)


@pytest.mark.slow
def test_case_22_a_file_that_comes_with_a_time_before_everything_that_is_loaded_is_found(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "1.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "0.csv", 2)
    os.utime(local_store.folder / "0.csv", (86_400, 86_400))  # 1970
    assert work(player.plan()) == {"late": 1}
    player.apply()
    assert pairs(player) == [(1, 1), (2, 1)]
    settled(player)


@pytest.mark.slow
def test_case_23_a_file_from_the_future_is_loaded_once_and_replaced_by_one_from_the_past(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    put(local_store, "b.csv", 2)
    later = time.time() + 400 * 86_400
    os.utime(local_store.folder / "a.csv", (later, later))
    declare(player, local_store)
    player.apply()
    assert pairs(player) == [(1, 1), (2, 1)]
    settled(player)
    put(local_store, "a.csv", 3)
    os.utime(local_store.folder / "a.csv", (86_400, 86_400))
    assert work(player.plan()) == {"changed": 1}
    player.apply()
    assert pairs(player) == [(2, 1), (3, 1)]
    settled(player)


@pytest.mark.slow
def test_case_56_another_spelling_of_the_same_source_loads_nothing_again(player: Player, bucket: S3Store) -> None:
    put(bucket, "a.csv", 1)
    declare(player, bucket)
    player.apply()
    for spelled in (
        bucket.root.replace("s3://", "s3a://"),
        bucket.root.rstrip("/"),
        bucket.root.replace("s3:", "s3n:"),
    ):
        declare(player, spelled)
        assert work(player.plan()) == {}, spelled
        player.apply()
        settled(player)
    assert pairs(player) == [(1, 1)]


# ------------------------------------------------------------------ files that fail


@pytest.mark.slow
def test_case_28_of_a_truncated_gzip_no_row_is_loaded_until_it_comes_whole(
    player: Player, local_store: LocalStore, at: Clock
) -> None:
    whole = gzip.compress(b"id,n\n" + b"".join(b"%d,%d\n" % (number, number * 7919) for number in range(2_000)))
    local_store.put("a.csv.gz", whole[: len(whole) * 2 // 3])
    put(local_store, "b.csv", 5_000)
    declare(player, local_store)
    player.apply()
    assert pairs(player) == [(5_000, 1)]
    assert states(player) == {"a.csv.gz": "FAILED", "b.csv": "SUCCESS"}
    local_store.put("a.csv.gz", whole)
    assert work(player.plan()) == {"changed": 1}
    player.apply()
    assert len(pairs(player)) == 2_001
    assert states(player) == {"a.csv.gz": "SUCCESS", "b.csv": "SUCCESS"}
    settled(player)


# ------------------------------------------------------------------ commits whose answer is lost


def lose_answers(patch: pytest.MonkeyPatch, *, for_good: bool) -> None:
    """The catalog commits, and the client hears nothing of it; `for_good`: nor of anything else from then on."""
    from pyiceberg.catalog.sql import SqlCatalog

    commit, load = SqlCatalog.commit_table, SqlCatalog.load_table
    lost = []

    def committing(*arguments: Any) -> Any:
        lost.append(commit(*arguments))
        raise TimeoutError("the answer did not come in time")

    def loading(*arguments: Any) -> Any:
        if lost and for_good:
            raise TimeoutError("the catalog does not answer")
        return load(*arguments)

    patch.setattr(SqlCatalog, "commit_table", committing)
    patch.setattr(SqlCatalog, "load_table", loading)


def test_case_50_a_commit_whose_answer_is_lost_is_found_and_not_made_again(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "a.csv", 2)
    put(local_store, "b.csv", 3)
    with pytest.MonkeyPatch.context() as patch:
        lose_answers(patch, for_good=False)
        player.apply()
    assert pairs(player) == [(2, 1), (3, 1)]
    settled(player)


@pytest.mark.slow
def test_case_50_a_commit_whose_outcome_cannot_be_learned_is_recorded_by_the_next_apply(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "a.csv", 2)
    put(local_store, "b.csv", 3)
    with pytest.MonkeyPatch.context() as patch:
        lose_answers(patch, for_good=True)
        said = player.run("apply", "-y")
    assert said.code in (1, 6), said.out
    assert "Traceback" not in said.out + said.err
    assert pairs(player) == [(2, 1), (3, 1)]  # it is there, and nobody has said so
    report = player.report()
    assert [each["operation"] for each in report["operations"]] == ["batch_recorded"]
    assert pairs(player) == [(2, 1), (3, 1)]
    settled(player)


# ------------------------------------------------------------------ others at the same table


@pytest.mark.slow
@pytest.mark.parametrize("step", ["claimed", "loaded", "written", "committed"])
def test_case_52_who_sleeps_ten_minutes_at_a_step_finds_its_files_loaded_by_another_and_adds_nothing(
    player: Player, local_store: LocalStore, at: Clock, step: str
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "a.csv", 2)
    put(local_store, "b.csv", 3)

    def another() -> Said:
        at.move(minutes=10)
        return player.run("apply", "-y")

    with between(step, another) as slept:
        sleeper = player.run("apply", "-y")
    [other] = slept.done
    assert other.code == 0, other.out + other.err
    assert sleeper.code != 0, sleeper.out
    assert "is no longer held by" in sleeper.out + sleeper.err or "may not be committed" in sleeper.out + sleeper.err
    assert pairs(player) == [(2, 1), (3, 1)]
    player.apply()
    assert pairs(player) == [(2, 1), (3, 1)]
    settled(player)


def compact(player: Player) -> None:
    """What a maintenance job does: every data file is written anew, and the rows stay the same."""
    with player.iceberg("shop.orders") as table:
        table.overwrite(table.scan().to_arrow())


def overtaken(patch: pytest.MonkeyPatch, does: Callable[[], None], *, times: int) -> list[str]:
    """Somebody does something right after the removal of old rows was prepared, so many times."""
    from autoloader.apply import removal

    prepare = removal.remove_rows
    done: list[str] = []

    def preparing(*arguments: Any) -> removal.Removal:
        prepared = prepare(*arguments)
        if len(done) < times:
            does()
            done.append("done")
        return prepared

    patch.setattr(removal, "remove_rows", preparing)
    return done


@pytest.mark.slow
def test_case_53_a_replacement_that_a_compaction_overtakes_is_made_anew_and_loses_nothing(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1, 2)
    put(local_store, "b.csv", 3)
    declare(player, local_store)
    player.apply()
    put(local_store, "a.csv", 4)
    with pytest.MonkeyPatch.context() as patch:
        done = overtaken(patch, lambda: compact(player), times=2)
        player.apply()
    assert len(done) == 2
    assert pairs(player) == [(3, 1), (4, 1)]
    settled(player)


@pytest.mark.slow
def test_case_53_what_others_delete_and_append_during_a_replacement_stays_deleted_and_appended(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1, 2)
    put(local_store, "b.csv", 3, 9)
    declare(player, local_store)
    player.apply()
    put(local_store, "a.csv", 4)

    def others() -> None:
        with player.iceberg("shop.orders") as table:
            table.delete("id = 9")
            rows = table.scan(limit=1).to_arrow()
            mine = rows.select([]).append_column("id", pa.array([77], pa.int64()))
            table.append(mine.append_column("n", pa.array([0], pa.int64())))

    with pytest.MonkeyPatch.context() as patch:
        overtaken(patch, others, times=1)
        player.apply()
    assert pairs(player) == [(3, 1), (4, 1), (77, 0)]


@pytest.mark.slow
def test_case_53_a_table_that_others_rewrite_all_the_time_is_left_as_it_is_until_they_rest(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1, 2)
    put(local_store, "b.csv", 3)
    declare(player, local_store)
    player.apply()
    put(local_store, "a.csv", 4)
    with pytest.MonkeyPatch.context() as patch:
        overtaken(patch, lambda: compact(player), times=100)
        said = player.run("apply", "-y")
    assert said.code == 6, said.out
    assert "changed by another writer" in said.out + said.err
    assert pairs(player) == [(1, 1), (2, 1), (3, 1)]
    player.apply()
    assert pairs(player) == [(3, 1), (4, 1)]
    settled(player)


@pytest.mark.slow
def test_a_worker_whose_lock_is_broken_adds_nothing_and_the_next_apply_loads_its_files(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)

    def broken() -> Said:
        [lock] = player.run("locks", "list", "--format", "json").json["locks"]
        return player.run("locks", "break", lock["id"], "--reason", "it hangs")

    with between("written", broken) as breaking:
        said = player.run("apply", "-y")
    assert breaking.done[0].code == 0, breaking.done[0].err
    assert said.code != 0, said.out
    assert "is no longer held by" in said.out + said.err
    assert pairs(player) == []
    player.apply()
    assert pairs(player) == [(1, 1)]
    settled(player)


def test_an_apply_of_another_ingestion_does_not_wait_for_one_that_is_in_the_middle_of_a_batch(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a/1.csv", 1)
    put(local_store, "b/2.csv", 2)
    one = SPEC.format(root=f"{local_store.root}a/", source="", more="")
    player.spec(one + "    ---" + one.replace("orders", "returns").replace("/a/", "/b/"))

    def other() -> Said:
        return player.run("apply", "-y", "--select", "returns")

    with between("written", other) as beside:
        player.apply("--select", "orders")
    assert beside.done[0].code == 0, beside.done[0].out + beside.done[0].err
    assert pairs(player) == [(1, 1)]
    assert player.rows("shop.returns") == [{"id": 2, "n": 1}]
    settled(player)


def test_a_batch_that_nobody_recorded_is_found_though_its_snapshot_has_expired(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    with between("committed", cut_off):
        assert player.run("apply", "-y").code == 130
    compact(player)
    with player.iceberg("shop.orders") as table:
        table.maintenance.expire_snapshots().older_than(datetime(2100, 1, 1, tzinfo=UTC)).commit()
    with player.iceberg("shop.orders") as table:
        assert len(table.metadata.snapshots) == 1
    assert "batch_recorded" in [each["operation"] for each in player.report()["operations"]]
    assert pairs(player) == [(1, 1)]
    settled(player)


def cut_off() -> None:
    raise KeyboardInterrupt


def expire(player: Player) -> None:
    """What a maintenance job does: snapshots go that no branch ends in."""
    with player.iceberg("shop.orders") as table:
        table.maintenance.expire_snapshots().older_than(datetime(2100, 1, 1, tzinfo=UTC)).commit()


@pytest.mark.slow
def test_a_rebuild_whose_snapshots_expire_while_it_is_built_is_recorded_whole(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOLOADER_BATCH_FILES", "1")
    for number in range(3):
        put(local_store, f"{number}.csv", number)
    declare(player, local_store)
    player.apply()
    passed: list[str] = []

    def at(_: Tools, step: str) -> None:
        passed.append(step)
        if step == "committed" and passed.count(step) == 3:
            expire(player)
        if step == "swapped":
            cut_off()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tools, "at", at)
        assert player.run("apply", "-y", "--refresh", "orders=full").code == 130
    assert [each["operation"] for each in player.report()["operations"]] == ["batch_recorded"] * 3
    assert pairs(player) == [(number, 1) for number in range(3)]
    settled(player)


@pytest.mark.slow
def test_a_batch_that_is_rolled_back_and_expired_before_it_is_recorded_is_loaded_again(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "b.csv", 2)
    with between("committed", cut_off):
        assert player.run("apply", "-y").code == 130
    with player.iceberg("shop.orders") as table:
        first, second = (each.snapshot_id for each in table.snapshots())
        table.manage_snapshots().set_current_snapshot(snapshot_id=first).commit()
    with player.iceberg("shop.orders") as table:
        table.maintenance.expire_snapshots().by_id(second).commit()
    assert player.report()["operations"][0]["operation"] == "batch_released"
    assert pairs(player) == [(1, 1), (2, 1)]
    settled(player)


def rejected(player: Player) -> list[str]:
    """Rows that are kept beside the table."""
    return sorted(row["raw"] for row in player.table("shop.orders__quarantine").to_pylist())


QUARANTINE = """
    schema: {on_bad_row: quarantine, columns: [{name: id, type: long}, {name: n, type: long}]}
"""


@pytest.mark.slow
def test_a_batch_of_nothing_but_rejected_rows_is_found_and_its_rows_are_kept_once(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store, more=QUARANTINE)
    player.apply()
    local_store.put("b.csv", "id,n\nx,1\n")
    with between("committed", cut_off):
        assert player.run("apply", "-y").code == 130
    assert "batch_recorded" in [each["operation"] for each in player.report()["operations"]]
    assert rejected(player) == ["x"]
    settled(player)


@pytest.mark.slow
def test_a_rebuild_that_is_cut_off_keeps_no_rejected_rows_and_one_that_is_served_keeps_them_once(
    player: Player, local_store: LocalStore
) -> None:
    local_store.put("a.csv", "id,n\n1,1\nx,1\n")
    declare(player, local_store, more=QUARANTINE)
    player.apply()
    assert rejected(player) == ["x"]
    with between("committed", cut_off):
        assert player.run("apply", "-y", "--refresh", "orders=full").code == 130
    player.apply()
    assert rejected(player) == ["x"]
    with between("swapped", cut_off):
        assert player.run("apply", "-y", "--refresh", "orders=full").code == 130
    player.apply()
    assert rejected(player) == ["x"] * 2  # of the first load and of the rebuild: each is a version of the file
    player.apply("--refresh", "orders=full")
    assert rejected(player) == ["x"] * 3
    settled(player)


@pytest.mark.slow
def test_a_saved_rebuild_that_is_cut_off_once_it_is_served_is_not_built_again(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a.csv", 1)
    declare(player, local_store)
    player.apply()
    put(local_store, "b.csv", 2)
    saved = str(player.folder / "saved.plan")
    player.plan("--refresh", "orders=full", "--out", saved)
    with between("swapped", cut_off):
        assert player.run("apply", saved).code == 130
    said = player.run("apply", saved, "--format", "json")
    assert said.code == 0, said.out + said.err
    done = [each["operation"] for each in said.json["operations"]]
    assert "batch_recorded" in done
    assert "branch_created" not in done
    assert pairs(player) == [(1, 1), (2, 1)]
    settled(player)


@pytest.mark.slow
def test_a_table_that_cannot_be_read_keeps_its_batch_open_and_nobody_else_waits_for_it(
    player: Player, local_store: LocalStore
) -> None:
    put(local_store, "a/1.csv", 1)
    put(local_store, "b/2.csv", 2)
    one = SPEC.format(root=f"{local_store.root}a/", source="", more="")
    player.spec(one + "    ---" + one.replace("orders", "returns").replace("/a/", "/b/"))
    player.apply()
    put(local_store, "a/3.csv", 3)
    with between("committed", cut_off):
        assert player.run("apply", "-y", "--select", "orders").code == 130
    with player.iceberg("shop.orders") as table:
        metadata = Path(table.metadata_location.removeprefix("file://"))
    aside = metadata.rename(metadata.with_name("aside"))
    put(local_store, "b/4.csv", 4)
    report = player.report("--select", "returns")
    assert next((each["ingestion"], each["status"]) for each in report["operations"]) == ("orders", "failed")
    assert sorted(row["id"] for row in player.rows("shop.returns")) == [2, 4]
    assert player.run("apply", "-y").code == 1
    aside.rename(metadata)
    assert "batch_recorded" in [each["operation"] for each in player.report()["operations"]]
    assert pairs(player) == [(1, 1), (3, 1)]
    settled(player)


# ------------------------------------------------------------------ interrupted


@pytest.mark.slow
def test_case_59_ctrl_c_in_a_backfill_ends_after_the_batch_in_hand_and_resume_does_the_rest_once(
    player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOLOADER_BATCH_FILES", "1")
    for year in range(2020, 2024):
        put(local_store, f"{year}-06-01.csv", year)
    declare(
        player,
        local_store.root,
        ', path_date: "{Y}-{m}-{d}"',
        "    backfill: {from: 2020-01-01, until: 2024-01-01, step: 1 year}",
    )
    with between("committed", lambda: os.kill(os.getpid(), signal.SIGINT)):
        player.apply(code=6)
    assert pairs(player) == [(2020, 1)]
    [run] = player.run("runs", "--format", "json").json["runs"]
    assert (run["lane"], run["state"], run["files"]) == ("backfill", "incomplete", 1)
    player.apply("--resume", run["run_id"])
    while work(player.plan()):
        player.apply()
    assert pairs(player) == [(year, 1) for year in range(2020, 2024)]
    lanes = player.run("status", "--format", "json").json["ingestions"][0]["lanes"]
    assert (lanes["backfill"]["state"], lanes["backfill"]["files_done"]) == ("complete", 4)
    settled(player)


@pytest.mark.parametrize("name", ["AUTOLOADER_LEASE_S", "AUTOLOADER_BATCH_FILES", "AUTOLOADER_BATCH_BYTES"])
@pytest.mark.parametrize("text", ["0", "-5", "soon"])
def test_a_variable_that_is_no_number_above_0_is_named_and_nothing_is_done(
    planning_player: Player, local_store: LocalStore, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    put(local_store, "a.csv", 1)
    declare(planning_player, local_store)
    assert planning_player.run("init").code == 0
    monkeypatch.setenv(name, text)
    said = planning_player.run("apply", "-y")
    assert said.code == 1
    assert f"{name} is {text!r}" in said.out + said.err


@pytest.mark.slow
def test_a_storage_that_goes_away_is_no_files_fault_and_stops_the_apply(
    player: Player, s3_client: Any, s3_bucket: str, moto_server: str
) -> None:
    store = S3Store(s3_client, s3_bucket)
    settings = "storage: {{s3: {{endpoint: '{}'}}}}"
    player.spec(settings.format(moto_server), "autoloader.yml")
    declare(player, store)
    put(store, "a.csv", 1)
    player.apply()
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for number in range(3):  # as often as a file may fail
        put(store, f"n{number}.csv", 10 + number)
        assert player.run("plan", "--out", f"{number}.zip").code == 0
        player.spec(settings.format(nobody), "autoloader.yml")
        said = player.run("apply", f"{number}.zip", "-y")
        assert said.code == 6, said.out + said.err
        assert (said.out + said.err).count("cannot be reached") == 1, said.out + said.err
        player.spec(settings.format(moto_server), "autoloader.yml")
    runs = player.run("runs", "--format", "json").json["runs"]
    assert [run["state"] for run in runs] == ["complete"] + ["incomplete"] * 3
    files = player.run("files", "orders", "--format", "json").json["files"]
    assert {file["retry_count"] for file in files} == {0}
    player.apply()
    assert pairs(player) == [(1, 1), (10, 1), (11, 1), (12, 1)]
    settled(player)
