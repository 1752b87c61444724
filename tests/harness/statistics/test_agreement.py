"""Agreement beyond chance, and distances of distributions."""

import numpy as np
import pytest

from waterbed.harness.statistics.agreement import cohen_kappa
from waterbed.harness.statistics.distributions import distribution_shift


def test_raters_who_guess_agree_by_chance_only() -> None:
    rng = np.random.default_rng(1)
    table = np.zeros((2, 2))
    np.add.at(table, (rng.integers(0, 2, 4000), (rng.random(4000) < 0.9).astype(int)), 1)
    found = cohen_kappa(table)
    assert found.kappa == pytest.approx(0.0, abs=0.03)
    assert found.observed > 0.45


def test_the_same_ratings_agree_wholly() -> None:
    assert cohen_kappa([[4, 0], [0, 6]]).kappa == 1.0


def test_one_category_only_has_no_kappa() -> None:
    found = cohen_kappa([[10, 0], [0, 0]])
    assert (found.observed, found.kappa, found.kappa_quadratic) == (1.0, None, None)


def test_near_misses_weigh_less_in_the_quadratic_kappa() -> None:
    near = cohen_kappa([[10, 5, 0], [5, 10, 5], [0, 5, 10]])
    far = cohen_kappa([[10, 0, 5], [5, 15, 0], [5, 0, 10]])
    assert near.kappa_quadratic is not None and far.kappa_quadratic is not None
    assert near.kappa_quadratic > far.kappa_quadratic


@pytest.mark.parametrize("table", [[[1, 2]], [[0, 0], [0, 0]], [[1, -1], [0, 1]]])
def test_tables_that_are_none_are_refused(table: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="table"):
        cohen_kappa(table)


def test_equal_distributions_are_no_distance_apart_and_disjoint_ones_the_largest() -> None:
    same = distribution_shift([3, 5, 2], [30, 50, 20])
    assert same.total_variation == pytest.approx(0, abs=1e-12)
    assert same.kl_nats == pytest.approx(0, abs=1e-12)
    apart = distribution_shift([1, 0], [0, 1])
    assert (apart.total_variation, apart.kl_nats) == (1.0, None)
    assert apart.jensen_shannon_bits == pytest.approx(1.0)


@pytest.mark.parametrize(("p", "q"), [([1], [1, 2]), ([0, 0], [1, 1]), ([-1, 2], [1, 1])])
def test_distributions_that_are_none_are_refused(p: list[float], q: list[float]) -> None:
    with pytest.raises(ValueError, match=r"shares|side"):
        distribution_shift(p, q)
