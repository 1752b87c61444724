"""Normal tails and critical values, and the checks every level and margin passes through.

Does not: import scipy. `math.erfc` and `statistics.NormalDist` are exact to double precision.
"""

import math
from statistics import NormalDist

from ..errors import UsageError

_STANDARD = NormalDist()
Z_CAP = (
    38.0  # the upper tail at 38 is about 3e-316; beyond it a double is 0 and z would be infinite
)


def upper_tail(z: float) -> float:
    """P(Z >= z), with full relative precision in the upper tail."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def z_from_upper_tail(p: float) -> float:
    """The z with P(Z >= z) = p, kept within +-38 so that p = 0 or 1 stays finite."""
    if p <= 0.0:
        return Z_CAP
    if p >= 1.0:
        return -Z_CAP
    return max(-Z_CAP, min(Z_CAP, -_STANDARD.inv_cdf(p)))


def critical_value(alpha: float) -> float:
    """The one-sided critical value at level `alpha`; UsageError (a ValueError) unless 0 < alpha < 0.5."""
    return z_from_upper_tail(checked_alpha(alpha))


def checked_alpha(alpha: float) -> float:
    """`alpha` itself; UsageError (a ValueError) unless 0 < alpha < 0.5."""
    if not 0.0 < alpha < 0.5:
        raise UsageError(f"a level must be > 0 and < 0.5, got {alpha}; the usual one is 0.05")
    return alpha


def checked_margin(margin: float) -> float:
    """`margin` itself; UsageError (a ValueError) unless 0 < margin < 1 (a proportion, not points)."""
    if not 0.0 < margin < 1.0:
        raise UsageError(
            f"a margin must be > 0 and < 1, got {margin}; write 3 points as 0.03, "
            "and read the gain instead of a margin for superiority"
        )
    return margin


def checked_confidence(confidence: float) -> float:
    """`confidence` itself; UsageError (a ValueError) unless 0 < confidence < 1."""
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"a confidence must be > 0 and < 1, got {confidence}; write 90% as 0.9")
    return confidence
