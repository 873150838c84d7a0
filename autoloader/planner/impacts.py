"""Counts, bytes, dates and prices of the files of a change: aggregates over the diff, no object per file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.cost import Estimate, History, Range, Work, estimate, starting
from autoloader.inventory import WORK, Disposition
from autoloader.plan import Impact, Spread
from autoloader.spec import IngestionSpec, Settings

_WORK_VALUES: Final = [d.value for d in Disposition if d in WORK]
_DAY: Final = "%Y-%m-%d"


@dataclass(frozen=True, slots=True)
class Group:
    """Files of one lane, disposition and slice state: how many, how large, from when, what they replace."""

    lane: str | None
    disposition: str
    files: int
    size_bytes: int
    replaced_files: int
    replaced_rows: int | None
    oldest: str | None
    newest: str | None

    @property
    def is_work(self) -> bool:
        """Whether these files are to be loaded now."""
        return self.disposition in _WORK_VALUES


def groups_of(files: pa.Table) -> tuple[Group, ...]:
    """The diff of one ingestion, summed by lane and disposition; sorted: row order does not matter."""
    if files.num_rows == 0:
        return ()
    dated = files.append_column("day", _days(files)).append_column(
        "replacing", pc.is_valid(files["replaces"]).cast(pa.int64())
    )
    summed = dated.group_by(["lane", "disposition"]).aggregate(
        [
            ([], "count_all"),
            ("size_bytes", "sum"),
            ("replacing", "sum"),
            ("replaces_rows", "sum"),
            ("day", "min_max"),
        ]
    )
    found = [
        Group(
            row["lane"],
            row["disposition"],
            row["count_all"],
            row["size_bytes_sum"] or 0,
            row["replacing_sum"] or 0,
            row["replaces_rows_sum"],
            row["day_min_max"]["min"] and row["day_min_max"]["min"].isoformat(),
            row["day_min_max"]["max"] and row["day_min_max"]["max"].isoformat(),
        )
        for row in summed.to_pylist()
    ]
    return tuple(sorted(found, key=lambda group: (group.lane or "", group.disposition)))


def _days(files: pa.Table) -> pa.ChunkedArray:
    """The date of a file's data where its path says it, else the day of its modification."""
    return pc.coalesce(files["data_date"], files["modified_at"].cast(pa.timestamp("ns")).cast(pa.date32(), safe=False))


def rows_where(files: pa.Table, lane: str | None, dispositions: Iterable[str]) -> pa.Table:
    """The rows of a lane (None: of any) with one of the dispositions, in their order."""
    mask = pc.is_in(files["disposition"], pa.array(list(dispositions), pa.string()))
    if lane is not None:
        mask = pc.and_(mask, pc.fill_null(pc.equal(files["lane"], lane), False))
    return files.filter(mask)


def work_digest(files: pa.Table) -> str:
    """SHA-256 over path, identity, disposition and lane of every file that is loaded or whose rows leave."""
    work = pc.is_in(files["disposition"], pa.array(_WORK_VALUES, pa.string()))
    leaves = pc.and_(pc.equal(files["disposition"], Disposition.MISSING.value), pc.is_valid(files["replaces"]))
    chosen = files.filter(pc.or_(work, leaves)).sort_by("file_path")
    digest = hashlib.sha256()
    for name in (
        "file_path",
        "size_bytes",
        "modified_at",
        "etag",
        "version_id",
        "disposition",
        "lane",
        "replaces",
    ):
        column = chosen[name]
        texts = pc.fill_null(
            (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).cast(pa.string()),
            "\x00",
        )
        for chunk in _joined(texts):
            digest.update(chunk)
        digest.update(b"\x01")
    return digest.hexdigest()


def _joined(texts: pa.ChunkedArray) -> Iterable[bytes]:
    for start in range(0, len(texts), 65536):
        part = texts.slice(start, 65536).combine_chunks()
        lists = pa.ListArray.from_arrays(pa.array([0, len(part)], pa.int32()), part)
        yield pc.binary_join(lists, "\n")[0].as_py().encode("utf-8", "surrogatepass")


def impact_of(groups: Sequence[Group], estimated: Estimate | None) -> Impact:
    """Counts of the groups with a price; without work there is no price to tell."""
    counts = _counts(groups)
    work = [group for group in groups if group.is_work]
    total = sum(counts.values())
    files = sum(group.files for group in work)
    return Impact(
        files_to_process=files,
        files_skipped=total - files,
        files_by_disposition=counts,
        bytes_to_process=sum(group.size_bytes for group in work),
        cost_usd=spread(estimated.cost_usd) if estimated else None,
        duration_minutes=spread(estimated.duration_minutes) if estimated else None,
        basis=estimated.basis if estimated else None,
        oldest_file_date=min((g.oldest for g in work if g.oldest), default=None),
        newest_file_date=max((g.newest for g in work if g.newest), default=None),
    )


def _counts(groups: Sequence[Group]) -> dict[str, int]:
    found: dict[str, int] = {}
    for disposition in Disposition:
        if number := sum(group.files for group in groups if group.disposition == disposition):
            found[disposition.value] = number
    return found


def price(
    spec: IngestionSpec,
    lane: str,
    groups: Sequence[Group],
    listed: int,
    settings: Settings,
    history: Sequence[History],
    rewritten_bytes: int = 0,
) -> Estimate | None:
    """The estimate of one lane's work, None where there is none.

    Args:
        spec: The ingestion.
        lane: The lane.
        groups: Its files.
        listed: Objects that one listing of the source returns.
        settings: Prices and compute profiles.
        history: Finished runs of the ingestion.
        rewritten_bytes: Data files of the table that are written anew because old rows leave them.
    """
    work = [group for group in groups if group.is_work]
    if not work and not rewritten_bytes:
        return None
    name = spec.compute.of(lane)
    known = [run for run in history if run.profile == name]
    files, size = sum(group.files for group in work), sum(group.size_bytes for group in work)
    load = Work(files, size, spec.source.format, listed, rewritten_bytes)
    return estimate(load, settings.prices, settings.compute.get(name), known)


def rewriting(spec: IngestionSpec, settings: Settings, data_files: int, size_bytes: int) -> Impact:
    """The price of writing data files of the table anew: bytes without a source file."""
    profile = settings.compute.get(spec.compute.live)
    found = estimate(Work(data_files, size_bytes, "parquet"), settings.prices, profile)
    return Impact(
        bytes_to_process=size_bytes,
        cost_usd=spread(found.cost_usd),
        duration_minutes=spread(found.duration_minutes),
        basis=found.basis,
    )


def spread(found: Range | None) -> Spread | None:
    """The plan's form of a range."""
    return None if found is None else Spread(found.low, found.expected, found.high)


def total_impact(impacts: Sequence[Impact], everything: Sequence[Group]) -> Impact:
    """The sum of the changes that may be applied, and Spark's start once; skipped files are those of all."""
    loads = [impact for impact in impacts if impact.works]
    counts = _counts(everything)
    files = sum(impact.files_to_process for impact in loads)
    return Impact(
        files_to_process=files,
        files_skipped=sum(counts.values()) - files,
        files_by_disposition=counts,
        bytes_to_process=sum(impact.bytes_to_process for impact in loads),
        cost_usd=_sum([impact.cost_usd for impact in loads]),
        duration_minutes=_sum([impact.duration_minutes for impact in loads] + [spread(starting())] * bool(loads)),
        basis="; ".join(dict.fromkeys(i.basis for i in loads if i.basis)) or None,
        oldest_file_date=min((i.oldest_file_date for i in loads if i.oldest_file_date), default=None),
        newest_file_date=max((i.newest_file_date for i in loads if i.newest_file_date), default=None),
    )


def _sum(spreads: Sequence[Spread | None]) -> Spread | None:
    """One unknown makes the sum unknown: what has no price is not free. Nothing to load costs nothing."""
    known = [each for each in spreads if each is not None]
    if len(known) < len(spreads):
        return None
    low, expected, high = (
        Decimal(repr(float(sum((getattr(s, part) for s in known), Decimal(0))))) for part in ("low", "expected", "high")
    )
    return Spread(low, expected, high)


def examples(files: pa.Table, limit: int = 10) -> list[Mapping[str, Any]]:
    """The first replaced files with their old and new identity, for the plan's reader."""
    shown = files.slice(0, limit).select(
        ["key", "known_etag", "etag", "known_size_bytes", "size_bytes", "replaces_rows"]
    )
    return [
        {
            "key": row["key"],
            "old_etag": row["known_etag"],
            "new_etag": row["etag"],
            "old_size_bytes": row["known_size_bytes"],
            "new_size_bytes": row["size_bytes"],
            "rows_out": row["replaces_rows"],
        }
        for row in shown.to_pylist()
    ]


def dates_touched(files: pa.Table, limit: int = 5) -> tuple[list[str], int]:
    """The first distinct data dates of some files, and how many there are."""
    found = pc.unique(_days(files)).drop_null().sort()
    return [str(value) for value in found.slice(0, limit).to_pylist()], len(found)
