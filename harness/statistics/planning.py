"""What a number of items can and cannot show, worked out before any candidate answer is read.

Pass/fail items are enumerated exactly (`operating`); graded scores use the normal approximation.
Losses and margins are searched on a grid of a quarter point, the first value that reaches the
power.

Does not: measure a discordance, or widen a margin to fit the items there are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .normal import checked_alpha, checked_margin, critical_value, upper_tail
from .operating import fail_probability, pass_probability
from .proportions import wilson_interval
from .two_level import TwoLevel

POWER = 0.8
GRID = 0.0025
_Z_POWER = critical_value(1 - POWER)

PLANNED_DISCORDANCE = {"quantization": 0.06, "sft": 0.125, "dpo": 0.125, "sampled": 0.25}
"""Share of items that change, by what was done: the middles of 4-8% for quantization under greedy
decoding, 10-15% for training, 20-30% for sampled decoding at one sample an item. Used only until
an A/A run or an accepted run has measured it."""

MORE_SAMPLES = (8, 4)
"""Samples an item that the messages suggest: baseline (cached), candidate."""

_SAMPLE_VARIANCE = 0.8 * 0.8 / (1.6 * 2.6)
"""Mean p(1 - p) of items whose chance of success is Beta(.8, .8)."""
_ITEM_VARIANCE = 0.0048
"""Variance of the true item differences that gives sd .25 at 8 and 4 samples, as simulated."""


def planned_discordance(stage: str | None, *, sampled: bool = False) -> float:
    """The planning value for a stage's name; an unknown stage counts as training."""
    if sampled:
        return PLANNED_DISCORDANCE["sampled"]
    return PLANNED_DISCORDANCE.get(stage or "sft", PLANNED_DISCORDANCE["sft"])


def paired_sd(
    baseline_samples: int,
    candidate_samples: int,
    *,
    item_variance: float = _ITEM_VARIANCE,
    sample_variance: float = _SAMPLE_VARIANCE,
) -> float:
    """Standard deviation of an item difference at so many samples a side.

    `sqrt(omega^2 + sigma^2/k_c + sigma^2/k_b)`. The defaults are planning values that stay within
    .01 of simulated items: .55 at 1/1, .42 at 8/1, .25 at 8/4, .15 at 16/16.
    """
    if min(baseline_samples, candidate_samples) < 1:
        raise ValueError(f"need samples >= 1, got {baseline_samples} and {candidate_samples}")
    return math.sqrt(
        item_variance + sample_variance * (1 / baseline_samples + 1 / candidate_samples)
    )


def planned_sampling(items: int, samples: int, sample_variance: float | None = None) -> TwoLevel:
    """The planned parts of the error at so many samples an item on both sides.

    Args:
        items: n.
        samples: k of either side.
        sample_variance: of one sample of an item, where it was measured; else the planning value.
    """
    noise = _SAMPLE_VARIANCE if sample_variance is None else sample_variance
    return TwoLevel(items, 0.0, _ITEM_VARIANCE, noise, noise, 1 / samples, 1 / samples)


def items_needed(discordance: float, margin: float, delta: float = 0.0) -> int:
    """Items for 80% power to PASS a harmless candidate: ceil(6.1826 (D - delta^2) / m^2)."""
    spread = max(0.0, discordance - delta * delta)
    return max(1, math.ceil(6.1826 * spread / checked_margin(margin) ** 2))


def detectable_loss(
    n: int, discordance: float, alpha: float = 0.05, margin: float | None = None
) -> float | None:
    """Smallest true loss that FAILs with 80% power; None where even a total loss would not.

    Without a margin, for the mid-p loss test alone; with it, for the whole rule, whose estimate
    must reach the margin too. The discordance is at least the loss itself.
    """
    return _first_on_grid(
        lambda loss: fail_probability(n, max(discordance, loss), -loss, alpha, margin)
    )


def passable_margin(n: int, discordance: float, alpha: float = 0.05) -> float | None:
    """Smallest margin at which a harmless candidate PASSes with 80% power, or None below 1."""
    return _first_on_grid(lambda m: pass_probability(n, discordance, m, 0.0, alpha))


def _first_on_grid(power: Callable[[float], float]) -> float | None:
    """The first grid value, below 1, whose power is enough; power rises along the grid."""
    low, high = 1, round(1 / GRID)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle * GRID) >= POWER else (middle + 1, high)
    return None if low == round(1 / GRID) else low * GRID


def detectable_mean(sd: float, n: int, alpha: float = 0.05, margin: float | None = None) -> float:
    """`detectable_loss` for graded scores of spread `sd`, by the normal approximation."""
    se = sd / math.sqrt(n)
    loss = (critical_value(alpha) + _Z_POWER) * se
    return loss if margin is None else max(loss, checked_margin(margin) + _Z_POWER * se)


@dataclass(frozen=True, slots=True)
class DomainPlan:
    """What one domain's items can show. Proportions, not points."""

    n: int
    margin: float
    graded: bool
    sd: float
    """planned standard deviation of an item difference; its square is the discordance"""
    family: int
    """J: claims that Holm corrects for"""
    p_pass: float
    """P(PASS) of a harmless candidate"""
    detectable: float | None
    """smallest true loss that FAILs with 80% power if this were the only claim"""
    detectable_family: float | None
    """the same at the first Holm step of J claims: the blind spot that is printed"""
    passable: float | None
    """smallest margin at which a harmless candidate PASSes with 80% power"""
    items_needed: int
    """items for that power at the given margin"""
    sampled_margin: float | None
    """that margin at 8 baseline and 4 candidate samples an item; None if they would not help"""
    sampled_family: float | None
    """`detectable_family` at those samples"""

    @property
    def discordance(self) -> float:
        """Planned mean squared difference; the share of changed items for pass/fail scores."""
        return self.sd**2

    @property
    def se(self) -> float:
        """Planned standard error of the domain's difference."""
        return self.sd / math.sqrt(self.n)

    @property
    def gating(self) -> bool:
        """Whether a harmless candidate PASSes at least half of the time; advisory otherwise."""
        return self.p_pass >= 0.5

    @property
    def sees_twice_margin(self) -> bool:
        """Whether a loss of two margins would be shown with 80% power, as the only claim."""
        return self.detectable is not None and self.detectable <= 2 * self.margin + 1e-12


def plan_domain(
    n: int,
    margin: float,
    discordance: float | None = None,
    *,
    sd: float | None = None,
    family: int = 1,
    alpha_pass: float = 0.05,
    alpha_fail: float = 0.05,
) -> DomainPlan:
    """Plan one domain, from the discordance of pass/fail items or the spread of graded ones.

    Args:
        n: items.
        margin: largest tolerated loss.
        discordance: planned share of changed items; raised to the margin where it is below it.
        sd: planned standard deviation of an item difference (graded or several samples).
        family: J, the number of claims Holm corrects for.
        alpha_pass: level of PASS.
        alpha_fail: level of FAIL, for all claims together.

    Raises:
        UsageError: margin or levels out of range.
        ValueError: n or family < 1, not exactly one of discordance and sd, or one out of (0, 1].
    """
    spread = _checked_spread(n, checked_margin(margin), discordance, sd, family)
    levels = (checked_alpha(alpha_fail), alpha_fail / family)
    if sd is None:
        p_pass = pass_probability(n, spread, margin, 0.0, alpha_pass)
        one, first = (detectable_loss(n, spread, level, margin) for level in levels)
        passable = passable_margin(n, spread, alpha_pass)
    else:
        shift = margin * math.sqrt(n) / sd
        p_pass = upper_tail(critical_value(alpha_pass) - shift)
        one, first = (detectable_mean(sd, n, level, margin) for level in levels)
        passable = detectable_mean(sd, n, alpha_pass)
    more = paired_sd(*MORE_SAMPLES)
    helps = more < math.sqrt(spread)
    return DomainPlan(
        n=n,
        margin=margin,
        graded=sd is not None,
        sd=math.sqrt(spread),
        family=family,
        p_pass=p_pass,
        detectable=one,
        detectable_family=first,
        passable=passable,
        items_needed=items_needed(spread, margin),
        sampled_margin=detectable_mean(more, n, alpha_pass) if helps else None,
        sampled_family=detectable_mean(more, n, levels[1], margin) if helps else None,
    )


def _checked_spread(
    n: int, margin: float, discordance: float | None, sd: float | None, family: int
) -> float:
    if min(n, family) < 1:
        raise ValueError(f"need items and family >= 1, got {n} and {family}")
    if (discordance is None) == (sd is None):
        raise ValueError(f"give one of discordance and sd, got {discordance} and {sd}")
    value = discordance if sd is None else sd
    if value is None or not 0 < value <= 1:
        raise ValueError(f"a discordance or sd must be > 0 and <= 1, got {value}")
    return max(value, margin) if sd is None else value * value


def pooled_detectable_loss(
    ses: Sequence[float], alpha: float = 0.05, smallest: float = 0.01
) -> float:
    """Smallest equal mean loss that the pooled test FAILs with 80% power.

    Args:
        ses: planned standard error of each domain's difference.
        alpha: level of the test (divide by J for the first Holm step).
        smallest: the estimate that a FAIL must reach.
    """
    if not ses:
        raise ValueError("need the standard error of at least one domain, got none")
    se = math.sqrt(math.fsum(s * s for s in ses)) / len(ses)
    return max((critical_value(alpha) + _Z_POWER) * se, checked_margin(smallest) + _Z_POWER * se)


def at_floor(baseline: float, n: int, chance: float, margin: float) -> bool:
    """Whether the baseline is too near guessing for a loss of the margin to show.

    True when its one-sided upper 95% limit (Wilson) is at most chance + margin.
    """
    upper = wilson_interval(baseline * n, n, 0.9)[1]
    return upper <= chance + checked_margin(margin)
