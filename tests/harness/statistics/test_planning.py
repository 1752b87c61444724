"""What items can show, before anything runs."""

import math

import numpy as np
import pytest

from waterbed.harness.errors import UsageError
from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.operating import fail_probability, pass_probability
from waterbed.harness.statistics.paired import pair_scores
from waterbed.harness.statistics.planning import (
    at_floor,
    detectable_loss,
    items_needed,
    paired_sd,
    plan_domain,
    planned_discordance,
    pooled_detectable_loss,
)


@pytest.mark.parametrize(
    ("margin", "expected"),
    [(0.03, (344, 687, 1374)), (0.02, (773, 1546, 3092)), (0.01, (3092, 6183, 12366))],
)
def test_items_needed_are_the_published_ones(margin: float, expected: tuple[int, ...]) -> None:
    assert tuple(items_needed(d, margin) for d in (0.05, 0.10, 0.20)) == expected


def test_items_needed_bring_the_promised_power_within_five_points() -> None:
    # The formula takes the spread of the harmless candidate; Tango's is that under a loss of the
    # margin, which is larger where few items change (.756 at a discordance of 5%).
    for discordance, margin in [(0.05, 0.03), (0.10, 0.03), (0.20, 0.05)]:
        n = items_needed(discordance, margin)
        assert pass_probability(n, discordance, margin) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("samples", "published"), [((1, 1), 0.55), ((8, 1), 0.42), ((8, 4), 0.25), ((16, 16), 0.15)]
)
def test_the_spread_at_several_samples_is_near_the_simulated_one(
    samples: tuple[int, int], published: float
) -> None:
    assert paired_sd(*samples) == pytest.approx(published, abs=0.01)


def test_a_detectable_loss_has_the_power_and_the_next_smaller_has_not() -> None:
    for margin in (None, 0.05):
        loss = detectable_loss(164, 0.1, 0.05 / 8, margin)
        assert loss is not None
        assert fail_probability(164, 0.1, -loss, 0.05 / 8, margin) >= 0.8
        assert fail_probability(164, 0.1, -(loss - 0.0025), 0.05 / 8, margin) < 0.8


def test_the_whole_rule_sees_no_loss_that_the_estimate_would_not_reach() -> None:
    alone, whole = detectable_loss(1319, 0.05), detectable_loss(1319, 0.05, margin=0.03)
    assert alone is not None
    assert whole is not None
    assert alone < 0.03 < whole


def test_a_handful_of_items_sees_nothing() -> None:
    assert detectable_loss(3, 0.1) is None
    assert plan_domain(3, 0.05, 0.1).sees_twice_margin is False


def test_a_discordance_below_the_margin_is_raised_to_it() -> None:
    assert plan_domain(541, 0.1, 0.02).discordance == pytest.approx(0.1)


def test_a_domain_is_gating_when_a_harmless_candidate_passes_half_of_the_time() -> None:
    assert not plan_domain(164, 0.03, 0.1).gating
    assert plan_domain(541, 0.03, 0.1).gating


def test_more_samples_are_offered_only_where_they_help() -> None:
    assert plan_domain(164, 0.05, 0.05).sampled_family is None
    helped = plan_domain(164, 0.05, 0.25, family=8)
    assert helped.sampled_family is not None
    assert helped.detectable_family is not None
    assert helped.sampled_family < helped.detectable_family


def test_more_claims_never_let_more_be_seen() -> None:
    losses = [plan_domain(164, 0.05, 0.1, family=j).detectable_family for j in (1, 2, 8, 20)]
    assert all(x is not None for x in losses)
    assert losses == sorted(losses, key=lambda x: x or 0)


def test_the_plan_of_a_graded_domain_agrees_with_simulation() -> None:
    n, sd, margin, rounds = 160, 0.35, 0.05, 600
    plan = plan_domain(n, margin, sd=sd)
    rng = np.random.default_rng(20261120)
    passed = failed = 0
    for _ in range(rounds):
        d = rng.choice([-0.5, 0.0, 0.5], n, p=[0.245, 0.51, 0.245])
        passed += decide(pair_scores(0.5 - d / 2, 0.5 + d / 2), margin).verdict == "pass"
        lower = d - (rng.random(n) < 2 * (plan.detectable or 0)) * 0.5
        lower = np.clip(lower, -1, 1)
        failed += decide(pair_scores(0.5 - lower / 2, 0.5 + lower / 2), margin).verdict == "fail"
    assert math.sqrt(0.49 * 0.25) == pytest.approx(sd, abs=1e-3)
    assert passed / rounds == pytest.approx(plan.p_pass, abs=0.07)
    assert failed / rounds == pytest.approx(0.8, abs=0.1)


def test_the_planned_discordance_of_an_unknown_stage_is_that_of_training() -> None:
    assert planned_discordance("quantization") == 0.06
    assert planned_discordance("anything") == planned_discordance(None) == 0.125
    assert planned_discordance("quantization", sampled=True) == 0.25


def test_a_baseline_at_guessing_level_is_at_its_floor() -> None:
    assert at_floor(0.26, 1000, 0.25, 0.05)
    assert not at_floor(0.60, 1000, 0.25, 0.02)
    assert at_floor(0.0, 200, 0.0, 0.03)
    assert not at_floor(0.0, 50, 0.0, 0.03)


def test_the_pool_sees_smaller_losses_than_its_domains_and_none_below_its_limit() -> None:
    ses = [0.0247, 0.0136, 0.0087, 0.01]
    pooled = pooled_detectable_loss(ses, 0.05)
    assert 0.01 < pooled < 0.0087 * 2.4865
    assert pooled_detectable_loss([1e-6], 0.05) == pytest.approx(0.01, abs=1e-5)
    with pytest.raises(ValueError, match="at least one"):
        pooled_detectable_loss([])


@pytest.mark.parametrize(
    ("discordance", "sd"), [(None, None), (0.1, 0.3), (0.0, None), (None, 1.5), (math.nan, None)]
)
def test_a_plan_without_one_usable_spread_is_refused(
    discordance: float | None, sd: float | None
) -> None:
    with pytest.raises(ValueError, match="discordance"):
        plan_domain(100, 0.05, discordance, sd=sd)


def test_a_margin_in_points_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"got 3; write 3 points as 0\.03"):
        plan_domain(100, 3, 0.1)
