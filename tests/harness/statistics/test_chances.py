"""The chances of each verdict agree with the plan they belong to."""

from __future__ import annotations

import pytest

from waterbed.harness.statistics.chances import verdict_chances
from waterbed.harness.statistics.planning import DomainPlan, plan_domain

GSM8K = plan_domain(1319, 0.03, 0.10, family=8)
JUDGED = plan_domain(160, 0.05, sd=0.35, family=8)
BOTH = pytest.mark.parametrize("plan", [GSM8K, JUDGED], ids=["pass/fail", "graded"])


@BOTH
def test_a_harmless_candidate_passes_as_often_as_the_plan_says(plan: DomainPlan) -> None:
    assert verdict_chances(plan, 0.0).passed == pytest.approx(plan.p_pass)


@BOTH
def test_a_loss_at_the_blind_spot_fails_with_80_percent_power(plan: DomainPlan) -> None:
    assert plan.detectable_family is not None
    at, below = (verdict_chances(plan, plan.detectable_family - d).failed for d in (0, 0.005))
    assert below < 0.8 <= at + 1e-9


@BOTH
def test_a_larger_loss_fails_more_and_passes_less(plan: DomainPlan) -> None:
    found = [verdict_chances(plan, loss) for loss in (0.0, 0.03, 0.06, 0.12)]
    failed = [c.failed for c in found]
    passed = [c.passed for c in found]
    assert failed == sorted(failed) and passed == sorted(passed, reverse=True)
    assert all(0 <= c.inconclusive <= 1 for c in found)


def test_a_loss_of_a_whole_margin_passes_in_one_case_of_twenty() -> None:
    assert verdict_chances(GSM8K, 0.03).passed == pytest.approx(0.047, abs=0.005)
    assert verdict_chances(JUDGED, 0.05).passed == pytest.approx(0.05, abs=1e-6)


def test_a_loss_larger_than_the_planned_discordance_changes_that_many_items() -> None:
    assert verdict_chances(GSM8K, 0.3).failed > 0.999


def test_a_gain_is_no_loss() -> None:
    with pytest.raises(ValueError, match="must lie in"):
        verdict_chances(GSM8K, -0.1)
