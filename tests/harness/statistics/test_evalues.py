"""Evidence over nights and claims: how rarely it alarms, how soon, and what it may be combined with."""

import math

import numpy as np
import pytest

from waterbed.harness.statistics.evalues import (
    ALARM,
    e_bh,
    e_cusum,
    e_lond,
    mean_e,
    night_payoff,
)


def nights(rounds: int, count: int, delta: float) -> np.ndarray:
    """e-values of nights with 60 items each at a discordance of .1."""
    rng = np.random.default_rng(20261120)
    p = [(0.1 + delta) / 2, (0.1 - delta) / 2, 0.9]
    return night_payoff(rng.choice([1.0, -1.0, 0.0], (rounds, count, 60), p=p))


def first_alarm(e: np.ndarray, line: float = ALARM) -> np.ndarray:
    over = e_cusum(e) >= line
    return np.where(over.any(axis=1), over.argmax(axis=1) + 1, e.shape[1])


def test_unchanged_nights_alarm_less_than_once_in_two_hundred() -> None:
    assert first_alarm(nights(20, 2000, 0.0)).mean() >= 200


def test_a_loss_of_three_points_alarms_within_weeks() -> None:
    assert first_alarm(nights(20, 200, -0.03)).mean() <= 27


def test_asking_each_night_at_five_percent_alarms_within_weeks_without_a_change() -> None:
    assert first_alarm(nights(20, 2000, 0.0), line=20).mean() < 200
    rng = np.random.default_rng(1)
    naive = (rng.random((200, 365)) < 0.05).any(axis=1)
    assert naive.mean() > 0.99


def test_a_night_without_new_evidence_pays_one() -> None:
    assert float(night_payoff([])) == 1.0
    assert float(night_payoff(np.zeros(60))) == 1.0


def test_payoffs_average_at_most_one_without_a_change() -> None:
    assert nights(200, 500, 0.0).mean() == pytest.approx(1.0, abs=0.05)


def test_a_better_night_does_not_hide_a_later_loss() -> None:
    e = np.array([1e-9] * 50 + [10.0] * 3)
    assert e_cusum(e)[-1] == pytest.approx(1000)


def test_e_bh_keeps_its_share_of_false_claims_when_all_e_values_are_one_bet() -> None:
    # One shared shock: every claim is false and all e-values are the same number.
    rng = np.random.default_rng(20261120)
    shared = np.where(rng.random(4000) < 0.05, 20.0, 0.0)
    wrong = np.mean([any(e_bh([e] * 7, 0.1)) for e in shared])
    assert wrong <= 0.1
    assert wrong > 0.03


def test_nothing_stands_on_small_e_values() -> None:
    assert e_bh([1.0, 2.0, 5.0], 0.1) == [False] * 3
    assert e_bh([], 0.1) == []
    assert e_lond([1.0] * 20, 0.1)[1] == [False] * 20


def test_the_first_claims_may_use_most_of_the_level() -> None:
    levels, _ = e_lond([0.0] * 2000, 0.1)
    assert math.fsum(levels) == pytest.approx(0.1, abs=1e-4)
    assert levels == sorted(levels, reverse=True)


def test_the_mean_of_e_values_is_their_mean() -> None:
    assert mean_e([0.0, 30.0]) == 15.0
    with pytest.raises(ValueError, match="none"):
        mean_e([])


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_what_is_no_e_value_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="e-values"):
        e_bh([bad])
    with pytest.raises(ValueError, match="e-values"):
        e_cusum([bad])


def test_bad_bets_are_refused() -> None:
    with pytest.raises(ValueError, match="bet"):
        night_payoff([0.0], bet=1.0)
    with pytest.raises(ValueError, match="differences"):
        night_payoff([2.0])
