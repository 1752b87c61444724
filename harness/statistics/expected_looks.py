"""What a sequential plan will cost and decide, by simulation, before anything runs.

Pass/fail items that change independently, as in `operating`: with discordance D and difference
delta an item improves with probability (D + delta)/2 and worsens with (D - delta)/2. The rule is
`sequential.look`, on arrays instead of one path at a time.

Does not: graded scores, clusters, or several domains and Holm's last step.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .decision import FEWEST_ITEMS
from .mcnemar import midp_loss
from .normal import z_from_upper_tail
from .sequential import SequentialPlan
from .tango import tango_z

SEED = 20261120
Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Replayed:
    """The end of each of R paths."""

    passed: Bools
    failed: Bools
    looks: Counts
    """looks used, from 1"""
    items: Counts
    """items used"""


@dataclass(frozen=True, slots=True)
class Expected:
    """Shares of simulated paths, and the items they used."""

    p_pass: float
    p_fail: float
    p_inconclusive: float
    items: float
    """mean number of items"""
    use: float
    """the same as a share of N"""


def expected_looks(
    plan: SequentialPlan,
    discordance: float,
    delta: float = 0.0,
    *,
    rounds: int = 2000,
    seed: int = SEED,
) -> Expected:
    """Chance of each verdict and mean number of items at a true difference `delta`.

    With 2000 rounds a share is known within about +-.02.

    Raises:
        ValueError: a discordance outside [abs(delta), 1], or no round.
    """
    end = replay(plan, *draw_paths(plan, discordance, delta, rounds=rounds, seed=seed))
    passed, failed = float(end.passed.mean()), float(end.failed.mean())
    items = float(end.items.mean())
    neither = float((~end.passed & ~end.failed).mean())
    return Expected(passed, failed, neither, items, items / plan.items)


def draw_paths(
    plan: SequentialPlan, discordance: float, delta: float, *, rounds: int, seed: int = SEED
) -> tuple[Counts, Counts]:
    """Cumulative b and c at each look, each of shape (rounds, looks)."""
    if rounds < 1 or not abs(delta) <= discordance <= 1:
        raise ValueError(
            f"need rounds >= 1 and abs(delta) <= discordance <= 1, got rounds={rounds}, "
            f"delta={delta}, discordance={discordance}"
        )
    rng = np.random.default_rng(seed)
    cells = [(discordance + delta) / 2, (discordance - delta) / 2, 1 - discordance]
    blocks = np.diff(plan.looks, prepend=0)
    drawn = rng.multinomial(np.broadcast_to(blocks, (rounds, len(blocks))), cells)
    paths = drawn.cumsum(axis=1)
    return paths[..., 0], paths[..., 1]


def replay(plan: SequentialPlan, b: Counts, c: Counts) -> Replayed:
    """Follow paths of cumulative b and c, shape (R, looks), to where `sequential.look` stops them."""
    n = np.asarray(plan.looks, dtype=np.float64)
    z_pass, z_gain = tango_z(b, c, n, -plan.margin), tango_z(b, c, n, 0.0)
    enough = n >= FEWEST_ITEMS
    passes = (z_pass >= plan.bounds_pass) & enough
    losses = (-z_gain >= plan.bounds_fail) & enough & _loss_reaches(plan, b, c)
    if len(plan.looks) == 1:
        losses &= midp_loss(b, c) <= plan.alpha_fail / plan.family
    passed_at, failed_at = _first(passes), _first(losses)
    passed = passed_at < failed_at
    failed = failed_at < passed_at
    stopped = np.where(failed, failed_at, passed_at)
    if plan.target:
        gained_at = _first((z_gain >= plan.bounds_gain) & enough)
        stopped = np.where(failed, failed_at, np.maximum(passed_at, gained_at))
    last = np.minimum(stopped, len(plan.looks) - 1)
    return Replayed(passed, failed, last + 1, np.asarray(plan.looks)[last])


def _loss_reaches(plan: SequentialPlan, b: Counts, c: Counts) -> Bools:
    n = np.asarray(plan.looks, dtype=np.float64)
    delta = (b - c) / n
    variance = np.maximum(0.0, (b + c + 1) / (n + 2) - delta**2)
    quantile = 0.0 if plan.gamma is None else z_from_upper_tail(1 - plan.gamma)
    room = quantile * np.sqrt(variance * (1 / n - 1 / plan.items))
    return np.asarray(delta + room <= -plan.margin + 1e-12)


def _first(reached: Bools) -> Counts:
    """Index of the first look that is true, or the number of looks."""
    return np.asarray(np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1]))
