"""What went wrong in an engine, in one sentence that a person can act on; never a JVM stack trace."""

from __future__ import annotations

import re
from typing import Final

from autoloader.engine.packing import MARK
from autoloader.errors import EngineError, redacted

_DEPENDENCIES: Final = (
    "Give every executor the same Python packages as here (`spark.archives`, a common image, or\n"
    "`spark.conf: {spark.pyspark.python: /path/to/python}` in the settings)."
)
_KNOWN: Final = (
    (
        re.compile(r"ModuleNotFoundError: No module named '?([\w.]+)'?|No module named '([\w.]+)'"),
        "The executors' Python has no module {0}.",
        _DEPENDENCIES,
    ),
    (
        re.compile(r'Cannot run program "([^"]+)"'),
        "The executors have no Python at {0}.",
        _DEPENDENCIES,
    ),
    (
        re.compile(r"PYTHON_VERSION_MISMATCH|Python in worker has different version"),
        "The executors run another version of Python than this process.",
        _DEPENDENCIES,
    ),
    (
        re.compile(r"Python worker exited unexpectedly|Python worker \(pid \d+\) exited|PYTHON_WORKER_EXIT"),
        "A Python worker died in the middle of a task, most often for want of memory.",
        "Use fewer cores per machine or machines with more memory, then run the same command again.",
    ),
    (
        re.compile(r"SparkContext was shut down|Job aborted due to stage failure.*lost|executor.* lost", re.I),
        "Spark lost the job: its driver or its executors went away.",
        "Run the same command again; what was not committed is loaded again.",
    ),
    (
        re.compile(r"unsupported PySpark version: (\S+)"),
        "This Sail does not work with PySpark {0}.",
        'Install a PySpark that it knows:\n    pip install "pyspark<4.3"',
    ),
)
_TRACEBACK_END: Final = re.compile(r"^\s*((?:[\w]+\.)*\w*(?:Error|Exception|Exit|Interrupt)\b.*)$", re.MULTILINE)

_JAVA_CLASS: Final = re.compile(r"^(?:: )?(?:[a-z]\w*\.)+[A-Z]\w*: ")


def explain(error: BaseException, *, doing: str = "The Spark job failed") -> EngineError:
    """The error of an engine as ours, with the root Python error's own line where there is one."""
    if isinstance(error, EngineError):
        return error
    try:
        text = str(error)
    except Exception:  # Py4J asks the JVM, which may be gone
        text = "SparkContext was shut down"
    text = redacted(text)
    if MARK in text:
        text = text.split(MARK)[1]
        if not text.startswith("ModuleNotFoundError"):
            return EngineError(f"{doing}: a task raised {text}")
    for pattern, what, fix in _KNOWN:
        if match := pattern.search(text):
            names = [group for group in match.groups() if group]
            return EngineError(what.format(*names), why=last_line(text), fix=fix)
    return EngineError(f"{doing}: {last_line(text) or type(error).__name__}")


def last_line(text: str) -> str:
    """The last line of a Python traceback in `text`, else the first line that says something."""
    python = text.split("Traceback (most recent call last)")[-1]
    python = re.split(r"\n\s*at [\w.$]+\(|\n\tat ", python)[0]
    if found := _TRACEBACK_END.findall(python):
        return str(found[-1]).strip()
    lines = [_JAVA_CLASS.sub("", line.strip()) for line in text.splitlines() if line.strip()]
    plain = [
        line for line in lines if not line.startswith(("at ", "...", "An error occurred while calling", "Traceback"))
    ]
    return (plain or lines or [""])[0]
