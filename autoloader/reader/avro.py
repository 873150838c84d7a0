"""Avro schemas as Arrow schemas, and Avro's values as Arrow wants them.

A field that has no single type (a union of several, a type that refers to itself, a record without fields)
becomes text: of texts themselves, of numbers their digits, of records and arrays their JSON.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from autoloader.errors import ReadError

_PLAIN: Final = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
_TIMES: Final = {
    "date": pa.date32(),
    "time-millis": pa.time32("ms"),
    "time-micros": pa.time64("us"),
    **{
        f"timestamp-{word}": pa.timestamp(unit, "UTC")
        for word, unit in (("millis", "ms"), ("micros", "us"), ("nanos", "ns"))
    },
    **{
        f"local-timestamp-{word}": pa.timestamp(unit)
        for word, unit in (("millis", "ms"), ("micros", "us"), ("nanos", "ns"))
    },
}
Convert = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class Form:
    """One Avro type: the Arrow type of its values, and what must be done to them first; None = nothing."""

    type: pa.DataType
    convert: Convert = None


def record_form(writer: Any) -> Form:
    """The form of the records of an Avro file; its type is a struct.

    Raises:
        ReadError: The top level is no record.
    """
    if not isinstance(writer, dict) or writer.get("type") != "record":
        raise ReadError("The Avro file does not hold records.", fix="Only files of records can be loaded.")
    if not writer["fields"]:
        raise ReadError("The records of the Avro file have no fields.", fix="Narrow source.include.")
    return _form(writer, {}, ())


def _form(node: Any, named: dict[str, Any], inside: tuple[str, ...]) -> Form:
    if isinstance(node, list):
        return _union([n for n in node if n != "null"], named, inside)
    if isinstance(node, str):
        if node in _PLAIN:
            return Form(_PLAIN[node])
        full = node if node in named else next((n for n in named if n.rpartition(".")[2] == node), node)
        if full in inside or full not in named:
            return Form(pa.string(), text_of)
        node = named[full]
    return _complex(node, named, inside)


def _union(options: list[Any], named: dict[str, Any], inside: tuple[str, ...]) -> Form:
    if not options:
        return Form(pa.null())
    if len(options) == 1:
        return _form(options[0], named, inside)
    words = {o if isinstance(o, str) else "" for o in options}
    if words == {"int", "long"}:
        return Form(pa.int64())
    if words == {"float", "double"}:
        return Form(pa.float64())
    for option in options:
        _form(option, named, inside)  # types are named where they first stand
    return Form(pa.string(), text_of)


def _complex(node: dict[str, Any], named: dict[str, Any], inside: tuple[str, ...]) -> Form:
    kind = node["type"]
    full = _full_name(node, inside)
    if full:
        named[full] = node
    logical = _logical(node)
    if logical is not None:
        return logical
    match kind:
        case "record" | "error":
            return _record(node, named, (*inside, full))
        case "array":
            item = _form(node["items"], named, inside)
            return Form(pa.list_(item.type), _each(item.convert))
        case "map":
            value = _form(node["values"], named, inside)
            return Form(pa.map_(pa.string(), value.type), _entries(value.convert))
        case "enum":
            return Form(pa.string())
        case "fixed":
            return Form(pa.binary(node["size"]))
        case _:
            return _form(kind, named, inside)


def _full_name(node: dict[str, Any], inside: tuple[str, ...]) -> str:
    name = str(node.get("name", ""))
    space = node.get("namespace") or (inside[-1].rpartition(".")[0] if inside else "")
    return f"{space}.{name}" if name and space and "." not in name else name


def _record(node: dict[str, Any], named: dict[str, Any], inside: tuple[str, ...]) -> Form:
    forms = {f["name"]: _form(f["type"], named, inside) for f in node["fields"]}
    if not forms:
        return Form(pa.string(), text_of)
    changed = {name: form.convert for name, form in forms.items() if form.convert is not None}
    kind = pa.struct([pa.field(name, form.type) for name, form in forms.items()])

    def convert(record: Any) -> Any:
        return record | {name: change(record[name]) for name, change in changed.items() if record[name] is not None}

    return Form(kind, (lambda r: None if r is None else convert(r)) if changed else None)


def _each(change: Convert) -> Convert:
    if change is None:
        return None
    return lambda items: None if items is None else [None if i is None else change(i) for i in items]


def _entries(change: Convert) -> Convert:
    if change is None:
        return lambda entries: None if entries is None else list(entries.items())
    return lambda entries: (
        None if entries is None else [(k, None if v is None else change(v)) for k, v in entries.items()]
    )


def _logical(node: dict[str, Any]) -> Form | None:
    match node.get("logicalType"):
        case "decimal" if node["precision"] > 38:
            return Form(pa.string(), lambda value: format(value, "f"))
        case "decimal":
            return Form(pa.decimal128(node["precision"], node.get("scale", 0)))
        case "uuid":
            return Form(pa.string(), str)
        case str(word) if word in _TIMES:
            return Form(_TIMES[word])
        case _:
            return None


def text_of(value: Any) -> str | None:
    """A value of no single type as text."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case bytes():
            return _bytes_text(value)
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=text_of)
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _bytes_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()
