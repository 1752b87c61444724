"""Landlock: which files a process tree may touch, no TCP, no signals or abstract sockets outwards.

Rights follow the kernel's ABI version: 1 files, 3 truncation, 4 TCP, 5 device ioctls, 6 scopes.
Not covered by Landlock at all: UDP, metadata (chmod, chown, utime), stat and chdir; the
system-call filter deals with the first two. Standard library only.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Sequence

from . import kernel

_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_READ_FILE, _WRITE_FILE, _READ_DIR = 1 << 2, 1 << 1, 1 << 3
_EXECUTE, _MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 0, 1 << 6, 1 << 9, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_ABI_1 = (1 << 13) - 1
_TCP = 3
_SCOPES = 3
SCOPED_ABI = 6
#: Version 1 cannot move folders, which emptying a scratch folder does.
LEAST_ABI = 2


def abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    try:
        return kernel.syscall("landlock_create_ruleset", None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def files_ruleset(readable: Sequence[str], writable: Sequence[str], devices: Sequence[str]) -> int:
    """A ruleset for a whole zygote: read there, write here, nothing else; no TCP; scoped.

    Returns:
        A descriptor for `restrict`. Paths that do not exist are skipped.
    """
    version = abi()
    handled = _rights(version)
    ruleset = _create(handled, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    write = handled & ~(_EXECUTE | _MAKE_CHAR | _MAKE_SOCK | _MAKE_BLOCK | _IOCTL_DEV)
    for path in readable:
        _add(ruleset, path, _READ_FILE | _READ_DIR)
    for path in writable:
        _add(ruleset, path, write)
    for path in devices:
        _add(ruleset, path, _READ_FILE | _WRITE_FILE)
    return ruleset


def scopes_ruleset() -> int | None:
    """A ruleset that only keeps signals and abstract sockets inside; None before ABI 6."""
    return _create(0, 0, _SCOPES) if abi() >= SCOPED_ABI else None


def network_ruleset() -> int | None:
    """A ruleset without file rules, for a zygote that has its own root; None before ABI 6."""
    return _create(0, _TCP, _SCOPES) if abi() >= SCOPED_ABI else None


def restrict(ruleset: int) -> None:
    """Confine this process and its later children; needs no-new-privileges. Raises OSError."""
    kernel.syscall("landlock_restrict_self", ruleset, 0)


def _rights(version: int) -> int:
    rights = _ABI_1
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        rights |= right if version >= since else 0
    return rights


def _create(files: int, network: int, scopes: int) -> int:
    attributes = struct.pack("QQQ", files, network, scopes)
    # Older kernels know a shorter structure, and refuse a longer one unless the rest is zero.
    size = 24 if scopes else 16 if network else 8
    return kernel.syscall("landlock_create_ruleset", attributes, size, 0)


def _add(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
        rule = struct.pack("=Qi", rights, fd)
        kernel.syscall("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(fd)
