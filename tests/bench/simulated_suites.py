"""A suite of seven domains and a sequential gate on it, simulated as arrays: R candidates at once.

Suite and truths are those that the policies were chosen by. Pass/fail items change independently
with discordance D, raised to a domain's loss plus .02; the judge's differences are halves, or
pass/fail items like all else. The rule is that of `statistics.sequential` and `statistics.common_looks`, replayed on
sums of d and d^2; p-values are interpolated between levels. Not here: the gate on complete Runs and
other rules (gate_rules.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from waterbed.harness.statistics.boundaries import boundary
from waterbed.harness.statistics.common_looks import EARLIEST
from waterbed.harness.statistics.expected_looks import draw_paths
from waterbed.harness.statistics.families import POOLED_LOSS
from waterbed.harness.statistics.normal import critical_value
from waterbed.harness.statistics.sequential import SequentialPlan, plan_looks
from waterbed.harness.statistics.tango import tango_z

SEED = 20261120
LEVEL = 0.05
MEAN_HARM = 0.02
LEVELS = np.geomspace(1e-7, 0.499, 40)


@dataclass(frozen=True)
class Domain:
    """Items and tolerated loss; `judge` where a judge's graded differences are drawn."""

    items: int
    margin: float
    judge: bool = False


SUITE = {
    "instruction": Domain(541, 0.03),
    "math": Domain(1319, 0.03),
    "code": Domain(164, 0.05),
    "tools": Domain(1000, 0.03),
    "chat": Domain(160, 0.05, judge=True),
    "safety": Domain(450, 0.02),
    "knowledge": Domain(1000, 0.02),
}
#: The same suite with pass/fail items everywhere.
VOTES = {name: Domain(d.items, d.margin) for name, d in SUITE.items()}
JUDGE_SD = 0.35
FAMILY = len(SUITE) + 1

#: Name -> true differences by domain, and discordance.
TRUTHS: dict[str, tuple[dict[str, float], float]] = {
    "no change, D .04": ({}, 0.04),
    "no change, D .08": ({}, 0.08),
    "no change, D .15": ({}, 0.15),
    "-2 math": ({"math": -0.02}, 0.08),
    "-2 instruction": ({"instruction": -0.02}, 0.08),
    "-2 everywhere": (dict.fromkeys(SUITE, -0.02), 0.08),
    **{f"-5 {name}": ({name: -0.05}, 0.08) for name in SUITE},
    "-10 code": ({"code": -0.10}, 0.08),
}


@dataclass(frozen=True)
class Paths:
    """Sums of d and d^2 up to each look of one domain, shape (R, looks)."""

    plan: SequentialPlan
    total: np.ndarray
    squares: np.ndarray
    graded: bool = False

    @property
    def delta(self) -> np.ndarray:
        """Mean difference, candidate minus baseline, at each look."""
        return self.total / np.array(self.plan.looks)

    @property
    def variance(self) -> np.ndarray:
        """Smoothed variance of d, as `statistics.paired.Pairs.se` has it."""
        n = np.array(self.plan.looks)
        return np.maximum(0, (self.squares + 1) / (n + 2) - self.delta**2)


def draw_suite(
    truth: Mapping[str, float],
    discordance: float,
    rounds: int,
    *,
    suite: Mapping[str, Domain] = SUITE,
    target: str = "",
    seed: int = SEED,
) -> dict[str, Paths]:
    """Draw R candidates; a domain without a word in `truth` does not change."""
    drawn = {}
    for k, (name, domain) in enumerate(suite.items()):
        delta, step = truth.get(name, 0.0), 0.5 if domain.judge else 1.0
        changed = (JUDGE_SD / step) ** 2 if domain.judge else max(discordance, abs(delta) + 0.02)
        plan = plan_looks(
            domain.items,
            domain.margin,
            graded=domain.judge,
            family=len(suite) + 1,
            target=name == target,
        )
        b, c = draw_paths(plan, changed, delta / step, rounds=rounds, seed=seed + k)
        drawn[name] = Paths(plan, step * (b - c), step**2 * (b + c), domain.judge)
    return drawn


@dataclass(frozen=True)
class Ends:
    """Where R candidates ended in one domain, or their mean did; all of shape (R,)."""

    passed: np.ndarray
    """A loss of the margin is excluded; for the mean, one of two points."""
    failed: np.ndarray
    can_fail: np.ndarray
    p_loss: np.ndarray
    p_gain: np.ndarray
    delta: np.ndarray
    se: np.ndarray


def finish(paths: Paths) -> Ends:
    """Follow one domain to its end."""
    plan, n = paths.plan, np.array(paths.plan.looks, dtype=float)
    b, c = (paths.squares + paths.total) / 2, (paths.squares - paths.total) / 2
    z_pass, z_gain = tango_z(b, c, n, -plan.margin), tango_z(b, c, n, 0.0)
    if paths.graded:
        z_pass = np.minimum(z_pass, graded_z(paths.total, paths.squares, n, -plan.margin))
        z_gain = graded_z(paths.total, paths.squares, n, 0.0)
    spread = np.sqrt(paths.variance * (1 / n - 1 / plan.items))
    reaches = paths.delta + critical_value(0.1) * spread <= -plan.margin + 1e-12
    last = len(n) - 1
    passes = first(z_pass >= plan.bounds_pass)
    fails = first((-z_gain >= plan.bounds_fail) & reaches)
    stop = np.minimum(np.minimum(passes, fails), last)
    if plan.target:
        gains = first(z_gain >= plan.bounds_gain)
        stop = np.minimum(np.minimum(np.maximum(passes, gains), fails), last)
    rows = np.arange(len(b))
    return Ends(
        passed=passes < fails,
        failed=fails < passes,
        can_fail=reaches[rows, stop] & (passes > stop),
        p_loss=p_paths(plan.fractions, -z_gain)[rows, stop],
        p_gain=p_paths(plan.fractions, z_gain)[rows, stop],
        delta=paths.delta[rows, stop],
        se=np.sqrt(paths.variance / n)[rows, stop],
    )


def finish_mean(suite: Mapping[str, Paths], *, at_end: bool = False) -> Ends:
    """Read the mean over domains at their common looks until it is settled, or at the end alone."""
    times = common_times(suite, at_end=at_end)
    deltas, errors = [], []
    for paths in suite.values():
        at = [int(np.argmin(np.abs(np.array(paths.plan.fractions) - t))) for t in times]
        deltas.append(paths.delta[:, at])
        errors.append(paths.variance[:, at] / np.array(paths.plan.looks)[at])
    delta, se = np.mean(deltas, axis=0), np.sqrt(np.sum(errors, axis=0)) / len(suite)
    large = delta <= -POOLED_LOSS + 1e-12
    fails = first(large & (-delta / se >= boundary(LEVEL / (len(suite) + 1), times)))
    passes = first((delta + MEAN_HARM) / se >= boundary(LEVEL, times))
    stop = np.minimum(np.minimum(passes, fails), len(times) - 1)
    rows = np.arange(len(delta))
    return Ends(
        passed=passes < fails,
        failed=fails < passes,
        can_fail=large[rows, stop],
        p_loss=p_paths(times, -delta / se)[rows, stop],
        p_gain=p_paths(times, delta / se)[rows, stop],
        delta=delta[rows, stop],
        se=se[rows, stop],
    )


def common_times(suite: Mapping[str, Paths], *, at_end: bool = False) -> tuple[float, ...]:
    """Tenths that every domain looks at, from three on."""
    tenths = [{round(10 * t) for t in paths.plan.fractions} for paths in suite.values()]
    shared = sorted(set.intersection(*tenths))
    return (1.0,) if at_end else tuple(k / 10 for k in shared if k / 10 >= EARLIEST)


def first(reached: np.ndarray) -> np.ndarray:
    """The first look that reached, or one past the last."""
    return np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1])


def graded_z(total: np.ndarray, squares: np.ndarray, n: np.ndarray, d0: float) -> np.ndarray:
    """Normal score of the paired t test."""
    from scipy.special import ndtri, stdtr

    variance = np.maximum((squares - total**2 / n) / (n - 1), 1e-12)
    t = (total / n - d0) / np.sqrt(variance / n)
    return np.sign(t) * np.clip(-ndtri(stdtr(n - 1, -np.abs(t))), 0, 38)


@lru_cache
def levels_of(fractions: tuple[float, ...]) -> np.ndarray:
    return np.array([boundary(float(a), fractions) for a in LEVELS])


def p_paths(fractions: tuple[float, ...], z: np.ndarray) -> np.ndarray:
    """Sequential p after each look, interpolated between levels."""
    table = levels_of(fractions)
    columns = [
        np.interp(z[:, k], table[::-1, k], np.log(LEVELS)[::-1], left=0.0)
        for k in range(z.shape[1])
    ]
    return np.exp(np.minimum.accumulate(np.column_stack(columns), axis=1))


def holm_failed(ends: Mapping[str, Ends], family: int = FAMILY) -> dict[str, np.ndarray]:
    """Which members FAIL after Holm; members of the family that are not given never do."""
    p = np.column_stack([end.p_loss for end in ends.values()])
    order = p.argsort(axis=1)
    steps = np.take_along_axis(p, order, axis=1) * (family - np.arange(p.shape[1]))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, axis=1), axis=1)
    return {
        name: ((adjusted[:, k] <= LEVEL) & end.can_fail) | end.failed
        for k, (name, end) in enumerate(ends.items())
    }


def live_exits(
    suite: Mapping[str, Paths], gating: frozenset[str], *, at_end: bool = False
) -> dict[str, np.ndarray]:
    """Exit codes, shape (R,), of a live gate under each policy.

    Args:
        suite: what the candidates answered.
        gating: domains that `strict` demands a PASS of.
        at_end: read the mean over domains only at the last item.
    """
    ends = {name: finish(paths) for name, paths in suite.items()}
    mean = finish_mean(suite, at_end=at_end)
    red = np.any(list(holm_failed({**ends, "": mean}, len(ends) + 1).values()), axis=0)
    proven = np.all([ends[name].passed for name in gating], axis=0)
    open_ = {"harm": np.zeros_like(red), "release": ~mean.passed, "strict": ~mean.passed | ~proven}
    return {name: np.where(red, 1, np.where(lacks, 3, 0)) for name, lacks in open_.items()}
