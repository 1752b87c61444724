"""The three ways a zygote confines itself and its children, one class a level.

A place is made once per zygote (`__init__` confines the zygote itself), forks (`fork`), confines
each child (`confine`, in the child) and cleans up after it (`tidy`).
Standard library only.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from typing import Any, Protocol

from . import kernel, landlock, namespaces, scratch, seccomp
from .interpreter import DEVICES, needed_paths, stay_reachable

#: A zygote and the process above it count as tasks of the same user.
_OWN_TASKS = 2
#: Where samples share their uid with a person's other processes, these may grow meanwhile.
_SHARED_SLACK = 256
_EXACT_NPROC = (5, 14)
_STACK = 8 << 20
_SWEEPS = 200


class Place(Protocol):
    """Where samples live: `scratch` is the folder they may write, as they see it.

    `kept` are descriptors that children must leave open.
    """

    scratch: str
    kept: list[int]

    def fork(self) -> int: ...

    def confine(self, limits: dict[str, Any], fork: bool) -> None: ...

    def over_limit(self, limits: dict[str, Any]) -> bool: ...

    def tidy(self) -> None: ...


class Namespaces:
    """L3. `disposable` children (candidates) get namespaces of their own; checkers share."""

    def __init__(self, config: dict[str, Any]) -> None:
        paths = needed_paths(config["packages"])
        self.scratch = namespaces.scratch_folder(paths)
        self.kept: list[int] = []
        self._disposable = config["role"] == "candidate"
        self._shared_tasks = _shared_tasks(config["uid"], os.uname().release)
        self._namespace = namespaces.enter(config["folder"], paths, config["uid"])
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        network = landlock.network_ruleset()
        if network is not None:
            landlock.restrict(network)
            os.close(network)
        self._filters = _filters(signals=True, metadata=True)
        seccomp.Filter(seccomp.zygote_filter(kernel.machine())).install()

    def fork(self) -> int:
        return namespaces.fork_inside(self._namespace) if self._disposable else os.fork()

    def confine(self, limits: dict[str, Any], fork: bool) -> None:
        if self._disposable:
            namespaces.own_scratch(self.scratch, limits)
        os.chdir(self.scratch)
        os.setsid()
        set_limits(limits, fork, self._shared_tasks)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.drop_capabilities()
        self._filters[fork].install(os.getpid())

    def over_limit(self, limits: dict[str, Any]) -> bool:  # noqa: ARG002
        return False  # the file systems have sizes of their own

    def tidy(self) -> None:
        """Nothing to do: everything went with the child's namespaces."""


class Landlocked:
    """L2: no namespaces; rules on files, signals and system calls, and a wiped folder."""

    def __init__(self, config: dict[str, Any]) -> None:
        if landlock.abi() < landlock.LEAST_ABI:
            raise OSError("this kernel has no Landlock, or an old one (Linux 5.19)")
        self.scratch = config["folder"]
        self._shared_tasks = _shared_tasks(config["uid"], "0.0")
        self._children = _children_file()
        paths = needed_paths(config["packages"])
        files = landlock.files_ruleset([*paths, "/etc/ld.so.cache"], [self.scratch], DEVICES)
        self._scopes = landlock.scopes_ruleset()
        self.kept = []
        if config["uid"] is not None:
            self.kept = stay_reachable()
            namespaces.become(config["uid"])
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        landlock.restrict(files)
        os.close(files)
        self._filters = _filters(signals=False, metadata=config["uid"] is not None)
        if self._scopes is not None:  # only then may the processes of one sample signal each other
            self._filters[True] = _filters(signals=True, metadata=config["uid"] is not None)[True]
        seccomp.Filter(seccomp.zygote_filter(kernel.machine())).install()

    def fork(self) -> int:
        return os.fork()

    def confine(self, limits: dict[str, Any], fork: bool) -> None:
        if fork and self._children is None:
            raise OSError("this kernel does not list children, so forked ones could not be ended")
        os.chdir(self.scratch)
        os.setsid()
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        set_limits(limits, fork, self._shared_tasks)
        if not self.kept:  # reaching an interpreter by /proc/self/fd needs the opposite
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        if self._scopes is not None:
            landlock.restrict(self._scopes)
        self._filters[fork].install(os.getpid())

    def over_limit(self, limits: dict[str, Any]) -> bool:
        return scratch.over_limit(self.scratch, limits["disk_bytes"], limits["inodes"])

    def tidy(self) -> None:
        sweep(self._children)
        scratch.empty(self.scratch)


class Bare:
    """L1: limits, a session and a clean environment. No isolation whatever."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.kept: list[int] = []
        self.scratch = config["folder"]
        self._shared_tasks = _shared_tasks(None, "0.0")
        self._children = _children_file()
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)

    def fork(self) -> int:
        return os.fork()

    def confine(self, limits: dict[str, Any], fork: bool) -> None:
        if fork and self._children is None:
            raise OSError("this kernel does not list children, so forked ones could not be ended")
        os.chdir(self.scratch)
        os.setsid()
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        set_limits(limits, fork, self._shared_tasks)

    def over_limit(self, limits: dict[str, Any]) -> bool:
        return scratch.over_limit(self.scratch, limits["disk_bytes"], limits["inodes"])

    def tidy(self) -> None:
        sweep(self._children)
        scratch.empty(self.scratch)


PLACES: dict[str, type[Namespaces] | type[Landlocked] | type[Bare]] = {
    "L3": Namespaces,
    "L2": Landlocked,
    "L1": Bare,
}


def set_limits(limits: dict[str, Any], fork: bool, shared_tasks: int) -> None:
    """Resource limits of this process, soft and hard alike (CPU: a second apart)."""
    share = limits["processes"] if fork else 1
    tasks = (limits["processes"] if fork else limits["tasks"]) + _OWN_TASKS + shared_tasks
    cpu = limits["cpu_s"]
    os.umask(0o077)
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_AS, limits["memory_bytes"] // share, None),
        (resource.RLIMIT_NPROC, tasks, None),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], None),
        (resource.RLIMIT_NOFILE, limits["open_files"], None),
        (resource.RLIMIT_STACK, _STACK, None),
        (resource.RLIMIT_CORE, 0, None),
        (resource.RLIMIT_MEMLOCK, 0, None),
        (resource.RLIMIT_MSGQUEUE, 0, None),
    ):
        _limit(kind, soft, soft if hard is None else hard)


def _limit(kind: int, soft: int, hard: int) -> None:
    ceiling = resource.getrlimit(kind)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))


def _filters(*, signals: bool, metadata: bool) -> dict[bool, seccomp.Filter]:
    """The filters of samples that may not fork and of those that may."""

    def build(fork: bool) -> seccomp.Filter:
        machine = kernel.machine()
        program = seccomp.sample_filter(machine, fork=fork, signals=signals, metadata=metadata)
        return seccomp.Filter(program)

    return {fork: build(fork) for fork in (False, True)}


def _shared_tasks(uid: int | None, release: str) -> int:
    """Tasks of other programs that RLIMIT_NPROC will count: 0 for a uid of one's own.

    Since Linux 5.14 a user namespace counts for itself.
    """
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2])
    if uid is not None or version >= _EXACT_NPROC:
        return 0
    return sum(map(_tasks_if_mine, filter(str.isdigit, os.listdir("/proc")))) + _SHARED_SLACK


def _tasks_if_mine(pid: str) -> int:
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.getuid():
            return 0
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:  # ended meanwhile, or hidden
        return 0


def _children_file() -> int | None:
    """A descriptor that lists this process's children, opened while /proc is in reach."""
    try:
        return os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def sweep(children: int | None) -> None:
    """Kill and reap every remaining descendant: orphans become this process's children.

    Raises:
        OSError: some would not die.
    """
    for _ in range(_SWEEPS):
        pids = os.pread(children, 1 << 16, 0).split() if children is not None else []
        if not pids:
            return
        for pid in map(int, pids):
            os.kill(pid, signal.SIGKILL)
        for _ in pids:
            os.waitpid(-1, 0)
        time.sleep(0)
    raise OSError("processes of a sample survive being killed")
