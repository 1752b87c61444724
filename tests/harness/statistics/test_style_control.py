"""A preference that is all about length vanishes at equal length, and a real one stays."""

from __future__ import annotations

import math

import numpy as np
import pytest

from waterbed.harness.statistics.style_control import Controlled, control, difference, style

Pairs = tuple[list[float], list[list[float]]]


def votes(n: int, *, real: float, taste: float, longer: float, seed: int = 20261120) -> Pairs:
    """Means of two games whose odds are `real` + `taste` times the difference in length (in logits)."""
    rng = np.random.default_rng(seed)
    apart = rng.normal(longer, 0.2, n)
    odds = 1 / (1 + np.exp(-(real + taste * apart)))
    shares = rng.binomial(2, odds) / 2
    return [float(s) for s in shares], [[float(a), 0.0, 0.0, 0.0] for a in apart]


def test_a_vote_that_is_all_about_length_is_even_at_equal_length() -> None:
    shares, apart = votes(2000, real=0.0, taste=4.0, longer=0.3)
    found = control(shares, apart)
    assert isinstance(found, Controlled)
    assert sum(shares) / len(shares) > 0.7
    assert found.low < 0.5 < found.high
    assert found.share == pytest.approx(0.5, abs=0.05)


def test_a_real_preference_stays() -> None:
    shares, apart = votes(2000, real=1.0, taste=4.0, longer=-0.2)
    found = control(shares, apart)
    assert isinstance(found, Controlled)
    assert found.share == pytest.approx(1 / (1 + math.exp(-1.0)), abs=0.04)
    assert set(found.coefficients) == {"length"}


def test_the_interval_covers_as_often_as_it_says() -> None:
    truth, covered = 1 / (1 + math.exp(-0.4)), 0
    for seed in range(200):
        found = control(*votes(150, real=0.4, taste=2.0, longer=0.1, seed=seed))
        assert isinstance(found, Controlled)
        covered += found.low <= truth <= found.high
    assert 0.84 <= covered / 200 <= 0.96  # 90%, and three standard errors of 200 draws


def test_without_any_difference_the_raw_share_stands() -> None:
    found = control([1.0, 0.0, 1.0, 1.0, 0.5, 1.0], [[0.0] * 4] * 6)
    assert isinstance(found, Controlled)
    assert found.share == pytest.approx(0.75)
    assert found.coefficients == {}


@pytest.mark.parametrize(
    ("n", "share", "why"), [(4, 0.5, "too few"), (100, 1.0, "one-sided"), (0, 0.5, "too few")]
)
def test_where_nothing_can_be_fitted_there_is_a_reason(n: int, share: float, why: str) -> None:
    found = control([share] * n, [[0.1 * (k % 3), 0.0, 0.0, 0.0] for k in range(n)])
    assert isinstance(found, str) and why in found


def test_markup_counts_outside_of_code() -> None:
    answer = "# Title\n- one\n- **two**\n3. three\n```\n# no\n- no **no**\n```\n__bold__ 2 * 3"
    assert style(answer) == (float(len(answer)), 1.0, 3.0, 2.0)


def test_swapping_the_answers_turns_the_signs() -> None:
    long, short = style("# A\n\n- **x**\n- y\n" + "z" * 200), style("z")
    assert difference(long, short) == [-d for d in difference(short, long)]
    assert all(-1 < d < 1 for d in difference(long, short))
