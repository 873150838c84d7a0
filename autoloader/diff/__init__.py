"""(listing, ledger slice, rules) -> every file's disposition. Columnar, pure: no file, clock or socket.

One DuckDB query over two Arrow tables; there is no Python object per file anywhere on this path.
"""

from __future__ import annotations

from autoloader.diff.decide import BACK_REASON, SETTLED_BACK_REASON, START_REASON, Decision, decisions
from autoloader.diff.rules import (
    DEFAULT_MAX_ATTEMPTS,
    BackfillRules,
    LimitRules,
    Rules,
    Selector,
    SliceBounds,
)
from autoloader.diff.run import diff

__all__ = [
    "BACK_REASON",
    "DEFAULT_MAX_ATTEMPTS",
    "SETTLED_BACK_REASON",
    "START_REASON",
    "BackfillRules",
    "Decision",
    "LimitRules",
    "Rules",
    "Selector",
    "SliceBounds",
    "decisions",
    "diff",
]
