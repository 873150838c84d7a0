"""Avro schemas as Arrow schemas."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from autoloader.errors import ReadError


def arrow_schema(writer: Any) -> pa.Schema:
    """The Arrow schema of the records of an Avro file.

    Raises:
        ReadError: The top level is no record, a type refers to itself, or a union has several types.
    """
    if not isinstance(writer, dict) or writer.get("type") != "record":
        raise ReadError("The Avro file does not hold records.", fix="Only files of records can be loaded.")
    return pa.schema(list(_record(writer, {}, ())))


def _record(node: dict[str, Any], named: dict[str, Any], inside: tuple[str, ...]) -> pa.StructType:
    fields = [pa.field(f["name"], _kind(f["type"], named, inside)) for f in node["fields"]]
    return pa.struct(fields)


def _kind(node: Any, named: dict[str, Any], inside: tuple[str, ...]) -> pa.DataType:
    if isinstance(node, list):
        options = [n for n in node if n != "null"]
        if len(options) > 1:
            raise ReadError(
                "An Avro field may be of several types.",
                why=f"Its union is {options!r:.200}.",
                fix="Only unions of one type and null can be loaded.",
            )
        return _kind(options[0], named, inside) if options else pa.null()
    if isinstance(node, str):
        return _named(node, named, inside)
    return _complex(node, named, inside)


def _named(word: str, named: dict[str, Any], inside: tuple[str, ...]) -> pa.DataType:
    plain = {
        "null": pa.null(),
        "boolean": pa.bool_(),
        "int": pa.int32(),
        "long": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "bytes": pa.binary(),
        "string": pa.string(),
    }
    if word in plain:
        return plain[word]
    if word in inside:
        raise ReadError(f"The Avro type {word!r} refers to itself.", fix="Recursive types cannot be loaded.")
    return _complex(named[word], named, inside)


def _complex(node: dict[str, Any], named: dict[str, Any], inside: tuple[str, ...]) -> pa.DataType:
    kind = node["type"]
    full = node.get("name", "")
    if full:
        named[full] = node
    logical = _logical(node)
    if logical is not None:
        return logical
    match kind:
        case "record":
            return _record(node, named, (*inside, full))
        case "array":
            return pa.list_(_kind(node["items"], named, inside))
        case "map":
            return pa.map_(pa.string(), _kind(node["values"], named, inside))
        case "enum":
            return pa.string()
        case "fixed":
            return pa.binary(node["size"])
        case _:
            return _kind(kind, named, inside)


def _logical(node: dict[str, Any]) -> pa.DataType | None:
    match node.get("logicalType"):
        case "decimal":
            return pa.decimal128(node["precision"], node.get("scale", 0))
        case "date":
            return pa.date32()
        case "time-millis" | "time-micros":
            return pa.time64("us")
        case "timestamp-millis" | "timestamp-micros":
            return pa.timestamp("us", "UTC")
        case "local-timestamp-millis" | "local-timestamp-micros":
            return pa.timestamp("us")
        case "uuid":
            return pa.string()
        case _:
            return None
