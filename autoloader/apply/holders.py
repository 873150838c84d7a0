"""Who holds a lease, as a text for people that also says whether that process can still be alive.

`user@host:pid/machine.start`: the machine is its boot and its space of process numbers, the start is when the process
began. So neither a number that is used again, nor a restarted machine, nor two containers of one name are taken for
somebody else.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from pathlib import Path
from typing import Final

_HOLDER: Final = re.compile(r".*@(?P<host>[^@:]+):(?P<pid>[0-9]+)/(?P<machine>[0-9a-f]+)\.(?P<start>[0-9]+)", re.DOTALL)
_PROC: Final = Path("/proc")
_START: Final = 19  # of the fields after the name in /proc/PID/stat
_ENDED: Final = ("Z", "X")


def this_process() -> str:
    """This process as a holder. Where the system does not tell enough, without the mark after the slash."""
    name = f"{getpass.getuser()}@{socket.gethostname()}:{os.getpid()}"
    machine, start = _machine(), _started(os.getpid())
    return name if machine is None or start is None else f"{name}/{machine}.{start}"


def is_gone(holder: str, own: str) -> bool:
    """Whether a holder was a process of this very machine that has ended. What is not certain is alive.

    Args:
        holder: The holder of a lease.
        own: This process as a holder.
    """
    theirs, mine = _HOLDER.fullmatch(holder), _HOLDER.fullmatch(own)
    if theirs is None or mine is None:
        return False
    if (theirs["host"], theirs["machine"]) != (mine["host"], mine["machine"]):
        return False
    return _started(int(theirs["pid"])) != int(theirs["start"])


def _machine() -> str | None:
    """This boot and this space of process numbers; None where the system does not tell them."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        space = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return None
    return hashlib.sha256(f"{boot} {space}".encode()).hexdigest()[:8]


def _started(pid: int) -> int | None:
    """When a process began, in ticks since the boot; None: there is none, or it has ended."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in _ENDED else int(fields[_START])
