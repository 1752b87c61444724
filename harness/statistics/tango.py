"""Tango's score test, interval and exact test for a paired difference of proportions.

Source: Tango, Statistics in Medicine 17 (1998) 891-908. The variance is estimated under the tested
difference, so it is never 0 merely because no item changed, which is what breaks Wald's interval.

Does not: offer a Wald interval, or know about graded scores (`paired` reduces those to counts).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .normal import checked_confidence, checked_margin, z_from_upper_tail

EXACT_ITEMS = 200  # the exact test enumerates every (b, c); beyond this the score test is as good
_NO_VARIANCE = 1e-14
_HALVINGS = 52

Floats = NDArray[np.float64]


def tango_z(b: ArrayLike, c: ArrayLike, n: ArrayLike, d0: ArrayLike) -> Floats:
    """Score statistic of H0: difference = d0; positive when the data lie above d0.

    Args:
        b: items on which only the candidate is right; any shape, may be fractional.
        c: items on which only the baseline is right.
        n: paired items.
        d0: tested difference in [-1, 1].

    Returns:
        z in the broadcast shape (0-d for scalars). Without variance it is 0 where the data equal
        d0 and infinite with the sign of the distance elsewhere (only at b = c = 0 or |d0| = 1).
    """
    b, c, n, d0 = (np.asarray(x, dtype=np.float64) for x in (b, c, n, d0))
    # z(b, c, d0) = -z(c, b, -d0). Working at d0 <= 0 avoids a cancellation in the root below and
    # makes exchanging the two models change the sign of z and nothing else, to the last bit.
    mirrored = d0 > 0
    wins, losses = np.where(mirrored, c, b), np.where(mirrored, b, c)
    z = _z_at_or_below_zero(wins, losses, n, np.where(mirrored, -d0, d0))
    return np.asarray(np.where(mirrored, -z, z) + 0.0)


def _z_at_or_below_zero(b: Floats, c: Floats, n: Floats, d0: Floats) -> Floats:
    linear = (2 * n - b + c) * d0 - b - c
    root = np.sqrt(np.maximum(linear * linear + 8 * n * c * d0 * (1 - d0), 0.0))
    losses = (root - linear) / (4 * n)  # restricted maximum-likelihood rate of c
    variance = 2 * losses + d0 * (1 - d0)
    distance = b - c - n * d0
    flat = variance <= _NO_VARIANCE
    z = distance / np.sqrt(n * np.where(flat, 1.0, variance))
    at_null = np.abs(distance) <= 1e-12 * n
    without_variance = np.where(at_null, 0.0, np.copysign(np.inf, distance))
    return np.asarray(np.where(flat, without_variance, z))


def tango_interval(
    b: ArrayLike, c: ArrayLike, n: ArrayLike, confidence: float = 0.9
) -> tuple[Floats, Floats]:
    """Two-sided score interval of the difference: its ends are the two one-sided tests.

    The ends are found by bisection, since z falls as d0 rises; where there is no root (every item
    changed in one direction) the end is -1 or 1.

    Returns:
        (low, high) in the broadcast shape of b, c and n.
    """
    critical = z_from_upper_tail((1 - checked_confidence(confidence)) / 2)
    b, c, n = (np.asarray(x, dtype=np.float64) for x in (b, c, n))
    low = _interval_low(b, c, n, critical)
    high = -_interval_low(c, b, n, critical)
    return low + 0.0, high + 0.0


def _interval_low(b: Floats, c: Floats, n: Floats, critical: float) -> Floats:
    estimate = np.asarray((b - c) / n)
    outside, inside = np.full_like(estimate, -1.0), estimate
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        excluded = tango_z(b, c, n, middle) > critical
        outside, inside = np.where(excluded, middle, outside), np.where(excluded, inside, middle)
    return np.where(estimate <= -1.0, -1.0, (outside + inside) / 2)


def exact_noninferiority_p(b: int, c: int, n: int, margin: float, grid: int = 200) -> float:
    """Exact p of H0: difference <= -margin, with Tango's z as the order of the outcomes.

    The nuisance discordance runs over `grid` values in [margin, 1]; p is the largest probability
    of a z at least as large as the observed one, over every possible (b, c).

    Raises:
        ValueError: more than 200 items (the enumeration grows with the square), or a bad margin.
    """
    checked_margin(margin)
    if n > EXACT_ITEMS:
        raise ValueError(
            f"the exact test is for at most {EXACT_ITEMS} items, got {n}; leave it off"
        )
    wins, losses = _outcomes_at_least(float(tango_z(b, c, n, -margin)), n, margin)
    log_ways = _log_multinomial(wins, losses, n)
    largest = 0.0
    for discordance in np.linspace(margin, 1.0, grid):
        log_p = log_ways + _log_cells(wins, losses, n, discordance, margin)
        largest = max(largest, float(np.exp(log_p).sum()))
    return min(1.0, largest)


def _outcomes_at_least(observed: float, n: int, margin: float) -> tuple[Floats, Floats]:
    wins, losses = (x.ravel().astype(np.float64) for x in np.indices((n + 1, n + 1)))
    possible = wins + losses <= n
    wins, losses = wins[possible], losses[possible]
    kept = tango_z(wins, losses, n, -margin) >= observed - 1e-12
    return wins[kept], losses[kept]


def _log_multinomial(b: Floats, c: Floats, n: int) -> Floats:
    from scipy.special import gammaln

    ways = gammaln(n + 1.0) - gammaln(b + 1) - gammaln(c + 1) - gammaln(n - b - c + 1)
    return np.asarray(ways, dtype=np.float64)


def _log_cells(b: Floats, c: Floats, n: int, discordance: float, margin: float) -> Floats:
    from scipy.special import xlogy

    gain, loss = (discordance - margin) / 2, (discordance + margin) / 2
    log_p = xlogy(b, gain) + xlogy(c, loss) + xlogy(n - b - c, 1 - discordance)
    return np.asarray(log_p, dtype=np.float64)
