"""A judge is measured on its own games, and each limit catches the fault it is meant for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from waterbed.harness.judge_reliability import Reliability, measure


def games(n: int, seed: int = 1, *, bias: float = 0.0, noise: float = 0.3) -> list[dict[str, Any]]:
    """Verdicts of a judge with a lean to the first answer, in logits, on pairs of unequal worth."""
    rng = Random(seed)
    found = []
    for _ in range(n):
        worth = rng.choice((-2.0, 2.0))
        said = [
            float(rng.random() < 1 / (1 + math.exp(-(side * worth / noise * 0.5 + bias))))
            for side in (1, -1, 1)
        ]
        label = float(worth > 0)
        found.append({"games": [[said[0], 1], [said[1], 1]], "again": said[2], "label": label})
    return found


def test_a_fair_and_steady_judge_has_no_problem() -> None:
    found = measure(games(200), written=True)
    assert found.problems == ()
    assert found.swap_consistency == pytest.approx(0.93, abs=0.05)
    assert found.first_wins == pytest.approx(0.5, abs=0.03)
    assert found.kappa is not None and found.kappa > 0.8


def test_a_judge_that_takes_the_first_is_found_out() -> None:
    unlabelled = [{**g, "label": None} for g in games(200, bias=12.0, noise=0.1)]
    found = measure(unlabelled, written=True)
    assert found.first_wins is not None and found.first_wins > 0.9
    assert [p.split()[0] for p in found.problems] == ["swap", "the"]


def test_a_judge_that_guesses_fails_every_limit_but_the_place() -> None:
    found = measure(games(400, noise=1e6), written=True)
    assert [p.split()[0] for p in found.problems] == ["swap", "self-consistency", "kappa"]


def test_log_probabilities_repeat_themselves_by_construction() -> None:
    silent = [{"games": g["games"]} for g in games(200)]
    assert measure(silent, written=False).problems == ()
    assert measure(silent, written=False).self_how == "by construction: log-probabilities"
    assert measure(silent, written=True).problems == ("self-consistency was measured on 0 prompts",)


def test_few_games_cannot_show_that_the_place_does_not_matter() -> None:
    (problem,) = measure(games(15), written=False).problems
    assert "of 30 games" in problem


def test_ties_are_no_decided_games_and_agree_with_ties() -> None:
    even = [{"games": [[0.5, 1], [0.5, 1]]} for _ in range(5)]
    found = measure(even, written=False)
    assert (found.swap_consistency, found.decided, found.first_interval) == (1.0, 0, None)


def test_a_tie_in_one_order_only_is_not_consistent() -> None:
    assert measure([{"games": [[0.5, 1], [0.0, 1]]}], written=False).swap_consistency == 0.0


def test_grades_that_differ_by_more_than_a_point_are_not_the_same() -> None:
    graded = [{"grades": [7.0, 6.0], "again": 7.0 + k % 3} for k in range(30)]
    found = measure(graded, written=True)
    assert (found.graded, found.repeats) == (30, 30)
    assert found.self_consistency == pytest.approx(2 / 3)
    assert found.problems == ("self-consistency 0.67 on 30 repeated prompts is below 0.80",)


def test_labels_of_one_kind_give_no_kappa_and_that_is_a_problem() -> None:
    one = [{"games": [[1.0, 1], [0.0, 1]], "label": 1.0} for _ in range(60)]
    found = measure(one, written=False)
    assert (found.accuracy, found.kappa) == (1.0, None)
    assert any("undefined" in p for p in found.problems)


def test_what_nobody_judged_has_no_figures_and_no_problem() -> None:
    found = measure([{"games": []}], written=True)
    assert isinstance(found, Reliability)
    assert (found.pairs, found.swap_consistency, found.problems) == (0, None, ())


@pytest.mark.parametrize("detail", [{"games": [[1.0]]}, {"games": [["x", 1], [0.0, 1]]}])
def test_damaged_evidence_is_an_error(detail: Mapping[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        measure([detail], written=False)
