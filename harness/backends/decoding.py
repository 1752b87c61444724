"""Decodes a batch of prompts token by token, greedily or by sampling.

A row that is finished is handed out at once and soon stops costing anything. A row's random draws come
from its own seed: they do not depend on its neighbors. A thinking budget that is spent writes the end
marker instead of what the model would have said. Not here: the forward pass (engine.py), stop strings
(stopping.py), what thinking is (thinking.py), tokenizing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..records import GenerationSettings, StopReason
from .engine import Engine
from .stopping import Stops
from .thinking import Budget

#: Finished rows are dropped once they are this part of the batch; dropping copies the cache.
DROP_PART = 1 / 8


@dataclass(slots=True)
class Row:
    """One answer in the making."""

    index: int
    prompt: Sequence[int]
    limit: int
    """Most new tokens."""
    settings: GenerationSettings
    stops: Stops
    opened: bool
    """The prompt ends inside a thinking block."""
    draws: random.Random
    budget: Budget | None = None
    tokens: list[int] = field(default_factory=list)
    """What was generated, without the token that ends a text."""
    generated: int = 0
    logprob: float = 0.0
    """Of the tokens drawn so far, nats at temperature 1."""
    cut: int | None = None
    """Where in the text a stop string begins."""
    reason: StopReason | None = None
    end: int | None = None
    """The token that ended the text."""
    fault: str = ""

    @property
    def done(self) -> bool:
        """Whether nothing more is to come."""
        return self.reason is not None or bool(self.fault)

    @property
    def last(self) -> int:
        """The token that the model reads next."""
        return self.tokens[-1] if self.tokens else 0

    def take(self, drawn: tuple[int, float], ends: frozenset[int]) -> bool:
        """Append the token that was picked, or the next one of the end marker of thinking.

        Args:
            drawn: the token and its log-probability; a negative token says that the logits were not
                finite.

        Returns:
            Whether that was the last one.
        """
        token, logprob = drawn
        if token < 0:
            self.fault = "the model's logits are not finite"
            return True
        forced = self._forced()
        self.generated += 1
        if forced is not None:
            self.tokens.append(forced)
        else:
            self.logprob += logprob
            if token in ends:
                self.reason, self.end = "stop", token
                return True
            self.tokens.append(token)
            self.cut = self.stops.find(self.tokens, self.opened)
        if self.cut is not None:
            self.reason = "stop"
        elif self.generated >= self.limit:
            self.reason = "length"
        return self.done

    def _forced(self) -> int | None:
        """What the thinking budget writes next; None leaves it to the model."""
        budget = self.budget
        if budget is None:
            return None
        if budget.over(self.generated):
            budget.look(self.stops.speech.text(self.tokens), self.opened)
        return budget.left.pop(0) if budget.left else None


def decode(engine: Engine, rows: Sequence[Row], ends: frozenset[int]) -> Iterator[Row]:
    """Fill the rows; yields each when it is done."""
    state = engine.prime([row.prompt for row in rows])
    slots = list(rows)
    while True:
        for row, drawn in zip(slots, pick(state.logits, slots), strict=True):
            if not row.done and row.take(drawn, ends):
                yield row
        live = [i for i, row in enumerate(slots) if not row.done]
        if not live:
            return
        if len(slots) - len(live) >= max(1.0, DROP_PART * len(slots)):
            state = engine.select(state, live)
            slots = [slots[i] for i in live]
        engine.step(state, [row.last for row in slots])


@torch.inference_mode()
def pick(logits: Tensor, rows: Sequence[Row]) -> list[tuple[int, float]]:
    """The next token of each row, -1 where the logits (B, V) are not finite, and its log-probability.

    The latter is computed only where a token is drawn at random, and 0 elsewhere.
    """
    best, choice = logits.max(dim=-1)
    tokens: list[int] = torch.where(best.isfinite(), choice, -1).tolist()
    found = [(token, 0.0) for token in tokens]
    for nucleus in (False, True):
        drawn = [
            i
            for i, row in enumerate(rows)
            if not row.settings.greedy and (row.settings.top_p < 1) == nucleus and tokens[i] >= 0
        ]
        if drawn:
            picked = _sample(logits[drawn], [rows[i] for i in drawn], nucleus)
            for i, both in zip(drawn, picked, strict=True):
                found[i] = both
    return found


def _sample(logits: Tensor, rows: Sequence[Row], nucleus: bool) -> list[tuple[int, float]]:
    """Invert each row's cumulative distribution at a number drawn from the row's own seed.

    The nucleus is the fewest most likely tokens that hold `top_p` (Holtzman et al., 2020, 3.1).
    """
    wide = torch.float32 if logits.device.type == "mps" else torch.float64
    temperature = logits.new_tensor([row.settings.temperature for row in rows], dtype=wide)
    mass = torch.softmax(logits.to(wide) / temperature[:, None], dim=-1)
    order = None
    if nucleus:
        top_p = mass.new_tensor([row.settings.top_p for row in rows])[:, None]
        mass, order = mass.sort(dim=-1, descending=True, stable=True)
        before = mass.cumsum(-1) - mass
        mass = mass.masked_fill(before >= top_p, 0.0)
    ladder = mass.cumsum(-1)
    point = ladder.new_tensor([row.draws.random() for row in rows])[:, None] * ladder[:, -1:]
    place = torch.searchsorted(ladder, point, right=True).clamp(max=ladder.shape[-1] - 1)
    if order is not None:
        place = order.gather(-1, place)
    logprob = logits.gather(-1, place)[:, 0] - logits.logsumexp(dim=-1)
    return list(zip(place[:, 0].tolist(), logprob.tolist(), strict=True))
