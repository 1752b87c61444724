"""Settings that the stages on TRL share, each with its default written out.

A stage's own config derives from `TrainingConfig` and adds its data and its method. Not here: what TRL
is told (trl_base.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .lora import Lora


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Length, size and rate of the steps."""

    epochs: int = 1
    max_steps: int | None = None
    """Stop after so many optimizer steps; None means after all epochs."""
    batch_size: int = 32
    """Rows (or pairs) of one optimizer step, over all processes."""
    accumulate: int = 1
    """Parts that a process cuts its share of a batch into, to save memory."""
    lr: float
    """Peak rate of AdamW."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon`: Muon for the matrices inside the model at `muon_lr`, AdamW for the rest."""
    muon_lr: float = 8e-3
    warmup: float = 0.05
    """Share of the steps in which the rates rise."""
    decay: Literal["linear", "cosine", "constant"] = "linear"
    """How the rates fall afterwards: to 0; to one twentieth; not at all."""
    weight_decay: float = 0.0
    clip: float = 1.0
    """Largest norm of a gradient."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the arithmetic; weights stay in float32."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them."""
    save_every: int | None = 500
    """Steps between two states to go on from after a kill; None keeps none."""
    lora: Lora | None = None
    """Train an adapter and merge it; None trains every weight."""
    longest: int | None = None
    """Most tokens a row may have; None means what the model can hold."""

    def __post_init__(self) -> None:
        for name in ("epochs", "max_steps", "batch_size", "accumulate", "lr", "muon_lr", "clip"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        if self.save_every is not None and self.save_every < 1:
            raise ValueError(f"save_every must be at least 1, got {self.save_every}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must be in [0, 1), got {self.warmup}")
