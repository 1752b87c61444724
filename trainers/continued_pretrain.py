"""Continued pre-training: a checkpoint trained on, all weights, on texts or chats.

The loop of `pretrain` with the checkpoint's own tokenizer and gentler rates. Not here: adapters and
several processes (sft.py has both).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..harness.backends.loading import Loaded, load
from ..harness.checkpoints import Checkpoint
from ..harness.datasets import Row, fingerprint
from ..harness.stage import StageContext, StagePlan, given, stage
from ..harness.stage_config import plain
from .chats import Example
from .corpus import encode_corpus, load_corpus
from .distributed import assert_alone
from .loop import Steps, fit, plan_fit, reproducible
from .saving import saver


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuedPretrainConfig(Steps):
    """Settings of `continued-pretrain`."""

    data: Mapping[str, int | None]
    """Datasets of texts or chats, with the number of rows of each (None: all)."""
    muon_lr: float = 8e-3
    adamw_lr: float = 3e-3


def plan_continued(
    checkpoint: Checkpoint | None, config: ContinuedPretrainConfig, context: StageContext
) -> StagePlan:
    """The dry run of `continued-pretrain`."""
    loaded, _, examples = gather(checkpoint, config, context)
    model = loaded.model.requires_grad_(True)
    return plan_fit(model, examples, config, context, "continued-pretrain")


@stage("continued-pretrain", config=ContinuedPretrainConfig, plan=plan_continued)
def continued_pretrain(
    checkpoint: Checkpoint | None, config: ContinuedPretrainConfig, context: StageContext
) -> Checkpoint:
    """Train a checkpoint on.

    Raises:
        UsageError: no checkpoint, or several processes run.
        TrainingDiverged: the loss is not finite.
        CheckpointError: the checkpoint does not load as a whole.
        DataError: a row is too long, or neither chat nor text.
    """
    assert_alone(context, "continued-pretrain")
    loaded, data, examples = gather(checkpoint, config, context)
    parent = checkpoint.digest if checkpoint else None
    rows = fingerprint(row for found in data.values() for row in found)
    with reproducible(context):
        fit(
            loaded.model.requires_grad_(True),
            examples,
            config,
            context,
            stage="continued-pretrain",
            identity=[parent, plain(config), rows],
        )
    return context.finish(
        saver(loaded.model, loaded.tokenizer),
        parent=checkpoint,
        stage="continued-pretrain",
        config=config,
        data=data,
    )


def gather(
    checkpoint: Checkpoint | None, config: ContinuedPretrainConfig, context: StageContext
) -> tuple[Loaded, dict[str, list[Row]], list[Example]]:
    """The model, rows by reference, and the rows as tokens.

    Raises:
        UsageError, CheckpointError, DataError: see `continued_pretrain`.
    """
    checkpoint = given(checkpoint, "continued-pretrain")
    data = load_corpus(config.data, context.seed)
    loaded = load(checkpoint.path, context.device, "float32", trust_remote_code=False)
    return loaded, data, encode_corpus(data, loaded.tokenizer, loaded.context)
