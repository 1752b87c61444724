"""Tests of the discordant pairs: exact and mid-p McNemar, and the sign-flip test of graded scores.

Under "no change" each changed item is as likely to improve as to worsen, so b is binomial with
b + c trials and probability 1/2, whatever the accuracy. The mid-p test never exceeded its level
in 9595 scenarios (Fagerland, Lydersen, Laake, BMC Med Res Methodol 13:91, 2013), and on our grid
stays within .0505 for a discordance up to .8; the exact test is conservative.

Does not: use the chi-squared approximation (`tango.tango_z` at 0 is its square root).
"""

import math
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SIGN_FLIP_ITEMS = 20
Floats = NDArray[np.float64]


def midp_loss(b: ArrayLike, c: ArrayLike) -> Floats:
    """One-sided mid-p of "the candidate is worse": F(b) - f(b)/2, and 1 where b + c = 0.

    Exchange the arguments for the p of a gain. Shapes broadcast; 0-d for scalars.
    """
    cumulative, point = _fair_coin(b, c)
    changed = np.add(b, c) > 0
    return np.asarray(np.where(changed, cumulative - point / 2, 1.0))


def midp_two_sided(b: int, c: int) -> float:
    """Two-sided mid-p: 2F(min) - f(min), 1 - f/2 where b = c, and 1 where b + c = 0."""
    if b + c == 0:
        return 1.0
    cumulative, point = (float(x) for x in _fair_coin(min(b, c), max(b, c)))
    return 1 - point / 2 if b == c else 2 * cumulative - point


def exact_loss(b: int, c: int) -> float:
    """One-sided exact p of "the candidate is worse": F(b)."""
    return float(_fair_coin(b, c)[0])


def exact_two_sided(b: int, c: int) -> float:
    """Two-sided exact p: twice the smaller tail, at most 1."""
    return min(1.0, 2 * exact_loss(min(b, c), max(b, c)))


def _fair_coin(b: ArrayLike, c: ArrayLike) -> tuple[Floats, Floats]:
    """F(b) and f(b) of the binomial with b + c trials and probability 1/2."""
    from scipy.special import betainc, gammaln

    b, c = np.asarray(b, dtype=np.float64), np.asarray(c, dtype=np.float64)
    if np.any(b < 0) or np.any(c < 0):
        raise ValueError(f"counts of changed items must be >= 0, got b={b} and c={c}")
    log_point = gammaln(b + c + 1) - gammaln(b + 1) - gammaln(c + 1) - (b + c) * math.log(2)
    # betainc(0, .) is undefined, and F = 1 there: no losses means b is at the top of its range.
    cumulative = np.where(c > 0, betainc(np.maximum(c, 1), b + 1, 0.5), 1.0)
    return np.asarray(cumulative), np.exp(log_point)


def sign_flip_loss(d: ArrayLike) -> float:
    """Exact one-sided p of "the mean difference is below 0" over all sign flips of `d`, shape (n,).

    For differences in {-1, 0, 1} this is `exact_loss`.

    Raises:
        ValueError: more than 20 differences other than 0 (2^20 flips are enumerated).
    """
    sizes = np.abs(np.asarray(d, dtype=np.float64))
    observed = float(np.sum(d))
    sizes = sizes[sizes > 0]
    if sizes.size > _SIGN_FLIP_ITEMS:
        raise ValueError(
            f"the sign-flip test enumerates at most {_SIGN_FLIP_ITEMS} changed items, "
            f"got {sizes.size}; use the paired t test"
        )
    signs = np.array(list(product((-1.0, 1.0), repeat=sizes.size))).reshape(
        2**sizes.size, sizes.size
    )
    return float(np.mean(signs @ sizes <= observed + 1e-12))
