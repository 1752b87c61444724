"""The folder a sample may write where it has no file system of its own (L2 and L1).

Measured while the sample runs, emptied when it is gone. The tree is made by hostile code: it may
be deep, huge, unreadable or full of links, so it is walked without recursion and without ever
following a link. Standard library only.
"""

from __future__ import annotations

import os
import stat

_BLOCK = 512


def over_limit(root: str, disk_bytes: int, inodes: int) -> bool:
    """Whether the tree holds more bytes or files than allowed; stops counting when it does."""
    used = entries = 0
    folders = [root]
    while folders:
        try:
            listing = os.scandir(folders.pop())
        except FileNotFoundError:  # deleted meanwhile
            continue
        except OSError:
            return True  # too deep to name, or made unreadable: no honest program does that
        with listing:
            for entry in listing:
                status = _status(entry)
                entries += 1
                used += status.st_blocks * _BLOCK if status else 0
                if used > disk_bytes or entries > inodes:
                    return True
                if status and stat.S_ISDIR(status.st_mode):
                    folders.append(entry.path)
    return False


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


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:  # deleted meanwhile
        return None
