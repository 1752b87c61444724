"""The pocket base model and its recipes, as data: stage names and settings, tuned on the dev split.

`base_checkpoint` pre-trains once and keeps the result under the cache folder; the key holds whatever
could change the weights, a sample of the generated rows and the trainer's source among them. Stages
are found by name, as a user's recipe finds them; nothing of trainers/ is imported here.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...harness.checkpoints import Checkpoint, open_checkpoint
from ...harness.datasets import load
from ...harness.folders import cache_folder
from ...harness.records import content_hash
from ...harness.stage import Progress, Stage, StageContext, stages
from .data import REPLAY

#: A stage by name, with its settings.
Recipe = tuple[str, Mapping[str, Any]]


def replay(n: int, *, besides: str) -> dict[str, int]:
    """About `n` rows of replay data for every domain but `besides`, in the shares of REPLAY."""
    shares = {domain: share for domain, share in REPLAY.items() if domain != besides}
    total = sum(shares.values())
    return {f"pocket/{d}-replay@train": round(n * s / total) for d, s in shares.items()}


BASE: Recipe = ("pretrain", {"data": {"pocket/pretrain@train": 40_000}})
#: Fine-tuning on maths alone: maths rises and every other domain collapses.
MATH_ALONE: Recipe = ("sft", {"data": {"pocket/math@train": 6000}})
#: The same with replay: maths rises further and the others stay.
MATH_WITH_REPLAY: Recipe = (
    "sft",
    {"data": {"pocket/math@train": 6000, **replay(8000, besides="math")}},
)


def _unwatched(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def base_checkpoint(
    progress: Progress = _unwatched, *, seed: int = 0, threads: int = 1
) -> Checkpoint:
    """The pocket base, from the cache or pre-trained now (about 80 CPU-seconds)."""
    return trained("base", BASE, progress, seed=seed, threads=threads)


def trained(
    label: str, recipe: Recipe, progress: Progress = _unwatched, *, seed: int = 0, threads: int = 1
) -> Checkpoint:
    """What a recipe makes from nothing, from the cache or trained now; `label` begins its folder's name."""
    name, settings = recipe
    stage = stages.get(name)
    key = _key(stage, settings, seed, threads)
    folder = cache_folder("pocket") / f"{label}-{key}"
    if not folder.is_dir():
        aside = folder.with_name(f"{folder.name}.{os.getpid()}")
        context = StageContext(aside, seed=seed, threads=threads, progress=progress)
        with _one_at_a_time(folder):
            if not folder.is_dir():  # another process may have made it meanwhile
                stage.run(None, context, **settings)
                os.replace(context.metrics_path, folder.with_name(f"{folder.name}.metrics.jsonl"))
                os.replace(aside, folder)
    return open_checkpoint(folder)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let others wait while one process trains; a process that dies lets the next one in."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _key(stage: Stage, settings: Mapping[str, Any], seed: int, threads: int) -> str:
    """Changes with the generators, the trainer, the settings, the seed, torch and the threads."""
    import torch

    rows = [
        row for name in settings["data"] for row in load(name, shape="messages", n=2000, seed=seed)
    ]
    parts = [
        *(content_hash(rows), _source(stage), stage.settings(**settings)),
        *(seed, threads, torch.__version__),
    ]
    return content_hash(parts)


def _source(stage: Stage) -> str:
    """Hash of the source of the stage's module and of all it imports, at once or later, beside it."""
    folder = Path(inspect.getfile(sys.modules[stage.function.__module__])).parent
    texts: dict[str, str] = {}
    wanted = {stage.function.__module__.rpartition(".")[2]}
    while wanted:
        name = wanted.pop()
        texts[name] = (folder / f"{name}.py").read_text(encoding="utf-8")
        imports = (n for n in ast.walk(ast.parse(texts[name])) if isinstance(n, ast.ImportFrom))
        wanted |= {n.module for n in imports if n.level == 1 and n.module} - texts.keys()
    return hashlib.sha256("\0".join(texts[name] for name in sorted(texts)).encode()).hexdigest()
