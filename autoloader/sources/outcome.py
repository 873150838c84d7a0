"""What a listing gives back."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Problem:
    r"""Something that is there but is no file that can be loaded.

    Attributes:
        path: Canonical URI; a name that is not UTF-8 is shown with `\\xNN`.
        message: Why, in one sentence.
        unlisted: There may be a file at `path`, or files below it, that the listing does not hold: what is known
            there must not be taken for deleted.
    """

    path: str
    message: str
    unlisted: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A complete listing.

    Attributes:
        table: `inventory.LISTING`.
        problems: Sorted by path.
        requests: LIST requests made; 0 for local folders.
    """

    table: pa.Table
    problems: tuple[Problem, ...]
    requests: int
