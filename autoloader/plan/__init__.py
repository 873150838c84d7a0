"""A plan as a value, and the JSON document that carries it (DESIGN section 6)."""

from __future__ import annotations

from autoloader.plan.document import PlanFormatError, canonical, digest_of, digest_of_json, from_json, to_json
from autoloader.plan.values import (
    FORMAT_VERSION,
    Action,
    Basis,
    Block,
    Change,
    Diagnostic,
    Impact,
    Operation,
    Plan,
    Reason,
    Severity,
    Spread,
    Verdict,
)

__all__ = [
    "FORMAT_VERSION",
    "Action",
    "Basis",
    "Block",
    "Change",
    "Diagnostic",
    "Impact",
    "Operation",
    "Plan",
    "PlanFormatError",
    "Reason",
    "Severity",
    "Spread",
    "Verdict",
    "canonical",
    "digest_of",
    "digest_of_json",
    "from_json",
    "to_json",
]
