"""Reduced simulations: the rules keep their error rates, and rules that should not hold fail."""

import numpy as np
import pytest

from waterbed.harness.statistics.mcnemar import midp_loss
from waterbed.harness.statistics.normal import critical_value
from waterbed.harness.statistics.tango import tango_z

CRITICAL = critical_value(0.05)
ROUNDS = 2000


def flips(n: int, discordance: float, delta: float, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20261120)
    p = [(discordance + delta) / 2, (discordance - delta) / 2, 1 - discordance]
    drawn = rng.multinomial(n, p, rounds)
    return drawn[:, 0], drawn[:, 1]


@pytest.mark.parametrize(
    ("n", "discordance", "margin"),
    [(1319, 0.1, 0.03), (1319, 0.2, 0.03), (541, 0.1, 0.03), (541, 0.2, 0.05), (164, 0.1, 0.05)],
)
def test_a_loss_of_the_margin_passes_in_one_case_of_twenty(
    n: int, discordance: float, margin: float
) -> None:
    b, c = flips(n, discordance, -margin, ROUNDS)
    assert np.mean(tango_z(b, c, n, -margin) >= CRITICAL) <= 0.065
    b, c = flips(n, discordance, 0.0, ROUNDS)
    fails = (midp_loss(b, c) <= 0.05) & (b - c <= -margin * n)
    assert np.mean(fails) <= 0.06


def test_overlapping_unpaired_intervals_pass_real_losses() -> None:
    # The naive rule: "the two 95% bars overlap, so nothing changed", at accuracy .75.
    n, margin = 541, 0.03
    b, c = flips(n, 0.1, -margin, ROUNDS)
    right = 0.75 * n
    old, new = right / n, (right + b - c) / n
    bars = 1.96 * (np.sqrt(old * (1 - old) / n) + np.sqrt(new * (1 - new) / n))
    assert np.mean(old - new < bars) > 0.9


def test_ten_looks_at_the_fixed_line_raise_false_alarms() -> None:
    n, rounds = 1320, 2000
    rng = np.random.default_rng(20261120)
    looks = rng.multinomial(n // 10, [0.05, 0.05, 0.9], (rounds, 10)).cumsum(axis=1)
    b, c = looks[..., 0], looks[..., 1]
    alarms = (-tango_z(b, c, 132 * np.arange(1, 11), 0.0) >= CRITICAL).any(axis=1)
    assert 0.15 <= alarms.mean() <= 0.20


def test_samples_pooled_as_items_pass_real_losses() -> None:
    # Eight samples of one item say nearly the same; counting them as eight items is overconfident.
    rng = np.random.default_rng(20261120)
    n, k, margin, passed = 100, 8, 0.05, 0
    for _ in range(ROUNDS // 4):
        d = rng.choice([1, -1, 0], n, p=[0.075, 0.125, 0.8])
        b, c = k * np.count_nonzero(d > 0), k * np.count_nonzero(d < 0)
        passed += bool(tango_z(b, c, n * k, -margin) >= CRITICAL)
    assert passed / (ROUNDS // 4) > 0.15
