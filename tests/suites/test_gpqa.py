"""GPQA asks and reads as simple-evals does and shows no item; items here are hand-written in its format."""

from __future__ import annotations

import csv
import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed import score
from waterbed.harness.errors import DataError
from waterbed.harness.records import Generation
from waterbed.harness.tasks import Task, resolve
from waterbed.suites.gpqa import answered_letter

FIELDS = ("Record ID", "Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3)))
SECRET = "zirconium"


def write(file: Path, rows: list[tuple[str, ...]]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([FIELDS, *rows])
    return file


@pytest.fixture
def items(tmp_path: Path) -> Path:
    rows = [(f"rec{n}", f"{SECRET} {n}?", f"{SECRET} {n}", "w1", "w2", "w3") for n in range(3)]
    return write(tmp_path / "mine.csv", rows)


@pytest.fixture
def gpqa(items: Path) -> Task:
    return resolve(["gpqa-diamond"])[0].on(items)


def test_orders_are_drawn_by_one_generator_through_all_repeats(gpqa: Task) -> None:
    generator = random.Random(0)
    orders = [generator.sample(range(4), 4) for _ in range(12)]
    ids = [f"rec{n}/{order}" for order in range(4) for n in range(3)]
    assert [item.id for item in gpqa.items] == ids
    for item, order in zip(gpqa.items, orders, strict=True):
        own = [item.input["question"].removesuffix("?"), "w1", "w2", "w3"]
        assert item.input["options"] == [own[i] for i in order]
        assert item.input["options"]["ABCD".index(item.target)] == own[0]


def test_the_four_orders_of_a_question_are_one_cluster(gpqa: Task) -> None:
    assert [item.cluster for item in gpqa.items[::3]] == ["rec0"] * 4


def test_the_prompt_asks_for_the_line_that_is_read(gpqa: Task) -> None:
    (message,) = gpqa.body.prompt(gpqa.items[0])
    options = "\n".join(
        f"{x}) {o}" for x, o in zip("ABCD", gpqa.items[0].input["options"], strict=True)
    )
    assert message.content.endswith(f"answering.\n\n{SECRET} 0?\n\n{options}")
    assert "'Answer: $LETTER'" in message.content


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Answer: B", "B"),
        ("Answer: $C$\nAnswer: D", "C"),
        ("ANSWER :\tD", "D"),
        ("answer: b", "b"),
        ("Answer:\nB", None),
        ("Answer: E", None),
        ("**Answer:** B", None),
        ("", None),
    ],
)
def test_the_first_answer_line_counts(text: str, letter: str | None) -> None:
    assert answered_letter(text) == letter


def test_a_lower_case_letter_is_wrong_as_in_the_reference(gpqa: Task) -> None:
    sample = gpqa.items[0]
    right = gpqa.body.grade(sample, Generation(f"Answer: {sample.target}"))
    lower = gpqa.body.grade(sample, Generation(f"Answer: {sample.target.lower()}"))
    assert (right.value, lower.value, lower.reason) == (1.0, 0.0, "wrong")
    assert gpqa.body.grade(sample, Generation("")).reason == "empty"


def test_no_item_and_no_answer_is_in_the_tables_of_a_run(items: Path, tmp_path: Path) -> None:
    ids = [f"rec{n}/{order}" for order in range(4) for n in range(3)]
    responses = tmp_path / "responses.jsonl"
    said = f"The question is about {SECRET}.\nAnswer: A"
    responses.write_text("".join(json.dumps({"id": i, "response": said}) + "\n" for i in ids))
    run = score("gpqa-diamond", responses, tmp_path / "run", items=items)
    assert SECRET not in run.generations().to_json() + run.scores().to_json()
    assert set(run.generations()["prompt"]) == set(run.generations()["text"])
    assert run.generations()["prompt_hash"].nunique() > 3
    others = [f for f in run.path.iterdir() if f.name != "answers.jsonl" and f.is_file()]
    assert [f.name for f in others if SECRET.encode() in f.read_bytes()] == []
    assert {"run.json", "results.json"} < {f.name for f in others}


def test_messages_quote_no_item(items: Path, tmp_path: Path) -> None:
    write(items, [("r", f"{SECRET}?", f"{SECRET}", "", "w2", "w3")])
    with pytest.raises(DataError, match="row 1 lacks the text 'Incorrect Answer 1'") as lacking:
        _ = resolve(["gpqa-main"])[0].on(items).items
    broken = tmp_path / "broken.jsonl"
    broken.write_text(f'{{"Question": "{SECRET}\n')
    with pytest.raises(DataError) as unreadable:
        _ = resolve(["gpqa-main"])[0].on(broken).items
    for caught in (lacking.value, unreadable.value):
        assert SECRET not in str(caught)
        assert caught.__cause__ is None
    assert unreadable.value.__suppress_context__


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_is_read(text: str) -> None:
    assert answered_letter(text) in (None, *"ABCDabcd")


@pytest.mark.parametrize("unit", ["answer ", "Answer:", "answer: $", "\t", "\ud800", "\0"])
def test_ten_megabytes_are_read_in_bounded_time(unit: str) -> None:
    began = time.process_time()
    answered_letter(unit * (10_000_000 // len(unit)))
    answered_letter("answer" + " " * 10_000_000)
    assert time.process_time() - began < 4
