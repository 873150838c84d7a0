"""The statements of a claim and of its undoing, over a staged table `todo` and one of the files held.

Set-based: none of them is run per file.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.ledger.base import INT, TEXT
from autoloader.ledger.rows import Lease
from autoloader.ledger.session import Session

KEPT: Final = tuple(
    "state src_file_id file_size modified_at modified_at_ns etag version_id retry_count error rows rejected_rows"
    " fingerprint schema_version batch data_date processed_at seconds next_attempt_at reload".split()
)
"""The columns of `processed_file` that a claim puts aside as `prior_…`, for `release` to restore."""

_TODO: Final = {
    "file_path": "file_path",
    "size_bytes": "file_size",
    "modified_at": "modified_at_ns",
    "etag": "etag",
    "version_id": "version_id",
    "data_date": "data_date",
    "disposition": "disposition",
    "replaces": "replaces",
    "retry_count": "known_retry_count",
    "known_state": "known_state",
}
_TYPES: Final = {
    "modified_at": INT, "size_bytes": INT, "replaces": INT, "retry_count": INT, "data_date": pa.date32(),
}  # fmt: skip

PLACES: Final = pa.schema([("n", INT)])
OUT: Final = pa.schema([("n", INT), ("reason", TEXT)])

_SAME_NOW: Final = (
    "CASE WHEN f.version_id IS NOT NULL AND t.version_id IS NOT NULL THEN f.version_id = t.version_id"
    " WHEN f.etag IS NOT NULL AND t.etag IS NOT NULL THEN f.etag = t.etag AND f.file_size = t.file_size"
    " ELSE f.file_size = t.file_size AND f.modified_at_ns = t.modified_at_ns END"
)
"""The file rule of `inventory.same_identity_sql`, on the ledger's columns; null counts as false."""

_MOVED: Final = (
    "CASE WHEN f.state = 'PROCESSING' THEN 'another batch holds it'"
    " WHEN t.replaces IS NOT NULL AND f.src_file_id IS DISTINCT FROM t.replaces"
    " THEN 'its rows in the table are of another version than planned'"
    f" WHEN t.replaces IS NULL AND t.disposition <> 'reingest' AND f.state = 'SUCCESS' AND coalesce({_SAME_NOW}, false)"
    " THEN 'it was loaded since the plan'"
    " WHEN t.replaces IS NULL AND f.src_file_id IS NOT NULL AND (t.disposition IN ('new', 'late')"
    " OR t.disposition = 'retry' AND NOT ((f.state = 'FAILED' OR f.state = 'MISSING' AND f.error IS NOT NULL)"
    f" AND coalesce({_SAME_NOW}, false)))"
    " THEN 'another version of it was loaded since the plan'"
    " WHEN t.replaces IS NULL AND f.src_file_id IS NOT NULL AND (t.disposition IN ('reingest', 'schema')"
    " OR f.state = 'SUCCESS' AND coalesce(t.known_state, 'SUCCESS') <> 'SUCCESS') THEN 'it was loaded since the plan'"
    " WHEN t.disposition = 'retry' AND f.state IN ('FAILED', 'QUARANTINED') AND f.retry_count > t.known_retry_count"
    f" AND coalesce({_SAME_NOW}, false) THEN 'it was tried since the plan' END"
)
"""Why a remembered file may not be claimed as planned; null: it may.

What was seen of it since does not matter, only what would double or lose rows: that somebody is at it, that
this version is loaded, or that the rows to leave are not the ones that the plan meant. A rebuild names the
versions that it replaces like any other work, although their rows leave with the whole old table.
"""


def restore_prior(session: Session, where: str, **values: str | int) -> int:
    """Makes files again what they were before the claims that `where` selects among `batch_file b`.

    The condition must select at most one claim of a path. Files that were unseen before leave the ledger's
    table of files; their claims stay in `batch_file`.
    """
    changes = ", ".join(f"{name} = b.prior_{name}" for name in KEPT)
    restored = session.execute(
        f"UPDATE processed_file SET {changes} FROM batch_file b WHERE b.ingestion = processed_file.ingestion"
        f" AND b.file_path = processed_file.file_path AND b.prior_state IS NOT NULL AND {where}",
        **values,
    )
    removed = session.execute(
        "DELETE FROM processed_file WHERE (ingestion, file_path) IN"
        f" (SELECT b.ingestion, b.file_path FROM batch_file b WHERE b.prior_state IS NULL AND {where})",
        **values,
    )
    return restored + removed


def staged_files(files: pa.Table) -> pa.Table:
    """Rows of `inventory.DIFF` as a table to stage: the ledger's column names, and `n`, their place."""
    columns: dict[str, pa.Array | pa.ChunkedArray] = {"n": pa.array(range(files.num_rows), INT)}
    for name, staged in _TODO.items():
        kind = _TYPES.get(name, TEXT)
        if name in files.column_names:
            columns[staged] = files.column(name).cast(kind)
        else:
            columns[staged] = pa.nulls(files.num_rows, kind)
    at = pc.floor_temporal(columns["modified_at_ns"].cast(pa.timestamp("ns", tz="UTC")), unit="microsecond")
    columns["modified_at"] = at.cast(pa.timestamp("us", tz="UTC"))
    return pa.table(columns)


def hold_known(session: Session, ingestion: str) -> None:
    """Locks the remembered files that may be claimed; rows that somebody else has locked are passed over."""
    lock = "" if session.is_sqlite else "FOR UPDATE OF f SKIP LOCKED"
    session.execute("CREATE TEMPORARY TABLE held (n bigint PRIMARY KEY, unseen boolean NOT NULL)")
    found = (
        "SELECT t.n AS n FROM todo t JOIN processed_file f"
        f" ON f.ingestion = :ingestion AND f.file_path = t.file_path WHERE ({_MOVED}) IS NULL {lock}"
    )
    session.execute(f"INSERT INTO held SELECT n, false FROM ({found}) AS found", ingestion=ingestion)


def insert_unseen(session: Session, ingestion: str, batch_id: str, now: datetime) -> None:
    """Makes a row for every path without one; a path that somebody else inserts meanwhile is theirs."""
    unseen = session.execute(
        "INSERT INTO held SELECT t.n, true FROM todo t WHERE NOT EXISTS"
        " (SELECT 1 FROM processed_file f WHERE f.ingestion = :ingestion AND f.file_path = t.file_path)",
        ingestion=ingestion,
    )
    # Sorted, so that two workers that insert the same paths wait for each other in one order.
    made = session.execute(
        "INSERT INTO processed_file (ingestion, file_path, file_size, modified_at, modified_at_ns, etag,"
        " version_id, state, retry_count, batch, data_date, discovered_at, reload)"
        " SELECT :ingestion, t.file_path, t.file_size, t.modified_at, t.modified_at_ns, t.etag, t.version_id,"
        " 'PROCESSING', 0, :batch, t.data_date, :now, false FROM held h JOIN todo t ON t.n = h.n"
        " WHERE h.unseen ORDER BY t.file_path ON CONFLICT (ingestion, file_path) DO NOTHING",
        ingestion=ingestion,
        batch=batch_id,
        now=now,
    )
    if made != unseen:
        session.execute(
            "DELETE FROM held WHERE unseen AND n NOT IN (SELECT t.n FROM todo t JOIN processed_file f"
            " ON f.ingestion = :ingestion AND f.file_path = t.file_path WHERE f.batch = :batch)",
            ingestion=ingestion,
            batch=batch_id,
        )


def keep_versions(session: Session, ingestion: str, batch_id: str, first: int) -> None:
    """One row per claimed version, numbered in load order, with what its file was before."""
    prior = ", ".join(f"prior_{name}" for name in KEPT)
    new = "src_file_id, batch, ingestion, file_path, file_size, modified_at_ns, etag, version_id, data_date,"
    new += " disposition, replaces, state"
    claimed = (
        "r.number, :batch, :ingestion, t.file_path, t.file_size, t.modified_at_ns, t.etag, t.version_id,"
        " t.data_date, t.disposition, t.replaces, 'PROCESSING'"
    )
    ranked = "(SELECT n, unseen, :first - 1 + row_number() OVER (ORDER BY n) AS number FROM held) r"
    session.execute(
        f"INSERT INTO batch_file ({new}) SELECT {claimed} FROM {ranked} JOIN todo t ON t.n = r.n WHERE r.unseen",
        first=first,
        batch=batch_id,
        ingestion=ingestion,
    )
    session.execute(
        f"INSERT INTO batch_file ({new}, {prior}) SELECT {claimed}, {', '.join('f.' + name for name in KEPT)}"
        f" FROM {ranked} JOIN todo t ON t.n = r.n"
        " JOIN processed_file f ON f.ingestion = :ingestion AND f.file_path = t.file_path WHERE NOT r.unseen",
        first=first,
        batch=batch_id,
        ingestion=ingestion,
    )


def take_known(session: Session, ingestion: str, batch_id: str) -> None:
    """Puts the held files that were remembered into the batch, with the identity that is to be loaded."""
    # A retry counts on; any other work on a file is a fresh start.
    session.execute(
        "UPDATE processed_file SET state = 'PROCESSING', batch = :batch, file_size = t.file_size,"
        " modified_at = t.modified_at, modified_at_ns = t.modified_at_ns, etag = t.etag,"
        " version_id = t.version_id, data_date = t.data_date, error = NULL, next_attempt_at = NULL,"
        " retry_count = CASE WHEN t.disposition = 'retry' THEN processed_file.retry_count ELSE 0 END"
        " FROM held h JOIN todo t ON t.n = h.n"
        " WHERE NOT h.unseen AND processed_file.ingestion = :ingestion AND processed_file.file_path = t.file_path",
        batch=batch_id,
        ingestion=ingestion,
    )


def insert_batch(
    session: Session, batch_id: str, run_id: str, ingestion: str, lane: str, lease: Lease, now: datetime
) -> None:
    """Makes the batch, bound to the lease; files and bytes are counted from its versions."""
    session.execute(
        "INSERT INTO batch (batch_id, run_id, ingestion, lane, state, lease, token, files, size_bytes,"
        " claimed_at) SELECT :batch, :run_id, :ingestion, :lane, 'claimed', :lease, :token, count(*),"
        " CAST(coalesce(sum(file_size), 0) AS bigint), :now FROM batch_file WHERE batch = :batch",
        batch=batch_id,
        run_id=run_id,
        ingestion=ingestion,
        lane=lane,
        lease=lease.id,
        token=lease.token,
        now=now,
    )


def left_out(session: Session, ingestion: str) -> pa.Table:
    """Place and reason of every file that is not held, by place."""
    return session.read(
        OUT,
        f"SELECT t.n, coalesce({_MOVED}, 'another worker is claiming it') AS reason FROM todo t"
        " LEFT JOIN processed_file f ON f.ingestion = :ingestion AND f.file_path = t.file_path"
        " WHERE NOT EXISTS (SELECT 1 FROM held h WHERE h.n = t.n)",
        ingestion=ingestion,
    ).sort_by("n")
