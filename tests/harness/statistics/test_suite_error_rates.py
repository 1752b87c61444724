"""Seven domains under one sequential gate: false alarms, false passes, and the waterbed's name.

Suite: IFEval 541 m=3, GSM8K 1319 m=3, HumanEval 164 m=5, BFCL 1000 m=3, a judge with 160 graded
items of spread .35 m=5, safety 450 m=2, MMLU-Pro 1000 m=2; discordance .10. Eight loss claims share
the level, the eighth being the mean over domains. The full size runs with the studies.
"""

import numpy as np
import pytest
from simulated_suites import (
    SUITE,
    VOTES,
    Ends,
    Paths,
    draw_suite,
    finish,
    graded_z,
    holm_failed,
)

from waterbed.harness.statistics.normal import critical_value
from waterbed.harness.statistics.sequential import plan_looks


def sizes(pull_request: int, full: int) -> pytest.MarkDecorator:
    study = pytest.param((full, 0.0), id="full", marks=pytest.mark.study)
    return pytest.mark.parametrize("size", [pytest.param((pull_request, 0.01), id="tenth"), study])


def read_suite(
    truth: dict[str, float], rounds: int, target: str = "", halves: bool = True
) -> dict[str, Ends]:
    """Every domain's end at a discordance of .10; the judge gives halves, or pass/fail."""
    drawn = draw_suite(truth, 0.1, rounds, suite=SUITE if halves else VOTES, target=target)
    return {name: finish(paths) for name, paths in drawn.items()}


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
    found = holm_failed(read_suite({"math": -0.05}, rounds))["math"].mean()
    print(f"maths at -5 FAILs: {found:.4f}")
    assert found >= 0.98 - slack


@sizes(2000, 20000)
def test_losses_of_the_margin_everywhere_never_pass_together(size: tuple[int, float]) -> None:
    rounds, slack = size
    ends = read_suite({name: -domain.margin for name, domain in SUITE.items()}, rounds)
    each = {name: end.passed.mean() for name, end in ends.items()}
    together = np.all([end.passed for end in ends.values()], axis=0).mean()
    print(f"PASS at -m: {each}; all seven: {together:.5f}")
    assert together <= 0.01
    assert max(each.values()) <= 0.055 + slack


def named(truth: dict[str, float], rounds: int, halves: bool = False) -> float:
    ends = read_suite(truth, rounds, target="math", halves=halves)
    gain = ends.pop("math").p_gain
    smallest = np.min([end.p_loss for end in ends.values()], axis=0)
    return float((np.maximum(gain, smallest * len(ends)) <= 0.05).mean())


@sizes(2000, 20000)
def test_the_waterbed_is_named_when_it_is_there(size: tuple[int, float]) -> None:
    rounds, slack = size
    shares = {
        "nothing": named({}, rounds),
        "gain only": named({"math": 0.05}, rounds),
        "loss only": named({"chat": -0.08}, rounds),
        "gain, chat -8": named({"math": 0.05, "chat": -0.08}, rounds),
        "gain, chat -8 in halves": named({"math": 0.05, "chat": -0.08}, rounds, halves=True),
        "gain, safety -4": named({"math": 0.05, "safety": -0.04}, rounds),
    }
    print(f"named: {shares}")
    assert shares["nothing"] <= 0.01 + slack
    assert shares["gain only"] <= 0.055 + slack
    assert shares["loss only"] <= 0.055 + slack
    assert shares["gain, chat -8"] >= 0.78 - slack
    assert shares["gain, chat -8 in halves"] >= 0.63 - slack  # measured .66


def test_targets_that_stop_at_pass_seldom_show_their_gain() -> None:
    truth = {"math": 0.05}
    stopped = read_suite(truth, 1000)["math"].p_gain <= 0.05
    read_on = read_suite(truth, 1000, target="math")["math"].p_gain <= 0.05
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
            finish(Paths(plan, total, squares, graded=True)).passed.sum(),
            finish(Paths(once, total[:, -1:], squares[:, -1:], graded=True)).passed.sum(),
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
    both = finish(Paths(plan, total, squares, graded=True)).passed.mean()
    n = np.array(plan.looks, dtype=float)
    alone = (graded_z(total, squares, n, -0.05) >= plan.bounds_pass).any(axis=1).mean()
    print(f"rare full drops: PASS {both:.4f}, by t alone {alone:.4f}")
    assert both <= 0.057 + slack
    assert alone > 0.065
