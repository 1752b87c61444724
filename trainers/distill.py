"""Distillation: a student learns a teacher's distribution, and its hidden states if asked.

The student is the checkpoint (smaller after `prune-structured`, or sparse after `prune`), or a fresh
model of another shape with the checkpoint's tokenizer. Weights that are zero stay zero, so that this
heals a pruned checkpoint without filling it up. The losses are in distillation.py, the loop in loop.py.
Not here: answers that the student wrote itself (on-policy); several processes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..harness.checkpoints import Checkpoint, open_checkpoint
from ..harness.errors import UsageError
from ..harness.stage import StageContext, StagePlan, stage
from .achieved import Asked, measurement, sparsity, weigh
from .dense import matrices, open_dense
from .distillation import Teaching
from .distributed import assert_alone
from .lesson import Lesson, learn, prepare
from .loop import Steps, plan_fit, reproducible
from .masks import apply, zeros_kept
from .speed import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A fresh student: what differs from the teacher's config."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads must be a multiple of num_key_value_heads, got "
                f"{self.num_attention_heads} and {self.num_key_value_heads}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillConfig(Steps):
    """Settings of `distill`."""

    data: Mapping[str, int | None]
    """Datasets of chats or texts, with the number of rows of each (None: all)."""
    teacher: str | None = None
    """Folder or hub id; None: the checkpoint itself teaches a fresh student."""
    student: Shape | None = None
    """Shape of a fresh student; None: the checkpoint is the student."""
    teaching: Teaching = field(default_factory=Teaching)
    muon_lr: float = 8e-3
    adamw_lr: float = 3e-3
    timing: Timing = field(default_factory=Timing)
    """How speed before and after is measured."""

    def __post_init__(self) -> None:
        Steps.__post_init__(self)
        if self.teacher is None and self.student is None:
            raise ValueError(
                "name a teacher, or the shape of a student that the checkpoint is to teach"
            )


def plan_distill(
    checkpoint: Checkpoint | None, config: DistillConfig, context: StageContext
) -> StagePlan:
    """The dry run of `distill`."""
    with prepared(checkpoint, config, context) as found:
        return plan_fit(found.student.model, found.examples, config, context, "distill", found.loss)


@stage("distill", config=DistillConfig, plan=plan_distill)
def distill(
    checkpoint: Checkpoint | None, config: DistillConfig, context: StageContext
) -> Checkpoint:
    """Teach a student.

    Raises:
        UsageError: no checkpoint, a quantized one, or a teacher with another tokenizer.
        TrainingDiverged: the loss is not finite.
        CheckpointError: a checkpoint does not load, or zeros were not kept.
        DataError: a row is too long, or neither chat nor text.
    """
    assert_alone(context, "distill")
    with prepared(checkpoint, config, context) as found:
        weights = matrices(found.student.model)
        masks = zeros_kept(weights)
        learn(found, config, context, "distill", lambda _done, _steps: apply(masks, weights))
    parent = found.student.parent
    asked = Asked(sparsity=sparsity(weigh(parent.path).inner.values()) if masks else None)
    return context.finish(
        found.student.saver(),
        parent=parent,
        stage="distill",
        config=config,
        data=found.data,
        measure=measurement("distill", parent, asked, config.timing, context),
        beside=found.others,
    )


@contextmanager
def prepared(
    checkpoint: Checkpoint | None, config: DistillConfig, context: StageContext
) -> Iterator[Lesson]:
    """The student with its teacher and rows while the block runs; seeded.

    Raises:
        UsageError, CheckpointError, DataError: see `distill`.
    """
    dense = open_dense(checkpoint, "distill", context)
    others = () if config.teacher is None else (open_checkpoint(config.teacher),)
    taught = dense if not others else open_dense(others[0], "distill", context)
    with reproducible(context):
        student = dense
        if config.student is not None:
            student = replace(dense, model=fresh(taught.model, config.student, context))
        with prepare(student, taught, config.teaching, others, config.data, context) as found:
            yield found


def fresh(teacher: Any, shape: Shape, context: StageContext) -> Any:
    """An untrained model of the teacher's kind and another shape, in float32.

    Raises:
        UsageError: the teacher's kind of model has no such settings.
    """
    import torch

    config = copy.deepcopy(teacher.config)
    missing = [name for name in asdict(shape) if not hasattr(config, name)]
    if missing:
        raise UsageError(
            f"A model of type '{config.model_type}' has no {missing[0]}; shrink it with another tool and "
            "name the result as the checkpoint."
        )
    for name, value in asdict(shape).items():
        setattr(config, name, value)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: shape.num_hidden_layers]
    config.dtype = torch.float32
    model = type(teacher)(config).to(context.device)
    model.generation_config = copy.deepcopy(teacher.generation_config)
    return model
