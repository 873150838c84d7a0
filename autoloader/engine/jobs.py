"""A long call in a thread of its own, so that the caller's thread can show progress and take Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

POLL_S: Final = 0.2
GIVE_UP_S: Final = 5.0


class Job(threading.Thread, Generic[T]):
    """A call in a daemon thread whose result or error can be asked for."""

    def __init__(self, call: Callable[[], T]) -> None:
        super().__init__(name="autoloader-spark-job", daemon=True)
        self._call = call
        self._over = threading.Event()
        self._value: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """What the thread does; call `start`."""
        try:
            self._value.append(self._call())
        except BaseException as error:  # handed over to the caller's thread by `result`
            self._error = error
        finally:
            self._over.set()

    def wait(self, timeout_s: float) -> bool:
        """Whether it was over within that time."""
        return self._over.wait(timeout_s)

    def result(self) -> T:
        """What the call returned; raises what it raised. Waits for it."""
        self._over.wait()
        if self._error is not None:
            raise self._error
        return self._value[0]


def within(timeout_s: float, call: Callable[[], object]) -> bool:
    """Whether a call was over within that time; if not, it goes on in a thread that holds up nothing.

    Raises:
        BaseException: What the call raised within that time.
    """
    job = Job(call)
    job.start()
    if not job.wait(timeout_s):
        return False
    job.result()
    return True
