"""Agreement of two raters, such as a judge and people, or a judge with itself in the other order.

Does not: set the limits a judge must reach, or take agreement by chance for agreement.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Agreement:
    """Observed agreement and what is left of it beyond chance."""

    observed: float
    kappa: float | None
    """None where chance alone would agree always (0/0): the judge's precondition is not met"""
    kappa_quadratic: float | None
    """the same with disagreements weighed by the squared distance of ordered categories"""


def cohen_kappa(table: ArrayLike) -> Agreement:
    """Cohen's kappa of a square table of counts: one rater's categories by the other's.

    Source: Cohen, Educational and Psychological Measurement 20 (1960) 37-46, and Psychological
    Bulletin 70 (1968) 213-220 for the weights.

    Raises:
        ValueError: a table that is not square, has negative counts, or is empty.
    """
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not np.all(counts >= 0):
        raise ValueError(f"need a square table of counts >= 0, got shape {counts.shape}")
    if not counts.sum() > 0:
        raise ValueError("the table holds no rating; give at least one")
    p = counts / counts.sum()
    chance = np.outer(p.sum(axis=1), p.sum(axis=0))
    place = np.arange(len(p))
    distance = np.abs(place[:, None] - place[None, :])
    return Agreement(
        observed=float(np.trace(p)),
        kappa=_kappa(p, chance, (distance > 0).astype(np.float64)),
        kappa_quadratic=_kappa(p, chance, (distance**2).astype(np.float64)),
    )


def _kappa(p: np.ndarray, chance: np.ndarray, weight: np.ndarray) -> float | None:
    expected = float((weight * chance).sum())
    return 1 - float((weight * p).sum()) / expected if expected > 0 else None
