"""Exact operating characteristics, against a plain enumeration and the published table."""

import numpy as np
import pytest

from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.mcnemar import midp_loss
from waterbed.harness.statistics.normal import critical_value
from waterbed.harness.statistics.operating import fail_probability, pass_probability
from waterbed.harness.statistics.paired import pair_counts
from waterbed.harness.statistics.planning import detectable_loss, passable_margin
from waterbed.harness.statistics.tango import exact_noninferiority_p, tango_z

CRITICAL = critical_value(0.05)


def outcomes(n: int, discordance: float, delta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every (b, c) with its probability, cell by cell."""
    from scipy.special import gammaln, xlogy

    b, c = (x.ravel() for x in np.indices((n + 1, n + 1)))
    possible = b + c <= n
    b, c = b[possible].astype(float), c[possible].astype(float)
    log_p = gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(n - b - c + 1)
    log_p += xlogy(b, (discordance + delta) / 2) + xlogy(c, (discordance - delta) / 2)
    return b, c, np.exp(log_p + xlogy(n - b - c, 1 - discordance))


@pytest.mark.parametrize("n", [30, 77, 150])
@pytest.mark.parametrize(("discordance", "margin"), [(0.05, 0.03), (0.2, 0.05), (0.1, 0.1)])
def test_the_cutoffs_give_what_a_plain_enumeration_gives(
    n: int, discordance: float, margin: float
) -> None:
    for delta in (0.0, -margin):
        b, c, p = outcomes(n, discordance, delta)
        passed = p[tango_z(b, c, n, -margin) >= CRITICAL].sum()
        assert pass_probability(n, discordance, margin, delta) == pytest.approx(passed, abs=1e-9)
        lost = p[midp_loss(b, c) <= 0.05].sum()
        assert fail_probability(n, discordance, delta) == pytest.approx(lost, abs=1e-9)


def test_the_probability_of_fail_is_that_of_the_decision_itself() -> None:
    n, discordance, delta, margin = 60, 0.2, -0.1, 0.1
    b, c, p = outcomes(n, discordance, delta)
    likely = p > 1e-7
    total = sum(
        chance
        for wins, losses, chance in zip(b[likely], c[likely], p[likely], strict=True)
        if decide(pair_counts(int(wins), int(losses), n), margin).verdict == "fail"
    )
    assert fail_probability(n, discordance, delta, margin=margin) == pytest.approx(total, abs=1e-4)


A5 = [
    (30, 0.05, 17.8, 28.8, 13.8, (0.02, 0.09, 0.09, 0.53)),
    (30, 0.10, 17.8, 28.8, 17.5, (0.05, 0.12, 0.12, 0.39)),
    (30, 0.20, 19.0, 28.8, 21.8, (0.07, 0.11, 0.12, 0.29)),
    (30, 0.30, 23.8, 29.5, 25.8, (0.07, 0.09, 0.12, 0.25)),
    (164, 0.05, 4.2, 5.5, 5.0, (0.27, 0.48, 0.81, 1.0)),
    (164, 0.10, 6.0, 7.8, 6.5, (0.20, 0.33, 0.60, 0.98)),
    (164, 0.20, 8.5, 11.2, 9.0, (0.14, 0.22, 0.41, 0.88)),
    (164, 0.30, 10.5, 14.0, 10.8, (0.12, 0.17, 0.32, 0.75)),
    (541, 0.05, 2.5, 3.2, 2.5, (0.64, 0.91, 1.0, 1.0)),
    (541, 0.10, 3.5, 4.5, 3.5, (0.42, 0.70, 0.97, 1.0)),
    (541, 0.20, 5.0, 6.5, 5.0, (0.27, 0.46, 0.83, 1.0)),
    (541, 0.30, 6.0, 7.8, 6.0, (0.21, 0.36, 0.68, 1.0)),
    (1319, 0.05, 1.7, 2.0, 1.7, (0.94, 1.0, 1.0, 1.0)),
    (1319, 0.10, 2.2, 3.0, 2.2, (0.74, 0.96, 1.0, 1.0)),
    (1319, 0.20, 3.2, 4.2, 3.2, (0.49, 0.78, 0.99, 1.0)),
    (1319, 0.30, 3.8, 5.0, 4.0, (0.37, 0.63, 0.95, 1.0)),
]


@pytest.mark.parametrize(("n", "discordance", "one", "first", "margin", "powers"), A5)
def test_the_table_of_what_n_items_can_do_is_reproduced(
    n: int, discordance: float, one: float, first: float, margin: float, powers: tuple[float, ...]
) -> None:
    # The table is in points with one decimal, on a grid of a quarter point.
    found = (
        detectable_loss(n, discordance),
        detectable_loss(n, discordance, 0.05 / 7),
        passable_margin(n, discordance),
    )
    for seen, published in zip(found, (one, first, margin), strict=True):
        assert seen is not None
        assert 100 * seen == pytest.approx(published, abs=0.0501)
    for m, power in zip((0.02, 0.03, 0.05, 0.1), powers, strict=True):
        assert pass_probability(n, discordance, m) == pytest.approx(power, abs=0.00501)


@pytest.mark.parametrize("n", [30, 40, 50, 75, 100, 150, 200])
def test_the_sizes_of_pass_and_of_the_loss_test_stay_at_their_level(n: int) -> None:
    for discordance in (0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.8):
        assert fail_probability(n, discordance, 0.0) <= 0.0505
        for margin in (0.02, 0.03, 0.05, 0.1):
            if margin <= discordance:
                assert pass_probability(n, discordance, margin, -margin) <= 0.061


@pytest.mark.parametrize("margin", [0.05, 0.1])
def test_the_exact_test_never_exceeds_its_level(margin: float) -> None:
    n = 40
    passing = {}
    for b in range(n + 1):
        for c in range(n + 1 - b):
            if tango_z(b, c, n, -margin) >= 1.2:  # far below any passing value
                passing[b, c] = exact_noninferiority_p(b, c, n, margin) <= 0.05
    for discordance in (margin, 0.13, 0.2, 0.4):
        b, c, p = outcomes(n, discordance, -margin)
        passed = [passing.get((int(x), int(y)), False) for x, y in zip(b, c, strict=True)]
        assert p[np.array(passed)].sum() <= 0.0501


def test_a_normal_test_with_the_observed_variance_would_break_that_limit() -> None:
    # The negative control of the size test: Wald's statistic in place of Tango's.
    worst = 0.0
    for n in (30, 75, 150):
        for discordance, margin in [(0.05, 0.05), (0.1, 0.1), (0.1, 0.05)]:
            b, c, p = outcomes(n, discordance, -margin)
            delta = (b - c) / n
            se = np.sqrt(np.maximum((b + c) / n - delta**2, 0) / n)
            wald = np.where(se > 0, (delta + margin) / np.where(se > 0, se, 1), np.inf)
            worst = max(worst, float(p[wald >= CRITICAL].sum()))
    assert worst > 0.2


@pytest.mark.parametrize(
    ("n", "discordance", "delta"), [(0, 0.1, 0.0), (10, 0.1, -0.2), (10, 1.1, 0.0)]
)
def test_an_impossible_truth_is_refused(n: int, discordance: float, delta: float) -> None:
    with pytest.raises(ValueError, match=f"discordance={discordance}"):
        pass_probability(n, discordance, 0.05, delta)


def test_without_any_change_only_enough_items_pass() -> None:
    assert pass_probability(50, 0.0, 0.03) == 0.0
    assert pass_probability(200, 0.0, 0.03) == 1.0
    assert fail_probability(200, 0.0, 0.0) == 0.0
