"""TPC-H's lineitem as CSV files, written by `tpchgen-cli`: what the benches load.

    python -m tests.tpch FOLDER [SCALE [PARTS]]     scale factor 1 is 6,001,215 rows and 748 MB

The generator's output depends on its arguments alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROWS_SF1: Final = 6_001_215

COLUMNS: Final = {
    "l_orderkey": "long",
    "l_partkey": "long",
    "l_suppkey": "long",
    "l_linenumber": "int",
    "l_quantity": "decimal(15,2)",
    "l_extendedprice": "decimal(15,2)",
    "l_discount": "decimal(15,2)",
    "l_tax": "decimal(15,2)",
    "l_returnflag": "string",
    "l_linestatus": "string",
    "l_shipdate": "date",
    "l_commitdate": "date",
    "l_receiptdate": "date",
    "l_shipinstruct": "string",
    "l_shipmode": "string",
    "l_comment": "string",
}
"""The columns in file order, with the types that a spec declares."""


def write_lineitem(folder: Path, scale: float = 1.0, parts: int = 8) -> tuple[Path, ...]:
    """Writes lineitem as comma-separated files with a header, or finds them written already.

    Args:
        folder: Where the files go, in a folder `lineitem` of their own.
        scale: TPC-H's scale factor.
        parts: How many files.

    Returns:
        The files, in order of their rows.
    """
    paths = tuple(folder / "lineitem" / f"lineitem.{part}.csv" for part in range(1, parts + 1))
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        command = [_program(), "csv", "--scale-factor", str(scale), "--tables", "lineitem"]
        command += ["--parts", str(parts), "--output-dir", str(folder), "--overwrite"]
        subprocess.run(command, check=True, capture_output=True)
    return paths


def _program() -> str:
    beside = Path(sys.executable).parent / "tpchgen-cli"
    found = str(beside) if beside.exists() else shutil.which("tpchgen-cli")
    if found is None:
        raise FileNotFoundError("tpchgen-cli is not installed: pip install -e '.[dev]'")
    return found


def main(folder: str, scale: str = "1", parts: str = "8") -> None:
    """Writes the files below a folder."""
    write_lineitem(Path(folder), float(scale), int(parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
