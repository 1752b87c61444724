"""A warm process that confines itself once and then forks a confined child for each sample.

It passes descriptors on unread: programs and tests are never in its memory. It starts the clock,
kills at the deadline, reaps, cleans up, and reports how each child ended, which is the one thing
it says. Two run per worker: one forks candidates, the other checkers (see `__init__`).
Standard library only.
"""

from __future__ import annotations

import _sitebuiltins
import builtins
import contextlib
import gc
import importlib
import itertools
import math
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from . import candidate, checker, kernel, wire
from .places import PLACES, Place

#: What programs import most; forked children then have it for nothing. Not `random` and
#: `threading` (nor what imports them): they make every fork dearer.
PRELOAD = (
    *("abc", "bisect", "cmath", "collections", "collections.abc", "copy", "datetime", "decimal"),
    *("enum", "fractions", "functools", "hashlib", "heapq", "io", "itertools", "json", "math"),
    *("operator", "re", "string", "struct", "textwrap", "time", "typing"),
)
_POLL_S = 0.25
_READY = b"+"
_MAINS: dict[str, Callable[..., None]] = {
    "candidate": candidate.main,
    "checker": checker.main,
}


def main(control_fd: int) -> None:
    """Serve the supervisor behind `control_fd` until it hangs up."""
    control = socket.socket(fileno=control_fd)
    config, _ = wire.receive(control)
    try:
        place = PLACES[config["level"]](config)
        _warm_up(config["packages"], place.scratch)
    except OSError as error:
        wire.send(control, {"broken": f"{config['level']}: {error}"})
        return
    wire.send(control, {"ready": os.getpid()})
    try:
        while True:
            job, fds = wire.receive(control)
            if "stop" not in job:  # else it is for a child that ended by itself
                _serve(control, place, config["role"], job, fds)
    except wire.Closed:
        place.tidy()


def _warm_up(packages: list[str], scratch: str) -> None:
    os.environ.update(HOME=scratch, TMPDIR=scratch)
    for name in ("exit", "quit"):  # what `site` would have added, and scripts do call
        setattr(builtins, name, _sitebuiltins.Quitter(name, ""))
    sys.path.extend(packages)
    for name in PRELOAD:
        importlib.import_module(name)
    gc.disable()
    gc.freeze()  # children then do not copy these pages to count references


def _serve(
    control: socket.socket, place: Place, role: str, job: dict[str, Any], fds: list[int]
) -> None:
    """Fork one child, see it through, clean up, report."""
    status_read, status_write = os.pipe()
    started = time.monotonic()
    pid = place.fork()
    if pid == 0:
        _child(place, role, job, [*fds, status_write])
    for fd in (*fds, status_write):
        os.close(fd)
    watch = _Watch(control, place, job, pid, started)
    try:
        end = watch.until_end()
    finally:
        _, status, usage = _kill(pid)
        setup = os.read(status_read, 1 << 12)
        os.close(status_read)
    report = {
        "job": job["job"],
        "end": end,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
        "wall_s": time.monotonic() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }
    if setup != _READY and end != "stopped":
        report |= {"end": "broken", "note": setup.decode("utf-8", "replace") or "no set-up"}
    elif end != "timeout" and place.over_limit(job["limits"]):
        report["end"] = "disk"
    place.tidy()
    wire.send(control, report)


def _kill(pid: int) -> tuple[int, int, resource.struct_rusage]:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return os.wait4(pid, 0)


class _Watch:
    """Waits for a child's end, the supervisor's word, or the deadline, whichever is first."""

    def __init__(
        self, control: socket.socket, place: Place, job: dict[str, Any], pid: int, started: float
    ) -> None:
        self.control, self.place, self.job = control, place, job
        self.deadline = started + (job["wall_s"] or math.inf)
        self.pidfd = os.pidfd_open(pid)
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.poll.register(self.pidfd, select.POLLIN)

    def until_end(self) -> str:
        """`exit` (by itself), `stopped`, `timeout` or `disk`. Raises Closed with the supervisor."""
        try:
            while True:
                if (end := self._step()) is not None:
                    return end
        finally:
            os.close(self.pidfd)

    def _step(self) -> str | None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            return "timeout"
        events = {fd for fd, _ in self.poll.poll(min(left, _POLL_S) * 1000)}
        if self.pidfd in events:
            return "exit"
        if self.control.fileno() in events:
            message, _ = wire.receive(self.control)
            if message.get("stop") != self.job["job"]:
                return None
            return "exit" if self._ends_within(message.get("linger_s", 0)) else "stopped"
        if not events and self.place.over_limit(self.job["limits"]):
            return "disk"
        return None

    def _ends_within(self, seconds: float) -> bool:
        """Whether the child ends by itself shortly: its channel closes just before it is dead."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def _child(place: Place, role: str, job: dict[str, Any], fds: list[int]) -> None:
    """Confine this fresh child and become the candidate or the checker; never returns."""
    code = 1
    try:
        *work, status = fds
        try:
            place.confine(job["limits"], job["fork"])
        except OSError as error:
            os.write(status, str(error).encode())
            return
        os.write(status, _READY)
        _close_all_but([0, 1, 2, *place.kept, *work])
        gc.enable()
        _MAINS[role](*work)
        code = 0
    finally:
        os._exit(code)


def _close_all_but(kept: list[int]) -> None:
    kept = sorted(kept)
    for fd, following in itertools.pairwise(kept):
        os.closerange(fd + 1, following)
    kernel.close_from(kept[-1] + 1)
