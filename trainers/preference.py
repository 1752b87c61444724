"""Preference losses with a frozen reference: DPO, IPO and KTO, computed by TRL's stable trainers.

    dpo   Rafailov et al. 2023 (arXiv 2305.18290), eq. 7; with label_smoothing the robust loss of
          Chowdhury et al. 2024 (arXiv 2403.00409), for TRL's plain loss ignores that setting
    ipo   Azar et al. 2024 (arXiv 2310.12036), eq. 17, on log-probabilities per token: TRL divides by
          the answer's length, as the authors did for the paper's figures
    kto   Ethayarajh et al. 2024 (arXiv 2402.01306), section 4.1; its reference point is estimated from
          answers put to the prompts of their neighbours in the batch

The reference is the input checkpoint. The tests hold each loss against values by hand. Not here: ORPO
(orpo.py), the reward model (reward_model.py), what all of TRL's stages share (trl_base.py).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ..harness.checkpoints import Checkpoint
from ..harness.datasets import Row
from ..harness.errors import UsageError
from ..harness.stage import StageContext, StagePlan, stage
from .pairs import Material, gather, train_on_pairs
from .training import TrainingConfig
from .trl_base import Job, require_trl, share_of_batch
from .trl_plan import plan


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoConfig(TrainingConfig):
    """Settings of `dpo`; a batch counts pairs."""

    data: Mapping[str, int | None]
    """Datasets in the preference shape, with the number of rows of each (None: all)."""
    beta: float = 0.1
    """How strongly the model is held to the reference."""
    label_smoothing: float = 0.0
    """Share of pairs believed to be the wrong way round; below one half."""
    lr: float = 3e-4

    def __post_init__(self) -> None:
        TrainingConfig.__post_init__(self)
        if self.beta <= 0:
            raise ValueError(f"beta must be above 0, got {self.beta}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must be in [0, 0.5), got {self.label_smoothing}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IpoConfig(TrainingConfig):
    """Settings of `ipo`; a batch counts pairs."""

    data: Mapping[str, int | None]
    """Datasets in the preference shape, with the number of rows of each (None: all)."""
    tau: float = 0.5
    """The answers are driven 1 / (2 tau) nats per token apart."""
    lr: float = 3e-4

    def __post_init__(self) -> None:
        TrainingConfig.__post_init__(self)
        if self.tau <= 0:
            raise ValueError(f"tau must be above 0, got {self.tau}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KtoConfig(TrainingConfig):
    """Settings of `kto`; a batch counts answers, two to a pair."""

    data: Mapping[str, int | None]
    """Datasets in the preference shape, with the number of rows of each (None: all)."""
    beta: float = 0.1
    """How soon a gain or a loss saturates; the model is held to the reference."""
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    batch_size: int = 64
    lr: float = 3e-4

    def __post_init__(self) -> None:
        TrainingConfig.__post_init__(self)
        for name in ("beta", "desirable_weight", "undesirable_weight"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


Config = DpoConfig | IpoConfig | KtoConfig
NAMES: Mapping[type[Any], str] = {DpoConfig: "dpo", IpoConfig: "ipo", KtoConfig: "kto"}


def plan_preference(
    checkpoint: Checkpoint | None, config: Config, context: StageContext
) -> StagePlan:
    """The dry run of `dpo`, `ipo` and `kto`."""
    require_trl()
    material = gather(checkpoint, config.data, config.longest, context, NAMES[type(config)])
    return plan(job(material, config, context), config, context)


@stage("dpo", config=DpoConfig, plan=plan_preference)
def dpo(checkpoint: Checkpoint | None, config: DpoConfig, context: StageContext) -> Checkpoint:
    """Train a checkpoint to prefer the chosen answers, held to itself.

    Raises:
        UsageError: no checkpoint, or no chat template.
        TrainingDiverged: the loss or a gradient is not finite.
        CheckpointError: the checkpoint does not load as a whole.
        DataError: a row is too long or no pair.
    """
    return _prefer(checkpoint, config, context)


@stage("ipo", config=IpoConfig, plan=plan_preference)
def ipo(checkpoint: Checkpoint | None, config: IpoConfig, context: StageContext) -> Checkpoint:
    """Like `dpo`, towards a fixed distance between the answers instead of an ever greater one.

    Raises:
        UsageError, TrainingDiverged, CheckpointError, DataError: see `dpo`.
    """
    return _prefer(checkpoint, config, context)


@stage("kto", config=KtoConfig, plan=plan_preference)
def kto(checkpoint: Checkpoint | None, config: KtoConfig, context: StageContext) -> Checkpoint:
    """Train a checkpoint on liked and disliked answers, each by itself.

    Raises:
        UsageError: as `dpo`, or a part of a batch could hold a single answer.
        TrainingDiverged, CheckpointError, DataError: see `dpo`.
    """
    return _prefer(checkpoint, config, context)


def _prefer(checkpoint: Checkpoint | None, config: Config, context: StageContext) -> Checkpoint:
    require_trl()
    material = gather(checkpoint, config.data, config.longest, context, NAMES[type(config)])
    return train_on_pairs(job(material, config, context), material, checkpoint, config, context)


def job(material: Material, config: Config, context: StageContext) -> Job:
    """The training that a stage hands to TRL.

    Raises:
        UsageError: a part of a KTO batch could hold a single answer.
    """
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

    on_answers = isinstance(config, KtoConfig)
    rows = unpaired(material.rows, config, context) if on_answers else material.rows
    # An adapter is switched off to be the reference.
    reference = None if config.lora else copy.deepcopy(material.loaded.model)
    return Job(
        stage=NAMES[type(config)],
        trainer=KTOTrainer if on_answers else DPOTrainer,
        arguments=KTOConfig if on_answers else DPOConfig,
        method={**_SHARED, **_method(config)},
        model=material.loaded.model,
        tokenizer=material.loaded.tokenizer,
        dataset=Dataset.from_list([dict(row) for row in rows]),
        lengths=_alike(material) if on_answers else [pair.tokens for pair in material.pairs],
        extra={"ref_model": reference},
    )


def _alike(material: Material) -> list[int]:
    """The mean number of tokens for every answer, so that batches are not sorted by length.

    Liked and disliked answers differ in length: batches of KTO would be of one kind each.
    """
    answers = 2 * len(material.pairs)
    return [round(sum(pair.tokens for pair in material.pairs) / answers)] * answers


#: Rows were checked for their length before, so nothing is cut here.
_SHARED: Mapping[str, Any] = {
    "max_length": None,
    "disable_dropout": True,
    "precompute_ref_log_probs": False,
    "sync_ref_model": False,
}


def _method(config: Config) -> dict[str, Any]:
    if isinstance(config, KtoConfig):
        return {
            "loss_type": "kto",
            "beta": config.beta,
            "desirable_weight": config.desirable_weight,
            "undesirable_weight": config.undesirable_weight,
        }
    plain: dict[str, Any] = {"loss_weights": None, "ld_alpha": None, "use_weighting": False}
    plain["f_divergence_type"] = "reverse_kl"
    if isinstance(config, IpoConfig):
        return {**plain, "loss_type": ["ipo"], "beta": config.tau}
    loss = "robust" if config.label_smoothing else "sigmoid"
    smoothing = config.label_smoothing
    return {**plain, "loss_type": [loss], "beta": config.beta, "label_smoothing": smoothing}


def unpaired(
    rows: Sequence[Row], config: TrainingConfig, context: StageContext
) -> list[dict[str, Any]]:
    """Each answer as a row with a label, shuffled.

    TRL's own conversion puts all liked answers of a thousand before all others, and KTO must read rows in
    order: its batches would be of one kind each. An answer that is alone in its batch has no
    neighbour to estimate the reference point from, so parts must be even, as the number of rows is.

    Raises:
        UsageError: they are not.
    """
    part = share_of_batch(config, context)
    if part % 2:
        raise UsageError(
            f"Stage 'kto': batch_size {config.batch_size} gives parts of {part} answers; make them even, "
            "so that none is left alone."
        )
    answers = [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for row in rows
        for side in ("chosen", "rejected")
    ]
    Random(f"kto/{context.seed}").shuffle(answers)
    return answers
