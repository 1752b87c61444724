"""Magnitude pruning in one shot: the smallest weights of the linear layers become zero.

Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks". Own code: the
modifier of that name in llm-compressor acts on training events and leaves a one-shot model as it was.
Zeros take the same room on disk and the same time; what they save needs an engine that skips them.
Not here: calibrated rules (prune_calibrated.py), healing (prune_heal.py), smaller shapes
(prune_structured.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..harness.checkpoints import Checkpoint
from ..harness.errors import UsageError
from ..harness.stage import StageContext, StagePlan, stage
from .achieved import Asked, measurement
from .dense import excluded, matrices, open_dense, plan_dense
from .masks import Scope, drop_smallest
from .speed import Timing

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneConfig:
    """Settings of `prune`."""

    sparsity: float = 0.5
    """Share of the weights that become zero."""
    scope: Scope = "matrix"
    """Compare weights within a matrix, over all matrices (`global`), or keep two of four (`2:4`)."""
    exclude: tuple[str, ...] = ()
    """Linear layers to leave alone, as patterns such as `*.down_proj`; tables of tokens always are."""
    timing: Timing = field(default_factory=Timing)
    """How speed before and after is measured."""

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity, two_four=self.scope == "2:4")


def check_sparsity(sparsity: float, *, two_four: bool) -> None:
    """Refuse a sparsity that is none.

    Raises:
        ValueError: not between 0 and 1, or 2:4 with another than one half.
    """
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity must be between 0 and 1, got {sparsity}")
    if two_four and sparsity != 0.5:
        raise ValueError(f"2:4 is a sparsity of 0.5, got {sparsity}")


def check_fours(weights: Mapping[str, torch.Tensor]) -> None:
    """Refuse matrices [out, in] whose inputs do not fall into fours.

    Raises:
        UsageError: names the first.
    """
    odd = [name for name, weight in weights.items() if weight.shape[1] % 4]
    if odd:
        raise UsageError(
            f"2:4 needs inputs in multiples of four, and '{odd[0]}' has {weights[odd[0]].shape[1]}; "
            "exclude it."
        )


def plan_prune(
    checkpoint: Checkpoint | None, config: PruneConfig, context: StageContext
) -> StagePlan:
    """The dry run of `prune`; a step is a matrix."""
    dense = open_dense(checkpoint, "prune", context)
    return plan_dense(dense, "prune", steps=len(matrices(dense.model, config.exclude)))


@stage("prune", config=PruneConfig, plan=plan_prune)
def prune(checkpoint: Checkpoint | None, config: PruneConfig, context: StageContext) -> Checkpoint:
    """Set the smallest weights of a checkpoint to zero.

    Raises:
        UsageError: no checkpoint, a quantized one, an exclude that names nothing, or 2:4 on a width
            that is no multiple of four.
        CheckpointError: the checkpoint does not load, or the sparsity was not achieved.
    """
    dense = open_dense(checkpoint, "prune", context)
    weights = matrices(dense.model, config.exclude)
    if config.scope == "2:4":
        check_fours(weights)
    parts = [weights] if config.scope == "global" else [{n: w} for n, w in weights.items()]
    for number, part in enumerate(parts, 1):
        drop_smallest(part, config.sparsity, config.scope)
        context.progress("prune", number, len(parts))
    asked = Asked(
        sparsity=config.sparsity,
        two_four=config.scope == "2:4",
        among=lambda name: not excluded(name, config.exclude),
    )
    return context.finish(
        dense.saver(),
        parent=dense.parent,
        stage="prune",
        config=config,
        rows=(),
        measure=measurement("prune", dense.parent, asked, config.timing, context),
    )
