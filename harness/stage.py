"""Stages: what turns one checkpoint into the next.

A stage is a function `(checkpoint | None, config, context) -> Checkpoint` with `@stage` on it and a
frozen config whose every default is written out; pre-training starts from None. Output is always a
complete Hugging Face folder, written aside and renamed. Not here: the methods (trainers/), gating and
rollback (the loop).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .checkpoints import Checkpoint
from .errors import UsageError
from .plugins import Registry

C = TypeVar("C")
Progress = Callable[[str, int, int], None]


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class StageContext:
    """Where a stage works and whom it tells."""

    out: Path
    """Folder of the new checkpoint; must not exist yet."""
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    progress: Progress = _silent
    """Called with (what, steps done, steps in all)."""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def metrics_path(self) -> Path:
        """JSONL of training metrics, one object a line, beside the checkpoint folder."""
        return self.out.with_name(self.out.name + ".metrics.jsonl")

    def metric(self, step: int, **values: float) -> None:
        """Append one line of training metrics."""
        self.metrics_path.parent.mkdir(parents=True, exist_ok=True)
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "time": round(time.time(), 3), **values}) + "\n")


class StageFunction(Protocol):
    """The work of a stage."""

    def __call__(
        self, checkpoint: Checkpoint | None, config: Any, context: StageContext
    ) -> Checkpoint: ...


@dataclass(frozen=True, slots=True)
class Stage:
    """A registered stage."""

    name: str
    config: type[Any]
    function: StageFunction

    def run(
        self, checkpoint: Checkpoint | None, context: StageContext, **settings: Any
    ) -> Checkpoint:
        """Train or compress, and return the new checkpoint.

        Raises:
            UsageError: a setting the config does not have or refuses, or the output folder exists.
        """
        if context.out.exists():
            raise UsageError(f"'{context.out}' exists already; choose another output folder.")
        try:
            config = self.config(**settings)
        except (TypeError, ValueError) as error:
            raise UsageError(f"Stage '{self.name}': {error}.") from error
        return self.function(checkpoint, config, context)

    def settings(self, **settings: Any) -> dict[str, Any]:
        """Every setting after defaults, as recorded in a Run."""
        return asdict(self.config(**settings))


stages: Registry[Stage] = Registry("stage", "waterbed.stages")


def stage(name: str, *, config: type[Any]) -> Callable[[StageFunction], StageFunction]:
    """Register a function as a stage."""

    def register(function: StageFunction) -> StageFunction:
        stages.add(name, Stage(name, config, function))
        return function

    return register
