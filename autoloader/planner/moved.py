"""A project that lies in another folder now: its relative source has moved with it, and the state has not.

Files are remembered by their whole path. The same files under another folder would count as new, and their rows
would be in the table twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from autoloader.inventory import Disposition, FileState
from autoloader.plan import Block
from autoloader.planner.loads import Case, files_text

_ROOTS_TRIED: Final = 20
_NEVER_SEEN: Final = (Disposition.NEW.value, Disposition.LATE.value)


def moved_source(case: Case) -> Block | None:
    """What holds back loading files that were loaded from where the project lay before; None = nothing does."""
    name, path = case.spec.name, case.spec.source.path
    if name in case.asked.confirmed or not _is_relative(path) or (case.refresh and case.refresh[0] == "full"):
        return None
    before = (case.recorded.spec.get("source") or {}).get("path") if case.recorded is not None else None
    if before != path or case.files is None:
        return None
    known = pc.and_(pc.is_null(case.files["key"]), pc.equal(case.files["known_state"], FileState.SUCCESS.value))
    left = case.files.filter(known)["file_path"]
    new = case.files.filter(pc.is_in(case.files["disposition"], pa.array(_NEVER_SEEN, pa.string())))
    if len(left) == 0 or new.num_rows == 0:
        return None
    root = new["file_path"][0].as_py().removesuffix(new["key"][0].as_py())
    for old in _former_roots(left, root, path):
        twins = pc.sum(
            pc.is_in(pc.binary_join_element_wise(pa.scalar(old), new["key"], ""), left.combine_chunks())
        ).as_py()
        if twins:
            were = "was" if twins == 1 else "were"
            return Block(
                "source-moved",
                f"{files_text(twins)} that {were} loaded from {old} count as new below {root}:"
                " the project lies elsewhere now, and to load them would double their rows. To load them instead of the"
                f" old ones, run: autoloader plan --refresh {name}=full. If they are other files, confirm it:"
                f" autoloader plan --confirm {name}",
            )
    return None


def _is_relative(path: str) -> bool:
    return "://" not in path and not path.startswith(("/", "~"))


def _former_roots(left: pa.ChunkedArray, root: str, path: str) -> Iterator[str]:
    """Folders outside of the project that may have been the source: where a remembered path has the spec's own."""
    tail = "/".join(["", *(part for part in path.split("/") if part not in ("", ".", "..")), ""])
    project = root.removesuffix(tail) + "/"
    found = dict.fromkeys(
        each[: at + len(tail)]
        for each in islice((value.as_py() for value in left), 10 * _ROOTS_TRIED)
        for at in range(len(each))
        if each.startswith(tail, at) and not each.startswith(project)
    )
    return islice(iter(found), _ROOTS_TRIED)
