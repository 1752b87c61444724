"""Log-probabilities and losses as the papers write them, in plain Python, to hold the trainers against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def answer_logps(model: Any, tokens: Sequence[int], answer: int) -> list[float]:
    """log p(token | all before it) in nats, of the last `answer` tokens of one unpadded row."""
    import torch

    with torch.no_grad():
        logits_tv = model(input_ids=torch.tensor([list(tokens)])).logits[0].double()
    logp_tv = logits_tv.log_softmax(-1)
    first = len(tokens) - answer
    return [float(logp_tv[t - 1, tokens[t]]) for t in range(first, len(tokens))]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def dpo(
    ours: tuple[float, float], reference: tuple[float, float], beta: float, flipped: float = 0.0
) -> float:
    """Rafailov et al. 2023, eq. 7; with `flipped` Chowdhury et al. 2024 (robust DPO).

    `ours` and `reference` are log-probabilities of (chosen, rejected), summed over the answer's tokens.
    """
    h = beta * ((ours[0] - reference[0]) - (ours[1] - reference[1]))
    clean, other = -math.log(sigmoid(h)), -math.log(sigmoid(-h))
    return ((1 - flipped) * clean - flipped * other) / (1 - 2 * flipped)


def ipo(ours: tuple[float, float], reference: tuple[float, float], tau: float) -> float:
    """Azar et al. 2024, eq. 17; log-probabilities here are means over the answer's tokens."""
    h = (ours[0] - reference[0]) - (ours[1] - reference[1])
    return (h - 1 / (2 * tau)) ** 2


def kto(log_ratio: float, liked: bool, kl: float, beta: float, weight: float) -> float:
    """Ethayarajh et al. 2024, section 4.1: lambda - v(x, y), where `kl` is z_0 and lambda `weight`."""
    gain = beta * (log_ratio - kl) if liked else beta * (kl - log_ratio)
    return weight * (1 - sigmoid(gain))


def orpo(chosen: Sequence[float], rejected: Sequence[float], nll: float, weight: float) -> float:
    """Hong et al. 2024, eq. 3 to 7; per-token log-probabilities of one pair."""

    def log_odds(logps: Sequence[float]) -> float:
        p = math.exp(mean(logps))
        return math.log(p / (1 - p))

    return nll + weight * -math.log(sigmoid(log_odds(chosen) - log_odds(rejected)))


def bradley_terry(chosen: float, rejected: float) -> float:
    """Ouyang et al. 2022, eq. 1, for one pair."""
    return -math.log(sigmoid(chosen - rejected))
