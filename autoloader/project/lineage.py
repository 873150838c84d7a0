"""What a table's lineage and the storage tell of files that the state does not remember."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from autoloader.diff import START_REASON
from autoloader.inmemory import in_memory
from autoloader.planner import Asked
from autoloader.render import plural
from autoloader.sources import Source, canonical

if TYPE_CHECKING:
    import pyarrow as pa

    from autoloader.lake import TableState
    from autoloader.ledger import Lease
    from autoloader.project.project import Project
    from autoloader.spec import IngestionSpec

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NS: Final = 1_000_000_000

_IDENTITIES: Final = """
WITH known AS (
  SELECT * FROM versions v WHERE v.file_size IS NOT NULL AND EXISTS (SELECT 1 FROM held h
    WHERE h.src_file_id = v.src_file_id AND h.file_path = v.file_path AND h.batch_id = v.batch)
), begun AS (
  SELECT src_file_id, file_path, min(ingested_ns) AS at_ns FROM held GROUP BY ALL
), stored AS (
  SELECT b.src_file_id, l.* FROM begun b JOIN listing l ON l.file_path = b.file_path
    AND l.modified_ns <= b.at_ns - CASE WHEN l.modified_ns % $second = 0 THEN $second - 1 ELSE 0 END
)
SELECT h.file_path, h.src_file_id, h.rows, h.batch_id, coalesce(r.rejected_rows, 0) AS rejected_rows,
  CASE WHEN k.src_file_id IS NULL THEN s.size_bytes ELSE k.file_size END AS size_bytes,
  CASE WHEN k.src_file_id IS NULL THEN s.modified_ns ELSE k.modified_ns END AS modified_ns,
  CASE WHEN k.src_file_id IS NULL THEN s.etag ELSE k.etag END AS etag,
  CASE WHEN k.src_file_id IS NULL THEN s.version_id ELSE k.version_id END AS version_id,
  k.data_date, k.fingerprint, k.schema_version,
  $marks AND k.src_file_id IS NULL AND s.src_file_id IS NULL AS reload,
  CASE WHEN $appends THEN 'changed' ELSE 'rebuilt' END AS disposition
FROM held h LEFT JOIN rejected r ON r.src_file_id = h.src_file_id
LEFT JOIN known k ON k.src_file_id = h.src_file_id AND k.file_path = h.file_path
LEFT JOIN stored s ON s.src_file_id = h.src_file_id AND s.file_path = h.file_path
WHERE h.src_file_id IS NOT NULL
"""
"""Every version that has rows in the table, per batch, with what is known of it."""


def first_load_ns(table: TableState, held: pa.Table) -> int | None:
    """The first load of which a table tells, as nanoseconds since 1970; None where it tells of none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    loads = [
        (info.committed_at - _EPOCH) // timedelta(microseconds=1) for info in table.history if info.run_id is not None
    ]
    begun_us = pc.min(held["ingested_at"]).cast(pa.int64()).as_py()
    first_us = min([*loads, *([begun_us] if begun_us is not None else [])], default=None)
    return None if first_us is None else first_us * 1_000


def skip_history(
    project: Project, spec: IngestionSpec, lease: Lease, *, before_ns: int | None, but: pa.ChunkedArray | None = None
) -> int:
    """Leave out what `start: now` leaves out, where the ingestion is not recorded: files of before that left no row.

    When an ingestion began whose state is lost is not known any more. What is surely older than its first load is taken
    for older than that, too. Done before the ingestion is recorded: cut off, it is done again.

    Args:
        project: The project.
        spec: The ingestion.
        lease: Held alone on it.
        before_ns: When it began at the latest, nanoseconds since 1970; None: now.
        but: Paths of files that left rows.

    Returns:
        How many files were left out.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from autoloader.project.looking import look_at

    if spec.source.start != "now" or project.ledger.ingestion(spec.name) is not None:
        return 0
    files = look_at(project.eyes(), spec, None, (), Asked()).files
    files = files.filter(pc.equal(files["reason"], START_REASON))
    if but is not None:
        files = files.filter(pc.invert(pc.is_in(files["file_path"], value_set=pc.unique(but))))
    if before_ns is not None:
        modified = files["modified_at"].cast(pa.int64())
        until = pc.if_else(_is_whole_second(modified), before_ns - _SECOND_NS + 1, before_ns)
        files = files.filter(pc.fill_null(pc.less_equal(modified, until), False))
    return project.ledger.under(lease).mark_skipped(spec.name, files, now=project.clock(), reason=START_REASON)


def _is_whole_second(moment_ns: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether a modification time may be one that S3 cut: it stands for any moment of its second."""
    import pyarrow.compute as pc

    return pc.equal(pc.multiply(pc.divide(moment_ns, _SECOND_NS), _SECOND_NS), moment_ns)


def emptied_text(table: TableState) -> str:
    """What cannot be known of files whose rows a refresh or a rollback took out, after a blank; empty: nothing was."""
    at = next((info.committed_at for info in table.history if info.summary.get("autoloader.rollback") == "all"), None)
    if at is None:
        return ""
    return (
        f" It was emptied at {at:%Y-%m-%dT%H:%M:%SZ} (refresh: new-only, or a rollback): files from before that have no"
        " row in it count as new; to leave them out, set source.start to that time."
    )


def left_out_text(files: int) -> str:
    """What `skip_history` did for a table that was loaded before, as a sentence."""
    return (
        f"{plural(files, 'file')} in storage without a row in it, older than the first load that it tells of, left out"
        " as there before the ingestion began (source.start: now); to load such files, take source.start away."
    )


def with_identity(project: Project, spec: IngestionSpec, held: pa.Table, rejected: pa.Table) -> pa.Table:
    """Rows per loaded file version, with the identity of the version as far as it is known.

    A version that the state remembers of the same batch has the identity that it was loaded with. Another one has that
    of the file in storage where this cannot have changed since: a modification time of a whole second is one that S3
    cut, it stands for any moment of that second. A file that may be newer than its rows has none and is loaded again,
    as changed or, where `on_change` would leave its rows or refuse it, marked for it.
    With `on_change: append` the versions of a path rightly stay side by side.
    """
    import pyarrow as pa

    root = canonical(spec.source.path, project.place.project_dir)
    listing = Source(root, project.specs().settings.storage).list().table
    read_at = held["ingested_at"].cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64())
    with in_memory() as con:
        con.register("held", held.append_column("ingested_ns", read_at))
        con.register("listing", _with_ns(listing))
        con.register("versions", _with_ns(project.ledger.versions(spec.name)))
        con.register("rejected", rejected)
        found = con.sql(
            _IDENTITIES,
            params={
                "second": _SECOND_NS,
                "appends": spec.source.on_change == "append",
                "marks": spec.source.on_change in ("append", "fail"),
            },
        ).to_arrow_table()
    at = found["modified_ns"].cast(pa.timestamp("ns", tz="UTC"))
    return found.drop_columns("modified_ns").append_column("modified_at", at)


def _with_ns(table: pa.Table) -> pa.Table:
    import pyarrow as pa

    return table.append_column("modified_ns", table["modified_at"].cast(pa.int64())).drop_columns("modified_at")
