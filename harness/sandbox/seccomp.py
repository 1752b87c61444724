"""System-call filters: a wide one for a zygote, a narrow one for each of its children.

A zygote's filter lists what is allowed at all; everything else is refused. A child adds a short
filter that closes what only the zygote needed and looks at arguments. The kernel takes the
stricter answer of both, and neither can be taken off. The long list is thus translated once per
zygote, not once per sample.

No other language's program can run here (no exec), so the filter only has to suit Python.
Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

from . import kernel
from .syscalls import ALLOWED, AUDIT_ARCH, FIRST_NEW, NUMBERS, SPECIAL, ZYGOTE

Instruction = tuple[int, int, int, int]
Rule = list[Instruction]

# Classic BPF: load word, bit-and, jump if equal / greater or equal / any bit set, return.
_LD, _AND, _JEQ, _JGE, _JSET, _RET = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16
_ALLOW = (_RET, 0, 0, 0x7FFF0000)
_KILL = (_RET, 0, 0, 0x80000000)
_X32_BIT = 0x40000000
_SET_MODE_FILTER = 1
_OWN_PID = 0x7FFFFFF1

_CLONE_THREAD = 0x00010000
#: Every namespace, and CLONE_PARENT and CLONE_PTRACE, which would hand a child to the zygote.
_CLONE_NEVER = 0x7E02A000
# Terminal size and kind, bytes ready, close-on-exec, non-blocking: what file objects ask for.
_IOCTLS = (0x5401, 0x5413, 0x540F, 0x541B, 0x5421, 0x5450, 0x5451)
# Ask the kernel to signal others, lease files, watch folders, grow pipes.
_FCNTLS_REFUSED = (8, 10, 15, 1024, 1026, 1031)
# Thread names, memory names, and questions.
_PRCTLS = (3, 15, 16, 21, 23, 39, 0x53564D41)
_XATTRS = ("getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr")
_METADATA = (
    *("chmod", "fchmod", "fchmodat", "chown", "lchown", "fchown", "fchownat"),
    *("utime", "utimes", "futimesat", "utimensat"),
)


def zygote_filter(machine: str) -> bytes:
    """The wide filter, as a BPF program.

    Raises:
        OSError: there is no table for this machine.
    """
    if machine not in NUMBERS:
        raise OSError(errno.ENOSYS, f"no system-call table for {machine}")
    program: Rule = [
        (_LD, 0, 0, _ARCH),
        (_JEQ, 1, 0, AUDIT_ARCH[machine]),
        _KILL,
        (_LD, 0, 0, _NR),
        (_JGE, 0, 1, _X32_BIT),
        _refuse(errno.EPERM),
    ]
    numbers = NUMBERS[machine]
    for name in sorted(ALLOWED | SPECIAL | ZYGOTE):
        if name in numbers:
            program += [(_JEQ, 0, 1, numbers[name]), _ALLOW]
    program += [(_JGE, 0, 1, FIRST_NEW), _refuse(errno.ENOSYS), _refuse(errno.EPERM)]
    return _pack(program)


def sample_filter(machine: str, *, fork: bool, signals: bool, metadata: bool) -> bytes:
    """The narrow filter of one child.

    Args:
        machine: x86_64 or aarch64.
        fork: whether child processes are allowed.
        signals: whether signals are, beyond those to itself (set where others are out of reach).
        metadata: whether modes, owners and times of files may be changed; where not, the calls
            say that they succeeded and do nothing (Landlock does not cover them).
    """
    rules = {name: _deny(errno.EPERM) for name in ZYGOTE}
    rules |= {name: _deny(errno.ENOTSUP) for name in _XATTRS}
    rules |= {
        "clone3": _deny(errno.ENOSYS),
        "clone": _clone(fork),
        "socketpair": _stream_pair(),
        "sendto": _no_address(),
        "ioctl": _only(1, _IOCTLS),
        "fcntl": _all_but(1, _FCNTLS_REFUSED),
        "prctl": _only(0, _PRCTLS),
        "prlimit64": _only(0, (0, _OWN_PID)),
        "sched_setaffinity": _only(0, (0,)),
    }
    if not fork:
        rules |= {"fork": _deny(errno.EPERM), "vfork": _deny(errno.EPERM)}
    if not signals:
        rules |= {"kill": _only(0, (_OWN_PID,)), "tgkill": _only(0, (_OWN_PID,))}
    if not metadata:
        rules |= {name: _deny(0) for name in _METADATA}
    return _assemble(machine, rules)


class Filter:
    """A program laid out for the kernel ahead of time, since every sample installs one."""

    def __init__(self, program: bytes) -> None:
        self._buffer = ctypes.create_string_buffer(program, len(program))
        self._header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(self._buffer))
        mark = struct.pack("I", _OWN_PID)
        self._pids = [at for at in range(0, len(program), 4) if program[at : at + 4] == mark]

    def install(self, own_pid: int = 0) -> None:
        """Put it on this process for good; needs no-new-privileges. Raises OSError."""
        for at in self._pids:
            struct.pack_into("I", self._buffer, at, own_pid)
        kernel.syscall("seccomp", _SET_MODE_FILTER, 0, self._header)


def refusing(machine: str, names: tuple[str, ...], number: int = errno.EPERM) -> bytes:
    """A filter that refuses only `names`: how tests stand in for a container's own filter."""
    return _assemble(machine, {name: _deny(number) for name in names})


def _assemble(machine: str, rules: dict[str, Rule]) -> bytes:
    program: Rule = [(_LD, 0, 0, _NR)]
    for name, rule in sorted(rules.items()):
        if name in NUMBERS[machine]:
            program += [(_JEQ, 0, len(rule), NUMBERS[machine][name]), *rule]
    return _pack([*program, _ALLOW])


def _pack(program: Rule) -> bytes:
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def _refuse(number: int) -> Instruction:
    return (_RET, 0, 0, 0x00050000 | number)


def _deny(number: int) -> Rule:
    return [_refuse(number)]


def _low_word(argument: int) -> Instruction:
    return (_LD, 0, 0, _ARGS + 8 * argument)


def _only(argument: int, values: tuple[int, ...]) -> Rule:
    jumps = [(_JEQ, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [_low_word(argument), *jumps, _refuse(errno.EPERM), _ALLOW]


def _all_but(argument: int, values: tuple[int, ...]) -> Rule:
    jumps = [(_JEQ, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [_low_word(argument), *jumps, _ALLOW, _refuse(errno.EPERM)]


def _clone(fork: bool) -> Rule:
    """Threads always; processes where forking is allowed; never a namespace."""
    flags, refused = _low_word(0), (_JSET, 0, 1, _CLONE_NEVER)
    if fork:
        return [flags, refused, _refuse(errno.EPERM), _ALLOW]
    thread = (_JSET, 1, 0, _CLONE_THREAD)
    return [flags, refused, _refuse(errno.EPERM), thread, _refuse(errno.EPERM), _ALLOW]


def _stream_pair() -> Rule:
    """socketpair(AF_UNIX, SOCK_STREAM): asyncio needs it. Datagram pairs could be readdressed."""
    no = _refuse(errno.EPERM)
    family, kind = int(socket.AF_UNIX), int(socket.SOCK_STREAM)
    return [
        _low_word(0),
        (_JEQ, 1, 0, family),
        no,
        _low_word(1),
        (_AND, 0, 0, 0xF),
        (_JEQ, 1, 0, kind),
        no,
        _ALLOW,
    ]


def _no_address() -> Rule:
    """sendto with a null address, both halves of the pointer."""
    no, low = _refuse(errno.EPERM), _low_word(4)
    high = (_LD, 0, 0, low[3] + 4)
    return [low, (_JEQ, 1, 0, 0), no, high, (_JEQ, 1, 0, 0), no, _ALLOW]
