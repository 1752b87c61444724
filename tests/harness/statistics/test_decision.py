"""One domain's verdict."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.errors import UsageError
from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.mcnemar import midp_loss, midp_two_sided
from waterbed.harness.statistics.normal import critical_value
from waterbed.harness.statistics.paired import pair_counts, pair_scores


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(30, 1500))
    b = draw(st.integers(0, n // 3))
    return b, draw(st.integers(0, n // 3)), n


@settings(deadline=None, max_examples=60)
@given(tables(), st.sampled_from([0.01, 0.03, 0.05]))
def test_every_number_of_a_decision_is_finite(table: tuple[int, int, int], margin: float) -> None:
    for name, value in dataclasses.asdict(decide(pair_counts(*table), margin)).items():
        if isinstance(value, float):
            assert math.isfinite(value), name
            assert value != 0 or math.copysign(1, value) == 1, name


@settings(deadline=None, max_examples=60)
@given(tables(), st.floats(0.005, 0.2))
def test_pass_is_the_interval_above_minus_the_margin(
    table: tuple[int, int, int], margin: float
) -> None:
    decision = decide(pair_counts(*table), margin)
    if abs(decision.low + margin) > 1e-9:
        assert (decision.verdict == "pass") == (decision.low > -margin)


@settings(deadline=None, max_examples=60)
@given(tables(), st.floats(0.005, 0.1), st.floats(0.001, 0.1))
def test_a_wider_margin_never_turns_a_pass_into_anything_else(
    table: tuple[int, int, int], margin: float, wider: float
) -> None:
    narrow, wide = (decide(pair_counts(*table), m) for m in (margin, margin + wider))
    if narrow.verdict == "pass":
        assert wide.verdict == "pass"
    if wide.verdict == "fail":
        assert narrow.verdict == "fail"


@settings(deadline=None, max_examples=60)
@given(tables())
def test_the_models_exchanged_have_gain_and_loss_exchanged(table: tuple[int, int, int]) -> None:
    b, c, n = table
    forward, backward = decide(pair_counts(b, c, n), 0.03), decide(pair_counts(c, b, n), 0.03)
    assert forward.p_loss == backward.p_gain
    assert forward.z_loss == backward.z_gain
    assert forward.low == 0.0 - backward.high


def test_a_fail_agrees_with_the_printed_p() -> None:
    critical = critical_value(0.05)
    disagreements = 0
    for c in range(3, 60, 3):
        for b in range(max(0, c - 25), c):
            z_says = (c - b) / math.sqrt(b + c) >= critical
            p_says = float(midp_loss(b, c)) <= 0.05
            disagreements += z_says != p_says
            failed = decide(pair_counts(b, c, 200), 0.001).verdict == "fail"
            assert failed == (z_says and p_says)
    assert disagreements > 0  # otherwise this test shows nothing


def test_a_loss_below_the_margin_is_no_fail_however_sure() -> None:
    decision = decide(pair_counts(20, 45, 1319), 0.03)
    assert decision.verdict == "pass"
    assert decision.flags == ("small_real_loss",)


def test_a_loss_of_exactly_the_margin_may_fail_despite_rounding() -> None:
    # .3 - .6 over ten thirds: delta is -.03 only up to the last bits.
    decision = decide(pair_counts(0, 9, 300), 0.1 * 0.3)
    assert decision.delta <= -0.03 + 1e-12
    assert decision.verdict == "fail"


def test_a_collapse_fails() -> None:
    decision = decide(pair_counts(0, 164, 164, 164), 0.05)
    assert (decision.verdict, decision.flags) == ("fail", ("material",))
    assert (decision.baseline, decision.candidate) == (1.0, 0.0)


def test_fewer_than_thirty_items_have_no_verdict() -> None:
    decision = decide(pair_counts(0, 29, 29), 0.05)
    assert decision.too_few
    assert (decision.verdict, decision.flags) == ("inconclusive", ())


@pytest.mark.parametrize(("n", "small"), [(29, False), (30, True), (99, True), (100, False)])
def test_thirty_to_ninety_nine_items_are_a_small_set(n: int, small: bool) -> None:
    assert decide(pair_counts(1, 1, n), 0.05).small is small


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.03, 3.0, math.nan])
def test_a_margin_out_of_range_is_a_usage_error_with_the_value(margin: float) -> None:
    with pytest.raises(UsageError, match=f"got {margin}"):
        decide(pair_counts(1, 1, 100), margin)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, -0.1, math.nan])
def test_a_level_out_of_range_is_a_usage_error_with_the_value(alpha: float) -> None:
    with pytest.raises(UsageError, match=f"got {alpha}"):
        decide(pair_counts(1, 1, 100), 0.05, alpha)
    with pytest.raises(ValueError, match=f"got {alpha}"):
        decide(pair_counts(1, 1, 100), 0.05, 0.05, alpha)


def test_two_sided_midp_has_its_own_rule_at_equal_counts() -> None:
    assert midp_two_sided(0, 0) == 1.0
    assert midp_two_sided(1, 1) == pytest.approx(1 - 0.5 / 2)
    assert midp_two_sided(2, 1) == midp_two_sided(1, 2) == pytest.approx(2 * 0.5 - 0.375)


def test_the_exact_option_never_passes_more_easily_at_these_counts() -> None:
    for b, c in [(0, 0), (3, 3), (5, 8), (2, 9)]:
        usual, exact = (decide(pair_counts(b, c, 100), 0.1, exact=e) for e in (False, True))
        assert exact.method == "exact"
        assert exact.p_pass >= usual.p_pass - 0.02
        assert exact.z_loss == usual.z_loss


def test_the_exact_option_is_for_right_and_wrong_only() -> None:
    scores = np.linspace(0, 1, 60)
    with pytest.raises(ValueError, match="graded"):
        decide(pair_scores(scores, scores[::-1].copy()), 0.05, exact=True)
