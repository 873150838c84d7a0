"""Errors that a person can act on: what went wrong, where, why, and what to do.

Every error of the package is an `AutoloaderError`. Only `cli` turns one into text and an exit code.
Outcomes that are expected (a blocked change, a skipped file) are data in the plan, never errors.
"""

from __future__ import annotations

import errno
import re
from typing import ClassVar, Final

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

# a number before a slash is a port: what comes after it is a path
_PASSWORD: Final = re.compile(r"(?<=://)([^:/@\s'\"]*):(?![0-9]+/)[^\s'\"]*@")
_TOKEN: Final = re.compile(r"(?<=://)[^:/@\s'\"]+@")
_VALUE: Final = re.compile(r"([?&;][\w.~%+-]+=)[^\s&;'\")]+")
_SERVICE: Final = re.compile(
    r"(?:(?<![\w+.-])(?!(?:s3[an]?|gs|az|abfss?|wasbs?|file)://)[a-z][\w+.-]*://|\burl: /)[^\s'\")]*", re.IGNORECASE
)
_SECRET: Final = re.compile(
    r"([?&;](?:[\w.~%+-]*(?:token|secret|passw|credential|signature)[\w.~%+-]*"
    r"|(?:[\w.~%+-]*[-_.])?(?:sig|pwd|\w*key(?:_?id)?))=)[^\s&;'\")]+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """A text in which no URL says a password: not with its user, not alone before the host, not in its query.

    Of a service's URL no value in the query is said, of a file's only those of names that sound secret: its path may
    look like a query.
    """
    text = _TOKEN.sub("***@", _PASSWORD.sub(r"\1:***@", text))
    text = _SERVICE.sub(lambda found: _VALUE.sub(r"\1***", found[0]), text)
    return _SECRET.sub(r"\1***", text)


def is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is a disk, a quota or a file size that is used up."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in _FULL) or "No space left on device" in str(error):
            return True
        error = error.__cause__
    return False


def is_interrupt(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is a Ctrl-C.

    DuckDB runs Python's handler while it works, and then raises a plain `RuntimeError` in place of what that raised.
    """
    while error is not None:
        swallowed = isinstance(error, RuntimeError) and str(error) == "Query interrupted"
        if swallowed or isinstance(error, KeyboardInterrupt) or type(error).__name__ == "InterruptException":
            return True
        error = error.__cause__ or error.__context__
    return False


class AutoloaderError(Exception):
    """The one root.

    Attributes:
        what: One short sentence: what could not be done, naming the thing.
        why: What was found, as far as it is known; may be empty.
        fix: What the reader can do next, with a command on its own line where there is one.
        exit_code: The process exit code of DESIGN section 5.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        """All three parts, one per line, empty ones left out."""
        return "\n".join(part for part in (self.what, self.why, self.fix) if part)


class SettingsError(AutoloaderError):
    """The project's settings or the command line cannot be used as they are."""


class SourceError(AutoloaderError):
    """A storage could not be listed or read: missing bucket, no permission, throttled to the end.

    Never raised for "there are no files": that is a listing with zero rows.
    """


class StorageAwayError(SourceError):
    """A storage does not answer, is not there, or lets nobody in: no fault of the file that was asked for."""


class FileMovedError(SourceError):
    """The bytes at a path are not those of the pinned identity any more (or are gone).

    Attributes:
        gone: There is no file at the path now; else it was replaced.
    """

    gone: bool = False


class ReadError(AutoloaderError):
    """One file's bytes cannot be read as its ingestion says. The file yields no rows at all.

    Attributes:
        quarantine: Trying the same bytes again is pointless: set the file aside at once.
    """

    quarantine: bool = False


class LedgerError(AutoloaderError):
    """The state database cannot be reached, read, migrated or written."""


class StateLostError(LedgerError):
    """The state's server went away in the middle of something: whether that was done, the next apply finds out."""


class FencedError(LedgerError):
    """A lease was lost: its time ran out and somebody took over, or it was broken. Nothing was written."""

    exit_code: ClassVar[int] = 6


class LakeError(AutoloaderError):
    """The Iceberg catalog or a table cannot be reached, read or written."""


class DeleteFilesError(LakeError):
    """Another engine has deleted rows of a table through delete files: its data files alone do not tell its rows."""


class CommitConflictError(LakeError):
    """A commit did not take place because of other writers; running again resumes."""

    exit_code: ClassVar[int] = 6


class RowsMovedError(CommitConflictError):
    """Rows that were to be replaced lie in other data files meanwhile: the replacement must be made anew."""


class ShutOutError(CommitConflictError):
    """Somebody else settled the batch, or had the table alone, while its worker was away: it may never commit."""


class SchemaMovedError(CommitConflictError):
    """The table's columns are not those that a batch's data files were written for: it must be loaded anew."""


class CommitUnknownError(LakeError):
    """The catalog did not say whether a commit took place; the batch id in the history will tell."""

    exit_code: ClassVar[int] = 6


class EngineError(AutoloaderError):
    """Spark cannot be started or lost the job: missing Java, unreachable master, dead workers."""


class RefusedError(AutoloaderError):
    """A guardrail or a protection refuses (exit 3)."""

    exit_code: ClassVar[int] = 3


class PlanStaleError(AutoloaderError):
    """The saved plan no longer describes the world (exit 4)."""

    exit_code: ClassVar[int] = 4


class PlanAppliedError(PlanStaleError):
    """The saved plan was carried out to its end before: nothing of it is left to do."""


class LockBusyError(AutoloaderError):
    """Somebody else holds what is needed (exit 5)."""

    exit_code: ClassVar[int] = 5


class LeaseBusyError(LockBusyError):
    """Somebody else works on the ingestion in a way that tolerates no other."""


class IncompleteError(AutoloaderError):
    """Apply stopped at a safe point before it was done; running it again resumes (exit 6)."""

    exit_code: ClassVar[int] = 6
