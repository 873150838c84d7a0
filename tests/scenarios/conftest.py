"""Scenarios are played on both storages, with one local Spark for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoloader.engine import Engine, start
from autoloader.spec import SparkSettings
from tests.playing import LocalStore, Player, S3Store, Store


@pytest.fixture(scope="session")
def spark(moto_server: str) -> Iterator[Engine]:
    """A local Spark that every command of this process finds active, and leaves."""
    engine = start("local", SparkSettings(), cores=2)
    yield engine
    engine.stop()


@pytest.fixture
def player(project_dir: Path, spark: Engine) -> Player:
    """An empty project."""
    return Player(project_dir)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, project_dir: Path) -> Store:
    """An empty place for source files."""
    if request.param == "local":
        return LocalStore(project_dir / "in")
    client: Any = request.getfixturevalue("s3_client")
    return S3Store(client, request.getfixturevalue("s3_bucket"))
