"""A win rate with length and style held equal, by a quasi-binomial logit with errors by prompt.

share ~ expit(b0 + b'x), x the differences of the two answers in length and markup, each divided by its
root mean square and *not* centered: x = 0 is "the same style", so expit(b0) is the share at equal style.
Centering, as for many models at once, would put the mean difference back into b0 and control nothing.
That the vote depends on style in this way is an assumption, and the result is labelled so. Where hardly any
two answers are of one style, nothing is said: the share at equal style would be a guess.

Source: Chiang et al. 2024 (Chatbot Arena style control); Dubois et al. 2024, arXiv:2404.04475 (the idea
for length); McCullagh & Nelder 1989, section 9 (quasi-likelihood); White 1982 (the sandwich).
Does not: fit many models at once, or penalize.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .normal import checked_confidence, z_from_upper_tail
from .paired import t_upper_tail
from .quasi_logit import covariance, fit, independent

FEATURES = ("length", "headers", "lists", "bold")
#: Prompts for each coefficient, below which nothing is fitted.
_LEAST = 5
#: The variance at equal style over that of the plain mean, as the styles alone have it; beyond this hardly
#: any answers are of one style.
MOST_INFLATION = 4.0
Floats = NDArray[np.float64]

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_HEADERS = re.compile(r"(?m)^#{1,6}\s")
_LISTS = re.compile(r"(?m)^\s*(?:[-*+]|\d+[.)])\s")
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")


def style(answer: str) -> tuple[float, ...]:
    """Length in characters, and headers, list items and bold spans outside of code blocks."""
    prose = _CODE.sub("", answer)
    counts = (len(p.findall(prose)) for p in (_HEADERS, _LISTS, _BOLD))
    return (float(len(answer)), *map(float, counts))


def difference(mine: Sequence[float], other: Sequence[float]) -> list[float]:
    """Differences of two styles, each in (-1, 1): of lengths, and of the markup by length.

    Source: Arena-Hard's style control (github.com/lmarena/arena-hard-auto).
    """
    length = (mine[0] - other[0]) / max(1.0, mine[0] + other[0])
    dense = [[count / (s[0] + 1) for count in s[1:]] for s in (mine, other)]
    return [length, *((a - b) / (a + b + 1) for a, b in zip(*dense, strict=True))]


@dataclass(frozen=True, slots=True)
class Controlled:
    """The share at equal style."""

    share: float
    low: float
    high: float
    logit: float
    """Of the share."""
    se: float
    """Standard error of the logit."""
    df: int
    coefficients: dict[str, float]
    """By feature, in logits for one root mean square of it."""

    def z_above(self, share: float) -> float:
        """Normal score of H0: the share at equal style is at most so much (Student's t on `df`)."""
        t = (self.logit - math.log(share / (1 - share))) / self.se
        return math.copysign(z_from_upper_tail(t_upper_tail(abs(t), self.df)), t)


def control(
    shares: Sequence[float],
    differences: Sequence[Sequence[float]],
    confidence: float = 0.90,
    units: Sequence[object] | None = None,
) -> Controlled | str:
    """The share of the vote at equal style, or why there is none.

    Args:
        shares: of each prompt in [0, 1], both orders together.
        differences: of each prompt, by FEATURES (see `difference`).
        confidence: two-sided level of the interval.
        units: what prompts share with others, by prompt; default: each stands alone.
    """
    from scipy.special import stdtrit

    y = np.asarray(shares, dtype=np.float64)
    x = np.asarray(differences, dtype=np.float64).reshape(len(y), len(FEATURES))
    names = list(range(len(y))) if units is None else list(units)
    prompts = len(set(names))
    size = np.sqrt((x**2).sum(axis=0) / max(1, len(y)))
    used = np.flatnonzero(size > 1e-12)
    if prompts < _LEAST * (len(used) + 1):
        return f"{prompts} prompts are too few for {len(used)} features"
    scaled, back = independent(x[:, used] / size[used])
    design = np.column_stack([np.ones(len(y)), scaled])
    if _inflation(design) > MOST_INFLATION:
        return "the answers differ so much in length or markup that hardly any two are alike in it"
    beta = fit(design, y)
    if beta is None:
        return "the votes are so one-sided that the model has no finite fit"
    # One vote more, half of it against, keeps it above 0 where nobody differs (as in paired.Pairs.se).
    one_more = np.diag([0.25] + [0.0] * scaled.shape[1])
    error = math.sqrt(covariance(design, y, beta, names, more=one_more)[0, 0])
    df = prompts - design.shape[1]
    half = -float(stdtrit(df, (1 - checked_confidence(confidence)) / 2)) * error
    named = {FEATURES[k]: float(b) for k, b in zip(used, back @ beta[1:], strict=True)}
    share, low, high = (1 / (1 + math.exp(-(beta[0] + side * half))) for side in (0, -1, 1))
    return Controlled(share, low, high, float(beta[0]), error, df, named)


def _inflation(design: Floats) -> float:
    """Variance of the intercept over that of the mean, for votes that are all equally uncertain."""
    information = design.T @ design
    if np.linalg.cond(information) > 1e12:
        return math.inf
    return float(len(design) * np.linalg.inv(information)[0, 0])
