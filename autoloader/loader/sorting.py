"""The order of rows within a data file, as the table's sort order says."""

from __future__ import annotations

import json

from autoloader.loader.columns import TableColumn, quote


def sorting(order_json: str, columns: tuple[TableColumn, ...]) -> tuple[int | None, str]:
    """The id of a sort order, and its ORDER BY with a space in front.

    Null and nothing for an unsorted table, and where another tool sorts it in a way that is not ours to follow: by
    a transform or a part of a column.
    """
    order = json.loads(order_json)
    names = {column.field_id: column.name for column in columns if isinstance(column.iceberg_type, str)}
    fields = order["fields"]
    if not fields or any(f["transform"] != "identity" or f["source-id"] not in names for f in fields):
        return None, ""
    terms = (
        f"{quote(names[f['source-id']])} {f['direction'].upper()} {f['null-order'].replace('-', ' ').upper()}"
        for f in fields
    )
    return order["order-id"], f" ORDER BY {', '.join(terms)}"
