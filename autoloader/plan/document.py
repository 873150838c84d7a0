"""Plan to JSON-able data and back. The keys are a contract (DESIGN section 6); unknown is null, never 0.

A reader of version 1.x accepts documents of any 1.y: keys that it does not know are left alone, keys that
were not there yet get their defaults.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from autoloader.errors import AutoloaderError
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

_GB: Final = 1_000_000_000
_OUTSIDE_DIGEST: Final = frozenset({"plan_id", "digest", "created_at", "expires_at"})


class PlanFormatError(AutoloaderError):
    """A document is not a plan that this version can read."""


def canonical(data: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(
        "utf-8", "surrogatepass"
    )


def digest_of(plan: Plan) -> str:
    """SHA-256, in hex, of all that the plan says but its id and times; `plan.digest` itself is not read."""
    return digest_of_json(to_json(plan))


def digest_of_json(document: Mapping[str, Any]) -> str:
    """The digest of a plan as it was written, keys that this version does not know included."""
    data = {key: value for key, value in document.items() if key not in _OUTSIDE_DIGEST}
    return hashlib.sha256(canonical(data)).hexdigest()


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan under the keys of DESIGN section 6, in their order; instants are ISO 8601 in UTC."""
    return {
        "format_version": plan.format_version,
        "tool_version": plan.tool_version,
        "plan_id": plan.plan_id,
        "digest": plan.digest,
        "created_at": _instant(plan.created_at),
        "expires_at": _instant(plan.expires_at),
        "lineage": plan.lineage,
        "serial": plan.serial,
        "mode": plan.mode,
        "applyable": plan.applyable,
        "complete": plan.complete,
        "errored": plan.errored,
        "changes": [_change(change) for change in plan.changes],
        "totals": _impact(plan.totals),
        "guardrails": [{**_record(v), "limit": _number(v.limit), "value": _number(v.value)} for v in plan.guardrails],
        "drift": list(plan.drift),
        "notes": list(plan.notes),
        "diagnostics": [{**_record(d), "severity": d.severity.value} for d in plan.diagnostics],
        "basis": [_record(basis) for basis in plan.basis],
    }


def _record(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _change(change: Change) -> dict[str, Any]:
    return {
        "ingestion": change.ingestion,
        "actions": [action.value for action in change.actions],
        "reason": change.reason.value,
        "detail": change.detail,
        "lane": change.lane,
        "before": change.before,
        "after": change.after,
        "impact": _impact(change.impact),
        "operations": [{"operation": o.operation, "details": o.details} for o in change.operations],
        "blocked": None if change.blocked is None else {"by": change.blocked.by, "message": change.blocked.message},
    }


def _impact(impact: Impact) -> dict[str, Any]:
    return {
        "files_to_process": impact.files_to_process,
        "files_skipped": impact.files_skipped,
        "files_by_disposition": dict(impact.files_by_disposition),
        "bytes_to_process": impact.bytes_to_process,
        "estimated_data_size_gb": impact.bytes_to_process / _GB,
        "estimated_cost_usd": _spread(impact.cost_usd),
        "estimated_duration_minutes": _spread(impact.duration_minutes),
        "basis": impact.basis,
        "oldest_file_date": impact.oldest_file_date,
        "newest_file_date": impact.newest_file_date,
    }


def _number(amount: Decimal | None) -> int | float | None:
    if amount is None:
        return None
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _spread(spread: Spread | None) -> dict[str, float] | None:
    if spread is None:
        return None
    return {"low": float(spread.low), "expected": float(spread.expected), "high": float(spread.high)}


def from_json(data: Mapping[str, Any]) -> Plan:
    """The plan that `to_json` wrote, by this version or another of the same major number.

    Raises:
        PlanFormatError: It is no plan, or one of a later major version.
    """
    version = str(data.get("format_version", ""))
    if version.split(".")[0] != FORMAT_VERSION.split(".")[0]:
        raise PlanFormatError(
            "The plan cannot be read.",
            why=f"Its format_version is {version or 'missing'}; this version reads {FORMAT_VERSION}.",
            fix="Plan again with this version:\n  autoloader plan --out FILE",
        )
    try:
        return _plan(data, version)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise PlanFormatError(
            "The plan cannot be read.",
            why=f"Its JSON is not that of a plan ({type(error).__name__}: {error}).",
            fix="Plan again:\n  autoloader plan --out FILE",
        ) from error


def _plan(data: Mapping[str, Any], version: str) -> Plan:
    created_at = _moment(data["created_at"])
    if created_at is None:
        raise ValueError("created_at is null")
    return Plan(
        tool_version=data["tool_version"],
        plan_id=data["plan_id"],
        digest=data["digest"],
        created_at=created_at,
        expires_at=_moment(data.get("expires_at")),
        lineage=data.get("lineage"),
        serial=data.get("serial", 0),
        mode=data.get("mode", "normal"),
        applyable=data["applyable"],
        complete=data["complete"],
        errored=data["errored"],
        changes=tuple(_read_change(change) for change in data["changes"]),
        totals=_read_impact(data["totals"]),
        basis=tuple(_read(Basis, basis) for basis in data.get("basis", ())),
        guardrails=tuple(_read_verdict(verdict) for verdict in data.get("guardrails", ())),
        drift=tuple(data.get("drift", ())),
        notes=tuple(data.get("notes", ())),
        diagnostics=tuple(
            _read(Diagnostic, {**d, "severity": Severity(d["severity"])}) for d in data.get("diagnostics", ())
        ),
        format_version=version,
    )


def _read(kind: Any, data: Mapping[str, Any]) -> Any:
    """A frozen record from its mapping; keys of later versions are left alone."""
    return kind(**{name: data[name] for name in kind.__slots__ if name in data})


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).astimezone(UTC)


def _read_change(data: Mapping[str, Any]) -> Change:
    blocked = data.get("blocked")
    return Change(
        ingestion=data["ingestion"],
        actions=tuple(Action(action) for action in data["actions"]),
        reason=Reason(data["reason"]),
        detail=data["detail"],
        lane=data.get("lane"),
        before=data.get("before"),
        after=data.get("after"),
        impact=_read_impact(data["impact"]),
        operations=tuple(Operation(o["operation"], o.get("details", {})) for o in data.get("operations", ())),
        blocked=None if blocked is None else Block(blocked["by"], blocked["message"]),
    )


def _read_verdict(data: Mapping[str, Any]) -> Verdict:
    value = data["value"]
    return Verdict(data["id"], data["level"], _decimal(data["limit"]), value and _decimal(value), data["passed"])


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))


def _read_impact(data: Mapping[str, Any]) -> Impact:
    return Impact(
        files_to_process=data["files_to_process"],
        files_skipped=data["files_skipped"],
        files_by_disposition=dict(data["files_by_disposition"]),
        bytes_to_process=data["bytes_to_process"],
        cost_usd=_read_spread(data.get("estimated_cost_usd")),
        duration_minutes=_read_spread(data.get("estimated_duration_minutes")),
        basis=data.get("basis"),
        oldest_file_date=data.get("oldest_file_date"),
        newest_file_date=data.get("newest_file_date"),
    )


def _read_spread(data: Mapping[str, Any] | None) -> Spread | None:
    if data is None:
        return None
    low, expected, high = (_decimal(float(data[key])) for key in ("low", "expected", "high"))
    return Spread(low, expected, high)
