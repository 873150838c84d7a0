"""`gs://` and `az://` from plan to table, against servers that speak their protocols.

Google's XML interface, which obstore uses, is S3's but for the signature: moto serves it. Azure's is served by
Azurite, a program of npm's: `npm install --prefix .venvs/azurite azurite@3.35.0`, or
`azurite-blob` on the PATH.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import obstore
import pytest
from obstore.store import AzureStore

from tests.playing import ROOT, Player, S3Store, Store, work

AZURITE = shutil.which("azurite-blob", path=f"{ROOT}/.venvs/azurite/node_modules/.bin") or shutil.which("azurite-blob")
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of every Azurite; its documentation gives them."""


@dataclass(frozen=True)
class Cloud:
    """A bucket or container: its settings for a project, its root, and a store that puts files into it."""

    scheme: str
    settings: str
    root: str
    store: Store


class PublicObjects(S3Store):
    """Objects that may be read without a signature."""

    def put(self, key: str, data: bytes | str) -> None:
        super().put(key, data)
        self._client.put_object_acl(Bucket=self._bucket, Key=self._prefix + key, ACL="public-read")


class AzureBlobs:
    """Blobs below a prefix of a container."""

    def __init__(self, endpoint: str, container: str) -> None:
        self._store = AzureStore(
            container, account_name=ACCOUNT, account_key=KEY, endpoint=endpoint, client_options={"allow_http": True}
        )
        self.root = f"az://{container}/in/"

    def put(self, key: str, data: bytes | str) -> None:
        obstore.put(self._store, f"in/{key}", data.encode() if isinstance(data, str) else data)

    def delete(self, key: str) -> None:
        obstore.delete(self._store, f"in/{key}")


def create_container(endpoint: str, name: str) -> None:
    moment, version = formatdate(usegmt=True), "2021-12-02"
    headers = f"x-ms-date:{moment}\nx-ms-version:{version}\n"
    text = f"PUT{chr(10) * 12}{headers}/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()
    request = urllib.request.Request(f"{endpoint}/{name}?restype=container", method="PUT")
    for header, value in (
        ("x-ms-date", moment),
        ("x-ms-version", version),
        ("Authorization", f"SharedKey {ACCOUNT}:{signature}"),
    ):
        request.add_header(header, value)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201


@pytest.fixture
def azurite(tmp_path: Path) -> Iterator[str]:
    if AZURITE is None:
        pytest.skip("Azurite is not there, so az:// is not tested: npm install --prefix .venvs/azurite azurite@3.35.0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    words = [AZURITE, "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    server = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert server.poll() is None
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/{ACCOUNT}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(params=["gs", "az"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    if request.param == "gs":
        endpoint, client = request.getfixturevalue("moto_server"), request.getfixturevalue("s3_client")
        bucket = f"bucket{uuid.uuid4().hex[:12]}"  # no hyphen: obstore escapes it, and moto takes it literally
        client.create_bucket(Bucket=bucket)
        settings = f"{{endpoint: '{endpoint}', anonymous: true}}"
        return Cloud("gs", settings, f"gs://{bucket}/in/", PublicObjects(client, bucket))
    endpoint, container = request.getfixturevalue("azurite"), f"landing-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    create_container(endpoint, container)
    blobs = AzureBlobs(endpoint, container)
    return Cloud("az", f"{{endpoint: '{endpoint}'}}", blobs.root, blobs)


def amounts(player: Player) -> dict[int, float]:
    return {row["id"]: row["amount"] for row in player.rows("shop.sales")}


@pytest.mark.slow
def test_files_of_another_cloud_are_planned_previewed_loaded_replaced_and_explained(
    player: Player, cloud: Cloud
) -> None:
    for day, name in enumerate(("a b#1.csv", "c+d%41.csv", "é😀.csv"), start=1):
        cloud.store.put(f"2024/{name}", f"id,amount\n{day},{day}.5\n")
    cloud.store.put("2024/_SUCCESS", "")
    player.spec(f"storage: {{{cloud.scheme}: {cloud.settings}}}", "autoloader.yml")
    player.spec(f"name: sales\nsource: {{path: '{cloud.root}'}}\ndestination: {{table: shop.sales}}")

    assert player.run("doctor").code == 0
    assert work(player.plan()) == {"new": 3}
    assert "3 rows in 3 of 3 files" in player.run("preview", "sales").out
    done = player.run("apply", "-y", "--engine", "sail")
    assert done.code == 0, done.err + done.out
    assert amounts(player) == {1: 1.5, 2: 2.5, 3: 3.5}
    assert player.run("plan").code == 0

    cloud.store.put("2024/a b#1.csv", "id,amount\n10,10.5\n")
    assert player.run("apply", "-y", "--engine", "sail").code == 0
    assert amounts(player) == {2: 2.5, 3: 3.5, 10: 10.5}
    assert player.run("verify", "sales").code == 0
    assert "unchanged" in player.run("why", f"{cloud.root}2024/a b#1.csv").out


def test_a_container_that_is_not_there_or_not_allowed_is_one_clear_message(player: Player, cloud: Cloud) -> None:
    player.spec(f"storage: {{{cloud.scheme}: {cloud.settings}}}", "autoloader.yml")
    player.spec(f"name: sales\nsource: {{path: '{cloud.scheme}://nowhere-at-all/in/'}}\ndestination: {{table: a.b}}")
    said = player.run("plan")
    assert said.code == 1
    assert "nowhere-at-all" in said.err
    assert KEY not in said.err
    assert len(said.err.splitlines()) < 12
