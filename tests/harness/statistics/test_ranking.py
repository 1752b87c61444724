"""Ranks that the tests allow, and the mean of a recipe that was trained more than once."""

import numpy as np
import pytest

from waterbed.harness.statistics.ranking import (
    Rank,
    Versus,
    compare_all,
    rank_intervals,
    recipe_mean,
)


def answers(rng: np.random.Generator, n: int, chances: dict[str, float]) -> dict[str, np.ndarray]:
    """Pass/fail scores that share the items' difficulty."""
    difficulty = rng.random(n)
    return {name: (difficulty < chance).astype(float) for name, chance in chances.items()}


def test_models_alike_share_all_ranks() -> None:
    rng = np.random.default_rng(20261120)
    scores = {name: (rng.random(300) < 0.6).astype(float) for name in "abcd"}
    assert {rank.label for rank in rank_intervals(compare_all(scores)).values()} == {"1-4"}


def test_models_far_apart_have_one_rank_each() -> None:
    rng = np.random.default_rng(1)
    scores = answers(rng, 400, {"mid": 0.5, "low": 0.3, "top": 0.8})
    ranks = rank_intervals(compare_all(scores))
    assert {name: rank.label for name, rank in ranks.items()} == {
        "top": "1",
        "mid": "2",
        "low": "3",
    }


def test_all_true_ranks_lie_inside_in_nineteen_of_twenty_cases() -> None:
    # Five models, three of them equal: those may hold any of the ranks 2 to 4.
    rng = np.random.default_rng(20261120)
    chance = {"a": 0.7, "b": 0.6, "c": 0.6, "d": 0.6, "e": 0.5}
    allowed = {"a": (1, 1), "b": (2, 4), "c": (2, 4), "d": (2, 4), "e": (5, 5)}
    missed = naive = 0
    for _ in range(300):
        scores = {name: (rng.random(300) < p).astype(float) for name, p in chance.items()}
        compared = compare_all(scores)
        ranks = rank_intervals(compared)
        missed += any(
            ranks[name].best > low or ranks[name].worst < high
            for name, (low, high) in allowed.items()
        )
        equal = [v.p for v in compared if {v.first, v.second} <= {"b", "c", "d"}]
        naive += min(equal) <= 0.05
    assert missed / 300 <= 0.065
    assert naive / 300 > 0.09  # without Holm


def test_graded_scores_are_ranked_by_the_t_test() -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(1, 4, 300) / 4
    compared = compare_all({"low": base - 0.25 * (rng.random(300) < 0.3), "high": base})
    assert compared[0].p < 1e-9
    assert rank_intervals(compared) == {"low": Rank(2, 2), "high": Rank(1, 1)}


def test_equal_scores_are_never_ranked() -> None:
    assert rank_intervals([Versus("a", "b", 0.0, 0.0)]) == {"a": Rank(1, 2), "b": Rank(1, 2)}


def test_a_missing_or_doubled_pair_is_refused() -> None:
    pair = Versus("a", "b", 0.1, 0.01)
    with pytest.raises(ValueError, match="3 pairs, got 2"):
        rank_intervals([pair, Versus("a", "c", 0.1, 0.01)])
    with pytest.raises(ValueError, match="1 pairs, got 2"):
        rank_intervals([pair, Versus("b", "a", -0.1, 0.01)])
    with pytest.raises(ValueError, match="two models"):
        compare_all({"a": [1.0]})


def seeded(rng: np.random.Generator, seeds: int, items: int) -> np.ndarray:
    """Scores with a mean of .5, an effect of each seed and of each item, and a rest."""
    effects = 0.03 * rng.standard_normal((seeds, 1)) + 0.15 * rng.standard_normal((1, items))
    return np.clip(0.5 + effects + 0.1 * rng.standard_normal((seeds, items)), 0, 1)


def test_the_interval_of_a_recipe_covers_its_mean() -> None:
    rng = np.random.default_rng(20261120)
    found = [recipe_mean(seeded(rng, 3, 200)) for _ in range(1000)]
    assert np.mean([f.low <= 0.5 <= f.high for f in found]) >= 0.93
    # Seeds pooled as if only items varied: what a leaderboard of single runs claims.
    naive = [recipe_mean(seeded(rng, 1, 200)) for _ in range(1000)]
    assert np.mean([f.low <= 0.5 <= f.high for f in naive]) < 0.85


def test_fewer_than_three_seeds_speak_of_runs_only() -> None:
    rng = np.random.default_rng(1)
    assert recipe_mean(seeded(rng, 2, 100)).items_only
    assert not recipe_mean(seeded(rng, 3, 100)).items_only


def test_equal_seeds_still_have_the_error_of_their_items() -> None:
    one = np.tile([0.0, 1.0], 50)
    found = recipe_mean([one, one, one])
    assert found.high - found.low > 0.2


@pytest.mark.parametrize("scores", [[[0.5]], [0.5, 0.5], [[np.nan, 0.5]], [[0.0, 3.0]]])
def test_scores_of_another_shape_are_refused(scores: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="seeds"):
        recipe_mean(scores)
