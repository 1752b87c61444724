"""The verdict on one domain at one look: PASS, FAIL or INCONCLUSIVE.

Two claims with an error rate each: PASS says "the loss is smaller than the margin", FAIL says
"there is a real loss, and its estimate reaches the margin". Neither is the absence of the other;
all else is INCONCLUSIVE.

Does not: correct for several domains (`families`), plan (`planning`), or look more than once.
"""

from dataclasses import dataclass
from typing import Literal

from .normal import checked_margin, critical_value, upper_tail, z_from_upper_tail
from .paired import Pairs, gain_p, interval, loss_p, uses_t, z_at, z_noninferior
from .tango import exact_noninferiority_p

Outcome = Literal["pass", "fail", "inconclusive"]
Flag = Literal["gain", "small_real_loss", "material"]
Method = Literal["tango", "exact", "t", "tango_graded"]

FEWEST_ITEMS = 30
SMALL_SET = 100
_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Decision:
    """One domain's answer. Proportions, not points; every number is finite."""

    n: int
    """paired items (or clusters)"""
    b: int
    """items on which the candidate is better"""
    c: int
    """items on which it is worse"""
    baseline: float | None
    """mean score; None where only the changed items are known"""
    candidate: float | None
    delta: float
    """candidate minus baseline"""
    low: float
    """interval of delta at `confidence`"""
    high: float
    confidence: float
    """two-sided level of the interval: 1 - 2 alpha_pass"""
    se: float
    """standard error of delta, smoothed (`paired.Pairs.se`), for means over domains"""
    sd: float
    """standard deviation of the item differences"""
    discordance: float
    """mean squared difference; (b + c)/n for pass/fail items"""
    margin: float
    z_pass: float
    """score of H0: delta <= -margin"""
    z_loss: float
    """score of H0: delta >= 0"""
    z_gain: float
    """score of H0: delta <= 0"""
    p_pass: float
    p_loss: float
    p_gain: float
    verdict: Outcome
    """inconclusive, with no flag, for fewer than 30 items"""
    flags: tuple[Flag, ...]
    """gain, small_real_loss on PASS; material on FAIL"""
    method: Method
    """tango_graded: graded scores of which fewer than five changed"""

    @property
    def too_few(self) -> bool:
        """Fewer than 30 items: no verdict is given, and the domain joins no family of tests."""
        return self.n < FEWEST_ITEMS

    @property
    def small(self) -> bool:
        """30 to 99 items: one look only, and only large losses can be seen."""
        return FEWEST_ITEMS <= self.n < SMALL_SET


def decide(
    pairs: Pairs,
    margin: float,
    alpha_pass: float = 0.05,
    alpha_fail: float = 0.05,
    *,
    exact: bool = False,
) -> Decision:
    """The verdict at a fixed number of items.

    PASS when z_pass reaches the critical value of alpha_pass. FAIL when z_loss reaches that of
    alpha_fail, the printed p_loss is at most alpha_fail, and delta is at most -margin.

    Args:
        pairs: the paired scores.
        margin: largest tolerated loss, a proportion (3 points are 0.03).
        alpha_pass: chance of PASS at a loss of the whole margin or more.
        alpha_fail: chance of FAIL without a loss.
        exact: take z_pass and p_pass from the exact enumeration (pass/fail scores, at most 200
            items); the interval stays Tango's.

    Raises:
        UsageError: margin outside (0, 1) or a level outside (0, 0.5).
        ValueError: exact for graded scores or for more than 200 items.
    """
    checked_margin(margin)
    critical_pass, critical_fail = critical_value(alpha_pass), critical_value(alpha_fail)
    z_pass, p_pass, method = _noninferiority(pairs, margin, exact=exact)
    z_loss, p_loss = 0.0 - z_at(pairs, 0.0), loss_p(pairs)
    confidence = 1 - 2 * alpha_pass
    low, high = interval(pairs, confidence)
    lost = z_loss >= critical_fail and p_loss <= alpha_fail
    verdict = _verdict(pairs.n, z_pass >= critical_pass, lost and reaches(pairs.delta, margin))
    gained = -z_loss >= critical_fail
    return Decision(
        n=pairs.n,
        b=pairs.b,
        c=pairs.c,
        baseline=pairs.baseline,
        candidate=pairs.candidate,
        delta=pairs.delta,
        low=low,
        high=high,
        confidence=confidence,
        se=pairs.se,
        sd=pairs.sd,
        discordance=pairs.discordance,
        margin=margin,
        z_pass=z_pass,
        z_loss=z_loss,
        z_gain=0.0 - z_loss,
        p_pass=p_pass,
        p_loss=p_loss,
        p_gain=gain_p(pairs),
        verdict=verdict,
        flags=_flags(verdict, gained=gained, lost=lost, material=high < -margin),
        method=method,
    )


def reaches(delta: float, margin: float) -> bool:
    """Whether an estimate is a loss of at least the margin, forgiving rounding of 1e-12."""
    return delta <= -margin + _TOLERANCE


def _noninferiority(pairs: Pairs, margin: float, *, exact: bool) -> tuple[float, float, Method]:
    if exact:
        if not pairs.binary:
            raise ValueError(
                "the exact test needs scores of 0 and 1, got graded ones; leave it off"
            )
        p = exact_noninferiority_p(pairs.b, pairs.c, pairs.n, margin)
        return z_from_upper_tail(p), p, "exact"
    z = z_noninferior(pairs, margin)
    graded: Method = "t" if uses_t(pairs) else "tango_graded"
    return z, upper_tail(z), "tango" if pairs.binary else graded


def _verdict(n: int, passed: bool, failed: bool) -> Outcome:
    if n < FEWEST_ITEMS:
        return "inconclusive"
    if failed:
        return "fail"
    return "pass" if passed else "inconclusive"


def _flags(verdict: Outcome, *, gained: bool, lost: bool, material: bool) -> tuple[Flag, ...]:
    if verdict == "fail":
        return ("material",) if material else ()
    if verdict != "pass":
        return ()
    return ("gain",) if gained else ("small_real_loss",) if lost else ()
