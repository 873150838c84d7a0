"""The JSON Schema of spec documents, for editors and other validators (draft 2020-12).

Made from the models themselves, so that a key cannot be missing here. What compares two values of a
document, or two documents, is `load`'s alone where JSON Schema has no words for it.
"""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints
from zoneinfo import available_timezones

from pydantic import WithJsonSchema
from pydantic.fields import FieldInfo

from autoloader import schema
from autoloader.spec import KEYS, NOT_AVAILABLE_YET, IngestionSpec, Model, Settings
from autoloader.spec.model import any_case

_TEMPLATE: Final = {"type": "string", "pattern": r"\{\{|\{%"}
_WORDS: Final = "|".join(any_case(word) for word in sorted(schema.PRIMITIVES))
_NUMBER: Final = r"\s*(?:[12]?[0-9]|3[0-8])\s*"
_SIMPLE: Final = rf"(?:{_WORDS})|{any_case('decimal')}\s*\({_NUMBER},{_NUMBER}\)"
_NESTED: Final = rf"(?:{'|'.join(any_case(word) for word in ('list', 'map', 'struct'))})\s*<.+>"


def _has(*keys: str) -> dict[str, Any]:
    """The condition that keys are there and not null."""
    filled = {key: {"not": {"type": "null"}} for key in keys}
    return {"required": list(keys), "properties": filled}


_DAYS: Final = {"properties": {"every": {"not": {"pattern": "min|hour|[0-9] ?h$"}}}}
_BY_PATH: Final = {"anyOf": [{"not": {"required": ["by"]}}, {"properties": {"by": {"enum": ["path", None]}}}]}
_TOGETHER: Final[dict[str, list[dict[str, Any]]]] = {
    "Backfill": [
        {"not": _has("until", "through")},
        {"if": _has("step"), "then": {"allOf": [_has("from"), {"anyOf": [_has("until"), _has("through")]}]}},
        {"if": _has("every"), "then": _has("step")},
    ],
    "Schedule": [
        {"anyOf": [_has("cron"), _has("every")]},
        {"not": _has("cron", "every")},
        {"if": _has("at"), "then": {"allOf": [_has("every"), _DAYS]}},
    ],
    "IngestionSpec": [
        {
            "if": {**_has("backfill"), "properties": {"backfill": {"type": "object", **_BY_PATH}}},
            "then": {"properties": {"source": _has("path_date")}},
        }
    ],
}
"""What must hold between the keys of a mapping."""


def json_schema() -> dict[str, Any]:
    """The schema of one YAML document: an ingestion, or the settings (also of an overlay).

    Returns:
        JSON-able data. Templates are allowed wherever a scalar stands, empty values for optional keys.
    """
    definitions: dict[str, Any] = {
        "TimeZone": {"enum": sorted(available_timezones() - {"localtime", "Factory"})},
        "ColumnType": {"type": "string", "pattern": rf"^\s*(?:{_SIMPLE}|{_NESTED})\s*$"},
        "SimpleType": {"type": "string", "pattern": rf"^\s*(?:{_SIMPLE})\s*$"},
    }
    ingestion = _model(IngestionSpec, "", definitions)
    settings = _model(Settings, None, definitions)
    asked = [{"required": [key]} for key in ("name", "source", "destination")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "autoloader spec",
        "description": "One YAML document of the folder of specs.",
        "type": "object",
        "if": {"anyOf": asked},
        "then": ingestion,
        "else": settings,
        "$defs": definitions,
    }


def _model(model: type[Model], path: str | None, definitions: dict[str, Any]) -> dict[str, Any]:
    """A reference to a model's schema. `path` is its place in an ingestion, None in settings."""
    name = model.__name__
    if name not in definitions:
        definitions[name] = {}  # holds the place, should a model ever hold itself
        hints = get_type_hints(model, include_extras=True)
        properties: dict[str, Any] = {}
        required = []
        for attribute, info in model.model_fields.items():
            key = info.alias or attribute
            at = None if path is None else f"{path}.{key}".lstrip(".")
            if at in NOT_AVAILABLE_YET:
                continue
            properties[key] = _property(hints[attribute], info, at, definitions)
            required += [key] if info.is_required() else []
        definitions[name] = {
            "type": "object",
            "description": (model.__doc__ or "").partition("\n")[0],
            "properties": properties,
            "additionalProperties": False,
        }
        definitions[name] |= {"required": required} if required else {}
        definitions[name] |= {"allOf": _TOGETHER[name]} if name in _TOGETHER else {}
    return {"$ref": f"#/$defs/{name}"}


def _property(hint: Any, info: FieldInfo, path: str | None, definitions: dict[str, Any]) -> dict[str, Any]:
    said = _annotation(hint, path, definitions)
    for limit in info.metadata:
        _add_lengths(said, limit)
    if not info.is_required() and said:
        said = _any_of(said, {"type": "null"})
    words = {key.path: key.says for key in KEYS}.get(path or "")
    return {**said, "description": words} if words else said


def _annotation(hint: Any, path: str | None, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        own = next((part.json_schema for part in arguments if isinstance(part, WithJsonSchema)), None)
        said = _or_template(own) if own is not None else _annotation(arguments[0], path, definitions)
        for limit in arguments[1:]:
            _add_lengths(said, limit)
        return said
    if origin is Literal:
        return _or_template({"enum": [a for a in arguments if f"{path}={a}" not in NOT_AVAILABLE_YET]})
    if origin is tuple:
        below = None if path is None else f"{path}.*"
        return {"type": "array", "items": _annotation(arguments[0], below, definitions)}
    if origin is dict:
        return {
            "type": "object",
            "propertyNames": _annotation(arguments[0], None, definitions),
            "additionalProperties": _annotation(arguments[1], None, definitions),
        }
    if isinstance(hint, type) and issubclass(hint, Model):
        if "deny" not in hint.model_fields:
            return _model(hint, path, definitions)
        bare = get_type_hints(hint, include_extras=True)["deny"]  # a threshold's bare value denies
        return _any_of(_model(hint, path, definitions), _annotation(bare, None, definitions))
    if arguments:  # X | None
        return next(_annotation(part, path, definitions) for part in arguments if part is not NoneType)
    return _or_template({"type": "string"}) if hint is str else {}


def _or_template(said: dict[str, Any]) -> dict[str, Any]:
    return _any_of(dict(said), dict(_TEMPLATE))


def _any_of(*parts: dict[str, Any]) -> dict[str, Any]:
    nested = ((part["anyOf"] if part.keys() == {"anyOf"} else [part]) for part in parts)
    return {"anyOf": [one for group in nested for one in group]}


def _add_lengths(said: dict[str, Any], limit: Any) -> None:
    """Put the bounds that pydantic's `Field` carries on the part that is not the template."""
    target = said["anyOf"][0] if "anyOf" in said else said
    many = target.get("type") == "array"
    for part in (limit, *getattr(limit, "metadata", ())):
        for name, text, items in (("min_length", "minLength", "minItems"), ("max_length", "maxLength", "maxItems")):
            value = getattr(part, name, None)
            if isinstance(value, int):
                target[items if many else text] = value
