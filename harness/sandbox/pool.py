"""The sandbox as the rest of the project sees it: open a level, stream programs through workers.

Chooses the best level by running the canary through it; replaces workers that break; runs again,
alone, what only a busy host may have made late. Not here: how one program runs (worker.py).
"""

from __future__ import annotations

import hashlib
import math
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from ..errors import NoSandbox
from . import canary
from .program import Execution, Level, Limits, Outcome, Program
from .spawn import Broken
from .worker import Worker

LADDER = ("L3", "L2")
_UNSAFE = "L1"
_UNSAFE_VARIABLE = "WATERBED_UNSAFE_LOCAL_EXEC"
#: A time-out that used less CPU than this share of its time was perhaps only kept waiting; one
#: that used nearly none was asleep, and will be again.
_STARVED, _ASLEEP = 0.5, 0.02
_NOT_LINUX = f"The sandbox needs Linux's namespaces or Landlock, and this is {sys.platform}"
_Results: TypeAlias = "Iterator[tuple[int, Execution]]"


class Runtime(Protocol):
    """What a stronger isolation (a container with runsc or Kata, a remote VM) has to offer.

    `Sandbox` is one. Whoever is given a Runtime needs nothing else, so another implementation can
    be passed wherever a Sandbox is. None ships with this package.
    """

    level: Level

    def run(self, programs: Iterable[Program]) -> Iterator[tuple[int, Execution]]:
        """Run programs; yields (position in the input, result) in the order of completion."""
        ...

    def manifest(self) -> dict[str, Any]:
        """What determines results, for run.json."""
        ...

    def close(self) -> None:
        """End everything that was started."""
        ...


@dataclass(slots=True)
class _Flight:
    """A program on its way: where it stood in the input, and what became of it before."""

    index: int
    program: Program
    first_try: Execution | None = None
    broke: int = 0

    @property
    def again(self) -> bool:
        return self.first_try is not None or self.broke > 0


class Sandbox:
    """A pool of workers of one isolation level. Use as a context manager."""

    def __init__(self, level: Level, workers: list[Worker | None], skipped: dict[str, str]) -> None:
        self.level = level
        self.skipped = skipped
        """Better levels that do not work here, and why."""
        self._workers = workers
        self._flights: list[_Flight | None] = [None] * len(workers)
        self._serial = len(workers)

    @classmethod
    def open(
        cls, level: str = "auto", workers: int | None = None, *, unsafe_local_exec: bool = False
    ) -> Sandbox:
        """Start a pool.

        Args:
            level: `auto` for the best that works here, or `L3`, `L2`, `L1`.
            workers: programs at a time; default: one more than the CPUs this process may use,
                since a worker idles while its two sides pass the word.
            unsafe_local_exec: allow `L1`, which isolates nothing; the environment variable
                WATERBED_UNSAFE_LOCAL_EXEC=1 does too.

        Raises:
            NoSandbox: no level asked for works here. Never raised later.
        """
        unsafe = unsafe_local_exec or os.environ.get(_UNSAFE_VARIABLE) == "1"
        skipped: dict[str, str] = {}
        for name in _candidates(level, unsafe):
            try:
                first = try_level(name)
            except Broken as error:
                skipped[name] = str(error)
                continue
            count = workers or len(os.sched_getaffinity(0)) + 1
            return cls(name, [first, *_more(name, count - 1)], skipped)
        raise NoSandbox(_no_level(level, skipped))

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process of the pool."""
        for index, worker in enumerate(self._workers):
            if worker is not None:
                worker.close()
            self._workers[index] = None

    def manifest(self) -> dict[str, Any]:
        """Level, interpreter and default limits, with a hash over all of it."""
        facts = {
            "level": self.level,
            "python": sys.version.split()[0],
            "machine": os.uname().machine,
            "limits": Limits().manifest(),
        }
        return facts | {"sha256": hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()}

    def run(self, programs: Iterable[Program]) -> Iterator[tuple[int, Execution]]:
        """Run programs as workers get free; yields (position, result) in order of completion.

        A program is taken from the input only when a worker is idle. One call at a time.
        """
        waiting, again = enumerate(programs), deque[_Flight]()
        try:
            while True:
                yield from self._fill(waiting, again)
                if any(self._flights):
                    yield from self._step(again)
                elif not again:
                    return
        finally:
            self._abandon()

    def _fill(self, waiting: Iterator[tuple[int, Program]], again: deque[_Flight]) -> _Results:
        """Give idle workers something to do; a second try runs with no other beside it."""
        if any(flight.again for flight in self._flights if flight):
            return
        if again:
            if not any(self._flights):
                yield from self._launch(0, again.popleft(), again)
            return
        for slot, flight in enumerate(self._flights):
            if flight is None:
                if (item := next(waiting, None)) is None:
                    return
                yield from self._launch(slot, _Flight(*item), again)

    def _launch(self, slot: int, flight: _Flight, again: deque[_Flight]) -> _Results:
        try:
            self._worker(slot).start(flight.program)
        except Broken as error:
            yield from self._on_broken(slot, flight, error, again)
        else:
            self._flights[slot] = flight

    def _worker(self, slot: int) -> Worker:
        """The worker of a slot, started anew where the last one broke. Raises Broken."""
        worker = self._workers[slot]
        if worker is None:
            self._serial += 1
            worker = self._workers[slot] = Worker(self.level, self._serial)
        return worker

    def _step(self, again: deque[_Flight]) -> _Results:
        """Wait for news from busy workers, or for one that is overdue."""
        watched: dict[int, tuple[int, socket.socket]] = {}
        overdue = math.inf
        poll = select.poll()
        for slot, worker in self._busy():
            overdue = min(overdue, worker.deadline)
            for sock in worker.sockets():
                watched[sock.fileno()] = slot, sock
                poll.register(sock, select.POLLIN)
        for fd, _ in poll.poll(max(0.0, overdue - time.monotonic()) * 1000):
            slot, sock = watched[fd]
            if sock.fileno() == fd and self._flights[slot] is not None:
                yield from self._advance(slot, sock, again)
        for slot, worker in self._busy():
            if worker.deadline < time.monotonic():
                yield from self._lose(slot, Broken("no report in time"), again)

    def _busy(self) -> list[tuple[int, Worker]]:
        pairs = zip(self._workers, self._flights, strict=True)
        return [(slot, w) for slot, (w, flight) in enumerate(pairs) if w and flight]

    def _advance(self, slot: int, sock: socket.socket, again: deque[_Flight]) -> _Results:
        worker, flight = self._workers[slot], self._flights[slot]
        assert worker is not None
        assert flight is not None
        try:
            done = worker.on_readable(sock)
        except Broken as error:
            yield from self._lose(slot, error, again)
            return
        if done is None:
            return
        self._flights[slot] = None
        if flight.first_try is None and _perhaps_starved(done):
            flight.first_try = done
            again.append(flight)
        else:
            yield flight.index, replace(done, first_try=flight.first_try)

    def _lose(self, slot: int, error: Broken, again: deque[_Flight]) -> _Results:
        flight = self._flights[slot]
        assert flight is not None
        self._flights[slot] = None
        yield from self._on_broken(slot, flight, error, again)

    def _on_broken(
        self, slot: int, flight: _Flight, error: Broken, again: deque[_Flight]
    ) -> _Results:
        """Replace the worker; try the program once more, alone; then say whose fault it is."""
        self._retire(slot)
        flight.broke += 1
        if flight.broke == 1:
            again.append(flight)
        else:
            yield flight.index, self._blame(slot, flight, error)

    def _blame(self, slot: int, flight: _Flight, error: Broken) -> Execution:
        """Twice broken under one program: its fault if a fresh worker passes the canary.

        Otherwise a program could choose to be unscored by breaking what runs it.
        """
        outcome: Outcome = "sandbox_error"
        if not error.before_program:
            try:
                canary.check(self._worker(slot))
                outcome = "crashed"
            except Broken:
                self._retire(slot)
        detail = f"broke its worker twice: {error}"
        return Execution(
            outcome, flight.program.integrity, self.level, 0.0, 0.0, detail, flight.first_try
        )

    def _retire(self, slot: int) -> None:
        worker, self._workers[slot] = self._workers[slot], None
        if worker is not None:
            worker.close()

    def _abandon(self) -> None:
        """After an early end: workers still busy are replaced, since their reports would linger."""
        for slot, flight in enumerate(self._flights):
            if flight is not None:
                self._flights[slot] = None
                self._retire(slot)


def try_level(level: Level) -> Worker:
    """A worker of this level that has passed the canary. Raises Broken with the reason."""
    worker = Worker(level, 0)
    try:
        canary.check(worker)
    except BaseException:
        worker.close()
        raise
    return worker


def ladder() -> dict[Level, str]:
    """Each level, best first, with why it does not work on this machine; "" where it does."""
    found = {}
    for level in LADDER:
        try:
            if sys.platform != "linux":
                raise Broken(_NOT_LINUX)
            try_level(level).close()
            found[level] = ""
        except Broken as error:
            found[level] = str(error)
    return found


def _candidates(level: str, unsafe: bool) -> tuple[Level, ...]:
    """The levels to try, best first. Raises NoSandbox where none may be."""
    if sys.platform != "linux":
        raise NoSandbox(
            f"{_NOT_LINUX}; run the evaluation on Linux, in a virtual machine or a container."
        )
    if level == _UNSAFE and not unsafe:
        raise NoSandbox(
            "Level L1 isolates nothing, so model-written code would run with your rights; "
            f"say so with --unsafe-local-exec or {_UNSAFE_VARIABLE}=1."
        )
    known = {"auto": (*LADDER, _UNSAFE) if unsafe else LADDER, _UNSAFE: (_UNSAFE,)}
    known |= {name: (name,) for name in LADDER}
    if level not in known:
        raise NoSandbox(f"There is no sandbox level {level!r}; known: {', '.join(known)}.")
    return known[level]


def _more(level: Level, count: int, serial: int = 1) -> list[Worker | None]:
    """Further workers, started side by side; one that does not start is tried again when needed."""

    def start(number: int) -> Worker | None:
        try:
            return Worker(level, number)
        except Broken:
            return None

    with ThreadPoolExecutor(max_workers=8) as threads:
        return list(threads.map(start, range(serial, serial + count)))


def _perhaps_starved(execution: Execution) -> bool:
    share = execution.cpu_s / execution.wall_s if execution.wall_s else 0.0
    return execution.outcome == "timeout" and _ASLEEP < share < _STARVED


def _no_level(level: str, skipped: dict[str, str]) -> str:
    reasons = "; ".join(skipped.values())
    return (
        f"No sandbox level works here ({level}: {reasons}); allow user namespaces or use Linux 5.19 "
        "with Landlock, or accept no isolation with --unsafe-local-exec."
    )
