"""MMLU-Pro asks and reads as its authors do; items here are hand-written in the documented format."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.records import Generation, Message
from waterbed.harness.tasks import resolve
from waterbed.suites.mmlu_pro import stated_letter

ITEM: dict[str, Any] = {
    "question_id": 70,
    "question": "Which is even?",
    "options": ["1", "2", "3", "N/A"],
    "answer": "B",
    "answer_index": 1,
    "cot_content": "",
    "category": "math",
    "src": "mine",
}


def shot(number: int, category: str = "math") -> dict[str, Any]:
    steps = "A: Let's think step by step. It is. The answer is (A)."
    question = f"Is {number} a number?"
    own = {"question": question, "options": ["yes", "no"], "answer": "A", "cot_content": steps}
    return {**ITEM, "question_id": number, "category": category, **own}


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def items(tmp_path: Path) -> Path:
    write(tmp_path / "validation.jsonl", [shot(n) for n in range(7)])
    return write(tmp_path / "mine.jsonl", [ITEM])


def test_five_worked_examples_of_the_category_come_first(items: Path) -> None:
    write(items.parent / "validation.jsonl", [shot(0, "law"), *map(shot, range(1, 8))])
    task = resolve(["mmlu-pro"])[0].on(items)
    text = task.body.prompt(task.items[0])
    assert text.startswith(
        "The following are multiple choice questions (with answers) about math. "
    )
    assert re.findall(r"Is (\d) a number", text) == ["1", "2", "3", "4", "5"]
    assert text.count("Answer: Let's think step by step. It is. The answer is (A).\n\n") == 5
    assert text.endswith(
        "\n\nQuestion:\nWhich is even?\nOptions:\nA. 1\nB. 2\nC. 3\nAnswer: Let's think step by step."
    )


def test_the_chat_form_sends_the_same_text_in_one_turn(items: Path) -> None:
    tasks = [task.on(items) for task in resolve(["mmlu-pro", "mmlu-pro-chat"])]
    text, chat = (task.body.prompt(task.items[0]) for task in tasks)
    assert chat == (Message("user", text),)


def test_parquet_of_the_hub_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "mmlu_pro" / "data"
    folder.mkdir(parents=True)
    for split, row in (("test", ITEM), ("validation", shot(1))):
        pq.write_table(pa.Table.from_pylist([row]), folder / f"{split}-00000-of-00001.parquet")
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    (sample,) = resolve(["mmlu-pro"])[0].body.samples()
    assert (sample.id, sample.target, sample.input["options"]) == ("70", "B", ["1", "2", "3"])


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("so the answer is (B).", "B"),
        ("The answer is C. No, the answer is D.", "C"),
        ("Answer: A, or rather answer: B\nAnswer: C", "B"),
        ("Answer: ?\nthe Answer:\n  D", "D"),
        ("Either A or E", "E"),
        ("The answer is (K).", None),
        ("I like Bees", "I"),
        ("", None),
    ],
)
def test_letters_are_read_by_three_patterns_in_turn(text: str, letter: str | None) -> None:
    assert stated_letter(text) == letter


def reference(text: str) -> str | None:
    """The authors' patterns as they are, which take quadratic time."""
    for pattern, flags in (
        (r"answer is \(?([A-J])\)?", 0),
        (r".*[aA]nswer:\s*([A-J])", 0),
        (r"(\b[A-J]\b)(?!.*\b[A-J]\b)", re.DOTALL),
    ):
        if found := re.search(pattern, text, flags):
            return found[1]
    return None


PIECES = ["answer is ", "Answer:", "answer:", " ", "\n", "(", ")", "A", "C", "J", "K", "é", "\r"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_letters_are_those_of_the_authors_patterns(text: str) -> None:
    assert stated_letter(text) == reference(text)


def test_a_miss_is_never_drawn_at_random(items: Path) -> None:
    task = resolve(["mmlu-pro"])[0].on(items)
    sample = task.items[0]
    scores = [
        task.body.grade(sample, Generation(text, stop))
        for text, stop in [
            ("it is (b)", "stop"),
            ("hm", "length"),
            (" ", "stop"),
            ("answer is A", "stop"),
        ]
    ]
    assert [s.value for s in scores] == [0.0] * 4
    assert [s.reason for s in scores] == ["unparsed", "truncated", "empty", "wrong"]
    right = task.body.grade(sample, Generation("the answer is (B)"))
    assert (right.value, right.reason) == (1.0, None)
    assert task.body.aggregate({"70": [right, scores[0]]}) == {"category/math": 0.5}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"options": "A,B"}, "row 1 has 0 options"),
        ({"answer": "D"}, "'D', which is none of its options"),
        ({"answer": "AB"}, "none of its options"),
        ({"question": None}, "lacks the text 'question'"),
    ],
)
def test_a_malformed_row_is_named(items: Path, change: dict[str, Any], words: str) -> None:
    write(items, [{**ITEM, **change}])
    with pytest.raises(DataError, match=words):
        _ = resolve(["mmlu-pro"])[0].on(items).items


def test_missing_examples_and_files_are_named(items: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(items, [{**ITEM, "category": "law"}])
    with pytest.raises(UsageError, match="no example of 'law'"):
        _ = resolve(["mmlu-pro"])[0].on(items).items
    monkeypatch.delenv("WATERBED_DATA", raising=False)
    with pytest.raises(UsageError, match=r"mmlu_pro/test\.jsonl or .*--items"):
        _ = list(resolve(["mmlu-pro"])[0].body.samples())


@pytest.mark.parametrize("unit", ["answer:", "Answer: ", "answer is (", "A ", "\n", "\ud800", "\0"])
def test_ten_megabytes_are_read_in_bounded_time(unit: str) -> None:
    began = time.process_time()
    stated_letter(unit * (10_000_000 // len(unit)))
    assert time.process_time() - began < 4
