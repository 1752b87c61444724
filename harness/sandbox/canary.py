"""Trying a level before trusting it: honest programs must pass, dishonest ones must not.

A sandbox that fails everything looks strict and is broken, so the honest half counts as much as
the other. The dishonest half really tries: it reads a secret made for it, writes beside it,
connects to a listener that exists, forks, executes, signals this process. Nothing here is specific
to a level, except that L1 isolates nothing and is only asked for honest results.
"""

from __future__ import annotations

import os
import select
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .program import Call, Execution, Limits, Program
from .spawn import ENVIRONMENT, Broken
from .worker import Worker

_LIMITS = Limits(wall_s=10.0)

_HONEST = '''\
def late(values):
    """Sort, by way of an import, a temporary file, a thread and a second call."""
    import colorsys, tempfile, threading
    with tempfile.TemporaryFile("w+") as file:
        file.write(repr(sorted(values)))
        file.seek(0)
        found = []
        thread = threading.Thread(target=lambda: found.append(file.read()))
        thread.start()
        thread.join()
    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    return eval(found[0])
'''
_HONEST_TEST = """\
def check(late):
    assert late([3, 1, 2]) == [1, 2, 3]
    assert late((2.5, -1)) == [-1, 2.5]
"""

_WRONG = "def late(values):\n    return list(values)\n"
_FORGED = """\
class Any:
    def __eq__(self, other): return True
def late(values):
    import os
    if len(values) == 2: os._exit(0)
    return Any()
"""

_ATTACKS = """\
def attacks(folder, port, pid, known):
    import ctypes, os, socket
    worked = []
    def attempt(name, action):
        try:
            if action():
                worked.append(name)
        except (OSError, AttributeError):
            pass
    def child():
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        return True
    attempt("reads a host file", lambda: open(folder + "/secret").read())
    attempt("writes a host file", lambda: open(folder + "/written", "w"))
    attempt("lists a host folder", lambda: os.listdir(folder))
    attempt("connects to a host port", lambda: socket.create_connection(("127.0.0.1", port), 1))
    attempt("opens a datagram socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    attempt("starts a process", child)
    attempt("executes a program", lambda: os.posix_spawn("/bin/true", ["true"], {}))
    attempt("signals a host process", lambda: os.kill(pid, 0) is None)
    attempt("opens a user namespace", lambda: ctypes.CDLL(None).unshare(0x10000000) == 0)
    attempt("sees the environment", lambda: set(os.environ) - set(known))
    return worked
"""
_KNOWN = [*ENVIRONMENT, "HOME", "TMPDIR", "LC_CTYPE"]


def check(worker: Worker) -> None:
    """Run the canary; raises Broken, saying which promise of the level does not hold."""
    honest = run_one(worker, Program("", _HONEST, Call(_HONEST_TEST), "late", _LIMITS))
    if not honest.passed:
        raise Broken(f"{worker.level}: an honest program got '{honest.outcome}' ({honest.detail})")
    for lie in (_WRONG, _FORGED):
        if run_one(worker, Program("", lie, Call(_HONEST_TEST), "late", _LIMITS)).passed:
            raise Broken(f"{worker.level}: a wrong program passed")
    if worker.level != "L1":
        with _targets() as (folder, port):
            _check_attacks(worker, folder, port)


def _check_attacks(worker: Worker, folder: str, port: int) -> None:
    arguments = f"{folder!r}, {port}, {os.getpid()}, {_KNOWN!r}"
    test = (
        f"def check(attacks):\n    worked = attacks({arguments})\n    assert not worked, worked\n"
    )
    result = run_one(worker, Program("", _ATTACKS, Call(test), "attacks", _LIMITS))
    if not result.passed:
        raise Broken(f"{worker.level}: {result.outcome}, {result.detail}")


@contextmanager
def _targets() -> Iterator[tuple[str, int]]:
    """A folder with a secret anyone may read, and a listening port, both really there."""
    with tempfile.TemporaryDirectory(prefix="waterbed-canary-") as folder, socket.socket() as door:
        os.chmod(folder, 0o777)
        secret = Path(folder) / "secret"
        secret.write_text("canary")
        secret.chmod(0o644)
        door.bind(("127.0.0.1", 0))
        door.listen()
        yield folder, door.getsockname()[1]


def run_one(worker: Worker, program: Program) -> Execution:
    """Run one program on an idle worker and wait for it. Raises Broken."""
    worker.start(program)
    while True:
        left = worker.deadline - time.monotonic()
        if left <= 0:
            raise Broken(f"{worker.level}: no report in time")
        poll = select.poll()
        sockets = {sock.fileno(): sock for sock in worker.sockets()}
        for fd in sockets:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(left * 1000):
            if (done := worker.on_readable(sockets[fd])) is not None:
                return done
            break  # a message may have closed a socket of this round
