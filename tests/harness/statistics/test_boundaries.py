"""Boundaries: published tables are in the vectors; here the properties that any of them must have."""

import math

import numpy as np
import pytest

from waterbed.harness.errors import UsageError
from waterbed.harness.statistics.boundaries import (
    boundary,
    crossing_probability,
    sequential_p,
    spent,
)
from waterbed.harness.statistics.normal import critical_value, upper_tail

DECILES = [k / 10 for k in range(1, 11)]
SPENDINGS = ["power:2", "power:3", "obf", "pocock"]


def grid_recursion(alpha: float, fractions: list[float], spending: str) -> list[float]:
    """The textbook recursion: trapezoids on 1201 points, the root by bisection."""
    from scipy.special import erfc

    found: list[float] = []
    nodes, mass, before, used = np.zeros(1), np.ones(1), 0.0, 0.0
    for t in fractions:
        share, used = spent(alpha, t, spending) - used, spent(alpha, t, spending)
        step, low, high = math.sqrt(t - before), -9.0, 9.0
        while high - low > 1e-9:
            middle = (low + high) / 2
            beyond = 0.5 * mass @ erfc((middle * math.sqrt(t) - nodes) / step / math.sqrt(2))
            low, high = (middle, high) if beyond > share else (low, middle)
        found.append(low)
        grid = np.linspace(-9 * math.sqrt(t), low * math.sqrt(t), 1201)
        kernel = np.exp(-0.5 * ((grid[:, None] - nodes) / step) ** 2) / step / math.sqrt(math.tau)
        weights = np.full(1201, grid[1] - grid[0])
        weights[[0, -1]] /= 2
        nodes, mass, before = grid, (kernel @ mass) * weights, t
    return found


@pytest.mark.parametrize("spending", SPENDINGS)
def test_the_nodes_give_what_the_textbook_grid_gives(spending: str) -> None:
    fractions = [0.12, 0.3, 0.45, 0.7, 1.0]
    expected = grid_recursion(0.05, fractions, spending)
    assert boundary(0.05, fractions, spending) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("spending", SPENDINGS)
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.05 / 8])
def test_a_boundary_is_crossed_with_just_its_error_rate(spending: str, alpha: float) -> None:
    crossed = crossing_probability(boundary(alpha, DECILES, spending), DECILES)
    assert crossed == pytest.approx(alpha, abs=1e-8)


def test_a_boundary_that_spends_everything_at_each_look_is_no_boundary() -> None:
    assert crossing_probability([critical_value(0.05)] * 10, DECILES) > 0.16


def test_one_look_is_the_fixed_test() -> None:
    assert boundary(0.05, [1.0])[0] == pytest.approx(critical_value(0.05), abs=1e-8)


def test_boundaries_fall_as_the_level_rises() -> None:
    levels = np.geomspace(1e-7, 0.499, 25)
    found = np.array([boundary(float(a), DECILES) for a in levels])
    assert np.all(np.diff(found, axis=0) < 0)


def test_early_looks_that_may_spend_nothing_stay_finite() -> None:
    bounds = boundary(0.01, [0.0005, 0.001, 0.5, 1.0], "obf")
    assert all(math.isfinite(z) for z in bounds)
    assert bounds[0] == 38.0


def test_the_sequential_p_is_the_level_at_which_a_look_just_crosses() -> None:
    for alpha in (0.2, 0.05, 0.003):
        bounds = boundary(alpha, DECILES)
        for look in (0, 4, 9):
            z = [-1.0] * 10
            z[look] = bounds[look]
            assert sequential_p(z, DECILES) == pytest.approx(alpha, rel=1e-6)


def test_the_sequential_p_of_one_look_is_the_p() -> None:
    assert sequential_p([2.1], [1.0]) == pytest.approx(upper_tail(2.1), rel=1e-6)


def test_the_sequential_p_never_rises_with_another_look() -> None:
    z = [1.2, 2.0, 1.1, 2.4, 0.3]
    ps = [sequential_p(z[:k], DECILES[:k]) for k in range(1, 6)]
    assert ps == sorted(ps, reverse=True)
    assert ps[3] == ps[4]


def test_the_search_for_a_sequential_p_has_a_floor_and_a_ceiling() -> None:
    assert sequential_p([12.0], [0.1]) < 1e-7
    assert sequential_p([-3.0, -2.0], [0.5, 1.0]) == 1.0


@pytest.mark.parametrize("fractions", [[], [0.5, 0.5], [0.5, 0.2], [0.0, 1.0], [0.5, 1.1]])
def test_looks_that_do_not_rise_are_refused(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match="rise"):
        boundary(0.05, fractions)


@pytest.mark.parametrize("spending", ["linear", "power:0", "power:x", "power:nan", "power:inf"])
def test_an_unknown_spending_function_is_refused(spending: str) -> None:
    with pytest.raises(UsageError, match="power:2"):
        boundary(0.05, DECILES, spending)


@pytest.mark.parametrize("alpha", [0.0, 0.5, math.nan])
def test_a_level_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(UsageError, match="level"):
        boundary(alpha, DECILES)
