"""Plans, loads and queries the sample in `.demo/`, a project folder that is made anew each time.

    python docs/demo.py          the sample's files on disk
    python docs/demo.py --s3     the same files in a bucket of a local S3 server

Every step is a command that you can type yourself; it is shown before its output.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SCRATCH: Final = ROOT / ".demo"
BUCKET: Final = "demo"

sys.path.insert(0, str(ROOT))

QUERY: Final = """
SELECT a.name AS airline, count(*) AS flights, round(avg(f.dep_delay), 1) AS avg_delay_min,
       round(100.0 * count(*) FILTER (f.dep_time IS NULL) / count(*), 1) AS cancelled_percent
FROM flights f JOIN airlines a USING (carrier)
GROUP BY ALL ORDER BY flights DESC LIMIT 8
"""


def main(arguments: list[str]) -> int:
    """Plays the demo; returns the exit code of the first step that fails, else 0."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    shutil.copytree(ROOT / "ingestions", SCRATCH / "ingestions")
    started = time.monotonic()
    with storage(on_s3="--s3" in arguments) as options:
        code = load(options)
    if code == 0:
        query()
        print(f"\nThe demo took {time.monotonic() - started:.0f} s. Its project folder is .demo/; {engine()}")
    return code


def load(options: list[str]) -> int:
    """Plan, apply, and the plan that finds nothing left to do."""
    for words in (["plan"], ["apply", "-y"], ["plan"], ["runs"]):
        code = autoloader(*words, *(options if words != ["runs"] else []))
        if code != 0:
            return code
    return 0


def autoloader(*words: str) -> int:
    """Shows one command, then runs it in the scratch folder."""
    print("\n$ python plan_apply.py " + " ".join(words), flush=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, str(ROOT / "plan_apply.py")]
    return subprocess.run([*program, *words], cwd=SCRATCH, env=environment, check=False).returncode


@contextmanager
def storage(*, on_s3: bool) -> Iterator[list[str]]:
    """Yields the options that say where the files are; a bucket lives as long as the context."""
    if not on_s3:
        yield []
        return
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(keys, AWS_ENDPOINT_URL=f"http://{host}:{port}")
    os.environ.pop("AWS_PROFILE", None)
    bucket = boto3.resource("s3").create_bucket(Bucket=BUCKET)
    sample = SCRATCH / "ingestions" / "sample"
    for path in sorted(path for path in sample.rglob("*") if path.is_file()):
        bucket.upload_file(str(path), f"sample/{path.relative_to(sample).as_posix()}")
    shutil.rmtree(sample)  # so that nothing but the bucket can be read
    yield ["--var", f"root=s3://{BUCKET}/sample/"]
    server.stop()


def query() -> None:
    """Reads the tables with PyIceberg and DuckDB, without any of our code."""
    import duckdb
    from pyiceberg.catalog import load_catalog

    state = SCRATCH / ".autoloader"
    catalog = load_catalog(
        "lake", type="sql", uri=f"sqlite:///{state}/catalog.db", warehouse=f"file://{state}/warehouse"
    )
    with duckdb.connect() as connection:
        for name in ("flights", "airlines"):
            connection.register(name, catalog.load_table(f"nyc.{name}").scan().to_arrow())
        print(QUERY.rstrip(), flush=True)
        print(connection.sql(QUERY))


def engine() -> str:
    """One sentence: which engine `auto` took on this machine, and why."""
    from autoloader.engine.java import find_java, why_none

    java = find_java()
    if java is None:
        return f"Sail loaded the files. {why_none()}"
    return f"local Spark loaded the files, on Java {java.version}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
