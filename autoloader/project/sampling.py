"""Which files a plan looks into, and their bytes: few enough to be quick, spread enough to be told."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from autoloader.errors import SourceError
from autoloader.inventory import WORK, Disposition

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from autoloader.project.looking import Eyes

SAMPLE_FILES: Final = 34
SAMPLE_BYTES: Final = 256_000_000
"""Bounds of a sample. A single file larger than the second is looked into only where there is no smaller one."""

_SPARE: Final = 16  # more than are wanted, for those that cannot be fetched


def sample_of(files: pa.Table | None, *, every: bool = False) -> pa.Table | None:
    """The files to look into of those that are to be loaded: first, last, largest, and others at random.

    The same files give the same sample. Others follow, for the case that those cannot be fetched.

    Args:
        files: `inventory.DIFF` of one ingestion; None when storage was not looked at.
        every: Choose among all of `files`, not only those that are to be loaded.

    Returns:
        Rows of `files` in the order in which they are looked into; None where there is none with a byte.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if files is None:
        return None
    work = files.filter(pc.is_in(files["disposition"], value_set=pa.array(sorted(WORK))))
    work = files if every else work
    work = work.filter(pc.greater(work["size_bytes"], 0))
    if work.num_rows == 0:
        return None
    return work.take(_picked(work["size_bytes"].to_numpy()))


def candidates(files: pa.Table | None) -> int:
    """How many files a sample stands for: all but those that the spec leaves out or that are hidden."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if files is None:
        return 0
    left_out = pa.array([Disposition.HIDDEN.value, Disposition.EXCLUDED.value])
    return int(pc.sum(pc.invert(pc.is_in(files["disposition"], value_set=left_out))).as_py() or 0)


def _picked(sizes: np.ndarray) -> list[int]:
    """Places, best first: as many as are wanted within the bounds, and some to spare."""
    import numpy as np

    total = len(sizes)
    drawn = np.random.default_rng(total).choice(total, min(total, 4 * SAMPLE_FILES), replace=False)
    order = dict.fromkeys([0, total - 1, int(sizes.argmax()), *(int(place) for place in drawn)])
    found: list[int] = []
    size = 0
    for place in order:
        if size + int(sizes[place]) <= SAMPLE_BYTES:
            found.append(place)
            size += int(sizes[place])
    return (found or [int(sizes.argmin())])[: SAMPLE_FILES + _SPARE]


def fetched(
    eyes: Eyes, sample: pa.Table, workdir: Path, stack: ExitStack
) -> tuple[list[tuple[Path, str]], list[SourceError]]:
    """The first files of the sample that can be had, and why others cannot; their load will say it again.

    Raises:
        SourceError: None of them can be had.
    """
    from autoloader import sources

    found: list[tuple[Path, str]] = []
    failed: list[SourceError] = []
    for number, row in enumerate(sample.select(["file_path", "key", "size_bytes", "etag", "version_id"]).to_pylist()):
        eyes.talk(f"Looking into {row['key']}")
        at = sample["modified_at"][number]
        own = workdir / str(number)
        own.mkdir()
        try:
            path = stack.enter_context(
                sources.pinned(
                    row["file_path"],
                    size_bytes=row["size_bytes"],
                    modified_at_ns=at.value if at.is_valid else None,
                    etag=row["etag"],
                    version_id=row["version_id"],
                    storage=eyes.settings.storage,
                    workdir=own,
                )
            )
        except SourceError as error:
            failed.append(error)
            continue
        found.append((path, row["key"]))
        if len(found) == SAMPLE_FILES:
            break
    if failed and not found:
        raise failed[0]
    return found, failed
