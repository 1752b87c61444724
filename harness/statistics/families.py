"""Several claims at once: Holm, Benjamini-Hochberg, and the mean loss over domains.

One more claim joins the domains' losses: the equal-weight mean of their differences, which sees a
small loss everywhere that no single domain can show.

Does not: name the waterbed, or read domains that stopped at different fractions of their items
(the mean of such estimates is biased; hand over estimates of one common look).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .decision import Decision, reaches
from .normal import Z_CAP, checked_alpha, checked_margin, critical_value, upper_tail

POOL = "all domains"
POOLED_LOSS = 0.01


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given; they control any false claim.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    order = _ascending(p)
    adjusted, running = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = running
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Step-up adjusted p-values, in the order given; they control the share of false claims.

    Source: Benjamini and Hochberg, JRSS B 57 (1995) 289-300.
    """
    order = _ascending(p)
    adjusted, running = [0.0] * len(p), 1.0
    for rank in range(len(p), 0, -1):
        i = order[rank - 1]
        running = min(running, p[i] * len(p) / rank)
        adjusted[i] = running
    return adjusted


def _ascending(p: Sequence[float]) -> list[int]:
    for value in p:
        if not 0 <= value <= 1:
            raise ValueError(f"a p-value must lie in [0, 1], got {value}")
    return sorted(range(len(p)), key=lambda i: p[i])


@dataclass(frozen=True, slots=True)
class Pooled:
    """The equal-weight mean of domain differences. Proportions, not points."""

    domains: int
    delta: float
    se: float
    low: float
    high: float
    z_loss: float
    p_loss: float
    """p of H0: mean difference >= 0"""
    large: bool
    """the estimate is a loss of at least the smallest that may fail (1 point)"""


def pool_domains(
    deltas: Sequence[float],
    ses: Sequence[float],
    *,
    confidence: float = 0.9,
    smallest: float = POOLED_LOSS,
) -> Pooled:
    """Pool domain differences with their standard errors (domains share no items).

    Args:
        deltas: candidate minus baseline by domain.
        ses: their standard errors, in the same order.
        confidence: two-sided level of the interval.
        smallest: the mean loss below which the pool cannot FAIL.

    Raises:
        ValueError: no domain, or lists of different lengths.
    """
    if not deltas or len(deltas) != len(ses):
        raise ValueError(f"need a difference and an error each, got {len(deltas)} and {len(ses)}")
    j = len(deltas)
    delta = math.fsum(deltas) / j
    se = math.sqrt(math.fsum(s * s for s in ses)) / j
    z_loss = _z(0.0 - delta, se)
    half = critical_value((1 - confidence) / 2) * se
    return Pooled(
        domains=j,
        delta=delta,
        se=se,
        low=max(-1.0, delta - half),
        high=min(1.0, delta + half),
        z_loss=z_loss,
        p_loss=upper_tail(z_loss),
        large=reaches(delta, checked_margin(smallest)),
    )


def mean_harm_p(pooled: Pooled, margin: float) -> float:
    """p of H0: the mean difference is a loss of the whole margin or more (release, strict: 0.02)."""
    return upper_tail(_z(pooled.delta + checked_margin(margin), pooled.se))


def _z(distance: float, se: float) -> float:
    if se <= 0.0:
        return 0.0 if distance == 0 else math.copysign(Z_CAP, distance)
    return max(-Z_CAP, min(Z_CAP, distance / se))


@dataclass(frozen=True, slots=True)
class LossFamily:
    """The Holm family of losses."""

    adjusted: dict[str, float]
    """Holm-adjusted p by domain, and under `POOL` for the mean"""
    failed: tuple[str, ...]
    """members that FAIL after the correction, in the order given"""

    @property
    def size(self) -> int:
        """J, the number of claims corrected for."""
        return len(self.adjusted)


def loss_family(
    decisions: Mapping[str, Decision], pooled: Pooled | None = None, alpha: float = 0.05
) -> LossFamily:
    """Which domains, and whether their mean, FAIL with all claims held at `alpha` together.

    A domain fails when its own decision is FAIL and its adjusted p is at most alpha; the mean when
    its adjusted p is and its estimate reaches the smallest loss. Domains with too few items for a
    verdict are no members.
    """
    checked_alpha(alpha)
    if POOL in decisions:
        raise ValueError(f"'{POOL}' names the mean over domains; give that domain another name")
    p = {name: d.p_loss for name, d in decisions.items() if not d.too_few}
    can_fail = {name: decisions[name].verdict == "fail" for name in p}
    if pooled is not None:
        p[POOL], can_fail[POOL] = pooled.p_loss, pooled.large
    adjusted = dict(zip(p, holm(list(p.values())), strict=True))
    failed = tuple(name for name in p if can_fail[name] and adjusted[name] <= alpha)
    return LossFamily(adjusted, failed)
