"""The world of the fault harness: what it takes away never looks like a listing that went wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.world import World
from tests.playing import LocalStore


@pytest.mark.parametrize("seed", range(20))
def test_no_more_than_a_quarter_of_the_files_that_were_loaded_goes_whatever_came_since(
    tmp_path: Path, seed: int
) -> None:
    world = World(LocalStore(tmp_path / "in"), random.Random(seed))
    for _ in range(3):
        world.change()
    world.loaded()
    loaded = set(world.rows)
    for _ in range(5):
        world.change()
        for number in range(20):
            world.write(f"new-{number}.csv")
    assert len(loaded - set(world.rows)) <= len(loaded) // 4


def test_a_file_that_nobody_has_loaded_yet_does_not_let_another_go(tmp_path: Path) -> None:
    world = World(LocalStore(tmp_path / "in"), random.Random(0))
    for number in range(3):
        world.write(f"{number}.csv")
    world.loaded()
    for number in range(3, 10):
        world.write(f"{number}.csv")
    assert world.remove(2) == 0
