"""The training loop that pre-training and fine-tuning share: next-token loss on what the model says.

Muon (Jordan et al. 2024) for the matrices inside the model, AdamW (Loshchilov & Hutter 2019) for
embeddings and norms; linear warm-up, then a cosine down to one twentieth; gradients clipped at norm
1. With one thread the same seed gives the same weights bit by bit on one machine; another number of
threads gives others. Not here: mixed precision, several processes, gradient accumulation, evaluation
(a gate does that on the finished checkpoint).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from ..harness.errors import UsageError
from ..harness.stage import StageContext
from .chats import Example, batches

if TYPE_CHECKING:
    import torch

WARMUP, FLOOR, CLIP = 0.05, 0.05, 1.0
#: Steps between two lines of metrics.
EVERY = 10


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
    context: StageContext,
    *,
    stage: str,
    epochs: int,
    batch_tokens: int,
    muon_lr: float,
    adamw_lr: float,
) -> None:
    """Train `model` in place, telling `context` of every step.

    Raises:
        UsageError: the loss is no longer finite.
    """
    import torch

    rng = Random(f"{stage}/{context.seed}")
    plan = [batch for _ in range(epochs) for batch in batches(examples, batch_tokens, rng)]
    optimizers = _optimizers(model, muon_lr, adamw_lr)
    peaks = [group["lr"] for o in optimizers for group in o.param_groups]
    model.train()
    for step, batch in enumerate(plan):
        share = schedule(step, len(plan))
        groups = (group for o in optimizers for group in o.param_groups)
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * share
        loss = answer_loss(model, batch)
        if not math.isfinite(loss.item()):
            raise UsageError(
                f"Stage '{stage}': the loss is {loss.item()} at step {step}; lower muon_lr "
                f"({muon_lr:g}) and adamw_lr ({adamw_lr:g})."
            )
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if step % EVERY == 0 or step + 1 == len(plan):
            context.metric(step, loss=loss.item(), grad_norm=float(norm), lr=muon_lr * share)
        context.progress(stage, step + 1, len(plan))
    model.eval()


def answer_loss(model: Any, batch: Sequence[Example]) -> torch.Tensor:
    """Mean cross-entropy (nats) of the tokens the model says.

    Rows are padded on the right and the padding is not masked: in a causal model it cannot reach the
    tokens before it. Hidden states are selected before the output layer, which then runs on the
    answer's tokens only; for models whose logits are exactly that layer's output. In names, b is the
    batch, t a token, d the width, n an answer token, v the vocabulary.
    """
    import torch

    width = max(len(e.tokens) for e in batch)
    tokens_bt = torch.tensor([[*e.tokens, *[0] * (width - len(e.tokens))] for e in batch])
    said_bt = torch.tensor([[*e.said, *[False] * (width - len(e.said))] for e in batch])
    tokens_bt, said_bt = tokens_bt.to(model.device), said_bt[:, 1:].to(model.device)
    hidden_btd = model.base_model(input_ids=tokens_bt[:, :-1], use_cache=False).last_hidden_state
    logits_nv = model.get_output_embeddings()(hidden_btd[said_bt])
    return torch.nn.functional.cross_entropy(logits_nv.float(), tokens_bt[:, 1:][said_bt])


def schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate at `step` of `steps`."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * done)) / 2


def _optimizers(model: Any, muon_lr: float, adamw_lr: float) -> list[torch.optim.Optimizer]:
    import torch

    outer = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    matrices: list[Any] = []
    others: list[Any] = []
    for parameter in model.parameters():
        inner = parameter.ndim == 2 and id(parameter) not in outer
        (matrices if inner else others).append(parameter)
    return [
        torch.optim.Muon(
            matrices, lr=muon_lr, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original"
        ),
        torch.optim.AdamW(others, lr=adamw_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
