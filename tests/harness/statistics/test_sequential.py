"""One domain over several looks: what is frozen, what is kept, and when it stops."""

import math

import numpy as np
import pytest

from waterbed.harness.errors import UsageError
from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.paired import Pairs, pair_counts, pair_scores, swapped, z_at
from waterbed.harness.statistics.sequential import (
    LookResult,
    SequentialPlan,
    default_looks,
    look,
    plan_looks,
)


def read(plan: SequentialPlan, pairs: list[Pairs]) -> list[LookResult]:
    """All looks until the domain stops."""
    results: list[LookResult] = []
    for prefix in pairs:
        results.append(look(plan, prefix, results[-1] if results else None))
        if results[-1].stop:
            break
    return results


def prefixes(plan: SequentialPlan, b: float, c: float) -> list[Pairs]:
    """Prefixes in which the same shares of items improve and worsen throughout."""
    return [pair_counts(round(b * n), round(c * n), n) for n in plan.looks]


def test_looks_are_tenths_from_thirty_items_on() -> None:
    assert default_looks(1319) == (132, 264, 396, 528, 660, 791, 923, 1055, 1187, 1319)
    assert default_looks(164) == (33, 49, 66, 82, 98, 115, 131, 148, 164)
    assert default_looks(164, graded=True)[0] == 66
    assert default_looks(105)[-2:] == (94, 105)


@pytest.mark.parametrize("n", [1, 30, 99])
def test_small_sets_are_looked_at_once(n: int) -> None:
    assert default_looks(n) == (n,)


def test_an_unchanged_candidate_passes_early_and_stops() -> None:
    plan = plan_looks(1319, 0.03)
    last = read(plan, prefixes(plan, 0.05, 0.05))[-1]
    assert (last.outcome, last.stop) == ("pass", True)
    assert last.n < 1319
    assert not last.can_fail


def test_a_large_loss_fails_early_and_stops() -> None:
    plan = plan_looks(1319, 0.03, family=8)
    results = read(plan, prefixes(plan, 0.02, 0.12))
    assert results[-1].outcome == "fail"
    assert results[-1].n <= 264
    assert results[-1].p_loss <= 0.05 / 8
    assert results[-1].flags == ("material",)
    assert results[-1].can_fail


def test_a_target_that_passed_reads_on_until_its_gain_is_shown() -> None:
    plan = plan_looks(1319, 0.03, target=True)
    flat = read(plan, prefixes(plan, 0.05, 0.05))
    assert {r.outcome for r in flat[-4:]} == {"pass"}
    assert flat[-1].n == 1319
    gained = read(plan, prefixes(plan, 0.08, 0.04))
    assert gained[-1].gain_at == gained[-1].look < 10
    assert gained[-1].p_gain <= 0.05
    assert gained[-1].flags == ("gain",)


def test_a_kept_pass_never_becomes_a_fail() -> None:
    # Half of the items without a change, then every change is a loss.
    plan = plan_looks(1000, 0.03, target=True)
    late = [pair_counts(0, max(0, n - 500) // 3, n) for n in plan.looks]
    results = read(plan, late)
    assert results[-1].passed_at is not None
    assert results[-1].delta < -0.1
    assert results[-1].p_loss < 1e-6
    assert results[-1].outcome == "pass"
    assert not results[-1].can_fail


def test_a_loss_inside_the_margin_does_not_fail_on_a_passing_low() -> None:
    # The estimate is at -m and significant, but the rest of the items may well bring it back.
    early = pair_counts(4, 20, 540)
    assert not look(plan_looks(1800, 0.0290, looks=[540, 1800]), early).loss_reaches
    assert look(plan_looks(1800, 0.0290, looks=[540, 1800], gamma=None), early).loss_reaches


def test_a_total_collapse_fails_at_the_first_look() -> None:
    plan = plan_looks(164, 0.05, family=8)
    result = look(plan, pair_counts(0, 33, 33))
    assert (result.outcome, result.stop) == ("fail", True)
    for x in (*result.repeated_interval, result.z_pass, result.z_loss, result.p_loss):
        assert math.isfinite(x)


def test_one_look_is_the_fixed_decision() -> None:
    plan = plan_looks(99, 0.05)
    for b, c in [(0, 0), (2, 12), (3, 11), (8, 1), (1, 6)]:
        pairs = pair_counts(b, c, 99)
        result, fixed = look(plan, pairs), decide(pairs, 0.05)
        assert result.outcome == fixed.verdict
        assert result.flags == fixed.flags
        assert (result.p_loss, result.p_gain) == (fixed.p_loss, fixed.p_gain)
        assert result.repeated_interval[0] == pytest.approx(fixed.low, abs=1e-6)


def test_fewer_than_thirty_items_give_no_verdict() -> None:
    result = look(plan_looks(29, 0.05), pair_counts(0, 29, 29))
    assert (result.outcome, result.stop, result.can_fail) == ("inconclusive", True, False)


def test_exchanging_the_models_exchanges_the_p_of_gain_and_loss() -> None:
    plan = plan_looks(541, 0.03, target=True)
    pairs = prefixes(plan, 0.04, 0.055)
    forward, backward = read(plan, pairs), read(plan, [swapped(p) for p in pairs])
    k = min(len(forward), len(backward)) - 1
    assert forward[k].p_loss == backward[k].p_gain
    assert forward[k].z_loss == -backward[k].z_loss


def test_the_same_answers_give_the_same_result() -> None:
    plan = plan_looks(541, 0.03)
    pairs = prefixes(plan, 0.05, 0.07)
    assert read(plan, pairs) == read(plan_looks(541, 0.03), pairs)


def test_the_ends_of_the_repeated_interval_lie_on_the_boundary() -> None:
    plan = plan_looks(541, 0.03)
    result = look(plan, pair_counts(2, 4, 54))
    pairs = pair_counts(2, 4, 54)
    low, high = result.repeated_interval
    assert z_at(pairs, low) == pytest.approx(result.bound_pass, abs=1e-6)
    assert z_at(pairs, high) == pytest.approx(-result.bound_pass, abs=1e-6)


def test_a_boundary_out_of_reach_excludes_nothing() -> None:
    plan = plan_looks(10_000, 0.03, spending="obf", looks=[50, 10_000])
    result = look(plan, pair_counts(0, 0, 50))
    assert result.repeated_interval == (-1.0, 1.0)


def test_graded_scores_are_looked_at_like_the_others() -> None:
    rng = np.random.default_rng(1)
    old = rng.integers(0, 5, 541) / 4
    new = np.clip(old + rng.choice([-0.25, 0, 0.25], 541, p=[0.1, 0.8, 0.1]), 0, 1)
    plan = plan_looks(541, 0.03, graded=True)
    last = read(plan, [pair_scores(old[:n], new[:n]) for n in plan.looks])[-1]
    assert last.outcome == "pass"
    assert last.n < 541


def test_more_items_than_planned_are_refused_and_the_few_that_were_lost_are_not() -> None:
    with pytest.raises(ValueError, match="look 1 is on 54 items, got 55"):
        look(plan_looks(541, 0.03), pair_counts(1, 1, 55))
    assert look(plan_looks(541, 0.03), pair_counts(1, 1, 53)).n == 53


def test_clusters_are_reckoned_by_their_items_in_every_number() -> None:
    # A tenth of the items touches 41 of 100 clusters; by clusters touched all would come too early.
    items = plan_looks(100, 0.05, looks=[60, 100], fractions=[0.2, 1.0])
    touched = plan_looks(100, 0.05, looks=[60, 100])
    assert items.bounds_fail[0] > touched.bounds_fail[0]
    pairs = pair_counts(0, 5, 60)
    assert look(items, pairs).p_loss > look(touched, pairs).p_loss
    assert look(touched, pairs).loss_reaches
    assert not look(items, pairs).loss_reaches


def test_there_is_no_look_after_the_last() -> None:
    plan = plan_looks(60, 0.05)
    result = look(plan, pair_counts(1, 1, 60))
    with pytest.raises(ValueError, match="stopped at look 1"):
        look(plan, pair_counts(1, 1, 60), result)


def test_bad_plans_are_refused() -> None:
    with pytest.raises(UsageError, match="margin"):
        plan_looks(541, 0.0)
    with pytest.raises(UsageError, match="level"):
        plan_looks(541, 0.03, alpha_fail=2.0)
    with pytest.raises(UsageError, match="gamma"):
        plan_looks(541, 0.03, gamma=1.0)
    with pytest.raises(ValueError, match="family"):
        plan_looks(541, 0.03, family=0)
    with pytest.raises(ValueError, match="541 items"):
        plan_looks(541, 0.03, looks=[100, 500])
    with pytest.raises(ValueError, match="as many fractions"):
        plan_looks(541, 0.03, looks=[100, 541], fractions=[0.5])
