"""Pruning in rounds with healing between them: prune a little, learn, prune more, learn again.

Weights go by magnitude; the sparsity of a round follows the cubic rise of Zhu & Gupta 2017, "To prune,
or not to prune", eq. 1: much while there is much to spare, little at the end. Healing is distillation
from the checkpoint as it was (or another teacher), or fine-tuning on the true tokens. What went stays at
zero. One training throughout, with one warm-up and one decay. Not here: healing what another stage
pruned (distill.py does that).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..harness.checkpoints import Checkpoint, open_checkpoint
from ..harness.stage import StageContext, StagePlan, stage
from .achieved import Asked, measurement
from .dense import excluded, matrices, open_dense
from .distillation import Teaching
from .distributed import assert_alone
from .lesson import Lesson, learn, prepare
from .loop import Steps, plan_fit, reproducible
from .masks import Scope, apply, drop_smallest, zeros_kept
from .prune import check_fours, check_sparsity
from .speed import Timing

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneHealConfig(Steps):
    """Settings of `prune-heal`."""

    data: Mapping[str, int | None]
    """Datasets of chats or texts, with the number of rows of each (None: all)."""
    sparsity: float = 0.5
    """Share of the weights that are zero in the end."""
    rounds: int = 3
    """Times that weights are pruned; each round heals for the same number of steps."""
    scope: Scope = "matrix"
    exclude: tuple[str, ...] = ()
    """As in `prune`."""
    teaching: Teaching | None = field(default_factory=Teaching)
    """What the teacher counts; None heals on the true tokens alone."""
    teacher: str | None = None
    """Folder or hub id; None: the checkpoint as it was."""
    muon_lr: float = 8e-3
    adamw_lr: float = 3e-3
    timing: Timing = field(default_factory=Timing)
    """How speed before and after is measured."""

    def __post_init__(self) -> None:
        Steps.__post_init__(self)
        check_sparsity(self.sparsity, two_four=self.scope == "2:4")
        if self.rounds < 1 or (self.scope == "2:4" and self.rounds > 1):
            raise ValueError(f"rounds must be at least 1, and 1 for 2:4, got {self.rounds}")
        if self.teacher is not None and self.teaching is None:
            raise ValueError(f"teacher is {self.teacher!r}, but teaching is null; drop one of them")


def plan_prune_heal(
    checkpoint: Checkpoint | None, config: PruneHealConfig, context: StageContext
) -> StagePlan:
    """The dry run of `prune-heal`."""
    with prepared(checkpoint, config, context) as found:
        return plan_fit(
            found.student.model, found.examples, config, context, "prune-heal", found.loss
        )


@stage("prune-heal", config=PruneHealConfig, plan=plan_prune_heal)
def prune_heal(
    checkpoint: Checkpoint | None, config: PruneHealConfig, context: StageContext
) -> Checkpoint:
    """Prune in rounds, healing after each.

    Raises:
        UsageError: no checkpoint, a quantized one, an exclude that names nothing, or another tokenizer
            of the teacher.
        TrainingDiverged: the loss is not finite.
        CheckpointError: a checkpoint does not load, or the sparsity was not achieved.
        DataError: a row is too long, or neither chat nor text.
    """
    assert_alone(context, "prune-heal")
    with prepared(checkpoint, config, context) as found:
        weights = matrices(found.student.model, config.exclude)
        if config.scope == "2:4":
            check_fours(weights)
        learn(found, config, context, "prune-heal", in_rounds(weights, config))
    asked = Asked(
        sparsity=config.sparsity,
        two_four=config.scope == "2:4",
        among=lambda name: not excluded(name, config.exclude),
    )
    parent = found.student.parent
    return context.finish(
        found.student.saver(),
        parent=parent,
        stage="prune-heal",
        config=config,
        data=found.data,
        measure=measurement("prune-heal", parent, asked, config.timing, context),
        beside=found.others,
    )


@contextmanager
def prepared(
    checkpoint: Checkpoint | None, config: PruneHealConfig, context: StageContext
) -> Iterator[Lesson]:
    """The model, its rows and its loss while the block runs; seeded.

    Raises:
        UsageError, CheckpointError, DataError: see `prune_heal`.
    """
    dense = open_dense(checkpoint, "prune-heal", context)
    others = () if config.teacher is None else (open_checkpoint(config.teacher),)
    teacher = None
    if config.teaching is not None:
        teacher = open_dense(others[0] if others else dense.parent, "prune-heal", context)
    with (
        reproducible(context),
        prepare(dense, teacher, config.teaching, others, config.data, context) as found,
    ):
        yield found


def in_rounds(
    weights: Mapping[str, torch.Tensor], config: PruneHealConfig
) -> Callable[[int, int], None]:
    """Prunes where a round begins, and elsewhere keeps at zero what went.

    What went is read off the weights, so that a resumed training goes on without a state of its own.
    """
    masks: dict[str, torch.Tensor] = {}

    def constrain(done: int, steps: int) -> None:
        begins = {round(r * steps / config.rounds): r for r in range(config.rounds)}
        apply(masks, weights)
        if done in begins:
            share = sparsity_after(begins[done] + 1, config.rounds, config.sparsity)
            drop_smallest(weights, share, config.scope)
        if done in begins or not masks:
            masks.update(zeros_kept(weights))

    return constrain


def sparsity_after(done: int, rounds: int, final: float) -> float:
    """Sparsity after so many rounds (Zhu & Gupta 2017, eq. 1, from nothing)."""
    return final * (1 - (1 - done / rounds) ** 3)
