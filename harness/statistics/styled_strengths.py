"""Strengths from pairwise votes with length and style held equal: Bradley-Terry with features.

P(i beats j) = 1/(1 + exp(theta_j - theta_i - b'x)), x the differences of the two answers in length and
markup, each divided by its root mean square; theta is what is left at equal style. Intervals are Wald's with
errors by prompt (the sandwich), not drawn: with features a draw costs a fit of its own. A model that has no
finite strength by its votes alone (bradley_terry.py) has none here.

Source: Li et al. 2024, Chatbot Arena's style control (lmsys.org, 2024-08-28); Bradley & Terry 1952; White
1982. Does not: penalize, or find out what else a vote depends on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import quasi_logit as logit
from .bradley_terry import Strength, Vote, fit
from .normal import checked_confidence, z_from_upper_tail
from .style_control import FEATURES

Floats = NDArray[np.float64]


def styled_strengths(
    votes: Sequence[Vote],
    models: int,
    differences: Sequence[Sequence[float]],
    *,
    confidence: float = 0.95,
) -> list[Strength] | str:
    """Strengths at equal style by model, or why there are none.

    Args:
        votes: every judged comparison.
        models: number of models; the votes' indices run below it.
        differences: of each vote's answers, first less second, by FEATURES (style_control.difference).
        confidence: two-sided level of the intervals.
    """
    places = {model: k for k, model in enumerate(_bounded(votes, models))}
    kept = [k for k, v in enumerate(votes) if v.first in places and v.second in places]
    if not kept:
        return "no two models beat each other"
    own = [votes[k] for k in kept]
    design = _design(own, places, [differences[k] for k in kept])
    shares, weight = np.array([v.score for v in own]), np.array([float(v.weight) for v in own])
    # Strengths have mean 0, along which the likelihood does not change.
    pin = np.zeros((design.shape[1], design.shape[1]))
    pin[: len(places), : len(places)] = 1 / len(places)
    theta = logit.fit(design, shares, weight, pin)
    if theta is None:
        return "strength and style cannot be told apart in these battles"
    errors = logit.covariance(design, shares, theta, [v.prompt for v in own], weight, pin)
    half = z_from_upper_tail((1 - checked_confidence(confidence)) / 2) * np.sqrt(np.diag(errors))
    strengths = {
        model: Strength(float(theta[k]), float(theta[k] - half[k]), float(theta[k] + half[k]))
        for model, k in places.items()
    }
    return [strengths.get(model, Strength(None, None, None)) for model in range(models)]


def _bounded(votes: Sequence[Vote], models: int) -> list[int]:
    """The models that have a finite strength by the votes alone."""
    wins = np.zeros((models, models))
    for vote in votes:
        wins[vote.first, vote.second] += vote.weight * vote.score
        wins[vote.second, vote.first] += vote.weight * (1 - vote.score)
    return [i for i, theta in enumerate(fit(wins)) if math.isfinite(theta)]


def _design(
    votes: Sequence[Vote], places: dict[int, int], differences: Sequence[Sequence[float]]
) -> Floats:
    """(votes, models + features): 1 for the first, -1 for the second, and the scaled differences."""
    x = np.asarray(differences, dtype=np.float64).reshape(len(votes), len(FEATURES))
    size = np.sqrt((x**2).mean(axis=0))
    used = size > 1e-12
    sides = np.zeros((len(votes), len(places)))
    rows = np.arange(len(votes))
    sides[rows, [places[v.first] for v in votes]] = 1.0
    sides[rows, [places[v.second] for v in votes]] = -1.0
    return np.column_stack([sides, logit.independent(x[:, used] / size[used])[0]])
