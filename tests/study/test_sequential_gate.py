"""The table of the sequential gate: chance of each verdict and items used, at full size.

20,000 paths a row, one claim, level .05, gamma .9. Discordance is raised to the loss plus .02. The
published figures are those of the specification; a row must agree within simulation error.
"""

import math

import numpy as np
import pytest

from waterbed.harness.statistics.expected_looks import Expected, expected_looks
from waterbed.harness.statistics.operating import fail_probability, pass_probability
from waterbed.harness.statistics.sequential import plan_looks

pytestmark = pytest.mark.study

ROUNDS = 20_000
CASES = [
    (1319, 0.10, 0.03),
    (1319, 0.20, 0.03),
    (541, 0.10, 0.03),
    (541, 0.20, 0.05),
    (164, 0.10, 0.05),
]
TABLE = [
    # N, D, margin, delta, then published: fixed PASS, FAIL; sequential PASS, FAIL; use
    (1319, 0.10, 0.03, 0.00, 0.963, 0.000, 0.950, 0.003, 0.57),
    (1319, 0.10, 0.03, -0.01, 0.732, 0.012, 0.696, 0.027, 0.75),
    (1319, 0.10, 0.03, -0.02, 0.311, 0.127, 0.288, 0.173, 0.86),
    (1319, 0.10, 0.03, -0.03, 0.047, 0.499, 0.047, 0.553, 0.77),
    (1319, 0.10, 0.03, -0.05, 0.000, 0.990, 0.000, 0.992, 0.37),
    (1319, 0.10, 0.03, -0.10, 0.000, 1.000, 0.000, 1.000, 0.15),
    (1319, 0.20, 0.03, 0.00, 0.785, 0.008, 0.757, 0.017, 0.72),
    (1319, 0.20, 0.03, -0.01, 0.489, 0.053, 0.459, 0.079, 0.83),
    (1319, 0.20, 0.03, -0.02, 0.201, 0.213, 0.190, 0.258, 0.86),
    (1319, 0.20, 0.03, -0.05, 0.000, 0.953, 0.001, 0.959, 0.51),
    (1319, 0.20, 0.03, -0.10, 0.000, 1.000, 0.000, 1.000, 0.20),
    (541, 0.10, 0.03, 0.00, 0.702, 0.013, 0.662, 0.023, 0.78),
    (541, 0.10, 0.03, -0.01, 0.428, 0.064, 0.399, 0.089, 0.86),
    (541, 0.10, 0.03, -0.02, 0.178, 0.218, 0.165, 0.258, 0.88),
    (541, 0.10, 0.03, -0.05, 0.001, 0.928, 0.002, 0.937, 0.56),
    (541, 0.10, 0.03, -0.10, 0.000, 1.000, 0.000, 1.000, 0.25),
    (541, 0.20, 0.05, 0.00, 0.826, 0.005, 0.798, 0.012, 0.70),
    (541, 0.20, 0.05, -0.05, 0.047, 0.484, 0.048, 0.532, 0.79),
    (541, 0.20, 0.05, -0.10, 0.000, 0.996, 0.000, 0.997, 0.37),
    (164, 0.10, 0.05, 0.00, 0.608, 0.018, 0.566, 0.026, 0.84),
    (164, 0.10, 0.05, -0.01, 0.445, 0.044, 0.406, 0.057, 0.89),
    (164, 0.10, 0.05, -0.02, 0.302, 0.099, 0.274, 0.118, 0.91),
    (164, 0.10, 0.05, -0.05, 0.043, 0.460, 0.040, 0.491, 0.85),
    (164, 0.10, 0.05, -0.10, 0.000, 0.971, 0.000, 0.973, 0.54),
]


def raised(discordance: float, delta: float) -> float:
    return max(discordance, abs(delta) + 0.02)


def simulated(n: int, discordance: float, margin: float, delta: float) -> Expected:
    return expected_looks(plan_looks(n, margin), raised(discordance, delta), delta, rounds=ROUNDS)


def error(p: float) -> float:
    """Four standard errors of the difference of two simulated shares, and half a printed digit."""
    return 4 * math.sqrt(2 * max(p * (1 - p), 1e-4) / ROUNDS) + 5e-4


@pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join(map(str, row[:4])))
def test_a_row_of_the_table(row: tuple[float, ...]) -> None:
    n, discordance, margin, delta, *published = row
    found = simulated(int(n), discordance, margin, delta)
    spread = raised(discordance, delta)
    fixed = (
        pass_probability(int(n), spread, margin, delta),
        fail_probability(int(n), spread, delta, margin=margin),
    )
    print(
        f"{n} {discordance} {margin} {delta}: fixed {fixed[0]:.3f}/{fixed[1]:.3f}, "
        f"sequential {found.p_pass:.3f}/{found.p_fail:.3f}/{found.p_inconclusive:.3f}, "
        f"use {found.use:.3f} ({found.items:.0f})"
    )
    seen = (*fixed, found.p_pass, found.p_fail)
    for value, expected in zip(seen, published, strict=False):
        assert value == pytest.approx(expected, abs=error(expected))
    assert found.use == pytest.approx(published[4], abs=0.015)


@pytest.mark.parametrize(("n", "discordance", "margin"), CASES)
def test_size_and_false_alarms(n: int, discordance: float, margin: float) -> None:
    assert simulated(n, discordance, margin, -margin).p_pass <= 0.055
    assert simulated(n, discordance, margin, 0.0).p_fail <= 0.05


@pytest.mark.parametrize(
    ("case", "least"), list(zip(CASES, [0.93, 0.74, 0.64, 0.78, 0.54], strict=True))
)
def test_power_to_pass(case: tuple[int, float, float], least: float) -> None:
    n, discordance, margin = case
    p_pass = simulated(n, discordance, margin, 0.0).p_pass
    assert p_pass >= least
    assert p_pass >= pass_probability(n, discordance, margin) - 0.06


@pytest.mark.parametrize(
    ("spending", "p_pass", "use", "use_at_ten"),
    [
        ("obf", 0.952, 0.62, 0.22),
        ("power:3", 0.952, 0.61, 0.18),
        ("power:2", 0.947, 0.56, 0.15),
        ("pocock", 0.911, 0.49, 0.11),
    ],
)
def test_the_choice_of_spending(
    spending: str, p_pass: float, use: float, use_at_ten: float
) -> None:
    plan = plan_looks(1319, 0.03, spending=spending, gamma=None)
    still = expected_looks(plan, 0.1, 0.0, rounds=ROUNDS)
    lost = expected_looks(plan, 0.12, -0.1, rounds=ROUNDS)
    print(f"{spending}: PASS {still.p_pass:.3f}, use {still.use:.3f} / {lost.use:.3f}")
    assert still.p_pass == pytest.approx(p_pass, abs=0.01)
    assert still.use == pytest.approx(use, abs=0.015)
    assert lost.use == pytest.approx(use_at_ten, abs=0.015)


def test_the_rounds_are_seeded() -> None:
    assert simulated(164, 0.1, 0.05, 0.0) == simulated(164, 0.1, 0.05, 0.0)
    assert np.isfinite(simulated(164, 0.1, 0.05, 0.0).items)
