"""The mean over domains at common looks."""

import numpy as np
import pytest

from waterbed.harness.statistics.common_looks import MeanReading, look_mean, plan_mean
from waterbed.harness.statistics.families import pool_domains
from waterbed.harness.statistics.paired import pair_counts

TENTHS = [k / 10 for k in range(1, 11)]
SIZES = (1319, 164, 450)


def read(lost: float, gained: float = 0.02, tenths: list[float] = TENTHS) -> list[MeanReading]:
    """Domains in which the same shares of items improve and worsen throughout."""
    plan = plan_mean(tenths, family=4)
    seen: list[MeanReading] = []
    for t in plan.fractions:
        counts = [round(t * n) for n in SIZES]
        pairs = [pair_counts(round(gained * n), round(lost * n), n) for n in counts]
        pooled = pool_domains([p.delta for p in pairs], [p.se for p in pairs])
        seen.append(look_mean(plan, pooled, seen[-1] if seen else None))
        if seen[-1].settled:
            break
    return seen


def test_the_mean_is_first_read_at_three_tenths() -> None:
    assert plan_mean(TENTHS).fractions == tuple(TENTHS[2:])
    assert plan_mean([0.1, 1.0]).fractions == (1.0,)


def test_a_loss_everywhere_fails_the_mean_before_the_end() -> None:
    last = read(0.06)[-1]
    assert last.failed
    assert not last.harmless
    assert last.look < 8
    assert last.p_loss <= 0.05 / 4


def test_no_loss_settles_the_mean_as_harmless() -> None:
    last = read(0.02)[-1]
    assert last.harmless
    assert not last.failed
    assert not last.last


def test_a_mean_that_nothing_is_shown_of_is_read_to_the_end() -> None:
    seen = read(0.03, tenths=[0.9, 1.0])
    assert (seen[-1].last, seen[-1].failed, seen[-1].harmless) == (True, False, False)
    assert [reading.settled for reading in seen] == [False, True]


def test_a_mean_that_is_settled_is_not_read_again() -> None:
    plan, failed = plan_mean(TENTHS), read(0.12)[-1]
    assert failed.failed
    with pytest.raises(ValueError, match="settled at common look 1"):
        look_mean(plan, failed.pooled, failed)


def test_looks_that_do_not_rise_to_the_end_are_refused() -> None:
    with pytest.raises(ValueError, match="rise to 1"):
        plan_mean([0.1, 0.2])
    with pytest.raises(ValueError, match="rise to 1"):
        plan_mean([])


@pytest.mark.parametrize(
    ("rounds", "most"), [(2000, 0.06), pytest.param(20000, 0.055, marks=pytest.mark.study)]
)
def test_the_mean_at_common_looks_is_wrong_as_often_as_asked(rounds: int, most: float) -> None:
    # Seven domains of one size that lose two points each, then none: both claims have their level.
    rng, n, domains = np.random.default_rng(20261120), 500, 7
    plan = plan_mean(TENTHS)
    for loss, bounds in ((0.02, plan.bounds_harmless), (0.0, plan.bounds_fail)):
        wrong = np.zeros(rounds, dtype=bool)
        sums, squares, used = np.zeros((rounds, domains)), np.zeros((rounds, domains)), 0
        for k, count in enumerate(round(n * t) for t in plan.fractions):
            p = [0.05 - loss / 2, 0.05 + loss / 2, 0.9]
            new = rng.multinomial(count - used, p, (rounds, domains))
            sums, squares = sums + new[..., 0] - new[..., 1], squares + new[..., 0] + new[..., 1]
            used = count
            variance = ((squares + 1) / (count + 2) - (sums / count) ** 2) / count
            z = (sums / count + loss).mean(axis=1) / (np.sqrt(variance.sum(axis=1)) / domains)
            wrong |= (z if loss else -z) >= bounds[k]
        print(f"mean at common looks, loss {loss}: wrong {wrong.mean():.4f}")
        assert wrong.mean() <= most
