"""Corrections for several claims, and the loss that only the mean shows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.families import (
    POOL,
    benjamini_hochberg,
    holm,
    loss_family,
    mean_harm_p,
    pool_domains,
)
from waterbed.harness.statistics.paired import pair_counts

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(p_values, st.randoms())
def test_the_order_of_the_claims_does_not_matter(p: list[float], chance) -> None:  # type: ignore[no-untyped-def]
    order = list(range(len(p)))
    chance.shuffle(order)
    for correct in (holm, benjamini_hochberg):
        straight, shuffled = correct(p), correct([p[i] for i in order])
        assert [straight[i] for i in order] == shuffled


@given(p_values)
def test_holm_is_between_the_raw_p_and_bonferroni(p: list[float]) -> None:
    for raw, stepped, discovered in zip(p, holm(p), benjamini_hochberg(p), strict=True):
        assert raw <= stepped <= min(1.0, len(p) * raw)
        assert raw <= discovered * (1 + 1e-12)
        assert discovered <= stepped * (1 + 1e-12)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_a_p_value_out_of_range_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([0.5, bad])


def test_the_pool_finds_a_loss_that_no_domain_shows() -> None:
    names = [f"domain {i}" for i in range(7)]
    decisions = {name: decide(pair_counts(13, 25, 541), 0.03) for name in names}
    assert all(d.verdict != "fail" for d in decisions.values())
    pooled = pool_domains([d.delta for d in decisions.values()], [d.se for d in decisions.values()])
    family = loss_family(decisions, pooled)
    assert family.size == 8
    assert family.failed == (POOL,)


def test_a_mean_loss_below_one_point_is_no_fail_however_sure() -> None:
    pooled = pool_domains([-0.009] * 3, [0.0001] * 3)
    assert pooled.p_loss < 1e-6
    assert loss_family({}, pooled).failed == ()
    assert loss_family({}, pool_domains([-0.01] * 3, [0.0001] * 3)).failed == (POOL,)


def test_a_domain_fails_only_after_the_correction() -> None:
    barely = decide(pair_counts(10, 22, 164), 0.05)
    assert barely.verdict == "fail"
    steady = decide(pair_counts(10, 10, 164), 0.05)
    assert loss_family({"a": barely}).failed == ("a",)
    family = loss_family({"a": barely, "b": steady, "c": steady, "d": steady})
    assert family.failed == ()
    assert family.adjusted["a"] == pytest.approx(4 * barely.p_loss)


def test_a_domain_with_too_few_items_joins_no_family() -> None:
    few = decide(pair_counts(0, 20, 20), 0.05)
    assert loss_family({"few": few}).size == 0


def test_a_domain_may_not_take_the_name_of_the_mean() -> None:
    with pytest.raises(ValueError, match=POOL):
        loss_family({POOL: decide(pair_counts(1, 1, 100), 0.05)})


def test_mean_harm_is_excluded_only_with_evidence() -> None:
    assert mean_harm_p(pool_domains([0.0, 0.0], [0.005, 0.005]), 0.02) < 0.05
    assert mean_harm_p(pool_domains([0.0, 0.0], [0.02, 0.02]), 0.02) > 0.05
    assert mean_harm_p(pool_domains([-0.02, -0.02], [0.005, 0.005]), 0.02) == 0.5


def test_domains_known_without_error_have_finite_answers() -> None:
    pooled = pool_domains([-1.0, -1.0], [0.0, 0.0])
    assert math.isfinite(pooled.z_loss)
    assert pooled.p_loss < 1e-300
    assert pool_domains([0.0], [0.0]).p_loss == 0.5


@pytest.mark.parametrize(("deltas", "ses"), [([], []), ([0.1], [0.1, 0.2])])
def test_a_pool_needs_an_error_for_each_difference(deltas: list[float], ses: list[float]) -> None:
    with pytest.raises(ValueError, match=f"got {len(deltas)} and {len(ses)}"):
        pool_domains(deltas, ses)


def test_the_pooled_loss_test_keeps_its_size_on_a_mixed_suite() -> None:
    # Without the estimate's condition, at 5%; seven domains of 160 to 1319 items, D = .08.
    rng = np.random.default_rng(20261120)
    sizes = (541, 1319, 164, 1000, 160, 450, 1000)
    rounds, alarms = 2000, 0
    for _ in range(rounds):
        pairs = []
        for n in sizes:
            b, c, _same = rng.multinomial(n, [0.04, 0.04, 0.92])
            pairs.append(pair_counts(int(b), int(c), n))
        alarms += pool_domains([p.delta for p in pairs], [p.se for p in pairs]).p_loss <= 0.05
    assert alarms / rounds <= 0.06
