"""Strengths from votes: found again, bounded only where the votes bound them, drawn by prompt."""

import math

import numpy as np
import pytest

from waterbed.harness.statistics.bradley_terry import Vote, elo, fit, strengths


def arena(theta: list[float], prompts: int, seed: int = 20261120, taste: float = 0.0) -> list[Vote]:
    """Every pair on every prompt in both orders; `taste` is how strongly a prompt sways a pair."""
    rng = np.random.default_rng(seed)
    votes = []
    for k in range(prompts):
        for i in range(len(theta)):
            for j in range(i + 1, len(theta)):
                sway = taste * rng.standard_normal()
                p = 1 / (1 + math.exp(theta[j] - theta[i] - sway))
                for first, second in ((i, j), (j, i)):
                    won = float(rng.random() < (p if first == i else 1 - p))
                    votes.append(Vote(str(k), first, second, won))
    return votes


def test_strengths_are_found_again() -> None:
    theta = [0.8, 0.1, -0.9]
    found = strengths(arena(theta, 300), 3, draws=200)
    for strength, true in zip(found, theta, strict=True):
        assert strength.theta == pytest.approx(true, abs=0.15)
        assert strength.low is not None and strength.high is not None
        assert strength.low < true < strength.high


def test_drawing_prompts_is_wider_than_drawing_votes_where_prompts_sway() -> None:
    votes = arena([0.2, -0.2], 120, taste=3.0)
    apart = [Vote(str(k), v.first, v.second, v.score) for k, v in enumerate(votes)]
    together, separate = (strengths(v, 2, draws=300)[0] for v in (votes, apart))
    assert together.low is not None and together.high is not None
    assert separate.low is not None and separate.high is not None
    assert together.high - together.low > 1.15 * (separate.high - separate.low)


def test_a_tie_is_half_a_win_each() -> None:
    even = strengths([Vote("p", 0, 1, 0.5), Vote("q", 1, 0, 0.5)], 2, draws=20)
    assert [s.theta for s in even] == [pytest.approx(0.0)] * 2


def test_a_heavy_vote_counts_as_often_as_it_weighs() -> None:
    heavy = [Vote("p", 0, 1, 1.0, weight=3), Vote("q", 0, 1, 0.0)]
    often = [Vote("p", 0, 1, 1.0)] * 3 + [Vote("q", 0, 1, 0.0)]
    assert strengths(heavy, 2, draws=20) == strengths(often, 2, draws=20)
    assert strengths(heavy, 2, draws=20)[0].theta == pytest.approx(math.log(3) / 2)


def test_a_winless_model_is_unbounded_and_never_a_number() -> None:
    votes = arena([0.3, -0.3], 80)
    votes += [Vote(str(k), k % 2, 2, 1.0) for k in range(80)]
    found = strengths(votes, 3, draws=50)
    assert (found[2].theta, found[2].low, found[2].high) == (None, None, None)
    alone = fit(np.array([[0, 30], [20, 0]]))
    assert fit(np.array([[0, 30, 9], [20, 0, 4], [0, 0, 0]]))[:2] == pytest.approx(alone)


def test_an_unbeaten_model_is_unbounded_above() -> None:
    theta = fit([[0, 5, 5], [0, 0, 3], [0, 2, 0]])
    assert theta[0] == math.inf
    assert theta[1] == pytest.approx(math.log(3 / 2) / 2)


def test_without_a_circle_nobody_has_a_number() -> None:
    assert fit([[0, 3], [0, 0]]) == [math.inf, -math.inf]
    chain = fit([[0, 2, 2], [0, 0, 2], [0, 0, 0]])
    assert chain[0] == math.inf and math.isnan(chain[1]) and chain[2] == -math.inf
    assert math.isnan(fit([[0, 0], [0, 0]])[0])


def test_groups_that_never_met_are_not_compared() -> None:
    theta = fit([[0, 5, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    assert theta[0] > theta[1]
    assert math.isnan(theta[2]) and math.isnan(theta[3])


def test_a_model_seldom_beaten_has_an_open_upper_end() -> None:
    votes = [Vote(str(k), 0, 1, float(k > 0)) for k in range(40)]
    found = strengths(votes, 2, draws=200)
    assert found[0].theta == pytest.approx(math.log(39) / 2, abs=1e-6)
    assert found[0].high is None
    assert found[0].low is not None


def test_the_draws_are_seeded() -> None:
    votes = arena([0.3, 0.0, -0.3], 40)
    assert strengths(votes, 3, draws=50) == strengths(votes, 3, draws=50)


def test_elo_is_a_scale_of_the_same_strengths() -> None:
    assert elo(0.0) == 1000
    assert elo(math.log(10)) == pytest.approx(1400)


def test_lopsided_tables_converge() -> None:
    theta = fit([[0, 5000, 1], [1, 0, 5000], [1, 1, 0]])
    assert all(math.isfinite(x) for x in theta)
    assert theta[0] > theta[1] > theta[2]


@pytest.mark.parametrize(
    "vote",
    [
        Vote("p", 0, 1, 1.0, weight=0),
        Vote("p", 0, 0, 1.0),
        Vote("p", 0, 3, 1.0),
        Vote("p", -1, 0, 1.0),
        Vote("p", 0, 1, 0.7),
    ],
)
def test_votes_that_are_none_are_refused(vote: Vote) -> None:
    with pytest.raises(ValueError, match="a vote needs"):
        strengths([vote], 3)


def test_tables_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        fit([[0, 1]])
    with pytest.raises(ValueError, match="none"):
        strengths([], 2)
