"""The stage of the fault harness, one for all of its tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.processes import Nursery, sail
from tests.faults.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A stage on a disk in memory, where there is one: nothing here is about what a disk forgets."""
    memory = Path("/dev/shm")
    disk = tempfile.mkdtemp(prefix="faults-", dir=memory if os.access(memory, os.W_OK) else None)
    with sail() as remote:
        yield Stage(Nursery(), remote, Path(disk))
    if not any(Path(disk).iterdir()):
        Path(disk).rmdir()
