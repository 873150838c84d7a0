"""What the import linter cannot see: pure rooms may compute with Arrow and DuckDB, and open no file."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONTRACTS = {contract["id"]: contract for contract in SETTINGS["tool"]["importlinter"]["contracts"]}
ROOMS = sorted(name.removeprefix("autoloader.") for name in CONTRACTS["pure"]["source_modules"])
FILE_MODULES = {f"pyarrow.{name}" for name in "csv dataset feather fs json orc parquet".split()}
CLOCK = {"now", "today", "utcnow"}
FILE_SQL = ("read_csv", "read_json", "read_parquet", "read_text", "read_blob", "glob(")


def modules_of(room: str) -> Iterator[Path]:
    """The room's files: one, or a folder of them."""
    single = ROOT / "autoloader" / f"{room}.py"
    return iter([single]) if single.exists() else (ROOT / "autoloader" / room).rglob("*.py")


def io_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (f"import {alias.name}" for alias in names if alias.name in FILE_MODULES)
            case ast.ImportFrom(module="pyarrow", names=names):
                yield from (f"import {a.name}" for a in names if f"pyarrow.{a.name}" in FILE_MODULES)
            case ast.ImportFrom(module=str(module)) if module in FILE_MODULES:
                yield f"from {module}"
            case ast.Call(func=ast.Name(id="open")):
                yield f"open() in line {node.lineno}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCK:
                yield f".{name}() in line {node.lineno}"
            case ast.Constant(value=str(text)) if any(word in text.lower() for word in FILE_SQL):
                yield f"{text[:60]!r} in line {node.lineno}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_pure_room_opens_no_file_and_asks_no_clock(room: str) -> None:
    found = {str(path): list(io_in(path.read_text("utf-8"))) for path in modules_of(room)}
    assert {path: names for path, names in found.items() if names} == {}


def test_every_room_stands_in_the_layers_and_in_the_picture() -> None:
    layers = [[room.strip() for room in layer.split("|")] for layer in CONTRACTS["layers"]["layers"]]
    package = ROOT / "autoloader"
    rooms = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert rooms - {"__init__"} == {room for layer in layers for room in layer}
    picture = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for layer in layers:
        assert "    " + " | ".join(layer) + "\n" in picture


@pytest.mark.parametrize("contract", ["storage", "spark", "database", "templates", "iceberg"])
def test_a_library_is_forbidden_everywhere_but_behind_its_door(contract: str) -> None:
    doors = {
        "storage": {"sources"},
        "spark": {"engine"},
        "database": {"ledger"},
        "templates": {"render", "specfiles"},
        "iceberg": {"lake", "loader"},
    }
    rooms = {room.strip() for layer in CONTRACTS["layers"]["layers"] for room in layer.split("|")}
    forbidden = {name.removeprefix("autoloader.") for name in CONTRACTS[contract]["source_modules"]}
    assert rooms - forbidden == doors[contract]
