"""SimpleQA's format is graded by words alone: correct, wrong or abstained; items are hand-written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.errors import DataError
from waterbed.harness.records import Generation
from waterbed.harness.tasks import Task, resolve
from waterbed.suites.simpleqa import LONGEST, grade_answer

HEAD = "metadata,problem,answer\n"


@pytest.fixture
def simpleqa(tmp_path: Path) -> Task:
    file = tmp_path / "mine.csv"
    file.write_text(HEAD + "{},Who wrote it?,Zoë Lind\n{},Which sign?,!\n", encoding="utf-8")
    return resolve(["simpleqa"])[0].on(file)


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        ("Zoë Lind", "zoe lind.", "correct"),
        ("Zoë Lind", "It was Zoë Lind, but I'm not sure.", "correct"),
        ("Zoë Lind", "Zoë Linden", "wrong"),
        ("Zoë Lind", "Lind Zoë", "wrong"),
        ("Zoë Lind", "I don’t know", "abstained"),
        ("Zoë Lind", "I'm unable to verify that.", "abstained"),
        ("Zoë Lind", "N/A", "abstained"),
        ("Zoë Lind", " \n", "abstained"),
        ("Malia and Sasha", "Sasha, Malia", "correct"),
        ("Malia and Sasha", "Malia", "wrong"),
        ("June 10, 2001", "June 10 2001", "correct"),
        ("1,234", "1234 people", "correct"),
        ("1,234", "123", "wrong"),
        ("1.73", "1.7", "wrong"),
        ("The Hague", "Hague", "correct"),
        ("Paris", "Paris " * (LONGEST + 1), "wrong"),
    ],
)
def test_words_decide(gold: str, answer: str, verdict: str) -> None:
    assert grade_answer(gold, answer) == verdict


def test_each_answer_is_one_of_three(simpleqa: Task) -> None:
    sample = simpleqa.items[0]
    graded = [
        simpleqa.body.grade(sample, Generation(text))
        for text in ("Zoe Lind", "Ada", "I don't know", "")
    ]
    assert [s.value for s in graded] == [1.0, 0.0, 0.0, 0.0]
    assert [s.reason for s in graded] == [None, "wrong", "abstained", "empty"]
    assert [s.metrics["wrong"] for s in graded] == [0.0, 1.0, 0.0, 0.0]
    assert [s.metrics["abstained"] for s in graded] == [0.0, 0.0, 1.0, 1.0]
    assert simpleqa.body.aggregate({"a": graded}) == {
        "correct_given_attempted": 0.5,
        "f1": pytest.approx(1 / 3),
    }
    assert simpleqa.body.aggregate({"a": graded[3:]}) == {"correct_given_attempted": 0.0, "f1": 0.0}


def test_a_gold_answer_without_words_is_the_datas_fault(simpleqa: Task) -> None:
    graded = simpleqa.body.grade(simpleqa.items[1], Generation("!"))
    assert (graded.value, graded.reason) == (None, "bad_data")


def test_a_row_without_an_answer_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(f"{HEAD}x,Who?,\n")
    with pytest.raises(DataError, match="row 1 lacks the text 'answer'"):
        _ = resolve(["simpleqa"])[0].on(file).items


def test_the_prompt_offers_an_admission(simpleqa: Task) -> None:
    (message,) = simpleqa.body.prompt(simpleqa.items[0])
    assert message.content.startswith("Who wrote it?")
    assert grade_answer("x", message.content.rpartition("write: ")[2]) == "abstained"


ANY = st.text(st.characters(exclude_categories=()), max_size=200)


@settings(deadline=None, max_examples=200)
@given(ANY, ANY)
def test_any_text_is_graded(gold: str, answer: str) -> None:
    assert grade_answer(gold, answer) in ("correct", "wrong", "abstained")


@pytest.mark.parametrize("unit", ["1,", "a ", "not ", "é", "\ufdfa", "\ud800", "\0", " , "])
def test_ten_megabytes_are_graded_in_bounded_time(unit: str) -> None:
    began = time.process_time()
    grade_answer("x", unit * (10_000_000 // len(unit)))
    assert time.process_time() - began < 2
