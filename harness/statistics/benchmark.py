"""What would the full run of these N items say? Answered early, by sampling without replacement.

`estimand: benchmark`: the list is fixed, its difference delta_N is a number, and the seeded order is
the only chance. The same bets as in `eprocess`, against a null whose mean moves with what is left
of the list (Waudby-Smith and Ramdas, NeurIPS 2020). After the last item the answer is exact, so it
is never inconclusive.

Does not: say anything about the skill behind the items; other items may answer otherwise.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .eprocess import PRIOR_ITEMS, PRIOR_VARIANCE
from .normal import checked_alpha, checked_margin

_CAP = 0.75
_FAIL_AIM = 1.5
_TOLERANCE = 1e-12
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Predicted:
    """The answer about the full list. Proportions, not points."""

    items: int
    """items used: up to the decision, or all that were given"""
    outcome: Literal["pass", "fail", "continue"]
    delta: float
    """mean difference of the items used; of the whole list when exact"""
    exact: bool
    """nothing the remaining items say could change the answer"""


def predict_full_run(
    d: ArrayLike, items: int, margin: float, alpha_pass: float = 0.05, alpha_fail: float = 0.05
) -> Predicted:
    """The first decision on `d`, shape (T,), the differences so far in their seeded order.

    PASS: the full list's difference is above -margin; FAIL: it is not (a difference of exactly
    -margin is a FAIL). Either way the full run contradicts it with a chance of at most its level.

    Args:
        d: candidate minus baseline, in [-1, 1], at most `items` of them.
        items: N, the length of the list.
        margin: largest tolerated loss.
        alpha_pass: chance of PASS where the full run says FAIL.
        alpha_fail: chance of FAIL where the full run says PASS.

    Raises:
        UsageError: margin or level out of range.
        ValueError: no difference, more than N, or one outside [-1, 1].
    """
    x = np.asarray(d, dtype=np.float64)
    if x.ndim != 1 or not 1 <= x.size <= items or not np.all(np.abs(x) <= 1):
        raise ValueError(
            f"need 1 to {items} differences in [-1, 1], got shape {x.shape}; "
            "drop unscored pairs first"
        )
    passed, failed = decisions(x, items, margin, alpha_pass, alpha_fail)
    decided = passed | failed
    at = int(decided.argmax()) if decided.any() else x.size - 1
    used = at + 1
    total = math.fsum(x[:used])
    settled = _certain(np.array([total]), items - used, items * margin)
    return Predicted(
        items=used,
        outcome="pass" if passed[at] else "fail" if failed[at] else "continue",
        delta=total / used,
        exact=bool(settled[0][0] or settled[1][0]),
    )


def decisions(
    d: Floats, items: int, margin: float, alpha_pass: float, alpha_fail: float
) -> tuple[Bools, Bools]:
    """Whether PASS and FAIL are shown after each item; `d` and both answers have shape (..., T)."""
    allowed = items * checked_margin(margin)
    pass_line, fail_line = (-math.log(checked_alpha(a)) for a in (alpha_pass, alpha_fail))
    after = np.cumsum(d, axis=-1)
    t = np.arange(1, d.shape[-1] + 1)
    # What the rest must average, before each item, for the list to come out at exactly -margin.
    null = (-allowed - (after - d)) / (items - t + 1)
    room = 1 - np.abs(null) > _TOLERANCE  # none: one answer is already certain, and no bet is open
    passed = _wealth(d - null, margin, 1 + null, room) >= pass_line
    failed = _wealth(null - d, _FAIL_AIM * margin, 1 - null, room) >= fail_line
    above, below = _certain(after, items - t, allowed)
    return (passed & ~below) | above, (failed & ~above & ~passed) | below


def _wealth(x: Floats, aim: float, worst: Floats, room: Bools) -> Floats:
    """log wealth of stakes min(aim/V, .75/worst) on x >= -worst; none is placed without room."""
    seen = np.cumsum(x * x, axis=-1) - x * x
    variance = (PRIOR_ITEMS * PRIOR_VARIANCE + seen) / (PRIOR_ITEMS + np.arange(x.shape[-1]))
    stake = np.where(room, np.minimum(aim / variance, _CAP / np.where(room, worst, 1.0)), 0.0)
    return np.asarray(np.cumsum(np.log1p(stake * x), axis=-1))


def _certain(total: Floats, left: NDArray[np.int64] | int, allowed: float) -> tuple[Bools, Bools]:
    """Whether even `left` losses keep the list above -margin, or even `left` gains do not."""
    above = total - left > -allowed + _TOLERANCE
    below = total + left <= -allowed + _TOLERANCE
    return np.asarray(above), np.asarray(below)
