"""Seven domains under one sequential gate: false alarms, false passes, and the waterbed's name.

Suite: IFEval 541 m=3, GSM8K 1319 m=3, HumanEval 164 m=5, BFCL 1000 m=3, a judge with 160 graded
items of spread .35 m=5, safety 450 m=2, MMLU-Pro 1000 m=2; discordance .10. Eight loss claims share
the level, the eighth being the mean over domains. The full size runs with the studies.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

from waterbed.harness.statistics.boundaries import boundary
from waterbed.harness.statistics.expected_looks import draw_paths
from waterbed.harness.statistics.normal import critical_value
from waterbed.harness.statistics.sequential import SequentialPlan, plan_looks
from waterbed.harness.statistics.tango import tango_z

SUITE = {
    "ifeval": (541, 0.03),
    "gsm8k": (1319, 0.03),
    "humaneval": (164, 0.05),
    "bfcl": (1000, 0.03),
    "judge": (160, 0.05),
    "safety": (450, 0.02),
    "mmlu": (1000, 0.02),
}
FAMILY = len(SUITE) + 1
LEVELS = np.geomspace(1e-7, 0.499, 40)


def sizes(pull_request: int, full: int) -> pytest.MarkDecorator:
    study = pytest.param((full, 0.0), id="full", marks=pytest.mark.study)
    return pytest.mark.parametrize("size", [pytest.param((pull_request, 0.01), id="tenth"), study])


@dataclass(frozen=True)
class Ends:
    """Where each of R simulated candidates ended in one domain; all of shape (R,)."""

    passed: np.ndarray
    failed: np.ndarray
    can_fail: np.ndarray
    p_loss: np.ndarray
    p_gain: np.ndarray
    delta: np.ndarray
    se: np.ndarray


@lru_cache
def levels_of(fractions: tuple[float, ...]) -> np.ndarray:
    return np.array([boundary(float(a), fractions) for a in LEVELS])


def p_paths(plan: SequentialPlan, z: np.ndarray) -> np.ndarray:
    """Sequential p after each look, interpolated between levels."""
    table = levels_of(plan.fractions)
    columns = [
        np.interp(z[:, k], table[::-1, k], np.log(LEVELS)[::-1], left=0.0)
        for k in range(z.shape[1])
    ]
    return np.exp(np.minimum.accumulate(np.column_stack(columns), axis=1))


def graded_z(total: np.ndarray, squares: np.ndarray, n: np.ndarray, d0: float) -> np.ndarray:
    """Normal score of the paired t test."""
    from scipy.special import ndtri, stdtr

    variance = np.maximum((squares - total**2 / n) / (n - 1), 1e-12)
    t = (total / n - d0) / np.sqrt(variance / n)
    return np.sign(t) * np.clip(-ndtri(stdtr(n - 1, -np.abs(t))), 0, 38)


def finish(plan: SequentialPlan, total: np.ndarray, squares: np.ndarray, graded: bool) -> Ends:
    """Follow sums of d and d^2 at each look, shape (R, looks), to the end of the domain."""
    n = np.array(plan.looks, dtype=float)
    b, c = (squares + total) / 2, (squares - total) / 2
    z_pass, z_gain = tango_z(b, c, n, -plan.margin), tango_z(b, c, n, 0.0)
    if graded:
        z_pass = np.minimum(z_pass, graded_z(total, squares, n, -plan.margin))
        z_gain = graded_z(total, squares, n, 0.0)
    delta = total / n
    variance = np.maximum(0, (squares + 1) / (n + 2) - delta**2)
    spread = np.sqrt(variance * (1 / n - 1 / plan.items))
    reaches = delta + critical_value(0.1) * spread <= -plan.margin + 1e-12
    last = len(n) - 1
    passes = first(z_pass >= plan.bounds_pass)
    fails = first((-z_gain >= plan.bounds_fail) & reaches)
    stop = np.minimum(np.minimum(passes, fails), last)
    if plan.target:
        gains = first(z_gain >= plan.bounds_gain)
        stop = np.minimum(np.minimum(np.maximum(passes, gains), fails), last)
    rows = np.arange(len(total))
    return Ends(
        passed=passes < fails,
        failed=fails < passes,
        can_fail=reaches[rows, stop] & (passes > stop),
        p_loss=p_paths(plan, -z_gain)[rows, stop],
        p_gain=p_paths(plan, z_gain)[rows, stop],
        delta=delta[rows, stop],
        se=np.sqrt(variance / n)[rows, stop],
    )


def first(reached: np.ndarray) -> np.ndarray:
    return np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1])


def read_suite(
    truth: dict[str, float], rounds: int, target: str = "", halves: bool = True
) -> dict[str, Ends]:
    """Every domain's end; without a word in `truth` a domain does not change.

    The judge's differences are halves with a spread of .35, or whole votes of discordance .10.
    """
    ends = {}
    for k, (name, (n, margin)) in enumerate(SUITE.items()):
        judge, delta = name == "judge", truth.get(name, 0.0)
        plan = plan_looks(n, margin, graded=judge, family=FAMILY, target=name == target)
        step, discordance = 1.0, max(0.1, abs(delta) + 0.02)
        if judge and halves:
            step, discordance = 0.5, 0.35**2 / 0.25
        b, c = draw_paths(plan, discordance, delta / step, rounds=rounds, seed=20261120 + k)
        ends[name] = finish(plan, step * (b - c), step**2 * (b + c), judge)
    return ends


def holm_failed(ends: dict[str, Ends]) -> dict[str, np.ndarray]:
    """Which domains FAIL after Holm over eight claims, the mean over domains never being one."""
    p = np.column_stack([end.p_loss for end in ends.values()])
    order = p.argsort(axis=1)
    steps = np.take_along_axis(p, order, axis=1) * (FAMILY - np.arange(p.shape[1]))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, axis=1), axis=1)
    return {
        name: (adjusted[:, k] <= 0.05) & end.can_fail for k, (name, end) in enumerate(ends.items())
    }


@sizes(600, 6000)
def test_seven_unchanged_domains_raise_one_alarm_in_twenty(size: tuple[int, float]) -> None:
    rounds, slack = size
    failed = holm_failed(read_suite({}, rounds))
    alarms = np.any(list(failed.values()), axis=0).mean()
    print(f"any FAIL without a change: {alarms:.4f}")
    assert alarms <= 0.05 + slack


@sizes(600, 6000)
def test_a_loss_of_five_points_in_math_is_found(size: tuple[int, float]) -> None:
    rounds, slack = size
    found = holm_failed(read_suite({"gsm8k": -0.05}, rounds))["gsm8k"].mean()
    print(f"maths at -5 FAILs: {found:.4f}")
    assert found >= 0.98 - slack


@sizes(2000, 20000)
def test_losses_of_the_margin_everywhere_never_pass_together(size: tuple[int, float]) -> None:
    rounds, slack = size
    ends = read_suite({name: -margin for name, (_, margin) in SUITE.items()}, rounds)
    each = {name: end.passed.mean() for name, end in ends.items()}
    together = np.all([end.passed for end in ends.values()], axis=0).mean()
    print(f"PASS at -m: {each}; all seven: {together:.5f}")
    assert together <= 0.01
    assert max(each.values()) <= 0.055 + slack


def named(truth: dict[str, float], rounds: int, halves: bool = False) -> float:
    ends = read_suite(truth, rounds, target="gsm8k", halves=halves)
    gain = ends.pop("gsm8k").p_gain
    smallest = np.min([end.p_loss for end in ends.values()], axis=0)
    return float((np.maximum(gain, smallest * len(ends)) <= 0.05).mean())


@sizes(2000, 20000)
def test_the_waterbed_is_named_when_it_is_there(size: tuple[int, float]) -> None:
    rounds, slack = size
    shares = {
        "nothing": named({}, rounds),
        "gain only": named({"gsm8k": 0.05}, rounds),
        "loss only": named({"judge": -0.08}, rounds),
        "gain, chat -8": named({"gsm8k": 0.05, "judge": -0.08}, rounds),
        "gain, chat -8 in halves": named({"gsm8k": 0.05, "judge": -0.08}, rounds, halves=True),
        "gain, safety -4": named({"gsm8k": 0.05, "safety": -0.04}, rounds),
    }
    print(f"named: {shares}")
    assert shares["nothing"] <= 0.01 + slack
    assert shares["gain only"] <= 0.055 + slack
    assert shares["loss only"] <= 0.055 + slack
    assert shares["gain, chat -8"] >= 0.78 - slack
    assert shares["gain, chat -8 in halves"] >= 0.63 - slack  # measured .66


def test_targets_that_stop_at_pass_seldom_show_their_gain() -> None:
    truth = {"gsm8k": 0.05}
    stopped = read_suite(truth, 1000)["gsm8k"].p_gain <= 0.05
    read_on = read_suite(truth, 1000, target="gsm8k")["gsm8k"].p_gain <= 0.05
    assert stopped.mean() < 0.5
    assert read_on.mean() > 0.9


def test_without_holm_seven_domains_alarm_far_too_often() -> None:
    ends = read_suite({}, 1000)
    alarms = np.any([end.p_loss <= 0.05 for end in ends.values()], axis=0).mean()
    assert alarms > 0.15


def test_the_mean_over_domains_that_stopped_is_biased_and_its_test_passes_too_often() -> None:
    # Every domain loses two points: "the mean loss is below two points" should pass in 5%.
    ends = list(read_suite(dict.fromkeys(SUITE, -0.02), 2000).values())
    mean = np.mean([end.delta for end in ends], axis=0)
    se = np.sqrt(np.sum([end.se**2 for end in ends], axis=0)) / len(ends)
    print(
        f"bias {100 * (mean.mean() + 0.02):+.2f} points, passes {(mean + 0.02 >= 1.645 * se).mean()}"
    )
    assert mean.mean() > -0.0195
    assert ((mean + 0.02) >= critical_value(0.05) * se).mean() > 0.08


def sampled(rng: np.random.Generator, rounds: int, n: int, delta: float) -> np.ndarray:
    """Differences of items with 8 baseline and 4 candidate samples, spread about .24."""
    old = rng.beta(0.8, 0.8, (rounds, n))
    new = old * (1 + 2 * delta)  # the mean chance is one half
    return rng.binomial(4, new) / 4 - rng.binomial(8, old) / 8


def passes_sampled(n: int, margin: float, delta: float, rounds: int) -> tuple[float, float]:
    """Share of PASS over all looks, and at the last look alone with the level of one."""
    rng, plan = np.random.default_rng(20261120), plan_looks(n, margin, graded=True)
    once = plan_looks(n, margin, graded=True, looks=[n])
    at, passed = np.array(plan.looks) - 1, np.zeros(2)
    for _ in range(rounds // 500):
        d = sampled(rng, 500, n, delta)
        total, squares = d.cumsum(axis=1)[:, at], (d * d).cumsum(axis=1)[:, at]
        passed += (
            finish(plan, total, squares, graded=True).passed.sum(),
            finish(once, total[:, -1:], squares[:, -1:], graded=True).passed.sum(),
        )
    return tuple(passed / rounds)


@sizes(2000, 20000)
@pytest.mark.parametrize(("n", "margin", "least"), [(164, 0.05, 0.75), (541, 0.03, 0.85)])
def test_several_samples_keep_the_size_and_raise_the_power(
    n: int, margin: float, least: float, size: tuple[int, float]
) -> None:
    rounds, slack = size
    lost, lost_once = passes_sampled(n, margin, -margin, rounds)
    still, still_once = passes_sampled(n, margin, 0.0, rounds)
    print(f"8/4, N={n}: PASS {still:.4f} at 0 ({still_once:.4f} with one look), {lost:.4f} at -m")
    assert max(lost, lost_once) <= 0.057 + slack
    # The power asked for is that of one look; ten looks cost a few points of it.
    assert still_once >= least - slack
    assert still >= least - 0.06 - slack


@sizes(2000, 20000)
def test_a_loss_made_of_rare_full_drops_passes_no_more_often(size: tuple[int, float]) -> None:
    rounds, slack = size
    plan = plan_looks(164, 0.05, graded=True)
    rng, blocks = np.random.default_rng(20261120), np.diff(plan.looks, prepend=0)
    drawn = rng.multinomial(
        np.broadcast_to(blocks, (rounds, len(blocks))), [0.05, 0.02, 0.02, 0.91]
    )
    full, up, down, _ = np.moveaxis(drawn.cumsum(axis=1), -1, 0)
    total, squares = -full + (up - down) / 4, full + (up + down) / 16
    both = finish(plan, total, squares, graded=True).passed.mean()
    n = np.array(plan.looks, dtype=float)
    alone = (graded_z(total, squares, n, -0.05) >= plan.bounds_pass).any(axis=1).mean()
    print(f"rare full drops: PASS {both:.4f}, by t alone {alone:.4f}")
    assert both <= 0.057 + slack
    assert alone > 0.065
