"""Betting against a claim item by item: valid at every item, with no end planned.

A gambler who stakes a share of the wealth against H0 on each item cannot expect to win while H0
holds, so the wealth E_t ever reaching 1/alpha has a chance of at most alpha (Ville), whatever the
stopping rule, with no approximation, provided that the order is random given the past. Where N is
known the group-sequential gate (`sequential`) passes 9 to 21 points more harmless candidates; this
is for streams, unplanned peeks and nights.

Source: Waudby-Smith and Ramdas, JRSS B 86 (2024) 1-27 (arXiv 2010.09686), with bets that aim at the
design alternative: no change for PASS, one and a half margins for FAIL.

Does not: combine e-values (`evalues`), or accept an item-wise stratified order (bet on block means
there). Clusters: hand over each cluster's sum of d divided by the largest cluster size.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .normal import checked_alpha, checked_margin, z_from_upper_tail

Side = Literal["pass", "fail"]
PRIOR_ITEMS = 20
PRIOR_VARIANCE = 0.12
_CAP = 0.75  # share of the largest stake that can be lost on one item
_FAIL_AIM = 1.5
_GRID = 801
Floats = NDArray[np.float64]


def log_wealth(d: ArrayLike, margin: float, side: Side) -> Floats:
    """log E_t after each item, along the last axis of `d`, shape (..., T).

    PASS bets x = d + m against E[d] <= -m with lam = min(m/V, .75/(1-m)); FAIL bets x = -d against
    E[d] >= 0 with lam = min(1.5 m/V, .75). V_{t-1} = (20 * .12 + sum_{s<t} x^2)/(20 + t - 1).

    Raises:
        UsageError: margin outside (0, 1).
        ValueError: differences outside [-1, 1].
    """
    x = _checked(d)
    checked_margin(margin)
    if side == "pass":
        return _bet(x + margin, margin, _CAP / (1 - margin))
    return _bet(-x, _FAIL_AIM * margin, _CAP)


def _bet(x: Floats, aim: float, cap: float | Floats) -> Floats:
    """Wealth of stakes min(aim/V, cap) on x, whose variance guess V never sees the item bet on."""
    seen = np.cumsum(x * x, axis=-1) - x * x
    count = PRIOR_ITEMS + np.arange(x.shape[-1])
    variance = (PRIOR_ITEMS * PRIOR_VARIANCE + seen) / count
    stake = np.minimum(aim / variance, cap)
    return np.asarray(np.cumsum(np.log1p(stake * x), axis=-1))


def p_anytime(log_e: ArrayLike) -> float:
    """min(1, 1/max_s E_s): a p-value that is valid at any stopping time."""
    path = np.asarray(log_e, dtype=np.float64)
    return min(1.0, math.exp(-float(path.max()))) if path.size else 1.0


@dataclass(frozen=True, slots=True)
class Anytime:
    """What the items so far show, whenever one looks. Proportions, not points."""

    items: int
    """items used: up to the decision, or all that were given"""
    outcome: Literal["pass", "fail", "continue"]
    delta: float
    p_pass: float
    """anytime p of H0: delta <= -margin"""
    p_loss: float
    """anytime p of H0: delta >= 0"""
    every: int
    """items between two checks"""


def decide_anytime(
    d: ArrayLike,
    margin: float,
    alpha_pass: float = 0.05,
    alpha_fail: float = 0.05,
    *,
    family: int = 1,
    items: int | None = None,
    every: int = 1,
    gamma: float = 0.9,
) -> Anytime:
    """The first decision on the differences `d`, shape (T,), in their seeded order.

    PASS where the wealth against "a loss of the margin" reaches 1/alpha_pass; FAIL where the wealth
    against "no loss" has reached family/alpha_fail and the estimate is a loss of the margin.

    Args:
        d: candidate minus baseline, in [-1, 1].
        margin: largest tolerated loss.
        alpha_pass: chance of ever passing a loss of the whole margin.
        alpha_fail: chance of any false FAIL among the family.
        family: claims that share alpha_fail.
        items: N where it is known: the estimate must then, with chance gamma, still reach the
            margin at N.
        every: check at every so many items and at the last; the guarantee does not depend on it.
        gamma: see `items`.

    Raises:
        UsageError: margin or level out of range.
        ValueError: differences outside [-1, 1], none, or more than N.
    """
    x = _checked(d)
    if (
        x.ndim != 1
        or not x.size
        or (items is not None and x.size > items)
        or min(every, family) < 1
    ):
        raise ValueError(
            f"need differences of shape (T,) with 1 <= T <= N and every, family >= 1, got shape "
            f"{x.shape}, N={items}, every={every}, family={family}"
        )
    wealth = {side: log_wealth(x, margin, side) for side in ("pass", "fail")}
    checks = np.unique(np.append(np.arange(every, x.size + 1, every), x.size)) - 1
    passes = wealth["pass"][checks] >= -math.log(checked_alpha(alpha_pass))
    best = np.maximum.accumulate(wealth["fail"])[checks]
    fails = best >= math.log(family / checked_alpha(alpha_fail))
    fails &= _loss_reaches(x, margin, items, gamma)[checks]
    decided = passes | fails
    at = int(decided.argmax()) if decided.any() else len(checks) - 1
    used = int(checks[at]) + 1
    return Anytime(
        items=used,
        outcome="pass" if passes[at] else "fail" if fails[at] else "continue",
        delta=math.fsum(x[:used]) / used,
        p_pass=p_anytime(wealth["pass"][:used]),
        p_loss=p_anytime(wealth["fail"][:used]),
        every=every,
    )


def _loss_reaches(x: Floats, margin: float, items: int | None, gamma: float) -> NDArray[np.bool_]:
    """The estimate after each item is a loss of the margin and, where N is known, likely stays one."""
    n = np.arange(1, x.shape[-1] + 1)
    delta, room = np.cumsum(x, axis=-1) / n, np.zeros(())
    if items is not None:
        variance = (np.cumsum(x * x, axis=-1) + 1) / (n + 2) - delta**2
        spread = np.sqrt(np.maximum(0.0, variance) * (1 / n - 1 / items))
        room = z_from_upper_tail(1 - gamma) * spread
    return np.asarray(delta + room <= -margin + 1e-12)


def confidence_sequence(d: ArrayLike, margin: float, alpha: float = 0.05) -> tuple[float, float]:
    """The differences that no bet so far has refuted: an interval that is valid at every item.

    One-sided level alpha at each end, inverted over a grid of a quarter point, outward; at -margin
    and at 0 its ends are the bets of `log_wealth`.

    Raises:
        UsageError: margin or level out of range.
        ValueError: differences outside [-1, 1].
    """
    x = _checked(d)
    checked_margin(margin)
    limit = -math.log(checked_alpha(alpha))
    grid = np.linspace(-1.0, 1.0, _GRID)
    # d0 is refuted from below when the items beat it, from above when they fall short of it.
    inner = grid[1:-1, None]
    beaten = _bet(x - inner, margin, _CAP / (1 + inner)).max(axis=-1, initial=0.0) >= limit
    short = _bet(inner - x, _FAIL_AIM * margin, _CAP / (1 - inner)).max(axis=-1, initial=0.0)
    missed = short >= limit
    low = int(np.argmin(np.append(beaten, False)))
    high = int(np.argmin(np.append(missed[::-1], False)))
    return float(grid[low]), float(grid[_GRID - 1 - high])


def _checked(d: ArrayLike) -> Floats:
    x = np.asarray(d, dtype=np.float64)
    if not np.all(np.abs(x) <= 1):
        raise ValueError("differences must lie in [-1, 1]; drop unscored pairs first")
    return x
