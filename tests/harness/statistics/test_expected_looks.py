"""Simulated sequential gates: the error rates hold, the power is there, and few items are used."""

import numpy as np
import pytest

from waterbed.harness.statistics.boundaries import boundary
from waterbed.harness.statistics.expected_looks import draw_paths, expected_looks, replay
from waterbed.harness.statistics.normal import critical_value
from waterbed.harness.statistics.operating import pass_probability
from waterbed.harness.statistics.paired import pair_counts
from waterbed.harness.statistics.sequential import LookResult, look, plan_looks
from waterbed.harness.statistics.tango import tango_z

CASES = [
    (1319, 0.10, 0.03),
    (1319, 0.20, 0.03),
    (541, 0.10, 0.03),
    (541, 0.20, 0.05),
    (164, 0.10, 0.05),
]
GRID = pytest.mark.parametrize(("n", "discordance", "margin"), CASES)


@pytest.mark.parametrize("target", [False, True])
@pytest.mark.parametrize("n", [541, 80])
def test_paths_are_replayed_as_they_are_looked_at(n: int, target: bool) -> None:
    plan = plan_looks(n, 0.03, family=2, target=target)
    outcomes = set()
    for delta in (0.04, 0.0, -0.03, -0.08):
        b, c = draw_paths(plan, 0.12, delta, rounds=12)
        end = replay(plan, b, c)
        for r in range(12):
            result: LookResult | None = None
            for k, items in enumerate(plan.looks):
                result = look(plan, pair_counts(int(b[r, k]), int(c[r, k]), items), result)
                if result.stop:
                    break
            assert result is not None
            assert (result.outcome == "pass") == end.passed[r]
            assert (result.outcome == "fail") == end.failed[r]
            assert (result.look, result.n) == (end.looks[r], end.items[r])
            outcomes.add(result.outcome)
    assert outcomes == {"pass", "fail", "inconclusive"}


@GRID
def test_a_loss_of_the_margin_passes_in_one_case_of_twenty(
    n: int, discordance: float, margin: float
) -> None:
    assert expected_looks(plan_looks(n, margin), discordance, -margin).p_pass <= 0.065


@GRID
def test_no_change_fails_in_one_case_of_twenty_at_most(
    n: int, discordance: float, margin: float
) -> None:
    assert expected_looks(plan_looks(n, margin), discordance, 0.0).p_fail <= 0.06


@pytest.mark.parametrize(
    ("case", "least"), list(zip(CASES, [0.93, 0.74, 0.64, 0.78, 0.54], strict=True))
)
def test_ten_looks_cost_little_of_the_power_of_one(
    case: tuple[int, float, float], least: float
) -> None:
    n, discordance, margin = case
    p_pass = expected_looks(plan_looks(n, margin), discordance, 0.0).p_pass
    assert p_pass >= least - 0.01
    assert p_pass >= pass_probability(n, discordance, margin) - 0.07


@pytest.mark.parametrize(
    ("n", "margin", "delta", "least"),
    [
        (1319, 0.03, -0.05, 0.98),
        (541, 0.03, -0.05, 0.92),
        (541, 0.03, -0.1, 0.99),
        (164, 0.05, -0.1, 0.95),
    ],
)
def test_large_losses_fail(n: int, margin: float, delta: float, least: float) -> None:
    discordance = max(0.1, abs(delta) + 0.02)
    assert expected_looks(plan_looks(n, margin), discordance, delta).p_fail >= least - 0.01


@pytest.mark.parametrize(("delta", "most"), [(0.0, 0.60), (-0.05, 0.40), (-0.1, 0.17)])
def test_decisions_come_before_the_last_item(delta: float, most: float) -> None:
    found = expected_looks(plan_looks(1319, 0.03), max(0.1, abs(delta) + 0.02), delta)
    assert found.use <= most + 0.01
    assert found.items == pytest.approx(found.use * 1319)


def test_peeking_with_the_line_of_one_look_breaks_both_limits() -> None:
    plan, line = plan_looks(1319, 0.03), critical_value(0.05)
    b, c = draw_paths(plan, 0.1, 0.0, rounds=2000)
    alarms = (-tango_z(b, c, np.array(plan.looks), 0.0) >= line).any(axis=1)
    assert 0.15 <= alarms.mean() <= 0.20
    b, c = draw_paths(plan, 0.1, -0.03, rounds=2000)
    passes = (tango_z(b, c, np.array(plan.looks), -0.03) >= line).any(axis=1)
    assert passes.mean() > 0.12


def test_spending_the_whole_level_at_each_look_breaks_the_limit() -> None:
    plan = plan_looks(1319, 0.03)
    each = [boundary(0.05, [t])[0] if t == 1 else critical_value(0.05) for t in plan.fractions]
    b, c = draw_paths(plan, 0.1, -0.03, rounds=2000)
    assert (tango_z(b, c, np.array(plan.looks), -0.03) >= each).any(axis=1).mean() > 0.065


def test_walds_statistic_in_tangos_place_breaks_the_limit() -> None:
    plan = plan_looks(164, 0.05)
    b, c = draw_paths(plan, 0.1, -0.05, rounds=2000)
    n = np.array(plan.looks)
    variance = np.maximum(b + c - (b - c) ** 2 / n, 1e-9)
    wald = (b - c + n * plan.margin) / np.sqrt(variance)
    assert (wald >= plan.bounds_pass).any(axis=1).mean() > 0.08


def test_prefixes_of_the_answers_that_came_back_first_break_the_limit() -> None:
    # Short answers return first and are right more often than long ones on the candidate's side.
    plan, rng, rounds = plan_looks(541, 0.03), np.random.default_rng(20261120), 1000
    p = [0.035, 0.065, 0.9]
    d = rng.choice([1, -1, 0], (rounds, 541), p=p)
    arrival = rng.random(d.shape) + 0.8 * (d == -1)
    d = np.take_along_axis(d, arrival.argsort(axis=1), axis=1)
    at = np.array(plan.looks) - 1
    end = replay(plan, (d == 1).cumsum(axis=1)[:, at], (d == -1).cumsum(axis=1)[:, at])
    assert end.passed.mean() > 0.2


def test_without_gamma_tolerated_losses_fail_more_often() -> None:
    with_gamma = expected_looks(plan_looks(1319, 0.03), 0.1, -0.02).p_fail
    without = expected_looks(plan_looks(1319, 0.03, gamma=None), 0.1, -0.02).p_fail
    assert with_gamma == pytest.approx(0.173, abs=0.03)
    assert without == pytest.approx(0.318, abs=0.04)


def test_impossible_truths_are_refused() -> None:
    with pytest.raises(ValueError, match="discordance"):
        expected_looks(plan_looks(541, 0.03), 0.05, -0.1)
    with pytest.raises(ValueError, match="rounds"):
        expected_looks(plan_looks(541, 0.03), 0.05, rounds=0)
