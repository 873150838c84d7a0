"""Modification times of local files, as the nanoseconds that a listing, the ledger and a pin can hold."""

from __future__ import annotations

from typing import Final

FURTHEST_NS: Final = 9_223_286_400_000_000_000
"""2262-04-11 00:00 UTC, and as far before 1970. A little further 64 bits end; file systems go on for centuries."""

_MOST: Final = 2**63 - 1


def kept_ns(modified_at_ns: int) -> int:
    """A modification time as it is, or the furthest day that can be kept if 64 bits do not hold it.

    Listing and pinning both ask here, so that a file of such a time has one identity.
    """
    if -_MOST <= modified_at_ns <= _MOST:
        return modified_at_ns
    return FURTHEST_NS if modified_at_ns > 0 else -FURTHEST_NS
