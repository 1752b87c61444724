"""A logit of shares between 0 and 1: coefficients by Newton's method, errors by the sandwich over units.

Source: McCullagh & Nelder 1989, section 9 (quasi-likelihood); White 1982; Liang & Zeger 1986 (clusters).
Does not: penalize, or choose features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STEPS, _FAR, _WORST = 50, 20.0, 1e12
Floats = NDArray[np.float64]


def fit(
    design: Floats, shares: Floats, weight: Floats | float = 1.0, pin: Floats | float = 0.0
) -> Floats | None:
    """Coefficients; None where the maximum lies at infinity or is not unique.

    Args:
        design: (n, k).
        shares: (n,), in [0, 1].
        weight: (n,) how often each row counts.
        pin: (k, k) penalty on directions along which the likelihood does not change.
    """
    beta = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-design @ beta))
        information = _information(design, p, weight) + pin
        if np.linalg.cond(information) > _WORST:
            return None
        gradient = design.T @ (weight * (shares - p)) - np.dot(pin, beta)
        step = np.linalg.solve(information, gradient)
        beta = beta + step * min(1.0, 5.0 / max(1e-12, np.abs(step).max()))
        if np.abs(beta).max() > _FAR:
            return None
        if np.abs(step).max() < 1e-10:
            return np.asarray(beta)
    return None


def covariance(
    design: Floats,
    shares: Floats,
    beta: Floats,
    units: Sequence[object],
    weight: Floats | float = 1.0,
    pin: Floats | float = 0.0,
    more: Floats | float = 0.0,
) -> Floats:
    """(k, k) covariance of the coefficients that `fit` found, rows of one unit being dependent.

    Args:
        units: of each row; their number is that of independent observations.
        more: (k, k) added to the units' squared scores, which keeps errors above 0.
    """
    p = 1 / (1 + np.exp(-design @ beta))
    bread = np.linalg.inv(_information(design, p, weight) + pin)
    places = {name: k for k, name in enumerate(dict.fromkeys(units))}
    scores = np.zeros((len(places), design.shape[1]))
    rows = design * (weight * (shares - p))[:, None]
    np.add.at(scores, [places[name] for name in units], rows)
    n, k = scores.shape
    return np.asarray(bread @ (scores.T @ scores + more) @ bread * (n / max(1, n - k)))


def independent(x: Floats) -> tuple[Floats, Floats]:
    """Features (n, r) that do not repeat each other, and the way back (k, r) to the k given.

    What is said where all features are 0 is the same for both.
    """
    _, strengths, axes = np.linalg.svd(x, full_matrices=False)
    kept = axes[strengths > 1e-6 * max(1e-12, strengths.max(initial=0.0))]
    return np.asarray(x @ kept.T), np.asarray(kept.T)


def _information(design: Floats, p: Floats, weight: Floats | float) -> Floats:
    return np.asarray((design * (weight * p * (1 - p))[:, None]).T @ design)
