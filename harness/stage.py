"""Stages: what turns one checkpoint into the next.

A stage is a function `(checkpoint | None, config, context) -> Checkpoint` with `@stage` on it, a frozen
config whose every default is written out, and a dry run; pre-training starts from None. Output is
always a complete Hugging Face folder, written aside and renamed, so that a killed stage leaves none.
What a stage needs to go on after a kill lies in `context.work`, beside the output, and is removed on
success; a stage that keeps nothing there starts from its input again. Not here: the methods
(trainers/), gating and rollback (the loop).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from .checkpoints import Checkpoint, open_checkpoint, write_checkpoint
from .dataset_rows import Row
from .datasets import fingerprint
from .errors import UsageError
from .manifest import package_versions
from .plugins import Registry
from .records import content_hash
from .stage_config import from_settings, plain

Progress = Callable[[str, int, int], None]
#: Packages that weights may depend on, beside those of a Run.
_TRAINING = ("accelerate", "datasets", "peft", "trl")
#: Says in a work folder whose work it is.
_IDENTITY = "identity.json"


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
    world_size: int = 1
    """Processes that train together; a stage stops if it finds another number."""

    @property
    def rank(self) -> int:
        """This process among those that train together; 0 writes."""
        return int(os.environ.get("RANK", "0")) if self.world_size > 1 else 0

    @property
    def work(self) -> Path:
        """Folder of what a killed stage goes on from, beside the checkpoint folder."""
        return self.out.with_name(self.out.name + ".work")

    @property
    def kept(self) -> Path:
        """Where a stage may keep complete earlier checkpoints (`step-100` ...), beside the checkpoint
        folder; a loop's repair looks there."""
        return self.out.with_name(self.out.name + ".kept")

    @property
    def metrics_path(self) -> Path:
        """JSONL of training metrics, one object a line, beside the checkpoint folder."""
        return self.out.with_name(self.out.name + ".metrics.jsonl")

    def metric(self, step: int, **values: float) -> None:
        """Append one line of training metrics."""
        if self.rank:
            return
        self.metrics_path.parent.mkdir(parents=True, exist_ok=True)
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "time": round(time.time(), 3), **values}) + "\n")

    def begin(self, identity: Any) -> Path:
        """The work folder, emptied unless it belongs to the same work.

        Args:
            identity: whatever could change the weights: stage, settings, parent, rows.
        """
        wanted = content_hash(
            [
                identity,
                self.seed,
                self.device,
                self.threads,
                self.world_size,
                package_versions(_TRAINING),
            ]
        )
        file = self.work / _IDENTITY
        if not self.rank and (not file.is_file() or file.read_text(encoding="utf-8") != wanted):
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir(parents=True)
            file.write_text(wanted, encoding="utf-8")
        return self.work

    def rewind(self, step: int) -> None:
        """Drop the metrics after `step`: those steps are about to be done again, or for the first time."""
        if self.rank or not self.metrics_path.is_file():
            return
        lines = self.metrics_path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        self.metrics_path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def finish(
        self,
        save: Callable[[Path], None],
        *,
        parent: Checkpoint | None,
        stage: str,
        config: Any,
        data: Mapping[str, Sequence[Row]] | None = None,
        rows: Iterable[Row] | None = None,
        measure: Callable[[Path], Mapping[str, Any]] | None = None,
        beside: Sequence[Checkpoint] = (),
    ) -> Checkpoint:
        """Write, verify and rename the new checkpoint with its lineage; then remove the work folder.

        Args:
            save: fills a folder; called in process 0 only.
            data: the rows the stage trained on or calibrated with, under the references that the recipe
                names.
            rows: the same, where they are not `data` or are unknown; see `write_checkpoint`.
            measure, beside: see `write_checkpoint`.

        Raises:
            CheckpointError: what was saved is not a complete checkpoint.
        """
        if self.rank:
            self.wait()
            return open_checkpoint(self.out)
        made = write_checkpoint(
            self.out,
            save,
            parent=parent,
            stage=stage,
            settings=plain(config),
            rows=chain.from_iterable(data.values()) if data is not None else rows,
            measure=measure,
            beside=beside,
            made={
                "data": {name: fingerprint(found) for name, found in (data or {}).items()},
                "seed": self.seed,
                "device": self.device,
                "threads": self.threads,
                "world_size": self.world_size,
                "packages": package_versions(_TRAINING),
            },
        )
        shutil.rmtree(self.work, ignore_errors=True)
        self.wait()
        return made

    def wait(self) -> None:
        """Return when every process that trains with this one has come here."""
        if self.world_size > 1:
            from torch import distributed

            distributed.barrier()


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # torn by a kill


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What a stage would do, before it does it; None where another program decides."""

    stage: str
    rows: int
    tokens: int | None
    """Tokens of one pass over the rows, padding not counted."""
    steps: int | None
    """Optimizer steps in all."""
    parameters: int | None
    trainable: int | None
    memory_bytes: int | None
    """Weights, gradients, optimizer state and a reference model; activations are not in it."""
    seconds: float | None
    """Steps times the time of a measured one; None where none was measured."""
    notes: tuple[str, ...] = ()
    """What else would be done, a line each."""


class StageFunction(Protocol):
    """The work of a stage."""

    def __call__(
        self, checkpoint: Checkpoint | None, config: Any, context: StageContext
    ) -> Checkpoint: ...


class PlanFunction(Protocol):
    """The dry run of a stage: reads and checks the data, writes nothing."""

    def __call__(
        self, checkpoint: Checkpoint | None, config: Any, context: StageContext
    ) -> StagePlan: ...


def given(checkpoint: Checkpoint | None, stage: str) -> Checkpoint:
    """The checkpoint that a stage is to start from.

    Raises:
        UsageError: there is none.
    """
    if checkpoint is None:
        raise UsageError(
            f"Stage '{stage}' needs a checkpoint to start from; name one or pretrain first."
        )
    return checkpoint


@dataclass(frozen=True, slots=True)
class Stage:
    """A registered stage."""

    name: str
    config: type[Any]
    function: StageFunction
    planner: PlanFunction | None = None

    def run(
        self, checkpoint: Checkpoint | None, context: StageContext, **settings: Any
    ) -> Checkpoint:
        """Train or compress, and return the new checkpoint.

        Raises:
            UsageError: a setting the config does not have or refuses, or the output folder exists.
        """
        config = from_settings(self.config, settings, self.name)
        if context.out.exists():
            raise UsageError(f"'{context.out}' exists already; choose another output folder.")
        return self.function(checkpoint, config, context)

    def plan(
        self, checkpoint: Checkpoint | None, context: StageContext, **settings: Any
    ) -> StagePlan:
        """What `run` would do with the same arguments.

        Raises:
            UsageError: as `run`, or the stage has no dry run.
        """
        if self.planner is None:
            raise UsageError(f"Stage '{self.name}' has no dry run; run it.")
        return self.planner(checkpoint, from_settings(self.config, settings, self.name), context)

    def settings(self, **settings: Any) -> dict[str, Any]:
        """Every setting after defaults, as recorded in a checkpoint."""
        return plain(from_settings(self.config, settings, self.name))


stages: Registry[Stage] = Registry("stage", "waterbed.stages")


def stage(
    name: str, *, config: type[Any], plan: PlanFunction | None = None
) -> Callable[[StageFunction], StageFunction]:
    """Register a function as a stage.

    Args:
        config: a frozen dataclass whose fields are the settings; its `__post_init__` may raise ValueError.
        plan: the dry run.
    """

    def register(function: StageFunction) -> StageFunction:
        stages.add(name, Stage(name, config, function, plan))
        return function

    return register
