"""Starting a zygote process and talking to it, from the supervisor's side.

Not here: what a zygote does (zygote.py), which programs it is given (worker.py).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from . import scratch, wire

Role = Literal["candidate", "checker"]
_START_S = 20.0
_BOOT = Path(__file__).with_name("boot.py")
#: All of a zygote's environment; it adds HOME and TMPDIR itself.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
}
_UIDS_APART = 100_000
#: Ids that no account has, on machines where all 32 bits are there.
_FIRST_UID = 1_900_000_000


class Broken(Exception):
    """A zygote cannot be started or has failed; says why.

    `before_program`: the program at hand had not begun, so it cannot be the cause.
    """

    def __init__(self, why: str, *, before_program: bool = False) -> None:
        super().__init__(why)
        self.before_program = before_program


class Zygote:
    """One running zygote and the socket to it. `close` ends it and everything below it."""

    def __init__(self, level: str, role: Role, serial: int) -> None:
        """Start one; raises Broken when the level cannot be entered."""
        uid = own_uid(serial) if os.geteuid() == 0 and level != "L1" else None
        self.folder = tempfile.mkdtemp(prefix="waterbed-sandbox-")
        if uid is not None:
            os.chown(self.folder, uid, uid)
        self.control, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = _launch(theirs.fileno())
            self.control.settimeout(_START_S)
            place = {"level": level, "role": role, "uid": uid, "folder": self.folder}
            self._greet(place | {"packages": package_folders()})
        except BaseException:
            self.close()
            raise

    def _greet(self, config: dict[str, Any]) -> None:
        try:
            wire.send(self.control, config)
            answer, _ = wire.receive(self.control)
        except (wire.Closed, TimeoutError, OSError) as error:
            raise Broken(f"{config['level']}: the fork server did not start ({error!r})") from error
        if "ready" not in answer:
            raise Broken(str(answer.get("broken")))

    def send(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Send a message with descriptors; raises Broken when it is gone."""
        try:
            wire.send(self.control, message, fds)
        except (wire.Closed, TimeoutError) as error:
            raise Broken("the fork server is gone") from error

    def receive(self) -> dict[str, Any]:
        """The next report; raises Broken when it is gone."""
        try:
            return dict(wire.receive(self.control)[0])
        except (wire.Closed, TimeoutError) as error:
            raise Broken("the fork server is gone") from error

    def close(self) -> None:
        """End it and wait; a zygote that does not end by itself is killed. Deletes its folder."""
        self.control.close()
        process = getattr(self, "process", None)
        if process is not None:
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with contextlib.suppress(OSError):
            scratch.empty(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def _launch(fd: int) -> subprocess.Popen[bytes]:
    """Start boot.py in a session, folder and environment of its own; nothing is inherited.

    -P -s -S and an environment made here do what -I does, which would ignore PYTHONHASHSEED.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-S", str(_BOOT), str(fd)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
        pass_fds=(fd,),
        start_new_session=True,
    )


def package_folders() -> list[str]:
    """Where third-party packages are installed for this interpreter."""
    names = ("site-packages", "dist-packages")
    return [path for path in sys.path if os.path.basename(path) in names and os.path.isdir(path)]


def own_uid(serial: int) -> int:
    """A user id for one zygote, from the top of what this (user) namespace maps."""
    with open("/proc/self/uid_map") as file:
        inside, _, length = max((list(map(int, row.split())) for row in file), key=lambda r: r[2])
    if length > 2 * _FIRST_UID:
        return _FIRST_UID + os.getpid() % _UIDS_APART * 1000 + serial % 1000
    return inside + length - 200 - serial % 1000
