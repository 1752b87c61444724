"""AlpacaEval's figures from preferences: win rate, its error, and the length-controlled win rate.

A preference lies in [1, 2]: 1 the baseline's answer won, 2 the model's; 0 stands for a draw, None was not
judged. The length-controlled win rate is a logistic model of the preference (Dubois et al. 2024,
arXiv:2404.04475) on the difference in length, the instruction's difficulty and the model, with the first set
to 0. Its fit needs the authors' table of two gamed baselines (df_gamed.csv). Not here: asking a judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..harness.errors import DataError
from .item_files import read_items

#: Weight of both gamed baselines together, against 1 for the model.
_GAMED = 0.2
_FOLDS, _SEED = 5, 123
#: Inverse strengths of the penalty that are tried.
_STRENGTHS = np.logspace(-4, 4, 10)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WinRate:
    """Figures as proportions."""

    win_rate: float
    standard_error: float
    wins: int
    losses: int
    draws: int
    discrete: float
    """Wins and half the draws, by the number judged."""


def win_rate(preferences: Sequence[float | None]) -> WinRate:
    """AlpacaEval's win rate.

    Raises:
        ValueError: fewer than two answers were judged.
    """
    judged = np.asarray([p if p else 1.5 for p in preferences if p is not None])
    if len(judged) < 2:
        raise ValueError(f"need two judged answers, got {len(judged)}")
    wins, losses = int((judged > 1.5).sum()), int((judged < 1.5).sum())
    draws = len(judged) - wins - losses
    return WinRate(
        win_rate=float(judged.mean() - 1),
        standard_error=float(judged.std(ddof=1) / np.sqrt(len(judged))),
        wins=wins,
        losses=losses,
        draws=draws,
        discrete=(wins + draws / 2) / len(judged),
    )


@dataclass(frozen=True, slots=True)
class Weights:
    """The three coefficients of one model."""

    length: float
    difficulty: float
    model: float


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """The win rate at equal length, as a proportion, and the standard error over instructions."""

    win_rate: float
    standard_error: float


def predict(weights: Weights, difficulty: Sequence[float]) -> LengthControlled:
    """The prediction step: every instruction at equal length."""
    logits = weights.model + weights.difficulty * np.asarray(difficulty, dtype=np.float64)
    shares = 1 / (1 + np.exp(-logits))
    error = shares.std(ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else 0.0
    return LengthControlled(float(shares.mean()), float(error))


@dataclass(frozen=True, slots=True)
class Gamed:
    """The authors' table: two gamed baselines on every instruction."""

    design: Floats
    """(rows, 2): standardized difference in length before tanh, difficulty."""
    shares: Floats
    """(rows,): preference less one."""
    difficulty: Floats
    """By the instruction's place in the set."""


def read_gamed(path: Path) -> Gamed:
    """Read df_gamed.csv of huggingface.co/datasets/tatsu-lab/alpaca_eval.

    Raises:
        DataError: a column is missing or holds no numbers, or instructions are missing.
    """
    names = ("index", "preference", "std_delta_len", "instruction_difficulty")
    try:
        table = np.asarray([[float(row[n]) for n in names] for row in read_items(path)])
        difficulty = {int(index): hard for index, _, _, hard in table[::-1]}
        ordered = np.asarray([difficulty[k] for k in range(len(difficulty))])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"'{path}' is not AlpacaEval's df_gamed.csv ({error!r}); it needs the columns {names}."
        ) from error
    return Gamed(table[:, 2:], table[:, 1], ordered)


def standardized(lengths: Sequence[int], baseline_lengths: Sequence[int]) -> Floats:
    """(n,) how much longer the baseline's answers are, by their standard deviation."""
    apart = np.asarray(baseline_lengths, dtype=np.float64) - np.asarray(lengths)
    return np.asarray(apart / apart.std(ddof=1))


def fit(
    shares: Sequence[float],
    lengths: Sequence[int],
    baseline_lengths: Sequence[int],
    difficulty: Sequence[float],
    gamed: Gamed,
) -> Weights:
    """Fit one model's weights: L1-penalized, the strength by cross-validation over rows.

    Args:
        shares: preferences less one, by instruction, in [0, 1].
        lengths: characters of the model's answers.
        baseline_lengths: characters of the baseline's.
        difficulty: of the instructions.
        gamed: rows that keep the length term from explaining everything.
    """
    apart = np.tanh(standardized(lengths, baseline_lengths))
    own = np.column_stack([apart, difficulty, np.ones(len(apart))])
    others = np.column_stack(
        [np.tanh(gamed.design[:, 0]), gamed.design[:, 1], np.zeros(len(gamed.shares))]
    )
    design = np.vstack([others, own])
    soft = np.concatenate([gamed.shares, np.asarray(shares, dtype=np.float64)])
    weight = np.where(design[:, 2] > 0, 1.0, _GAMED / 2)
    best = min(_STRENGTHS, key=lambda c: _held_out_loss(design, soft, weight, float(c)))
    return Weights(*map(float, _coefficients(design, soft, weight, float(best))))


def _coefficients(design: Floats, soft: Floats, weight: Floats, strength: float) -> Floats:
    """A soft label is a row of either class, weighed by it."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=strength, l1_ratio=1.0, solver="liblinear", fit_intercept=False, random_state=_SEED
    )
    classes = np.repeat([1, 0], len(soft))
    each = np.concatenate([soft, 1 - soft]) * np.tile(weight, 2)
    model.fit(np.vstack([design, design]), classes, sample_weight=each)
    return np.asarray(model.coef_[0])


def _held_out_loss(design: Floats, soft: Floats, weight: Floats, strength: float) -> float:
    from sklearn.model_selection import GroupKFold

    losses = []
    for train, test in GroupKFold(_FOLDS).split(design, groups=np.arange(len(soft))):
        beta = _coefficients(design[train], soft[train], weight[train], strength)
        logits = design[test] @ beta
        loss = np.logaddexp(0, logits) - soft[test] * logits
        losses.append(float((loss * weight[test]).mean()))
    return float(np.mean(losses))
