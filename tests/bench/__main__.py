"""`python -m tests.bench [NAME …]`: runs the benches and writes docs/benchmarks.md.

A name is what follows `bench_` in a file's name; none = all. With names, nothing is written unless
`--write` is given. Exit code 1 if a promise is not kept.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.measure import DATA, ROOT, Measured
from tests.bench.report import as_markdown, as_text

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """All benches that there are."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*names(), []], help="which benches; none = all")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md though not all ran")
    chosen = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    os.environ["PYTHONPATH"] = str(ROOT)
    results: dict[str, list[Measured]] = {}
    for name in chosen.names or names():
        print(f"{name}:", flush=True)
        begun = time.perf_counter()
        bench: Any = importlib.import_module(f"tests.bench.bench_{name}")
        results[name] = bench.run(chosen.repetitions)
        for measured in results[name]:
            print(f"  {as_text(measured)}")
        print(f"  ({time.perf_counter() - begun:.0f} s)", flush=True)
    if chosen.write or not chosen.names:
        (ROOT / "docs" / "benchmarks.md").write_text(as_markdown(results, chosen.repetitions))
    return 1 if any(m.kept is False for measured in results.values() for m in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
