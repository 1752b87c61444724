"""Exact error rates and power of the fixed-n rules on pass/fail items.

Items change independently: with discordance D and true difference delta, an item improves with
probability (D + delta)/2 and worsens with (D - delta)/2. Nothing is simulated or approximated:
given the number t of changed items, each rule is a cutoff on b, so its probability is a binomial
tail, summed over t ~ Bin(n, D). Totals with less than 1e-14 of probability are left out.

Does not: graded scores (`planning` uses the normal approximation there), several looks, clusters.
"""

import math

import numpy as np
from numpy.typing import NDArray

from .mcnemar import midp_loss
from .normal import checked_margin, critical_value
from .tango import tango_z

Floats = NDArray[np.float64]
_SPREADS = 8.0


def pass_probability(
    n: int, discordance: float, margin: float, delta: float = 0.0, alpha: float = 0.05
) -> float:
    """P(PASS) at a true difference `delta`, all as proportions.

    Raises:
        ValueError: n < 1, or a discordance outside [abs(delta), 1].
    """
    totals = _likely_totals(n, discordance, delta)
    cutoffs = _pass_cutoffs(totals, n, checked_margin(margin), critical_value(alpha))
    return _probability(n, discordance, totals, delta, cutoffs)


def fail_probability(
    n: int, discordance: float, delta: float, alpha: float = 0.05, margin: float | None = None
) -> float:
    """P(FAIL) at a true difference `delta`; without a margin, of the mid-p loss test alone.

    Raises:
        ValueError: as `pass_probability`.
    """
    totals = _likely_totals(n, discordance, delta)
    cutoffs = _loss_cutoffs(totals, n, alpha, margin)
    # b at or below the cutoff is "not above it".
    return 1.0 - _probability(n, discordance, totals, delta, cutoffs + 1)


def _likely_totals(n: int, discordance: float, delta: float) -> Floats:
    if n < 1 or not abs(delta) <= discordance <= 1:
        raise ValueError(
            f"need n >= 1 and abs(delta) <= discordance <= 1, got n={n}, delta={delta}, "
            f"discordance={discordance}"
        )
    mean = n * discordance
    spread = _SPREADS * math.sqrt(mean * (1 - discordance)) + 2 * _SPREADS
    first, last = max(0, math.floor(mean - spread)), min(n, math.ceil(mean + spread))
    return np.arange(first, last + 1, dtype=np.float64)


def _probability(
    n: int, discordance: float, totals: Floats, delta: float, cutoffs: Floats
) -> float:
    """P(b >= cutoff(t)), for cutoffs in 0 .. t + 1."""
    from scipy.special import betainc, gammaln, xlog1py, xlogy

    log_p = gammaln(n + 1) - gammaln(totals + 1) - gammaln(n - totals + 1)
    log_p = log_p + xlogy(totals, discordance) + xlog1py(n - totals, -discordance)
    improves = 0.5 if discordance == 0 else (discordance + delta) / (2 * discordance)
    # P(X >= k) is betainc(k, t - k + 1, p) for 1 <= k <= t.
    inner = np.clip(cutoffs, 1, np.maximum(totals, 1))
    tail = betainc(inner, np.maximum(totals - inner, 0) + 1, improves)
    tail = np.where(cutoffs <= 0, 1.0, np.where(cutoffs > totals, 0.0, tail))
    weights = np.exp(log_p)
    return float(np.sum(weights * tail) / np.sum(weights))


def _pass_cutoffs(totals: Floats, n: int, margin: float, critical: float) -> Floats:
    """Smallest passing b for each total, t + 1 where none passes; z rises with b at a fixed t."""
    low, high = np.zeros_like(totals), totals + 1
    while np.any(low < high):
        # A settled cutoff may lie at t + 1, where there is no outcome to ask about.
        middle = np.minimum(np.floor((low + high) / 2), totals)
        passes = tango_z(middle, totals - middle, n, -margin) >= critical
        low, high = np.where(passes, low, middle + 1), np.where(passes, middle, high)
    return high


def _loss_cutoffs(totals: Floats, n: int, alpha: float, margin: float | None) -> Floats:
    """Largest failing b for each total, -1 where none fails."""
    critical = critical_value(alpha)
    low, high = np.full_like(totals, -1.0), np.floor(totals / 2)
    while np.any(low < high):
        middle = np.maximum(np.ceil((low + high) / 2), 0)  # settled ones may lie at -1
        fails = midp_loss(middle, totals - middle) <= alpha
        low, high = np.where(fails, middle, low), np.where(fails, high, middle - 1)
    if margin is None:
        return low
    by_score = np.floor((totals - critical * np.sqrt(totals)) / 2)
    by_size = np.floor((totals - n * checked_margin(margin)) / 2 + 1e-9)
    return np.maximum(-1.0, np.minimum(low, np.minimum(by_score, by_size)))
