"""Naming the waterbed, its price and size, and the sentences about it."""

import math

import numpy as np
import pytest

from waterbed.harness.statistics.paired import Pairs, pair_counts
from waterbed.harness.statistics.waterbed import (
    Change,
    Exchange,
    exchange_rate,
    index,
    name_waterbed,
    waterbed_sentence,
)

MATHS = Change("maths", 0.051, 0.032, 0.070)
OTHERS = {
    "chat": Change("chat", -0.079, -0.115, -0.042),
    "code": Change("code", -0.004, -0.031, 0.023),
}


def flips(n: int, discordance: float, delta: float, rounds: int) -> list[Pairs]:
    rng = np.random.default_rng(20261120)
    p = [(discordance + delta) / 2, (discordance - delta) / 2, 1 - discordance]
    drawn = rng.multinomial(n, p, rounds)
    return [pair_counts(int(b), int(c), n) for b, c, _ in drawn]


def test_it_is_named_only_when_gain_and_loss_are_both_shown() -> None:
    assert name_waterbed({"math": 0.01}, {"chat": 0.02, "code": 0.9}).named
    assert not name_waterbed({"math": 0.01}, {"chat": 0.03, "code": 0.9}).named
    assert not name_waterbed({"math": 0.06}, {"chat": 1e-6, "code": 0.9}).named


def test_confirmed_losses_are_listed_without_a_confirmed_gain() -> None:
    found = name_waterbed({"math": 0.6}, {"chat": 0.001, "code": 0.04, "safety": 0.9})
    assert not found.named
    assert found.losers == ("chat",)


def test_several_targets_pay_for_their_number() -> None:
    one = name_waterbed({"math": 0.03}, {"chat": 0.001})
    two = name_waterbed({"math": 0.03, "code": 0.8}, {"chat": 0.001})
    assert (one.named, two.named) == (True, False)
    assert two.p_gain == pytest.approx(0.06)


def test_nothing_off_target_is_no_waterbed() -> None:
    assert not name_waterbed({"math": 1e-9}, {}).named


def test_sides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="target"):
        name_waterbed({}, {"chat": 0.1})
    with pytest.raises(ValueError, match="math"):
        name_waterbed({"math": 0.1}, {"math": 0.1})
    with pytest.raises(ValueError, match="p-value"):
        name_waterbed({"math": 0.1}, {"chat": 1.5})


def test_the_price_covers_the_true_price() -> None:
    # Five points gained at a price of 1.6 points each; Fieller's set is a 95% set.
    gained, lost = flips(1319, 0.12, 0.05, 800), flips(1000, 0.15, -0.08, 801)[1:]
    found = [exchange_rate(g, x) for g, x in zip(gained, lost, strict=True)]
    inside = [e.low <= 1.6 <= e.high for e in found if e is not None]
    assert len(inside) > 780
    assert np.mean(inside) == pytest.approx(0.95, abs=0.025)


def test_the_price_of_an_unsure_gain_is_not_estimable() -> None:
    assert exchange_rate(pair_counts(12, 10, 300), pair_counts(5, 60, 500)) is None
    assert exchange_rate(pair_counts(10, 10, 300), pair_counts(5, 60, 500)) is None


def test_unchanged_domains_lose_the_noise_floor_on_average() -> None:
    others = [flips(n, 0.1, 0.0, 250) for n in (541, 164, 450)]
    target = pair_counts(60, 60, 1319)
    found = [
        index({"t": target}, {str(k): p for k, p in enumerate(row)})
        for row in zip(*others, strict=True)
    ]
    floor = np.mean([f.noise_floor for f in found])
    assert np.mean([f.loss for f in found]) == pytest.approx(float(floor), rel=0.15)
    assert np.median([f.share for f in found if f.share is not None]) > 0.5
    assert np.mean([f.certified_loss > 0 for f in found]) <= 0.06


def test_the_certified_loss_is_a_bound_of_the_true_loss() -> None:
    others = [flips(541, 0.1, -0.05, 250), flips(450, 0.12, -0.02, 251)[1:]]
    found = [index({}, {str(k): p for k, p in enumerate(row)}) for row in zip(*others, strict=True)]
    true_loss = (0.05 + 0.02) / 2
    certified = np.array([f.certified_loss for f in found])
    assert (certified > true_loss).mean() <= 0.06
    assert certified.mean() > 0.005


def test_sizes_of_a_known_case() -> None:
    gained, lost = pair_counts(60, 10, 1000), pair_counts(10, 80, 1000)
    found = index({"math": gained}, {"chat": lost})
    assert found.net == pytest.approx(-0.01)
    assert found.net_se == pytest.approx(math.hypot(gained.se, lost.se) / 2)
    assert (found.gain, found.loss) == (pytest.approx(0.025), pytest.approx(0.035))
    assert found.share == pytest.approx(0.035 / 0.06)
    assert 0 < found.certified_gain < found.gain
    assert 0 < found.certified_loss < found.loss


def test_nothing_gained_or_lost_has_no_share() -> None:
    assert index({"math": pair_counts(5, 5, 100)}, {"chat": pair_counts(9, 5, 100)}).share is None


def test_weights_that_do_not_fit_are_refused() -> None:
    math_only = {"math": pair_counts(5, 5, 100)}
    for weights in ({"math": 0.5}, {"chat": 1.0}, {}):
        with pytest.raises(ValueError, match="weight"):
            index(math_only, {}, weights)
    with pytest.raises(ValueError, match="either"):
        index(math_only, math_only)


def test_the_named_waterbed_reads_as_agreed() -> None:
    found = name_waterbed({"maths": 1e-5}, {"chat": 1e-4, "code": 0.4})
    assert waterbed_sentence(found, MATHS, OTHERS, Exchange(1.52, 0.84, 2.87)) == (
        "WATERBED: maths +5.1 [3.2, 7.0] paid by chat -7.9 [-11.5, -4.2]; "
        "exchange rate 1.5 points lost per point gained [0.8, 2.9]."
    )
    assert "exchange rate not estimable" in waterbed_sentence(found, MATHS, OTHERS)


def test_an_unshown_waterbed_is_never_called_none() -> None:
    found = name_waterbed({"maths": 1e-5}, {"chat": 0.2, "code": 0.4})
    assert waterbed_sentence(found, MATHS, OTHERS) == (
        "no waterbed shown; off-target losses above 11.5 are excluded."
    )
    found = name_waterbed({"maths": 0.5}, {"chat": 0.2, "code": 0.4})
    assert waterbed_sentence(found, MATHS, OTHERS).startswith("no gain and no waterbed shown")
    found = name_waterbed({"maths": 0.5}, {"chat": 1e-4, "code": 0.4})
    assert "real losses: chat -7.9" in waterbed_sentence(found, MATHS, OTHERS)
    found = name_waterbed({"maths": 1e-5}, {})
    assert "no domain off target" in waterbed_sentence(found, MATHS, {})
