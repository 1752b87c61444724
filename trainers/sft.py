"""Supervised fine-tuning on answers, by TRL's SFTTrainer; all weights, or an adapter that is merged.

Rows are tokenised here, as at inference, and only what the assistant says is learned. Forgetting is
fought with replay: datasets of other domains in `data`, or `replay`, which finds the dataset that each
domain declares for it. Not here: preference losses, text without chats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..harness.backends.loading import Loaded, load
from ..harness.checkpoints import Checkpoint
from ..harness.datasets import fingerprint
from ..harness.errors import UsageError
from ..harness.stage import StageContext, StagePlan, given, stage
from .chats import Example, encode, load_rows, named
from .mixture import Replay, with_replay
from .saving import saver
from .training import TrainingConfig
from .trl_base import Job, require_trl, train
from .trl_plan import plan

if TYPE_CHECKING:
    from ..harness.datasets import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class SftConfig(TrainingConfig):
    """Settings of `sft`."""

    data: Mapping[str, int | None]
    """Datasets in the messages shape, with the number of rows of each (None: all)."""
    replay: Replay | None = None
    """Rows of other domains that keep them where they are."""
    packing: bool = False
    """Lay the rows of a batch end to end as one sequence, each attending to itself, without padding."""
    lr: float = 3e-3
    """Peak rate of AdamW: of embeddings and norms only, where Muon takes the matrices."""
    optimizer: Literal["adamw", "muon"] = "muon"
    decay: Literal["linear", "cosine", "constant"] = "cosine"


@dataclass(frozen=True, slots=True)
class Material:
    """What is trained and on what."""

    loaded: Loaded
    data: Mapping[str, Sequence[Row]]
    examples: Sequence[Example]


def plan_sft(checkpoint: Checkpoint | None, config: SftConfig, context: StageContext) -> StagePlan:
    """The dry run of `sft`."""
    require_trl()
    return plan(job(gather(checkpoint, config, context), config), config, context)


@stage("sft", config=SftConfig, plan=plan_sft)
def sft(checkpoint: Checkpoint | None, config: SftConfig, context: StageContext) -> Checkpoint:
    """Train a checkpoint on chats.

    Raises:
        UsageError: no checkpoint, or no chat template.
        TrainingDiverged: the loss or a gradient is not finite.
        CheckpointError: the checkpoint does not load as a whole.
        DataError: a row is too long or has no answer.
    """
    require_trl()
    material = gather(checkpoint, config, context)
    rows = [row for found in material.data.values() for row in found]
    model = train(
        job(material, config), config, context, parent=checkpoint, identity=fingerprint(rows)
    )
    return context.finish(
        saver(model, material.loaded.tokenizer),
        parent=checkpoint,
        stage="sft",
        config=config,
        data=material.data,
    )


def gather(checkpoint: Checkpoint | None, config: SftConfig, context: StageContext) -> Material:
    """Load model and rows, and check every row.

    Raises:
        UsageError, CheckpointError, DataError: see `sft`.
    """
    checkpoint = given(checkpoint, "sft")
    data = load_rows(with_replay(config.data, config.replay), context.seed)
    loaded = load(checkpoint.path, context.device, "float32", trust_remote_code=False)
    if loaded.tokenizer.chat_template is None:
        raise UsageError(f"'{checkpoint.path}' has no chat template; sft needs one to write chats.")
    examples = encode(named(data), loaded.tokenizer, config.longest or loaded.context)
    return Material(loaded, data, examples)


def job(material: Material, config: SftConfig) -> Job:
    """The training that the stage hands to TRL."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    columns = {
        "input_ids": [list(e.tokens) for e in material.examples],
        "labels": [labels(e) for e in material.examples],
    }
    return Job(
        stage="sft",
        trainer=SFTTrainer,
        arguments=SFTConfig,
        method={
            "loss_type": "nll",
            "max_length": None,  # nothing is cut: too long a row was refused
            "packing": False,  # TRL's packing reorders rows; ours only drops the padding
            "padding_free": config.packing,
            "completion_only_loss": False,  # the labels say what is learned
            "assistant_only_loss": False,
            "dataset_kwargs": {"skip_prepare_dataset": True},
        },
        model=material.loaded.model,
        tokenizer=material.loaded.tokenizer,
        dataset=Dataset.from_dict(columns),
        lengths=[len(e.tokens) for e in material.examples],
    )


def labels(example: Example) -> list[int]:
    """The tokens the model says, and -100 for those it is shown."""
    return [t if said else -100 for t, said in zip(example.tokens, example.said, strict=True)]
