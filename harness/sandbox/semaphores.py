"""Semaphores for multiprocessing where there is no /dev/shm to make them in (L2).

Stands in for `_multiprocessing.SemLock`, on an eventfd that forked children inherit. Used wherever
forking is allowed, so that a program meets the same at every level. Not for `spawn`: nothing can
be executed here anyway. Runs inside the sandbox; standard library only.
"""

from __future__ import annotations

import importlib
import os
import select
import time
from _thread import get_ident

_RECURSIVE = 0


class EventSemaphore:
    """The part of `_multiprocessing.SemLock` that `multiprocessing.synchronize` uses."""

    SEM_VALUE_MAX = 2**31 - 1

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        del name, unlink  # nothing is named, so nothing has to be unlinked
        self.kind, self.maxvalue, self.name = kind, maxvalue, None
        self.handle = os.eventfd(value, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._held = 0
        self._owner: tuple[int, int] | None = None

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take one; False when that would take longer than allowed."""
        if self.kind == _RECURSIVE and self._is_mine():
            self._held += 1
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._take():
            if not block or not self._wait(deadline):
                return False
        self._held += 1
        self._owner = os.getpid(), get_ident()
        return True

    def release(self) -> None:
        """Give one back. Raises AssertionError for a lock that another holds."""
        if self.kind == _RECURSIVE:
            assert self._is_mine(), "attempt to release recursive lock not owned by thread"
        elif self.maxvalue != self.SEM_VALUE_MAX and self._get_value() >= self.maxvalue:
            raise ValueError("semaphore or lock released too many times")
        self._held -= 1
        if self.kind != _RECURSIVE or self._held == 0:
            os.eventfd_write(self.handle, 1)

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self.release()

    def _take(self) -> bool:
        try:
            os.eventfd_read(self.handle)
        except BlockingIOError:
            return False
        return True

    def _wait(self, deadline: float | None) -> bool:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        return bool(poll.poll(None if left is None else left * 1000))

    def _count(self) -> int:
        return self._held

    def _is_mine(self) -> bool:
        return self._held > 0 and self._owner == (os.getpid(), get_ident())

    def _get_value(self) -> int:
        value = 0
        while self._take():
            value += 1
        if value:
            os.eventfd_write(self.handle, value)
        return value

    def _is_zero(self) -> bool:
        return self._get_value() == 0

    def _after_fork(self) -> None:
        self._held = 0


def install() -> None:
    """Let multiprocessing in this process use `EventSemaphore`."""
    native = importlib.import_module("_multiprocessing")
    native.SemLock = EventSemaphore  # type: ignore[attr-defined]
