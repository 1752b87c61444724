"""Variance between items and between samples, and which of the two is worth paying for."""

import math

import numpy as np
import pytest

from waterbed.harness.statistics.two_level import item_variance, paired_variance


def samples(rng: np.random.Generator, chances: np.ndarray, k: int) -> list[list[float]]:
    return (rng.random((chances.size, k)) < chances[:, None]).astype(float).tolist()


def test_the_parts_are_found_again() -> None:
    # Items differ by +-.2 in their chance: omega^2 = .04; one sample of a .5 item varies by about .25.
    rng = np.random.default_rng(20261120)
    old = np.full(4000, 0.5)
    new = old + rng.choice([-0.2, 0.2], old.size)
    found = paired_variance(samples(rng, old, 8), samples(rng, new, 4))
    assert found.omega2 == pytest.approx(0.04, abs=0.005)
    assert found.sigma2_baseline == pytest.approx(0.25, abs=0.005)
    assert found.sigma2_candidate == pytest.approx(0.25 - 0.04, abs=0.005)
    assert found.se == pytest.approx(math.sqrt((0.04 + 0.21 / 4 + 0.25 / 8) / 4000), rel=0.03)


def test_noisy_samples_ask_for_samples_and_varied_items_for_items() -> None:
    rng = np.random.default_rng(3)
    coin = np.full(400, 0.5)
    assert paired_variance(samples(rng, coin, 2), samples(rng, coin, 2)).helps_more == "samples"
    sure = np.full(400, 0.02)
    split = np.where(np.arange(400) % 2, 0.98, 0.02)
    assert paired_variance(samples(rng, sure, 4), samples(rng, split, 4)).helps_more == "items"


def test_each_item_counts_with_its_own_number_of_samples() -> None:
    equal = item_variance([[1, 0], [1, 1], [0, 0], [1, 0]])
    unequal = item_variance([[1, 0], [1], [0], [1, 0]])
    assert equal.inverse_k_candidate == 0.5
    assert unequal.inverse_k_candidate == 0.75
    assert unequal.mean == equal.mean == 0.5
    assert unequal.sigma2_candidate == 0.5  # only the two items that can show it


def test_a_greedy_side_keeps_its_variance_between_items() -> None:
    found = paired_variance([[1], [0], [1]], [[1, 0], [0, 0], [1, 1]])
    assert found.sigma2_baseline == 0.0
    assert found.sigma2_candidate > 0


def test_more_noise_than_spread_leaves_no_negative_variance() -> None:
    found = item_variance([[1, 0], [0, 1], [1, 0]])
    assert found.omega2 == 0.0
    assert found.se_endless_samples == 0.0


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([[1], [0]], "two samples"),
        ([[1, 0], []], "item 1 has none"),
        ([], "no item"),
        ([[1, 0]], "got 1"),
        ([[1, 0], [2, 0]], r"\[0, 1\]"),
    ],
)
def test_samples_that_cannot_be_split_are_refused(scores: list[list[float]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        item_variance(scores)


def test_one_sample_a_side_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="both sides"):
        paired_variance([[1], [0]], [[1], [1]])
