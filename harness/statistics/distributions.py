"""How far two distributions over the same categories lie apart.

Does not: test (bootstrap the items for that), or smooth empty categories.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Shift:
    """Distances of the candidate's distribution from the baseline's."""

    total_variation: float
    """half the sum of absolute differences, in [0, 1]"""
    jensen_shannon_bits: float
    """Jensen-Shannon divergence to base 2, in [0, 1]"""
    kl_nats: float | None
    """KL(candidate || baseline); None where the baseline lacks a category the candidate has"""


def distribution_shift(candidate: ArrayLike, baseline: ArrayLike) -> Shift:
    """Compare two lists of shares or counts of shape (categories,), each scaled to sum 1.

    Raises:
        ValueError: other lengths, negative or missing values, or a side with nothing in it.
    """
    p, q = np.asarray(candidate, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if p.ndim != 1 or p.shape != q.shape or not (np.all(p >= 0) and np.all(q >= 0)):
        raise ValueError(f"need two lists of shares >= 0, got shapes {p.shape} and {q.shape}")
    if not (0 < p.sum() < np.inf and 0 < q.sum() < np.inf):
        raise ValueError("each side needs something to compare, got an empty or endless sum")
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    known = not np.any((q == 0) & (p > 0))
    return Shift(
        total_variation=float(np.abs(p - q).sum()) / 2,
        jensen_shannon_bits=float((_kl(p, middle) + _kl(q, middle)) / (2 * np.log(2))),
        kl_nats=_kl(p, q) if known else None,
    )


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    there = p > 0
    return float((p[there] * np.log(p[there] / q[there])).sum())
