"""Predicting the full run of a fixed list at full size, against the published shares of items."""

import numpy as np
import pytest

from waterbed.harness.statistics.benchmark import decisions

pytestmark = pytest.mark.study

ROUNDS = 1500


def ends(n: int, discordance: float, total: int, margin: float) -> tuple[float, float]:
    """Share of PASS and share of items used over random orders of one list that sums to `total`."""
    changed = round(max(discordance, abs(total) / n + 0.02) * n)
    changed += (changed + total) % 2
    gains = (changed + total) // 2
    fixed = np.repeat([1.0, -1.0, 0.0], [gains, changed - gains, n - changed])
    rng = np.random.default_rng(20261120)
    d = rng.permuted(np.tile(fixed, (ROUNDS, 1)), axis=1)
    passed, failed = decisions(d, n, margin, 0.05, 0.05)
    at = (passed | failed).argmax(axis=1)
    return float(passed[np.arange(ROUNDS), at].mean()), float((at + 1).mean() / n)


@pytest.mark.parametrize(
    ("n", "published"),
    [
        (1319, (0.33, 0.51, 0.79, 0.94, 0.46, 0.11)),
        (541, (0.52, 0.71, 0.85, 0.96, 0.67, 0.23)),
    ],
)
def test_use_and_agreement_with_the_full_run(n: int, published: tuple[float, ...]) -> None:
    for points, use in zip((0, -1, -2, -3, -5, -10), published, strict=True):
        total = round(points * n / 100)
        passed, used = ends(n, 0.1, total, 0.03)
        wrong = passed if total <= -0.03 * n else 1 - passed
        print(f"N={n} delta {points}: wrong {wrong:.3f}, use {used:.3f} (published {use})")
        assert wrong <= 0.065
        # A list of whole items comes only within half an item of a point, which matters near -m.
        assert used == pytest.approx(use, abs=0.07)


@pytest.mark.parametrize("total", [-30, -29])
def test_lists_at_the_margin_and_one_item_above(total: int) -> None:
    passed, used = ends(1000, 0.1, total, 0.03)
    wrong = passed if total == -30 else 1 - passed
    print(f"N=1000, sum {total}: wrong {wrong:.3f}, use {used:.3f}")
    assert wrong <= 0.065


def test_use_without_a_change() -> None:
    passed, used = ends(1319, 0.1, 0, 0.03)
    assert 1 - passed <= 0.065
    assert used <= 0.40
