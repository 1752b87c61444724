"""MATH-500: problems, solutions and grades; the comparison itself is tested in test_math_answers.py."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import waterbed
from waterbed.harness.errors import DataError, InstrumentError, UsageError
from waterbed.harness.records import Generation, Score
from waterbed.harness.tasks import tasks
from waterbed.suites import math500
from waterbed.suites.math500 import Math500, grade_answer
from waterbed.suites.math_answers import boxed

DATA = Path(os.environ.get("WATERBED_DATA", "/nonexistent")) / "math500"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="WATERBED_DATA has no math500/")

PROBLEM = {
    "unique_id": "mine/1",
    "problem": "What is half of $x$?",
    "answer": "\\frac{x}{2}",
    "subject": "Algebra",
    "level": 1,
}


@pytest.fixture
def mine(tmp_path: Path) -> Math500:
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps(PROBLEM) + "\n")
    return Math500(file)


@needs_data
def test_every_solution_of_the_data_set_boxes_its_answer_and_is_right() -> None:
    task = tasks.get("math500")
    assert len(task.items) == 500
    for sample in task.items:
        assert boxed(sample.metadata["solution"]) == sample.target
        assert grade_answer(sample.target, Generation(task.body.reference(sample))).value == 1.0


@needs_data
def test_another_items_solution_is_wrong() -> None:
    items = tasks.get("math500").items
    pairs = [(a, b) for a, b in pairwise(items) if a.target != b.target]
    values = [grade_answer(a.target, Generation(b.metadata["solution"])).value for a, b in pairs]
    assert len(values) > 450
    assert sum(value == 1.0 for value in values) <= 2  # `x=5` is 5


@pytest.mark.parametrize(
    ("text", "stop", "value", "reason"),
    [
        ("So \\boxed{\\dfrac{x}{2}}.", "stop", 1.0, None),
        ("Answer: 0.5x", "stop", 1.0, None),
        ("\\boxed{2x}", "stop", 0.0, "wrong"),
        ("\\boxed{}", "stop", 0.0, "unparsed"),
        ("x over two", "stop", 0.0, "unparsed"),
        ("x over", "length", 0.0, "truncated"),
        ("\n", "stop", 0.0, "empty"),
        ("\\boxed{" + "x" * 9000 + "}", "stop", 0.0, "limit"),
    ],
)
def test_a_failure_says_why(text: str, stop: str, value: float, reason: str | None) -> None:
    score = grade_answer("\\frac{x}{2}", Generation(text, stop))  # type: ignore[arg-type]
    assert (score.value, score.reason) == (value, reason)


def test_an_instrument_that_fails_leaves_the_sample_unscored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(given: str, gold: str) -> None:
        raise InstrumentError("no helper")

    monkeypatch.setattr(math500, "equality", broken)
    score = grade_answer("1", Generation("\\boxed{1}"))
    assert (score.value, score.reason) == (None, "scorer_error")


def test_the_problem_is_asked_for_a_boxed_answer(mine: Math500) -> None:
    (sample,) = mine.samples()
    (message,) = mine.prompt(sample)
    assert isinstance(message.content, str)  # type: ignore[union-attr]
    assert PROBLEM["problem"] in message.content  # type: ignore[union-attr]
    assert "\\boxed{" in message.content  # type: ignore[union-attr]
    assert mine.reference(sample) == "\\boxed{\\frac{x}{2}}"


def test_results_are_split_by_subject_and_level_and_votes_go_by_form(mine: Math500) -> None:
    said = ["\\boxed{x}", "\\boxed{\\frac{x}{2}}", "\\boxed{\\frac x2}", "\\boxed{y}"]
    scores = [grade_answer("\\frac{x}{2}", Generation(text)) for text in said]
    found = mine.aggregate({"mine/1": scores})
    assert found == {"correct/Algebra": 0.5, "correct/level 1": 0.5}
    assert len({mine.vote(score) for score in scores[1:3]}) == 1
    assert len({mine.vote(score) for score in scores}) == 3


@pytest.mark.parametrize("field", ["unique_id", "problem", "answer"])
def test_a_problem_that_lacks_a_field_is_named(field: str, tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps({**PROBLEM, field: None}) + "\n")
    with pytest.raises(DataError, match=f"problem 1 lacks the text '{field}'"):
        list(Math500(file).samples())


def test_without_data_the_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATERBED_DATA", raising=False)
    with pytest.raises(UsageError, match=r"math500/test\.jsonl"):
        list(Math500().samples())


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40), st.booleans())
def test_every_text_gets_a_score(text: str, in_a_box: bool) -> None:
    score = grade_answer("\\frac{x}{2}", Generation(f"\\boxed{{{text}}}" if in_a_box else text))
    assert isinstance(score, Score)
    assert score.value in (0.0, 1.0)
    json.dumps(dict(score.detail))


def test_an_answer_that_no_file_can_hold_still_makes_a_run(tmp_path: Path) -> None:
    items, responses = tmp_path / "problems.jsonl", tmp_path / "answers.jsonl"
    items.write_text(json.dumps(PROBLEM) + "\n")
    responses.write_text(json.dumps({"id": "mine/1", "response": "\\boxed{\ud800x}"}) + "\n")
    run = waterbed.score("math500", responses=responses, items=items, out=tmp_path / "run")
    (row,) = run.scores().to_dict("records")
    assert (row["value"], row["reason"]) == (0.0, "wrong")
    assert "\ufffd" in row["extracted"]
    assert "\ufffd" in row["detail"]
