"""Predicting the full run of a fixed list: rarely wrong, sometimes certain, never inconclusive."""

import math

import numpy as np
import pytest

from waterbed.harness.errors import UsageError
from waterbed.harness.statistics.benchmark import decisions, predict_full_run


def orders(n: int, gains: int, losses: int, rounds: int, seed: int = 20261120) -> np.ndarray:
    """Random orders of one list with so many gains and losses."""
    fixed = np.repeat([1.0, -1.0, 0.0], [gains, losses, n - gains - losses])
    return np.random.default_rng(seed).permuted(np.tile(fixed, (rounds, 1)), axis=1)


def ends(d: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Which orders pass, and the share of the list that each needed."""
    passed, failed = decisions(d, d.shape[1], margin, 0.05, 0.05)
    at = (passed | failed).argmax(axis=1)
    return passed[np.arange(len(d)), at], (at + 1) / d.shape[1]


def test_a_list_at_exactly_the_margin_fails_in_nineteen_of_twenty_orders() -> None:
    passed, _ = ends(orders(1000, 35, 65, 150), 0.03)
    assert passed.mean() <= 0.075


def test_a_list_just_above_the_margin_passes_in_nineteen_of_twenty_orders() -> None:
    passed, _ = ends(orders(1000, 35, 64, 150), 0.03)
    assert (~passed).mean() <= 0.075


def test_an_unchanged_list_needs_two_fifths_of_its_items() -> None:
    passed, use = ends(orders(1319, 66, 66, 150), 0.03)
    assert passed.mean() >= 0.99
    assert use.mean() <= 0.41


def test_peeking_at_the_running_difference_is_wrong_far_more_often() -> None:
    d = orders(1000, 35, 65, 150)
    running = d.cumsum(axis=1)[:, 29:] / np.arange(30, 1001)
    assert (running > -0.03 + 1e-12)[:, :-1].any(axis=1).mean() > 0.3


@pytest.mark.parametrize(("losses", "outcome"), [(3, "fail"), (2, "pass")])
def test_the_whole_list_is_answered_exactly(losses: int, outcome: str) -> None:
    d = [0.0] * (100 - losses) + [-1.0] * losses
    end = predict_full_run(d, 100, 0.03, 1e-9, 1e-9)
    assert (end.outcome, end.exact) == (outcome, True)
    assert end.items == (100 if outcome == "fail" else 98)


def test_an_answer_no_remaining_item_can_change_is_exact() -> None:
    end = predict_full_run([-1.0] * 55, 100, 0.1, alpha_fail=1e-300)
    assert (end.outcome, end.items, end.exact) == ("fail", 55, True)
    end = predict_full_run([1.0] * 46, 100, 0.1, alpha_pass=1e-300)
    assert (end.outcome, end.items, end.exact) == ("pass", 46, True)


def test_a_list_that_only_losses_can_still_bring_to_the_margin_is_not_called() -> None:
    # After 97 items without a change, three losses would still make it -3 of 100.
    d = np.zeros(97)
    passed, failed = decisions(d, 100, 0.03, 1e-9, 1e-9)
    assert not passed[-1]
    assert not failed.any()
    assert decisions(np.zeros(98), 100, 0.03, 1e-9, 1e-9)[0][-1]


def test_too_few_items_go_on() -> None:
    end = predict_full_run([0.0] * 5, 100, 0.03)
    assert (end.outcome, end.items, end.exact) == ("continue", 5, False)


def test_every_order_of_every_list_ends_in_one_answer() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        n = int(rng.integers(1, 60))
        d = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], n)
        passed, failed = decisions(d, n, 0.05, 0.05, 0.05)
        assert not (passed & failed).any()
        assert passed[-1] != failed[-1]


@pytest.mark.parametrize("d", [[], [0.0] * 6, [2.0], [math.nan]])
def test_differences_that_are_none_are_refused(d: list[float]) -> None:
    with pytest.raises(ValueError, match="1 to 5 differences"):
        predict_full_run(d, 5, 0.03)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="margin"):
        predict_full_run([0.0], 5, 0.0)
    with pytest.raises(UsageError, match="level"):
        predict_full_run([0.0], 5, 0.03, 0.7)
