"""The training loop of pre-training, distillation and healing: next-token loss on what the model says.

Muon (Jordan et al. 2024) for the matrices inside the model, AdamW (Loshchilov & Hutter 2019) for
embeddings and norms; linear warm-up, then a cosine down to one twentieth; gradients clipped at norm
1. With one thread the same seed gives the same weights bit by bit on one machine; another number of
threads gives others. Not here: mixed precision, several processes, gradient accumulation; fine-tuning
(sft.py); evaluation, which a gate does on the finished checkpoint.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from ..harness.errors import TrainingDiverged
from ..harness.stage import StageContext, StagePlan
from .chats import Example, batches

if TYPE_CHECKING:
    import torch

WARMUP, FLOOR, CLIP = 0.05, 0.05, 1.0
#: Steps between two lines of metrics.
EVERY = 10
#: Steps that a dry run times.
_MEASURED = 3
#: Of a model on a batch.
Loss = Callable[[Any, Sequence[Example]], "torch.Tensor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Number, size and rate of the steps."""

    epochs: int = 1
    batch_tokens: int = 1024
    """Tokens a step, padding included."""
    muon_lr: float = 0.02
    """Peak rate for the matrices inside the model."""
    adamw_lr: float = 8e-3
    """Peak rate for embeddings and norms."""
    save_every: int = 500
    """Steps between two states to go on from after a kill."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_tokens", "muon_lr", "adamw_lr", "save_every"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


@contextmanager
def reproducible(context: StageContext) -> Iterator[None]:
    """Seed torch and fix its threads; both are as before afterwards."""
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(context.seed)
        torch.set_num_threads(context.threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def fit(
    model: Any,
    examples: Sequence[Example],
    steps: Steps,
    context: StageContext,
    *,
    stage: str,
    identity: Any,
    loss: Loss | None = None,
    constrain: Callable[[int, int], None] | None = None,
) -> None:
    """Train `model` in place, telling `context` of every step; goes on from the state a kill left.

    Args:
        identity: whatever the weights follow from besides the context.
        loss: what is minimised; None means `answer_loss`.
        constrain: called with (steps done, steps in all) before the first step and after each one; may
            change the weights, by nothing but the weights and the step.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    import torch

    from .optimizers import MuonAdamW

    plan = planned(examples, steps, f"{stage}/{context.seed}")
    optimizer = MuonAdamW(model, steps.muon_lr, steps.adamw_lr)
    peaks = [group["lr"] for group in optimizer.param_groups]
    state = context.begin([stage, identity]) / "state.pt"
    begin = _restored(state, model, optimizer)
    context.rewind(begin - 1)
    constrained = constrain or _free
    constrained(begin, len(plan))
    model.train()
    for step in range(begin, len(plan)):
        share = schedule(step, len(plan))
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * share
        cost = (loss or answer_loss)(model, plan[step])
        if not math.isfinite(cost.item()):
            raise TrainingDiverged(
                f"Stage '{stage}': the loss is {cost.item()} at step {step}; lower muon_lr "
                f"({steps.muon_lr:g}) and adamw_lr ({steps.adamw_lr:g})."
            )
        cost.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        constrained(step + 1, len(plan))
        if step % EVERY == 0 or step + 1 == len(plan):
            context.metric(step, loss=cost.item(), grad_norm=float(norm), lr=steps.muon_lr * share)
        if (step + 1) % steps.save_every == 0:
            _save(state, step + 1, model, optimizer)
        context.progress(stage, step + 1, len(plan))
    model.eval()


def _free(_done: int, _steps: int) -> None:
    """Weights may be anything."""


def planned(examples: Sequence[Example], steps: Steps, seed: str) -> list[list[Example]]:
    """The batches of all epochs, in order."""
    rng = Random(seed)
    return [b for _ in range(steps.epochs) for b in batches(examples, steps.batch_tokens, rng)]


def plan_fit(
    model: Any,
    examples: Sequence[Example],
    steps: Steps,
    context: StageContext,
    stage: str,
    loss: Loss | None = None,
) -> StagePlan:
    """What `fit` would take; the time is that of a few steps on a copy of the model, times all steps."""
    plan = planned(examples, steps, f"{stage}/{context.seed}")
    parameters = sum(p.numel() for p in model.parameters())
    with reproducible(context):
        trial = copy.deepcopy(model).train()
        began = time.monotonic()
        for batch in plan[:_MEASURED]:
            (loss or answer_loss)(trial, batch).backward()  # type: ignore[no-untyped-call]
        seconds = (time.monotonic() - began) / min(_MEASURED, len(plan)) * len(plan)
    return StagePlan(
        stage=stage,
        rows=len(examples),
        tokens=sum(len(e.tokens) for e in examples),
        steps=len(plan),
        parameters=parameters,
        trainable=parameters,
        memory_bytes=4 * 4 * parameters,  # weights, gradients and at most two moments in float32
        seconds=seconds,
    )


def _save(file: Path, done: int, model: Any, optimizer: torch.optim.Optimizer) -> None:
    import torch

    aside = file.with_suffix(".partial")
    torch.save(
        {"done": done, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, aside
    )
    os.replace(aside, file)


def _restored(file: Path, model: Any, optimizer: torch.optim.Optimizer) -> int:
    """Steps done before, with model and optimizer as they were after them."""
    import torch

    if not file.is_file():
        return 0
    state = torch.load(file, weights_only=True, map_location=model.device)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["done"])


def answer_loss(model: Any, batch: Sequence[Example]) -> torch.Tensor:
    """Mean cross-entropy (nats) of the tokens the model says.

    Hidden states are selected before the output layer, which then runs on the answer's tokens only; for
    models whose logits are exactly that layer's output. In names, b is the batch, t a token, d the
    width, n an answer token, v the vocabulary.
    """
    import torch

    tokens_bt, said_bt, targets_n = padded(batch, model.device)
    hidden_btd = model.base_model(input_ids=tokens_bt, use_cache=False).last_hidden_state
    logits_nv = model.get_output_embeddings()(hidden_btd[said_bt])
    return torch.nn.functional.cross_entropy(logits_nv.float(), targets_n)


def padded(
    batch: Sequence[Example], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs [b, t], the places before a token the model says [b, t], and those tokens [n].

    Rows are padded on the right and the padding is not masked: in a causal model it cannot reach the
    tokens before it.
    """
    import torch

    width = max(len(e.tokens) for e in batch)
    tokens_bt = torch.tensor([[*e.tokens, *[0] * (width - len(e.tokens))] for e in batch])
    said_bt = torch.tensor([[*e.said, *[False] * (width - len(e.said))] for e in batch])[:, 1:]
    tokens_bt, said_bt = tokens_bt.to(device), said_bt.to(device)
    return tokens_bt[:, :-1], said_bt, tokens_bt[:, 1:][said_bt]


def schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate at `step` of `steps`."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * done)) / 2
