"""LoRA (Hu et al. 2021) through PEFT: small matrices beside every linear layer, merged on output.

The checkpoint that a stage writes is an ordinary one; adapters are not kept. Not here: training them
(trl_base.py).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..harness.errors import CheckpointError


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Settings of the adapter."""

    rank: int = 8
    alpha: int = 16
    """The adapter's output is scaled by alpha / rank."""
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 1:
            raise ValueError(
                f"lora.rank and lora.alpha must be at least 1, got {self.rank}, {self.alpha}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"lora.dropout must be in [0, 1), got {self.dropout}")


def peft_config(lora: Lora, *, reward_model: bool = False) -> Any:
    """What TRL's trainers take as `peft_config`: all linear layers but the output layer.

    Args:
        reward_model: the model is a sequence classifier, whose new head is trained and kept whole.
    """
    from peft import LoraConfig

    kind = {"task_type": "SEQ_CLS", "modules_to_save": ["score"]}
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        bias="none",
        **(kind if reward_model else {"task_type": "CAUSAL_LM"}),
    )


def merged(model: Any) -> Any:
    """The model with its adapter added to its weights; any other model as it is."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def with_adapter(model: Any, folder: Path) -> Any:
    """The model with an adapter from a folder (PEFT's format) added to its weights.

    Raises:
        CheckpointError: the adapter is of another model, or not whole.
    """
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            # PEFT begins missing matrices anew, with a warning.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            adapted = PeftModel.from_pretrained(model, folder, torch_device="cpu")
    except Exception as error:  # files from outside: each parser fails in its own way
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")
        raise CheckpointError(
            f"The adapter in '{folder}' does not fit the checkpoint it is merged into ({why}); start the "
            "training from the stage's checkpoint."
        ) from error
    return merged(adapted)
