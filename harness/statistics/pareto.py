"""Quality against size, speed and cost: the front, how firmly a point stands on it, and its price.

Does not: measure anything, weigh the axes against each other, or gray out a point on a mere
estimate (`confidently_dominates` asks the paired test).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .normal import checked_alpha, critical_value
from .paired import Pairs, gain_p, z_noninferior

DRAWS = 1000
SEED = 20261120
NEGLIGIBLE = 0.01
CLEARLY_CHEAPER = 0.05
Floats = NDArray[np.float64]


def pareto_front(
    points: Mapping[str, Mapping[str, float]], smaller_is_better: Collection[str] = ()
) -> list[str]:
    """The points that no other dominates: no worse on every axis and better on one.

    Equal points are both kept.

    Args:
        points: by name, the same axes each, finite values.
        smaller_is_better: axes such as size and cost; all others are better when larger.

    Raises:
        ValueError: no point, other axes in some point, or a value that is not finite.
    """
    values = _matrix(points, smaller_is_better)
    kept = _on_front(values[None])[0]
    return [name for name, on in zip(points, kept, strict=True) if on]


def _matrix(points: Mapping[str, Mapping[str, float]], smaller: Collection[str]) -> Floats:
    if not points:
        raise ValueError("a front needs at least one point, got none")
    axes = list(next(iter(points.values())))
    for name, point in points.items():
        if point.keys() != set(axes) or not axes:
            raise ValueError(f"every point needs the axes {axes}, {name} has {list(point)}")
    unknown = set(smaller) - set(axes)
    if unknown:
        raise ValueError(f"no point has the axes {sorted(unknown)}; there are {axes}")
    signs = np.array([-1.0 if axis in smaller else 1.0 for axis in axes])
    values = np.array([[point[axis] for axis in axes] for point in points.values()]) * signs
    if not np.all(np.isfinite(values)):
        raise ValueError("every value on an axis must be a finite number; leave the point out")
    return np.asarray(values)


def _on_front(values: Floats) -> NDArray[np.bool_]:
    """Which points of shape (draws, points, axes) no other of their draw dominates."""
    others, own = values[:, :, None, :], values[:, None, :, :]
    no_worse, better = np.all(others >= own, axis=-1), np.any(others > own, axis=-1)
    return np.asarray(~np.any(no_worse & better, axis=1))


def front_frequency(
    scores: Mapping[str, ArrayLike],
    costs: Mapping[str, Mapping[str, float]],
    smaller_is_better: Collection[str] = (),
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[str, float]:
    """Share of item-bootstrap draws in which each point is on the front; its costs stay as measured.

    Args:
        scores: item scores of shape (n,) by point, the same items for all.
        costs: the other axes by point.
        smaller_is_better: see `pareto_front`.
        draws: bootstrap draws over items.
        seed: of the draws.

    Raises:
        ValueError: other points or other items on the two sides, or as `pareto_front`.
    """
    if scores.keys() != costs.keys():
        raise ValueError(f"points differ: scores of {sorted(scores)}, costs of {sorted(costs)}")
    fixed = _matrix(costs, smaller_is_better)
    items = np.array([np.asarray(scores[name], dtype=np.float64) for name in costs])
    if items.ndim != 2 or not items.shape[1] or not np.all(np.isfinite(items)):
        raise ValueError(f"need finite scores of the same items for all, got shape {items.shape}")
    n = items.shape[1]
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), draws)
    # Rounded, so that equal sets of scores tie whatever the order of the summation.
    quality = np.round(weights @ items.T / n, 12)
    repeated = np.broadcast_to(fixed, (draws, *fixed.shape))
    share = _on_front(np.concatenate([quality[..., None], repeated], axis=-1)).mean(axis=0)
    return {name: float(x) for name, x in zip(costs, share, strict=True)}


def confidently_dominates(
    pairs: Pairs,
    costs: Mapping[str, float],
    other: Mapping[str, float],
    smaller_is_better: Collection[str] = (),
    alpha: float = 0.05,
) -> bool:
    """Whether a point may gray out another: quality shown within a point, and something better.

    No worse on every cost axis, and one of them at least 5% better or a significant quality gain.

    Args:
        pairs: the other point as baseline, this one as candidate.
        costs: this point's cost axes, positive.
        other: the other's.
        smaller_is_better: see `pareto_front`.
        alpha: level of each test.
    """
    own, theirs = _matrix({"own": costs, "other": other}, smaller_is_better)
    no_worse = bool((own >= theirs).all())
    cheaper = bool(((own - theirs) / np.abs(theirs) >= CLEARLY_CHEAPER - 1e-12).any())
    held = z_noninferior(pairs, NEGLIGIBLE) >= critical_value(alpha)
    return held and no_worse and (cheaper or gain_p(pairs) <= checked_alpha(alpha))


@dataclass(frozen=True, slots=True)
class PerCost:
    """Change for one unit of cost, with the interval of the change divided by the cost."""

    rate: float
    low: float
    high: float


def per_cost(delta: float, low: float, high: float, cost: float) -> PerCost | None:
    """Points per GPU-hour, points lost per GB saved, and the like; cost is measured, not estimated.

    None where the interval of the change contains 0: "no gain shown".

    Raises:
        ValueError: a cost that is not > 0, or an interval that does not hold the change.
    """
    if not cost > 0 or not low <= delta <= high:
        raise ValueError(
            f"need a cost > 0 and low <= delta <= high, got {cost} and {low}, {delta}, {high}"
        )
    return None if low <= 0 <= high else PerCost(delta / cost, low / cost, high / cost)
