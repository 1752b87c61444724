"""Which files of the host a Python interpreter needs, and how it keeps reaching them.

Not here: who may read them (namespaces.py mounts them, landlock.py allows them).
Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import os
import platform
import stat
import sys

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_EXTRA = ("/usr/share/zoneinfo",)


def needed_paths(packages: list[str]) -> list[str]:
    """Standard library, installed packages and shared libraries, without any inside another."""
    found = [*sys.path, *packages, *_library_folders(), *_EXTRA]
    kept: list[str] = []
    for path in sorted({os.path.abspath(p) for p in found if os.path.isdir(p)}):
        if path != "/" and not any(path.startswith(f"{parent}/") for parent in kept):
            kept.append(path)
    return kept


def _library_folders() -> list[str]:
    """Where shared libraries come from: those already mapped, and the system's own."""
    with open("/proc/self/maps") as maps:
        rows = [line.split(maxsplit=5) for line in maps]
    folders = {os.path.dirname(row[5].strip()) for row in rows if len(row) == 6 and ".so" in row[5]}
    triplet = f"{platform.machine()}-linux-gnu"
    system = [f"/lib/{triplet}", f"/usr/lib/{triplet}"]
    if not any(map(os.path.isdir, system)):
        system = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"]
    return [*folders, *system]


def stay_reachable() -> list[int]:
    """Hold open what `sys.path` names below folders that only this user may enter.

    A process that gives up root could no longer import anything from an interpreter under
    /root (pyenv, uv). An open folder needs no permission on the folders above it, so such entries
    are reached through /proc/self/fd from now on.

    Returns:
        The descriptors to keep open; empty where nothing is private.
    """
    held = []
    for index, path in enumerate(sys.path):
        if os.path.exists(path) and _private(path):
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            held.append(fd)
            sys.path[index] = f"/proc/self/fd/{fd}"
            _repoint(path, sys.path[index])
    sys.path_importer_cache.clear()
    return held


def _private(path: str) -> bool:
    folder = os.path.dirname(os.path.realpath(path))
    while folder != "/":
        if not os.stat(folder).st_mode & stat.S_IXOTH:
            return True
        folder = os.path.dirname(folder)
    return False


def _repoint(old: str, new: str) -> None:
    """Let packages imported so far find their submodules at the new place."""
    for module in list(sys.modules.values()):
        if paths := getattr(module, "__path__", None):
            for index, path in enumerate(paths):
                if path.startswith(f"{old}/"):
                    paths[index] = new + path[len(old) :]
