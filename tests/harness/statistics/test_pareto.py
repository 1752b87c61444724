"""The front, how often a point is on it, when one may gray out another, and the price of a point."""

import math

import numpy as np
import pytest

from waterbed.harness.statistics.paired import pair_counts
from waterbed.harness.statistics.pareto import (
    PerCost,
    confidently_dominates,
    front_frequency,
    pareto_front,
    per_cost,
)

SIZE = ("size",)


def test_a_point_worse_on_nothing_and_better_on_one_axis_dominates() -> None:
    points = {
        "a": {"quality": 0.7, "size": 4.0},
        "b": {"quality": 0.7, "size": 2.0},
        "c": {"quality": 0.6, "size": 1.0},
        "d": {"quality": 0.5, "size": 3.0},
    }
    assert pareto_front(points, SIZE) == ["b", "c"]
    assert pareto_front(points) == ["a"]


def test_equal_points_are_both_kept() -> None:
    point = {"quality": 0.7, "size": 4.0}
    assert pareto_front({"a": point, "b": point}, SIZE) == ["a", "b"]


def test_a_point_ahead_by_noise_is_on_the_front_in_some_draws_only() -> None:
    rng = np.random.default_rng(1)
    base = (rng.random(300) < 0.6).astype(float)
    noise = np.where(rng.random(300) < 0.1, 1 - base, base)
    scores = {"small": base, "large": noise, "worse": base * (rng.random(300) < 0.7)}
    costs = {"small": {"size": 2.0}, "large": {"size": 4.0}, "worse": {"size": 4.0}}
    share = front_frequency(scores, costs, SIZE)
    assert share["small"] == 1.0
    assert 0.1 < share["large"] < 0.9
    assert share["worse"] < 0.01


def test_the_same_answers_tie_in_every_draw() -> None:
    scores = np.random.default_rng(1).random(97)
    costs = {"a": {"size": 1.0}, "b": {"size": 1.0}}
    assert front_frequency({"a": scores, "b": scores}, costs, SIZE) == {"a": 1.0, "b": 1.0}


def test_only_shown_dominance_grays_out() -> None:
    same, small = pair_counts(12, 12, 4000), {"size": 2.0}
    assert confidently_dominates(same, small, {"size": 4.0}, SIZE)
    assert not confidently_dominates(same, small, {"size": 2.05}, SIZE)  # not clearly smaller
    assert not confidently_dominates(same, {"size": 4.0}, small, SIZE)
    too_few = pair_counts(2, 2, 100)  # a loss of a point is not excluded
    assert not confidently_dominates(too_few, small, {"size": 4.0}, SIZE)
    gained = pair_counts(60, 12, 4000)
    assert confidently_dominates(gained, small, small, SIZE)


def test_the_price_of_a_point_needs_a_shown_change() -> None:
    assert per_cost(0.06, 0.02, 0.1, 2.0) == PerCost(0.03, 0.01, 0.05)
    assert per_cost(0.06, -0.01, 0.13, 2.0) is None
    assert per_cost(-0.06, -0.1, -0.02, 2.0) is not None
    with pytest.raises(ValueError, match="cost > 0"):
        per_cost(0.06, 0.02, 0.1, 0.0)
    with pytest.raises(ValueError, match="low <= delta"):
        per_cost(0.2, 0.02, 0.1, 1.0)


def test_points_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        pareto_front({})
    with pytest.raises(ValueError, match="b has"):
        pareto_front({"a": {"quality": 1.0}, "b": {"size": 1.0}})
    with pytest.raises(ValueError, match="finite"):
        pareto_front({"a": {"quality": math.nan}})
    with pytest.raises(ValueError, match="weight"):
        pareto_front({"a": {"quality": 1.0}}, ("weight",))
    with pytest.raises(ValueError, match="points differ"):
        front_frequency({"a": [1.0]}, {"b": {"size": 1.0}})
