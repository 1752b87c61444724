"""Supervised fine-tuning: more training on answers, all weights, one loop.

Forgetting is fought with replay: put datasets of the other domains into `data` beside the target's.
The model learns to say the assistant turns only. Not here: adapters, packing, several devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ..harness.backends.loading import load
from ..harness.checkpoints import Checkpoint, write_checkpoint
from ..harness.errors import UsageError
from ..harness.stage import StageContext, stage
from .chats import encode, load_rows
from .loop import fit, reproducible
from .saving import saver


@dataclass(frozen=True, slots=True, kw_only=True)
class SftConfig:
    """Settings of `sft`."""

    data: Mapping[str, int | None]
    """Datasets in the messages shape, with the number of rows of each (None: all)."""
    epochs: int = 1
    batch_tokens: int = 1024
    """Tokens a step, padding included."""
    muon_lr: float = 8e-3
    """Peak rate for the matrices inside the model."""
    adamw_lr: float = 3e-3
    """Peak rate for embeddings and norms."""
    longest: int | None = None
    """Most tokens a row may have; None means what the model can hold."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_tokens", "muon_lr", "adamw_lr"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


@stage("sft", config=SftConfig)
def sft(checkpoint: Checkpoint | None, config: SftConfig, context: StageContext) -> Checkpoint:
    """Train a checkpoint on chats.

    Raises:
        UsageError: no checkpoint, no chat template, or training diverged.
        CheckpointError: the checkpoint does not load as a whole.
        DataError: a row is too long or has no answer.
    """
    if checkpoint is None:
        raise UsageError(
            "Stage 'sft' needs a checkpoint to start from; name one or pretrain first."
        )
    named = load_rows(config.data, context.seed)
    loaded = load(checkpoint.path, context.device, "float32", trust_remote_code=False)
    model, tokenizer = loaded.model.requires_grad_(True), loaded.tokenizer
    if tokenizer.chat_template is None:
        raise UsageError(f"'{checkpoint.path}' has no chat template; sft needs one to write chats.")
    longest = config.longest or loaded.context
    examples = encode(named, tokenizer, longest)
    with reproducible(context):
        fit(
            model,
            examples,
            context,
            stage="sft",
            epochs=config.epochs,
            batch_tokens=config.batch_tokens,
            muon_lr=config.muon_lr,
            adamw_lr=config.adamw_lr,
        )
    return write_checkpoint(
        context.out,
        saver(model, tokenizer),
        parent=checkpoint,
        stage="sft",
        settings=asdict(config),
        rows=[row for _, row in named],
    )
