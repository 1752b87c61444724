"""GSM8K reads numbers, asks and grades exactly as its references do."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.records import Generation, Message, Sample, Score
from waterbed.harness.tasks import Task, tasks
from waterbed.suites.gsm8k import (
    GSM8K,
    flexible_answer,
    grade_answer,
    openai_answer,
    strict_answer,
)

DATA = os.environ.get("WATERBED_DATA", "")
VECTORS = os.environ.get("WATERBED_VECTORS", "")
SOLUTIONS = Path(DATA) / "gsm8k" / "example_model_solutions.jsonl"
UNITS = Path(VECTORS) / "gsm8k.jsonl"
needs_data = pytest.mark.skipif(
    not (DATA and SOLUTIONS.is_file()), reason="WATERBED_DATA has no gsm8k/"
)
needs_vectors = pytest.mark.skipif(
    not (VECTORS and UNITS.is_file()), reason="WATERBED_VECTORS has no gsm8k.jsonl"
)


def converter() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "gsm8k_solutions", Path(__file__).with_name("gsm8k_solutions.py")
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def gsm8k() -> Task:
    return tasks.get("gsm8k")


def graded(task: Task, sample: Sample, text: str) -> Score:
    with pytest.raises(StopIteration) as done:
        next(task.grade(sample, Generation(text)))
    score = done.value.value
    assert isinstance(score, Score)
    return score


def units() -> Iterator[dict[str, Any]]:
    rows = map(json.loads, UNITS.read_text("utf-8").splitlines())
    return (row for row in rows if row["type"] == "unit")


@needs_data
@pytest.mark.parametrize(
    ("model", "correct"),
    [
        ("6b_finetuning", 286),
        ("6b_verification", 515),
        ("175b_finetuning", 458),
        ("175b_verification", 742),
    ],
)
def test_the_authors_models_get_the_authors_labels(gsm8k: Task, model: str, correct: int) -> None:
    lines = SOLUTIONS.read_text("utf-8").splitlines()
    labels = [json.loads(line)[model]["is_correct"] for line in lines]
    samples = {sample.id: sample for sample in gsm8k.items}
    values = [
        graded(gsm8k, samples[row["id"]], row["response"]).value
        for row in converter().responses(SOLUTIONS, model)
    ]
    assert values == [float(label) for label in labels]
    assert sum(labels) == correct


@needs_vectors
def test_the_three_rules_agree_with_their_references() -> None:
    rows = list(units())
    assert rows
    for row in rows:
        gold = row["gold"].replace(",", "")
        assert (openai_answer(row["completion"]) or "[invalid]") == row["openai_extract"], row
        for read, name in ((strict_answer, "lmeval_strict"), (flexible_answer, "lmeval_flexible")):
            found = read(row["completion"])
            assert (found is None) == (row[name] == "[invalid]"), row
            assert (found == gold) == row[f"{name}_correct"], row


@needs_data
def test_prompts_are_those_of_lm_eval(gsm8k: Task) -> None:
    """The hashes were taken from lm-eval 0.4.13 reading the same two files."""
    expected = {0: "32680f263ba83280", 1: "e6b9a0195411932e", 1318: "c9c63955e0cf2185"}
    for number, digest in expected.items():
        prompt = gsm8k.body.prompt(gsm8k.items[number])
        assert hashlib.sha256(prompt.encode()).hexdigest()[:16] == digest
    assert gsm8k.settings.stop == ("Question:", "</s>", "<|im_end|>")
    assert gsm8k.settings.greedy


@needs_data
def test_ids_are_line_numbers_and_both_tasks_hold_the_same_problems(gsm8k: Task) -> None:
    assert [sample.id for sample in gsm8k.items] == [str(n) for n in range(1319)]
    assert gsm8k.data_hash == tasks.get("gsm8k-0shot").data_hash


@needs_data
def test_the_chat_task_asks_for_the_line_that_is_graded(gsm8k: Task) -> None:
    sample = gsm8k.items[0]
    (message,) = tasks.get("gsm8k-0shot").body.prompt(sample)
    assert isinstance(message, Message)
    assert sample.input in message.content
    assert strict_answer(message.content) == "72"


def test_without_data_the_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATERBED_DATA", raising=False)
    with pytest.raises(UsageError, match=r"WATERBED_DATA is not set.*gsm8k/test\.jsonl"):
        list(GSM8K().samples())


def test_another_file_of_that_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text('{"question": "1+1?", "answer": "#### 2"}\n')
    monkeypatch.setenv("WATERBED_DATA", str(tmp_path))
    with pytest.raises(DataError, match="sha256"):
        list(GSM8K().samples())


@pytest.mark.parametrize(
    ("text", "stop", "reason"),
    [
        ("#### 18", "stop", None),
        ("so $18\n#### $18", "stop", "unparsed"),
        ("#### 18.0", "stop", "wrong"),
        ("  \n", "stop", "empty"),
        ("She has 18", "stop", "unparsed"),
        ("She has 18", "length", "truncated"),
        ("#### 18 and so on", "length", None),
    ],
)
def test_a_failure_says_why(text: str, stop: Any, reason: str | None) -> None:
    score = grade_answer("18", Generation(text, stop))
    assert score.reason == reason
    assert score.value == float(reason is None)


def test_the_flexible_reading_is_shown_beside_the_strict_one() -> None:
    score = grade_answer("18", Generation("I count 18"))
    assert (score.value, score.metrics["flexible"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    "text", ["#### " * 200_000, "1," * 500_000, "\ud800#### 1\0", "-" * 1_000_000]
)
def test_hostile_answers_are_read_in_bounded_time(text: str) -> None:
    began = time.monotonic()
    grade_answer("18", Generation(text))
    assert time.monotonic() - began < 2
