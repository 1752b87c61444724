"""Pruning that looks at data: Wanda and SparseGPT, unstructured or 2:4, through llm-compressor.

    wanda       Sun et al. 2023 (arXiv 2306.11695): drops the least |weight| x norm of its input
    sparsegpt   Frantar & Alistarh 2023 (arXiv 2301.00774): drops column by column, mending the rest

Both go layer by layer, each seeing what the pruned layers before it let through. Not here:
llm-compressor itself (oneshot.py), the rule that needs no data (prune.py), healing (distill.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..harness.checkpoints import Checkpoint
from ..harness.stage import StageContext, StagePlan, stage
from .achieved import Asked, measurement
from .calibration import gather
from .dense import excluded, matrices, open_dense, plan_dense
from .distributed import assert_alone
from .oneshot import compress, require_llm_compressor
from .prune import check_fours, check_sparsity
from .speed import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneCalibratedConfig:
    """Settings of `prune-calibrated`."""

    rule: Literal["wanda", "sparsegpt"]
    data: Mapping[str, int | None]
    """Calibration rows by dataset, chats or texts, with the number of rows of each (None: all)."""
    sparsity: float = 0.5
    """Share of the weights of each matrix that become zero."""
    two_four: bool = False
    """Keep two of every four neighbours along the input."""
    exclude: tuple[str, ...] = ()
    """Linear layers to leave alone, as patterns such as `*.down_proj`."""
    timing: Timing = field(default_factory=Timing)
    """How speed before and after is measured."""

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity, two_four=self.two_four)


def plan_calibrated(
    checkpoint: Checkpoint | None, config: PruneCalibratedConfig, context: StageContext
) -> StagePlan:
    """The dry run of `prune-calibrated`; a step is a matrix."""
    require_llm_compressor()
    dense = open_dense(checkpoint, "prune-calibrated", context)
    rows = gather(config.data, dense.tokenizer, dense.longest, context.seed).examples
    steps = len(matrices(dense.model, config.exclude))
    tokens = sum(len(row.tokens) for row in rows)
    return plan_dense(dense, "prune-calibrated", steps=steps, rows=len(rows), tokens=tokens)


@stage("prune-calibrated", config=PruneCalibratedConfig, plan=plan_calibrated)
def prune_calibrated(
    checkpoint: Checkpoint | None, config: PruneCalibratedConfig, context: StageContext
) -> Checkpoint:
    """Set the weights to zero that calibration rows miss least.

    Raises:
        UsageError: no checkpoint, a quantized one, or what llm-compressor refuses.
        CheckpointError: the checkpoint does not load, or the sparsity was not achieved.
        DataError: a row is too long, or neither chat nor text.
    """
    require_llm_compressor()
    assert_alone(context, "prune-calibrated")
    dense = open_dense(checkpoint, "prune-calibrated", context)
    weights = matrices(dense.model, config.exclude)
    if config.two_four:
        check_fours(weights)
    rows = gather(config.data, dense.tokenizer, dense.longest, context.seed)
    context.progress("prune-calibrated", 0, 1)
    save = compress(
        dense, [modifier(config, dense.model)], rows.examples, context, "prune-calibrated"
    )
    context.progress("prune-calibrated", 1, 1)
    asked = Asked(
        sparsity=config.sparsity,
        two_four=config.two_four,
        among=lambda name: not excluded(name, config.exclude),
    )
    return context.finish(
        save,
        parent=dense.parent,
        stage="prune-calibrated",
        config=config,
        data=rows.data,
        measure=measurement("prune-calibrated", dense.parent, asked, config.timing, context),
    )


def modifier(config: PruneCalibratedConfig, model: Any) -> Any:
    """llm-compressor's modifier of the rule, over every linear layer but the output layer."""
    from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier

    rules: dict[str, Any] = {"wanda": WandaPruningModifier, "sparsegpt": SparseGPTModifier}
    return rules[config.rule](
        sparsity=config.sparsity,
        mask_structure="2:4" if config.two_four else "0:0",
        targets=[*matrices(model, config.exclude)],
    )
