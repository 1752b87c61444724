"""Strengths from pairwise votes: Bradley-Terry by maximum likelihood, with a bootstrap by prompt.

P(i beats j) = 1/(1 + exp(theta_j - theta_i)); a tie is half a win each. A strength is finite only
among models that beat each other in a circle; one that never lost, or never won, against them is
"unbounded" and gets no number, for any number would be the regularizer's (Ford 1957).

Does not: offer online Elo (it depends on the order of the votes), or control for style.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .normal import checked_confidence

DRAWS = 1000
SEED = 20261120
_STEPS = 100
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Vote:
    """One judged comparison; both orders of a prompt carry the same prompt."""

    prompt: str
    first: int
    """index of a model"""
    second: int
    score: float
    """1 the first wins, 0.5 a tie, 0 the second wins"""
    weight: int = 1
    """How many comparisons it counts for."""


@dataclass(frozen=True, slots=True)
class Strength:
    """One model's strength; None is unbounded."""

    theta: float | None
    """natural logarithm of the odds, mean 0 over the bounded models"""
    low: float | None
    high: float | None
    """ends of the bootstrap interval; None: unbounded on that side"""


def elo(theta: float) -> float:
    """Elo points of a strength whose mean is 0: 1000 + 400/ln 10 theta."""
    return 1000 + 400 / math.log(10) * theta


def fit(wins: ArrayLike) -> list[float]:
    """Strengths from wins[i][j], the times i beat j (a tie adds one half on both sides).

    They have mean 0 over the largest circle of models that beat each other; a model outside it is
    +inf or -inf if its results with the circle all point one way, else nan (not comparable).

    Raises:
        ValueError: a table that is not square, or negative or missing counts.
    """
    w = np.asarray(wins, dtype=np.float64).copy()
    if w.ndim != 2 or w.shape[0] != w.shape[1] or w.shape[0] < 1 or not np.all(w >= 0):
        raise ValueError(f"need a square table of counts >= 0, got shape {w.shape}")
    np.fill_diagonal(w, 0.0)
    beats = _reachable(w > 0)
    circles = beats & beats.T
    core = circles[int(circles.sum(axis=1).argmax())]
    if core.sum() == 1 and len(w) > 1:
        return _without_circle(beats)
    inside = np.flatnonzero(core)
    theta = np.full(len(w), np.nan)
    theta[inside] = _maximum_likelihood(w[np.ix_(inside, inside)])
    above, below = beats[:, inside[0]] & ~core, beats[inside[0], :] & ~core
    theta[above], theta[below] = np.inf, -np.inf
    return [float(x) for x in theta]


def _without_circle(beats: NDArray[np.bool_]) -> list[float]:
    """Only those never beaten and those never winning have a side; nobody has a number."""
    won, lost = beats.sum(axis=1) > 1, beats.sum(axis=0) > 1
    theta = np.where(won & ~lost, np.inf, np.where(lost & ~won, -np.inf, np.nan))
    return [float(x) for x in theta]


def _reachable(beat: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Who beat someone who beat ... whom; every model reaches itself."""
    reach = beat | np.eye(len(beat), dtype=bool)
    for _ in range(max(1, math.ceil(math.log2(len(beat) + 1)))):
        reach = (reach.astype(np.float64) @ reach.astype(np.float64)) > 0
    return np.asarray(reach)


def _maximum_likelihood(w: Floats) -> Floats:
    """Newton's method with halved steps; the circle makes the maximum finite and unique."""
    theta, games = np.zeros(len(w)), w + w.T
    best = _log_likelihood(w, theta)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))
        gradient = w.sum(axis=1) - (games * p).sum(axis=1)
        information = games * p * (1 - p)
        hessian = np.diag(information.sum(axis=1)) - information
        # Adding 1 everywhere pins the mean, along which the likelihood does not change.
        step = np.linalg.solve(hessian + 1 / len(w), gradient)
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
        scale = 1.0
        while (found := _log_likelihood(w, theta + scale * step)) < best and scale > 1e-6:
            scale /= 2
        theta, best = theta + scale * step, max(best, found)
    return np.asarray(theta - theta.mean())


def _log_likelihood(w: Floats, theta: Floats) -> float:
    return -float((w * np.logaddexp(0.0, theta[None, :] - theta[:, None])).sum())


def strengths(
    votes: Sequence[Vote],
    models: int,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
    confidence: float = 0.95,
) -> list[Strength]:
    """Strengths with percentile intervals over draws of whole prompts, both orders kept together.

    A draw that leaves a model unbounded counts so at its ends, and takes its mean over the others.

    Args:
        votes: every judged comparison.
        models: number of models; the votes' indices run below it.
        draws: bootstrap draws.
        seed: of the draws.
        confidence: two-sided level of the intervals.

    Raises:
        ValueError: no vote, or a vote of unknown models, a model with itself, another score, or no
            weight.
    """
    tables = _by_prompt(votes, models)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(tables), np.full(len(tables), 1 / len(tables)), draws)
    drawn = np.array([fit(w) for w in np.tensordot(weights, tables, axes=1)])
    tail = (1 - checked_confidence(confidence)) / 2
    return [
        Strength(_finite(theta), _end(drawn[:, i], tail), _end(drawn[:, i], 1 - tail))
        for i, theta in enumerate(fit(tables.sum(axis=0)))
    ]


def _by_prompt(votes: Sequence[Vote], models: int) -> Floats:
    """Win tables of shape (prompts, models, models)."""
    prompts = {name: k for k, name in enumerate(dict.fromkeys(v.prompt for v in votes))}
    if not prompts:
        raise ValueError("need at least one vote, got none")
    tables = np.zeros((len(prompts), models, models))
    for v in votes:
        known = min(v.first, v.second) >= 0 and max(v.first, v.second) < models
        said = v.score in (0, 0.5, 1) and v.weight >= 1
        if not known or v.first == v.second or not said:
            raise ValueError(f"a vote needs two of {models} models and 0, 0.5 or 1, got {v}")
        tables[prompts[v.prompt], v.first, v.second] += v.weight * v.score
        tables[prompts[v.prompt], v.second, v.first] += v.weight * (1 - v.score)
    return tables


def _end(drawn: Floats, share: float) -> float | None:
    """A quantile of the draws; a draw that cannot place the model counts against both ends."""
    side = np.inf if share > 0.5 else -np.inf
    ordered = np.sort(np.where(np.isnan(drawn), side, drawn))
    method = math.ceil if share > 0.5 else math.floor
    return _finite(float(ordered[method(share * (len(ordered) - 1))]))


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
