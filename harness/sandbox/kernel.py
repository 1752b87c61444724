"""The few Linux calls that Python's standard library lacks, through ctypes.

Each wrapper raises OSError with the name of the call. No policy here. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from .syscalls import NUMBERS

_LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000

PR_SET_PDEATHSIG = 1
#: 0 also keeps a core-dump handler of the host's from being started by a crash.
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_HEADER = struct.pack("Ii", 0x20080522, 0)


_NUMBERS = NUMBERS.get(platform.machine(), {})


def machine() -> str:
    """`x86_64` or `aarch64`, the two there are tables for; else whatever this is."""
    return platform.machine()


def syscall(name: str, *args: object) -> int:
    """Call by name; raises OSError, and KeyError on a machine there is no table for."""
    return _check(name, _LIBC.syscall(_NUMBERS[name], *args))


def unshare(flags: int) -> None:
    """Move this process (for PID: its next children) into new namespaces."""
    _check("unshare", _LIBC.unshare(flags))


def setns(fd: int, kind: int) -> None:
    """Enter the namespace behind `fd`."""
    _check("setns", _LIBC.setns(fd, kind))


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2)."""
    words = [word.encode() if word is not None else None for word in (source, target, kind)]
    _check(f"mount {target}", _LIBC.mount(*words, ctypes.c_ulong(flags), options.encode()))


def make_read_only(target: str, *, recursive: bool = True) -> None:
    """Make a mount, and those below it, read-only, without setuid and devices (Linux 5.12)."""

    class MountAttr(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]

    attr = MountAttr(MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    path = target.encode()
    syscall("mount_setattr", _AT_FDCWD, path, flags, ctypes.byref(attr), ctypes.sizeof(attr))


def enter_root(path: str) -> None:
    """Make `path`, a mount point, the root; the old root is gone afterwards."""
    os.chdir(path)
    syscall("pivot_root", b".", b".")
    _check("umount2", _LIBC.umount2(b".", MNT_DETACH))
    os.chdir("/")


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument."""
    zero = ctypes.c_ulong(0)
    _check(f"prctl {option}", _LIBC.prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def drop_capabilities() -> None:
    """Give up every capability: effective, permitted, inheritable and ambient."""
    _LIBC.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    syscall("capset", _CAPABILITY_HEADER, bytes(24))


def close_from(lowest: int) -> None:
    """Close every descriptor from `lowest` up."""
    os.closerange(lowest, 1 << 16)


def _check(what: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
