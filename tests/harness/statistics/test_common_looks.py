"""The mean over domains at common looks, and Holm when every domain has been read."""

import numpy as np
import pytest

from waterbed.harness.statistics.common_looks import (
    PoolLook,
    PoolPlan,
    plan_pool,
    pool_look,
    settle,
)
from waterbed.harness.statistics.families import POOL
from waterbed.harness.statistics.paired import Pairs, pair_counts
from waterbed.harness.statistics.sequential import LookResult, look, plan_looks

SIZES = {"math": 1319, "code": 164, "safety": 450}
PLANS = {name: plan_looks(n, 0.03, family=4) for name, n in SIZES.items()}


def at(plan: PoolPlan, k: int, lost: float, gained: float = 0.02) -> dict[str, Pairs]:
    return {
        name: pair_counts(round(gained * counts[k]), round(lost * counts[k]), counts[k])
        for name, counts in plan.counts.items()
    }


def read(lost: float, **settings: float) -> list[PoolLook]:
    plan = plan_pool(PLANS, family=4, **settings)
    seen: list[PoolLook] = []
    for k in range(len(plan.fractions)):
        seen.append(pool_look(plan, at(plan, k, lost), seen[-1] if seen else None))
        if seen[-1].failed:
            break
    return seen


def test_the_mean_is_first_read_at_three_tenths() -> None:
    plan = plan_pool(PLANS)
    assert plan.fractions[0] == pytest.approx(0.3, abs=0.01)
    assert plan.counts["math"][0] == 396
    assert [counts[-1] for counts in plan.counts.values()] == list(SIZES.values())


def test_a_domain_with_one_look_leaves_only_the_end() -> None:
    plan = plan_pool({**PLANS, "contest": plan_looks(60, 0.05)})
    assert plan.fractions == (1.0,)


def test_a_loss_everywhere_fails_the_mean_though_no_domain_does() -> None:
    last = read(0.045)[-1]
    assert last.failed
    assert last.p_loss <= 0.05 / 4
    results = {
        name: look(plan_looks(n, 0.03), pair_counts(4, 4 + n // 60, n), None)
        for name, n in {"a": 60, "b": 70}.items()
    }
    assert settle(results, last).failed == (POOL,)


def test_no_loss_leaves_the_mean_alone_and_shows_it_harmless() -> None:
    last = read(0.02, harm_margin=0.02)[-1]
    assert not last.failed
    assert last.harmless_at is not None
    assert read(0.02)[-1].harmless_at is None


def test_a_domain_that_stopped_earlier_is_refused() -> None:
    plan = plan_pool(PLANS)
    stopped = at(plan, 1, 0.02) | {"code": at(plan, 0, 0.02)["code"]}
    first = pool_look(plan, at(plan, 0, 0.02))
    with pytest.raises(ValueError, match="of code, got"):
        pool_look(plan, stopped, first)


def test_a_domain_left_out_is_refused() -> None:
    plan = plan_pool(PLANS)
    some = at(plan, 0, 0.02)
    del some["safety"]
    with pytest.raises(ValueError, match="read every domain"):
        pool_look(plan, some)


def test_the_mean_has_no_look_after_the_end() -> None:
    plan = plan_pool({"contest": plan_looks(60, 0.05)})
    end = {"contest": pair_counts(1, 1, 60)}
    with pytest.raises(ValueError, match="all of them were read"):
        pool_look(plan, end, pool_look(plan, end))


def test_a_mean_that_failed_is_not_read_again() -> None:
    plan = plan_pool(PLANS)
    failed = pool_look(plan, at(plan, 0, 0.12))
    assert failed.failed
    with pytest.raises(ValueError, match="failed at common look 1"):
        pool_look(plan, at(plan, 1, 0.12), failed)


def test_plans_that_spend_differently_have_no_common_mean() -> None:
    with pytest.raises(ValueError, match="spending"):
        plan_pool({"a": plan_looks(100, 0.03), "b": plan_looks(100, 0.03, spending="obf")})
    with pytest.raises(ValueError, match="at least one"):
        plan_pool({})


def decided(name: str, b: float, c: float) -> LookResult:
    plan, result = PLANS[name], None
    for n in plan.looks:
        result = look(plan, pair_counts(round(b * n), round(c * n), n), result)
        if result.stop:
            break
    assert result is not None
    return result


def test_holm_fails_a_second_domain_that_its_own_look_did_not() -> None:
    # code alone misses alpha/4 at every look; with math out of the way the step is wider.
    results = {
        "math": decided("math", 0.02, 0.12),
        "code": decided("code", 0.03, 0.095),
        "safety": decided("safety", 0.03, 0.03),
    }
    assert results["code"].outcome == "inconclusive"
    family = settle(results, alpha=0.05)
    assert family.failed == ("math", "code")
    assert family.adjusted["code"] > results["code"].p_loss


def test_domains_too_small_for_a_verdict_join_no_family() -> None:
    tiny = look(plan_looks(29, 0.05), pair_counts(0, 29, 29))
    assert settle({"tiny": tiny}).size == 0
    with pytest.raises(ValueError, match="another name"):
        settle({POOL: tiny})


@pytest.mark.parametrize(
    ("rounds", "most"), [(2000, 0.06), pytest.param(20000, 0.055, marks=pytest.mark.study)]
)
def test_the_mean_at_common_looks_is_wrong_as_often_as_asked(rounds: int, most: float) -> None:
    # Seven domains of one size that lose two points each, then none: both claims have their level.
    rng, n, domains = np.random.default_rng(20261120), 500, 7
    plan = plan_pool({str(k): plan_looks(n, 0.03) for k in range(domains)}, harm_margin=0.02)
    assert plan.bounds_fail == plan.bounds_harm
    for loss in (0.02, 0.0):
        wrong = np.zeros(rounds, dtype=bool)
        sums, squares, used = np.zeros((rounds, domains)), np.zeros((rounds, domains)), 0
        for k, count in enumerate(plan.counts["0"]):
            p = [0.05 - loss / 2, 0.05 + loss / 2, 0.9]
            new = rng.multinomial(count - used, p, (rounds, domains))
            sums, squares = sums + new[..., 0] - new[..., 1], squares + new[..., 0] + new[..., 1]
            used = count
            variance = ((squares + 1) / (count + 2) - (sums / count) ** 2) / count
            z = (sums / count + loss).mean(axis=1) / (np.sqrt(variance.sum(axis=1)) / domains)
            wrong |= (z if loss else -z) >= plan.bounds_fail[k]
        print(f"mean at common looks, loss {loss}: wrong {wrong.mean():.4f}")
        assert wrong.mean() <= most
