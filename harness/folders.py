"""Where things lie on this machine: caches, official data, reference vectors.

Three environment variables: WATERBED_CACHE, WATERBED_DATA, WATERBED_VECTORS. Nothing is downloaded
here.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .errors import DataError, UsageError


def cache_folder(kind: str) -> Path:
    """The folder for one kind of cached thing, made if needed (or at least tried)."""
    base = os.environ.get("WATERBED_CACHE") or os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base else Path.home() / ".cache"
    folder = root / kind if os.environ.get("WATERBED_CACHE") else root / "waterbed" / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        pass  # callers treat a cache that cannot be written as an empty one
    return folder


def data_root() -> Path | None:
    """The folder of official benchmark data, where the user has one."""
    root = os.environ.get("WATERBED_DATA")
    return Path(root) if root else None


def data_path(relative: str, where: str) -> Path:
    """A file below WATERBED_DATA, whatever its content.

    Args:
        relative: path below WATERBED_DATA.
        where: one phrase that says where users get it.

    Raises:
        UsageError: WATERBED_DATA is not set or lacks the file.
    """
    root = data_root()
    if root is None or not (root / relative).is_file():
        seen = "WATERBED_DATA is not set" if root is None else f"'{root / relative}' is missing"
        raise UsageError(f"{seen}; put {where} there as {relative}.")
    return root / relative


def data_file(relative: str, sha256: str, where: str) -> Path:
    """An official data file below WATERBED_DATA, with the content the suite was written for.

    Args:
        relative, where: as of `data_path`.
        sha256: the recorded hash of its content.

    Raises:
        UsageError: WATERBED_DATA is not set or lacks the file.
        DataError: the content is another.
    """
    path = data_path(relative, where)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise DataError(
            f"'{path}' has sha256 {found[:12]}..., the suite was written for {sha256[:12]}...; "
            f"get {where} again."
        )
    return path
