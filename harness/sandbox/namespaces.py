"""L3: a zygote in its own user, process, network, IPC, host-name and mount namespaces.

The root it sees is built from nothing: the interpreter's folders, read-only, five device nodes,
a /tmp and a /dev/shm. No /proc, no /etc, no home, no network interface. Each sample then gets a
process namespace of its own, as its process 1, and its own /tmp and /dev/shm, which all vanish
with it. Standard library only.
"""

from __future__ import annotations

import os
import signal
from typing import Any, NoReturn

from . import kernel
from .interpreter import DEVICES

_USER = 1000
_OWN = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWNS
)
_NO_EXECUTABLES = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


def scratch_folder(paths: list[str]) -> str:
    """Where samples may write: /tmp, or /scratch where the interpreter itself lies below /tmp.

    A file system mounted over /tmp would hide a virtual environment that lies there.
    """
    return "/scratch" if any(f"{path}/".startswith("/tmp/") for path in paths) else "/tmp"


def enter(staging: str, paths: list[str], uid: int | None) -> int:
    """Move into fresh namespaces; returns in the new process 1 only.

    Args:
        staging: an empty folder on which the new root is built.
        paths: host folders to show.
        uid: whom to become first, when started as root.

    Returns:
        A descriptor of the new process namespace. Raises OSError when anything is forbidden.
    """
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    if uid is not None:
        # The interpreter may lie where `uid` cannot go: mount it while still root.
        kernel.unshare(kernel.CLONE_NEWNS)
        _build_root(staging, paths)
        become(uid)
    scratch = scratch_folder(paths)
    outer = os.getuid(), os.getgid()
    kernel.unshare(_OWN)
    _map_ids(proc, *outer)
    if uid is None:
        _build_root(staging, paths)
    if child := os.fork():
        _outlive(child)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    namespace = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    os.close(proc)
    mount_scratch(scratch, 1 << 20, 1 << 20, 64)
    return namespace


def fork_inside(namespace: int) -> int:
    """Fork a child that is process 1 of a new process namespace."""
    kernel.setns(namespace, kernel.CLONE_NEWPID)
    kernel.unshare(kernel.CLONE_NEWPID)
    return os.fork()


def own_scratch(scratch: str, limits: dict[str, Any]) -> None:
    """In the child: file systems of its own for `scratch` and /dev/shm, gone when it is."""
    kernel.unshare(kernel.CLONE_NEWNS)
    mount_scratch(scratch, limits["disk_bytes"], limits["shm_bytes"], limits["inodes"])


def mount_scratch(scratch: str, disk_bytes: int, shm_bytes: int, inodes: int) -> None:
    """Mount an empty `scratch` and /dev/shm of bounded size over what is there."""
    for path, size in ((scratch, disk_bytes), ("/dev/shm", shm_bytes)):
        options = f"size={size},nr_inodes={inodes},mode=0700"
        kernel.mount("tmpfs", path, "tmpfs", _NO_EXECUTABLES, options)


def become(uid: int) -> None:
    """Give up root for `uid`, keeping /proc/self readable (a changed uid hides it)."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def _map_ids(proc: int, uid: int, gid: int) -> None:
    rows = (("setgroups", "deny"), ("uid_map", f"{_USER} {uid} 1"), ("gid_map", f"{_USER} {gid} 1"))
    for name, text in rows:
        fd = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _build_root(staging: str, paths: list[str]) -> None:
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", staging, "tmpfs", _NO_EXECUTABLES, "size=1m,mode=0755")
    for path in paths:
        target = staging + path
        os.makedirs(target, exist_ok=True)
        kernel.mount(path, target, None, kernel.MS_BIND | kernel.MS_REC)
        kernel.make_read_only(target)
    for folder in ("/dev/shm", scratch_folder(paths)):
        os.makedirs(staging + folder, exist_ok=True)
    for device in DEVICES:
        os.close(os.open(staging + device, os.O_CREAT | os.O_WRONLY, 0o600))
        kernel.mount(device, staging + device, None, kernel.MS_BIND)
    kernel.enter_root(staging)
    kernel.make_read_only("/", recursive=False)


def _outlive(child: int) -> NoReturn:
    """The process between supervisor and process 1 only passes on the end."""
    kernel.close_from(0)
    os.waitpid(child, 0)
    os._exit(0)
