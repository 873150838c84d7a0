"""What a table keeps of our commits in its own properties: there no expiry of snapshots and no swap reaches it.

The history of a table says which batches are in it, as long as its snapshots live. Recovery may come after
somebody expired them, so the last batches are named once more in properties that change in the very same commit.
Values only; nothing here imports PyIceberg.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

COMMITTED: Final = "autoloader.committed-batches"
"""`batch:snapshot` pairs with commas between them, the newest last."""

REVOKED_BATCHES: Final = "autoloader.revoked-batches"
"""Batches that may never be committed, the newest last: `batch:token`, the fencing token where it is known."""

FENCE: Final = "autoloader.fence"
"""The fencing token of the last change that needed the table alone: commits under a lower one are refused."""

OWN: Final = frozenset({COMMITTED, REVOKED_BATCHES, FENCE})

KEPT: Final = 100
"""How many of each are kept. A batch needs its mark until it is recorded or released, seconds as a rule.

Of a committed batch whose mark is gone as well, the rows themselves tell; a revoked one stays shut out by the fence.
"""


def committed(properties: Mapping[str, str], batch_id: str) -> int | None:
    """The snapshot that a batch was committed in, if it is among the last ones."""
    for pair in _values(properties, COMMITTED):
        batch, _, snapshot_id = pair.partition(":")
        if batch == batch_id:
            return int(snapshot_id)
    return None


def is_revoked(properties: Mapping[str, str], batch_id: str) -> bool:
    """Whether a batch was revoked, if it is among the last ones."""
    return any(value.partition(":")[0] == batch_id for value in _values(properties, REVOKED_BATCHES))


def fence(properties: Mapping[str, str]) -> int:
    """The lowest fencing token that may commit; 0 where nobody needed the table alone yet."""
    return int(properties.get(FENCE, "0"))


def with_committed(properties: Mapping[str, str], batches: Iterable[tuple[str, int]]) -> dict[str, str]:
    """The properties to set so that these batches, with their snapshots, are kept as committed."""
    pairs = [*_values(properties, COMMITTED), *(f"{batch}:{snapshot_id}" for batch, snapshot_id in batches)]
    return {COMMITTED: _text(pairs)}


def with_revoked(properties: Mapping[str, str], batch_id: str, token: int | None = None) -> dict[str, str]:
    """The properties to set so that a batch is kept as revoked.

    A batch that is so many revocations back that it is kept no more stays shut out: the fence rises above the token
    that it was loaded under. Whoever is alive under a lower one applies again.
    """
    values = [*_values(properties, REVOKED_BATCHES), batch_id if token is None else f"{batch_id}:{token}"]
    tokens = [int(value.partition(":")[2] or 0) for value in values[:-KEPT]]
    fenced = with_fence(properties, max(tokens) + 1) if any(tokens) else {}
    return {REVOKED_BATCHES: _text(values)} | fenced


def with_fence(properties: Mapping[str, str], token: int | None) -> dict[str, str]:
    """The properties to set so that holders of lower tokens are shut out; none where no token is given."""
    return {} if token is None else {FENCE: str(max(token, fence(properties)))}


def _values(properties: Mapping[str, str], key: str) -> list[str]:
    return [value for value in properties.get(key, "").split(",") if value]


def _text(values: list[str]) -> str:
    return ",".join(list(dict.fromkeys(values))[-KEPT:])
