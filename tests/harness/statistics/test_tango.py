"""The score test at the edges where a formula would give NaN."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.statistics.tango import exact_noninferiority_p, tango_interval, tango_z


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 2000))
    b = draw(st.integers(0, n))
    return b, draw(st.integers(0, n - b)), n


differences = st.floats(-1, 1, allow_nan=False)


@settings(deadline=None)
@given(counts(), differences)
def test_exchanging_the_models_changes_the_sign_and_nothing_else(
    items: tuple[int, int, int], d0: float
) -> None:
    b, c, n = items
    assert float(tango_z(b, c, n, d0)) == -float(tango_z(c, b, n, -d0))


@settings(deadline=None)
@given(counts(), differences)
def test_z_is_never_nan_and_never_minus_zero(items: tuple[int, int, int], d0: float) -> None:
    z = float(tango_z(*items, d0))
    assert not math.isnan(z)
    assert z != 0 or math.copysign(1, z) == 1


@settings(deadline=None)
@given(counts(), st.floats(0.001, 0.9), st.floats(0.001, 0.09))
def test_a_wider_margin_never_lowers_z(
    items: tuple[int, int, int], margin: float, wider: float
) -> None:
    assert tango_z(*items, -margin - wider) >= tango_z(*items, -margin) - 1e-9


@settings(deadline=None, max_examples=50)
@given(counts())
def test_the_interval_holds_the_estimate_and_mirrors(items: tuple[int, int, int]) -> None:
    b, c, n = items
    low, high = tango_interval(b, c, n)
    assert -1 <= low <= (b - c) / n <= high <= 1
    mirrored = tango_interval(c, b, n)
    assert (float(mirrored[0]), float(mirrored[1])) == (-float(high), -float(low))


@settings(deadline=None, max_examples=50)
@given(counts())
def test_the_ends_of_the_interval_are_the_two_one_sided_tests(items: tuple[int, int, int]) -> None:
    low, high = tango_interval(*items, confidence=0.9)
    if low > -1:
        assert tango_z(*items, low) == pytest.approx(1.6448536, abs=1e-4)
    if high < 1:
        assert tango_z(*items, high) == pytest.approx(-1.6448536, abs=1e-4)


def test_at_zero_difference_z_is_mcnemars() -> None:
    assert float(tango_z(21, 40, 500, 0.0)) == pytest.approx((21 - 40) / math.sqrt(61), abs=1e-12)


@pytest.mark.parametrize(
    ("b", "c", "d0", "expected"),
    [(0, 0, 0.0, 0.0), (0, 10, -1.0, 0.0), (10, 0, 1.0, 0.0), (0, 0, -1.0, math.inf)],
)
def test_without_variance_z_is_zero_at_the_data_and_infinite_elsewhere(
    b: int, c: int, d0: float, expected: float
) -> None:
    assert float(tango_z(b, c, 10, d0)) == expected


def test_a_total_collapse_has_the_interval_end_minus_one() -> None:
    low, high = tango_interval(0, 164, 164)
    assert float(low) == -1.0
    assert -1 < float(high) < -0.95


def test_no_change_is_not_certainty() -> None:
    low, high = tango_interval(0, 0, 30, 0.9)
    assert float(high) == pytest.approx(1.6448536269514722**2 / (30 + 1.6448536269514722**2))
    assert float(low) == -float(high)


def test_arrays_give_the_same_as_one_by_one() -> None:
    b, c = np.array([0, 5, 30]), np.array([4, 5, 36])
    low, high = tango_interval(b, c, 541)
    for i in range(3):
        one = tango_interval(int(b[i]), int(c[i]), 541)
        assert (float(low[i]), float(high[i])) == (float(one[0]), float(one[1]))


def test_the_exact_test_is_refused_beyond_200_items() -> None:
    with pytest.raises(ValueError, match="at most 200 items, got 201"):
        exact_noninferiority_p(0, 0, 201, 0.05)


def test_the_exact_p_of_three_items_is_the_enumeration_by_hand() -> None:
    # Three unchanged items have the largest z of all outcomes at margin .5 but the three gains and
    # their like; the chance of an outcome at least as good is worked out cell by cell.
    observed = float(tango_z(0, 0, 3, -0.5))
    best = 0.0
    for discordance in np.linspace(0.5, 1.0, 200):
        gain, loss = (discordance - 0.5) / 2, (discordance + 0.5) / 2
        chance = 0.0
        for b in range(4):
            for c in range(4 - b):
                if float(tango_z(b, c, 3, -0.5)) >= observed - 1e-12:
                    rest = 3 - b - c
                    ways = math.factorial(3) / math.prod(map(math.factorial, (b, c, rest)))
                    chance += ways * gain**b * loss**c * (1 - discordance) ** rest
        best = max(best, chance)
    assert exact_noninferiority_p(0, 0, 3, 0.5) == pytest.approx(best, abs=1e-12)
