"""Whose lease may be ended at once: only that of a process that certainly ended on this very machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from autoloader.apply.holders import is_gone, this_process

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing is held to be gone")


def of_another(pid: int) -> str:
    """This machine's holder with another process number."""
    return re.sub(r":[0-9]+/", f":{pid}/", this_process())


def test_who_holds_a_lease_reads_as_user_host_and_process() -> None:
    assert re.fullmatch(rf".+@[^@:]+:{os.getpid()}/[0-9a-f]{{8}}\.[0-9]+", this_process())


def test_a_living_process_is_not_gone() -> None:
    assert not is_gone(this_process(), this_process())


def test_a_process_that_ended_is_gone() -> None:
    code = "from autoloader.apply.holders import this_process; print(this_process())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert is_gone(done.stdout.strip(), this_process())


def test_a_process_number_that_is_used_again_is_not_taken_for_the_one_before() -> None:
    head, start = this_process().rsplit(".", 1)
    assert is_gone(f"{head}.{int(start) - 1}", this_process())


@pytest.mark.parametrize("part", ["host", "boot"])
def test_processes_of_other_machines_and_of_other_containers_are_never_judged(part: str) -> None:
    dead = of_another(2**22 + 1)
    assert is_gone(dead, this_process())
    away = re.sub(r"@[^@:]+:", "@elsewhere:", dead) if part == "host" else re.sub(r"/[0-9a-f]+", "/00000000", dead)
    assert not is_gone(away, this_process())


def test_a_holder_that_says_too_little_is_never_judged() -> None:
    assert not is_gone("ann@host:12", this_process())
    assert not is_gone("ann", this_process())
