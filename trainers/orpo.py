"""ORPO: fine-tuning on the chosen answer, and an odds ratio against the rejected one, in one loss.

Hong, Lee & Thorne 2024, "ORPO: Monolithic Preference Optimization without Reference Model" (arXiv
2403.07691), section 4. There is no reference model. Where the authors' code also learns the prompt, here
only answers are learned, as in every other stage. Own loss: TRL has this method among its experiments
only. Not here: what it shares with TRL's stages (trl_base.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..harness.checkpoints import Checkpoint
from ..harness.stage import StageContext, StagePlan, stage
from .pairs import Material, Pair, gather, train_on_pairs
from .training import TrainingConfig
from .trl_base import Job, require_trl
from .trl_plan import plan

if TYPE_CHECKING:
    import torch

#: Mean log-probabilities are kept this far below 0, where odds are infinite.
SUREST = -1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class OrpoConfig(TrainingConfig):
    """Settings of `orpo`; a batch counts pairs."""

    data: Mapping[str, int | None]
    """Datasets in the preference shape, with the number of rows of each (None: all)."""
    weight: float = 0.1
    """Lambda: what the odds ratio counts beside the fine-tuning loss."""
    lr: float = 3e-4

    def __post_init__(self) -> None:
        TrainingConfig.__post_init__(self)
        if self.weight <= 0:
            raise ValueError(f"weight must be above 0, got {self.weight}")


def plan_orpo(
    checkpoint: Checkpoint | None, config: OrpoConfig, context: StageContext
) -> StagePlan:
    """The dry run of `orpo`."""
    require_trl()
    material = gather(checkpoint, config.data, config.longest, context, "orpo")
    return plan(job(material, config), config, context)


@stage("orpo", config=OrpoConfig, plan=plan_orpo)
def orpo(checkpoint: Checkpoint | None, config: OrpoConfig, context: StageContext) -> Checkpoint:
    """Train a checkpoint on preference pairs without a reference model.

    Raises:
        UsageError: no checkpoint, or no chat template.
        TrainingDiverged: the loss or a gradient is not finite.
        CheckpointError: the checkpoint does not load as a whole.
        DataError: a row is too long or no pair.
    """
    require_trl()
    material = gather(checkpoint, config.data, config.longest, context, "orpo")
    return train_on_pairs(job(material, config), material, checkpoint, config, context)


def job(material: Material, config: OrpoConfig) -> Job:
    """The training that the stage hands to the loop it shares with TRL's stages."""
    from datasets import Dataset
    from transformers import TrainingArguments

    return Job(
        stage="orpo",
        trainer=_trainer(config.weight),
        arguments=TrainingArguments,
        method={"remove_unused_columns": False},
        model=material.loaded.model,
        tokenizer=material.loaded.tokenizer,
        dataset=Dataset.from_list([columns(pair) for pair in material.pairs]),
        lengths=[pair.tokens for pair in material.pairs],
        extra={"data_collator": collate},
    )


def _trainer(weight: float) -> type[Any]:
    """Transformers' trainer with this file's loss."""
    import transformers

    untyped: Any = transformers

    class OrpoTrainer(untyped.Trainer):  # type: ignore[misc]
        def __init__(self, model: Any, peft_config: Any = None, **others: Any) -> None:
            if peft_config is not None:
                from peft import get_peft_model

                model = get_peft_model(model, peft_config)
            super().__init__(model=model, **others)
            self.model_accepts_loss_kwargs = False  # the loss of a part is the part's own mean

        def compute_loss(self, model: Any, inputs: Any, **_: Any) -> torch.Tensor:
            return batch_loss(model, inputs, weight)

    return OrpoTrainer


def columns(pair: Pair) -> dict[str, Any]:
    """A pair as a row of a dataset: tokens of both chats, and how many of them are prompt."""
    sides = {"chosen": pair.chosen, "rejected": pair.rejected}
    tokens = {side: chat.tokens for side, chat in sides.items()}
    return {**tokens, **{f"{side}_prompt": c.said.count(False) for side, c in sides.items()}}


def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """A batch padded on the right: all chosen chats, then all rejected ones.

    `answer_mask` is 1 at the tokens of the answers, `attention_mask` at whatever is not padding.
    """
    import torch

    chats = [(row[side], row[f"{side}_prompt"]) for side in ("chosen", "rejected") for row in rows]
    width = max(len(tokens) for tokens, _ in chats)
    gaps = [width - len(tokens) for tokens, _ in chats]
    filled = list(zip(chats, gaps, strict=True))
    return {
        "input_ids": torch.tensor([[*ids, *[0] * gap] for (ids, _), gap in filled]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * gap for (ids, _), gap in filled]),
        "answer_mask": torch.tensor(
            [[0] * n + [1] * (len(ids) - n) + [0] * gap for (ids, n), gap in filled]
        ),
    }


def batch_loss(model: Any, batch: Mapping[str, torch.Tensor], weight: float) -> torch.Tensor:
    """The loss of what `collate` made; b is a chat, t a token, v the vocabulary."""
    import torch

    ids_bt, said_bt = batch["input_ids"], batch["answer_mask"][:, 1:]
    logits_btv = model(input_ids=ids_bt, attention_mask=batch["attention_mask"]).logits[:, :-1]
    nll_bt = torch.nn.functional.cross_entropy(
        logits_btv.float().transpose(1, 2), ids_bt[:, 1:], reduction="none"
    )
    logp_b, tokens_b = -(nll_bt * said_bt).sum(1), said_bt.sum(1)
    pairs = len(ids_bt) // 2
    chosen_b, rejected_b = (logp_b / tokens_b).chunk(2)
    return orpo_loss(chosen_b, rejected_b, -logp_b[:pairs].sum() / tokens_b[:pairs].sum(), weight)


def orpo_loss(
    chosen_b: torch.Tensor, rejected_b: torch.Tensor, nll: torch.Tensor, weight: float
) -> torch.Tensor:
    """L_SFT + weight * mean(-log sigmoid(log odds ratio)), in nats (eq. 6 and 7).

    Args:
        chosen_b, rejected_b: log-probability per token of each pair's answers (eq. 3).
        nll: L_SFT, the mean cross-entropy of the tokens of the chosen answers.
        weight: lambda.
    """
    import torch

    ratio_b = log_odds(chosen_b) - log_odds(rejected_b)
    return nll - weight * torch.nn.functional.logsigmoid(ratio_b).mean()


def log_odds(logp_b: torch.Tensor) -> torch.Tensor:
    """log(P / (1 - P)) of answers whose log-probability per token (nats) is `logp_b` (eq. 4)."""
    import torch

    below_b = logp_b.clamp(max=SUREST)
    return below_b - torch.log(-torch.expm1(below_b))  # expm1 stays exact where P is almost 1
