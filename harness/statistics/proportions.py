"""Intervals for one proportion (Wilson) and for a paired difference (Newcombe, method 10).

Does not: decide anything. Verdicts use Tango's interval, whose ends are the tests themselves;
Newcombe's is offered beside it.
"""

import math

from .normal import checked_confidence, z_from_upper_tail


def wilson_interval(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion; `successes` may be a sum of graded scores.

    Source: Newcombe, Statistics in Medicine 17 (1998) 857-872, method 3.

    Raises:
        ValueError: n < 1, or successes outside [0, n].
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need n >= 1 and 0 <= successes <= n, got {successes} of {n}")
    z = z_from_upper_tail((1 - checked_confidence(confidence)) / 2)
    p, z2 = successes / n, z * z
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At 0 and n the end is exactly 0 or 1; rounding would leave 1e-17 there.
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return low, high


def newcombe_interval(
    both: int, candidate_only: int, baseline_only: int, neither: int, confidence: float = 0.9
) -> tuple[float, float]:
    """Newcombe's method 10 for candidate minus baseline, from the four cells of right and wrong.

    Source: Newcombe, Statistics in Medicine 17 (1998) 2635-2650. The correlation has the n/2
    continuity correction and is 0 where a margin of the table is 0.
    """
    cells = (both, candidate_only, baseline_only, neither)
    n = sum(cells)
    if min(cells) < 0 or n < 1:
        raise ValueError(f"need four counts >= 0 with a sum >= 1, got {cells}")
    p1, p2 = (both + candidate_only) / n, (both + baseline_only) / n
    l1, u1 = wilson_interval(both + candidate_only, n, confidence)
    l2, u2 = wilson_interval(both + baseline_only, n, confidence)
    phi = _correlation(*cells)
    down = _distance(p1 - l1, u2 - p2, phi)
    up = _distance(u1 - p1, p2 - l2, phi)
    delta = (candidate_only - baseline_only) / n
    return delta - down, delta + up


def _distance(x: float, y: float, phi: float) -> float:
    return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))


def _correlation(n11: int, n10: int, n01: int, n00: int) -> float:
    margins = (n11 + n10) * (n01 + n00) * (n11 + n01) * (n10 + n00)
    if margins == 0:
        return 0.0
    n = n11 + n10 + n01 + n00
    excess = float(n11 * n00 - n10 * n01)
    if excess > 0:
        excess = max(0.0, excess - n / 2)
    return excess / math.sqrt(margins)
