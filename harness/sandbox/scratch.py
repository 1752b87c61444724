"""The folder a sample may write where it has no file system of its own (L2 and L1).

Measured while the sample runs, emptied when it is gone. The tree is made by hostile code: it may
be deep, huge, unreadable or full of links, so it is walked without recursion and without ever
following a link. Standard library only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

_BLOCK = 512


def over_limit(root: str, disk_bytes: int, inodes: int) -> bool:
    """Whether the tree holds more bytes or files than allowed; stops counting when it does.

    A folder that is too deep to name, or made unreadable, counts as over: no honest program makes
    one, and anything could be hidden in it.
    """
    used = entries = 0
    folders = [root]
    while folders:
        try:
            for status, path in _entries(folders.pop()):
                entries += 1
                used += status.st_blocks * _BLOCK
                if used > disk_bytes or entries > inodes:
                    return True
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path)
        except FileNotFoundError:  # a folder deleted meanwhile
            continue
        except OSError:
            return True
    return False


def _entries(folder: str) -> Iterator[tuple[os.stat_result, str]]:
    with os.scandir(folder) as listing:
        for entry in listing:
            try:
                yield entry.stat(follow_symlinks=False), entry.path
            except FileNotFoundError:  # deleted meanwhile
                continue


def empty(root: str) -> None:
    """Delete everything below `root`. Raises OSError when something cannot be deleted.

    Folders inside folders are moved up to `root` first, so that no path ever gets long.
    """
    serial = 0
    while names := os.listdir(root):
        for name in names:
            path = os.path.join(root, name)
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in os.listdir(path):
                below = os.path.join(path, inner)
                if stat.S_ISDIR(os.lstat(below).st_mode):
                    os.chmod(below, 0o700)  # a folder can only be moved by who may write it
                    serial += 1
                    os.rename(below, os.path.join(root, f".moved-{serial}-{os.urandom(8).hex()}"))
                else:
                    os.unlink(below)
            os.rmdir(path)
