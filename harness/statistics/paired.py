"""The paired scores of one domain, and the tests on them for pass/fail and for graded scores.

The unit is the item: a score averaged over its samples, never the samples pooled as items. Scores
of 0 and 1 are tested by Tango's score test; anything graded by the paired t test, which falls back
to Tango's test on equivalent counts where fewer than five items changed or nothing varies.

Does not: drop or fill unscored items (hand over scored pairs only), know clusters, or decide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .mcnemar import midp_loss
from .normal import checked_confidence, checked_margin, upper_tail, z_from_upper_tail
from .tango import tango_interval, tango_z

_FEWEST_CHANGED_FOR_T = 5
_NO_SPREAD = 1e-12


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the tests need to know of n paired scores; d is candidate minus baseline.

    The sums are correctly rounded, so the order of the items cannot change a digit.
    """

    n: int
    b: int
    """items with d > 0"""
    c: int
    """items with d < 0"""
    total: float
    """sum of d"""
    squares: float
    """sum of d^2; squares / n is the discordance of pass/fail items"""
    sd: float
    """sample standard deviation of d (n - 1); 0 for one item"""
    binary: bool
    """every score is 0 or 1"""
    baseline: float | None
    """mean score of the baseline; None where only the changed items are known"""
    candidate: float | None

    @property
    def delta(self) -> float:
        """Mean difference, candidate minus baseline."""
        return self.total / self.n

    @property
    def discordance(self) -> float:
        """Mean squared difference: (b + c)/n for pass/fail items."""
        return self.squares / self.n

    @property
    def tango_counts(self) -> tuple[float, float]:
        """(b*, c*): the counts themselves for d in {-1, 0, 1}, conservative for graded d."""
        spread = max(self.squares, abs(self.total))
        return (spread + self.total) / 2, (spread - self.total) / 2

    @property
    def se(self) -> float:
        """Standard error of delta, smoothed as if one more pair of items had one change.

        `sqrt(max(0, (squares + 1)/(n + 2) - delta^2) / n)`: without the smoothing a domain in which
        nothing changed would enter a mean of domains as if it were known exactly.
        """
        variance = (self.squares + 1) / (self.n + 2) - self.delta**2
        return math.sqrt(max(0.0, variance) / self.n)


def pair_scores(
    baseline: Sequence[float] | NDArray[np.float64],
    candidate: Sequence[float] | NDArray[np.float64],
) -> Pairs:
    """Pair two score lists of shape (n,), each score in [0, 1], item i of one with item i of the other.

    Raises:
        ValueError: lengths differ, no item, or a score that is not a number in [0, 1]; an unscored
            item is dropped from both sides by the caller, who also counts it.
    """
    old, new = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if old.ndim != 1 or old.shape != new.shape or old.size == 0:
        raise ValueError(
            f"need two score lists of one length >= 1, got shapes {old.shape} and {new.shape}"
        )
    scores = np.concatenate([old, new])
    if not np.all((scores >= 0) & (scores <= 1)):
        bad = float(scores[~((scores >= 0) & (scores <= 1))][0])
        raise ValueError(f"scores must lie in [0, 1], got {bad}; drop unscored pairs first")
    return _pairs(old, new, binary=bool(np.all((scores == 0) | (scores == 1))))


def _pairs(old: NDArray[np.float64], new: NDArray[np.float64], *, binary: bool) -> Pairs:
    d, n = new - old, len(old)
    total = math.fsum(d)
    spread = math.fsum((d - total / n) ** 2)
    return Pairs(
        n=n,
        b=int(np.count_nonzero(d > 0)),
        c=int(np.count_nonzero(d < 0)),
        total=total,
        squares=math.fsum(d * d),
        sd=math.sqrt(spread / (n - 1)) if n > 1 else 0.0,
        binary=binary,
        baseline=math.fsum(old) / n,
        candidate=math.fsum(new) / n,
    )


def pair_counts(b: int, c: int, n: int, baseline_right: int | None = None) -> Pairs:
    """The same from counts: b only the candidate right, c only the baseline right, of n items.

    Raises:
        ValueError: negative counts, more changed items than items, or an impossible baseline_right.
    """
    if min(b, c) < 0 or n < 1 or b + c > n:
        raise ValueError(f"need b, c >= 0 and b + c <= n, got b={b}, c={c}, n={n}")
    if baseline_right is not None and not c <= baseline_right <= n - b:
        raise ValueError(f"{baseline_right} of {n} right does not fit b={b} and c={c}")
    total = b - c
    spread = b + c - total * total / n
    old = None if baseline_right is None else baseline_right / n
    new = None if baseline_right is None else (baseline_right + total) / n
    sd = math.sqrt(max(0.0, spread) / (n - 1)) if n > 1 else 0.0
    return Pairs(n, b, c, float(total), float(b + c), sd, True, old, new)


def swapped(pairs: Pairs) -> Pairs:
    """The same pairs with the two models exchanged."""
    return Pairs(
        n=pairs.n,
        b=pairs.c,
        c=pairs.b,
        total=0.0 - pairs.total,
        squares=pairs.squares,
        sd=pairs.sd,
        binary=pairs.binary,
        baseline=pairs.candidate,
        candidate=pairs.baseline,
    )


def uses_t(pairs: Pairs) -> bool:
    """Whether the paired t test carries this domain: graded, five items changed, some spread."""
    return not pairs.binary and pairs.b + pairs.c >= _FEWEST_CHANGED_FOR_T and pairs.sd > _NO_SPREAD


def t_statistic(pairs: Pairs, d0: float = 0.0) -> float:
    """Paired t of H0: difference = d0, n - 1 degrees of freedom; ValueError where nothing varies."""
    if pairs.sd <= _NO_SPREAD:
        raise ValueError(f"the t test needs differences that vary, got {pairs.n} equal ones")
    return (pairs.delta - d0) / (pairs.sd / math.sqrt(pairs.n))


def t_upper_tail(t: float, df: int) -> float:
    """P(T >= t) of Student's t."""
    from scipy.special import stdtr

    return float(stdtr(df, -t))


def equivalence_p(pairs: Pairs, margin: float) -> float:
    """TOST: p of "the difference lies outside (-margin, margin)", by two one-sided t tests."""
    low, high = t_statistic(pairs, -checked_margin(margin)), t_statistic(pairs, margin)
    return max(t_upper_tail(low, pairs.n - 1), t_upper_tail(-high, pairs.n - 1))


def z_at(pairs: Pairs, d0: float) -> float:
    """z of H0: difference = d0, positive above it: Tango's, or the normal score of the t test."""
    if not uses_t(pairs):
        return float(tango_z(*pairs.tango_counts, pairs.n, d0))
    t = t_statistic(pairs, d0)
    # Both tails through the upper one: the lower would lose its digits near p = 1.
    return math.copysign(z_from_upper_tail(t_upper_tail(abs(t), pairs.n - 1)), t)


def z_noninferior(pairs: Pairs, margin: float) -> float:
    """z of H0: difference <= -margin. Graded scores need the t test and Tango's on (b*, c*).

    Rare full drops make the t test alone pass a loss of a whole margin in 7 to 9% of cases.
    """
    d0 = -checked_margin(margin)
    z = z_at(pairs, d0)
    return min(z, float(tango_z(*pairs.tango_counts, pairs.n, d0))) if uses_t(pairs) else z


def loss_p(pairs: Pairs) -> float:
    """One-sided p of H0: difference >= 0: mid-p McNemar, or the t test for graded scores."""
    if pairs.binary:
        return float(midp_loss(pairs.b, pairs.c))
    return upper_tail(0.0 - z_at(pairs, 0.0)) if pairs.b + pairs.c else 1.0


def gain_p(pairs: Pairs) -> float:
    """One-sided p of H0: difference <= 0; exactly the loss p of the two models exchanged."""
    return loss_p(swapped(pairs))


def interval(pairs: Pairs, confidence: float = 0.9) -> tuple[float, float]:
    """Two-sided interval of delta whose ends are the one-sided tests of `decision`.

    For graded scores the lower end is the lower of the t and the Tango end, because a PASS needs
    both tests; the upper end is the t test's, which is what a loss is tested by.
    """
    low, high = (float(x) for x in tango_interval(*pairs.tango_counts, pairs.n, confidence))
    if not uses_t(pairs):
        return low, high
    from scipy.special import stdtrit

    quantile = float(stdtrit(pairs.n - 1, (1 + checked_confidence(confidence)) / 2))
    half = quantile * pairs.sd / math.sqrt(pairs.n)
    return max(-1.0, min(low, pairs.delta - half)), min(1.0, pairs.delta + half)
