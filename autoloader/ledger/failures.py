"""What a driver complains of, told as one sentence that a person can act on. No password enters it."""

from __future__ import annotations

import re
from typing import Final

from autoloader.errors import AutoloaderError, LedgerError, LockBusyError, StateLostError
from autoloader.ledger.address import Address

_DRIVERS_MARK: Final = re.compile(r"^[A-Z_]+: \[[A-Za-z]+\] ")
"""What a driver puts before its words, such as `IO: [SQLite] `; it tells people nothing."""

_SQLITE: Final = (
    (
        ("file is not a database", "malformed", "file is encrypted"),
        "is damaged or is not a state file.",
        "Restore it from a copy, or move it away and run `autoloader rebuild-ledger NAME` for each ingestion.",
    ),
    (
        ("readonly database", "read-only", "permission denied"),
        "cannot be written.",
        "Give this user write permission on the file and its folder.",
    ),
    (("disk is full", "no space left"), "has no room left on its disk.", "Free some space and run again."),
    (  # what SQLite also says where there is no room for its shared memory, or a file may not grow
        ("disk i/o error",),
        "cannot be written: its disk is full or fails.",
        "Free some space, or mend the disk, and run again.",
    ),
    (
        ("unable to open", "failed to allocate memory", "failed to open"),
        "cannot be opened.",
        "Check that the path exists and that this user may read and write the file and its folder.",
    ),
    (
        ("no such table", "no such column"),
        "lacks a table or column that this release expects.",
        "Run `autoloader init` to bring it up to date.",
    ),
)

_AWAY: Final = ("57P01", "57P02", "57P03")  # shut down, crashed, starting


def ledger_error(address: Address, error: BaseException, *, connected: bool = False) -> AutoloaderError:
    """The error to raise for a driver's or the operating system's.

    Args:
        address: The database.
        error: What was raised.
        connected: Whether it was connected to: a server that is away by now was lost in the middle.

    Returns:
        A `LockBusyError` where somebody else holds the database, else a `LedgerError`.
    """
    if isinstance(error, AutoloaderError):
        return error
    text = address.redacted(str(error)).strip()
    first = _DRIVERS_MARK.sub("", text.splitlines()[0]) if text else type(error).__name__
    if address.path is not None:
        return _sqlite_error(address, first)
    if isinstance(error, ImportError):
        return LedgerError("Postgres drivers are not installed.", why=first, fix="pip install 'autoloader[postgres]'")
    sqlstate = getattr(error, "sqlstate", None) or ""
    if connected and is_away(text, sqlstate):
        return StateLostError(
            f"The connection to the state {address.label} was lost.",
            why=first,
            fix="See that its server is running, then run the same command again: nothing is loaded twice.",
        )
    return _server_error(address, first, sqlstate)


def _sqlite_error(address: Address, text: str) -> AutoloaderError:
    if "locked" in text or "busy" in text:
        return LockBusyError(
            f"The state file {address.label} is busy.",
            why="Another process kept it locked for longer than the timeout.",
            fix="Wait for it to end and run again.",
        )
    for marks, what, fix in _SQLITE:
        if any(mark in text.lower() for mark in marks):
            return LedgerError(f"The state file {address.label} {what}", why=text, fix=fix)
    return LedgerError(f"The state file {address.label} could not be used.", why=text, fix="autoloader doctor")


def _server_error(address: Address, text: str, sqlstate: str) -> AutoloaderError:
    match sqlstate:
        case "55P03" | "40P01" | "40001":
            return LockBusyError(
                f"The state {address.label} is busy.",
                why="Another session kept rows locked for longer than the timeout.",
                fix="Wait for it to end and run again.",
            )
        case "42P01" | "42703":
            return LedgerError(
                f"The state {address.label} lacks a table or column that this release expects.",
                why=text,
                fix="Run `autoloader init` to bring it up to date, or give it a database of its own.",
            )
        case "42501" | "25006":
            return LedgerError(
                f"The state {address.label} may not be written by this user.",
                why=text,
                fix="Grant the user the right to create tables and to write in this database.",
            )
    if is_away(text, sqlstate):
        return LedgerError(
            f"The state {address.label} cannot be reached.",
            why=text,
            fix="Check host, port, database, user and password, and that the server is running.",
        )
    return LedgerError(f"The state {address.label} could not be used.", why=text, fix="autoloader doctor")


def is_away(text: str, sqlstate: str) -> bool:
    """Whether a server's complaint means that it cannot be reached now: stopped, starting, or another network.

    By its code where there is one: the text may hold anything, the paths of files too.
    """
    if sqlstate:
        return sqlstate.startswith("08") or sqlstate in _AWAY
    return "connect" in text.lower() or "terminated" in text
