"""Bets on each item: an error rate that no amount of looking spoils, and what the bets can show."""

import math

import numpy as np
import pytest

from waterbed.harness.errors import UsageError
from waterbed.harness.statistics.eprocess import (
    confidence_sequence,
    decide_anytime,
    log_wealth,
    p_anytime,
)

LINE = math.log(20)


def changes(n: int, discordance: float, delta: float, rounds: int) -> np.ndarray:
    rng = np.random.default_rng(20261120)
    p = [(discordance + delta) / 2, (discordance - delta) / 2, 1 - discordance]
    return rng.choice([1.0, -1.0, 0.0], (rounds, n), p=p)


def test_looking_at_every_one_of_5000_items_keeps_the_error_rate() -> None:
    lost = log_wealth(changes(5000, 0.1, -0.03, 400), 0.03, "pass")
    still = log_wealth(changes(5000, 0.1, 0.0, 400), 0.03, "fail")
    assert (lost >= LINE).any(axis=1).mean() <= 0.065
    assert (still >= LINE).any(axis=1).mean() <= 0.065


def test_a_bet_that_sees_its_own_item_breaks_the_limit() -> None:
    # The stake must be fixed before the item; one that grows when the item wins is no bet.
    d = changes(1000, 0.1, 0.0, 400)
    stakes = np.where(d < 0, 0.375, 0.25)
    assert (np.log1p(-stakes * d).cumsum(axis=1) >= LINE).any(axis=1).mean() > 0.2


def test_most_harmless_candidates_pass_with_half_of_the_items() -> None:
    ends = [decide_anytime(d, 0.03, items=1319, every=10) for d in changes(1319, 0.1, 0.0, 400)]
    assert np.mean([end.outcome == "pass" for end in ends]) >= 0.81
    assert np.mean([end.items for end in ends]) / 1319 <= 0.54


def test_wealth_is_the_product_of_its_bets() -> None:
    d, margin, wealth, squares = [0, 1, -1, 0.5, 0], 0.05, 0.0, 0.0
    expected = []
    for t, x in enumerate(y + margin for y in d):
        stake = min(margin / ((20 * 0.12 + squares) / (20 + t)), 0.75 / (1 - margin))
        wealth += math.log(1 + stake * x)
        squares += x * x
        expected.append(wealth)
    assert log_wealth(d, margin, "pass").tolist() == pytest.approx(expected, abs=1e-12)


def test_no_run_of_bad_luck_bankrupts_the_bettor() -> None:
    assert np.isfinite(log_wealth(np.full(3000, -1.0), 0.9, "pass")).all()
    assert np.isfinite(log_wealth(np.full(3000, 1.0), 0.9, "fail")).all()


def test_a_loss_fails_and_a_gain_passes() -> None:
    (lost,) = changes(1319, 0.12, -0.1, 1)
    end = decide_anytime(lost, 0.03, items=1319)
    assert end.outcome == "fail"
    assert end.items < 300
    assert end.p_loss <= 0.05
    end = decide_anytime(-lost, 0.03)
    assert end.outcome == "pass"
    assert end.p_pass <= 0.05


def test_a_family_needs_more_evidence_to_fail() -> None:
    (lost,) = changes(1319, 0.12, -0.1, 1)
    alone, among = decide_anytime(lost, 0.03), decide_anytime(lost, 0.03, family=8)
    assert alone.items < among.items
    assert among.p_loss <= 0.05 / 8


def test_a_real_loss_inside_the_margin_goes_on() -> None:
    slight = np.tile([0.0] * 44 + [-1.0], 40)
    end = decide_anytime(slight, 0.03, alpha_pass=1e-6)
    assert (end.outcome, end.items) == ("continue", 1800)
    assert end.p_loss <= 0.05


def test_the_interval_holds_at_every_item_and_agrees_with_the_bets() -> None:
    missed = 0
    for d in changes(400, 0.1, -0.03, 100):
        low, high = confidence_sequence(d, 0.03)
        missed += not low <= -0.03 <= high
        assert (low > -0.03) <= (p_anytime(log_wealth(d, 0.03, "pass")) <= 0.05)
        assert (high < 0.0) <= (p_anytime(log_wealth(d, 0.03, "fail")) <= 0.05)
    assert missed <= 13


def test_no_items_exclude_nothing() -> None:
    assert confidence_sequence([], 0.03) == (-1.0, 1.0)
    assert p_anytime(log_wealth([], 0.03, "pass")) == 1.0


@pytest.mark.parametrize("bad", [math.nan, 1.5, -2.0])
def test_differences_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        log_wealth([0.0, bad], 0.03, "pass")


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="margin"):
        log_wealth([0.0], 0.0, "pass")
    with pytest.raises(UsageError, match="level"):
        decide_anytime([0.0], 0.03, 2.0)
    with pytest.raises(ValueError, match="N=1"):
        decide_anytime([0.0, 0.0], 0.03, items=1)
    with pytest.raises(ValueError, match="shape"):
        decide_anytime([], 0.03)
