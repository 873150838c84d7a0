"""What an edit of a spec means: fingerprints of its data and its metadata, and the effect of each key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from autoloader.spec.ingestion import IngestionSpec
from autoloader.spec.keys import KEYS, Effect
from autoloader.spec.source import canonical_path

_ROWS: Final = {key.path: index for index, key in enumerate(KEYS)}
_SETS: Final = ("tags", "source.include", "source.exclude")
_LABELS: Final = {"schema.columns": "name", "reingest": "request"}
_MAPPINGS: Final = ("source.options", "source.partitions", "destination.properties")


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key of a spec that is another than it was.

    Attributes:
        key: Its path; a column is called by its name: `schema.columns.usage_date.type`.
        effect: What the change does.
        before: Its old value as JSON-able data, None where it was left out.
        after: Its new value, None where it is left out.
    """

    key: str
    effect: Effect
    before: Any
    after: Any


def data_fingerprint(spec: IngestionSpec) -> str:
    """Hash of every key but the metadata ones: the same for two specs that do the same."""
    return _fingerprint(spec, metadata=False)


def metadata_fingerprint(spec: IngestionSpec) -> str:
    """Hash of the metadata keys alone: description, owner, tags, columns' descriptions, reasons."""
    return _fingerprint(spec, metadata=True)


def spec_digest(spec: IngestionSpec) -> str:
    """Hash of the whole spec in canonical form."""
    return _hash(canonical_data(spec))


def dialect_keys(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a spec, as data, says of how its files are written; a dialect is pinned as long as it says the same."""
    source = spec.get("source") or {}
    return {key: source[key] for key in ("format", "options") if source.get(key)}


def canonical_data(spec: IngestionSpec) -> dict[str, Any]:
    """`spec.as_data()` in the one form that equal specs share: roots canonical, sets sorted.

    Defaults are left out, so that a release which adds a key leaves the fingerprints of old specs alone.
    """
    return {key: _canonical(value, key) for key, value in spec.as_data().items()}


def change_effects(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[KeyChange, ...]:
    """The keys in which two specs differ, in the order of `KEYS`, each with what its change does.

    Args:
        old: A spec as data (`as_data()`), also one that another release has recorded.
        new: Another.

    Returns:
        One entry per key; a section, a column or a request that comes or goes as a whole is one entry.
        A key that `KEYS` does not name counts as behaviour. Empty for two specs that mean the same.
    """
    before, after = ({e.path: e for e in _entries(_normal(data), "", "")} for data in (old, new))
    found: list[tuple[int, KeyChange]] = []
    whole: list[str] = []
    for path, entry in {**before, **after}.items():
        if any(path.startswith(f"{parent}.") for parent in whole):
            continue
        first, second = before.get(path), after.get(path)
        if entry.group and first is not None and second is not None:
            if _order_differs(first.value, second.value, entry.row):
                found.append((entry.rank, KeyChange(path, entry.effect, first.value, second.value)))
        elif first is None or second is None or first.value != second.value:
            whole += [path] if entry.group else []
            values = (first.value if first else None, second.value if second else None)
            found.append((entry.rank, KeyChange(path, entry.effect, *values)))
    return tuple(change for _, change in sorted(found, key=lambda pair: pair[0]))


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    row: str  # the path as KEYS writes it
    value: Any
    group: bool  # a section or a list: its parts are entries too

    @property
    def effect(self) -> Effect:
        return KEYS[self.rank].effect if self.rank < len(KEYS) else Effect.BEHAVIOUR

    @property
    def rank(self) -> int:
        return _ROWS.get(self.row.removesuffix(".*"), len(KEYS))


def _entries(data: Any, path: str, row: str) -> Iterator[_Entry]:
    if isinstance(data, Mapping) and row not in _MAPPINGS:
        if row in _ROWS or row.endswith(".*"):
            yield _Entry(path, row, data, group=True)
        for key, value in data.items():
            yield from _entries(value, f"{path}.{key}".lstrip("."), f"{row}.{key}".lstrip("."))
    elif row in _LABELS and isinstance(data, list):
        yield _Entry(path, row, data, group=True)
        for item in data:
            yield from _entries(item, f"{path}.{item.get(_LABELS[row])}", f"{row}.*")
    else:
        yield _Entry(path, row, data, group=False)


def _order_differs(old: Any, new: Any, row: str) -> bool:
    """Whether the columns that both declare stand in another order; requests have none."""
    if row != "schema.columns":
        return False
    first, second = ([item.get("name") for item in items] for items in (old, new))
    return [n for n in first if n in second] != [n for n in second if n in first]


def _normal(data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return canonical_data(IngestionSpec.model_validate(data))
    except ValidationError:  # recorded by a release with other rules: compared as it stands
        return {key: _canonical(value, key) for key, value in data.items()}


def _canonical(data: Any, path: str) -> Any:
    if isinstance(data, Mapping):
        return {key: _canonical(value, f"{path}.{key}".lstrip(".")) for key, value in data.items()}
    if path == "source.path" and isinstance(data, str):
        return canonical_path(data)
    if path in _SETS and isinstance(data, list | tuple):
        return sorted(set(data))
    return data


def _fingerprint(spec: IngestionSpec, *, metadata: bool) -> str:
    entries = _entries(canonical_data(spec), "", "")
    leaves = [e for e in entries if not e.group or not e.value or e.row == "schema.columns"]
    picked = [e for e in leaves if (e.effect is Effect.METADATA) is metadata]
    order = [(e.path, [c["name"] for c in e.value] if e.group and e.value else e.value) for e in picked]
    return _hash(sorted(order, key=lambda pair: pair[0]))


def _hash(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
