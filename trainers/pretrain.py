"""Pre-training: a small Llama and its tokenizer from nothing, on chats and texts.

Of a chat the model learns to say the assistant turns, of a text everything. It is an ordinary Hugging
Face folder afterwards: LlamaForCausalLM, tied embeddings, a byte-level BPE tokenizer with its chat
template. Meant for models that train in minutes on one core; not here: sharded data, several processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..harness.checkpoints import Checkpoint
from ..harness.datasets import Row, fingerprint
from ..harness.errors import UsageError
from ..harness.stage import StageContext, StagePlan, stage
from ..harness.stage_config import plain
from .chats import Example
from .corpus import encode_corpus, load_corpus
from .distributed import assert_alone
from .loop import Steps, fit, plan_fit, reproducible
from .saving import saver
from .tokenizer import SPECIALS, train_tokenizer

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig(Steps):
    """Settings of `pretrain`; the defaults give a model of 0.3M parameters."""

    data: Mapping[str, int | None]
    """Datasets of chats or texts, with the number of rows of each (None: all)."""
    hidden_size: int = 64
    layers: int = 4
    heads: int = 4
    head_dim: int = 32
    """vLLM serves no head below 32."""
    intermediate_size: int = 160
    vocabulary: int = 1024
    positions: int = 2048

    def __post_init__(self) -> None:
        Steps.__post_init__(self)
        least = 256 + len(SPECIALS)
        if self.vocabulary < least:
            raise ValueError(f"vocabulary must be at least {least}, got {self.vocabulary}")
        for name in ("hidden_size", "layers", "heads", "head_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


def plan_pretrain(
    checkpoint: Checkpoint | None, config: PretrainConfig, context: StageContext
) -> StagePlan:
    """The dry run of `pretrain`; trains the tokenizer, which is quick."""
    _, tokenizer, examples = gather(checkpoint, config, context)
    return plan_fit(new_model(config, tokenizer), examples, config, context, "pretrain")


@stage("pretrain", config=PretrainConfig, plan=plan_pretrain)
def pretrain(
    checkpoint: Checkpoint | None, config: PretrainConfig, context: StageContext
) -> Checkpoint:
    """Train tokenizer and model from nothing.

    Raises:
        UsageError: a checkpoint was passed, or several processes run.
        TrainingDiverged: the loss is no longer finite.
        DataError: a row is too long, or neither chat nor text.
    """
    assert_alone(context, "pretrain")
    data, tokenizer, examples = gather(checkpoint, config, context)
    identity = [plain(config), fingerprint(row for rows in data.values() for row in rows)]
    with reproducible(context):
        model: Any = new_model(config, tokenizer)
        model.to(context.device)
        fit(model, examples, config, context, stage="pretrain", identity=identity)
    return context.finish(
        saver(model, tokenizer), parent=None, stage="pretrain", config=config, data=data
    )


def gather(
    checkpoint: Checkpoint | None, config: PretrainConfig, context: StageContext
) -> tuple[dict[str, list[Row]], PreTrainedTokenizerFast, list[Example]]:
    """Rows by reference, the tokenizer trained on them, and the rows as tokens.

    Raises:
        UsageError, DataError: see `pretrain`.
    """
    if checkpoint is not None:
        raise UsageError(
            "Stage 'pretrain' starts from nothing; use 'continued-pretrain' or 'sft' to train a "
            "checkpoint on."
        )
    data = load_corpus(config.data, context.seed)
    rows = [row for found in data.values() for row in found]
    tokenizer = train_tokenizer(rows, config.vocabulary, config.positions)
    return data, tokenizer, encode_corpus(data, tokenizer, config.positions)


def new_model(config: PretrainConfig, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A freshly initialized model (fp32) that stops at the tokenizer's end token."""
    import transformers

    untyped: Any = transformers

    ends: dict[str, Any] = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    shape = untyped.LlamaConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        head_dim=config.head_dim,
        max_position_embeddings=config.positions,
        tie_word_embeddings=True,
        **ends,
    )
    model: LlamaForCausalLM = untyped.LlamaForCausalLM(shape)
    model.generation_config = untyped.GenerationConfig(do_sample=False, **ends)
    return model
