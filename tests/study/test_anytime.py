"""The betting mode and the nightly alarm at full size, against the published figures.

The table was made with a check every ten items (b.2 of the specification); the limits of the error
rates are checked at every item.
"""

import math

import numpy as np
import pytest

from waterbed.harness.statistics.eprocess import decide_anytime, log_wealth
from waterbed.harness.statistics.evalues import ALARM, e_cusum, night_payoff

pytestmark = pytest.mark.study

ROUNDS = 6000
LINE = math.log(20)
TABLE = [
    # N, D, margin, delta, then published PASS, FAIL, use
    (1319, 0.10, 0.03, 0.00, 0.856, 0.019, 0.49),
    (1319, 0.10, 0.03, -0.01, 0.507, 0.069, 0.68),
    (1319, 0.10, 0.03, -0.02, 0.179, 0.238, 0.76),
    (1319, 0.10, 0.03, -0.03, 0.039, 0.608, 0.63),
    (1319, 0.10, 0.03, -0.05, 0.001, 0.992, 0.25),
    (1319, 0.10, 0.03, -0.10, 0.000, 1.000, 0.08),
    (541, 0.10, 0.03, 0.00, 0.469, 0.028, 0.80),
    (541, 0.10, 0.03, -0.05, 0.001, 0.910, 0.48),
    (541, 0.20, 0.05, -0.05, 0.029, 0.511, 0.71),
    (164, 0.10, 0.05, 0.00, 0.355, 0.021, 0.87),
    (164, 0.10, 0.05, -0.05, 0.021, 0.414, 0.84),
]


def changes(rng: np.random.Generator, shape: tuple[int, int], d: float, delta: float) -> np.ndarray:
    return rng.choice([1.0, -1.0, 0.0], shape, p=[(d + delta) / 2, (d - delta) / 2, 1 - d])


@pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join(map(str, row[:4])))
def test_a_row_of_the_table(row: tuple[float, ...]) -> None:
    n, discordance, margin, delta, p_pass, p_fail, use = row
    rng = np.random.default_rng(20261120)
    drawn = changes(rng, (ROUNDS, int(n)), max(discordance, abs(delta) + 0.02), delta)
    ends = [decide_anytime(d, margin, items=int(n), every=10) for d in drawn]
    passed = np.mean([end.outcome == "pass" for end in ends])
    failed = np.mean([end.outcome == "fail" for end in ends])
    used = np.mean([end.items for end in ends]) / n
    print(f"{row[:4]}: PASS {passed:.3f}, FAIL {failed:.3f}, use {used:.3f}")
    assert passed == pytest.approx(p_pass, abs=0.03)
    assert failed == pytest.approx(p_fail, abs=0.03)
    assert used == pytest.approx(use, abs=0.02)


def test_looking_at_every_item_keeps_the_error_rate() -> None:
    rng, crossed = np.random.default_rng(20261120), np.zeros(2)
    for _ in range(8):
        lost, still = changes(rng, (500, 5000), 0.1, -0.03), changes(rng, (500, 5000), 0.1, 0.0)
        crossed += (
            (log_wealth(lost, 0.03, "pass") >= LINE).any(axis=1).sum(),
            (log_wealth(still, 0.03, "fail") >= LINE).any(axis=1).sum(),
        )
    print(f"crossing rates {crossed / 4000}")
    assert np.all(crossed / 4000 <= 0.055)


def test_power_and_use_at_every_item() -> None:
    drawn = changes(np.random.default_rng(20261120), (ROUNDS, 1319), 0.1, 0.0)
    ends = [decide_anytime(d, 0.03, items=1319) for d in drawn]
    passed = np.mean([end.outcome == "pass" for end in ends])
    used = np.mean([end.items for end in ends]) / 1319
    print(f"every item: PASS {passed:.3f}, use {used:.3f}")
    assert passed >= 0.82
    assert used <= 0.53


@pytest.mark.parametrize(("delta", "horizon"), [(0.0, 2000), (-0.03, 400)])
def test_nightly_alarms(delta: float, horizon: int) -> None:
    rng, waits = np.random.default_rng(20261120), []
    for _ in range(200):
        over = e_cusum(night_payoff(changes(rng, (horizon, 60), 0.1, delta))) >= ALARM
        waits.append(int(over.argmax()) + 1 if over.any() else horizon)
    print(f"delta {delta}: mean nights to an alarm {np.mean(waits):.1f}")
    assert np.mean(waits) >= 200 if delta == 0 else np.mean(waits) <= 24
