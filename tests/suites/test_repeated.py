"""avg@n, pass@k and maj@k of several answers a sample."""

from __future__ import annotations

import pytest

from waterbed.harness.records import Score
from waterbed.suites.repeated import avg_at, maj_at, pass_at


def answers(*said: str | None, gold: str = "7") -> list[Score]:
    return [Score(float(text == gold), extracted=text) for text in said]


def test_the_average_is_over_answers_and_then_over_samples() -> None:
    scores = {"a": answers("7", "7", "7", "1"), "b": answers("1", "1", "1", "1")}
    assert avg_at(scores) == {"avg@4": 0.375}


def test_pass_at_k_is_unbiased() -> None:
    found = pass_at({"a": answers("7", "1", "1", "1"), "b": answers("7", "7", "7", "7")}, (1, 2, 8))
    assert found == pytest.approx({"pass@1": (0.25 + 1) / 2, "pass@2": (0.5 + 1) / 2})


def test_the_most_frequent_answer_wins_and_of_equals_the_first_seen() -> None:
    scores = {
        "frequent": answers("1", "7", "7", "2"),
        "first of two equals": answers("7", "1", "1", "7"),
        "last of two equals": answers("1", "7", "1", "7"),
    }
    assert maj_at(scores, (4,)) == pytest.approx({"maj@4": 2 / 3})


def test_what_could_not_be_read_has_no_vote() -> None:
    assert maj_at({"a": answers(None, None, None, "7")}, (4,)) == {"maj@4": 1.0}
    assert maj_at({"a": answers(None, None)}, (2,)) == {"maj@2": 0.0}


def test_only_the_first_k_vote() -> None:
    assert maj_at({"a": answers("7", "7", "1", "1", "1")}, (2, 4, 8)) == {"maj@2": 1, "maj@4": 1}


def test_votes_may_be_counted_by_another_form() -> None:
    scores = {"a": answers("07", "1", "7", gold="7")}
    by_value = maj_at(scores, (2, 3), vote=lambda s: int(s.extracted or 0))
    assert by_value == {"maj@2": 0.0, "maj@3": 0.0}


def test_unscored_answers_count_nowhere() -> None:
    lost = Score.unscored("backend_error")
    scores = {"a": [*answers("7", "1"), lost], "b": [lost, lost], "c": answers("7", "7")}
    assert avg_at(scores) == {"avg@2": 0.75}
    assert pass_at(scores, (1,)) == {"pass@1": 0.75}
    assert maj_at(scores, (2,)) == {"maj@2": 1.0}


@pytest.mark.parametrize("scores", [{}, {"a": answers("7")}, {"a": [Score.unscored("x")]}])
def test_one_answer_a_sample_has_no_aggregates(scores: dict[str, list[Score]]) -> None:
    assert avg_at(scores) | pass_at(scores) | maj_at(scores) == {}
