"""Boundaries of group-sequential tests: how far a z must go at each look for one total error rate.

The score of a growing sample behaves like Brownian motion in information time t = n/N. A spending
function says how much of the error rate may be used up by t; the boundary of a look is the value
that uses up its share among the paths that have crossed none before (Lan and DeMets, Biometrika 70
(1983) 659-663). One-sided, upper, with non-binding futility.

Does not: know items or margins (`sequential` does), or look at data to choose the looks.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .normal import Z_CAP, checked_alpha, upper_tail, z_from_upper_tail

P_FLOOR = 1e-7
"""Smallest sequential p that is searched for."""
_P_CEILING = 0.5
_LOWEST = 9.0  # P(Z < -9) is 1e-19: nothing below is followed
Floats = NDArray[np.float64]


def spent(alpha: float, t: float, spending: str = "power:2") -> float:
    """Error rate used up by information time t in (0, 1].

    `power:RHO` is alpha t^RHO (Kim and DeMets 1987; RHO = 2 is the default), `obf` is
    2 - 2 Phi(z_{1-alpha/2} / sqrt t), like O'Brien and Fleming's late stops, and `pocock` is
    alpha ln(1 + (e - 1) t), the earliest stops (both Lan and DeMets 1983).

    Raises:
        UsageError: an unknown spending function, or a power that is not > 0.
    """
    if spending == "obf":
        return 2 * upper_tail(z_from_upper_tail(alpha / 2) / math.sqrt(t))
    if spending == "pocock":
        return alpha * math.log1p((math.e - 1) * t)
    name, _, rho = spending.partition(":")
    try:
        power = float(rho)
    except ValueError:
        power = 0.0
    if name != "power" or not 0 < power < math.inf:
        raise UsageError(
            f"unknown spending function '{spending}'; write power:2 (the default), obf or pocock"
        )
    return float(alpha * t**power)


def boundary(
    alpha: float, fractions: Sequence[float], spending: str = "power:2"
) -> tuple[float, ...]:
    """The critical value of each look, at most 38.

    Args:
        alpha: one-sided error rate of all looks together.
        fractions: information times of the looks, rising, in (0, 1].
        spending: see `spent`.

    Raises:
        UsageError: alpha outside (0, 0.5), or an unknown spending function.
        ValueError: fractions that do not rise within (0, 1].
    """
    return _boundary(checked_alpha(alpha), _checked(fractions), spending)


@lru_cache(maxsize=512)
def _boundary(alpha: float, fractions: tuple[float, ...], spending: str) -> tuple[float, ...]:
    """Integrates exactly what the textbook grid recursion does, on Gauss-Legendre nodes.

    The density of the paths still running is smooth up to the last boundary, so a hundred nodes
    give what a trapezoid of thousands gives, and a live gate can ask for many boundaries.
    """
    bounds: list[float] = []
    paths, before = _Paths(), 0.0
    for t in fractions:
        total = spent(alpha, t, spending)
        z = paths.critical(t, total - before)
        before = total
        bounds.append(z)
        paths = paths.below(t, z)
    return tuple(bounds)


def crossing_probability(bounds: Sequence[float], fractions: Sequence[float]) -> float:
    """P(some look reaches its bound) without an effect: what ten looks at 1.96 really cost."""
    if len(bounds) != len(fractions):
        raise ValueError(f"need a bound for each look, got {len(bounds)} and {len(fractions)}")
    paths, crossed = _Paths(), 0.0
    for z, t in zip(bounds, _checked(fractions), strict=True):
        crossed += paths.beyond(t, z)
        paths = paths.below(t, z)
    return crossed


def sequential_p(
    z: Sequence[float], fractions: Sequence[float], spending: str = "power:2"
) -> float:
    """The smallest level at which one of the looks so far would have reached its boundary.

    Valid at whatever look one stops (Liu and Anderson, JASA 103 (2008) 1621-1630). Searched in
    [1e-7, 0.5]: 1 where even 0.5 is not reached, just below 1e-7 where the floor is.

    Args:
        z: scores of the looks so far.
        fractions: information times of those looks.
        spending: see `spent`.

    Raises:
        ValueError: no look, or other numbers of scores and fractions.
    """
    times = _checked(fractions)
    if len(z) != len(times):
        raise ValueError(f"need a score for each look, got {len(z)} and {len(times)}")
    return _sequential_p(tuple(z), times, spending)


@lru_cache(maxsize=1024)
def _sequential_p(z: tuple[float, ...], times: tuple[float, ...], spending: str) -> float:
    from scipy.optimize import brentq

    def excess(log_alpha: float) -> float:
        bounds = _boundary(math.exp(log_alpha), times, spending)
        return max(x - bound for x, bound in zip(z, bounds, strict=True))

    lowest, highest = math.log(P_FLOOR), math.log(_P_CEILING)
    if excess(highest) < 0:
        return 1.0
    if excess(lowest) >= 0:
        return math.nextafter(P_FLOOR, 0.0)
    return math.exp(float(brentq(excess, lowest, highest, xtol=1e-9)))


def _checked(fractions: Sequence[float]) -> tuple[float, ...]:
    times = tuple(float(t) for t in fractions)
    rising = all(a < b for a, b in pairwise(times))
    if not (times and rising and times[0] > 0 and times[-1] <= 1):
        raise ValueError(f"looks must rise within (0, 1], got {times}")
    return times


class _Paths:
    """The Brownian paths that have crossed no boundary: their density at time t, on nodes."""

    def __init__(
        self, t: float = 0.0, nodes: Floats | None = None, mass: Floats | None = None
    ) -> None:
        self.t = t
        self.nodes = np.zeros(1) if nodes is None else nodes
        self.mass = np.ones(1) if mass is None else mass  # density times quadrature weight

    def beyond(self, t: float, z: float) -> float:
        """P(still running, and W(t) >= z sqrt t)."""
        from scipy.special import erfc

        distance = (z * math.sqrt(t) - self.nodes) / math.sqrt(t - self.t)
        return float(0.5 * self.mass @ erfc(distance / math.sqrt(2)))

    def critical(self, t: float, share: float) -> float:
        """The z beyond which `share` of all paths lies at time t."""
        from scipy.optimize import brentq

        if share <= self.beyond(t, Z_CAP):
            return Z_CAP
        found = brentq(lambda z: self.beyond(t, z) - share, -_LOWEST, Z_CAP, xtol=1e-11)
        return float(found)

    def below(self, t: float, z: float) -> "_Paths":
        """The paths that stay below z at time t."""
        width, step = math.sqrt(t), math.sqrt(t - self.t)
        low, high = -_LOWEST * width, min(z, _LOWEST) * width
        # Enough nodes for the narrowest feature, which is one step's kernel.
        unit, weights = _legendre(64 + 6 * math.ceil((high - low) / step))
        nodes = low + (high - low) * (unit + 1) / 2
        distance = (nodes[:, None] - self.nodes[None, :]) / step
        density = np.exp(-0.5 * distance**2) @ self.mass / (step * math.sqrt(2 * math.pi))
        return _Paths(t, nodes, density * weights * (high - low) / 2)


@lru_cache(maxsize=64)
def _legendre(count: int) -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights
