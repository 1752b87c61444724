"""Log-probabilities of alternatives as continuations of a prompt.

Each prompt is read once, and what all prompts of a batch begin with once for all; the alternatives are
then read behind copies of the prompt's cache, and logits exist only where an alternative's tokens are
predicted. Not here: tokenizing (prompts.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..records import Choice
from .engine import Engine, Primed

#: Bytes of float32 logits that one forward pass over alternatives may produce.
LOGITS_BYTES = 1 << 27


@dataclass(frozen=True, slots=True)
class Question:
    """One `Choose`, tokenized."""

    index: int
    prompt: Sequence[int]
    continuations: Sequence[Sequence[int]]
    """Each at least one token."""


def weigh(engine: Engine, questions: Sequence[Question], rows: int) -> Iterator[tuple[int, Choice]]:
    """The `Choice` of each question, with its index.

    Args:
        rows: most alternatives read in one forward pass.
    """
    if engine.pads:
        totals = _with_caches(engine, questions, rows)
    else:
        totals = [[_alone(engine, q.prompt, c) for c in q.continuations] for q in questions]
    for question, logprobs in zip(questions, totals, strict=True):
        counts = tuple(len(c) for c in question.continuations)
        yield question.index, Choice(tuple(logprobs), counts)


def _with_caches(engine: Engine, questions: Sequence[Question], rows: int) -> list[list[float]]:
    state = engine.prime([q.prompt for q in questions])
    first = torch.log_softmax(state.logits, dim=-1)
    totals = [first[i, [c[0] for c in q.continuations]].tolist() for i, q in enumerate(questions)]
    longer = [
        (i, j) for i, q in enumerate(questions) for j, c in enumerate(q.continuations) if len(c) > 1
    ]
    longer.sort(key=lambda at: -len(questions[at[0]].continuations[at[1]]))
    while longer:
        longest = len(questions[longer[0][0]].continuations[longer[0][1]])
        fit = LOGITS_BYTES // (4 * first.shape[-1] * longest)
        chunk, longer = longer[: max(1, min(rows, fit))], longer[max(1, min(rows, fit)) :]
        tails = [questions[i].continuations[j] for i, j in chunk]
        rest = _continue(engine, engine.select(state, [i for i, _ in chunk]), tails)
        for (i, j), value in zip(chunk, rest, strict=True):
            totals[i][j] += value
    return totals


def _continue(engine: Engine, state: Primed, continuations: Sequence[Sequence[int]]) -> list[float]:
    """Summed log-probability of each continuation's tokens after its first."""
    width = max(map(len, continuations)) - 1
    ids = torch.zeros((len(continuations), width), dtype=torch.long)
    wanted, real = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for row, tokens in enumerate(continuations):
        ids[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
        wanted[row, : len(tokens) - 1] = torch.tensor(tokens[1:])
        real[row, : len(tokens) - 1] = True
    ids, wanted, real = (t.to(engine.device) for t in (ids, wanted, real))
    positions = state.lengths[:, None] + torch.arange(width, device=engine.device)
    mask = torch.cat([state.mask, real], dim=1)
    logits = engine.forward(ids, mask, positions, state.cache, keep=width)
    return _summed(logits, wanted, real)


def _summed(logits: Tensor, wanted: Tensor, real: Tensor) -> list[float]:
    """Log-probability of `wanted` (B, T) under `logits` (B, T, V), summed where `real`."""
    chosen = logits.gather(-1, wanted[..., None])[..., 0] - logits.logsumexp(dim=-1)
    return [float(v) for v in chosen.masked_fill(~real, 0.0).sum(-1).tolist()]


def _alone(engine: Engine, prompt: Sequence[int], continuation: Sequence[int]) -> float:
    """One whole forward pass: for models whose caches cannot be copied by rows."""
    ids = torch.tensor([[*prompt, *continuation[:-1]]], device=engine.device)
    positions = torch.arange(ids.shape[1], device=engine.device)[None]
    logits = engine.forward(ids, None, positions, None, keep=len(continuation))
    wanted = torch.tensor([list(continuation)], device=engine.device)
    return _summed(logits, wanted, torch.ones_like(wanted, dtype=torch.bool))[0]
