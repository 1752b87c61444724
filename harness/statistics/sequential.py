"""One domain looked at again and again while its answers arrive, with the error rates of one look.

The plan (items, looks, levels, boundaries) is frozen before the first answer; `look` then reads the
scores of a prefix of the seeded order and says pass, fail or go on. Every look is on the first n_k
items of that order, all of them answered: never "the first that came back", for short answers come
back first.

Does not: order or fetch items, correct across domains (its p-values go to `families.holm`), or pool
domains (`common_looks`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import UsageError
from .boundaries import boundary, sequential_p
from .decision import FEWEST_ITEMS, SMALL_SET, Flag, Outcome, reaches
from .normal import checked_alpha, checked_margin, upper_tail, z_from_upper_tail
from .paired import Pairs, gain_p, interval, loss_p, z_at, z_noninferior

FEWEST_GRADED = 50
GAMMA = 0.9
_CERTAIN = 8.0  # beyond this z a confidence rounds to 1 and the interval is everything


@dataclass(frozen=True, slots=True)
class SequentialPlan:
    """What is fixed before the first generation."""

    items: int
    """N, paired items (or clusters) at most"""
    looks: tuple[int, ...]
    """items (or clusters) at each look, the last one N"""
    fractions: tuple[float, ...]
    """Information at each look, a share of that at N: what boundaries, sequential p and gamma reckon
    with. The share of the *items*, for clusters too. A random prefix of a share t holds the
    information t (1 + (c-1) r) / (1 + (c-1) t r), for clusters of c items with correlation r >= 0:
    never less than t, and less and less above it. Real looks are then more alike than reckoned, which
    can only lower the error rates (Slepian), and the way to N is no longer than gamma reckons. The
    share of the clusters touched overstates it: 100 clusters of 5, r = .7, a tenth of the items
    touches .41 of them and holds .30, and p-values by it are too small."""
    margin: float
    alpha_pass: float
    alpha_fail: float
    """level of all loss claims of the gate together"""
    family: int
    """J, the loss claims that share alpha_fail; a domain stops early at alpha_fail / J"""
    spending: str
    gamma: float | None
    """required chance that the final estimate still reaches the margin; None: leave it out"""
    target: bool
    """meant to gain: PASS is kept but sampling goes on until the gain is decided, or N"""
    alpha_gain: float
    bounds_pass: tuple[float, ...]
    bounds_fail: tuple[float, ...]
    bounds_gain: tuple[float, ...]


def plan_looks(
    items: int,
    margin: float,
    *,
    graded: bool = False,
    alpha_pass: float = 0.05,
    alpha_fail: float = 0.05,
    family: int = 1,
    target: bool = False,
    alpha_gain: float = 0.05,
    spending: str = "power:2",
    gamma: float | None = GAMMA,
    looks: Sequence[int] | None = None,
    fractions: Sequence[float] | None = None,
) -> SequentialPlan:
    """Freeze one domain's looks and boundaries.

    Args:
        items: N, the items (clusters) there are.
        margin: largest tolerated loss, a proportion.
        graded: graded or averaged scores, or clusters: no look below 50 instead of 30.
        alpha_pass: chance of PASS at a loss of the whole margin, over all looks.
        alpha_fail: chance of any false FAIL among the family.
        family: J, claims that share alpha_fail.
        target: whether the stage means to improve this domain.
        alpha_gain: level of the gain's boundary (divide by the number of targets).
        spending: power:2 (default), power:RHO, obf (late stops) or pocock (early stops).
        gamma: see `SequentialPlan`.
        looks: item (cluster) counts of the looks, ending at N; the deciles where None.
        fractions: see `SequentialPlan`, rising to 1; shares of `items` where None.

    Raises:
        UsageError: a margin, level, gamma or spending function out of range.
        ValueError: no item, no claim, or looks or fractions that do not rise to the end.
    """
    if min(items, family) < 1:
        raise ValueError(f"need items and family >= 1, got {items} and {family}")
    if gamma is not None and not 0.5 <= gamma < 1:
        raise UsageError(f"gamma must be >= 0.5 and < 1, got {gamma}; the usual one is 0.9")
    counts = default_looks(items, graded=graded) if looks is None else tuple(looks)
    if not counts or counts[-1] != items:
        raise ValueError(f"looks must rise to the {items} items there are, got {counts}")
    times = tuple(n / items for n in counts) if fractions is None else tuple(fractions)
    if len(times) != len(counts) or times[-1] != 1:
        raise ValueError(f"{len(counts)} looks need as many fractions, rising to 1, got {times}")
    return SequentialPlan(
        items=items,
        looks=counts,
        fractions=times,
        margin=checked_margin(margin),
        alpha_pass=alpha_pass,
        alpha_fail=checked_alpha(alpha_fail),
        family=family,
        spending=spending,
        gamma=gamma,
        target=target,
        alpha_gain=alpha_gain,
        bounds_pass=boundary(alpha_pass, times, spending),
        bounds_fail=boundary(alpha_fail / family, times, spending),
        bounds_gain=boundary(alpha_gain, times, spending),
    )


def default_looks(items: int, *, graded: bool = False) -> tuple[int, ...]:
    """Tenths of the items (half to even) from 30, or 50 graded, on; below 100 items one look."""
    if items < SMALL_SET:
        return (items,)
    fewest = FEWEST_GRADED if graded else FEWEST_ITEMS
    counts = dict.fromkeys(round(items * k / 10) for k in range(1, 11))
    return tuple(n for n in counts if n >= fewest)


@dataclass(frozen=True, slots=True)
class LookResult:
    """One domain after one look. Proportions, not points; every number is finite."""

    look: int
    """1 for the first"""
    pairs: Pairs
    fractions: tuple[float, ...]
    """information at this look and all earlier ones"""
    spending: str
    z_pass: float
    z_losses: tuple[float, ...]
    """scores of H0: delta >= 0 at this look (the last) and all earlier ones"""
    bound_pass: float
    bound_fail: float
    loss_reaches: bool
    """the estimate is a loss of the margin and, before N, is predicted to remain one"""
    passed_at: int | None
    """the look of the first PASS, which is kept"""
    gain_at: int | None
    """the look at which the gain reached its own boundary"""
    outcome: Outcome | Literal["continue"]
    flags: tuple[Flag, ...]
    stop: bool
    """no further item can change what is claimed of this domain"""

    @property
    def n(self) -> int:
        """Items (clusters) that were read."""
        return self.pairs.n

    @property
    def delta(self) -> float:
        """The estimate at this look; where one stops early it exaggerates."""
        return self.pairs.delta

    @property
    def repeated_interval(self) -> tuple[float, float]:
        """The differences that the PASS boundary of this look excludes on no side.

        {d0: |z(d0)| < bound}, at all looks at once an interval of its level (Jennison, Turnbull 1989).
        """
        return _repeated_interval(self.pairs, self.bound_pass)

    @property
    def p_loss(self) -> float:
        """Sequential p of H0: delta >= 0, for Holm; at a single look the fixed-n p."""
        if self.fractions == (1.0,):
            return loss_p(self.pairs)
        return sequential_p(self.z_losses, self.fractions, self.spending)

    @property
    def p_gain(self) -> float:
        """The same of H0: delta <= 0."""
        if self.fractions == (1.0,):
            return gain_p(self.pairs)
        return sequential_p([0.0 - z for z in self.z_losses], self.fractions, self.spending)

    @property
    def z_loss(self) -> float:
        """Score of H0: delta >= 0 at this look."""
        return self.z_losses[-1]

    @property
    def can_fail(self) -> bool:
        """Whether a Holm-corrected p_loss may still mean FAIL where the domain stopped.

        A kept PASS never becomes a FAIL.
        """
        return self.loss_reaches and self.passed_at is None and self.n >= FEWEST_ITEMS


def look(plan: SequentialPlan, pairs: Pairs, before: LookResult | None = None) -> LookResult:
    """The next look at a domain.

    PASS when z_pass reaches its boundary, and for good. FAIL when z_loss reaches its boundary and
    the estimate is a loss of the margin that at N, with chance gamma, will still be one; without
    that a passing low would turn tolerated losses into FAILs three times as often.

    Args:
        plan: frozen before the first answer.
        pairs: the first `plan.looks[k]` items of the order, all of them answered; the few that the
            instrument lost are left out.
        before: the result of the look before; None at the first.

    Raises:
        ValueError: pairs of more items than this look's, or a domain that stopped.
    """
    k = 0 if before is None else before.look
    if before is not None and before.stop:
        raise ValueError(f"the domain stopped at look {k} ({before.outcome}); there is none after")
    if pairs.n > plan.looks[k]:
        raise ValueError(f"look {k + 1} is on {plan.looks[k]} items, got {pairs.n}")
    z_pass, z_loss = z_noninferior(pairs, plan.margin), 0.0 - z_at(pairs, 0.0)
    z_losses = (*(before.z_losses if before else ()), z_loss)
    enough = pairs.n >= FEWEST_ITEMS
    loss_reaches = _loss_reaches(plan, pairs, k)
    passed_at = before.passed_at if before else None
    if passed_at is None and enough and z_pass >= plan.bounds_pass[k]:
        passed_at = k + 1
    gain_at = before.gain_at if before else None
    if gain_at is None and enough and -z_loss >= plan.bounds_gain[k]:
        gain_at = k + 1
    lost = enough and z_loss >= plan.bounds_fail[k]
    if len(plan.looks) == 1:  # the printed p is then mid-p, which must agree
        lost = lost and loss_p(pairs) <= plan.alpha_fail / plan.family
    failed = lost and loss_reaches and passed_at is None
    last = k + 1 == len(plan.looks)
    outcome = _outcome(passed=passed_at is not None, failed=failed, last=last)
    return LookResult(
        look=k + 1,
        pairs=pairs,
        fractions=plan.fractions[: k + 1],
        spending=plan.spending,
        z_pass=z_pass,
        z_losses=z_losses,
        bound_pass=plan.bounds_pass[k],
        bound_fail=plan.bounds_fail[k],
        loss_reaches=loss_reaches,
        passed_at=passed_at,
        gain_at=gain_at,
        outcome=outcome,
        flags=_flags(plan, pairs, outcome, z_loss, plan.bounds_pass[k]),
        stop=last or failed or (passed_at is not None and (not plan.target or gain_at is not None)),
    )


def _loss_reaches(plan: SequentialPlan, pairs: Pairs, k: int) -> bool:
    share = plan.fractions[k]
    if plan.gamma is None or share == 1:
        return reaches(pairs.delta, plan.margin)
    spread = pairs.se * math.sqrt(1 - share)
    return reaches(pairs.delta + z_from_upper_tail(1 - plan.gamma) * spread, plan.margin)


def _outcome(*, passed: bool, failed: bool, last: bool) -> Outcome | Literal["continue"]:
    if failed:
        return "fail"
    if passed:
        return "pass"
    return "inconclusive" if last else "continue"


def _repeated_interval(pairs: Pairs, bound: float) -> tuple[float, float]:
    if bound >= _CERTAIN:
        return -1.0, 1.0
    return interval(pairs, 1 - 2 * upper_tail(bound))


def _flags(
    plan: SequentialPlan, pairs: Pairs, outcome: str, z_loss: float, bound: float
) -> tuple[Flag, ...]:
    if outcome == "fail":
        material = _repeated_interval(pairs, bound)[1] < -plan.margin
        return ("material",) if material else ()
    if outcome != "pass" or abs(z_loss) < bound:
        return ()
    return ("gain",) if z_loss < 0 else ("small_real_loss",)
