"""What preview shows is what apply loads, row for row, on hard inputs of every kind and format (CASES 28-45, 66)."""

from __future__ import annotations

import bz2
import gzip
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader.project import Project
from tests.playing import LocalStore, Player

CSV: dict[str, bytes | str] = {
    "cut.csv.gz": gzip.compress(b"id,v,s\n" + b"1,2,x\n" * 500)[:-30],
    "packed.csv": gzip.compress(b"id,v,s\n1,1.5,gz\n"),
    "plain.csv.gz": "id,v,s\n2,2.5,plain\n",
    "twice.csv.gz": gzip.compress(b"id,v,s\n3,1,a\n") + gzip.compress(b"4,2,b\n"),
    "order.csv.bz2": bz2.compress(b"s,id,v\nturned,5,0.5\n"),
    "more.csv": "id,v,s,extra\n6,1,m,new\n7,2,n,\n",
    "fewer.csv": "id\n8\n",
    "ragged.csv": "id,v,s\n9,1,x\n10,1\n11,1,x,y\n" + "12,1,z\n" * 9,
    "double.csv": "id,id,s\n1,2,x\n",
    "bom.csv": b"\xef\xbb\xbfid,v,s\n13,1,bom\n",
    "latin.csv": b"id,v,s\n14,1,caf\xe9\n",
    "quoted.csv": 'id,v,s\n15,1,"a\nb ""c"""',
    "open.csv": 'id,v,s\n16,1,"never closed\n',
    "odd.csv": 'id,v,s\n007,NaN,NULL\n017,1e400,""\n18,,\n' + "19,1,y\n" * 9,
    "case.csv": "ID,V,S\n20,1,upper\n",
    "ours.csv": "id,v,s,_src_row,a b.c\n21,1,o,77,dotted\n",
    "month=02/day=x/p.csv": "id,v,s\n22,1,folder\n",
    "month=03/day=4/p.csv": "id,v,s,month\n23,1,agrees,03\n24,1,differs,05\n" + "25,1,agrees,03\n" * 9,
    "limit.csv": "id,v,s\n" + "x,1,bad\n" * 2 + "26,1,good\n" * 8,
    "over.csv": "id,v,s\n" + "x,1,bad\n" * 3 + "27,1,good\n" * 7,
    "header.csv": "id,v,s\n",
    "empty.csv": "",
    "wrong.csv": b"PAR1" + bytes(range(256)) + b"PAR1",
}
JSON: dict[str, bytes | str] = {
    "cut.json": '{"id":1,"v":1}\n{"id":2,"v"',
    "lines.json": '{"id":1,"v":1.5,"s":"x"}\n\n{"id":2}\n',
    "array.json": '[{"id":3,"s":"a"},{"id":4}]',
    "scalar.json": '{"id":5}\n7\n"x"\n' + '{"id":6}\n' * 20,
    "kinds.json": '{"id":7,"s":1.50}\n{"id":"8","s":{"a":1.50}}\n{"id":"nine"}\n' + '{"id":10,"s":null}\n' * 20,
    "big.json": '{"id":11,"n":12345678901234567890123.50}\n{"id":12,"n":1}\n',
    "deep.json": '{"id":13,"who":{"name":"x","age":7},"l":[{"k":1},{"k":2,"n":3}]}\n{"id":14,"who":null,"l":[]}\n',
    "deeper.json": '{"id":15,"who":{"name":"y","town":{"zip":"01"}}}\n',
    "twice.json": '{"id":16,"ID":17}\n' + '{"id":18}\n' * 20,
    "case.json": '{"ID":19,"S":"upper"}\n',
    "names.json": '{"id":20,"a b.c":1,"select":2,"_batch_id":"mine"}\n',
    "packed.json": gzip.compress(b'{"id":21}\n'),
    "latin.json": b'{"id":22,"s":"caf\xe9"}\n',
    "wrong.json": "id,v\n1,2\n",
}


def parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def int96(at: datetime) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": [40], "at": [at]}), out, use_deprecated_int96_timestamps=True)
    return out.getvalue()


AT = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
PARQUET: dict[str, bytes | str] = {
    "a.parquet": parquet(id=pa.array([1, 2], pa.int32()), d=pa.array([Decimal("1.25"), None], pa.decimal128(9, 2))),
    "long.parquet": parquet(id=pa.array([3, 2**40], pa.int64())),
    "double.parquet": parquet(id=pa.array([4.0] * 20 + [4.5], pa.float64())),
    "scale.parquet": parquet(id=[5], d=pa.array([Decimal("1.255")], pa.decimal128(9, 3))),
    "text.parquet": parquet(id=["6"] * 20 + ["six"], d=["1.50"] * 21),
    "order.parquet": parquet(d=pa.array([Decimal("2.50")], pa.decimal128(5, 2)), id=[7], extra=["new"]),
    "case.parquet": parquet(ID=[8]),
    "both.parquet": parquet(id=[9], ID=[10]),
    "names.parquet": parquet(**{"id": [11], "a b.c": [1], "_rescued": ["mine"]}),
    "int96.parquet": int96(AT.replace(tzinfo=None)),
    "ns.parquet": parquet(id=[12, 13], at=pa.array([AT.replace(tzinfo=None), None], pa.timestamp("ns"))),
    "ms.parquet": parquet(id=[14], at=pa.array([AT.replace(microsecond=0)], pa.timestamp("ms", "America/New_York"))),
    "nested.parquet": parquet(id=[15], who=[{"name": "x", "age": 7}], l=[[{"k": 1}, {"k": None}]]),
    "cut.parquet": parquet(id=list(range(1000)))[:-40],
    "empty.parquet": b"",
    "none.parquet": parquet(id=pa.array([], pa.int32())),
    "wrong.parquet": "id,v\n1,2\n",
}


def avro(fields: list[dict[str, Any]], rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": fields})
    fastavro.writer(out, schema, rows)
    return out.getvalue()


_ID = {"name": "id", "type": "int"}
AVRO: dict[str, bytes | str] = {
    "a.avro": avro([_ID, {"name": "s", "type": ["null", "string"]}], [{"id": 1, "s": "x"}, {"id": 2, "s": None}]),
    "long.avro": avro([{"name": "ID", "type": "long"}], [{"ID": 3}] * 20 + [{"ID": 2**40}]),
    "union.avro": avro([_ID, {"name": "s", "type": ["int", "string"]}], [{"id": 4, "s": 7}, {"id": 5, "s": "x"}]),
    "more.avro": avro([{"name": "day", "type": {"type": "int", "logicalType": "date"}}, _ID], [{"day": 9, "id": 6}]),
    "bad.avro": avro(
        [_ID, {"name": "s", "type": "string"}, {"name": "n", "type": "bytes"}], [{"id": 8, "s": "x", "n": b"1"}]
    ),
    "text.avro": avro([{"name": "id", "type": "string"}], [{"id": "9"}] * 20 + [{"id": "nine"}]),
    "cut.avro": avro([_ID], [{"id": 7}] * 1000)[:-20],
    "wrong.avro": "id\n1\n",
}
COLUMNS = {
    "csv": "{name: id, type: int}, {name: v, type: double}, {name: s, type: string}",
    "json": "{name: id, type: int}, {name: s, type: string}, {name: who, type: 'struct<name: string>'},"
    " {name: l, type: 'list<struct<k: int>>'}",
    "parquet": "{name: id, type: int}, {name: d, type: 'decimal(9,2)'}, {name: at, type: timestamp}",
    "avro": "{name: id, type: int}, {name: s, type: string}",
}
ZOO = {"csv": CSV, "json": JSON, "parquet": PARQUET, "avro": AVRO}
SPEC = """
    name: zoo
    source:
      path: "{root}"
      format: {form}
      include: ["**"]
      partitions: {partitions}
    destination: {{table: zoo.animals}}
    schema: {{columns: [{columns}], new_columns: {new_columns}, on_bad_row: {on_bad_row}, max_bad_rows: 25%}}
"""


def plain(value: Any) -> Any:
    """A value that sorts and compares by what it says; NaN is itself, and zones count by their instant.

    An empty list counts as none: PyIceberg 0.12 reads a null list of structs as an empty one
    (`ArrowProjectionVisitor.list` makes it anew from its offsets, which know no nulls); the data files have null.
    """
    match value:
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
        case date() | Decimal() | float():
            return str(value)
        case dict():
            return {key: plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value] or None
        case _:
            return value


def texts(table: pa.Table) -> list[str]:
    return sorted(json.dumps(plain(row), sort_keys=True, default=repr) for row in table.to_pylist())


@pytest.mark.slow
@pytest.mark.parametrize("form", ZOO)
@pytest.mark.parametrize(("new_columns", "on_bad_row"), [("add", "quarantine"), ("rescue", "rescue")])
def test_preview_shows_the_rows_that_apply_loads(
    form: str, new_columns: str, on_bad_row: str, player: Player, local_store: LocalStore
) -> None:
    for name, content in ZOO[form].items():
        local_store.put(name, content)
    partitions = "{month: string, day: int}" if form == "csv" else "{}"
    player.spec(
        SPEC.format(
            root=local_store.root, form=form, columns=COLUMNS[form], new_columns=new_columns, on_bad_row=on_bad_row,
            partitions=partitions,
        )
    )  # fmt: skip
    shown = Project("ingestions").preview("zoo", files=100, rows=100_000).found
    player.apply()
    table = player.table("zoo.animals")
    assert shown.rows.num_rows == shown.total_rows == table.num_rows > 0
    names = [column.name for column in shown.contract.schema.columns]
    assert set(names) == {name for name in table.column_names if not name.startswith("_")}
    assert texts(shown.rows.select([*names, "_rescued"])) == texts(table.select([*names, "_rescued"]))
    files = {row["file_path"]: row for row in player.run("files", "zoo", "--format", "json").json["files"]}
    told = {row["file_path"]: row for row in shown.files}
    assert {path for path, row in files.items() if row["state"] != "SUCCESS"} == {
        path for path, row in told.items() if row["error"] is not None
    }
    assert {path: row["rows"] for path, row in files.items() if row["state"] == "SUCCESS"} == {
        path: row["rows"] for path, row in told.items() if row["error"] is None
    }
    if on_bad_row == "quarantine":
        # not the sentence: it names the type, which has grown when preview reads a file a second time
        columns = ["file_path", "row", "column", "raw"]
        kept = player.table("zoo.animals__quarantine")
        assert texts(shown.rejected.select(columns)) == texts(kept.select(columns))
    assert player.run("verify", "zoo").code == 0
