"""Reward model: a language model with one number for a head, trained on pairs (Bradley & Terry 1952).

The loss is Ouyang et al. 2022 (arXiv 2203.02155), eq. 1, -log sigmoid(r(chosen) - r(rejected)), by TRL's
stable trainer; it knows differences only, so a small penalty keeps rewards around 0 (Eisenstein et al.
2023, arXiv 2312.09244). The output is a sequence-classification folder: harness/reward_models.py scores
with it, and it cannot be evaluated as a language model. Not here: what all of TRL's stages share
(trl_base.py).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..harness.checkpoints import Checkpoint
from ..harness.stage import StageContext, StagePlan, stage
from .loop import reproducible
from .pairs import Material, gather, train_on_pairs
from .training import TrainingConfig
from .trl_base import Job, require_trl
from .trl_plan import plan


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelConfig(TrainingConfig):
    """Settings of `reward-model`; a batch counts pairs."""

    data: Mapping[str, int | None]
    """Datasets in the preference shape, with the number of rows of each (None: all)."""
    center: float = 0.01
    """Weight of the squared sum of a pair's rewards; 0 leaves their level open."""
    lr: float = 3e-4

    def __post_init__(self) -> None:
        TrainingConfig.__post_init__(self)
        if self.center < 0:
            raise ValueError(f"center must be at least 0, got {self.center}")


def plan_reward_model(
    checkpoint: Checkpoint | None, config: RewardModelConfig, context: StageContext
) -> StagePlan:
    """The dry run of `reward-model`."""
    require_trl()
    material = gather(checkpoint, config.data, config.longest, context, "reward-model")
    return plan(job(material, config, context), config, context)


@stage("reward-model", config=RewardModelConfig, plan=plan_reward_model)
def reward_model(
    checkpoint: Checkpoint | None, config: RewardModelConfig, context: StageContext
) -> Checkpoint:
    """Train a reward model from a language model.

    Raises:
        UsageError: no checkpoint, or no chat template.
        TrainingDiverged: the loss or a gradient is not finite.
        CheckpointError: the checkpoint does not load as a whole, or is a reward model already.
        DataError: a row is too long or no pair.
    """
    require_trl()
    material = gather(checkpoint, config.data, config.longest, context, "reward-model")
    return train_on_pairs(job(material, config, context), material, checkpoint, config, context)


def job(material: Material, config: RewardModelConfig, context: StageContext) -> Job:
    """The training that the stage hands to TRL."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    with reproducible(context):
        model = with_reward_head(material.loaded.model)
    return Job(
        stage="reward-model",
        trainer=RewardTrainer,
        arguments=RewardConfig,
        method={
            "max_length": None,  # rows were checked before; TRL would drop the long ones
            "disable_dropout": True,
            "center_rewards_coefficient": config.center or None,
        },
        model=model,
        tokenizer=material.loaded.tokenizer,
        dataset=Dataset.from_list([dict(row) for row in material.rows]),
        lengths=[pair.tokens for pair in material.pairs],
        reward_model=True,
    )


def with_reward_head(language_model: Any) -> Any:
    """A sequence classifier with one label on the language model's own layers; its head is random."""
    from transformers import AutoModelForSequenceClassification

    untyped: Any = AutoModelForSequenceClassification
    config = copy.deepcopy(language_model.config)
    config.num_labels = 1
    model = untyped.from_config(config, dtype=language_model.dtype)
    model.base_model.load_state_dict(language_model.base_model.state_dict())
    return model.to(language_model.device)
