"""Pass/fail and graded scores: which test carries them, and what no order of items may change."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.mcnemar import exact_loss, midp_loss, sign_flip_loss
from waterbed.harness.statistics.normal import critical_value
from waterbed.harness.statistics.paired import (
    gain_p,
    interval,
    loss_p,
    pair_counts,
    pair_scores,
    swapped,
    t_statistic,
    uses_t,
    z_at,
    z_noninferior,
)

quarters = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
graded_scores = st.lists(st.tuples(quarters, quarters), min_size=30, max_size=80)
right_or_wrong = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=80)


def columns(scores: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in scores], [y for _, y in scores]


@settings(deadline=None)
@given(graded_scores | right_or_wrong, st.randoms())
def test_the_order_of_the_items_changes_no_digit(
    scores: list[tuple[float, float]], chance: random.Random
) -> None:
    shuffled = scores.copy()
    chance.shuffle(shuffled)
    assert pair_scores(*columns(scores)) == pair_scores(*columns(shuffled))


@settings(deadline=None)
@given(graded_scores | right_or_wrong)
def test_exchanging_the_models_exchanges_the_p_of_gain_and_loss(
    scores: list[tuple[float, float]],
) -> None:
    old, new = columns(scores)
    forward, backward = pair_scores(old, new), pair_scores(new, old)
    assert swapped(forward) == backward
    assert gain_p(forward) == loss_p(backward)
    assert z_at(forward, 0.0) == -z_at(backward, 0.0)


@settings(deadline=None)
@given(right_or_wrong)
def test_scores_of_zero_and_one_are_their_counts(scores: list[tuple[int, int]]) -> None:
    old, new = columns([(float(x), float(y)) for x, y in scores])
    from_scores = pair_scores(old, new)
    right = round(sum(old))
    from_counts = pair_counts(from_scores.b, from_scores.c, from_scores.n, right)
    assert from_scores.binary
    for name in ("total", "squares", "baseline", "candidate", "delta"):
        assert getattr(from_scores, name) == getattr(from_counts, name), name
    assert from_scores.sd == pytest.approx(from_counts.sd, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=14))
def test_the_sign_flip_test_of_whole_differences_is_the_exact_mcnemar_test(d: list[int]) -> None:
    expected = exact_loss(d.count(1), d.count(-1))
    assert sign_flip_loss(d) == pytest.approx(expected, abs=1e-12)


def test_few_graded_changes_are_tested_by_tangos_test() -> None:
    new = np.full(100, 0.5)
    new[:4] = 0.25
    pairs = pair_scores(np.full(100, 0.5), new)
    assert not uses_t(pairs)
    assert decide(pairs, 0.05).method == "tango_graded"


def test_equal_graded_changes_have_no_spread_and_still_a_finite_answer() -> None:
    pairs = pair_scores(np.full(50, 0.75), np.full(50, 0.5))
    assert not uses_t(pairs)
    decision = decide(pairs, 0.05)
    assert decision.verdict == "fail"
    assert math.isfinite(decision.z_pass)
    assert math.isfinite(decision.low)
    with pytest.raises(ValueError, match="50 equal ones"):
        t_statistic(pairs)


def test_a_huge_t_stays_finite() -> None:
    new = np.full(2000, 0.5)
    new[0] = 0.499
    new[1:6] = 0.501
    pairs = pair_scores(np.full(2000, 0.5), new)
    assert uses_t(pairs)
    assert z_at(pairs, -0.5) == 38.0


def test_a_graded_pass_needs_the_t_test_and_tangos() -> None:
    # Items that drop fully and rarely: five full drops and small noise on the rest.
    d = np.concatenate([np.full(5, -1.0), np.tile([0.25, -0.25], 45), np.zeros(105)])
    old = np.where(d < 0, 1.0, 0.0)
    pairs = pair_scores(old, old + d)
    assert uses_t(pairs)
    assert z_noninferior(pairs, 0.06) < z_at(pairs, -0.06)


def test_the_lower_end_of_a_graded_interval_agrees_with_its_pass() -> None:
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(60):
        old = rng.integers(0, 5, 120) / 4
        new = np.clip(old + rng.choice([-1, -0.25, 0, 0.25], 120, p=[0.05, 0.1, 0.65, 0.2]), 0, 1)
        pairs = pair_scores(old, new)
        passed = z_noninferior(pairs, 0.05) >= critical_value(0.05)
        assert passed == (interval(pairs, 0.9)[0] > -0.05)
        seen.add(passed)
    assert seen == {True, False}


def test_the_size_of_a_graded_pass_holds_where_the_t_test_alone_fails() -> None:
    # A loss of exactly the margin, made of rare full drops beside changes of a quarter.
    rng = np.random.default_rng(20261120)
    n, margin, rounds = 164, 0.05, 1500
    both = alone = 0
    critical = critical_value(0.05)
    for _ in range(rounds):
        d = rng.choice([-1.0, -0.25, 0.0, 0.25], n, p=[margin, 0.01, 0.93 - margin + 0.05, 0.01])
        old = np.where(d < 0, 1.0, 0.0)
        pairs = pair_scores(old, old + d)
        both += z_noninferior(pairs, margin) >= critical
        alone += z_at(pairs, -margin) >= critical
    assert both / rounds <= 0.06
    assert alone / rounds > 0.06


def test_a_flip_that_nothing_explains_is_p_one() -> None:
    assert float(midp_loss(0, 0)) == 1.0
    assert loss_p(pair_scores([0.5, 0.5], [0.5, 0.5])) == 1.0


@pytest.mark.parametrize("bad", [math.nan, 1.5, -0.1, math.inf])
def test_a_score_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="scores must lie in"):
        pair_scores([0.0, 1.0], [bad, 1.0])


def test_unequal_lists_and_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        pair_scores([0.0, 1.0], [1.0])
    with pytest.raises(ValueError, match="length >= 1"):
        pair_scores([], [])


@pytest.mark.parametrize(
    ("b", "c", "n", "right"), [(-1, 0, 5, None), (3, 3, 5, None), (1, 2, 5, 1)]
)
def test_impossible_counts_are_refused(b: int, c: int, n: int, right: int | None) -> None:
    with pytest.raises(ValueError, match="b="):
        pair_counts(b, c, n, right)


def test_the_smoothed_error_of_a_collapse_is_zero_and_not_nan() -> None:
    assert pair_counts(0, 164, 164).se == 0.0
    assert pair_counts(0, 0, 164).se > 0.0
